"""Before a climb: settings and data are checked, and the run folder is opened for one process alone."""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from promptkit.data import Data, Split
from promptkit.data.groups import Group, Grouping, find_groups
from promptkit.data.splits import SPLIT_NAMES
from promptkit.errors import ArtifactError, LeakageError, MetricError, SettingError, error_message
from promptkit.ladder.budget import Budget
from promptkit.ladder.journal import Journal, RunLock
from promptkit.metrics import get_metric
from promptkit.registry import find
from promptkit.tasks.task import Task
from promptkit.types import Example, JSONObject

__all__ = [
    "RunFolder",
    "check_kinds",
    "check_leakage",
    "check_numbers",
    "digest",
    "read_target",
    "same_climb",
    "with_groups",
]

JOURNAL = "journal.jsonl"
_KINDS: dict[str, tuple[Callable[[int], bool], str]] = {
    **dict.fromkeys(("lock", JOURNAL, "record.json"), (stat.S_ISREG, "a regular file")),
    **dict.fromkeys(("fits", "checkpoints"), (stat.S_ISDIR, "a folder")),
}
"""What a climb writes into its folder."""
_LIMITS = ("minutes", "tokens", "calls")


def read_target(target: Mapping[str, float] | None, task: Task) -> tuple[str, float | None]:
    """Settles by which metric a climb decides, and what it wants.

    Args:
        target: At most one metric with the wanted score, or ``None`` for the task's metric and no target.
        task: The task.

    Returns:
        The metric, and the target or ``None``.

    Raises:
        SettingError: There are several metrics, or the score is not above 0 and at most 1.
        MetricError: The metric is unknown.

    Example:
        >>> from promptkit import load_task
        >>> read_target({"exact_match": 0.9}, load_task("apples"))
        ('exact_match', 0.9)
    """
    if not target:
        return task.metric, None
    if not isinstance(target, Mapping) or len(target) > 1:
        expected = "one metric with the wanted score, such as {'exact_match': 0.9}"
        raise SettingError(error_message("target", of="climb", expected=expected, got=target))
    given, value = next(iter(target.items()))
    name = get_metric(given).name
    # A climb is resumed and reported by the name of its metric.
    find("metric", name, of="climb", which="metric of the target", error=MetricError)
    number: object = value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= 1:
        raise SettingError(error_message(f"target[{name!r}]", of="climb", expected="above 0 and at most 1", got=value))
    return name, float(value)


def check_numbers(*, margin: object, confidence: object, seed: object, block: object, retries: object) -> None:
    """Checks the numbers among the settings of a climb.

    Raises:
        SettingError: One is out of range.
    """

    def number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

    def whole(value: object, least: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    checks = {
        "margin": (margin, number(margin) and 0 <= margin < 1, "from 0 to below 1"),  # type: ignore[operator]
        "confidence": (confidence, number(confidence) and 0.5 <= confidence < 1, "from 0.5 to below 1"),  # type: ignore[operator]
        "seed": (seed, whole(seed, 0), "an integer of at least 0"),
        "block": (block, whole(block, 1), "an integer of at least 1"),
        "retries": (retries, whole(retries, 0), "an integer of at least 0"),
    }
    for name, (value, good, expected) in checks.items():
        if not good:
            raise SettingError(error_message(name, of="climb", expected=expected, got=value))


def check_kinds(*, task: object, data: object, budget: object, folder: object) -> None:
    """Checks that what a climb is given is of the right kind, before anything is read or paid.

    Raises:
        SettingError: Something is of another kind.
    """
    path = folder is None or isinstance(folder, str | os.PathLike)
    checks: dict[str, tuple[object, bool, str, str]] = {
        "task": (task, isinstance(task, Task), "a Task", "load it: load_task('tickets')"),
        "data": (data, isinstance(data, Data), "Data, with train, dev and test", "load it: load_examples('tickets')"),
        "budget": (budget, isinstance(budget, Budget | None), "a Budget or None", "write it as Budget(minutes=10)"),
        "folder": (folder, path, "a path or None", ""),
    }
    for name, (value, good, expected, hint) in checks.items():
        if not good:
            raise SettingError(error_message(name, of="climb", expected=expected, got=value, hint=hint))
    assert isinstance(data, Data)
    for name, split in zip(SPLIT_NAMES, data, strict=True):
        wrong = next((one for one in split if not isinstance(one, Example)), None) if _is_split(split) else split
        if wrong is not None:
            hint = "load_examples makes it from files and from lists of dicts"
            raise SettingError(
                error_message(f"data.{name}", of="climb", expected="a Split of Examples", got=wrong, hint=hint)
            )


def _is_split(value: object) -> bool:
    return isinstance(value, Split)


def with_groups(data: Data, group: Group | None) -> Data:
    """Writes into every example what it belongs to.

    Args:
        data: The data.
        group: A field, "id", a mapping from id, or ``None`` to leave the examples as they are.

    Returns:
        The data with ``Example.group`` filled in.

    Raises:
        SettingError: ``group`` names nothing that the examples have.
    """
    if group is None:
        return data
    if not isinstance(group, str | Mapping):
        expected = "a field, 'id', or a mapping from id"
        raise SettingError(error_message("group", of="climb", expected=expected, got=group))

    def named(split: Split) -> Split:
        ids, own = [example.id for example in split], [example.group for example in split]
        fields = [example.query.fields for example in split]
        found = find_groups(ids, fields, own, group, of="climb") if len(split) else Grouping()
        pairs = zip(split, found.labels or (), strict=True)
        return Split(split.name, [replace(example, group=label) for example, label in pairs])

    return replace(data, train=named(data.train), dev=named(data.dev), test=named(data.test))


def check_leakage(data: Data, on_leakage: str) -> bool:
    """Refuses data whose test or dev items stand where rungs learn from them.

    Args:
        data: The data, whose leakage is measured.
        on_leakage: ``fail`` or ``force``.

    Returns:
        Whether the climb goes on by force.

    Raises:
        LeakageError: Items stand in several splits, exact or normalised, and nobody forces the climb.
        SettingError: ``on_leakage`` is neither.
    """
    if on_leakage not in ("fail", "force"):
        raise SettingError(error_message("on_leakage", of="climb", expected="'fail' or 'force'", got=on_leakage))
    shared = [one for one in data.leakage.overlaps if one.exact + one.normalised]
    if shared and on_leakage == "fail":
        raise LeakageError(
            f"{data.name}: items of one split stand in another, so a score would be memory\n{data.leakage}\n"
            "remove them from one side, or pass on_leakage='force' (--allow-leakage) to climb all the same"
        )
    return bool(shared)


class RunFolder:
    """A run folder with its lock and its journal; without a folder a journal in memory.

    Args:
        folder: The folder, which is made if it is not there; or ``None``.
        resume: Whether to go on with what the folder holds.

    Raises:
        SettingError: Another process works in it, or it holds a climb that is not to be continued, or something else.
        ArtifactError: It cannot be made.
    """

    def __init__(self, folder: Path | None, *, resume: bool) -> None:
        self.path = folder
        self._lock: RunLock | None = None
        if folder is None:
            self.journal = Journal(None)
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"{folder.name} cannot be made: {error.strerror or error}") from None
        self._check(folder, resume)  # a folder that is refused is left as it was
        new = not (folder / "lock").exists()
        self._lock = RunLock(folder)
        try:
            self._check(folder, resume)
            self.journal = Journal(folder / JOURNAL)
        except (SettingError, ArtifactError):
            self._lock.release()
            if new:
                (folder / "lock").unlink(missing_ok=True)
            raise

    def _check(self, folder: Path, resume: bool) -> None:
        try:
            found = {entry.name: entry.lstat().st_mode for entry in folder.iterdir()}
        except OSError as error:
            raise ArtifactError(f"{folder.name} cannot be read: {error.strerror or error}") from None
        for name, (kind, text) in _KINDS.items():
            if name in found and not kind(found[name]):
                hint = "nothing is written through links or into pipes; choose another folder"
                raise ArtifactError(
                    error_message(name, of=folder.name, expected=text, got=_kind(found[name]), hint=hint)
                )
        others = sorted(name for name in found if name != "lock")
        if JOURNAL in others:
            if not resume:
                hint = "pass resume=True (--resume) to go on with it, or choose another folder"
                raise SettingError(error_message("folder", of="climb", expected="new", got=folder.name, hint=hint))
        elif others:
            hint = "choose another folder"
            raise SettingError(
                error_message("folder", of="climb", expected="new, or that of a climb", got=others[0], hint=hint)
            )

    def close(self) -> None:
        """Closes the journal and lets others in."""
        self.journal.close()
        if self._lock is not None:
            self._lock.release()


def same_climb(journal: Journal, facts: JSONObject, of: str) -> list[str]:
    """Makes sure that a journal belongs to this climb and no other; a new one is marked.

    The budget may differ, and rungs may follow those that the climb had: then it is decided anew, from what is
    finished already.

    Args:
        journal: The journal.
        facts: All that a climb depends on, by name; plain JSON data.
        of: Name of the folder.

    Returns:
        What was changed, for people; nothing for a new climb or the same one.

    Raises:
        SettingError: The journal belongs to a climb with other settings, data, task or model.
    """
    kept = journal.get("climb")
    if kept is None:
        journal.put("climb", facts)
        return []
    other = sorted(name for name in {*kept, *facts} if kept.get(name) != facts.get(name))
    longer = all(_continues(facts.get(name), kept.get(name)) for name in ("rungs", "plans"))
    wrong = [name for name in other if not (name in _LIMITS or (longer and name in ("rungs", "plans")))]
    if wrong:
        name = wrong[0]
        hint = "continue with the same settings, data and model (the budget may change, and rungs be appended), or "
        hint += "choose another folder"
        also = f" (and {', '.join(wrong[1:])})" if wrong[1:] else ""
        raise SettingError(
            error_message(f"{name}{also}", of=of, expected=f"{kept.get(name)!r:.60}", got=facts.get(name), hint=hint)
        )
    changes = [f"{name} {_shown(kept[name])} to {_shown(facts[name])}" for name in _LIMITS if name in other]
    if "rungs" in other:
        changes.append(f"rungs appended: {', '.join(facts['rungs'][len(kept['rungs']) :])}")
    return changes


def _continues(longer: object, kept: object) -> bool:
    return isinstance(longer, list) and isinstance(kept, list) and longer[: len(kept)] == kept


def _shown(limit: float | int | None) -> str:
    return "without limit" if limit is None else f"{limit:g}"


def _kind(mode: int) -> str:
    kinds = {"link": stat.S_ISLNK, "pipe": stat.S_ISFIFO, "folder": stat.S_ISDIR, "regular file": stat.S_ISREG}
    return next((name for name, test in kinds.items() if test(mode)), "device or socket")


def digest(text: str) -> str:
    """Returns a short hash of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
