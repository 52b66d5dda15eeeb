"""ROUGE: bit for bit the numbers of rouge-score, and the textbook's where they are asked for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from promptkit.errors import MetricError, SettingError
from promptkit.metrics.rouge import ROUGE_KINDS, rouge

RougeScorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer
PLAIN = RougeScorer(list(ROUGE_KINDS))
STEMMED = RougeScorer(list(ROUGE_KINDS), use_stemmer=True)

REFERENCE = (
    "Proxima's Passkey enables seamless integration of diverse financial portfolios, offering unparalleled access to "
    "global investment opportunities and streamlined asset management."
)
PREDICTION = (
    "The Proxima Passkey provides a unified platform for managing various investment portfolios, granting access to "
    "worldwide investment options and efficient asset control."
)
# Few words, so that they recur; line breaks; case; words that share a stem; letters beyond ASCII.
WORDS = st.sampled_from(
    ["the", "The", "cats", "cat", "running", "run", "runs", "a", "-5", "mg", "it's", "é", "\n", "\n\n"]
)
TEXTS = st.lists(WORDS, max_size=25).map(" ".join)
ASCII_TEXTS = TEXTS.map(lambda text: text.replace("é", "e"))


def tuples(figures: Any) -> dict[str, tuple[float, float, float]]:
    return {kind: tuple(figure) for kind, figure in figures.items()}


@given(TEXTS, TEXTS)
def test_figures_are_identical_with_the_tokenizer_of_the_package(prediction: str, reference: str) -> None:
    assume(PLAIN.score(reference, reference)["rouge1"].fmeasure or not reference.strip())
    assert tuples(rouge(prediction, reference, tokenizer="rouge-score")) == tuples(PLAIN.score(reference, prediction))


@given(ASCII_TEXTS, ASCII_TEXTS)
def test_figures_are_identical_on_ascii_by_default(prediction: str, reference: str) -> None:
    assert tuples(rouge(prediction, reference)) == tuples(PLAIN.score(reference, prediction))


@given(ASCII_TEXTS, ASCII_TEXTS)
def test_figures_are_identical_with_stems(prediction: str, reference: str) -> None:
    assert tuples(rouge(prediction, reference, stemmer=True)) == tuples(STEMMED.score(reference, prediction))


@given(ASCII_TEXTS, st.lists(ASCII_TEXTS, min_size=1, max_size=4))
def test_of_several_references_the_best_counts_for_each_figure(prediction: str, references: list[str]) -> None:
    assert tuples(rouge(prediction, references)) == tuples(PLAIN.score_multi(references, prediction))


@given(st.text(st.characters(max_codepoint=127)), st.text(st.characters(max_codepoint=127)))
def test_any_ascii_text(prediction: str, reference: str) -> None:
    try:
        figures = tuples(rouge(prediction, reference))
    except MetricError:
        assert not PLAIN.score(reference, reference)["rouge1"].fmeasure
    else:
        assert figures == tuples(PLAIN.score(reference, prediction))


def test_the_kinds_that_are_asked_for() -> None:
    text = "one two\nthree"
    for kind in ROUGE_KINDS:
        assert rouge("one three", text, kinds=[kind]) == {kind: rouge("one three", text)[kind]}


def test_both_variants_of_the_textbook_pair() -> None:
    def rounded(variant: Any) -> list[tuple[float, ...]]:
        figures = rouge(PREDICTION, REFERENCE, variant=variant)
        return [tuple(round(value, 3) for value in figures[kind]) for kind in ("rouge1", "rouge2", "rougeL")]

    assert rounded("rouge-score") == [(0.364, 0.381, 0.372), (0.048, 0.05, 0.049), (0.364, 0.381, 0.372)]
    assert rounded("textbook") == [(0.333, 0.35, 0.341), (0.048, 0.053, 0.05), (0.333, 0.35, 0.341)]


@pytest.mark.parametrize(
    ("prediction", "reference", "rouge_l"),
    # printed by the package rouge 1.0.1; in the first two several subsequences are longest
    [
        ("e c G b b c a G a", "f b b a c. d b c d b e a d c", (0.4, 1 / 3)),
        ("d b. a c a d", "e b d", (0.25, 1 / 3)),
        ("c. a G G d f f a c b", "c d e. a c", (0.5, 0.75)),
    ],
)
def test_the_textbook_variant_prints_what_that_package_prints(
    prediction: str, reference: str, rouge_l: tuple[float, float]
) -> None:
    figures = rouge(prediction, reference, variant="textbook")
    assert figures["rougeL"][:2] == pytest.approx(rouge_l)
    assert figures["rougeL"] == figures["rougeLsum"]


@pytest.mark.parametrize(
    "text", ["你好世界", "Привет, мир", "नमस्ते दुनिया", "สวัสดี", "مرحبا", "テキスト", "한국어", "É", "５"]
)
def test_every_script_is_equal_to_itself(text: str) -> None:
    figures = rouge(text, text)
    assert figures["rouge1"].f1 == figures["rougeL"].f1 == figures["rougeLsum"].f1 == 1.0
    assert rouge("x", text)["rouge1"].f1 == 0.0


@pytest.mark.parametrize(
    ("reference", "settings"),
    [("你好", {"tokenizer": "rouge-score"}), ("!?", {}), ("😀", {}), ("...", {"variant": "textbook"})],
)
def test_a_reference_without_a_visible_token_is_an_error(reference: str, settings: dict[str, Any]) -> None:
    with pytest.raises(MetricError) as refused:
        rouge("text", reference, **settings)
    assert str(refused.value) == (
        f"rouge: reference must be a text with at least one token that the metric can see, got {reference!r}; use "
        "tokenizer='unicode' for other scripts than a to z; signs and emoji are never seen"
    )
    with pytest.raises(MetricError):
        rouge("text", ["text", reference], **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "rouge"}, "rouge: variant must be one of 'rouge-score', 'textbook', got 'rouge'"),
        ({"kinds": ["rouge9"]}, "rouge: kinds must be among rouge1, rouge2, rougeL, rougeLsum, got ('rouge9',)"),
        ({"reference": []}, "rouge: reference must be a text or at least one, got []"),
    ],
)
def test_unknown_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as refused:
        rouge("a", **{"reference": "a", **settings})
    assert str(refused.value) == message


@pytest.mark.skipif("PROMPTKIT_REAL_DATA" not in os.environ, reason="PROMPTKIT_REAL_DATA names no folder")
def test_published_cases() -> None:
    path = Path(os.environ["PROMPTKIT_REAL_DATA"], "scores", "rouge_score_cases.json")
    cases = json.loads(path.read_text(encoding="utf-8"))
    assert len(cases["pairs"]) == 24
    for case in cases["pairs"]:
        figure = rouge(case["prediction"], case["target"], stemmer=case["stemmer"])[case["metric"]]
        for name, value in (("precision", figure.precision), ("recall", figure.recall), ("fmeasure", figure.f1)):
            assert case[name] is None or value == pytest.approx(case[name], abs=5e-4), case
    several = cases["multi_reference"]
    figures = rouge(several["prediction"], several["targets"])
    assert {kind: figures[kind].f1 for kind in several["expected_f"]} == several["expected_f"]
