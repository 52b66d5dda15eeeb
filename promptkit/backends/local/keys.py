"""Numbers for what a row reads, such that equal numbers mean equal computations.

A prompt with learned weights becomes a longer tuple of integers, which the planning of batches handles like any other:

- a token of text keeps its number;
- the virtual tokens of a soft prompt or a prefix, which stand in front, get numbers beyond every vocabulary;
- under a LoRA every token computes something else, so all its tokens are moved to a range of their own.

Prompts thus share exactly what may be shared: text and soft prompts they have in common, never across two LoRAs.
The numbers of weights are given out call by call, and nothing outside of a call depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

__all__ = ["extended", "lora_number", "prompt_key", "text_of", "virtual_of"]

_SOFT = 1 << 28  # above every vocabulary
_LORA = 1 << 56

PromptKey = tuple[int, ...]


def prompt_key(text: Sequence[int], *, soft: int = 0, virtual: int = 0, lora: int = 0) -> PromptKey:
    """Builds the key of a prompt.

    Args:
        text: Tokens of its text.
        soft: Number of its soft prompt or prefix, from 1; 0 for none.
        virtual: How many virtual tokens that has.
        lora: Number of its LoRA, from 1; 0 for none.

    Returns:
        One number per virtual token and token of text.

    Example:
        >>> prompt_key([5, 7])
        (5, 7)
        >>> text_of(prompt_key([5, 7], soft=1, virtual=3, lora=2))
        (5, 7)
    """
    front = [soft * _SOFT + place for place in range(virtual)]
    return tuple(lora * _LORA + number for number in (*front, *text))


def extended(key: PromptKey, tokens: Sequence[int]) -> PromptKey:
    """Returns the key of a text that goes on with further tokens, under the same weights.

    Example:
        >>> extended(prompt_key([5], lora=2), [7]) == prompt_key([5, 7], lora=2)
        True
    """
    return (*key, *(lora_number(key) * _LORA + token for token in tokens))


def text_of(key: Sequence[int]) -> PromptKey:
    """Returns the tokens of text in a key."""
    if not key or key[0] < _SOFT:
        return tuple(key)
    return tuple(own for number in key if (own := number % _LORA) < _SOFT)


def lora_number(key: Sequence[int]) -> int:
    """Returns the number of the LoRA under which a key is computed; 0 for none."""
    return key[0] // _LORA


def virtual_of(key: Sequence[int]) -> tuple[int, int, int]:
    """Returns which virtual tokens a key, or the rest of one, starts with.

    Returns:
        The number of their weights, the place of the first among the weights' tokens, and how many they are.

    Example:
        >>> virtual_of(prompt_key([5, 7], soft=2, virtual=3)[1:])
        (2, 1, 2)
    """
    front = list(takewhile(lambda own: own >= _SOFT, (number % _LORA for number in key)))
    return (*divmod(front[0], _SOFT), len(front)) if front else (0, 0, 0)
