"""``promptkit vote``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import promptkit as pk

from .conftest import Run

REAL = os.environ.get("PROMPTKIT_REAL_DATA")
FOUR = [f"{path}. The answer is {path[-1]}." for path in ("2 + 3 = 5", "2 * 3 = 6", "3 + 2 = 5", "2 * 3 = 6")]
ROWS = [
    {"samples": FOUR, "gold": "5"},
    {"samples": ["2 + 5 = 7. The answer is 7."] * 9, "gold": "7.0"},
    {"samples": ["Well."], "gold": "1"},
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "samples.jsonl").write_text(LINES, encoding="utf-8")
    return str(tmp_path / "samples.jsonl")


def test_vote_prints_accuracy_and_samples_used(run: Run, file: str) -> None:
    outcome = run("vote", file, "--task", "apples", "--stop", "beta", "--gold-field", "gold")
    assert outcome.code == 0, outcome.err
    head, _, cells = outcome.out.splitlines()
    names = ["questions", "accuracy", "samples used", "samples saved", "unreadable", "unanswered", "ties"]
    assert head.split() == " ".join(names).split()
    assert cells.split() == ["3", "0.667", "[0.094,", "0.992]", "3.00", "1.67", "11.1%", "1", "1"]
    assert outcome.err == ""


def test_vote_tells_machines_everything(run: Run) -> None:
    arguments = ["--task", "apples", "--rule", "distinct", "--gold-field", "gold", "--json"]
    outcome = run("vote", "-", *arguments, stdin="\n" + LINES)
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert (found["questions"], found["accuracy"], found["ties"]) == (3, 2 / 3, 0)
    assert found["rows"][0] == {
        "answer": "5",
        "votes": {"5": 2, "6": 1},
        "agreement": 0.5,
        "distinct_paths": 3,
        "tie": False,
        "samples_used": 4,
        "abstained": 0,
    }
    assert found["rows"][2]["answer"] is None


def test_vote_says_the_same_as_the_library(run: Run, file: str) -> None:
    parser = pk.load_task("apples").parser("reasoned")
    for rule in ("majority", "distinct"):
        for stop in ("none", "beta", "window"):
            summary = pk.vote_rows(ROWS, parser=parser, gold="gold", rule=rule, stop=stop, tie="first")  # type: ignore[arg-type]
            options = ["--rule", rule, "--stop", stop, "--tie", "first", "--gold-field", "gold"]
            found = json.loads(run("vote", file, "--task", "apples", *options, "--json").out)
            assert (found["accuracy"], found["samples_used"]) == (summary.accuracy, summary.samples_used)
            assert [row["answer"] for row in found["rows"]] == [one.answer for one in summary.votes]


def test_a_reader_can_be_given_and_gold_left_out(run: Run) -> None:
    rows = json.dumps({"said": ['{"n": 5}', '{"n": 5.0}', "6"]})
    parser = '{"kind": "json", "field": "n", "then": "number"}'
    outcome = run("vote", "-", "--samples-field", "said", "--parser", parser, "--json", stdin=rows)
    found = json.loads(outcome.out)
    assert (found["accuracy"], found["rows"][0]["votes"], found["unreadable"]) == (None, {"5": 2}, 1 / 3)
    outcome = run("vote", "-", "--samples-field", "said", stdin=rows)
    assert outcome.out.splitlines()[2].split()[:2] == ["1", "-"]


def test_weighted_votes_read_probabilities_from_the_file(run: Run) -> None:
    samples = [{"text": "5", "mean_logprob": -0.1}, *[{"text": "6", "mean_logprob": -1.5}] * 2]
    outcome = run("vote", "-", "--rule", "weighted", "--json", stdin=json.dumps({"samples": samples}))
    assert json.loads(outcome.out)["rows"][0]["answer"] == "5"


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (["--parser", "{", "-"], "{}", 2, "must be a JSON object, got '{'"),
        (["--parser", "{}", "--task", "apples", "-"], "{}", 2, "give either this or --task"),
        (["--rule", "most", "-"], "{}", 2, "--rule"),
        ([], "", 2, "FILE"),
        (["--parser", '{"kind": "best"}', "-"], "{}", 1, "ParserSpec: kind must be 'text', 'line', "),
        (["--parser", "5", "-"], "{}", 1, "ParserSpec: spec must be"),
        (["--task", "apple", "-"], "{}", 1, "did you mean 'apples'?"),
        (["--near", "2", "-"], '{"samples": []}', 1, "vote: near must be a number above 0, at most 1, or None, got 2.0"),
        (["-"], "", 1, "rows must be at least 1, got 0"),
        (["-"], "[1]\n{\n", 1, "standard input: 2 of 2 rows cannot be used: row 1: "),
        (["-"], '{"sample": []}', 1, "1 of 1 rows cannot be voted on: row 1: 'samples' must be a list of samples, got nothing"),
        (["nowhere.jsonl"], "", 1, "nowhere.jsonl"),
    ],
)  # fmt: skip
def test_vote_refuses_what_it_cannot_use(run: Run, arguments: list[str], stdin: str, code: int, message: str) -> None:
    outcome = run("vote", *arguments, stdin=stdin)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in " ".join(outcome.err.split())


def test_vote_loads_no_model(run: Run, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(pk), "LocalBackend", lambda name: pytest.fail("a model was loaded"))
    assert run("vote", file, "--task", "apples").code == 0


@pytest.mark.skipif(not REAL, reason="PROMPTKIT_REAL_DATA names no folder of real samples")
@pytest.mark.parametrize(("stop", "expected"), [("none", (0.73, 10)), ("beta", (0.73, 7.3)), ("window", (0.73, 8.3))])
def test_published_figures(run: Run, stop: str, expected: tuple[float, float]) -> None:
    source = Path(str(REAL), "cot-samples", "gpt-35-turbo__chain_of_thought__aqua-rat-100__temp-0.3.jsonl.gz")
    pattern = r'Answer\("(.)[^"\n]*"\)'
    parser = json.dumps({"kind": "regex", "pattern": pattern, "then": "choice", "labels": [*"ABCDEN"]})
    options = ["--stop", stop, "--tie", "first", "--gold-field", "gold", "--parser", parser]
    found = json.loads(run("vote", str(source), *options, "--json").out)
    assert (found["accuracy"], found["samples_used"]) == expected


def test_vote_groups_questions_and_tells_of_repeated_ids(run: Run, tmp_path: Path) -> None:
    rows = [{"id": f"q{n}", "samples": ["a"], "gold": "ab"[n % 2], "document": n // 4} for n in range(12)]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = json.loads(run("vote", str(source), "--gold-field", "gold", "--json").out)
    grouped = json.loads(run("vote", str(source), "--gold-field", "gold", "--group", "document", "--json").out)
    assert (plain["groups"], grouped["groups"]) == (0, 3)
    assert plain["accuracy"] == grouped["accuracy"] == 0.5
    # The column holds numbers or texts, whatever the file makes of them; half of each document is right.
    assert grouped["accuracy_high"] - grouped["accuracy_low"] > 0
    source.write_text("".join(json.dumps({**row, "id": "q0"}) + "\n" for row in rows))
    outcome = run("vote", str(source), "--gold-field", "gold")
    assert "note: 1 ids stand on several rows, such as 'q0'" in outcome.out
    outcome = run("vote", str(source), "--gold-field", "gold", "--group", "doc")
    assert outcome.code != 0
    assert "--group must name a column, one of 'document', 'gold', 'id', 'samples', got 'doc'" in outcome.err
