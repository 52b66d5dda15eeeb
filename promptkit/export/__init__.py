"""Learned weights for other programs.

==============  ======================================================================================================
peft            a folder that stock PEFT loads, and vLLM where ``check_vllm`` says so
merged          an ordinary model folder with the LoRA in its weights
baked           an ordinary model folder with the soft prompt as tokens of its vocabulary, and the LoRA in its weights
prompt-embeds   the vectors themselves, for servers that take embeddings in place of a prompt
==============  ======================================================================================================

A folder appears whole or not at all, and the model that serves is never changed. ``write`` puts folders in their
place, ``models`` makes models, ``tokens`` gives them tokens, ``vllm`` knows the rules of vLLM.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from promptkit.backends.base import unwrap
from promptkit.errors import SettingError, UnsupportedError, error_message, one_of
from promptkit.export import write
from promptkit.export.vllm import check_vllm
from promptkit.export.write import Learned

if TYPE_CHECKING:
    from promptkit.backends import LocalBackend

__all__ = ["FORMS", "check_vllm", "export"]

FORMS = ("peft", "merged", "baked", "prompt-embeds")
"""Forms in which weights can be written."""


def export(predictor: Learned, folder: str | os.PathLike[str], to: str = "peft") -> Path:
    """Writes a predictor's learned weights for other programs.

    Every form but ``merged`` leaves a ``README.md`` that says how it is used, all a ``promptkit_export.json`` with the
    base model's fingerprint. Where both LoRA and soft prompt are learned, ``peft`` writes the folders ``lora`` and
    ``soft_prompt``, because PEFT keeps them apart.

    Args:
        predictor: A predictor with ``lora``, ``soft_prompt`` or both, on a ``LocalBackend``, also behind a
            ``CachedBackend``.
        folder: Where to write; a new or empty folder.
        to: ``peft``, ``merged``, ``baked`` or ``prompt-embeds``.

    Returns:
        The folder.

    Raises:
        SettingError: The form is unknown, or the predictor has no weights of that sort.
        UnsupportedError: The backend has no model, or this model cannot be written in that form.
        ArtifactError: The folder holds something already, the weights do not fit, or the disk refuses.

    Example:
        >>> predictor.export("out", to="merged")  # doctest: +SKIP
    """
    if to not in FORMS:
        raise SettingError(error_message("to", of="export", expected=one_of(FORMS), got=to))
    _check_weights(predictor, to)
    backend = _local(predictor)
    for weights in (predictor.lora, predictor.soft_prompt):
        if weights is not None:
            backend.check_weights(weights)
    # Imported here: it loads torch and transformers, which importing this package must not.
    from promptkit.export import models

    target = write.check_target(folder)
    writer = {
        "peft": write.write_peft,
        "prompt-embeds": write.write_vectors,
        "merged": models.write_merged,
        "baked": models.write_baked,
    }[to]
    with write.staged(target) as stage:
        facts = writer(predictor, backend, stage)
        write.write_facts(predictor, stage, {"to": to, **facts})
    return target


def _check_weights(predictor: Learned, to: str) -> None:
    """Checks that there is what a form needs, and nothing that it would lose."""
    soft, lora = predictor.soft_prompt, predictor.lora
    has = " and ".join(name for name, one in (("a LoRA", lora), ("a soft prompt", soft)) if one is not None)
    of = f"export to {to!r}"
    if not has:
        hint = "fit pk.LoRA or pk.SoftPrompt; a predictor that prompts is kept with save"
        raise SettingError(error_message("weights", of=of, expected="there", got=None, hint=hint))
    if to == "merged" and (lora is None or soft is not None):
        expected = "a LoRA alone"
        raise SettingError(
            error_message("weights", of=of, expected=expected, got=has, hint="use to='baked', which keeps soft prompts")
        )
    if to in ("baked", "prompt-embeds") and soft is None:
        raise SettingError(
            error_message("weights", of=of, expected="a soft prompt", got=has, hint="use to='merged' or 'peft'")
        )
    if to in ("baked", "prompt-embeds") and soft is not None and soft.kind == "prefix":
        expected = "vectors before the text, and a prefix is keys and values inside the model"
        raise SettingError(error_message("weights", of=of, expected=expected, got="a prefix", hint="use to='peft'"))


def _local(predictor: Learned) -> LocalBackend:
    from promptkit.backends import LocalBackend  # loads torch, which a refused call need not pay for

    backend = unwrap(predictor.backend)
    if not isinstance(backend, LocalBackend):
        expected = "a LocalBackend, whose model the weights belong to"
        raise UnsupportedError(error_message("backend", of="export", expected=expected, got=type(backend).__name__))
    return backend
