from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from promptkit.backends import model_folder
from promptkit.backends.model_folder import declared_form, fingerprint, fingerprint_of_settings, resolve
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
    monkeypatch.setattr(model_folder, "__file__", str(tmp_path / "promptkit" / "backends" / "model_folder.py"))
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
