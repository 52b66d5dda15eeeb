"""Checks the safetensors format before anything trusts its offsets.

Layout (https://github.com/huggingface/safetensors, "Format"): 8 bytes with the length N of the header, little-endian;
N bytes of JSON, name -> {dtype, shape, data_offsets}; then the data, which the tensors must tile without gap or
overlap.
"""

from __future__ import annotations

import math
from typing import Any

from promptkit.artifacts.checks import MAX_JSON, parse_json
from promptkit.errors import ArtifactError, error_message, one_of

__all__ = ["check_safetensors"]

_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64"), 8),
}
_MAX_DIMENSIONS = 8


def check_safetensors(data: bytes, name: str = "weights") -> dict[str, tuple[str, tuple[int, ...]]]:
    """Checks a whole safetensors file, header and extent, without reading a number of it.

    Args:
        data: The bytes of the file.
        name: What messages call it.

    Returns:
        Data type and shape of each tensor, by name.

    Raises:
        ArtifactError: The header is too long, is not JSON, repeats a key, or contradicts itself or the data.

    Example:
        >>> header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
        >>> check_safetensors(len(header).to_bytes(8, "little") + header + bytes(4))
        {'a': ('F32', (1,))}
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(MAX_JSON, len(data) - 8):
        expected = f"2 to {MAX_JSON:,} bytes long and inside the file of {len(data):,} bytes"
        raise ArtifactError(error_message("the header", of=name, expected=expected, got=length))
    header = parse_json(data[8 : 8 + length], f"{name}: the header")
    if not isinstance(header, dict) or data[8:9] != b"{":
        raise ArtifactError(f"{name}: the header must be a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ArtifactError(f"{name}: __metadata__ must map texts to texts")
    spans = []
    tensors = {}
    for tensor, entry in header.items():
        label = f"{name}: tensor {tensor!r:.80}"
        dtype, shape, begin, end = _read_entry(entry, label)
        size = math.prod(shape) * _BYTES[dtype]
        if end - begin != size:
            raise ArtifactError(
                error_message("data_offsets", of=label, expected=f"{size:,} bytes apart", got=[begin, end])
            )
        spans.append((begin, end, label))
        tensors[tensor] = (dtype, shape)
    _check_tiling(spans, len(data) - 8 - length, name)
    return tensors


def _read_entry(entry: Any, label: str) -> tuple[str, tuple[int, ...], int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ArtifactError(error_message("its entry", of=label, expected="dtype, shape and data_offsets", got=entry))
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BYTES:
        raise ArtifactError(error_message("dtype", of=label, expected=one_of(_BYTES), got=dtype))
    if not _are_counts(shape) or len(shape) > _MAX_DIMENSIONS:
        expected = f"a list of at most {_MAX_DIMENSIONS} whole numbers from 0 to 2**63 - 1"
        raise ArtifactError(error_message("shape", of=label, expected=expected, got=shape))
    if not _are_counts(offsets) or len(offsets) != 2:
        expected = "two whole numbers from 0 to 2**63 - 1"
        raise ArtifactError(error_message("data_offsets", of=label, expected=expected, got=offsets))
    return dtype, tuple(shape), offsets[0], offsets[1]


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _check_tiling(spans: list[tuple[int, int, str]], size: int, name: str) -> None:
    """Checks that the tensors follow each other without gap or overlap up to the end of the file."""
    position = 0
    for begin, end, label in sorted(spans):
        if begin != position:
            raise ArtifactError(
                error_message("data_offsets", of=label, expected=f"starting at {position:,}", got=begin)
            )
        position = end
    if position != size:
        raise ArtifactError(error_message("the data", of=name, expected=f"{position:,} bytes long", got=size))
