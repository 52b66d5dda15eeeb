"""Pairs become exactly generation's tokens, and plans of batches lose none of them."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptkit.errors import ContextLengthError, DataError, SettingError
from promptkit.training.config import Pair
from promptkit.training.dataset import Item, collate, cut, encode, order
from promptkit.types import Prompt

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=80)


def items_of(lengths: list[int]) -> list[Item]:
    return [Item((number + 1,) * length, (1, 2)) for number, length in enumerate(lengths)]


@given(lengths=LENGTHS, per_step=st.integers(1, 9), seed=st.integers(-3, 3))
def test_every_epoch_holds_every_item_once(lengths: list[int], per_step: int, seed: int) -> None:
    items = items_of(lengths)
    first, again, other = (order(items, per_step, seed, epoch) for epoch in (0, 0, 1))
    assert first == again
    for plan in (first, other):
        assert sorted(number for step in plan for number in step) == list(range(len(items)))
        assert len(plan) == -(-len(items) // per_step)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    items = items_of([random.Random(3).randint(1, 40) for _ in range(64)])
    orders = [str(order(items, 4, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4


def test_lengths_are_grouped() -> None:
    draw = random.Random(0)
    items = items_of([draw.randint(1, 200) for _ in range(512)])

    def padded(steps: list[list[int]]) -> int:
        return sum(len(step) * max(items[number].length for number in step) for step in steps)

    real = sum(item.length for item in items)
    plain = [list(range(at, at + 8)) for at in range(0, 512, 8)]
    assert padded(order(items, 8, 0, 0)) < 1.15 * real
    assert padded(plain) > 1.5 * real


@given(lengths=LENGTHS, size=st.integers(1, 9), tokens=st.integers(1, 90))
def test_passes_stay_in_their_limits(lengths: list[int], size: int, tokens: int) -> None:
    items = items_of(lengths)
    parts = cut(items, size, tokens)
    assert sorted((item for part in parts for item in part), key=str) == sorted(items, key=str)
    for part in parts:
        assert len(part) <= size
        assert len(part) == 1 or len(part) * max(item.length for item in part) <= tokens


def test_a_batch_predicts_each_answer_token_from_the_place_before() -> None:
    batch = collate([Item((5, 6), (7, 8)), Item((9,), (3,))], torch.device("cpu"), None)
    assert batch.ids.tolist() == [[5, 6, 7], [9, 0, 0]]
    assert batch.real.tolist() == [[True, True, True], [True, False, False]]
    assert list(zip(batch.rows.tolist(), batch.places.tolist(), batch.targets.tolist(), strict=True)) == [
        (0, 1, 7),
        (0, 2, 8),
        (1, 0, 3),
    ]


def test_a_decoder_starts_with_its_own_token() -> None:
    batch = collate([Item((5, 6), (7, 8)), Item((9,), (3,))], torch.device("cpu"), 0)
    assert batch.ids.tolist() == [[5, 6], [9, 0]]
    assert batch.decoder_ids is not None and batch.decoder_ids.tolist() == [[0, 7], [0, 0]]
    assert batch.places.tolist() == [0, 1, 0]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
def test_tokens_are_those_of_generation(backend_of, pairs, kind) -> None:
    backend = backend_of(kind)
    for pair, item in zip(pairs(9), encode(backend, pairs(9), of="pairs", before=3), strict=True):
        assert list(item.prompt) == backend._codec.prompt_ids(pair.prompt)
        assert backend._codec.text(item.prompt if kind != "t5" else (), item.answer) == pair.answer


def test_the_end_token_follows_where_it_is_wanted(backend_of, pairs) -> None:
    backend = backend_of("llama")
    plain = encode(backend, pairs(1), of="pairs", before=0)[0]
    ended = encode(backend, pairs(1, end=True), of="pairs", before=0)[0]
    assert ended.answer == (*plain.answer, backend.tokenizer.eos_token_id)


def test_a_model_without_an_end_token_cannot_learn_it(backend_of, pairs, monkeypatch) -> None:
    backend = backend_of("llama")
    monkeypatch.setattr(backend, "_eos", frozenset())
    with pytest.raises(SettingError, match=r"^pairs\[0\]: end must be False for a model without an end token"):
        encode(backend, pairs(1, end=True), of="pairs", before=0)


def test_answers_without_tokens_are_named(backend_of, pairs) -> None:
    empty = [*pairs(2), Pair(Prompt(text="Label:"), ""), *pairs(1), Pair(Prompt(text="Label:"), "", end=True)]
    message = r"^pairs: answers must have at least one token to learn, got none in 2 of 5 \(numbers 2, 4\); remove"
    with pytest.raises(DataError, match=message):
        encode(backend_of("llama"), empty, of="pairs", before=0)


def test_pairs_that_are_too_long_are_named_with_their_length(backend_of, pairs) -> None:
    backend = backend_of("llama")
    long = Pair(Prompt(text="a word " * 300), " positive")
    tokens = len(backend._codec.prompt_ids(long.prompt))
    with pytest.raises(
        ContextLengthError, match=rf"512 tokens, got 1 of 3 .*numbers 1\).* dev\[1\], has 7 \+ {tokens} \+ "
    ):
        encode(backend, [*pairs(1), long, *pairs(1)], of="dev", before=7)


@pytest.mark.parametrize(("kind", "fits"), [("llama", False), ("t5", True)])
def test_vectors_take_places_of_the_window(backend_of, kind, fits) -> None:
    backend = backend_of(kind)
    prompt = Prompt(text="x" * 400)
    room = backend.context_window - len(backend._codec.prompt_ids(prompt))
    pair = Pair(prompt, " y")
    assert encode(backend, [pair], of="pairs", before=room - 2)
    if fits:  # the answer of an encoder-decoder has a window of its own
        assert encode(backend, [pair], of="pairs", before=room)
    else:
        with pytest.raises(ContextLengthError):
            encode(backend, [pair], of="pairs", before=room)
