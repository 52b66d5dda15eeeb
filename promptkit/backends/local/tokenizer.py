"""Text to tokens and back, such that text of users never becomes a control token.

A tokenizer's *added tokens* (``</s>``, ``<|im_start|>``, ``<think>`` ...) steer a model. Only the tokenizer's own
frame may produce them: its begin-of-text token and its chat template. Contents are therefore encoded with a copy of
the tokenizer to which these tokens are ordinary characters, whether they are marked special or not. Added tokens
that consist of white space are text, and stay.

Attaching a begin-of-text token and decoding are left to the tokenizer itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from promptkit.backends.local.chat_template import render_chat
from promptkit.errors import BackendError, UnsupportedError
from promptkit.types import Prompt

__all__ = ["TokenCodec", "plain_copy"]

_TAIL = 4  # tokens of the prompt that are decoded with a completion, so that its leading space survives
_UNLIKELY = -1e6  # score of a Unigram piece that no text should be cut into


def _is_text(content: str, special: bool) -> bool:
    return not special and not content.strip()


def plain_copy(tokenizer_json: str) -> Any:
    """Builds a tokenizer that reads every added token as ordinary characters.

    Args:
        tokenizer_json: A ``tokenizer.json`` as text.

    Returns:
        A ``tokenizers.Tokenizer`` with the same ids for all other text.
    """
    from tokenizers import Tokenizer

    content = json.loads(tokenizer_json)
    added = [token for token in content.get("added_tokens", []) if not _is_text(token["content"], token["special"])]
    for token in added:
        # encode_special_tokens below passes over special tokens only; removing them would renumber the others.
        token["special"] = True
    model = content["model"]
    if model.get("type") == "Unigram":
        # A Unigram vocabulary lists control pieces with the best score of all, so their text would be cut into them.
        names = {token["content"] for token in added}
        model["vocab"] = [[piece, _UNLIKELY if piece in names else score] for piece, score in model["vocab"]]
    plain = Tokenizer.from_str(json.dumps(content))
    plain.encode_special_tokens = True
    plain.no_truncation()
    plain.no_padding()
    return plain


class TokenCodec:
    """Encodes prompts and continuations and decodes completions for one tokenizer.

    Args:
        tokenizer: A transformers tokenizer.
        keep_tail: Whether to end a prompt with what the tokenizer puts there, as encoders of T5 expect; a causal
            model must go on from the text itself.

    Raises:
        BackendError: The tokenizer is not a fast one, so control tokens cannot be kept out of its text.
    """

    def __init__(self, tokenizer: Any, *, keep_tail: bool = False) -> None:
        rust = getattr(tokenizer, "backend_tokenizer", None)
        if rust is None:
            raise BackendError(
                f"tokenizer {type(tokenizer).__name__!r} must be a fast one with a tokenizer.json, got a slow one; "
                "convert it with the tokenizers library and save tokenizer.json beside the weights"
            )
        self.tokenizer = tokenizer
        self._plain = plain_copy(rust.to_str())
        added = tokenizer.added_tokens_decoder
        unknown = tokenizer.unk_token_id
        # Characters outside the vocabulary honestly become the unknown token, so it is no sign of a planted token.
        self.control = frozenset(
            number
            for number, token in added.items()
            if number != unknown and not _is_text(token.content, token.special)
        )
        bare = self._raw("a", special=False)
        framed = self._raw("a", special=True)
        at = next((i for i in range(len(framed)) if framed[i : i + len(bare)] == bare), 0)
        self._head = framed[:at]
        self._tail = framed[at + len(bare) :] if keep_tail else []
        self._apart = keep_tail  # an encoder-decoder starts its answer anew

    def _raw(self, text: str, *, special: bool) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=special, truncation=False, verbose=False)
        return [int(number) for number in encoded["input_ids"]]

    def framed(self, text: str) -> list[int]:
        """Encodes text of the tokenizer's own frame, in which control tokens are meant."""
        return self._raw(text, special=False)

    def content(self, text: str) -> list[int]:
        """Encodes text that comes from outside: it yields no control token, whatever it says.

        Args:
            text: Any valid Unicode text.

        Returns:
            Token ids, without begin-of-text or end tokens.

        Raises:
            UnsupportedError: The tokenizer's vocabulary itself turns this text into a control token.
        """
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        planted = self.control.intersection(ids)
        if planted:
            names = sorted(self.tokenizer.convert_ids_to_tokens(number) for number in planted)
            raise UnsupportedError(
                f"prompt: text must not become a control token, got {names} from this tokenizer's vocabulary; "
                "remove these words from the text or use a model with another tokenizer"
            )
        return ids

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Encodes a prompt as the model reads it.

        Args:
            prompt: A completion prompt, or a chat prompt, which goes through the tokenizer's chat template.

        Returns:
            Token ids, with the begin-of-text token if the tokenizer uses one.

        Raises:
            UnsupportedError: The tokenizer has no chat template, or one that cannot take these messages.
        """
        if prompt.text is not None:
            return [*self._head, *self.content(prompt.text), *self._tail]
        return [*render_chat(prompt.messages, self), *self._tail]

    def continuation_ids(self, prompt: Prompt, text: str) -> list[int]:
        """Encodes a text that follows a prompt, leaving the prompt's own tokens as they are.

        Args:
            prompt: The prompt.
            text: What follows it.

        Returns:
            The tokens of ``text`` alone; at least one for a text that is not empty.
        """
        if prompt.text is not None and not self._apart:
            before = self.content(prompt.text)
            whole = self.content(prompt.text + text)
            if len(whole) > len(before) and whole[: len(before)] == before:
                return whole[len(before) :]
        # The cut would fall into a token: encode the text by itself, as generation would have to write it.
        return self.content(text)

    def text(self, prompt_ids: Sequence[int], new_ids: Sequence[int]) -> str:
        """Decodes generated tokens.

        Args:
            prompt_ids: Tokens before them, or none.
            new_ids: Generated tokens; special ones among them have no text.

        Returns:
            The text that follows the prompt's text, leading space included.
        """
        tail = list(prompt_ids[-_TAIL:])
        before = self._decode(tail) if tail else ""
        whole = self._decode([*tail, *new_ids])
        return whole[len(before) :] if whole.startswith(before) else self._decode(new_ids)

    def _decode(self, ids: Sequence[int]) -> str:
        shown: str = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return shown
