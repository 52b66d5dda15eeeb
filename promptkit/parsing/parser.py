"""Readers: how the answer is found in a completion, as data of a task.

A parser turns generated text into the *canonical* answer, the form in which answers are compared and voted, or into
``None``: a text that cannot be read abstains. An answer is never an empty string and never a bool.

Rules, the same for every text:

- **A blank text is no answer.** Text of nothing but white space abstains, whatever the kind. An abstention never votes;
  it counts in the agreement of a vote.
- **Reasoning is not read.** Blocks such as ``<think>...</think>`` are set aside first, for every kind, and belong to
  ``Reader.reasoning``; if one is not closed, the text was cut off and abstains (see ``promptkit.parsing.markup``).
- **The last marker counts.** With a marker ("The answer is") the text behind its last occurrence is read, so an
  answer that a model echoes from the question or from its demonstrations does not count, if it then gives its own. If
  nothing can be read behind the last marker, the text abstains; an earlier marker is not tried.
  Markup inside and around a marker (``**Answer:**``, ``### Answer``) does not hide it.
- Behind a marker the first non-empty line is read: of numbers the first one in it, of choices and labels the one it
  starts with, else the only one in it.
- Without a marker the last number of the whole text counts, or the only choice or label named in it; a choice or label
  that is alone on the first line goes before. Of several different labels none is taken.
- What is taken for a number or a label, and what never is, says ``promptkit.parsing.numbers`` and
  ``promptkit.parsing.labels``; a part of a longer number or label is never read.
- Texts of the kinds ``text``, ``line`` and ``marked`` lose quotes and Markdown that enclose the whole answer (see
  ``promptkit.parsing.markup``); what stands inside stays. ``regex`` and ``json`` give texts as they find them.
- **A cut completion** (``finish="length"``) abstains unless something stands behind its answer: "The answer is 12" cut
  by the token limit may have been 125. Only ``text`` without a marker is taken as far as it got.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from promptkit.errors import TaskError, error_message
from promptkit.parsing.extractors import Found, compile_linear, find_field
from promptkit.parsing.labels import LabelFinder, fold_label
from promptkit.parsing.markup import (
    first_line,
    opening_mark,
    split_reasoning,
    strip_closing,
    strip_mark,
    unwrap,
)
from promptkit.parsing.numbers import closes_number, find_number, normalize_number

__all__ = ["AnswerParser", "ParserSpec"]

_COLON, _ANY_COLON = re.compile("[:：]"), r"[*_`]{0,3}\\s?[:：]"
_HEADING = re.compile(r"#{1,6}\s+")
_LETTERS = ("A", "B", "C", "D", "E")


class ParserSpec(BaseModel):
    """How answers are read, as a task's YAML file states it.

    Attributes:
        kind: ``text`` the whole text; ``line`` its first non-empty line; ``marked`` what follows a marker;
            ``number``, ``choice``, ``label`` an answer of that type, behind the marker if there is one; ``regex`` the
            first match of a pattern (start it with ``(?s).*`` for the last one); ``json`` a field of the last object.
        marker: Text that announces the answer, or several such texts. Case and the amount of white space are ignored.
        then: The type of what ``marked``, ``regex`` and ``json`` find.
        labels: The allowed labels, or the choice letters (``A`` to ``E`` if empty).
        pattern: A regular expression in RE2 syntax; its first group is the answer, or the whole match.
        field: The name of the JSON field.
        end: A text that closes the answer in the task's template; one is dropped from the end of a marked text.
        decimal: The decimal sign of numbers, ``"."`` or ``","``, in completions, targets and canonical answers. With
            ``","`` the metric is ``numeric_match_comma``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["text", "line", "marked", "number", "choice", "label", "regex", "json"]
    marker: str | tuple[str, ...] = ()
    then: Literal["text", "number", "choice", "label"] = "text"
    labels: tuple[str, ...] = ()
    pattern: str | None = None
    field: str | None = None
    end: str = "."
    decimal: Literal[".", ","] = "."

    @property
    def markers(self) -> tuple[str, ...]:
        """The markers as a tuple."""
        return (self.marker,) if isinstance(self.marker, str) else self.marker

    @property
    def answer_type(self) -> Literal["text", "number", "choice", "label"]:
        """The type of the answer, wherever it is found."""
        if self.kind in ("number", "choice", "label"):
            return self.kind
        return "text" if self.kind in ("text", "line") else self.then


class AnswerParser:
    """Reads answers by a ``ParserSpec``.

    Args:
        spec: What to read, or a mapping with its fields.

    Raises:
        TaskError: The spec contradicts itself or its pattern is invalid.

    Example:
        >>> parser = AnswerParser(ParserSpec(kind="marked", marker="The answer is", then="number"))
        >>> parser.read("The answer is 7? No: 2 + 3 = 5. The answer is $5.00.")
        '5'
        >>> parser.read("I hint not know.") is None
        True
    """

    def __init__(self, spec: ParserSpec | Mapping[str, object]) -> None:
        """Checks the spec and compiles its patterns."""
        if not isinstance(spec, ParserSpec):
            spec = _as_spec(spec)
        self.spec = spec
        _check(spec)
        self._labels: LabelFinder | None = None
        if spec.answer_type in ("choice", "label"):
            letters = spec.answer_type == "choice"
            self._labels = LabelFinder(spec.labels or _LETTERS, letters=letters, decimal=spec.decimal)
        self._regex = compile_linear(spec.pattern) if spec.pattern is not None else None
        self._marker: re.Pattern[str] | None = None
        if spec.markers:
            self._marker = re.compile("|".join(map(_marker_pattern, spec.markers)), re.IGNORECASE)

    def read(self, text: str, *, finish: str = "stop") -> str | None:
        """Returns the canonical answer of a completion.

        Args:
            text: The generated text.
            finish: Why generation ended (see ``Completion.finish``).

        Returns:
            The answer, never empty, or ``None`` if the completion failed, was cut off before its answer was complete,
            or cannot be read.
        """
        if finish == "error":
            return None
        _, outside = split_reasoning(text)
        if outside is None:
            return None
        before, behind = self._last_marker(outside)
        if before is None or behind is None:
            return None
        found = self._find(outside[behind:] if behind else outside, opening_mark(outside, before))
        if found is None or (finish == "length" and not found.closed):
            return None
        return self.canonical(found.value)

    def canonical(self, text: str) -> str | None:
        """Returns the form in which an answer is compared and voted.

        Args:
            text: An answer or a target, and nothing else.

        Returns:
            Numbers in their one spelling (see ``normalize_number``), labels and choices in the label's own spelling,
            text in NFC without the white space around it and, of ``text``, ``line`` and ``marked``, without quotes
            and Markdown around it; ``None`` if the text is no such answer.
        """
        if self._labels is not None:
            return self._labels.canonical(text)
        if self.spec.answer_type == "number":
            return normalize_number(text, self.spec.decimal)
        text = unicodedata.normalize("NFC", text).strip()
        return (unwrap(text) if self.spec.kind in ("text", "line", "marked") else text) or None

    def reasoning(self, text: str) -> str:
        """Returns the text before the answer.

        Args:
            text: The generated text.

        Returns:
            Blocks such as ``<think>...</think>``, and what stands outside of them before the last marker, the matched
            pattern or the JSON object; where there is none of all these, the whole text. White space around it is
            dropped.
        """
        thought, outside = split_reasoning(text)
        if outside is None:
            return thought
        end: int | None = None
        if self._marker is not None:
            end = self._last_marker(outside)[0]
        elif self.spec.kind in ("regex", "json"):
            found = self._find(outside, "")
            end = found.start if found else None
        if outside != text:
            return "\n".join(part for part in (thought, outside[: end or 0].strip()) if part)
        return (outside if end is None else outside[:end]).strip()

    def _last_marker(self, text: str) -> tuple[int | None, int | None]:
        """Returns start and end of the last marker; both are 0 if none is needed, and ``None`` if it is missing."""
        if self._marker is None:
            return 0, 0
        last = deque(self._marker.finditer(text), maxlen=1)
        return last[0].span() if last else (None, None)

    def _find(self, text: str, opening: str) -> Found | None:
        """Finds the raw answer in the text to read.

        Args:
            text: What stands behind the marker, or the whole text.
            opening: Marks of Markdown that were opened right before the marker.
        """
        kind, marked = self.spec.kind, self._marker is not None
        if kind == "regex":
            return self._match(text)
        if kind == "json":
            return find_field(text, self.spec.field or "")
        if kind == "text" and not marked:
            return Found(text, 0, True)
        if kind == "line" or marked:
            line = first_line(strip_mark(text, opening))
            return None if line is None else self._in_line(line.text, line.closed, opening, line.fresh)
        if self._labels is not None:
            return self._labels.last(text)
        return self._number(text, "last")

    def _in_line(self, line: str, closed: bool, opening: str, fresh: bool) -> Found | None:
        """Finds the answer in the line that follows a marker, or takes the line itself."""
        if self._labels is not None:
            found = self._labels.first(strip_closing(line.rstrip(), opening))
        elif self.spec.answer_type == "number":
            found = self._number(line, "first")
        elif self._marker is None:
            found = Found(line.strip(), 0, False)
        else:
            found = _marked_text(line, self.spec.end, opening, fresh)
        return None if found is None else found._replace(closed=found.closed or closed)

    def _number(self, text: str, which: Literal["first", "last"]) -> Found | None:
        """Finds a number."""
        found = find_number(text, which, self.spec.decimal)
        return None if found is None else Found(found.value, 0, closes_number(found.rest))

    def _match(self, text: str) -> Found | None:
        """Finds the pattern's first match."""
        if not text.isascii():  # RE2 reads UTF-8, in which half of a surrogate pair cannot be written
            text = text.encode("utf-8", "replace").decode("utf-8")
        assert self._regex is not None
        match = self._regex.search(text)
        if match is None:
            return None
        group = 1 if self._regex.groups and match.group(1) is not None else 0
        closed = match.end(group) < len(text)
        return Found(match.group(group), match.start(), closed)


def _marker_pattern(marker: str) -> str:
    """Returns a pattern for a marker: white space and the form of a colon do not count, nor does markup inside."""
    words = (_COLON.sub(_ANY_COLON, re.escape(word)) for word in marker.split())
    return r"(?:\s|[*_`])+".join(words)


def _marked_text(line: str, end: str, opening: str, fresh: bool) -> Found:
    """Takes the text of a line behind a marker, without what closes it in the template and in Markdown."""
    text = line.strip().lstrip(":：").strip()
    if fresh:
        text = _HEADING.sub("", text)
    ended = bool(end) and text.endswith(end)
    text = text.removesuffix(end) if ended else text
    inner = unwrap(strip_closing(text, opening))
    if end and not ended:
        ended = inner.endswith(end)
        inner = unwrap(inner.removesuffix(end)) if ended else inner
    return Found(inner, 0, ended)


def _as_spec(fields: object) -> ParserSpec:
    """Makes a spec from plain values."""
    try:
        return ParserSpec.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        which = str(fault["loc"][0]) if fault["loc"] else "spec"
        expected, got = fault["msg"].removeprefix("Input should be "), fault["input"]
        if fault["type"] == "missing":
            expected, got = "given", None
        elif fault["type"] == "extra_forbidden":
            expected = f"left out; the fields are {', '.join(ParserSpec.model_fields)}"
        raise TaskError(error_message(which, of="ParserSpec", expected=expected, got=got)) from None


def _check(spec: ParserSpec) -> None:
    """Refuses specs that lack what their kind needs, or state what it does not use."""
    kind = f"kind {spec.kind!r}"
    needs: list[tuple[str, bool, bool, str]] = [
        ("marker", bool(spec.markers), spec.kind == "marked", "the text that announces the answer"),
        ("pattern", spec.pattern is not None, spec.kind == "regex", "a regular expression"),
        ("field", spec.field is not None, spec.kind == "json", "the name of a JSON field"),
        ("labels", bool(spec.labels), spec.answer_type == "label", "the list of allowed labels"),
    ]
    for name, given, needed, expected in needs:
        if needed and not given:
            raise TaskError(error_message(name, of="ParserSpec", expected=f"{expected}, for {kind}", got=None))
    for name, given, needed in (needs[1][:3], needs[2][:3]):
        if given and not needed:
            expected = f"left out for {kind}"
            raise TaskError(error_message(name, of="ParserSpec", expected=expected, got=getattr(spec, name)))
    for name, texts in (("marker", spec.markers), ("labels", spec.labels)):
        if any(not text.strip() for text in texts):
            raise TaskError(error_message(name, of="ParserSpec", expected="texts that are not empty", got=texts))
    folded = [fold_label(label) for label in spec.labels]
    if len(set(folded)) < len(folded):
        expected = "different from each other when case is ignored"
        raise TaskError(error_message("labels", of="ParserSpec", expected=expected, got=spec.labels))
