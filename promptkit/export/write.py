"""Puts exported folders in their place: made beside it, flushed, and renamed in one step."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from promptkit import __version__
from promptkit.artifacts.weights import weights_to_files
from promptkit.errors import ArtifactError, check_path, error_message
from promptkit.types import JSONObject, Weights

if TYPE_CHECKING:
    from promptkit.backends import Backend, LocalBackend

__all__ = ["FACTS_FILE", "Learned", "check_target", "staged", "write_facts", "write_peft", "write_vectors"]

FACTS_FILE = "promptkit_export.json"
"""What an exported folder is, for people and programs; models do not read it."""
VECTOR_FILE = "soft_prompt.safetensors"
_STAGE = re.compile(r"\..+\.promptkit-[0-9a-f]{16}\.part")
_NO_LOCKS = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL)  # of some network file systems

_PEFT_README = """\
# {what} in PEFT's format

```python
from peft import PeftModel

model = PeftModel.from_pretrained(base_model, "{path}")  # base_model: {base}
```
{note}"""
_BATCH_NOTE = """
PEFT puts the vectors before the padding of a batch, which changes answers on most architectures: with stock PEFT,
generate one text at a time.
"""
_VECTOR_README = """\
# A soft prompt as embeddings

`{file}` holds one tensor, `soft_prompt` [{tokens}, {width}], float32. A server that takes embeddings in place of a
prompt (vLLM: `prompt_embeds`) is sent them in this order:

    prompt_embeds = concatenate([soft_prompt, embed(tokenize(text))])      # [{tokens} + tokens of the text, {width}]

`embed` is the model's own input embedding layer ({base}), and `tokenize` its tokenizer with the frame that it puts
around a text, such as a begin token: the vectors stand before that too. Nothing is scaled or added afterwards, and the
answer starts right after the last embedding.{lora}
"""
_LORA_NOTE = " The LoRA in `lora/` was learned together with them and must be active."


class Learned(Protocol):
    """What is exported of a predictor: learned weights, and the backend whose model they belong to."""

    @property
    def backend(self) -> Backend:
        """The model."""
        ...

    @property
    def soft_prompt(self) -> Weights | None:
        """Learned vectors, keys or values before the text."""
        ...

    @property
    def lora(self) -> Weights | None:
        """Learned low-rank changes."""
        ...


def check_target(folder: str | os.PathLike[str]) -> Path:
    """Checks that a folder is free.

    Args:
        folder: Where an export is to be written.

    Returns:
        Its absolute path.

    Raises:
        ArtifactError: There is something already; an export replaces nothing.
    """
    text = str(check_path(folder, "folder", of="export", error=ArtifactError, expected="the path of a folder"))
    path = Path(os.path.abspath(text))
    try:
        if os.path.lexists(path) and (not path.is_dir() or path.is_symlink() or any(path.iterdir())):
            expected = "new or empty, because an export replaces nothing"
            raise ArtifactError(
                error_message("folder", of="export", expected=expected, got=text, hint="name another, or remove it")
            )
    except OSError as error:
        raise ArtifactError(f"export: {text!r} cannot be read: {error.strerror}; name another folder") from None
    return path


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Gives a folder to write into, and puts it in place when all is written.

    Killed at any moment, it leaves the target as it was. What is left over is a hidden folder beside it, whose name
    starts with the target's and ends in ``.part``; the next export into the same place removes it. A folder in which
    another process is writing is left alone.

    Args:
        target: Where the folder is to be; new or empty.

    Yields:
        A folder beside it.

    Raises:
        ArtifactError: The disk refuses, or somebody else wrote to the target meanwhile.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        with _own_stage(target) as stage:
            yield stage
            for path in [*stage.rglob("*"), stage]:
                _flush(path)
            if sys.platform == "win32" and target.is_dir():
                target.rmdir()  # elsewhere a rename takes the place of an empty folder
            os.rename(stage, target)
            _flush(target.parent)
    except OSError as error:
        reason = error.strerror or error
        raise ArtifactError(f"export: {target.name} could not be written: {reason}; nothing was left there") from error


@contextlib.contextmanager
def _own_stage(target: Path) -> Iterator[Path]:
    """Makes a folder beside the target that this process holds locked, and removes what is left of it."""
    while True:
        stage = target.parent / f".{target.name[:40]}.promptkit-{secrets.token_hex(8)}.part"
        stage.mkdir()
        descriptor = _locked(stage)
        if descriptor is not None:
            break  # otherwise a process that tidies up took it for a leftover in the moment before it was locked
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if descriptor >= 0:
            os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """Locks a folder, which the system undoes even if this process is killed.

    Returns:
        The descriptor to close, -1 where there are no such locks, or ``None`` if another process has it or removed it.
    """
    if sys.platform == "win32":
        return -1
    import fcntl

    descriptor = -1
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(folder, follow_symlinks=False)):
            return descriptor
    except OSError as error:
        if descriptor >= 0 and error.errno in _NO_LOCKS:
            return descriptor
    if descriptor >= 0:
        os.close(descriptor)
    return None


def _remove_leftovers(target: Path) -> None:
    """Removes what exports that were killed left beside a target, of any target in that folder."""
    earlier = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.part")  # as earlier versions named them
    try:
        names = [name for name in os.listdir(target.parent) if _STAGE.fullmatch(name) or earlier.fullmatch(name)]
    except OSError:
        return  # a folder that may be written and not be listed
    for name in names:
        leftover = target.parent / name
        descriptor = _locked(leftover)
        if descriptor is not None:
            shutil.rmtree(leftover, ignore_errors=True)
            if descriptor >= 0:
                os.close(descriptor)


def _flush(path: Path) -> None:
    """Flushes a file, or the list of names in a folder, to disk."""
    if path.is_dir() and sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY if sys.platform != "win32" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def base_name(backend: LocalBackend) -> str | None:
    """Returns the name of a model of the Hugging Face Hub; of a folder nothing, as others lie elsewhere."""
    name = backend.name
    return None if name == "reference" or Path(name).expanduser().exists() else name


def write_facts(predictor: Learned, stage: Path, facts: JSONObject) -> None:
    """Writes what an exported folder is.

    Args:
        predictor: What is exported.
        stage: Where to write.
        facts: What the form has to tell.
    """
    content = {
        "promptkit": __version__,
        "base_fingerprint": predictor.backend.fingerprint(),
        "weights": {
            name: weights.fingerprint
            for name, weights in (("lora", predictor.lora), ("soft_prompt", predictor.soft_prompt))
            if weights is not None
        },
        **facts,
    }
    (stage / FACTS_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_peft(predictor: Learned, backend: LocalBackend, stage: Path) -> JSONObject:
    """Writes folders that stock PEFT loads.

    Args:
        predictor: What is exported.
        backend: Its backend.
        stage: Where to write; into folders of their own if there are both a LoRA and a soft prompt.

    Returns:
        What there is to tell of it.
    """
    found = {"lora": predictor.lora, "soft_prompt": predictor.soft_prompt}
    present = {name: weights for name, weights in found.items() if weights is not None}
    base = base_name(backend)
    for name, weights in present.items():
        folder = stage / name if len(present) > 1 else stage
        folder.mkdir(exist_ok=True)
        for file, data in weights_to_files(weights).items():
            if file.endswith(".json") and base is not None:
                data = json.dumps({**json.loads(data), "base_model_name_or_path": base}, indent=2).encode()
            (folder / file).write_bytes(data)
        what = {"lora": "A LoRA", "prefix": "A prefix", "soft_prompt": "A soft prompt"}[weights.kind]
        note = "" if weights.kind == "lora" else _BATCH_NOTE
        path = "path/of/this/folder"
        text = _PEFT_README.format(what=what, path=path, base=base or "the model it was trained on", note=note)
        (folder / "README.md").write_text(text, encoding="utf-8")
    return {"folders": list(present) if len(present) > 1 else ["."]}


def write_vectors(predictor: Learned, backend: LocalBackend, stage: Path) -> JSONObject:
    """Writes a soft prompt as embeddings, for servers that take them in place of a prompt.

    Args:
        predictor: What is exported; a LoRA of its goes into the folder ``lora``, in PEFT's format.
        backend: Its backend.
        stage: Where to write.

    Returns:
        The order in which a server is sent them.
    """
    from safetensors.numpy import save

    assert predictor.soft_prompt is not None
    vectors = predictor.soft_prompt.tensors["prompt_embeddings"]
    (stage / VECTOR_FILE).write_bytes(save({"soft_prompt": vectors}, {"format": "pt"}))
    if predictor.lora is not None:
        (stage / "lora").mkdir()
        for file, data in weights_to_files(predictor.lora).items():
            (stage / "lora" / file).write_bytes(data)
    text = _VECTOR_README.format(
        file=VECTOR_FILE,
        tokens=len(vectors),
        width=vectors.shape[1],
        base=base_name(backend) or "the model it was trained on",
        lora=_LORA_NOTE if predictor.lora is not None else "",
    )
    (stage / "README.md").write_text(text, encoding="utf-8")
    return {
        "order": ["soft_prompt", "text"],
        "file": VECTOR_FILE,
        "tensor": "soft_prompt",
        "tokens": len(vectors),
        "width": int(vectors.shape[1]),
        "lora": "lora" if predictor.lora is not None else None,
    }
