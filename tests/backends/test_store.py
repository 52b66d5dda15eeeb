from __future__ import annotations

import json
import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptkit import CachedBackend, Prompt, Request, ScriptedBackend
from promptkit.backends.store import Store
from promptkit.errors import SettingError
from tests.support import run_program

LARGE = 2**30


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.sqlite"


@pytest.fixture
def strict() -> Iterator[None]:
    """Every warning is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_what_is_put_is_got(path: Path, strict: None) -> None:
    values = {key(1): ["text", None, 1.5], key(2): "\ud800 \x00 苹果", key(3): {"a": []}}
    store = Store(path, LARGE)
    store.put(values)
    store.put({key(3): "newer"})
    assert store.get([key(1), key(2), key(3), key(4), key(1)]) == {**values, key(3): "newer"}
    store.close()
    assert Store(path, LARGE).get([key(1)]) == {key(1): values[key(1)]}


def test_more_keys_than_one_question_takes(path: Path, strict: None) -> None:
    store = Store(path, LARGE)
    store.put({key(n): n for n in range(2500)})
    assert store.get([key(n) for n in range(5000)]) == {key(n): n for n in range(2500)}


def test_file_and_folder_are_for_their_owner_alone(tmp_path: Path, strict: None) -> None:
    path = tmp_path / "new" / "answers.sqlite"
    before = os.umask(0)
    try:
        store = Store(path, LARGE)
        store.put({key(1): 1})
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in [path.parent, *path.parent.iterdir()]}
    finally:
        os.umask(before)
    assert modes.pop("new") == 0o700
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


def test_an_open_file_is_closed_to_others(path: Path, strict: None) -> None:
    Store(path, LARGE).close()
    path.chmod(0o666)
    Store(path, LARGE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def damage(value: bytes, how: random.Random) -> object:
    place = how.randrange(len(value))
    return how.choice(
        [
            lambda: value[:place] + bytes([value[place] ^ 1 << how.randrange(8)]) + value[place + 1 :],
            lambda: value[:place],
            lambda: b"",
            lambda: b"\x80\x04\x95 not JSON",
            lambda: "text",
            lambda: 5,
        ]
    )()


def test_a_thousand_damaged_rows_are_a_thousand_misses_and_are_replaced(path: Path, strict: None) -> None:
    model = ScriptedBackend(lambda request, index: f" answer to {request.prompt.text}")
    requests = [Request(Prompt(text=f"q{n}")) for n in range(1000)]
    with CachedBackend(model, path) as backend:
        good = backend.generate(requests)
    how = random.Random(1)
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT rowid, CAST(value AS BLOB), hash FROM answers").fetchall()
        assert len(rows) == 1000
        for place, (rowid, value, digest) in enumerate(rows):
            if place % 3 == 0:
                connection.execute("UPDATE answers SET hash = ? WHERE rowid = ?", (damage(digest, how), rowid))
            elif place % 3 == 1:
                new = damage(value, how)
                text = new.decode("latin-1") if isinstance(new, bytes) and how.random() < 0.5 else new
                connection.execute("UPDATE answers SET value = ? WHERE rowid = ?", (text, rowid))
            else:  # the value and hash of another row
                other = rows[place - 1]
                connection.execute("UPDATE answers SET value = ?, hash = ? WHERE rowid = ?", (*other[1:], rowid))
    connection.close()
    with CachedBackend(model, path) as backend:
        again = backend.generate(requests)
        assert (backend.stats.hits, backend.stats.misses, backend.stats.bad_rows) == (0, 1000, 1000)
        third = backend.generate(requests)
        assert (backend.stats.hits, backend.stats.bad_rows) == (1000, 1000)
    assert [r.completions for r in again] == [r.completions for r in third] == [r.completions for r in good]


def test_a_well_signed_row_of_another_shape_is_a_miss(path: Path, strict: None) -> None:
    model = ScriptedBackend(["right"])
    with CachedBackend(model, path) as backend:
        backend.generate([Request(Prompt(text="q"))])
        store = backend._store
        with sqlite3.connect(path) as connection:
            (known,) = connection.execute("SELECT key FROM answers").fetchone()
        connection.close()
        odd = [[], {}, None, ["x"], ["x", "error", 1, None, 1], ["x", [], 1, None, 1], [1, "eos", 1, None, 1]]
        odd += [
            ["x", "eos", -1, None, 1],
            ["x", "eos", True, None, 1],
            ["x", "eos", 1, "y", 1],
            ["x", "eos", 1, None, 1.5],
        ]
        for number, value in enumerate(odd, start=1):
            store.put({known: value})
            assert backend.generate([Request(Prompt(text="q"))])[0].completions[0].text == "right"
            assert backend.stats.bad_rows == number


def test_the_size_is_bounded_and_the_longest_unused_go_first(path: Path, strict: None) -> None:
    bound = 400_000
    store = Store(path, bound)
    store.put({key(0): "kept" * 100})
    for start in range(1, 3001, 10):
        store.put({key(number): "x" * 500 for number in range(start, start + 10)})
        if start % 100 == 1:
            with sqlite3.connect(path) as connection:  # as if the last use had been a minute before
                connection.execute("UPDATE answers SET used = used - 60001")
            connection.close()
            assert store.get([key(0)]), start
    kept = sorted(int.from_bytes(found, "big") for found in store.get([key(n) for n in range(3001)]))
    assert path.stat().st_size <= bound + 100_000
    assert kept[0] == 0
    assert 300 < len(kept) < 1000
    assert kept[-100:] == list(range(2901, 3001))
    assert Path(f"{path}-wal").stat().st_size <= 2**22


@pytest.mark.parametrize("bound", [0, -1, 65_535, 1e9, True, None])
def test_a_bound_that_holds_nothing_is_refused(path: Path, bound: object) -> None:
    with pytest.raises(SettingError, match="max_bytes must be an integer of at least 65,536"):
        Store(path, bound)  # type: ignore[arg-type]


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    for statement in ("CREATE TABLE theirs (x)", "PRAGMA application_id = 77"):
        path.unlink(missing_ok=True)
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()
        before = path.read_bytes()
        with pytest.raises(SettingError, match="a database of another program, answers.sqlite; name another file"):
            CachedBackend(ScriptedBackend(["x"]), path)
        assert path.read_bytes() == before


def works_without(path: Path, *, stored: bool = False) -> str:
    """Asks over a cache that cannot be used; returns the one warning."""
    model = ScriptedBackend(["x"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with CachedBackend(model, path) as backend:
            for number in range(5):
                assert backend.generate([Request(Prompt(text=f"q{number}"))])[0].completions[0].text == "x"
                backend.generate([Request(Prompt(text=f"q{number}"))])
    assert len(model.requests) == (5 if stored else 10)
    assert len(caught) == 1, [str(one.message) for one in caught]
    assert caught[0].category is RuntimeWarning
    return str(caught[0].message)


def test_a_file_that_is_no_database_is_a_warning_and_stays_as_it_is(path: Path) -> None:
    path.write_bytes(b"my notes\n" * 1000)
    assert "answers.sqlite: file is not a database" in works_without(path)
    assert path.read_bytes() == b"my notes\n" * 1000


def test_what_is_no_file_is_a_warning(path: Path) -> None:
    path.mkdir()
    assert "is not a regular file" in works_without(path)


def test_a_folder_that_is_a_file_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "neither looked up nor stored" in works_without(tmp_path / "file" / "answers.sqlite")


def test_a_database_that_is_damaged_inside_is_a_warning(path: Path) -> None:
    store = Store(path, LARGE)
    store.put({key(n): "x" * 300 for n in range(500)})
    store.close()
    data = bytearray(path.read_bytes())
    data[4096:] = random.Random(1).randbytes(len(data) - 4096)
    path.write_bytes(data)
    works_without(path)


def test_a_file_of_another_user_is_a_warning(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(path, LARGE).close()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert "belongs to another user" in works_without(path)


def test_a_folder_that_may_not_be_written_is_a_warning(tmp_path: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("the rights of folders do not bind root")
    tmp_path.chmod(0o500)
    works_without(tmp_path / "answers.sqlite")


def test_answers_stay_readable_when_nothing_can_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ScriptedBackend(["x"])
    with CachedBackend(model, path) as backend:
        backend.generate([Request(Prompt(text="known"))])

        def full(values: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(backend._store, "_put", full)
        with pytest.warns(RuntimeWarning, match="disk is full; no more answers are stored by this process"):
            backend.generate([Request(Prompt(text="new"))])
        backend.generate([Request(Prompt(text="known"))])
        backend.generate([Request(Prompt(text="new"))])
    assert [one.prompt.text for one in model.requests] == ["known", "new", "new"]


FULL = """
import resource, sys, warnings
from promptkit import CachedBackend, Prompt, Request, ScriptedBackend
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
model = ScriptedBackend(lambda request, index: request.prompt.text * 20)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with CachedBackend(model, sys.argv[1]) as backend:
        for n in range(200):
            text = f"question {n}"
            assert backend.generate([Request(Prompt(text=text), )])[0].completions[0].text.startswith(text)
print(len(caught), len(model.requests))
"""


@pytest.mark.parametrize("room", [0, 5_000, 20_000, 60_000, 150_000])
def test_a_full_disk_is_one_warning_and_what_was_stored_stays_good(path: Path, room: int) -> None:
    store = Store(path, LARGE)
    store.put({key(n): n for n in range(20)})
    store.close()
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(room)], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.stdout.split() == ["1", "200"], run.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Store(path, LARGE).get([key(n) for n in range(20)]) == {key(n): n for n in range(20)}


def children(*arguments: object) -> str:
    """Runs the program that forks and kills writers; returns what it found."""
    run = run_program("cache_children", *arguments)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr[-3000:]
    assert run.stdout.endswith("ok\n")
    return run.stdout


@pytest.mark.parametrize(("writers", "count"), [(4, 100), pytest.param(16, 10_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(3000)
def test_many_processes_write_one_file(path: Path, writers: int, count: int) -> None:
    assert children("write", path, writers, count).startswith(f"{writers * count} rows of {writers} writers")


@pytest.mark.parametrize("kills", [20, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.timeout(3000)
def test_nothing_that_was_acknowledged_is_lost_by_a_kill(path: Path, kills: int) -> None:
    found = children("kill", path, kills)
    assert int(found.split()[0]) >= kills // 4  # most were killed while they wrote, not before


@pytest.mark.parametrize(("openers", "times"), [(8, 3), pytest.param(64, 50, marks=pytest.mark.slow)])
@pytest.mark.timeout(3000)
def test_the_first_opening_may_be_a_race(tmp_path: Path, openers: int, times: int) -> None:
    children("open", tmp_path, openers, times)


def test_a_writer_that_fails_is_seen(path: Path) -> None:
    """The bad twin of the three above: a file in which nothing can be stored."""
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(AssertionError, match="file is not a database"):
        children("write", path, 2, 3)


def test_threads_open_one_file_at_once(tmp_path: Path, strict: None) -> None:
    for turn in range(10):
        path, ready, failed = tmp_path / f"{turn}.sqlite", threading.Barrier(16), []

        def work(name: int, path: Path = path, ready: threading.Barrier = ready, failed: list[object] = failed) -> None:
            ready.wait()
            try:
                store = Store(path, LARGE)
                store.put({key(name): name})
                assert store.get([key(name)]) == {key(name): name}
                store.close()
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(Store(path, LARGE).get([key(n) for n in range(16)])) == 16


def test_a_lock_that_lasts_is_waited_for(path: Path, strict: None) -> None:
    store = Store(path, LARGE)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.5, lambda: other.execute("COMMIT")).start()
    store.put({key(1): 1})
    assert store.get([key(1)]) == {key(1): 1}
    other.close()


def test_a_child_process_has_a_connection_of_its_own(path: Path, strict: None) -> None:
    store = Store(path, LARGE)
    store.put({key(1): 1})
    child = os.fork()
    if child == 0:
        ok = store.get([key(1)]) == {key(1): 1}
        store.put({key(2): 2})
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.put({key(3): 3})
    assert store.get([key(1), key(2), key(3)]) == {key(1): 1, key(2): 2, key(3): 3}


def test_rows_are_json_and_nothing_else(path: Path, strict: None) -> None:
    with CachedBackend(ScriptedBackend(["an answer"]), path) as backend:
        backend.generate([Request(Prompt(text="q"))])
    (value,) = sqlite3.connect(path).execute("SELECT value FROM answers").fetchone()
    assert json.loads(value) == ["an answer", "eos", 3, None, 1]
