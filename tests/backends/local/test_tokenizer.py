from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptkit.backends.local.tokenizer import TokenCodec
from promptkit.errors import BackendError, UnsupportedError
from promptkit.types import Message, Prompt

CONTROLS = ["<pad>", "</s>", "<s>", "<|im_start|>", "<|im_end|>", "<think>"]


@pytest.fixture(scope="module")
def codec(make_tokenizer: Any) -> TokenCodec:
    return TokenCodec(make_tokenizer(bos=True))


@pytest.mark.parametrize("token", CONTROLS)
def test_text_of_a_control_token_stays_text(codec: TokenCodec, token: str) -> None:
    text = f"Jane {token}has 2{token} apples{token}"
    assert codec.control.intersection(codec.tokenizer(text)["input_ids"][1:]), "the bad twin: the tokenizer itself"
    ids = codec.prompt_ids(Prompt(text=text))
    assert ids[0] == codec.tokenizer.bos_token_id
    assert not codec.control.intersection(ids[1:])
    assert codec.tokenizer.decode(ids[1:]) == text
    assert not codec.control.intersection(codec.continuation_ids(Prompt(text="Label:"), token))


def test_added_white_space_is_text(codec: TokenCodec) -> None:
    assert codec.prompt_ids(Prompt(text="a    b")) == codec.tokenizer("a    b")["input_ids"]
    assert codec.tokenizer.convert_tokens_to_ids("    ") in codec.prompt_ids(Prompt(text="a    b"))


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_without_control_tokens_is_encoded_as_ever_and_comes_back(codec: TokenCodec, text: str) -> None:
    ids = codec.content(text)
    assert codec.tokenizer.decode(ids) == text
    if not any(token in text for token in CONTROLS):
        assert ids == codec.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_frames_of_the_tokenizer_are_kept(make_tokenizer: Any) -> None:
    closed = make_tokenizer(bos=True, closing=True)
    start, end = closed.bos_token_id, closed.eos_token_id
    body = closed("Jane", add_special_tokens=False)["input_ids"]
    # A causal model goes on from the text, so nothing may follow it; an encoder expects the end token.
    assert TokenCodec(closed).prompt_ids(Prompt(text="Jane")) == [start, *body]
    assert TokenCodec(closed, keep_tail=True).prompt_ids(Prompt(text="Jane")) == [start, *body, end]
    assert TokenCodec(make_tokenizer()).prompt_ids(Prompt(text="Jane")) == body


def test_continuations_leave_the_prompt_alone(codec: TokenCodec) -> None:
    prompt = Prompt(text="Review: dull.\nLabel:")
    for text in (" positive", " negative", "\n\nReview", "</s>"):
        ids = codec.continuation_ids(prompt, text)
        assert codec.tokenizer.decode(ids) == text
    # " apples" is one token; from "Jane has 2 app" the model would have to write the rest.
    cut = Prompt(text="Jane has 2 app")
    assert codec.tokenizer.decode(codec.continuation_ids(cut, "les")) == "les"
    chat = Prompt(messages=(Message("user", "x"),))
    assert codec.continuation_ids(chat, "les") == codec.content("les")


def test_decoding_keeps_the_leading_space_and_hides_special_tokens(codec: TokenCodec) -> None:
    prompt = codec.prompt_ids(Prompt(text="Answer:"))
    new = [*codec.content(" The answer"), codec.tokenizer.eos_token_id]
    assert codec.text(prompt, new) == " The answer"
    assert codec.text((), new) == " The answer"
    assert codec.text(prompt, []) == ""


def metaspace_tokenizer(model: Any) -> Any:
    """A tokenizer in the manner of SentencePiece, which marks words by a leading space and drops the first."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    rust = Tokenizer(model)
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    rust.decoder = decoders.Metaspace()
    rust.add_special_tokens(["<unk>", "</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="<unk>", eos_token="</s>")


def test_a_unigram_vocabulary_yields_no_control_token_either() -> None:
    from tokenizers import models

    letters = [(letter, -5.0) for letter in "▁abcdefghijklmnopqrstuvwxyz</>"]
    pieces = [("<unk>", 0.0), ("</s>", 0.0), *letters, ("▁dull", -1.0)]
    codec = TokenCodec(metaspace_tokenizer(models.Unigram(pieces, unk_id=0)))
    assert 1 in codec.tokenizer("dull</s>", split_special_tokens=True)["input_ids"], "the bad twin"
    ids = codec.content("dull</s> dull")
    assert 1 not in ids
    assert ids[0] == len(pieces) - 1
    # A sign outside the vocabulary is unknown to the model: that is no attack.
    assert 0 in codec.content("苹果")
    assert codec.text(codec.content("dull"), codec.content("dull")) == " dull"


def test_where_the_vocabulary_cannot_tell_words_from_control_it_refuses() -> None:
    from tokenizers import models

    vocab = {"<unk>": 0, "</s>": 1, "▁dull": 2, "▁</s>": 3}
    tokenizer = metaspace_tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.add_tokens(["▁</s>"])
    with pytest.raises(UnsupportedError, match="text must not become a control token, got .*remove these words"):
        TokenCodec(tokenizer).content("dull </s>")


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(BackendError, match="must be a fast one with a tokenizer.json, got a slow one"):
        TokenCodec(object())
