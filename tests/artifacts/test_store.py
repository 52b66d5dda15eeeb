from __future__ import annotations

import errno
import os
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from promptkit.artifacts import load_folder, save_folder, store
from promptkit.artifacts.manifest import MAX_FILES
from promptkit.errors import ArtifactError

GOLDEN = Path(__file__).parent / "golden"
FILES = {
    "plan.json": '{"ask": "direct"}',
    "direct.jinja": "é {{ item.q }}\r\n",
    "weights.safetensors": b"\2" + b"\0" * 7 + b"{}",
}
BYTES = {name: content.encode() if isinstance(content, str) else content for name, content in FILES.items()}
META = {"base": "0123", "scores": [1, 0.5, None, True], "名": "苹果 \U0001f600"}


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_loaded(tmp_path, monkeypatch):
    save_folder(tmp_path / "new" / "art", FILES, kind="test", meta=META)
    stored = load_folder(str(tmp_path / "new" / "art"), kind="test")
    assert stored.files == BYTES
    assert stored.meta == META
    assert stored.promptkit == store.__version__
    monkeypatch.chdir(tmp_path / "new" / "art")
    assert load_folder(".", kind="test") == stored
    shutil.copytree(tmp_path / "new", tmp_path / "copy")
    assert load_folder(tmp_path / "copy" / "art", kind="test") == stored


def test_nothing_saved_tells_about_the_machine(tmp_path):
    save_folder(tmp_path / "art", FILES, kind="test", meta=META)
    for path in (tmp_path / "art").rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes()
    with pytest.raises(ArtifactError, match=r"^art: meta\.model: a text must be no absolute path"):
        save_folder(tmp_path / "art", FILES, kind="test", meta={"model": str(tmp_path)})


def test_a_second_save_replaces_the_first_and_clears_leftovers(tmp_path):
    folder = tmp_path / "art"
    save_folder(folder, FILES, kind="test", meta={})
    leftover = folder / "files-00000000deadbeef"
    leftover.mkdir()
    (leftover / "half.bin").write_bytes(b"half")  # of a save that was killed; never opened
    assert load_folder(folder, kind="test").files == BYTES
    save_folder(folder, {"a.txt": "new"}, kind="other", meta={})
    assert load_folder(folder, kind="other").files == {"a.txt": b"new"}
    assert len(listing(folder)) == 2


@pytest.mark.parametrize("version", sorted(path.name for path in GOLDEN.glob("format-*")))
def test_every_past_format_loads_for_ever(version):
    stored = load_folder(GOLDEN / version, kind="predictor")
    assert stored.files["direct.jinja"] == "é {{ item.q }}\n".encode()
    assert sorted(stored.files) == ["demos.jsonl", "direct.jinja", "plan.json"]
    assert stored.meta == {"base": "sha256:0123", "tokens": [1, 2.5, None, True], "名": "苹果"}


@pytest.mark.parametrize(
    ("files", "meta", "message"),
    [
        ({}, {}, "files must be 1 to 64 files, got 0"),
        ({f"{i}.txt": "" for i in range(MAX_FILES + 1)}, {}, "files must be 1 to 64 files, got 65"),
        ({"w.bin": b""}, {}, "can run code when it is opened"),
        ({"../x.txt": ""}, {}, "the name of a file must be"),
        ({"a.json": "{"}, {}, "a.json is not JSON"),
        ({"a.txt": "\ud800"}, {}, "lone surrogate"),
        ({"a.txt": ""}, {"x": float("nan")}, "meta must be JSON values"),
        ({"a.txt": ""}, {"x": object()}, "meta must be JSON values"),
        ({"a.txt": ""}, {"x": "\ud800"}, "meta must be JSON values"),
        ({"a.txt": ""}, {"x": "y" * 1_000_000}, "size must be at most 1,000,000 bytes"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, files, meta, message):
    save_folder(tmp_path / "art", FILES, kind="test", meta={})
    before = listing(tmp_path / "art")
    for name in ("art", "fresh"):
        with pytest.raises(ArtifactError, match=rf"^{name}: .*{message}"):
            save_folder(tmp_path / name, files, kind="test", meta=meta)
    assert listing(tmp_path / "art") == before
    assert listing(tmp_path) == ["art"]


@pytest.mark.parametrize("name", ["notes.txt", "files-xyz", "files-00000000deadbeef", ".git", "optimizer.pt"])
def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path, name):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / name).write_text("precious")
    for call in (
        lambda: save_folder(folder, FILES, kind="test", meta={}),
        lambda: load_folder(folder, kind="test"),
    ):
        with pytest.raises(
            ArtifactError, match=f"^docs holds '{name}', which is no part of an artifact and was not op"
        ):
            call()
    assert (folder / name).read_text() == "precious"


@pytest.mark.parametrize("folder", ["", "a\0b"])
def test_paths_that_are_none(folder):
    for call in (lambda: save_folder(folder, FILES, kind="t", meta={}), lambda: load_folder(folder, kind="t")):
        with pytest.raises(ArtifactError, match="folder must be the path of a folder"):
            call()


def test_folders_that_are_no_artifact(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, message in [("file", "file cannot be read: Not a dir"), ("none", "none cannot be read: No such file")]:
        with pytest.raises(ArtifactError, match=rf"^{message}.*; name the folder of an artifact"):
            load_folder(tmp_path / name, kind="test")
    with pytest.raises(ArtifactError, match=r"^empty: manifest\.json is missing; the folder is no artifact"):
        load_folder(tmp_path / "empty", kind="test")
    with pytest.raises(ArtifactError, match="^file could not be saved: File exists; what it held before is whole"):
        save_folder(tmp_path / "file", FILES, kind="test", meta={})
    with pytest.raises(ArtifactError, match="^art could not be saved: Not a directory"):
        save_folder(tmp_path / "file" / "art", FILES, kind="test", meta={})


def test_one_flipped_byte_anywhere_is_refused(tmp_path):
    folder = tmp_path / "art"
    save_folder(folder, FILES, kind="test", meta=META)
    stored = load_folder(folder, kind="test")
    rng = random.Random(0)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for _ in range(1000):
        path = rng.choice(paths)
        data = path.read_bytes()
        place = rng.randrange(len(data))
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :])
        with pytest.raises(ArtifactError, match=rf"(?s)^art.*({path.name}|kind|folder|files-)"):
            load_folder(folder, kind="test")
        path.write_bytes(data)
    assert load_folder(folder, kind="test") == stored


def test_swapped_files_and_older_files_are_refused(tmp_path):
    folder = tmp_path / "art"
    save_folder(folder, {"a.txt": "one", "b.txt": "two"}, kind="test", meta={})
    version = next(path for path in folder.iterdir() if path.is_dir())
    (version / "a.txt").write_text("two")
    (version / "b.txt").write_text("one")
    with pytest.raises(ArtifactError, match=r"^art: a\.txt was changed after it was saved"):
        load_folder(folder, kind="test")


class Canary:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickles_in_every_position_are_refused_unopened(tmp_path):
    """Canaries as extra files, in place of each file, and beside the manifest, in every protocol."""
    canary = tmp_path / "canary"
    save_folder(tmp_path / "art", FILES, kind="test", meta={})
    count = 0
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(Canary(str(canary)), protocol=protocol)
        for name in [
            "optimizer.pt",
            "rng_state.pth",
            "training_args.bin",
            "model.safetensors",
            "x.json",
            "x.txt",
            *FILES,
        ]:
            for top in (True, False):
                folder = tmp_path / f"copy{count}"
                shutil.copytree(tmp_path / "art", folder)
                version = next(path for path in folder.iterdir() if path.is_dir())
                (folder if top else version).joinpath(name).write_bytes(data)
                with pytest.raises(ArtifactError, match=f"copy{count}.*{name}"):
                    load_folder(folder, kind="test")
                count += 1
    assert count >= 50
    assert not canary.exists()


@pytest.mark.parametrize("calls", ["fsync", "replace", "open", "mkdir", "listdir", "rmdir", "unlink"])
@pytest.mark.parametrize("first", [True, False])
def test_a_failing_disk_leaves_the_old_or_the_new(tmp_path, monkeypatch, calls, first):
    """Each call to the system fails in turn, until a save passes without meeting the fault."""
    folder = tmp_path / "art"
    passed = False
    for number in range(1, 50):
        shutil.rmtree(folder, ignore_errors=True)
        if not first:
            save_folder(folder, {"a.txt": "old"}, kind="test", meta={})
        real = getattr(os, calls)
        made = 0

        def fail(*args, real=real, number=number, **kwargs):
            nonlocal made
            made += 1
            if made == number:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, calls, fail)
            try:
                save_folder(folder, {"a.txt": "new", "b.txt": "new"}, kind="test", meta={})
                passed = True
            except ArtifactError as error:
                passed = False
                assert str(error).startswith("art") and "No space left" in str(error)
        if first and not passed and not (folder / "manifest.json").exists():
            assert not folder.exists() or load_refused(folder)
        else:
            files = load_folder(folder, kind="test").files
            assert files in ({"a.txt": b"old"}, {"a.txt": b"new", "b.txt": b"new"})
            assert not passed or files["a.txt"] == b"new"
        save_folder(folder, {"a.txt": "last"}, kind="test", meta={})
        assert load_folder(folder, kind="test").files == {"a.txt": b"last"}
        assert len(listing(folder)) == 2
        if made < number:
            break
    assert passed and made < number
    assert calls in ("listdir", "rmdir", "unlink") or number > 1


def load_refused(folder: Path) -> bool:
    with pytest.raises(ArtifactError, match="manifest.json is missing"):
        load_folder(folder, kind="test")
    return True


HARNESS = '''
import json, os, pathlib, random, resource, signal, sys, time
from promptkit.artifacts import load_folder, save_folder
from promptkit.errors import ArtifactError

mode, root, count = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
target = root / "art"


def content(number):
    return {f"{name}.txt": str(number) * (1 + 997 * number % 20_000) for name in "abcde"}


def save(number):
    if mode != "naive":
        save_folder(target, content(number), kind="test", meta={"number": number})
        return
    target.mkdir(exist_ok=True)
    for name, text in content(number).items():
        (target / name).write_text(text)
    (target / "number").write_text(str(number))


def is_whole():
    try:
        if mode != "naive":
            stored = load_folder(target, kind="test")
            return stored.files == {name: text.encode() for name, text in content(stored.meta["number"]).items()}
        wanted = content(int((target / "number").read_text()))
        return all((target / name).read_text() == text for name, text in wanted.items())
    except (ArtifactError, OSError, ValueError):
        return False


def child(work):
    """Runs work in a copy of this process, which ends with it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def ended_well(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def save_for_ever():
    number = random.SystemRandom().randrange(1_000)
    while True:
        number += 1
        save(number)


if mode in ("kill", "naive"):
    save(0)
    broken = 0
    for _ in range(count):
        pid = child(save_for_ever)
        time.sleep(random.uniform(0.002, 0.04))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        broken += not is_whole()
    save(0)
    print(json.dumps({"broken": broken, "whole": is_whole(), "left": len(list(target.iterdir()))}))
elif mode == "many":
    def save_some(first):
        for number in range(first, first + count):
            save(number)

    def load_some():
        for _ in range(count * 4):
            if not is_whole():
                os._exit(2)

    save(0)
    savers = [child(lambda first=first: save_some(first)) for first in range(1, 9)]
    loaders = [child(load_some) for _ in range(2)]
    ended = [ended_well(pid) for pid in savers + loaders]
    print(json.dumps({"broken": ended.count(False), "whole": is_whole(), "left": len(list(target.iterdir()))}))
elif mode == "full":
    save(1)
    broken = refused = 0
    for limit in range(0, 20_000, 20_000 // count):
        def save_limited():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            try:
                save(9)
            except ArtifactError as error:
                os._exit(0 if "File too large" in str(error) else 3)
            os._exit(4)
        code = os.waitstatus_to_exitcode(os.waitpid(child(save_limited), 0)[1])
        refused += code == 0
        broken += code == 3 or not is_whole()
    print(json.dumps({"broken": broken, "whole": is_whole() and refused > 0, "left": len(list(target.iterdir()))}))
'''
unix = pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks")


def run_harness(mode: str, folder: Path, count: int) -> dict[str, object]:
    import json

    done = subprocess.run(
        [sys.executable, "-c", HARNESS, mode, str(folder), str(count)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@unix
@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_a_kill_at_any_time_leaves_one_whole_version(tmp_path, kills):
    assert run_harness("kill", tmp_path, kills) == {"broken": 0, "whole": True, "left": 2}


@unix
def test_the_kills_hit_a_plain_save(tmp_path):
    """The twin: the same kills break a folder whose files are written in place."""
    assert run_harness("naive", tmp_path, 20)["broken"] > 0


@unix
@pytest.mark.parametrize("saves", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_many_processes_save_and_load_one_folder(tmp_path, saves):
    assert run_harness("many", tmp_path, saves) == {"broken": 0, "whole": True, "left": 2}


@unix
def test_a_quota_that_ends_in_the_middle_of_a_file(tmp_path):
    assert run_harness("full", tmp_path, 10) == {"broken": 0, "whole": True, "left": 2}
