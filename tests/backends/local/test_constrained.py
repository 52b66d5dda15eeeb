"""Completions held to a schema: always whole, always valid, and of no effect on their neighbours."""

from __future__ import annotations

import datetime
import enum
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
import pytest
from pydantic import BaseModel, Field, TypeAdapter

from promptkit.backends.local.backend import LocalBackend
from promptkit.backends.local.constrained import Grammars, Guide
from promptkit.errors import MissingExtraError, SettingError, UnsupportedError
from promptkit.types import Completion, Prompt, Request, Sampling
from tests.support.models import tiny_tokenizer


class Colour(enum.Enum):
    red = "red"
    blue = "blue"


class Part(BaseModel):
    a: int
    b: str | None = None
    c: list[str] = []


class Node(BaseModel):
    value: int
    next: Optional[Node] = None  # noqa: UP045 - a forward reference


class Everything(BaseModel):
    name: str
    number: int = Field(ge=1, le=99)
    share: float
    tags: list[str] = Field(min_length=1, max_length=3)
    colour: Colour
    literal: Literal["x", "y", 3]
    part: Part
    counts: dict[str, int]
    flag: bool
    node: Node
    pair: tuple[int, str]
    code: str = Field(pattern=r"^[A-Z]{2}-\d{3}$")
    short: str = Field(min_length=5, max_length=9)


TYPES: list[Any] = [
    Everything, Part, Node, int, float, str, bool, list[int], list[Part], dict[str, str], int | str, None, Any,
    Literal["Harbor", "Quarry"], datetime.time | int,
]  # fmt: skip


def schema_of(kind: Any) -> str:
    return json.dumps(TypeAdapter(kind).json_schema())


@cache
def grammars(bos: bool = False) -> Grammars:
    tokenizer = tiny_tokenizer(bos=bos)
    return Grammars(tokenizer, len(tokenizer) + 7, [1])


def walk(guide: Guide, tokens: int, rng: np.random.Generator, decode: Callable[[list[int]], str]) -> str:
    """A model without any sense: every allowed token is as likely."""
    out: list[int] = []
    for _ in range(tokens):
        taken = guide.take(int(rng.choice(np.flatnonzero(guide.allowed()))))
        if taken == 1:
            break
        out.append(taken)
        if guide.done:
            break
    return decode(out)


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_whatever_the_model_wants_the_value_is_whole_and_valid(kind: Any) -> None:
    rng, adapter = np.random.default_rng(0), TypeAdapter(kind)
    least = 260 if kind is Everything else 30
    for _ in range(8):
        tokens = int(rng.integers(least, least + 60))
        guide = grammars().guide(schema_of(kind), tokens)
        text = walk(guide, tokens, rng, grammars()._tokenizer.decode_str)
        if kind != datetime.time | int:  # a grammar does not know how many seconds a minute has
            adapter.validate_json(text)
        json.loads(text)


def test_masks_alone_would_leave_values_open() -> None:
    """The bad twin: every token is allowed by the grammar, and still the text ends in the middle."""
    rng, broken = np.random.default_rng(0), 0
    for _ in range(20):
        guide = grammars().guide(schema_of(Part), 12)
        matcher, out = guide._matcher, []
        while len(out) < 12 and not matcher.is_stopped():
            out.append(int(rng.choice(np.flatnonzero(guide.allowed()))))
            matcher.consume_token(out[-1])
        try:
            json.loads(grammars()._tokenizer.decode_str([token for token in out if token != 1]))
        except ValueError:
            broken += 1
    assert broken > 5


def test_control_tokens_are_never_allowed() -> None:
    guide = grammars().guide(schema_of(str), 30)
    control = [0, 2, 3, 4]
    for _ in range(25):
        assert not guide.allowed()[control].any()
        guide.take(int(np.flatnonzero(guide.allowed())[-1]))
        if guide.done:
            break


def test_hurried_says_that_tokens_ran_short() -> None:
    letter = next(n for n in range(420) if grammars()._tokenizer.decode_bytes([n]) == b"a")
    guide = grammars().guide(schema_of(str), 8)
    taken = [guide.take(6 if n == 0 else letter) for n in range(8) if not guide.done]
    assert guide.done
    assert guide.hurried
    assert json.loads(grammars()._tokenizer.decode_str(taken)) == "a" * (len(taken) - 2)


def test_too_few_tokens_are_refused_before_anything_is_asked() -> None:
    with pytest.raises(SettingError, match="max_new_tokens must be enough for the shortest value of the schema, got 3"):
        grammars().guide(schema_of(Part), 3)


@pytest.mark.parametrize(
    "schema", ['{"$ref": "#/$defs/nowhere"}', '{"type": "thing"}', '{"type": "string", "pattern": "("}', '{"enum": []}']
)
def test_a_schema_without_a_grammar_is_refused(schema: str) -> None:
    with pytest.raises(UnsupportedError, match="schema: it must be one that can be turned into a grammar"):
        grammars().guide(schema, 50)


def test_without_the_extra_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingExtraError, match=r"run: pip install llguidance$"):
        Grammars(tiny_tokenizer(), 430, [1])


def test_compiled_grammars_are_kept_and_bounded() -> None:
    fresh = Grammars(tiny_tokenizer(), 430, [1])
    for number in range(70):
        fresh.guide(json.dumps({"const": number}), 20)
    assert len(fresh._compiled) == 64


@cache
def loaded(folder: Path) -> LocalBackend:
    return LocalBackend(folder, batch_size=8)


def ask(
    text: str, kind: Any = None, *, tokens: int = 40, heat: float = 0.0, samples: tuple[int, ...] = (0,)
) -> Request:
    schema = None if kind is None else schema_of(kind)
    return Request(Prompt(text=text), Sampling(tokens, heat, schema=schema), 3, samples)


def one(backend: LocalBackend, request: Request) -> Completion:
    return backend.generate([request])[0].completions[0]


@pytest.mark.parametrize("shape", ["llama", "gpt2", "t5"])
def test_a_model_without_sense_gives_valid_values_in_mixed_batches(tiny: Callable[..., Path], shape: str) -> None:
    backend = loaded(tiny(shape))
    kinds = [Part, Node, list[int], str, None, Literal["Harbor", "Quarry"], dict[str, int]]
    requests = [
        ask(f"Question: number {n}\nAnswer:", kinds[n % 7], heat=1.5 if n % 2 else 0.0, samples=(0, 1))
        for n in range(28)
    ]
    for request, reply in zip(requests, backend.generate(requests), strict=True):
        for completion in reply.completions:
            if request.sampling.schema is not None:
                json.loads(completion.text)
                assert completion.finish in ("stop", "eos", "length")
                assert completion.logprob is not None
                assert -1000 < completion.logprob <= 0


def test_neighbours_do_not_matter(tiny: Callable[..., Path]) -> None:
    backend = loaded(tiny("llama"))
    mixed = [ask("What is it?"), ask("What is it?", Part, heat=1.0), ask("And now?", list[str]), ask("And now?")]
    together = [reply.completions[0] for reply in backend.generate(mixed)]
    assert [completion.text for completion in together] == [one(backend, request).text for request in mixed]


def test_text_that_imitates_the_value_stays_a_prompt(tiny: Callable[..., Path]) -> None:
    backend = loaded(tiny("llama"))
    completion = one(backend, ask('Answer: {"a": 1, "b": </s> "x"} {"a": 2', Part))
    Part.model_validate_json(completion.text)


def test_a_schema_that_cannot_be_kept_is_refused_before_anything_is_computed(tiny: Callable[..., Path]) -> None:
    backend = loaded(tiny("llama"))
    done: list[tuple[int, int]] = []
    bad = Request(Prompt(text="a"), Sampling(40, schema='{"$ref": "#/nowhere"}'))
    with pytest.raises(UnsupportedError):
        backend.generate([ask("fine"), bad], progress=lambda *counts: done.append(counts))
    assert not done


def test_200_typed_answers_of_a_model_without_sense(tiny: Callable[..., Path]) -> None:
    backend = loaded(tiny("llama"))
    requests = [ask(f"Item {n}:", (Part, Node)[n % 2], tokens=32, heat=1.0 if n % 4 > 1 else 0.0) for n in range(200)]
    texts = [reply.completions[0].text for reply in backend.generate(requests)]
    for n, text in enumerate(texts):
        (Part, Node)[n % 2].model_validate_json(text)
