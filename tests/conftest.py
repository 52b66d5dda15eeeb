"""Settings and tiny models of all tests."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from promptkit import registry
from tests.support.models import tiny_model, tiny_tokenizer

# The models of the tests are tiny: threads cost them more than they give, and far more on a busy machine. Set before
# torch is imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says something about the machine, nothing about the code.
settings.register_profile("promptkit", deadline=None)
settings.load_profile("promptkit")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Takes back what an interrupted command leaves to end its process at once on the next signal."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    yield
    if threading.current_thread() is threading.main_thread():
        for one, handler in before.items():
            signal.signal(one, handler)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts from promptkit's own pieces, and forgets at the end what a test registered and which files it loaded."""
    for module in ("adapters", "backends", "metrics", "parsing"):
        importlib.import_module(f"promptkit.{module}")  # or what they register would be forgotten, too
    others = ("tests.", "examples.", registry.__name__)  # the last: an example in its docstring
    own = {
        group: {name: piece for name, piece in pieces.items() if not piece.value.__module__.startswith(others)}
        for group, pieces in registry._found.items()
    }
    monkeypatch.setattr(registry, "_found", own)
    monkeypatch.setattr(registry, "_plugins", dict(registry._plugins))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function ``tiny(kind, **config)`` that returns the folder of a tiny model."""
    return partial(tiny_model, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def backend_of(tiny: Callable[..., Path]) -> Callable[..., Any]:
    """A function ``backend_of(kind, **config)`` that returns a backend on a tiny model, loaded once."""
    from promptkit.backends import LocalBackend

    @cache
    def load(kind: str, options: tuple[tuple[str, Any], ...]) -> LocalBackend:
        return LocalBackend(tiny(kind, **dict(options)), device="cpu")

    return lambda kind="llama", **options: load(kind, tuple(sorted(options.items())))


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., Any]:
    """The function ``make_tokenizer(chat=, bos=, closing=)``."""
    return tiny_tokenizer
