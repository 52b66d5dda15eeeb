"""Multiple-choice questions in a form that does not depend on the order of their options.

``A) 5  B) 7`` with the answer ``B`` and ``A) 7  B) 5`` with the answer ``A`` are one question. Options are found in the
text of a field by their labels (``A)``, ``(A)``, ``A.``, ``A:``, small letters, numbers), or as fields that are named
like labels (``a``, ``b``; ``option_1``, ``option_2``). They count as options only if the targets are among the labels
or the options, so that other lists keep their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Choices", "find_choices"]

_LABELS = ("abcdefghij", "123456789", "0123456789")
_MARK = re.compile(
    r"(?:(?<=^)|(?<=[\s,;|]))(?P<open>[(\[]?)\**(?P<label>[a-j]|\d)\**(?P<close>[)\]]|[.:](?=\**\s))\**\s*",
    re.MULTILINE,
)
_NAME = re.compile(r"(?P<stem>.*?)[_\- ]?(?P<label>[a-j]|\d)", re.DOTALL)
_EDGES = " \t\r\n,;|*"


@dataclass(frozen=True)
class Choices:
    """A question apart from its options.

    Attributes:
        texts: What the question says, without the options.
        options: The text of each option, by its label.
    """

    texts: tuple[str, ...]
    options: Mapping[str, str]

    def target(self, target: str) -> str | None:
        """Returns the option that a target means, by label or by text; ``None`` if it means none."""
        label = target.removeprefix("option ").strip(" ()[].:*")
        if label in self.options:
            return self.options[label]
        return target if target.strip(_EDGES) in self.options.values() else None


def find_choices(fields: Mapping[str, str]) -> Choices | None:
    r"""Finds the options of a question.

    Args:
        fields: Folded texts by name (see ``fold``), line breaks included.

    Returns:
        The question and its options, or ``None`` if it has none.

    Example:
        >>> found = find_choices({"question": "what is 2 + 3?\na) 4\nb) 5"})
        >>> found.texts, found.options, found.target("b")
        (('what is 2 + 3?',), {'a': '4', 'b': '5'}, '5')
    """
    named = _by_name(fields)
    if named is not None:
        return named
    for name in sorted(fields, reverse=True):
        found = _in_text(fields[name])
        if found is not None:
            rest = tuple(fields[other] for other in sorted(fields) if other != name)
            return Choices((*rest, found.texts[0]), found.options)
    return None


def _by_name(fields: Mapping[str, str]) -> Choices | None:
    groups: dict[str, dict[str, str]] = {}
    for name in fields:
        if match := _NAME.fullmatch(name.casefold()):
            groups.setdefault(match["stem"], {})[match["label"]] = name
    for group in groups.values():
        if len(group) > 1 and _is_run(sorted(group)):
            rest = tuple(fields[name] for name in sorted(fields) if name not in group.values())
            return Choices(rest, {label: fields[name].strip(_EDGES) for label, name in sorted(group.items())})
    return None


def _is_run(labels: Sequence[str]) -> bool:
    return any("".join(labels) == known[: len(labels)] for known in _LABELS)


def _in_text(text: str) -> Choices | None:
    marks = list(_MARK.finditer(text))
    for start in reversed(range(len(marks))):
        run = _run_from(marks, start)
        if len(run) < 2 or (run[0]["close"] in ".:" and len(run) < 3 and not _on_lines(text, run)):
            continue
        last = text.find("\n", run[-1].end())
        end = last if last >= 0 else len(text)
        ends = [*(mark.start() for mark in run[1:]), end]
        options = {mark["label"]: text[mark.end() : stop].strip(_EDGES) for mark, stop in zip(run, ends, strict=True)}
        return Choices((f"{text[: run[0].start()]}\n{text[end:]}".strip(),), options)
    return None


def _run_from(marks: Sequence[re.Match[str]], start: int) -> list[re.Match[str]]:
    """Returns the marks of one form from a first label on, each the one after the other."""
    first = marks[start]
    known = next((labels for labels in _LABELS if labels.startswith(first["label"])), "")
    run: list[re.Match[str]] = []
    for mark in marks[start:]:
        if (mark["open"], mark["close"]) == (first["open"], first["close"]) and known[len(run) : len(run) + 1] == mark[
            "label"
        ]:
            run.append(mark)
    return run


def _on_lines(text: str, run: Sequence[re.Match[str]]) -> bool:
    return all(mark.start() == 0 or text[mark.start() - 1] == "\n" for mark in run)
