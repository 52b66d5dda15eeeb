"""The key of a cached answer: a hash of everything that can change it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from promptkit.backends.base import Backend
from promptkit.types import Request, ScoreRequest, Weights

__all__ = ["FORMAT", "sample_keys", "scope", "score_keys"]

FORMAT = 1
"""Raised when keys or values come to mean something else; rows of another format are never found."""


def scope(backend: Backend) -> str:
    """Tells a backend from all others that may answer otherwise.

    Beside the fingerprint, which is that of files or names, a backend says in ``cache_scope`` what else counts, such as
    the address of a server, or the kind of a local model's numbers and of the device that computes them.

    Args:
        backend: The model.

    Returns:
        A text for ``sample_keys`` and ``score_keys``.
    """
    return json.dumps([backend.name, backend.fingerprint(), getattr(backend, "cache_scope", None)])


def sample_keys(request: Request, of: str) -> list[bytes]:
    """Makes one key per sample of a request.

    Args:
        request: The request. Every field of it counts, also one that is added to it later.
        of: The ``scope`` of the backend.

    Returns:
        Keys of 32 bytes in the order of ``request.samples``.
    """
    return _keys("generate", request, "samples", of)


def score_keys(request: ScoreRequest, of: str) -> list[bytes]:
    """Makes one key per continuation of a score request.

    Args:
        request: The request.
        of: The ``scope`` of the backend.

    Returns:
        Keys of 32 bytes in the order of ``request.continuations``.
    """
    return _keys("score", request, "continuations", of)


def _keys(verb: str, request: Request | ScoreRequest, each: str, of: str) -> list[bytes]:
    fields = {one.name: getattr(request, one.name) for one in dataclasses.fields(request)}
    parts = fields.pop(each)
    shared = hashlib.sha256(json.dumps([FORMAT, verb, of, _plain(fields)], sort_keys=True).encode())
    keys = []
    for part in parts:
        digest = shared.copy()
        digest.update(json.dumps([each, _plain(part)]).encode())
        keys.append(digest.digest())
    return keys


def _plain(value: Any) -> Any:
    """Turns a value into JSON data that differs wherever the value does."""
    if isinstance(value, Weights):
        return {"weights": value.fingerprint, "kind": value.kind}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of the key of a cached answer; give it a place in _plain")
