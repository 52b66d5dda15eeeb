"""Counting tokens of a model whose tokenizer is at the other end of a wire."""

from __future__ import annotations

import re
from typing import Any

from promptkit.backends.checks import prompt_texts
from promptkit.errors import SettingError, error_message
from promptkit.types import Prompt

__all__ = ["Counter", "estimate_tokens"]

_FRAME = 8  # what a chat template spends on the frame of one message, by the most talkative of the common ones
_PIECE = re.compile(r"(?P<word>[A-Za-z]+)|(?P<other>[^\x00-\x7f]+)|(?P<space>[ \t-\r]+)|(?P<sign>.)", re.DOTALL)


def estimate_tokens(text: str) -> int:
    """Estimates the tokens of a text, rather too many than too few.

    A run of Latin letters counts one token for every four letters begun, every digit and sign one, a single space
    nothing, other white space one for every line, and other scripts two tokens for every three bytes of UTF-8.

    Args:
        text: The text.

    Returns:
        The estimate.

    Example:
        >>> estimate_tokens("Jane has 12 apples."), estimate_tokens("苹果")
        (7, 4)
    """
    count = 0
    for match in _PIECE.finditer(text):
        piece = match.group()
        if match.lastgroup == "word":
            count += (len(piece) + 3) // 4
        elif match.lastgroup == "other":
            count += (2 * len(piece.encode("utf-8", "surrogatepass")) + 2) // 3
        elif match.lastgroup == "sign":
            count += 1
        elif piece != " ":
            count += max(1, piece.count("\n"))
    return count


class Counter:
    """Counts tokens.

    Args:
        tokenizer: A function from text to a number; a tokenizer of tokenizers or transformers; ``None`` to estimate.

    Raises:
        SettingError: It is none of these.
    """

    def __init__(self, tokenizer: Any = None) -> None:
        encode = getattr(tokenizer, "encode", None)
        counts = callable(encode) or callable(tokenizer)
        if isinstance(tokenizer, str) or (tokenizer is not None and not counts):  # a text has a method encode too
            expected = "a function from text to a number of tokens, or a tokenizer"
            raise SettingError(error_message("tokenizer", of="RemoteBackend", expected=expected, got=tokenizer))
        self._tokenizer = tokenizer
        self._encode = encode

    @property
    def exact(self) -> bool:
        """Whether it counts with a tokenizer."""
        return self._tokenizer is not None

    def text(self, text: str) -> int:
        """Counts the tokens of a text."""
        if self._tokenizer is None:
            return estimate_tokens(text)
        return len(self._encode(text)) if self._encode is not None else int(self._tokenizer(text))

    def prompt(self, prompt: Prompt) -> int:
        """Counts the tokens of a prompt; of a chat with what its template puts around each message and the answer."""
        frame = _FRAME * (len(prompt.messages) + 1) if prompt.messages else 1
        return frame + sum(self.text(text) for text in prompt_texts(prompt))
