"""What a strategy would train on a model, and the memory it would take: told from a configuration, without weights.

A model is built on torch's meta device, where tensors have shapes and no numbers, so a model of any size is counted in
a fraction of a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptkit.adapters import ChainOfThought, FewShot, LoRA, SoftPrompt
from promptkit.errors import BackendError, SettingError, error_message, one_of
from promptkit.types import JSONObject

if TYPE_CHECKING:
    from promptkit.training.config import LoraSpec, SoftKind

__all__ = ["MemoryEstimate", "estimate"]

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number of the base model, by data type."""
_TRAINED_BYTES = 16  # a weight, its gradient and Adam's two moments, all float32
_HIDDEN, _INNER = 9, 4
_INNER_NAMES = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "d_ff")
_LAYER_NAMES = ("num_hidden_layers", "n_layer", "num_layers")


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a strategy would train on a model.

    Attributes:
        model: What the model was called, or its architecture.
        strategy: The strategy in words.
        trainable_parameters: Numbers that would be learned.
        base_parameters: Numbers of the model itself; tied ones count once.
        total_parameters: All numbers while training. PEFT's AdaLoRA keeps one more per layer that it changes.
        dtype: Data type of the base model.
        memory_bytes: Base weights in ``dtype``, plus 16 bytes for every trainable number: itself, its gradient and
            Adam's two moments in float32. Activations and buffers are not among them.
        activation_bytes: An estimate of what the backward pass keeps for ``batch_tokens``: ``9 * hidden + 4 * inner``
            numbers of ``dtype`` per token and layer. Measured on small llama, gpt2, bloom and gpt_neox models it is
            between 0.9 and 2.2 times what is kept. The logits of answers, and attention weights where an architecture
            keeps them, come on top. 0 where nothing is trained.
        batch_tokens: Tokens of a forward pass for which activations are estimated.
        targets: Names of the layers that a LoRA would change.
        changed_layers: How many layers that are.
        left_out: Weights of experts and linear layers that ``targets="all-linear"`` cannot reach, with their sizes: in
            most mixture-of-experts models the experts are no linear layers.
    """

    model: str
    strategy: str
    trainable_parameters: int
    base_parameters: int
    total_parameters: int
    dtype: str
    memory_bytes: int
    activation_bytes: int
    batch_tokens: int
    targets: tuple[str, ...] = ()
    changed_layers: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Trainable parameters as a share of all, 0 to 1."""
        return self.trainable_parameters / self.total_parameters

    def to_json(self) -> JSONObject:
        """Returns plain JSON values, the share among them."""
        lists = {"targets": list(self.targets), "left_out": list(self.left_out)}
        return {**asdict(self), **lists, "share": self.share}

    def __str__(self) -> str:
        """Says the plan in a few lines."""
        lines = [
            f"{self.strategy} on {self.model}",
            f"  trainable    {self.trainable_parameters:,} of {self.total_parameters:,} parameters "
            f"({100 * self.share:.4g} %)",
            f"  memory       {_size(self.memory_bytes)}: the model in {self.dtype}"
            + (", and weights, gradients and Adam's moments in float32" if self.trainable_parameters else ""),
        ]
        if self.trainable_parameters:
            lines.append(
                f"  activations  about {_size(self.activation_bytes)} more for {self.batch_tokens:,} tokens in a batch"
            )
        if self.targets:
            lines.append(f"  layers       {self.changed_layers}: {', '.join(self.targets)}")
        if self.left_out:
            lines.append(f"  left out     {', '.join(self.left_out)}")
        return "\n".join(lines)


def estimate(
    model: str | Path | Mapping[str, Any] | Any,
    adapter: Any,
    *,
    dtype: str = "float32",
    batch_tokens: int = 4096,
) -> MemoryEstimate:
    """Counts what a strategy would train on a model, and the memory it would take. Loads no weights.

    Args:
        model: "reference", a folder with a config.json, a name on the Hugging Face Hub (only its config.json is
            fetched), the fields of a config.json, or a configuration of transformers.
        adapter: ``LoRA``, ``SoftPrompt``, or a strategy that trains nothing, ``FewShot`` or ``ChainOfThought``.
        dtype: Data type in which the base model would be loaded: "float32", "bfloat16" or "float16".
        batch_tokens: Tokens of a forward pass, padding included, for the estimate of activations.

    Returns:
        The plan.

    Raises:
        SettingError: A setting is out of range, or targets are no layers of this model; names what is near.
        BackendError: There is no such model, or transformers does not know it.

    Example:
        >>> import promptkit as pk
        >>> config = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 100}
        >>> plan = pk.estimate(config, pk.LoRA(pk.load_task("notation"), rank=4, targets=["c_attn"]))
        >>> plan.trainable_parameters, plan.total_parameters
        (1024, 62464)
    """
    if dtype not in BYTES:
        raise SettingError(error_message("dtype", of="estimate", expected=one_of(BYTES), got=dtype))
    if isinstance(batch_tokens, bool) or not isinstance(batch_tokens, int) or batch_tokens < 1:
        raise SettingError(
            error_message("batch_tokens", of="estimate", expected="an integer of at least 1", got=batch_tokens)
        )
    if not isinstance(adapter, LoRA | SoftPrompt | FewShot | ChainOfThought):
        expected = "FewShot, ChainOfThought, SoftPrompt or LoRA"
        raise SettingError(error_message("adapter", of="estimate", expected=expected, got=type(adapter).__name__))
    config, name = _config(model)
    empty = _empty_model(config, name)
    base = sum(parameter.numel() for parameter in empty.parameters())
    targets: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    layers = trained = kept = 0
    if isinstance(adapter, LoRA):
        targets, layers, trained, kept, missed = _low_rank(empty, adapter)
        if adapter.soft_prompt is not None:
            trained += _vectors(empty, "prompt", adapter.soft_prompt)
    elif isinstance(adapter, SoftPrompt):
        trained = _vectors(empty, adapter.kind, adapter.tokens)
    return MemoryEstimate(
        model=name,
        strategy=_words(adapter),
        trainable_parameters=trained,
        base_parameters=base,
        total_parameters=base + trained + kept,
        dtype=dtype,
        memory_bytes=base * BYTES[dtype] + _TRAINED_BYTES * trained,
        activation_bytes=_activations(config) * batch_tokens * BYTES[dtype] if trained else 0,
        batch_tokens=batch_tokens,
        targets=targets,
        changed_layers=layers,
        left_out=missed,
    )


def _config(model: Any) -> tuple[Any, str]:
    """Reads the configuration, and says what to call the model."""
    from transformers import AutoConfig, PretrainedConfig  # takes a second, which importing promptkit must not

    if isinstance(model, PretrainedConfig):
        return model, f"a {model.model_type} model"
    try:
        if isinstance(model, Mapping):
            fields = {name: value for name, value in model.items() if name != "auto_map"}
            kind = fields.pop("model_type", None)
            return AutoConfig.for_model(kind, **fields), f"a {kind} model"
        source = _source(model)
        local = isinstance(source, Path)
        config = AutoConfig.from_pretrained(source, trust_remote_code=False, local_files_only=local)
        return config, source.name if isinstance(source, Path) else source
    except BackendError:
        raise
    except Exception as error:  # transformers and the hub's client raise many kinds for what they do not know
        reason = (str(error).strip().splitlines() or [""])[0]
        raise BackendError(
            f"plan: {str(model)[:80]!r} must be 'reference', a folder with a config.json, the name of a model on the "
            "Hugging Face Hub, or the fields of a config.json with a model_type, got "
            f"{type(error).__name__}: {reason}; check the name and the network, or give a folder"
        ) from error


def _source(model: Any) -> Path | str:
    """Finds the folder of a configuration; what is no folder and does not look like one is a name on the Hub."""
    text = str(model)
    folder = Path(__file__).parent / "models" / "reference" if text == "reference" else Path(text).expanduser()
    if folder.is_dir() or isinstance(model, Path) or not text or text.startswith((".", "/", "~")):
        if not (folder / "config.json").is_file():
            raise BackendError(error_message("model", of="estimate", expected="a folder with a config.json", got=text))
        return folder.resolve()
    return text


def _empty_model(config: Any, name: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    try:
        with torch.device("meta"):
            model = kind.from_config(config, trust_remote_code=False)
        model.tie_weights()  # a tied head would count twice
    except Exception as error:  # architectures fail in ways of their own on values that contradict each other
        raise BackendError(
            f"plan: {name} must be a language model that transformers builds without remote code, got "
            f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}; correct its configuration"
        ) from error
    return model.eval()


def _low_rank(model: Any, spec: LoraSpec) -> tuple[tuple[str, ...], int, int, int, tuple[str, ...]]:
    """Counts a LoRA: names, layers, numbers that are learned, further numbers that PEFT keeps, and what it misses."""
    from promptkit.training.experts import left_out
    from promptkit.training.targets import count_trained, find_targets, resolve_targets

    names = resolve_targets(model, spec.targets if isinstance(spec.targets, str) else list(spec.targets))
    layers = find_targets(model, names)
    kept = len(layers) if spec.variant == "adalora" else 0
    missed = left_out(model, layers) if spec.targets == "all-linear" else ()
    return tuple(names), len(layers), count_trained(layers.values(), spec), kept, missed


def _vectors(model: Any, kind: SoftKind, tokens: int) -> int:
    """Counts the numbers of a soft prompt, prefix or P-tuning, the network of the latter included."""
    if kind == "prefix":
        return tokens * _cache_width(model)
    width = int(model.get_input_embeddings().weight.shape[1])
    # PEFT's encoder: three linear layers as wide as the embeddings.
    return tokens * width + (3 * width * (width + 1) if kind == "ptuning" else 0)


def _cache_width(model: Any) -> int:
    """Returns how many keys and values a token has in all layers, as the model itself makes them."""
    import torch

    try:
        with torch.device("meta"), torch.no_grad():
            cache = model(input_ids=torch.zeros((1, 1), dtype=torch.long), use_cache=True).past_key_values
        return sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    except Exception as error:  # an encoder-decoder, or layers that are not attention
        raise SettingError(
            error_message(
                "kind", of="SoftPrompt", expected=f"'prompt' or 'ptuning' for a {model.config.model_type} model, whose "
                "layers do not all keep keys and values", got="prefix",
            )
        ) from error  # fmt: skip


def _activations(config: Any) -> int:
    """Estimates the numbers that a backward pass keeps for one token."""
    text = config.get_text_config(decoder=True)
    hidden = int(text.hidden_size)
    inner = next((value for name in _INNER_NAMES if isinstance(value := getattr(text, name, None), int)), 4 * hidden)
    layers = next(value for name in _LAYER_NAMES if isinstance(value := getattr(text, name, None), int))
    return layers * (_HIDDEN * hidden + _INNER * inner)


def _words(adapter: LoRA | SoftPrompt | FewShot | ChainOfThought) -> str:
    if isinstance(adapter, SoftPrompt):
        return f"SoftPrompt of {adapter.tokens} tokens, kind {adapter.kind}"
    if not isinstance(adapter, LoRA):
        return type(adapter).__name__
    start = f", starting at {adapter.start_rank}" if adapter.start_rank != adapter.rank else ""
    soft = f", with a soft prompt of {adapter.soft_prompt} tokens" if adapter.soft_prompt is not None else ""
    return f"LoRA of rank {adapter.rank}{start}, variant {adapter.variant}{soft}"


def _size(count: int) -> str:
    """Writes bytes as people do.

    Example:
        >>> _size(1_500_000_000)
        '1.50 GB'
    """
    power = min(4, int(math.log10(max(1, count))) // 3)
    return f"{count / 1000**power:.{2 if power else 0}f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
