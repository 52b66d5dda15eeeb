"""Readers: how the answer is found in a completion, as data of a domain.

A reader turns generated text into the *canonical* answer, the form in which answers are compared and voted, or into
``None``: a text that cannot be read abstains. An answer is never an empty string and never a bool.

Rules, the same for every text:

- **The last marker counts.** With a marker ("The answer is") the text behind its last occurrence is read, so an
  answer that a model echoes from the question or from its demonstrations does not count, if it then gives its own. If
  nothing can be read behind the last marker, the text abstains; an earlier marker is not tried.
- Behind a marker the first non-empty line is read: of numbers, choices and labels the first one in it.
- Without a marker the last number, choice or label of the whole text counts; a choice or label that is alone on the
  first line goes before.
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

from promptkit.errors import TaskError, explain
from promptkit.readout.finders import Found, LabelFinder, compile_linear, find_field, fold_label
from promptkit.readout.numbers import find_number, normalize_number

__all__ = ["Reader", "ReaderSpec"]

_LETTERS = ("A", "B", "C", "D", "E")


class ReaderSpec(BaseModel):
    """How answers are read, as a domain's YAML file states it.

    Attributes:
        kind: ``text`` the whole text; ``line`` its first non-empty line; ``marked`` what follows a marker;
            ``number``, ``choice``, ``label`` an answer of that type, behind the marker if there is one; ``regex`` the
            first match of a pattern (start it with ``(?s).*`` for the last one); ``json`` a field of the last object.
        marker: Text that announces the answer, or several such texts. Case and the amount of white space are ignored.
        then: The type of what ``marked``, ``regex`` and ``json`` find.
        labels: The allowed labels, or the choice letters (``A`` to ``E`` if empty).
        pattern: A regular expression in RE2 syntax; its first group is the answer, or the whole match.
        field: The name of the JSON field.
        end: A text that closes the answer in the domain's template; one is dropped from the end of a marked text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["text", "line", "marked", "number", "choice", "label", "regex", "json"]
    marker: str | tuple[str, ...] = ()
    then: Literal["text", "number", "choice", "label"] = "text"
    labels: tuple[str, ...] = ()
    pattern: str | None = None
    field: str | None = None
    end: str = "."

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


class Reader:
    """Reads answers by a ``ReaderSpec``.

    Args:
        spec: What to read, or a mapping with its fields.

    Raises:
        TaskError: The spec contradicts itself or its pattern is invalid.

    Example:
        >>> reader = Reader(ReaderSpec(kind="marked", marker="The answer is", then="number"))
        >>> reader.read("The answer is 7? No: 2 + 3 = 5. The answer is $5.00.")
        '5'
        >>> reader.read("I do not know.") is None
        True
    """

    def __init__(self, spec: ReaderSpec | Mapping[str, object]) -> None:
        """Checks the spec and compiles its patterns."""
        if not isinstance(spec, ReaderSpec):
            spec = _as_spec(spec)
        self.spec = spec
        _check(spec)
        self._labels: LabelFinder | None = None
        if spec.answer_type in ("choice", "label"):
            letters = spec.answer_type == "choice"
            self._labels = LabelFinder(spec.labels or _LETTERS, letters=letters)
        self._regex = compile_linear(spec.pattern) if spec.pattern is not None else None
        self._marker: re.Pattern[str] | None = None
        if spec.markers:
            words = (r"\s+".join(map(re.escape, marker.split())) for marker in spec.markers)
            self._marker = re.compile("|".join(words), re.IGNORECASE)

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
        span = self._behind_marker(text)
        if span is None:
            return None
        found = self._find(text[span:] if span else text)
        if found is None or (finish == "length" and not found.closed):
            return None
        return self.canonical(found.value)

    def canonical(self, text: str) -> str | None:
        """Returns the form in which an answer is compared and voted.

        Args:
            text: An answer or a target, and nothing else.

        Returns:
            Numbers in their one spelling (see ``normalize_number``), labels and choices in the label's own spelling,
            text in NFC without the white space around it; ``None`` if the text is no such answer.
        """
        if self._labels is not None:
            return self._labels.canonical(text)
        if self.spec.answer_type == "number":
            return normalize_number(text)
        return unicodedata.normalize("NFC", text).strip() or None

    def reasoning(self, text: str) -> str:
        """Returns the text before the answer.

        Args:
            text: The generated text.

        Returns:
            What stands before the last marker, the matched pattern or the JSON object; the whole text if there is
            none of these. White space around it is dropped.
        """
        end: int | None = None
        if self._marker is not None:
            end = self._last_marker(text)[0]
        elif self.spec.kind in ("regex", "json"):
            found = self._find(text)
            end = found.start if found else None
        return (text if end is None else text[:end]).strip()

    def _last_marker(self, text: str) -> tuple[int | None, int | None]:
        """Returns start and end of the last marker."""
        last = deque(self._marker.finditer(text) if self._marker else (), maxlen=1)
        return last[0].span() if last else (None, None)

    def _behind_marker(self, text: str) -> int | None:
        """Returns where the text to read starts, or ``None`` if the marker is missing."""
        return 0 if self._marker is None else self._last_marker(text)[1]

    def _find(self, text: str) -> Found | None:
        """Finds the raw answer in the text to read."""
        kind, marked = self.spec.kind, self._marker is not None
        if kind == "regex":
            return self._match(text)
        if kind == "json":
            return find_field(text, self.spec.field or "")
        if kind == "text" and not marked:
            return Found(text, 0, True)
        if kind == "line" or marked:
            line = _first_line(text)
            return None if line is None else self._in_line(*line)
        if self._labels is not None:
            return self._labels.last(text)
        return _number(text, "last")

    def _in_line(self, line: str, closed: bool) -> Found | None:
        """Finds the answer in the line that follows a marker, or takes the line itself."""
        if self._labels is not None:
            found = self._labels.first(line)
        elif self.spec.answer_type == "number":
            found = _number(line, "first")
        else:
            end = self.spec.end
            text = line.strip() if self._marker is None else line.strip().lstrip(":：").lstrip()
            ended = self._marker is not None and bool(end) and text.endswith(end)
            found = Found(text.removesuffix(end) if ended else text, 0, ended)
        return None if found is None else found._replace(closed=found.closed or closed)

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


def _first_line(text: str) -> tuple[str, bool] | None:
    """Returns the first line with any text, and whether a line break follows it."""
    body = text.lstrip()
    if not body:
        return None
    line = re.match(r"[^\r\n\u2028\u2029\x85]*", body)
    assert line is not None
    return line[0], line.end() < len(body)


def _number(text: str, which: Literal["first", "last"]) -> Found | None:
    """Finds a number; a point or comma at the very end may still belong to it, so it closes nothing but a sentence."""
    found = find_number(text, which)
    return None if found is None else Found(found.value, 0, found.rest not in ("", ","))


def _as_spec(fields: object) -> ReaderSpec:
    """Makes a spec from plain values."""
    try:
        return ReaderSpec.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        which = str(fault["loc"][0]) if fault["loc"] else "spec"
        must, got = fault["msg"].removeprefix("Input should be "), fault["input"]
        if fault["type"] == "missing":
            must, got = "given", None
        elif fault["type"] == "extra_forbidden":
            must = f"left out; the fields are {', '.join(ReaderSpec.model_fields)}"
        raise TaskError(explain(which, of="ReaderSpec", must=must, got=got)) from None


def _check(spec: ReaderSpec) -> None:
    """Refuses specs that lack what their kind needs, or state what it does not use."""
    kind = f"kind {spec.kind!r}"
    needs: list[tuple[str, bool, bool, str]] = [
        ("marker", bool(spec.markers), spec.kind == "marked", "the text that announces the answer"),
        ("pattern", spec.pattern is not None, spec.kind == "regex", "a regular expression"),
        ("field", spec.field is not None, spec.kind == "json", "the name of a JSON field"),
        ("labels", bool(spec.labels), spec.answer_type == "label", "the list of allowed labels"),
    ]
    for name, given, needed, must in needs:
        if needed and not given:
            raise TaskError(explain(name, of="ReaderSpec", must=f"{must}, for {kind}", got=None))
    for name, given, needed in (needs[1][:3], needs[2][:3]):
        if given and not needed:
            must = f"left out for {kind}"
            raise TaskError(explain(name, of="ReaderSpec", must=must, got=getattr(spec, name)))
    for name, texts in (("marker", spec.markers), ("labels", spec.labels)):
        if any(not text.strip() for text in texts):
            raise TaskError(explain(name, of="ReaderSpec", must="texts that are not empty", got=texts))
    folded = [fold_label(label) for label in spec.labels]
    if len(set(folded)) < len(folded):
        must = "different from each other when case is ignored"
        raise TaskError(explain("labels", of="ReaderSpec", must=must, got=spec.labels))
