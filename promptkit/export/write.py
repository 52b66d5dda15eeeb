"""Puts exported folders in their place: made beside it, flushed, and renamed in one step."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from promptkit import __version__
from promptkit.artifact.weights import weights_to_files
from promptkit.errors import ArtifactError, explain
from promptkit.types import JSONObject, Weights

if TYPE_CHECKING:
    from promptkit.backends import Backend, LocalBackend

__all__ = ["FACTS_FILE", "Learned", "check_target", "staged", "write_facts", "write_peft", "write_vectors"]

FACTS_FILE = "promptkit_export.json"
"""What an exported folder is, for people and programs; models do not read it."""
VECTOR_FILE = "soft_prompt.safetensors"

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
    text = os.fspath(folder)
    if not text or "\0" in text:
        raise ArtifactError(explain("folder", of="export", must="the path of a folder", got=text))
    path = Path(os.path.abspath(text))
    try:
        if os.path.lexists(path) and (not path.is_dir() or path.is_symlink() or any(path.iterdir())):
            must = "new or empty, because an export replaces nothing"
            raise ArtifactError(explain("folder", of="export", must=must, got=text, do="name another, or remove it"))
    except OSError as error:
        raise ArtifactError(f"export: {text!r} cannot be read: {error.strerror}; name another folder") from None
    return path


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Gives a folder to write into, and puts it in place when all is written.

    Killed at any moment, it leaves the target as it was; what is left over is a hidden folder beside it, whose name
    starts with the target's and ends in ``.part``.

    Args:
        target: Where the folder is to be; new or empty.

    Yields:
        A folder beside it.

    Raises:
        ArtifactError: The disk refuses, or somebody else wrote to the target meanwhile.
    """
    stage = target.parent / f".{target.name}.{secrets.token_hex(8)}.part"
    try:
        stage.mkdir(parents=True)
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
    finally:
        shutil.rmtree(stage, ignore_errors=True)


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
