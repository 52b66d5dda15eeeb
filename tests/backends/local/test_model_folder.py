from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from promptkit.backends.local import model_folder
from promptkit.backends.local.backend import LocalBackend
from promptkit.backends.local.model_folder import (
    declared_form,
    fingerprint,
    fingerprint_of_settings,
    resolve,
    weight_files,
)
from promptkit.errors import BackendError


@pytest.fixture
def folder(tiny: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("gpt2"), tmp_path / "copy"))


def test_a_complete_folder_is_found_by_path_and_by_text(folder: Path) -> None:
    assert resolve(folder, local_files_only=True) == resolve(str(folder), local_files_only=True) == folder


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_lacking_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BackendError, match=f"must hold {name}, got a folder without; save a model and its tokenizer"):
        resolve(folder, local_files_only=True)


def test_pickled_weights_are_named_and_not_opened(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04 not even a pickle")
    with pytest.raises(BackendError, match=r"pytorch_model.bin is a pickle, which is never opened"):
        resolve(folder, local_files_only=True)


@pytest.mark.parametrize("name", ["./none", "/none/at/all", "a/b/c", "~none", ""])
def test_a_path_that_does_not_exist_is_no_name(name: str) -> None:
    with pytest.raises(BackendError, match="must be a folder with config.json, model.safetensors and tokenizer.json"):
        resolve(name, local_files_only=True)


def test_an_unknown_name_says_what_names_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackendError, match="'no-such/model' must be 'reference', a folder or the name of a model"):
        resolve("no-such/model", local_files_only=True)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"x")
    with pytest.raises(BackendError, match="got no such folder"):
        resolve(tmp_path / "model.gguf", local_files_only=True)


def test_an_absent_reference_model_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        model_folder, "__file__", str(tmp_path / "promptkit" / "backends" / "local" / "model_folder.py")
    )
    with pytest.raises(BackendError, match="the reference model must lie in .* reinstall promptkit, or build"):
        resolve("reference", local_files_only=True)


def test_the_form_is_what_the_folder_declares(folder: Path) -> None:
    assert declared_form(folder) is None
    for form in ("completion", "chat"):
        (folder / "promptkit.json").write_text(json.dumps({"form": form}))
        assert declared_form(folder) == form


@pytest.mark.parametrize(
    "text", ['{"form": "poem"}', '{"form": "chat", "run": "x"}', "[]", "{", "\udcff", "[" * 100_000]
)
def test_a_strange_declaration_is_refused(folder: Path, text: str) -> None:
    (folder / "promptkit.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BackendError, match="promptkit.json"):
        declared_form(folder)


def test_fingerprints_follow_what_decides_answers(folder: Path, tmp_path: Path) -> None:
    first = fingerprint(folder)
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"transformers_version": "9", "dtype": "float16"}))
    (moved / "README.md").write_text("notes")
    assert fingerprint(moved) == first and len(first) == 64
    weights = bytearray((moved / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    seen = {first}
    for name, content in [
        ("model.safetensors", bytes(weights)),
        ("tokenizer.json", (moved / "tokenizer.json").read_bytes() + b" "),
        ("config.json", json.dumps(config | {"layer_norm_epsilon": 0.1}).encode()),
        ("chat_template.jinja", b"{{ messages }}"),
    ]:
        (moved / name).write_bytes(content)
        seen.add(fingerprint(moved))
    assert len(seen) == 5


def test_settings_have_a_fingerprint_of_their_own(folder: Path) -> None:
    seen, first = {fingerprint_of_settings(folder)}, fingerprint(folder)
    for name in ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        (folder / name).write_text("{}")
        seen.add(fingerprint_of_settings(folder))
    (folder / "README.md").write_text("notes")
    assert fingerprint_of_settings(folder) in seen
    assert len(seen) == 5 and all(len(one) == 64 for one in seen)
    assert fingerprint(folder) == first  # a saved predictor is not bound to them


class Canary:
    """What a pickle of it does when it is opened: it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


@pytest.fixture
def sharded(folder: Path) -> Path:
    """A model in two files with an index."""
    tensors = load_file(folder / "model.safetensors")
    with safe_open(folder / "model.safetensors", framework="np") as file:
        metadata = file.metadata()
    names = sorted(tensors)
    (folder / "model.safetensors").unlink()
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for part, own in parts.items():
        save_file({name: tensors[name] for name in own}, folder / part, metadata)
    write_index(folder, {name: part for part, own in parts.items() for name in own})
    return folder


def write_index(folder: Path, weight_map: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def read_index(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    return found


def test_a_sharded_model_is_taken_and_all_of_it_fingerprinted(sharded: Path) -> None:
    assert resolve(sharded, local_files_only=True) == sharded
    assert [path.name for path in weight_files(sharded)] == sorted(set(read_index(sharded).values()))
    assert LocalBackend(sharded, device="cpu").fingerprint() == fingerprint(sharded)
    seen = {fingerprint(sharded)}
    for path in weight_files(sharded):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        seen.add(fingerprint(sharded))
    assert len(seen) == 3


@pytest.mark.parametrize(
    "name",
    ["evil.bin", "../evil.bin", "../../outside/evil.bin", "../outside.safetensors", "sub/evil.safetensors", "/evil.safetensors",
     "evil.safetensors.bin", "evil.pt", "..", "", ".safetensors", "a\\b.safetensors", "a\0.safetensors", "EVIL.SAFETENSORS"],
)  # fmt: skip
def test_an_index_that_names_something_else_is_refused_unopened(
    sharded: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    canary, opened = tmp_path / "canary", []
    monkeypatch.setattr(torch, "load", lambda *what, **_: opened.append(what))
    if "\0" not in name and name not in ("..", ""):
        place = Path(os.path.normpath(sharded / name)) if not name.startswith("/") else None
        if place is not None:
            place.parent.mkdir(exist_ok=True, parents=True)
            place.write_bytes(pickle.dumps(Canary(canary)))
    changed = read_index(sharded)
    changed[min(changed)] = name
    write_index(sharded, changed)
    for act in (lambda: LocalBackend(sharded, device="cpu"), lambda: fingerprint(sharded)):
        with pytest.raises(BackendError, match=r"index.json' must name .safetensors files of its own folder, got "):
            act()
    assert not canary.exists() and opened == []


def test_the_canary_is_alive(tmp_path: Path) -> None:
    """The twin: what opens such a file as a pickle makes the canary's file."""
    pickle.loads(pickle.dumps(Canary(tmp_path / "canary"))).close()
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("weight_map", [None, [], {}, "x", {"a": 1}, {"a": ["model.safetensors"]}])
def test_an_index_without_files_is_refused(sharded: Path, weight_map: object) -> None:
    write_index(sharded, weight_map)
    with pytest.raises(BackendError, match="index.json' must"):
        resolve(sharded, local_files_only=True)


def test_an_index_that_names_a_missing_file_is_refused(sharded: Path) -> None:
    weight_files(sharded)[0].unlink()
    with pytest.raises(BackendError, match="must be a regular file, as model.safetensors.index.json names it"):
        resolve(sharded, local_files_only=True)


def test_a_shard_that_no_one_lists_changes_the_fingerprint_with_the_index(sharded: Path) -> None:
    """Two folders with equal files, of which another is read, are two models."""
    first = weight_files(sharded)[0]
    shutil.copyfile(first, sharded / "other.safetensors")
    one = fingerprint(sharded)
    write_index(
        sharded,
        {name: "other.safetensors" if part == first.name else part for name, part in read_index(sharded).items()},
    )
    assert fingerprint(sharded) != one


@pytest.mark.parametrize("form", ["single", "sharded"])
def test_links_that_leave_the_folder_are_refused(form: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    own: Path = request.getfixturevalue("sharded" if form == "sharded" else "folder")
    first = weight_files(own)[0]
    outside = tmp_path / "outside.safetensors"
    first.rename(outside)
    first.symlink_to(outside)
    with pytest.raises(BackendError, match="must lie in the model's own folder, got a link that leads out of it"):
        resolve(own, local_files_only=True)
    first.unlink()
    outside.rename(own / "kept.safetensors")
    first.symlink_to("kept.safetensors")  # the twin: a link that stays inside works
    assert resolve(own, local_files_only=True) == own
    linked = tmp_path / "linked"
    linked.symlink_to(own)
    assert fingerprint(resolve(linked, local_files_only=True)) == fingerprint(own)


def test_the_cache_of_the_hub_works(sharded: Path, tmp_path: Path) -> None:
    """Files of a revision are links to blobs."""
    before = fingerprint(sharded)
    blobs, revision = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs.mkdir(parents=True)
    revision.mkdir(parents=True)
    for number, path in enumerate(sorted(sharded.iterdir())):
        path.rename(blobs / f"{number:040x}")
        (revision / path.name).symlink_to(f"../../blobs/{number:040x}")
    assert fingerprint(resolve(revision, local_files_only=True)) == before
    assert LocalBackend(revision, device="cpu").fingerprint() == before
    shard = weight_files(revision)[0]
    shutil.copyfile(shard, tmp_path / "elsewhere.safetensors")
    shard.unlink()
    shard.symlink_to(tmp_path / "elsewhere.safetensors")  # the bad twin
    with pytest.raises(BackendError, match="got a link that leads out of it"):
        resolve(revision, local_files_only=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.index.json"])
def test_a_pipe_is_no_file_of_weights(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / name)
    with pytest.raises(BackendError, match="must hold model.safetensors, got a folder without"):
        resolve(folder, local_files_only=True)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "pytorch_model.bin.index.json", "training_args.bin", "optimizer.pt"]
)
def test_pickles_beside_the_weights_are_never_opened(
    folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    opened: list[object] = []
    monkeypatch.setattr(torch, "load", lambda *what, **_: opened.append(what))
    before = fingerprint(folder)
    (folder / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    assert LocalBackend(folder, device="cpu").fingerprint() == before
    assert not (tmp_path / "canary").exists() and opened == []


def test_an_adapter_beside_the_model_is_refused_unopened(folder: Path, tmp_path: Path) -> None:
    """Transformers would add it without a word, from adapter_model.bin if need be, and no fingerprint would tell."""
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 1, "target_modules": ["c_attn"], "base_model_name_or_path": "../other"})
    )
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    with pytest.raises(BackendError, match="must hold a model alone, got an adapter_config.json beside it"):
        LocalBackend(folder, device="cpu")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation"])
def test_a_configuration_names_no_code_of_the_hub(folder: Path, name: str) -> None:
    """With the package kernels transformers would fetch and run it."""
    config = json.loads((folder / "config.json").read_text())
    own: list[dict[str, object]] = [{name: "evil/kernel"}, {"text_config": {name: "evil/kernel:run"}}]
    for change in (*own, {name: {"": "evil/kernel"}}):
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(BackendError, match=f"must not name code of the Hub, got {name} "):
            LocalBackend(folder, device="cpu")
    (folder / "config.json").write_text(json.dumps(config | {name: "eager"}))  # the twin
    assert LocalBackend(folder, device="cpu").model is not None


@pytest.mark.parametrize("named", ["adapter_model.bin", "other.safetensors", "../outside.safetensors", 1])
def test_a_configuration_does_not_choose_the_weights(folder: Path, tmp_path: Path, named: object) -> None:
    shutil.copyfile(folder / "model.safetensors", folder / "other.safetensors")
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": named}))
    with pytest.raises(BackendError, match="must not have transformers_weights, got"):
        LocalBackend(folder, device="cpu")
    assert not (tmp_path / "canary").exists()
