"""The model of a command: on this machine, or at a server."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import promptkit as pk

__all__ = ["open_model"]


def open_model(
    model: str,
    base_url: str | None = None,
    api_key_env: str | None = None,
    cache: str | None = None,
    backend: str | None = None,
) -> pk.Backend:
    """Opens the model that a command was told to use.

    Args:
        model: Value of ``--model``: of a local model the name or folder, or what the server calls it.
        base_url: Value of ``--base-url``; ``None`` or "" for a local model.
        api_key_env: Value of ``--api-key-env``; ``None`` or "" for none.
        cache: Value of ``--cache``; ``None`` or "" for none.
        backend: Value of ``--backend``, a registered name; ``None`` or "" for ``openai`` with ``--base-url``, and
            ``local`` without.

    Returns:
        The backend, behind its cache if there is one.

    Raises:
        typer.BadParameter: The options contradict each other.
        BackendError: There is no such local model.
        SettingError: The backend is unknown or does not take the settings, the address or the key is of a wrong form,
            or the cache is a file of another program.
    """
    import promptkit as pk
    from promptkit.backends.base import check_backend
    from promptkit.registry import find

    name = backend or ("openai" if base_url else "local")
    if name == "openai" and not base_url:
        raise typer.BadParameter("needs --base-url, the address of the server", param_hint="--backend")
    if name == "openai" and model == "reference":
        raise typer.BadParameter("must name a model of the server when --base-url is given", param_hint="--model")
    if api_key_env and not base_url:
        raise typer.BadParameter("needs --base-url, the server that takes the key", param_hint="--api-key-env")
    made: pk.Backend
    if name == "local" and not base_url:
        made = pk.LocalBackend(model)
    elif name == "openai" and base_url:
        made = pk.RemoteBackend(base_url, model, api_key_env=api_key_env or None)
    else:
        given = {"base_url": base_url, "api_key_env": api_key_env}
        settings = {option: value for option, value in given.items() if value}
        factory = find("backend", name, of="promptkit", which="--backend").value
        try:
            inspect.signature(factory).bind(model, **settings)
        except TypeError as error:
            raise pk.SettingError(f"backend {name!r} cannot be opened with {sorted(settings)}: {error}") from None
        made = factory(model, **settings)
        check_backend(made, of=f"backend {name!r}")
    return pk.CachedBackend(made, cache) if cache else made
