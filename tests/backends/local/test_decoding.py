"""The decoding loop on a made-up model that says what it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from promptkit.backends.local.decoding import Row, decode, score
from promptkit.backends.local.tokenizer import TokenCodec
from promptkit.errors import BackendError
from promptkit.types import Completion, Sampling


class Parrot:
    """A run whose row says, token by token, what its prompt is mapped to; it notes the rows it still carries."""

    def __init__(self, says: dict[tuple[int, ...], list[int]], size: int) -> None:
        self.says, self.size = says, size
        self.rows: list[list[int]] = []
        self.widths: list[int] = []
        self.started = 0

    def _logits(self) -> Any:
        logits = torch.zeros(len(self.rows), self.size)
        for place, rest in enumerate(self.rows):
            logits[place, rest[0]] = 5.0
        return logits

    def start(self, prompts: Sequence[Sequence[int]]) -> Any:
        self.started = len(prompts)
        self.rows = [list(self.says[tuple(prompt)]) for prompt in prompts]
        return self._logits()

    def keep(self, rows: Sequence[int]) -> None:
        self.rows = [list(self.rows[row]) for row in rows]

    def feed(self, tokens: Any, real: Any = None) -> Any:
        self.widths.append(len(self.rows))
        for rest, (token,) in zip(self.rows, tokens.tolist(), strict=True):
            assert rest.pop(0) == token
        return self._logits()[:, None]


@pytest.fixture(scope="module")
def codec(make_tokenizer: Any) -> TokenCodec:
    return TokenCodec(make_tokenizer())


def complete(
    codec: TokenCodec, said: dict[tuple[int, ...], str | list[int]], **sampling: Any
) -> tuple[list[Completion], Parrot]:
    says = {p: [*(codec.content(t) if isinstance(t, str) else t), 1, 1, 1] for p, t in said.items()}
    parrot = Parrot(says, len(codec.tokenizer))
    rows = [Row(prompt, Sampling(**sampling), 0, 0) for prompt in said]
    found: dict[int, Completion] = {}
    decode(parrot, rows, codec, {1}, found.__setitem__)
    return [found[number] for number in range(len(rows))], parrot


def test_the_end_token_ends_and_has_no_text(codec: TokenCodec) -> None:
    (one,), _ = complete(codec, {(50,): " The answer is 5."})
    assert (one.text, one.finish, one.tokens) == (
        " The answer is 5.",
        "eos",
        len(codec.content(" The answer is 5.")) + 1,
    )


def test_finished_rows_leave_the_batch(codec: TokenCodec) -> None:
    said: dict[tuple[int, ...], str | list[int]] = {(50,): "a", (51,): "abcdef", (52,): "abc"}
    _, parrot = complete(codec, said, stop=())
    assert parrot.widths[0] == 3 and parrot.widths[-1] == 1
    assert parrot.widths == sorted(parrot.widths, reverse=True)


@pytest.mark.parametrize("stop", ["\n\n", "\n\nReview", ".\n", "苹果", "l", "</s>"])
def test_stop_texts_are_found_across_tokens_and_trimmed(codec: TokenCodec, stop: str) -> None:
    said = "dull from end to end.\n\nReview: 什么是苹果? </s>"
    letters = [number for sign in said for number in codec.content(sign)]  # every sign a token or more of its own
    for told in (said, letters):
        (one,), _ = complete(codec, {(50,): told}, stop=(stop, "never"))
        assert (one.text, one.finish) == (said[: said.index(stop)], "stop")
        assert one.tokens <= len(letters)


def test_the_earliest_of_several_stop_texts_counts(codec: TokenCodec) -> None:
    # One token may complete both.
    (one,), _ = complete(codec, {(50,): "abc film"}, stop=("film", "c f"))
    assert (one.text, one.finish) == ("ab", "stop")


def test_a_stop_text_far_into_a_long_completion_is_found(codec: TokenCodec) -> None:
    (one,), _ = complete(codec, {(50,): "war " * 60 + "END" + " war" * 9}, stop=("END",), max_new_tokens=900)
    assert (one.text, one.finish) == ("war " * 60, "stop")


def test_the_limit_cuts_unless_the_last_token_ends_it(codec: TokenCodec) -> None:
    size = len(codec.content(" The answer"))
    (one,), _ = complete(codec, {(50,): " The answer is 5."}, max_new_tokens=size)
    assert (one.text, one.finish, one.tokens) == (" The answer", "length", size)
    (one,), _ = complete(codec, {(50,): " The answer"}, max_new_tokens=size, stop=("answer",))
    assert (one.text, one.finish) == (" The ", "stop")
    (one,), _ = complete(codec, {(50,): " The answer"}, max_new_tokens=size + 1)
    assert one.finish == "eos"


def test_a_prompt_of_several_rows_is_read_once(codec: TokenCodec) -> None:
    parrot = Parrot({(50,): [60, 1]}, len(codec.tokenizer))
    found: dict[int, Completion] = {}
    rows = [Row((50,), Sampling(temperature=0.01), 0, index) for index in range(4)]
    decode(parrot, rows, codec, {1}, found.__setitem__)
    assert parrot.started == 1
    assert [found[number].index for number in range(4)] == [0, 1, 2, 3]


def test_log_probabilities_add_up(codec: TokenCodec) -> None:
    (one,), parrot = complete(codec, {(50,): "abc"})
    each = float(torch.tensor([5.0, *[0.0] * (parrot.size - 1)]).log_softmax(-1)[0])
    assert one.logprob == pytest.approx(each * one.tokens, abs=1e-4)


def test_logits_that_are_no_numbers_are_an_error(codec: TokenCodec) -> None:
    class Broken(Parrot):
        def _logits(self) -> Any:
            return super()._logits() * float("nan")

    with pytest.raises(BackendError, match="logits must be finite, got nan or inf; its weights are damaged"):
        decode(Broken({(50,): [1]}, 70), [Row((50,), Sampling(), 0, 0)], codec, {1}, lambda *_: None)
    with pytest.raises(BackendError, match="log-likelihoods must be finite"):
        score(Broken({(50,): [1]}, 70), [(50,)], [[3]])
