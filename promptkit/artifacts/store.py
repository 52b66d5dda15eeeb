"""Saves and loads a folder of files so that a reader finds the old version or the new one, never a mixture.

Layout::

    my-adapter/
      manifest.json              format, versions, kind, meta; the folder below; size and SHA-256 of every file
      files-0123456789abcdef/    the files of that version

A save writes a new ``files-...`` folder, flushes it to disk, and then replaces ``manifest.json`` in one atomic step,
which is the moment at which the new version comes to be. Folders that no manifest names are leftovers of a save that
was killed; loading ignores them and the next save removes them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from promptkit import __version__
from promptkit.artifacts.checks import SIZE_LIMITS, check_bytes, check_file_name, check_no_paths, parse_json
from promptkit.artifacts.manifest import (
    MANIFEST,
    MAX_FILES,
    VERSION_FOLDER,
    Manifest,
    check_listing,
    read_file,
    read_manifest,
    write_manifest,
)
from promptkit.artifacts.migration import FORMAT, migrate
from promptkit.errors import ArtifactError, check_path, error_message
from promptkit.types import JSONObject

__all__ = ["Stored", "kind_of", "load_folder", "save_folder"]

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Stored:
    """What an artifact holds.

    Attributes:
        files: The bytes of every file, by name.
        meta: The facts that were saved beside them.
        promptkit: The version of promptkit that saved them.
    """

    files: Mapping[str, bytes]
    meta: JSONObject
    promptkit: str


def save_folder(
    folder: str | os.PathLike[str], files: Mapping[str, bytes | str], *, kind: str, meta: JSONObject
) -> None:
    """Saves files as one artifact, in place of the previous version if there is one.

    Killed at any moment, it leaves the previous version or the new one. Of two processes that save to one folder,
    the second waits for the first (on Windows, which lacks that lock, do not do it).

    Args:
        folder: Where to; a new or empty folder, or an earlier artifact.
        files: Content by name; texts are saved as UTF-8.
        kind: What the artifact is, for example ``"predictor"``.
        meta: Facts about it, such as fingerprints: JSON values without absolute paths.

    Raises:
        ArtifactError: A file is not of an allowed kind, the folder holds something else, or the disk refuses.
    """
    target = _as_path(folder)
    payload = _checked_payload(files, target.name)
    stage = f"files-{secrets.token_hex(8)}"
    values = {
        "format": FORMAT,
        "promptkit": __version__,
        "kind": kind,
        "folder": stage,
        "files": {name: {"size": len(data), "sha256": _sha256(data)} for name, data in payload.items()},
        "meta": meta,
    }
    try:
        document = write_manifest(values)
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{target.name}: meta must be JSON values: {error!s:.200}") from None
    check_no_paths(parse_json(document, f"{target.name}: {MANIFEST}")["meta"], f"{target.name}: meta")
    try:
        target.mkdir(parents=True, exist_ok=True)
        with _lock(target):
            _check_is_ours(target)
            try:
                _write_version(target / stage, {**payload, MANIFEST: document})
                os.replace(target / stage / MANIFEST, target / MANIFEST)
                _sync(target)
            finally:
                _remove_leftovers(target)
    except OSError as error:
        raise ArtifactError(
            f"{target.name} could not be saved: {error.strerror or error}; what it held before is whole"
        ) from error


def _as_path(folder: str | os.PathLike[str]) -> Path:
    # The absolute path gives "." a name for messages.
    return Path(
        os.path.abspath(
            check_path(folder, "folder", of="artifact", error=ArtifactError, expected="the path of a folder")
        )
    )


def _checked_payload(files: Mapping[str, bytes | str], of: str) -> dict[str, bytes]:
    if not 1 <= len(files) <= MAX_FILES:
        raise ArtifactError(error_message("files", of=of, expected=f"1 to {MAX_FILES} files", got=len(files)))
    payload = {}
    for name, content in files.items():
        check_file_name(name, of)
        try:
            data = content.encode("utf-8") if isinstance(content, str) else bytes(content)
        except UnicodeEncodeError:
            raise ArtifactError(f"{of}: {name} holds a lone surrogate, which no file can; remove it") from None
        check_bytes(name, data, of)
        payload[name] = data
    return payload


def _check_is_ours(folder: Path) -> None:
    """Refuses to save into a folder with anything else in it: saving removes what it does not know."""
    check_listing(folder)
    if (folder / MANIFEST).exists():
        read_manifest(folder)


def _write_version(stage: Path, files: Mapping[str, bytes]) -> None:
    stage.mkdir()
    for name, data in files.items():
        with (stage / name).open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    _sync(stage)


def _sync(folder: Path) -> None:
    """Flushes the list of names in a folder, without which a power cut may lose a rename."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_leftovers(folder: Path) -> None:
    """Removes every version but the one that the manifest on disk names, whatever happened before."""
    current = ""
    if (folder / MANIFEST).exists():
        try:
            current = read_manifest(folder)[0].folder
        except ArtifactError:
            return
    for entry in folder.iterdir():
        if VERSION_FOLDER.fullmatch(entry.name) and entry.name != current:
            shutil.rmtree(entry, ignore_errors=True)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keeps other saves out of the folder; the system lifts the lock even if this process is killed."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def kind_of(folder: str | os.PathLike[str]) -> str:
    """Tells what an artifact is, from its manifest alone.

    Args:
        folder: Where it was saved.

    Returns:
        Its kind, for example ``"predictor"``.

    Raises:
        ArtifactError: The folder is no artifact, or its manifest is not what it must be.
    """
    target = _as_path(folder)
    check_listing(target)
    return read_manifest(target)[0].kind


def load_folder(folder: str | os.PathLike[str], *, kind: str) -> Stored:
    """Loads an artifact, or refuses it and says why. Nothing in it is run, and no file is used unchecked.

    Args:
        folder: Where it was saved.
        kind: What it must be.

    Returns:
        Its files and facts; those of an older format as the current one has them.

    Raises:
        ArtifactError: The folder is no artifact of this kind, was saved by a newer promptkit, has a file too many or
            too few, a link, a changed byte, or a file that is not what its name says.
    """
    target = _as_path(folder)
    for _ in range(_ATTEMPTS):
        check_listing(target)
        manifest, data = read_manifest(target)
        if manifest.kind != kind:
            raise ArtifactError(error_message("kind", of=target.name, expected=repr(kind), got=manifest.kind))
        try:
            files = _load_version(target / manifest.folder, manifest, target.name)
        except ArtifactError:
            # Another process may have replaced this version meanwhile; a second look tells.
            if read_manifest(target)[1] == data:
                raise
        else:
            return Stored(migrate(files, kind=kind, version=manifest.format), manifest.meta, manifest.promptkit)
    raise ArtifactError(f"{target.name} changes all the time; stop the process that keeps saving to it")


def _load_version(folder: Path, manifest: Manifest, of: str) -> dict[str, bytes]:
    try:
        found = set(os.listdir(folder))
    except OSError as error:
        raise ArtifactError(f"{of}: {folder.name} cannot be read: {error.strerror}") from None
    for name in sorted(found - set(manifest.files)):
        check_file_name(name, of)
        raise ArtifactError(f"{of} holds {name!r}, which its manifest does not list; it was not opened")
    files = {}
    for name, entry in manifest.files.items():
        label = f"{of}: {name}"
        limit = SIZE_LIMITS[check_file_name(name, of)]
        try:
            data = read_file(folder / name, min(entry.size, limit), label)
        except FileNotFoundError:
            raise ArtifactError(f"{label} is missing") from None
        if len(data) != entry.size or _sha256(data) != entry.sha256:
            raise ArtifactError(f"{label} was changed after it was saved: its SHA-256 is not the manifest's")
        check_bytes(name, data, of)
        files[name] = data
    return files


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
