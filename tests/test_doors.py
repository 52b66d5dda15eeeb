"""Paths that cannot be used, at every function that opens one; and names where a model is wanted.

Whatever the system says becomes an error of promptkit that is fit for the function. The test suite may run as root,
for whom no folder is unreadable, so those cases run in a forked process of another user.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import promptkit as pk
from promptkit.artifacts import kind_of
from promptkit.cli.inputs import read_queries, read_rows
from promptkit.config import read_config
from promptkit.errors import DataError, PromptkitError, check_path, opens
from promptkit.evaluation import load_reports
from promptkit.export.write import check_target, staged
from promptkit.html import page
from promptkit.ladder import load_record
from promptkit.training.checkpoints import Checkpoints, State

TASK = pk.load_task("tone")
DATA = pk.load_examples("tone")
MODEL = pk.ScriptedBackend(["positive"])
SUMS = pk.load_examples("apples")
PREDICTOR = pk.FewShot(TASK, shots=1).fit(DATA.train, MODEL)


def export(path: Any) -> None:
    with staged(check_target(path)) as stage:
        (stage / "x").write_text("x")


def checkpoint(path: Any) -> None:
    store = Checkpoints(Path(path), {"a": "b"})
    store.newest()
    store.save(1, State({"step": 1}, {"t": torch.zeros(1)}))


def climb(path: Any, resume: bool = False) -> None:
    pk.climb(TASK, DATA, MODEL, folder=path, rungs=["zero-shot"], budget=pk.Budget(calls=1), resume=resume)


READS: dict[str, Callable[[Any], object]] = {
    "load": lambda path: pk.load(path, MODEL),
    "Assistant.load": lambda path: pk.Assistant.load(path, MODEL),
    "kind_of": kind_of,
    "load_task": pk.load_task,
    "load_examples": lambda path: pk.load_examples(path, task=TASK),
    "load_record": load_record,
    "load_reports": load_reports,
    "break_even": lambda path: pk.break_even(path, path),
    "LocalBackend": pk.LocalBackend,
    "plan": lambda path: pk.estimate(path, pk.LoRA(TASK)),
    "read_config": lambda path: read_config(path, task="tone"),
    "read_rows": read_rows,
    "read_queries": lambda path: read_queries(path, TASK),
    "climb --resume": lambda path: climb(path, resume=True),
}
WRITES: dict[str, Callable[[Any], object]] = {
    "save": PREDICTOR.save,
    "Assistant.save": lambda path: pk.Assistant(PREDICTOR).save(path),
    "export": export,
    "write_report": lambda path: page.write_report(None, path),  # type: ignore[arg-type]
    "new_task": lambda path: pk.new_task("capitals", path),
    "climb": climb,
    "checkpoint": checkpoint,
    "cache": lambda path: pk.CachedBackend(MODEL, path).generate([pk.Request(pk.Prompt(text="a"))]),
}
DOORS = READS | WRITES


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(page, "render_report", lambda record: "x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cache that cannot be used warns once and goes on
        yield


def odd_places(base: Path) -> dict[str, Any]:
    """Files where folders are wanted, the other way round, loops and names that no system takes."""
    for name in ("file", "file.jsonl", "file.json"):
        (base / name).write_text("hello")
    names = ["manifest.json", "record.json", "plan.json", "config.json", "task.yaml", "journal.jsonl", "lock"]
    for name in (
        "folder.jsonl",
        "folder.json",
        *(f"folders/{one}" for one in [*names, "train.jsonl", "step-00000001"]),
    ):
        (base / name).mkdir(parents=True)
    for name in ("loop", "loop.jsonl"):
        (base / name).symlink_to(base / name)
    PREDICTOR.save(base / "saved")
    (plan,) = (base / "saved").glob("files-*/plan.json")
    plan.unlink()
    plan.mkdir()
    found = {str(path.relative_to(base)): str(path) for path in [base / "saved", base / "folders", *base.glob("*.*")]}
    return found | {
        "file": str(base / "file"),
        "under a file": str(base / "file" / "child"),
        "under a file, rows": str(base / "file" / "child.jsonl"),
        "a loop": str(base / "loop"),
        "under a loop": str(base / "loop" / "child"),
        "long": str(base / ("x" * 300)),
        "long, rows": str(base / ("x" * 300 + ".jsonl")),
        "very long": "/x" * 5000,
        "NUL": "a\0b",
        "NUL, rows": "a\0b.jsonl",
        "surrogate": str(base / "\ud800"),
        "under a device": "/dev/null/x",
    }


def ends_typed(door: Callable[[Any], object], path: Any) -> str:
    """Returns "" if a function ends well or in an error of promptkit, else what it ends in."""
    try:
        door(path)
    except PromptkitError as error:
        assert str(error)
    except Exception:
        return traceback.format_exc(limit=-3)
    return ""


@pytest.mark.parametrize("name", DOORS)
def test_a_place_that_cannot_be_used_is_an_error_of_promptkit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = odd_places(tmp_path)
    assert {where: found for where, path in places.items() if (found := ends_typed(DOORS[name], path))} == {}


@pytest.mark.parametrize(
    "name", sorted(DOORS.keys() - {"read_rows", "read_queries", "read_config", "checkpoint", "plan"})
)
@pytest.mark.parametrize("value", [5, b"x", ["a"], object()])
def test_what_is_no_path_is_an_error_of_promptkit(
    name: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ends_typed(DOORS[name], value) == ""


def test_a_folder_in_the_place_of_a_file_of_a_predictor_is_said(tmp_path: Path) -> None:
    with pytest.raises(pk.ArtifactError, match=r"saved: plan\.json must be a regular file"):
        pk.load(odd_places(tmp_path)["saved"], MODEL)


def test_a_report_replaces_a_file_and_nothing_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link", "folder"):
        before = os.lstat(tmp_path / name)
        with pytest.raises(pk.ArtifactError, match="must be a new file, or a regular one"):
            WRITES["write_report"](tmp_path / name)
        assert os.lstat(tmp_path / name) == before
    (tmp_path / "old").write_text("old")
    for old in (".old.promptkit-1.part", ".other.promptkit-1.part"):
        (tmp_path / old).write_text("half")
        os.utime(tmp_path / old, (0, 0))
    (tmp_path / ".old.promptkit-2.part").write_text("another process writes")
    WRITES["write_report"](tmp_path / "old")
    assert (tmp_path / "old").read_text() == "x"
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"pipe", "link", "folder", "old", ".other.promptkit-1.part", ".old.promptkit-2.part"}


def as_nobody(work: Callable[[], str]) -> str:
    """Does work in a forked process of a user without rights; returns what it returns."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os.write(write, work().encode()[:60_000])
        except BaseException:
            os.write(write, traceback.format_exc().encode()[:60_000])
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        found = stream.read().decode()
    os.waitpid(child, 0)
    return found


@contextlib.contextmanager
def hidden_folder() -> Iterator[Path]:
    """A folder that nobody but its owner, or nobody at all, may enter."""
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        hidden = Path(base, "hidden")
        hidden.mkdir()
        (hidden / "rows.jsonl").write_text('{"text": "a"}\n')
        (hidden / "run").mkdir()
        PREDICTOR.save(hidden / "saved")
        hidden.chmod(0o000)
        try:
            yield hidden
        finally:
            hidden.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process of another user")
def test_a_parent_that_may_not_be_read_is_an_error_of_promptkit() -> None:
    import sqlite3  # noqa: F401 - loaded before rights are given up

    with hidden_folder() as hidden:
        places = [
            hidden,
            hidden / "rows.jsonl",
            hidden / "saved",
            hidden / "run",
            hidden / "new",
            hidden / "deep" / "er",
        ]
        places += [hidden.parent / "new", hidden.parent / "new.json"]  # may be entered and not be written

        def work() -> str:
            with pytest.raises(PermissionError):  # the bad twin: the folder is hidden indeed
                os.listdir(hidden)
            return "".join(
                f"{name} {path.name}: {found}\n"
                for name, door in DOORS.items()
                for path in places
                if (found := ends_typed(door, str(path)))
            )

        assert as_nobody(work) == ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("name", sorted(WRITES.keys() - {"climb"}))
def test_a_disk_that_refuses_is_an_error_of_promptkit(
    name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError(number, os.strerror(number), "the disk")

    for function in ("mkdir", "replace", "rename", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, refuse)
            assert ends_typed(WRITES[name], str(tmp_path / f"{function}-{name}")) == ""


def test_what_the_system_says_is_told_with_the_file_and_the_kind_of_the_function() -> None:
    @opens(DataError, of="first")
    def first(path: str, fails: BaseException) -> None:
        raise fails

    with pytest.raises(DataError, match=r"^first: x/y cannot be used: Input/output error$"):
        first("a", OSError(errno.EIO, "Input/output error", "x/y"))
    with pytest.raises(DataError, match=r"^first: a cannot be used: odd$"):
        first("a", OSError("odd"))
    for other in (KeyError("x"), ValueError("x"), pk.BackendError("x"), KeyboardInterrupt()):
        with pytest.raises(type(other)):
            first("a", other)
    with pytest.raises(DataError) as found:
        first("a", OSError(errno.ENAMETOOLONG, "File name too long", "x" * 5000))
    assert len(str(found.value)) < 300


@pytest.mark.parametrize("value", ["", None, 5, b"a", "a\0b", "\ud800", ["a"]])
def test_paths_are_checked(value: object) -> None:
    with pytest.raises(pk.SettingError, match="of: which must be the path of a file or folder"):
        check_path(value, "which", of="of")


NAMES = ("reference", "http://localhost:8000/v1", "", None, 5, pk.LocalBackend, object())


@pytest.mark.parametrize(
    "door",
    [
        lambda value: pk.FewShot(TASK, shots=0).fit((), value),
        lambda value: pk.ChainOfThought(pk.load_task("apples")).fit(SUMS.train, value),
        lambda value: pk.ChainOfThought(pk.load_task("apples"), bootstrap=True).fit(SUMS.train, value),
        lambda value: pk.SoftPrompt(TASK).fit(DATA.train, value),
        lambda value: pk.LoRA(TASK).fit(DATA.train, value),
        lambda value: pk.load("anywhere", value),
        lambda value: pk.Assistant.load("anywhere", value),
        lambda value: pk.CachedBackend(value, "anywhere"),
        lambda value: pk.climb(TASK, DATA, value),
    ],
)
def test_a_name_where_a_model_is_wanted_is_refused_with_what_to_pass(door: Callable[[Any], object]) -> None:
    for value in NAMES:
        with pytest.raises(pk.SettingError, match="backend must be a model that answers") as found:
            door(value)
        assert "pass pk." in str(found.value)
    with pytest.raises(pk.SettingError, match=r"pass pk\.LocalBackend\('mine'\)"):
        door("mine")
    with pytest.raises(pk.SettingError, match=r"pass pk\.RemoteBackend\('http://localhost:8000/v1', 'my-model'\)"):
        door("http://localhost:8000/v1")


@pytest.mark.parametrize(
    "door",
    [
        lambda value: pk.evaluate(value, DATA.test[:2]),
        lambda value: pk.Assistant(value),
        lambda value: pk.Router([value, value]),
        lambda value: pk.vote(value),
        lambda value: pk.compare({"a": PREDICTOR, "b": value}, DATA.test[:2]),
    ],
)
def test_a_name_where_a_predictor_or_samples_are_wanted_is_refused(door: Callable[[Any], object]) -> None:
    for value in NAMES:
        with pytest.raises((pk.SettingError, pk.DataError)):
            door(value)
