"""Chain of thought on a real engine: waves, batches and votes over sampled paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptkit import ChainOfThought, LocalBackend
from promptkit.tasks.task import build_task

QUESTION = "{% macro question(item) %}Question: {{ item.question }}\nAnswer:{% endmacro %}"
TASK = build_task(
    {
        "name": "letters",
        "fields": ["question"],
        # The first letter, so that the texts of a random model have an answer now and then.
        "parsers": {"direct": {"kind": "text"}, "reasoned": {"kind": "regex", "pattern": "[a-hA-H]"}},
        "templates": {
            "direct": QUESTION + "{% macro answer(item) %} {{ item.target }}{% endmacro %}",
            "reasoned": QUESTION + "{% macro answer(item) %} {{ item.rationale }} {{ item.target }}{% endmacro %}",
        },
        "max_new_tokens": {"reasoned": 6},
    },
    of="letters",
)
QUERIES = [{"question": f"How many apples are {n} apples?"} for n in range(4)]


@pytest.fixture
def backend(tiny: Callable[..., Path]) -> LocalBackend:
    return LocalBackend(str(tiny("llama")))


def predict(backend: LocalBackend, queries: list[dict[str, str]], **settings: Any) -> list[Any]:
    return ChainOfThought(TASK, shots=0, **settings).fit([], backend).predict(queries, seed=5)


def texts(prediction: Any) -> list[str]:
    return [one.text for one in prediction.completions]


def test_waves_draw_the_first_samples_of_the_whole_sequence(backend: LocalBackend) -> None:
    whole = predict(backend, QUERIES, samples=12)
    assert all(len(set(texts(one))) > 6 for one in whole)
    for stop in ("beta", "window"):
        waves = predict(backend, QUERIES, samples=12, stop=stop)
        for part, full in zip(waves, whole, strict=True):
            assert texts(part) == texts(full)[: part.samples_used]
    assert [texts(one)[:5] for one in whole] == [texts(one) for one in predict(backend, QUERIES, samples=5)]


def test_a_question_alone_gets_the_samples_that_it_gets_in_a_batch(backend: LocalBackend) -> None:
    together = predict(backend, QUERIES, samples=8, stop="beta")
    for query, expected in zip(QUERIES, together, strict=True):
        (alone,) = predict(backend, [query], samples=8, stop="beta")
        assert (texts(alone), alone.answer, dict(alone.votes)) == (
            texts(expected),
            expected.answer,
            dict(expected.votes),
        )


def test_weighted_votes_use_the_probabilities_of_the_model(backend: LocalBackend) -> None:
    (prediction,) = predict(backend, QUERIES[:1], samples=12, vote="weighted")
    assert prediction.answer is not None
    assert 0 < sum(prediction.votes.values()) < 12


def test_the_prompt_is_counted_once_a_wave(backend: LocalBackend) -> None:
    one, many = (predict(backend, QUERIES[:1], samples=samples)[0].usage for samples in (1, 12))
    assert one.prompt_tokens == many.prompt_tokens > 0
    assert many.generated_tokens > one.generated_tokens
