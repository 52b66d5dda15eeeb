from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptkit.backends.openai.token_counts import Counter, estimate_tokens
from promptkit.errors import SettingError
from promptkit.types import Message, Prompt


@example("", "\x85")  # white space that is not ASCII
@given(st.text(), st.text())
def test_estimates_grow_with_the_text_and_are_never_above_its_bytes(first: str, second: str) -> None:
    both = estimate_tokens(f"{first} {second}")
    assert both >= max(estimate_tokens(first), estimate_tokens(second))
    # A token of a byte-level tokenizer is at least one byte.
    assert estimate_tokens(first) <= len(first.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    "text",
    [
        "Question: Jane has 2 apples. She bought 3 more. How many apples does Jane have now?\nAnswer: 5\n\n",
        "def add(a: int, b: int) -> int:\n    return a + b\n",
        "什么是苹果? 苹果是一种水果。",
        "Ordnung muß sein, sagte die Ärztin.",
    ],
)
def test_estimates_are_not_far_off(text: str) -> None:
    assert len(text) / 6 < estimate_tokens(text) < 2 * len(text)


def test_a_function_or_a_tokenizer_counts() -> None:
    class Tokenizer:
        def encode(self, text: str) -> list[int]:
            return [0] * len(text)

    assert Counter(lambda text: 3).text("anything") == 3
    assert Counter(Tokenizer()).text("four") == 4
    assert (Counter().exact, Counter(len).exact) == (False, True)


def test_a_chat_costs_its_frame() -> None:
    chat = Prompt(messages=(Message("user", "abcd"), Message("assistant", "ab")))
    assert Counter(len).prompt(chat) == 6 + 3 * 8
    assert Counter(len).prompt(Prompt(text="abcd")) == 5


def test_what_cannot_count_is_refused() -> None:
    with pytest.raises(SettingError, match="tokenizer must be a function"):
        Counter("gpt2")
