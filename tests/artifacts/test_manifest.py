from __future__ import annotations

import json
import os

import pytest

from promptkit.artifacts import load_folder, save_folder
from promptkit.artifacts.checks import MAX_JSON
from promptkit.artifacts.manifest import write_manifest
from promptkit.artifacts.migration import FORMAT
from promptkit.errors import ArtifactError


@pytest.fixture
def folder(tmp_path):
    save_folder(tmp_path / "art", {"a.json": "{}", "b.txt": "b"}, kind="test", meta={"n": 1})
    return tmp_path / "art"


def rehash(folder, change) -> None:
    """Changes the manifest and gives it a hash that fits, as an attacker would."""
    values = json.loads((folder / "manifest.json").read_bytes())
    del values["sha256"]
    values = change(values) or values
    (folder / "manifest.json").write_bytes(write_manifest(values))


def test_the_rehashed_manifest_itself_is_accepted(folder):
    """Shows that the refusals below are not of the hash."""
    rehash(folder, lambda values: None)
    assert load_folder(folder, kind="test").meta == {"n": 1}
    rehash(folder, lambda values: {**values, "meta": {"n": 2}})
    assert load_folder(folder, kind="test").meta == {"n": 2}


HASH = "0" * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {**v, "format": FORMAT + 1}, r"has format 3: needs promptkit >= 0\.1\.0"),
        (lambda v: {"format": 9, "promptkit": "3.2.1rc1", "new": {}}, r"has format 9: needs promptkit >= 3\.2\.1rc1$"),
        (lambda v: {"format": 9, "promptkit": "<script>"}, r"needs promptkit >= \?$"),
        (lambda v: {**v, "format": 0}, "format must be 1 to 2"),
        (lambda v: {**v, "format": "1"}, "a whole number 'format'"),
        (lambda v: {**v, "format": True}, "a whole number 'format'"),
        (lambda v: {**v, "auto_mapping": {}}, "auto_mapping: Extra inputs are not permitted"),
        (lambda v: {**v, "trust_remote_code": True}, "trust_remote_code: Extra inputs"),
        (lambda v: {**v, "base_url": "http://x"}, "base_url: Extra inputs"),
        (lambda v: {**v, "api_key": "x"}, "api_key: Extra inputs"),
        (lambda v: {k: v[k] for k in v if k != "kind"}, "kind: Field required"),
        (lambda v: {**v, "kind": 5}, "kind: Input should be a valid string"),
        (lambda v: {**v, "kind": "other"}, "kind must be 'test', got 'other'"),
        (lambda v: {**v, "meta": []}, "meta: Input should be a valid dictionary"),
        (lambda v: {**v, "files": {}}, "files: Dictionary should have at least 1 item"),
        (
            lambda v: {**v, "files": {f"{i}.txt": {"size": 0, "sha256": HASH} for i in range(65)}},
            "files: .* at most 64",
        ),
        (lambda v: {**v, "files": {"a.json": {"size": "2", "sha256": HASH}}}, r"files\.a\.json\.size: "),
        (lambda v: {**v, "files": {"a.json": {"size": -1, "sha256": HASH}}}, r"files\.a\.json\.size: "),
        (lambda v: {**v, "files": {"a.json": {"size": 2, "sha256": "0"}}}, r"files\.a\.json\.sha256: "),
        (lambda v: {**v, "files": {"a.json": {"size": 2, "sha256": "F" * 64}}}, r"files\.a\.json\.sha256: "),
        (lambda v: {**v, "files": {"a.json": {"size": 2, "sha256": HASH, "url": "x"}}}, "Extra inputs"),
        (lambda v: {**v, "files": {"../../x.json": {"size": 2, "sha256": HASH}}}, "the name of a file must be"),
        (lambda v: {**v, "files": {"/etc/passwd": {"size": 2, "sha256": HASH}}}, "the name of a file must be"),
        (lambda v: {**v, "files": {"w.bin": {"size": 2, "sha256": HASH}}}, "can run code"),
        (lambda v: {**v, "files": {**v["files"], "c.txt": {"size": 0, "sha256": HASH}}}, "c.txt is missing"),
        (lambda v: {**v, "files": {"a.json": v["files"]["a.json"]}}, "holds 'b.txt', which its manifest does not list"),
        (lambda v: {**v, "files": {**v["files"], "b.txt": {"size": 1, "sha256": HASH}}}, "b.txt was changed after"),
        (
            lambda v: {**v, "files": {**v["files"], "b.txt": {"size": 0, "sha256": HASH}}},
            "b.txt: size must be at most 0",
        ),
        (lambda v: {**v, "folder": "../x"}, "folder named files-"),
        (lambda v: {**v, "folder": "."}, "folder named files-"),
        (lambda v: {**v, "folder": "/etc"}, "folder named files-"),
        (lambda v: {**v, "folder": "files-0123456789abcdef"}, "files-0123456789abcdef cannot be read"),
    ],
)
def test_hostile_manifests(folder, change, message):
    rehash(folder, change)
    with pytest.raises(ArtifactError, match=rf"^art.*{message}") as caught:
        load_folder(folder, kind="test")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not JSON"),
        (b"[]", "must be an object"),
        (b"null", "must be an object"),
        (b'{"format": 1, "format": 1}', "the key 'format' stands twice"),
        (b"[" * 1_000 + b"]" * 1_000, "levels of nesting"),
        (b'{"format": 1, "meta": ' + b"[" * 300_000, "levels of nesting"),
        (b" " * (MAX_JSON + 1), "size must be at most 1,000,000 bytes"),
        (b"\x80\x04K\x01.", "must be UTF-8"),
        (b'{"name": "a browser extension", "manifest_version": 3}', "it is not promptkit's"),
    ],
)
def test_files_that_are_no_manifest(folder, data, message):
    (folder / "manifest.json").write_bytes(data)
    for call in (
        lambda: load_folder(folder, kind="test"),
        lambda: save_folder(folder, {"a.txt": ""}, kind="test", meta={}),  # what is not ours is not overwritten
    ):
        with pytest.raises(ArtifactError, match=rf"^art: manifest\.json.*{message}"):
            call()
    assert (folder / "manifest.json").read_bytes() == data


def test_another_spelling_of_the_same_values_is_refused(folder):
    values = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match="was changed after it was saved"):
        load_folder(folder, kind="test")


def test_a_surrogate_in_the_manifest_is_refused(folder):
    text = (folder / "manifest.json").read_text().replace('"n"', '"\\ud800"')
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match="was changed after it was saved"):
        load_folder(folder, kind="test")


@pytest.mark.parametrize("where", ["manifest.json", "file", "version"])
def test_links_are_not_followed(folder, where, tmp_path):
    version = next(path for path in folder.iterdir() if path.is_dir())
    path = {"manifest.json": folder / "manifest.json", "file": version / "b.txt", "version": version}[where]
    path.rename(tmp_path / "moved")
    os.symlink(tmp_path / "moved", path)
    with pytest.raises(ArtifactError, match="no link|no part of an artifact"):
        load_folder(folder, kind="test")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("name", ["manifest.json", "b.txt"])
def test_a_pipe_does_not_block(folder, name):
    path = next(folder.rglob(name))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ArtifactError, match="must be a regular file"):
        load_folder(folder, kind="test")
