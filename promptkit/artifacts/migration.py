"""What changed between formats of saved folders, and the one function that brings old content up to date.

=======  ==============================================================================================
format   changes
=======  ==============================================================================================
1 to 2   ``task.json``: ``readers`` became ``parsers``. ``notes.json``: ``examples.hand_down`` became
         ``examples.distillation``, and the initialization ``handdown`` of a soft prompt ``prompt``. ``plan.json``:
         ``vote`` became ``aggregate``, and the settings of a stop rule have its ``kind``.
=======  ==============================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from promptkit.artifacts.checks import parse_json
from promptkit.types import JSONObject

__all__ = ["FORMAT", "migrate"]

FORMAT = 2
"""Version of the format that is written; a higher one is refused."""
_KINDS = ("predictor", "assistant")
"""Artifacts that last; a checkpoint of another version is not continued."""


def migrate(files: Mapping[str, bytes], *, kind: str, version: int) -> dict[str, bytes]:
    """Rewrites files of an older format; the folder on disk stays as it is.

    Args:
        files: Content by file name, already compared with its hashes.
        kind: What the artifact is.
        version: The format in which it was saved, from 1.

    Returns:
        The same files, in the format ``FORMAT``.

    Example:
        >>> migrate({"task.json": b'{"readers": {}}'}, kind="predictor", version=1)
        {'task.json': b'{"parsers": {}}'}
    """
    found = dict(files)
    if kind in _KINDS:
        for step in range(version, FORMAT):
            for name, change in _STEPS[step].items():
                content = parse_json(found[name], name) if name in found else None
                if isinstance(content, dict):
                    change(content)
                    found[name] = json.dumps(content, ensure_ascii=False).encode()
    return found


def _task_of_format_1(task: JSONObject) -> None:
    _rename(task, "readers", "parsers")


def _notes_of_format_1(notes: JSONObject) -> None:
    _rename(notes.get("examples"), "hand_down", "distillation")
    start = notes.get("start")
    if isinstance(start, dict) and start.get("init") == "handdown":
        start["init"] = "prompt"


def _plan_of_format_1(plan: JSONObject) -> None:
    vote = plan.get("vote")
    stop = vote.get("stop") if isinstance(vote, dict) else None
    if isinstance(stop, dict):  # a format 1 rule was known by its one setting
        stop["kind"] = "beta" if "threshold" in stop else "window"
    _rename(plan, "vote", "aggregate")


def _rename(content: object, old: str, new: str) -> None:
    """Renames a key in its place; an object that has both is left for the reader of the file to refuse."""
    if isinstance(content, dict) and old in content and new not in content:
        renamed = {new if key == old else key: value for key, value in content.items()}
        content.clear()
        content.update(renamed)


_STEPS: dict[int, dict[str, Callable[[JSONObject], None]]] = {
    1: {"task.json": _task_of_format_1, "notes.json": _notes_of_format_1, "plan.json": _plan_of_format_1},
}
"""By format, what brings its files to the next one."""
