"""Starting points: exact tokens, no control tokens, and the statistics of the paper."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import promptkit as pk
from promptkit import DataError, Prompt, SettingError
from promptkit.backends.local.tokenizer import TokenCodec
from promptkit.training import initialization as starts
from promptkit.training.general import GENERAL_TEXT


@pytest.fixture(scope="module")
def codec() -> TokenCodec:
    from pathlib import Path

    from transformers import AutoTokenizer

    folder = Path(pk.__file__).parent / "models" / "reference"
    return TokenCodec(AutoTokenizer.from_pretrained(folder))


def shown(codec: TokenCodec, ids: tuple[int, ...]) -> list[str]:
    return [codec.text((), [number]) for number in ids]


def test_domain_takes_what_the_task_says_more_often_than_general_text(codec: TokenCodec) -> None:
    texts = [GENERAL_TEXT, *[" invoice refund parcel"] * 30]
    own = [number for word in (" invoice", " refund", " parcel") for number in codec.content(word)]
    found = starts.domain_ids(codec, texts, len(set(own)))
    assert set(found) == set(own)


def test_the_most_typical_token_stands_next_to_the_text(codec: TokenCodec) -> None:
    (at,) = codec.content("@")
    assert starts.domain_ids(codec, ["@" * 50 + " it is the way"], 3)[-1] == at


def test_domain_starts_again_where_the_texts_have_few_tokens(codec: TokenCodec) -> None:
    (at,) = codec.content("@")
    assert starts.domain_ids(codec, ["@@@@"], 3) == (at, at, at)


def test_domain_without_any_text_is_refused(codec: TokenCodec) -> None:
    with pytest.raises(DataError, match="init='domain': examples must be texts with at least one token"):
        starts.domain_ids(codec, ["", ""], 3)


def test_text_takes_exact_tokens_cuts_and_begins_again(codec: TokenCodec) -> None:
    ids = tuple(codec.content("Rewrite it in house style."))
    count = len(ids)
    assert starts.text_ids(codec, "Rewrite it in house style.", count) == ids
    assert starts.text_ids(codec, "Rewrite it in house style.", 2) == ids[:2]
    assert starts.text_ids(codec, "Rewrite it in house style.", count + 2) == ids + ids[:2]


def test_a_text_of_control_tokens_is_ordinary_characters(codec: TokenCodec) -> None:
    for name in codec.tokenizer.all_special_tokens:
        assert not set(starts.text_ids(codec, f"say {name} now", 30)) & codec.control


def test_a_text_without_tokens_is_refused(codec: TokenCodec) -> None:
    with pytest.raises(SettingError, match="init_text must be a text with at least one token"):
        starts.text_ids(codec, "", 3)


def test_vocabulary_is_drawn_by_seed_without_control_tokens_or_repeats(codec: TokenCodec) -> None:
    first, again, other = (starts.vocabulary_ids(codec, 50, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == 50
    assert not set(starts.vocabulary_ids(codec, 4000, 0)) & codec.control


def test_frequent_tokens_come_first(codec: TokenCodec) -> None:
    order = starts.frequent_ids(codec)
    assert sorted(order) == sorted(set(order))
    assert not set(order) & codec.control
    (at,) = codec.content("@")
    assert order.index(codec.content(" the")[0]) < len(order) / 2 < order.index(at)


def test_frequent_tokens_of_a_unigram_vocabulary_go_by_probability() -> None:
    from types import SimpleNamespace

    from tokenizers import Tokenizer, models

    rust = Tokenizer(models.Unigram([("<unk>", 0.0), ("rare", -9.0), ("often", -1.0), ("some", -3.0)], unk_id=0))
    rust.add_special_tokens(["<unk>"])
    fake: object = SimpleNamespace(tokenizer=SimpleNamespace(backend_tokenizer=rust))
    assert starts.frequent_ids(fake) == [2, 3, 1]  # type: ignore[arg-type]


def test_a_handed_down_prompt_is_what_stands_right_before_the_question(codec: TokenCodec) -> None:
    head, question = "Rewrite.\n\nMessage: a\nReply: b\n\n", "Message: c\nReply:"
    bare, whole = Prompt(text=question), Prompt(text=head + question)
    wanted = tuple(codec.content(head))
    assert starts.prompt_head_ids(codec, whole, bare, len(wanted)) == wanted
    assert starts.prompt_head_ids(codec, whole, bare, 5) == wanted[-5:]
    assert starts.prompt_head_ids(codec, whole, bare, len(wanted) + 3) == wanted + wanted[:3]
    with pytest.raises(DataError, match="says something before the question"):
        starts.prompt_head_ids(codec, bare, bare, 5)


def test_a_handed_down_chat_keeps_its_roles_out(codec: TokenCodec) -> None:
    question = pk.Message("user", "c")
    whole = Prompt(messages=(pk.Message("user", "alpha"), pk.Message("assistant", "beta"), question))
    found = starts.prompt_head_ids(codec, whole, Prompt(messages=(question,)), 40)
    assert not set(found) & codec.control
    assert "alpha" in "".join(shown(codec, found))


counts = st.lists(st.integers(0, 60), min_size=4, max_size=12)


@given(counts, st.randoms(use_true_random=False))
def test_log_odds_turn_round_with_the_texts(first: list[int], random: object) -> None:
    own = np.array(first, float)
    other = np.array(first[::-1], float)
    if own.sum() == 0:
        return
    there = starts.log_odds(own, other)
    back = starts.log_odds(other, own)
    seen = np.isfinite(there)
    assert np.allclose(there[seen], -back[seen], atol=1e-9)
    assert np.array_equal(seen, own + other > 0)


@given(counts)
def test_equal_texts_have_no_typical_token(values: list[int]) -> None:
    own = np.array(values, float)
    found = starts.log_odds(own, own)
    assert np.allclose(found[np.isfinite(found)], 0)


def test_log_odds_are_those_of_the_formula() -> None:
    own, other = np.array([30.0, 10.0, 60.0]), np.array([5.0, 15.0, 80.0])
    prior = (own + other) * 100 / 200
    y, z = own + prior, other + prior
    delta = np.log(y / (200 - y)) - np.log(z / (200 - z))
    assert np.allclose(starts.log_odds(own, other), delta / np.sqrt(1 / y + 1 / z))
