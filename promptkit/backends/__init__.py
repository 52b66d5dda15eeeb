"""Backends: what turns prompts into completions.

``base`` holds the protocol and the checks that every backend shares, ``scripted`` a backend without a model for
tests and dry runs, ``local`` the one that runs transformers models, ``remote`` the one that asks a model server, and
``cache`` one that remembers the answers of another. ``LocalBackend`` is imported on first use, because torch and
transformers take seconds to load, and so are those that not every program needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from promptkit.backends.base import Backend
from promptkit.backends.scripted import ScriptedBackend
from promptkit.registry import register

if TYPE_CHECKING:
    from promptkit.backends.cached import CachedBackend
    from promptkit.backends.local.backend import LocalBackend
    from promptkit.backends.openai.backend import RemoteBackend

__all__ = ["Backend", "CachedBackend", "LocalBackend", "RemoteBackend", "ScriptedBackend"]

_LATER = {"CachedBackend": "cached", "LocalBackend": "local.backend", "RemoteBackend": "openai.backend"}


def __getattr__(name: str) -> Any:
    """Loads a backend when it is first asked for."""
    if name in _LATER:
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@register("backend", "local")
def _local(model: str, **settings: Any) -> Backend:
    """A transformers model on this machine; the default without --base-url."""
    from promptkit.backends.local.backend import LocalBackend

    return LocalBackend(model, **settings)


@register("backend", "openai")
def _openai(model: str, base_url: str = "", **settings: Any) -> Backend:
    """A model behind an OpenAI-compatible server; the default with --base-url."""
    from promptkit.backends.openai.backend import RemoteBackend

    return RemoteBackend(base_url, model, **settings)
