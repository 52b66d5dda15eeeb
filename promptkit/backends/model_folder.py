"""Finding a model's folder, checking that it is complete, and fingerprinting it. Needs neither torch nor network."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from promptkit.errors import BackendError, opens

__all__ = ["declared_form", "fingerprint", "fingerprint_of_settings", "resolve"]

_VOLATILE = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt")
_FORM_FILE = "promptkit.json"
_SETTINGS_FILES = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


@opens(BackendError, of="LocalBackend", which="name", others=True)
def resolve(name: str | Path, *, local_files_only: bool) -> Path:
    """Finds the folder of a model.

    Args:
        name: "reference", a folder, or a name on the Hugging Face Hub.
        local_files_only: Whether to use only what is on this machine.

    Returns:
        A folder that holds configuration, weights and tokenizer.

    Raises:
        BackendError: There is no such folder or model, or the folder lacks a file; the message names it.
    """
    text = str(name)
    if text == "reference":
        folder = Path(__file__).resolve().parents[1] / "models" / "reference"
        if not folder.is_dir():
            raise BackendError(
                f"LocalBackend: the reference model must lie in {str(folder)!r}, got no such folder; reinstall "
                "promptkit, or build the model with examples/reference_model"
            )
    else:
        folder = Path(os.path.expanduser(text))
        if not text or not folder.is_dir():
            if isinstance(name, Path) or _looks_like_path(text) or folder.exists():
                raise BackendError(
                    f"LocalBackend: {text!r} must be a folder with config.json, model.safetensors and "
                    "tokenizer.json, got no such folder; check the path"
                )
            folder = _download(text, local_files_only)
    _check_files(folder)
    return folder


def _looks_like_path(text: str) -> bool:
    return not text or text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text


def _download(name: str, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(
            snapshot_download(name, allow_patterns=wanted, ignore_patterns=["*/*"], local_files_only=local_files_only)
        )
    except Exception as error:  # the hub's client raises kinds of its own, of its network library and of the system
        raise BackendError(
            f"LocalBackend: {name!r} must be 'reference', a folder or the name of a model on the Hugging Face Hub, "
            f"got {type(error).__name__} while looking for it; check the name and the network, or give a folder"
        ) from error


def _check_files(folder: Path) -> None:
    lacking = [] if (folder / "config.json").is_file() else ["config.json"]
    if not any(folder.glob("*.safetensors")):
        lacking.append("model.safetensors")
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        lacking.append("tokenizer.json")
    if lacking:
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth"))
        why = f" ({pickled[0]} is a pickle, which is never opened)" if pickled else ""
        raise BackendError(
            f"LocalBackend: folder {str(folder)!r} must hold {', '.join(lacking)}, got a folder without{why}; "
            "save a model and its tokenizer there with save_pretrained"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BackendError(
            f"LocalBackend: {str(path)!r} must be a JSON file, got {type(error).__name__}: {error}; "
            "save the model again"
        ) from error
    if not isinstance(content, dict):
        raise BackendError(f"LocalBackend: {str(path)!r} must be a JSON object, got {type(content).__name__}")
    return content


def declared_form(folder: Path) -> str | None:
    """Tells the form in which a model wants its prompts, where its folder says so.

    Args:
        folder: The model's folder; ``promptkit.json`` in it may hold ``{"form": "completion"}`` or ``"chat"``.

    Returns:
        "completion", "chat" or ``None``.

    Raises:
        BackendError: The file says something else.
    """
    path = folder / _FORM_FILE
    if not path.is_file():
        return None
    content = _read_json(path)
    if set(content) != {"form"} or content["form"] not in ("completion", "chat"):
        raise BackendError(
            f'LocalBackend: {str(path)!r} must be {{"form": "completion"}} or {{"form": "chat"}}, got '
            f"{json.dumps(content)[:80]}; correct or delete the file"
        )
    form: str = content["form"]
    return form


def fingerprint(folder: Path) -> str:
    """Hashes what decides a model's answers: weights, tokenizer, chat template and configuration.

    Names of machines, paths and library versions do not enter, so equal models have equal fingerprints everywhere.

    Args:
        folder: The model's folder.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    names = (*_TOKENIZER_FILES, "chat_template.jinja", _FORM_FILE)
    for path in [*sorted(folder.glob("*.safetensors")), *(folder / name for name in names)]:
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    essential = {key: value for key, value in _read_json(folder / "config.json").items() if key not in _VOLATILE}
    digest.update(json.dumps(essential, sort_keys=True).encode())
    return digest.hexdigest()


def fingerprint_of_settings(folder: Path) -> str:
    """Hashes files that ``fingerprint`` leaves out, although an answer can depend on them.

    They hold the tokens that end a completion, what the tokenizer puts around a text, and in older folders the chat
    template. Libraries rewrite them with their own version in it, so a saved predictor must not be bound to them.

    Args:
        folder: The model's folder.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in (folder / name for name in _SETTINGS_FILES):
        if path.is_file():
            digest.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()
