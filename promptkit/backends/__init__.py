"""Backends: what turns prompts into completions.

``base`` holds the protocol and the checks that every backend shares, ``scripted`` a backend without a model for
tests and dry runs, ``local`` the one that runs transformers models. ``LocalBackend`` is imported on first use,
because torch and transformers take seconds to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptkit.backends.base import Backend
from promptkit.backends.scripted import ScriptedBackend

if TYPE_CHECKING:
    from promptkit.backends.local import LocalBackend

__all__ = ["Backend", "LocalBackend", "ScriptedBackend"]


def __getattr__(name: str) -> Any:
    """Loads ``LocalBackend`` when it is first asked for."""
    if name == "LocalBackend":
        from promptkit.backends.local import LocalBackend

        return LocalBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
