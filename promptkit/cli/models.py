"""The model of a command: on this machine, or at a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import promptkit as pk

__all__ = ["open_model"]


def open_model(
    model: str, base_url: str | None = None, api_key_env: str | None = None, cache: str | None = None
) -> pk.Backend:
    """Opens the model that a command uses.

    Args:
        model: Value of ``--model``: of a local model the name or folder, or what the server calls it.
        base_url: Value of ``--base-url``; ``None`` or "" for a local model.
        api_key_env: Value of ``--api-key-env``; ``None`` or "" for none.
        cache: Value of ``--cache``; ``None`` or "" for none.

    Returns:
        The backend, behind its cache if there is one.

    Raises:
        typer.BadParameter: The options contradict each other.
        BackendError: There is no such local model.
        SettingError: The address or the key is of a wrong form, or the cache is a file of another program.
    """
    import promptkit as pk

    backend: pk.Backend
    if base_url:
        if model == "reference":
            raise typer.BadParameter("must name a model of the server when --base-url is given", param_hint="--model")
        backend = pk.RemoteBackend(base_url, model, api_key_env=api_key_env or None)
    elif api_key_env:
        raise typer.BadParameter("needs --base-url, the server that takes the key", param_hint="--api-key-env")
    else:
        backend = pk.LocalBackend(model)
    return pk.CachedBackend(backend, cache) if cache else backend
