"""The model of a command: on this machine, or at a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import promptkit as pk

__all__ = ["open_model"]


def open_model(model: str, base_url: str = "", api_key_env: str = "") -> pk.Backend:
    """Opens the model that a command was told to use.

    Args:
        model: Value of ``--model``: of a local model the name or folder, or what the server calls it.
        base_url: Value of ``--base-url``; "" for a local model.
        api_key_env: Value of ``--api-key-env``; "" for none.

    Returns:
        The backend.

    Raises:
        typer.BadParameter: The options contradict each other.
        BackendError: There is no such local model.
    """
    import promptkit as pk

    if not base_url:
        if api_key_env:
            raise typer.BadParameter("needs --base-url, the server that takes the key", param_hint="--api-key-env")
        return pk.LocalBackend(model)
    if model == "reference":
        raise typer.BadParameter("must name a model of the server when --base-url is given", param_hint="--model")
    return pk.RemoteBackend(base_url, model, api_key_env=api_key_env or None)
