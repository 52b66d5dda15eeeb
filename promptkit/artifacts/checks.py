"""Says which files an artifact may hold, and checks their bytes before anyone uses them."""

from __future__ import annotations

import json
import math
import pickletools
import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from promptkit.errors import ArtifactError, error_message, one_of

__all__ = [
    "MAX_DEPTH",
    "MAX_JSON",
    "SIZE_LIMITS",
    "check_bytes",
    "check_file_name",
    "check_no_paths",
    "parse_json",
]

MAX_JSON = 1_000_000
"""Most bytes of one JSON document."""
MAX_DEPTH = 50
"""Most levels of nesting in one JSON document."""
SIZE_LIMITS = {
    ".json": MAX_JSON,
    ".jinja": MAX_JSON,
    ".txt": MAX_JSON,
    ".md": MAX_JSON,
    ".jsonl": 64_000_000,
    ".safetensors": 8_000_000_000,
}
"""The kinds of file in an artifact, by ending, and the most bytes of each."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_PICKLE_ENDINGS = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".dill")
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04", b"\x93NUMPY", b"\x1f\x8b")
_CALLING_OPCODES = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"}


def check_file_name(name: str, of: str) -> str:
    """Checks the name of a file in an artifact.

    Args:
        name: The name, without a folder.
        of: What messages call the artifact.

    Returns:
        Its ending, one of ``SIZE_LIMITS``.

    Raises:
        ArtifactError: The name is of a pickle format, has an unknown ending or other characters.
    """
    if name.lower().endswith(_PICKLE_ENDINGS):
        raise ArtifactError(
            f"{of}: {name!r} is of a format that can run code when it is opened, and was not opened; "
            "save weights as .safetensors"
        )
    ending = PurePosixPath(name).suffix
    if not _NAME.fullmatch(name) or ending not in SIZE_LIMITS or name == "manifest.json":
        expected = f"lower-case letters, digits, '.', '_', '-' and an ending, {one_of(SIZE_LIMITS)}"
        raise ArtifactError(error_message("the name of a file", of=of, expected=expected, got=name))
    return ending


def check_bytes(name: str, data: bytes, of: str) -> None:
    """Checks that the bytes of a file are what its ending says, and no pickle in disguise.

    Args:
        name: The name of the file, which ``check_file_name`` has passed.
        data: Its content.
        of: What messages call the artifact.

    Raises:
        ArtifactError: The file is too large, is a pickle or an archive, or is not of its kind.
    """
    label = f"{of}: {name}"
    ending = PurePosixPath(name).suffix
    if len(data) > SIZE_LIMITS[ending]:
        raise ArtifactError(
            error_message("size", of=label, expected=f"at most {SIZE_LIMITS[ending]:,} bytes", got=len(data))
        )
    if data.startswith(_PICKLE_STARTS) and not (ending == ".safetensors" and _is_framed(data)):
        raise ArtifactError(f"{label} holds a pickle or an archive under another name; it was not opened")
    if ending == ".safetensors":
        from promptkit.artifacts.tensors import check_safetensors

        check_safetensors(data, label)
    elif ending == ".json":
        parse_json(data, label)
    elif ending == ".jsonl":
        for number, line in enumerate(data.split(b"\n"), 1):
            if line.strip():
                parse_json(line, f"{label}: line {number}")
    elif _is_calling_pickle(data):
        raise ArtifactError(f"{label} holds a pickle under another name; it was not opened")
    else:
        _decode(data, label)


def _is_framed(data: bytes) -> bool:
    """Whether bytes start as a safetensors file: a length inside of them, then a JSON object.

    Lengths of the header such as 640 read as the first bytes of a pickle. What has this frame is none: the bytes of
    the length end in zeros, which no pickle has at these places, and the whole file is checked after this.
    """
    length = int.from_bytes(data[:8], "little")
    return 2 <= length <= len(data) - 8 and data[8:9] == b"{" and data[3:8] == bytes(5)


def _is_calling_pickle(data: bytes) -> bool:
    """Finds pickles of the text protocols 0 and 1, which have no magic bytes; parses and never runs them."""
    calls = False
    try:
        for opcode, _, _ in pickletools.genops(data):
            calls = calls or opcode.name in _CALLING_OPCODES
    except Exception:  # pickletools documents no list; a failure to parse means that the bytes are no pickle
        return False
    return calls


def _decode(data: bytes, label: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{label} must be UTF-8, got byte 0x{data[error.start]:02x} at {error.start}") from None


def parse_json(data: bytes, label: str) -> Any:
    """Parses JSON strictly.

    Args:
        data: UTF-8 bytes.
        label: What messages call the document.

    Returns:
        The value.

    Raises:
        ArtifactError: The document is too large, too deep, repeats a key, holds NaN or infinity, or is not JSON.

    Example:
        >>> parse_json(b'{"a": [1, null]}', "plan.json")
        {'a': [1, None]}
    """
    if len(data) > MAX_JSON:
        raise ArtifactError(error_message("size", of=label, expected=f"at most {MAX_JSON:,} bytes", got=len(data)))
    text = _decode(data, label)
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite, parse_int=_whole
        )
        depth = _depth(value)
    except RecursionError:
        depth = MAX_DEPTH + 1
    except ValueError as error:
        raise ArtifactError(f"{label} is not JSON as promptkit writes it: {error!s:.200}") from None
    if depth > MAX_DEPTH:
        raise ArtifactError(f"{label} must have at most {MAX_DEPTH} levels of nesting, got more")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, child in pairs:
        if key in value:  # readers differ in which of the two they take, and so could be played against each other
            raise ValueError(f"the key {key!r:.80} appears twice")
        value[key] = child
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number must be finite, got {text:.80}")
    return number


def _whole(text: str) -> int:
    if text == "-0":  # a whole number to Python and a fraction to other readers
        raise ValueError("a whole number must not be -0")
    return int(text)


def _depth(value: Any) -> int:
    """Measures nesting level by level, so that the measuring itself cannot exhaust the stack."""
    depth = 0
    level = [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return depth


def check_no_paths(value: Any, label: str) -> None:
    """Refuses absolute paths, which tell about the machine that saved and mean nothing elsewhere.

    Args:
        value: JSON values.
        label: What messages call them.

    Raises:
        ArtifactError: A text is an absolute path.
    """
    if isinstance(value, str):
        if len(value) > 1 and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
            raise ArtifactError(error_message("a text", of=label, expected="no absolute path", got=value))
    elif isinstance(value, dict):
        for key, child in value.items():
            check_no_paths(key, f"{label}: a key")
            check_no_paths(child, f"{label}.{key}")
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            check_no_paths(child, f"{label}[{index}]")
