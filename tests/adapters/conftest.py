"""Tiny random models, those of the backends' tests."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_PATH = Path(__file__).parents[1] / "backends" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("tiny_models_of_adapters", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
models = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(models)

tiny = models.tiny


@pytest.fixture(scope="session")
def backend_of(tiny: Callable[..., Path]) -> Callable[..., Any]:
    """A function ``backend_of(kind, **config)`` that returns a backend on a tiny model, loaded once."""
    from promptkit.backends import LocalBackend

    @cache
    def load(kind: str, options: tuple[tuple[str, Any], ...]) -> LocalBackend:
        return LocalBackend(tiny(kind, **dict(options)), device="cpu")

    return lambda kind="llama", **options: load(kind, tuple(sorted(options.items())))
