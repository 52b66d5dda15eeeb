"""The manifest of an artifact, and reading the files beside it without trusting them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promptkit.artifacts.checks import MAX_JSON, check_file_name, parse_json
from promptkit.artifacts.migration import FORMAT
from promptkit.errors import ArtifactError, error_message
from promptkit.types import JSONObject

__all__ = [
    "MANIFEST",
    "MAX_FILES",
    "VERSION_FOLDER",
    "File",
    "Manifest",
    "check_listing",
    "read_file",
    "read_manifest",
    "write_manifest",
]

MAX_FILES = 64
"""Most files in one artifact."""
MANIFEST = "manifest.json"
"""The file that makes a folder an artifact."""
VERSION_FOLDER = re.compile(r"files-[0-9a-f]{16}")
"""Names of the folders that hold the files of one version."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class File(BaseModel):
    """What the manifest says of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: int = Field(ge=0)
    sha256: Sha256


class Manifest(BaseModel):
    """What an artifact is, and what belongs to it.

    Attributes:
        format: Version of the layout and of what the files hold; see ``promptkit.artifacts.migration``.
        promptkit: Version of promptkit that saved it.
        kind: What the artifact is.
        folder: The folder of this version.
        files: Size and hash of each file in that folder.
        meta: Facts that the saver gave.
        sha256: Hash of the manifest itself, computed with this field empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: int
    promptkit: str
    kind: str
    folder: str
    files: dict[str, File] = Field(min_length=1, max_length=MAX_FILES)
    meta: JSONObject
    sha256: Sha256


def write_manifest(values: JSONObject) -> bytes:
    """Writes a manifest with its own hash.

    Args:
        values: The fields of ``Manifest`` but the hash.

    Returns:
        The bytes of the file.

    Raises:
        TypeError: A value is none of JSON.
        ValueError: A number is not finite, or a text holds a lone surrogate.
    """
    return _dump({**values, "sha256": _own_hash(values)})


def _dump(values: JSONObject) -> bytes:
    return json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False).encode()


def _own_hash(values: JSONObject) -> str:
    return hashlib.sha256(_dump({**values, "sha256": ""})).hexdigest()


def _is_intact(values: JSONObject, data: bytes) -> bool:
    try:
        return _own_hash(values) == values["sha256"] and _dump(values) == data
    except ValueError:  # a lone surrogate, which can be read as an escape but never was written
        return False


def read_manifest(folder: Path) -> tuple[Manifest, bytes]:
    """Reads and checks the manifest.

    Args:
        folder: The artifact.

    Returns:
        The manifest, and its bytes for telling whether it changed.

    Raises:
        ArtifactError: It is missing, of a newer format, or not what a manifest must be.
    """
    label = f"{folder.name}: {MANIFEST}"
    try:
        data = read_file(folder / MANIFEST, MAX_JSON, label)
    except FileNotFoundError:
        raise ArtifactError(f"{label} is missing; the folder is no artifact, or its first save was cut off") from None
    value = parse_json(data, label)
    if not isinstance(value, dict) or type(value.get("format")) is not int:
        raise ArtifactError(f"{label} must be an object with a whole number 'format'; it is not promptkit's")
    if value["format"] > FORMAT:
        version = value.get("promptkit")
        known = isinstance(version, str) and re.fullmatch(r"[0-9][0-9a-z.+]{0,30}", version)
        raise ArtifactError(f"{label} has format {value['format']}: needs promptkit >= {version if known else '?'}")
    try:
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ArtifactError(f"{label}: {where:.80}: {fault['msg']}") from None
    if manifest.format < 1 or not VERSION_FOLDER.fullmatch(manifest.folder):
        expected = f"1 to {FORMAT} and its folder named files-..."
        raise ArtifactError(
            error_message("format", of=label, expected=expected, got=(manifest.format, manifest.folder))
        )
    if not _is_intact(value, data):
        raise ArtifactError(f"{label} was changed after it was saved: its SHA-256 is another")
    for name in manifest.files:
        check_file_name(name, folder.name)
    return manifest, data


def check_listing(folder: Path) -> None:
    """Checks that a folder holds a manifest and folders of versions, and nothing else.

    Args:
        folder: The artifact.

    Raises:
        ArtifactError: It holds something else, or cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                version = VERSION_FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
                if not version and entry.name != MANIFEST:
                    raise ArtifactError(
                        f"{folder.name} holds {entry.name!r}, which is no part of an artifact and was not opened; "
                        "remove it, or name another folder"
                    )
    except OSError as error:
        raise ArtifactError(f"{folder.name} cannot be read: {error.strerror}; name the folder of an artifact") from None


def read_file(path: Path, limit: int, label: str) -> bytes:
    """Reads a regular file of limited size; never follows a link, never waits on a pipe or device.

    Args:
        path: The file.
        limit: Most bytes that it may have.
        label: What messages call it.

    Returns:
        Its bytes.

    Raises:
        FileNotFoundError: There is no such file.
        ArtifactError: It is a link, no regular file, or too large.
    """
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ArtifactError(f"{label} must be a regular file and no link: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # before Python makes a file of it, which folders cannot be
        os.close(descriptor)
        raise ArtifactError(f"{label} must be a regular file")
    try:
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ArtifactError(f"{label} cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise ArtifactError(
            error_message("size", of=label, expected=f"at most {limit:,} bytes", got=f"{len(data):,} or more")
        )
    return data
