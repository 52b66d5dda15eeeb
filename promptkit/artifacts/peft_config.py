"""Reads and writes PEFT's ``adapter_config.json`` by a closed list of fields.

A configuration read from disk is never handed on: a new one is built from the fields below, each checked. What PEFT
could be told beside them, code to import, patterns to match, other weights to load, has no way through.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from promptkit.errors import ArtifactError, error_message, one_of
from promptkit.types import JSONObject

__all__ = ["MAX_RANK", "MAX_TOKENS", "MODULE_NAME", "canonical_config", "peft_config"]

MAX_RANK = 4096
"""Highest rank of a LoRA."""
MAX_TOKENS = 4096
"""Most virtual tokens of a soft prompt or prefix."""
MODULE_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}(\.[A-Za-z0-9_-]{1,200}){0,30}")
"""Path of a module, or the end of one; no sign of a regular expression beside the dot."""

_MAX_NAMES = 20_000
_MAX_WIDTH = 1 << 24

Check = Callable[[Any, str, str], Any]
"""Takes a value, the field's name and the document's name; returns the value in its one form, or refuses it."""


def canonical_config(config: Mapping[str, Any], label: str = "adapter_config.json") -> JSONObject:
    """Brings a PEFT configuration into the one form that ``Weights.config`` holds, or refuses it.

    Kept are the fields that say what the weights compute; defaults are filled in, empty patterns of ranks and alphas
    left out, alphas are floats and lists of names sorted. P-tuning, which is saved as the vectors that its encoder
    computed, becomes prompt tuning. Dropped are fields without meaning for trained weights, such as versions, names
    of base models and ways of initialising.

    Args:
        config: The fields of an ``adapter_config.json``.
        label: What messages call it.

    Returns:
        A new dictionary; the function leaves its own results as they are.

    Raises:
        ArtifactError: A field is missing, unknown and switched on, of the wrong type, out of range, or stands for
            what promptkit does not run; the message names it.

    Example:
        >>> config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 16}
        >>> canonical_config({**config, "target_modules": ["v_proj", "q_proj"]})["target_modules"]
        ['q_proj', 'v_proj']
    """
    kind = config.get("peft_type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise ArtifactError(error_message("peft_type", of=label, expected=one_of(_FIELDS), got=kind))
    fields = _FIELDS[kind]
    out: JSONObject = {"peft_type": "PROMPT_TUNING" if kind == "P_TUNING" else kind}
    for name, (check, default) in fields.items():
        value = config.get(name, default)
        if value is None and default is not _REQUIRED:
            value = default
        if value is _REQUIRED or value is None:
            raise ArtifactError(error_message(name, of=label, expected="given", got=None))
        out[name] = check(value, name, label)
        if out[name] == {}:  # no exceptions to the rank or alpha of all
            del out[name]
    for name, value in config.items():
        if name not in fields and name != "peft_type":
            _check_ignored(name, value, kind, label)
    return out


def peft_config(config: Mapping[str, Any]) -> JSONObject:
    """Returns the ``adapter_config.json`` with which stock PEFT loads weights.

    Args:
        config: A configuration as ``canonical_config`` returns it.

    Returns:
        The same with what PEFT wants beside it; ``canonical_config`` takes it back to ``config``.

    Example:
        >>> config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 16, "target_modules": ["q"]}
        >>> peft_config(canonical_config(config))["inference_mode"]
        True
    """
    out: JSONObject = {**config, "inference_mode": True, "base_model_name_or_path": None}
    if config["peft_type"] in ("LORA", "ADALORA"):
        out |= {"bias": "none", "init_lora_weights": True, "modules_to_save": None}
        # The paper's alpha is any number, and what reads these files mostly takes it for an integer.
        out["lora_alpha"] = int(config["lora_alpha"]) if config["lora_alpha"].is_integer() else config["lora_alpha"]
    if config["peft_type"] == "ADALORA":
        # PEFT refuses to build a configuration without a schedule, which is over.
        out |= {"total_step": 1, "tinit": 0, "tfinal": 0}
    if config["peft_type"] in ("PROMPT_TUNING", "PREFIX_TUNING"):
        out["num_transformer_submodules"] = 1
    if config["peft_type"] == "PROMPT_TUNING":
        out["prompt_tuning_init"] = "RANDOM"  # the only one that reads nothing when PEFT loads
    return out


def _whole(low: int, high: int) -> Check:
    def check(value: Any, name: str, label: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ArtifactError(
                error_message(name, of=label, expected=f"a whole number from {low} to {high:,}", got=value)
            )
        return value

    return check


def _alpha(value: Any, name: str, label: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 < value <= 1e6:
        raise ArtifactError(error_message(name, of=label, expected="a number above 0, at most 1e6", got=value))
    return float(value)


def _dropout(value: Any, name: str, label: str) -> float:
    if type(value) not in (int, float) or not 0 <= value < 1:
        raise ArtifactError(error_message(name, of=label, expected="a number from 0 to below 1", got=value))
    return float(value)


def _flag(value: Any, name: str, label: str) -> bool:
    if type(value) is not bool:
        raise ArtifactError(error_message(name, of=label, expected="true or false", got=value))
    return value


def _task_type(value: Any, name: str, label: str) -> str:
    if value not in ("CAUSAL_LM", "SEQ_2_SEQ_LM"):
        raise ArtifactError(error_message(name, of=label, expected="'CAUSAL_LM' or 'SEQ_2_SEQ_LM'", got=value))
    return str(value)


def _name(value: Any, name: str, label: str) -> str:
    if not isinstance(value, str) or not MODULE_NAME.fullmatch(value):
        raise ArtifactError(error_message(name, of=label, expected="names of modules, never patterns", got=value))
    return value


def _names(value: Any, name: str, label: str) -> list[str]:
    if not isinstance(value, list | tuple | set | frozenset) or not 1 <= len(value) <= _MAX_NAMES:
        expected = f"a list of 1 to {_MAX_NAMES:,} names of modules, never a pattern"
        raise ArtifactError(error_message(name, of=label, expected=expected, got=value))
    return sorted({_name(item, name, label) for item in value})


def _pattern(each: Check) -> Check:
    """Makes the check of a dictionary from names of modules to values."""

    def check(value: Any, name: str, label: str) -> JSONObject:
        if not isinstance(value, Mapping) or len(value) > _MAX_NAMES:
            expected = f"an object with at most {_MAX_NAMES:,} names of modules"
            raise ArtifactError(error_message(name, of=label, expected=expected, got=value))
        return {_name(key, name, label): each(value[key], f"{name}[{key!r:.80}]", label) for key in sorted(value)}

    return check


def _mask(value: Any, name: str, label: str) -> list[bool]:
    if not isinstance(value, list | tuple) or len(value) > MAX_RANK or not all(type(item) is bool for item in value):
        raise ArtifactError(
            error_message(name, of=label, expected="a list of true and false, one for each rank", got=value)
        )
    return list(value)


def _initialisation(value: Any, name: str, label: str) -> None:
    """Refuses initialisations that change the base model, because such weights belong to a base that nobody has."""
    if value not in (True, False, None, "gaussian", "eva", "orthogonal"):
        expected = "an initialisation that leaves the base model as it is"
        hint = "convert the adapter to plain LoRA with PEFT's path_initial_model_for_weight_conversion"
        raise ArtifactError(error_message(name, of=label, expected=expected, got=value, hint=hint))


def _text(value: Any, name: str, label: str) -> None:
    if not isinstance(value, str) or len(value) > 10_000:
        raise ArtifactError(error_message(name, of=label, expected="a text of at most 10,000 characters", got=value))


def _only(*values: Any) -> Check:
    def check(value: Any, name: str, label: str) -> Any:
        if value not in values or type(value) not in {type(one) for one in values}:
            raise ArtifactError(error_message(name, of=label, expected=one_of(values), got=value))
        return value

    return check


def _anything(value: Any, name: str, label: str) -> None:
    """Passes a plain value that has no meaning for trained weights."""
    if not isinstance(value, bool | int | float | str):
        raise ArtifactError(error_message(name, of=label, expected="a plain value", got=value))


_REQUIRED = object()
_RANK, _TOKENS, _WIDTH = _whole(1, MAX_RANK), _whole(1, MAX_TOKENS), _whole(1, _MAX_WIDTH)
_COMMON: dict[str, tuple[Check, Any]] = {"task_type": (_task_type, _REQUIRED)}
_LOW_RANK: dict[str, tuple[Check, Any]] = {
    **_COMMON,
    "lora_alpha": (_alpha, 8),
    "lora_dropout": (_dropout, 0.0),
    "target_modules": (_names, _REQUIRED),
    "fan_in_fan_out": (_flag, False),
}
_VECTORS: dict[str, tuple[Check, Any]] = {
    **_COMMON,
    "num_virtual_tokens": (_TOKENS, _REQUIRED),
    "token_dim": (_WIDTH, _REQUIRED),
}
_FIELDS: dict[str, dict[str, tuple[Check, Any]]] = {
    "LORA": {
        **_LOW_RANK,
        "r": (_RANK, _REQUIRED),
        "use_rslora": (_flag, False),
        "use_dora": (_flag, False),
        "rank_pattern": (_pattern(_RANK), {}),
        "alpha_pattern": (_pattern(_alpha), {}),
    },
    "ADALORA": {
        **_LOW_RANK,
        "init_r": (_RANK, _REQUIRED),
        "target_r": (_RANK, 8),
        "rank_pattern": (_pattern(_mask), {}),
    },
    "PROMPT_TUNING": _VECTORS,
    "P_TUNING": _VECTORS,
    "PREFIX_TUNING": {
        **_VECTORS,
        "num_layers": (_whole(1, 10_000), _REQUIRED),
        "num_attention_heads": (_WIDTH, _REQUIRED),
    },
}
"""The fields that are kept, by kind: how each is checked, and its default."""

_ALL_KINDS: dict[str, Check] = {
    "inference_mode": _flag,
    "peft_version": _text,
    "base_model_name_or_path": _text,
    "revision": _text,
}
_DROPPED: dict[str, dict[str, Check]] = {
    "LORA": {
        "bias": _only("none"),
        "init_lora_weights": _initialisation,
        "megatron_core": _only("megatron.core"),
        "qalora_group_size": _anything,
    },
    "PROMPT_TUNING": {
        "prompt_tuning_init": _text,
        "prompt_tuning_init_text": _text,
        "tokenizer_name_or_path": _text,
        "num_layers": _anything,
        "num_attention_heads": _anything,
        "num_transformer_submodules": _only(1),
    },
}
_DROPPED["ADALORA"] = _DROPPED["LORA"] | dict.fromkeys(
    ("r", "total_step", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight"), _anything
)
_DROPPED["P_TUNING"] = _DROPPED["PROMPT_TUNING"] | dict.fromkeys(
    ("encoder_reparameterization_type", "encoder_hidden_size", "encoder_num_layers", "encoder_dropout"), _anything
)
_DROPPED["PREFIX_TUNING"] = {
    "num_transformer_submodules": _only(1),
    # A projection is folded into the keys and values when PEFT saves.
    **dict.fromkeys(("prefix_projection", "encoder_hidden_size", "init_weights"), _anything),
}
"""The fields that are checked and dropped, by kind."""


def _check_ignored(name: str, value: Any, kind: str, label: str) -> None:
    if value is None or value is False or value in ([], {}):  # a field that is switched off says nothing
        return
    check = {**_ALL_KINDS, **_DROPPED[kind]}.get(name)
    if check is None:
        known = "left out, null or false: promptkit knows no such field" if name.isidentifier() else "left out"
        raise ArtifactError(error_message(f"{name!r:.80}", of=label, expected=known, got=value))
    check(value, name, label)
