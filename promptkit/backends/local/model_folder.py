"""Finding a model's folder, checking that it is complete, and fingerprinting it. Needs neither torch nor network.

Weights are read from ``.safetensors`` files that lie in the folder itself and nowhere else. Left to itself,
transformers opens whatever ``model.safetensors.index.json`` names, also pickles and files of other folders, takes
another file where ``config.json`` has ``transformers_weights``, and adds an adapter that lies beside the model.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from promptkit.errors import BackendError, opens

__all__ = ["declared_form", "fingerprint", "fingerprint_of_settings", "resolve", "weight_files"]

_VOLATILE = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt")
_FORM_FILE = "promptkit.json"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_WEIGHT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.safetensors")
_CODE_FIELDS = ("attn_implementation", "_attn_implementation")
_MAX_INDEX = 100_000_000  # bytes; the largest published ones have ten million
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
        BackendError: There is no such folder or model, the folder lacks a file, or its weights would be read from
            somewhere else than ``weight_files`` allows; the message names the file.
    """
    text = str(name)
    if text == "reference":
        folder = Path(__file__).resolve().parents[2] / "models" / "reference"
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
    if not weight_files(folder):
        lacking.append(_WEIGHTS)
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        lacking.append("tokenizer.json")
    if lacking:
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth"))
        why = f" ({pickled[0]} is a pickle, which is never opened)" if pickled else ""
        raise BackendError(
            f"LocalBackend: folder {str(folder)!r} must hold {', '.join(lacking)}, got a folder without{why}; "
            "save a model and its tokenizer there with save_pretrained"
        )
    if (folder / "adapter_config.json").exists():  # transformers would load it, and adapter_model.bin is a pickle
        raise BackendError(
            f"LocalBackend: folder {str(folder)!r} must hold a model alone, got an adapter_config.json beside it; move "
            "the adapter to a folder of its own, and read it with promptkit.artifacts.weights.read_peft_folder"
        )
    _check_config(folder / "config.json")


def _check_config(path: Path) -> None:
    """Refuses settings by which transformers would open other weights, or fetch and run code from the Hub."""
    config = _read_json(path)
    named = config.get("transformers_weights")
    if named is not None:
        raise BackendError(
            f"LocalBackend: {str(path)!r} must not have transformers_weights, got {named!r:.80}; remove it, and name "
            f"the weights {_WEIGHTS}"
        )
    level: list[Any] = [config]
    while level:
        for name in _CODE_FIELDS:
            for value in (one.get(name) for one in level):
                if isinstance(value, str | dict) and "/" in str(value):  # an owner and a name on the Hub
                    got = f"{name} {value!r:.80}"
                    raise BackendError(
                        f"LocalBackend: {str(path)!r} must not name code of the Hub, got {got}; remove it"
                    )
        level = [child for one in level for child in one.values() if isinstance(child, dict)]


def weight_files(folder: Path) -> list[Path]:
    """Returns the files from which the weights of a model are read.

    These are ``model.safetensors``, or else the files that ``model.safetensors.index.json`` names. Each must be a
    regular file in the folder itself with a plain name that ends in ``.safetensors``. A link may lead to a file of the
    same folder, and in the cache of the Hugging Face Hub (``snapshots/REVISION``) to one of its ``blobs``; a folder
    that is itself a link is followed.

    Args:
        folder: The model's folder.

    Returns:
        The files by name; none where the folder has neither.

    Raises:
        BackendError: The index or a link names something else; it was not opened.
    """
    names = [_WEIGHTS] if (folder / _WEIGHTS).is_file() else []
    listed = _listed(folder) if (folder / _INDEX).is_file() else []
    for name in (*names, *listed):
        _check_place(folder, name)
    return [folder / name for name in names or listed]


def _listed(folder: Path) -> list[str]:
    """Returns the names of files in the index of a sharded model."""
    path = folder / _INDEX
    if path.stat().st_size > _MAX_INDEX:
        raise BackendError(f"LocalBackend: {str(path)!r} must have at most {_MAX_INDEX:,} bytes, got more")
    content = _read_json(path).get("weight_map")
    names = set(map(str, content.values())) if isinstance(content, dict) else set()
    for name in sorted(names):
        if not _WEIGHT_NAME.fullmatch(name):
            raise BackendError(
                f"LocalBackend: {str(path)!r} must name .safetensors files of its own folder, got {name!r:.120}, which "
                "was not opened; save the model again with save_pretrained"
            )
    if not names:
        raise BackendError(f"LocalBackend: {str(path)!r} must have a weight_map with files, got none; save it again")
    return sorted(names)


def _check_place(folder: Path, name: str) -> None:
    path, home = folder / name, folder.resolve()
    if not path.is_file():
        raise BackendError(
            f"LocalBackend: {str(path)!r} must be a regular file, as {_INDEX} names it, got none; complete the folder"
        )
    allowed = [home]
    if home.parent.name == "snapshots":  # the layout of the Hub's cache
        allowed.append(home.parents[1] / "blobs")
    if path.resolve().parent not in allowed:
        raise BackendError(
            f"LocalBackend: {str(path)!r} must lie in the model's own folder, got a link that leads out of it, which "
            "was not opened; copy the file there, or name the folder where it lies"
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

    Names of machines, paths and library versions do not enter, so equal models have equal fingerprints everywhere. All
    ``.safetensors`` files of the folder enter, and which of them are read where an index names only some.

    Args:
        folder: The model's folder.

    Returns:
        64 hexadecimal digits.

    Raises:
        BackendError: The weights lie elsewhere than ``weight_files`` allows.
    """
    digest = hashlib.sha256()
    names = (*_TOKENIZER_FILES, "chat_template.jinja", _FORM_FILE)
    weights, used = sorted(folder.glob("*.safetensors")), weight_files(folder)
    if used != weights and used != [folder / _WEIGHTS]:
        digest.update(f"{_INDEX}\0{json.dumps([path.name for path in used])}\0".encode())
    for path in [*weights, *(folder / name for name in names)]:
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
