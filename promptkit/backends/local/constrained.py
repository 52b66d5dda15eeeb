"""Completions that are one JSON value of a schema, whatever the model would rather say, and that always end.

llguidance tells after every token which tokens may follow. That alone keeps a completion valid as far as it goes, but
not from going on until the tokens run out in the middle of a text. So a guide also holds a *witness*: tokens that would
close the value from its current state. A token of the model is taken only if the value can still be closed within the
tokens that are left after it; otherwise the next token of the witness is taken. So every completion is a whole value
if the first witness fits, and if it does not, the request is refused before the model is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from promptkit.errors import MissingExtraError, SettingError, UnsupportedError, error_message

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

__all__ = ["Grammars", "Guide"]

# Short enough to be written by habit, and the only white space, so that no model can go on with spaces for ever.
_LAYOUT: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": True,
}
# Pieces that lead to the end of a value, the shortest way first; pieces not listed come between the two lists.
_CLOSING = ("}", "]", '"', ",", "null", "n", *"0123456789", "true", "false", "t", "f", "-")
_OPENING = ("\\", "[", "{")
_KEPT = 64  # schemas whose compiled grammars are kept


class Grammars:
    """Makes guides for one tokenizer, each schema compiled once.

    Args:
        tokenizer: A fast transformers tokenizer.
        vocabulary: Width of the model's logits.
        eos: Tokens that end a completion.

    Raises:
        MissingExtraError: llguidance is not installed.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, eos: Collection[int]) -> None:
        try:
            from llguidance import LLTokenizer
        except ImportError:
            raise MissingExtraError(
                "typed answers of a local model need llguidance; run: pip install llguidance"
            ) from None
        text = tokenizer.backend_tokenizer.to_str()
        self._tokenizer = LLTokenizer(text, n_vocab=vocabulary, eos_token=sorted(eos) or None)
        self._ways = _ways(self._tokenizer)
        self._compiled: dict[str, LLMatcher] = {}
        self._lock = threading.Lock()

    def guide(self, schema: str, tokens: int) -> Guide:
        """Returns the guide of one completion.

        Args:
            schema: JSON Schema as text. What a grammar cannot say of it is not enforced.
            tokens: Most tokens that the completion may have.

        Returns:
            The guide.

        Raises:
            UnsupportedError: The schema cannot be turned into a grammar.
            SettingError: Even a short value of the schema takes more tokens.
        """
        with self._lock:
            found = self._compiled.get(schema)
            if found is None:
                found = self._compile(schema)
                if len(self._compiled) >= _KEPT:
                    del self._compiled[next(iter(self._compiled))]
                self._compiled[schema] = found
            matcher = found.deep_copy()
        guide = Guide(matcher, self._ways, tokens)
        _refuse_fault(matcher)
        return guide

    def _compile(self, schema: str) -> LLMatcher:
        from llguidance import LLMatcher

        try:
            grammar = LLMatcher.grammar_from_json_schema(schema, overrides=_LAYOUT)
        except ValueError as error:
            raise UnsupportedError(_refusal(str(error))) from None
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        _refuse_fault(matcher)
        return matcher


class Guide:
    """Leads one completion: says which tokens may come next, and takes the one that came.

    Args:
        matcher: The grammar at its start; the guide's own.
        ways: Which tokens close a value soonest.
        tokens: Most tokens that the completion may have.

    Attributes:
        hurried: Whether the value had to be closed because tokens ran short.

    Raises:
        SettingError: Even a short value takes more tokens.
    """

    def __init__(self, matcher: LLMatcher, ways: _Ways, tokens: int) -> None:
        self._matcher = matcher
        self._ways = ways
        self._left = tokens
        self.hurried = False
        witness = self._close(matcher, tokens)
        if witness is None:
            expected = "enough for the shortest value of the schema"
            hint = "give more tokens, or ask for a type with shorter values"
            raise SettingError(
                error_message("max_new_tokens", of="typed answer", expected=expected, got=tokens, hint=hint)
            )
        self._witness = witness

    @property
    def done(self) -> bool:
        """Whether the value is whole and nothing can follow it."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Returns which tokens may come next, ``[vocabulary]``; an end token is among them where the value is whole."""
        return _allowed(self._matcher)

    def take(self, token: int) -> int:
        """Takes the next token, or another in its place where the value could not be closed after it.

        Args:
            token: The token that was chosen among the allowed ones.

        Returns:
            The token that was taken.

        Raises:
            UnsupportedError: The grammar became too complex.
        """
        self._left -= 1
        rest = self._after(token)
        if rest is None:
            self.hurried = True
            token, rest = self._witness[0], self._witness[1:]
        if not self._matcher.consume_token(token):
            raise UnsupportedError(_refusal(self._matcher.get_error()))
        self._witness = rest
        return token

    def _after(self, token: int) -> list[int] | None:
        """Returns a witness for what would stand after a token, or ``None`` if it leaves too few tokens."""
        if self._witness[:1] == [token]:
            return self._witness[1:]
        trial = self._matcher.deep_copy()
        return self._close(trial, self._left) if trial.consume_token(token) else None

    def _close(self, matcher: LLMatcher, most: int) -> list[int] | None:
        """Searches tokens, at most so many, after which the value is whole."""
        trial, found = matcher.deep_copy(), list[int]()
        while not (trial.is_accepting() or trial.is_stopped()):
            if len(found) >= most:
                return None
            step = trial.compute_ff_tokens() or [self._ways.nearest(_allowed(trial), len(found))]
            trial.consume_tokens(step)
            found += step
        return found if len(found) <= most and not trial.is_error() else None


def _allowed(matcher: LLMatcher) -> npt.NDArray[np.bool_]:
    allowed: npt.NDArray[np.bool_] = np.frombuffer(matcher.compute_logit_bias(), dtype=np.uint8) != 0
    return allowed


@dataclass(frozen=True, slots=True)
class _Ways:
    """Which tokens close a value soonest.

    Attributes:
        rank: By token, lowest first, outside of texts.
        quote: Tokens that end a text.
        letter: Tokens that can only stand inside a text.
    """

    rank: npt.NDArray[np.int64]
    quote: npt.NDArray[np.bool_]
    letter: npt.NDArray[np.bool_]

    def nearest(self, allowed: npt.NDArray[np.bool_], turn: int) -> int:
        """Chooses among the allowed tokens; of tokens of one rank another one each turn, or the end may never come."""
        ids = np.flatnonzero(allowed)
        quotes = np.flatnonzero(allowed & self.quote)
        if len(quotes) and bool((allowed & self.letter).any()):
            return int(quotes[0])
        ranks = self.rank[ids]
        best = ids[ranks == ranks.min()]
        return int(best[turn * 7919 % len(best)])


def _ways(tokenizer: LLTokenizer) -> _Ways:
    listed = {text.encode(): place for place, text in enumerate(_CLOSING)}
    listed |= {text.encode(): len(_CLOSING) + 1 + place for place, text in enumerate(_OPENING)}
    texts = [tokenizer.decode_bytes([number]) for number in range(tokenizer.vocab_size)]
    last = len(_CLOSING) + 1 + len(_OPENING)
    opening = tuple(text.encode() for text in _OPENING)
    rank = [listed.get(text, last if text.startswith(opening) else len(_CLOSING)) for text in texts]
    quote = [text == b'"' for text in texts]
    letter = [text[:1].isalpha() and text[:1] not in b"tfneE" for text in texts]  # of true, false, null and 1e5
    return _Ways(np.array(rank), np.array(quote), np.array(letter))


def _refuse_fault(matcher: LLMatcher) -> None:
    if matcher.is_error():
        raise UnsupportedError(_refusal(matcher.get_error()))


def _refusal(reason: str) -> str:
    line: Sequence[str] = reason.strip().splitlines()
    return f"schema: it must be one that can be turned into a grammar: {line[0] if line else 'unknown reason':.200}"
