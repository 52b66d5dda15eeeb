"""Real outputs: greedy chains of thought of four LLMs on GSM8K and AQuA, against a computation of their own by scipy."""

from __future__ import annotations

import gzip
import json
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import promptkit as pk

REAL = os.environ.get("PROMPTKIT_REAL_DATA")
pytestmark = pytest.mark.skipif(not REAL, reason="PROMPTKIT_REAL_DATA names no folder of real samples")
MODELS = ["code002", "text003", "gpt-3.5-turbo", "gpt4"]


def scores(data: str, model: str) -> list[float]:
    """Right or wrong, as read from the chain of thought; the extraction stored beside it fails on GPT-4's style."""
    path = Path(str(REAL), "paired", f"{data}__{model}_COT.jsonl.gz")
    rows = [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]
    assert [int(row["id"]) for row in rows] == list(range(len(rows)))
    if data == "AQUA":
        letter = pk.AnswerParser({"kind": "choice", "labels": [*"ABCDE"], "marker": "answer is"})
        return [float(letter.read(row["completion"]) == row["gold"]) for row in rows]
    number, metric = pk.AnswerParser({"kind": "number"}), pk.get_metric("numeric_match")
    return [metric.score(number.read(row["completion"]), [str(row["gold"])]) for row in rows]


@pytest.mark.parametrize(("data", "items"), [("GSM8K", 1319), ("AQUA", 254)])
def test_four_models_pairwise_with_holm(data: str, items: int) -> None:
    arms = {model: scores(data, model) for model in MODELS}
    found = pk.compare(arms, pairs="all")
    print(f"\n{data}\n{found.table}")
    assert found.items == items
    p_values = []
    for first, second in combinations(MODELS, 2):
        a, b = np.array(arms[first]), np.array(arms[second])
        table = [[int(((a == i) & (b == j)).sum()) for j in (1, 0)] for i in (1, 0)]
        p_values.append(stats.binomtest(table[0][1], table[0][1] + table[1][0]).pvalue)
        one = found[second, first]
        assert (one.losses, one.gains) == (table[0][1], table[1][0])
        assert one.difference == pytest.approx(b.mean() - a.mean(), abs=1e-12)
        # The interval is where the two-sided score test, done by scipy's optimiser, ends; here near the Wald interval.
        error = np.sqrt(((b - a) ** 2).mean() - (b - a).mean() ** 2) / np.sqrt(items)
        assert one.low == pytest.approx(one.difference - 1.96 * error, abs=0.005)
        assert one.high == pytest.approx(one.difference + 1.96 * error, abs=0.005)
    order = np.argsort(p_values)
    steps = np.maximum.accumulate([min(1.0, p_values[place] * (6 - rank)) for rank, place in enumerate(order)])
    adjusted = dict(zip(order, steps, strict=True))
    for place, one in enumerate(found.differences):
        assert one.p_value == pytest.approx(p_values[place], rel=1e-9)
        assert one.p_adjusted == pytest.approx(adjusted[place], rel=1e-9)
        assert (one.verdict == "undecided") == (adjusted[place] > 0.05)
    assert found["gpt4", "code002"].verdict == "better"


def test_sign_flips_on_real_scores_equal_scipy() -> None:
    """Chains of thought differ in length: a score that is not 0 or 1, with a heavy tail."""
    rows = {}
    for model in ("text003", "gpt4"):
        path = Path(str(REAL), "paired", f"AQUA__{model}_COT.jsonl.gz")
        lines = [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]
        rows[model] = [min(1.0, len(row["completion"]) / 2000) for row in lines]
    for count in (8, 254):
        first, second = (np.array(rows[model][:count]) for model in rows)
        found = pk.compare({"a": first.tolist(), "b": second.tolist()}, resamples=20_000)["b"]
        oracle = stats.permutation_test(
            (second - first,),
            np.mean,
            permutation_type="samples",
            n_resamples=np.inf if count == 8 else 20_000,
            rng=np.random.default_rng(0),
        )
        assert found.p_value == pytest.approx(oracle.pvalue, abs=1e-12 if count == 8 else 0.01)
