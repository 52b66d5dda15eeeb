"""Loading a transformers model, and measuring how its rows may share a prefix.

Nothing of a model folder is executed: no remote code, no pickles. A folder is used offline.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.utils import logging

from promptkit.backends.local import attention as local_attention
from promptkit.backends.local.attention import Prefix
from promptkit.backends.local.batch_adapters import BatchAdapters
from promptkit.backends.local.forward import CausalRun, Run, Seq2SeqRun, UncachedRun, compute_prefix
from promptkit.backends.local.probe import Sharing, probe_causal, probe_seq2seq
from promptkit.backends.local.threads import ThreadChoice, choose_threads, using_threads
from promptkit.errors import BackendError, SettingError, error_message, one_of

__all__ = ["DTYPES", "Loaded", "Sharing", "load_model", "no_progress_bars", "start_token"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_WINDOW_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with what the engine needs to know of it.

    Attributes:
        model: The transformers model, in evaluation mode.
        tokenizer: Its tokenizer.
        seq2seq: Whether it has an encoder and a decoder.
        window: The context window in tokens.
        sharing: How rows may run together, as measured on this very model.
        single: Whether the model takes further tokens only one by one from its cache.
        bypassed: Paths of linear layers that the model reads without calling them, so that no LoRA reaches them.
        reach: Tokens after which some layer no longer sees the first one; longer rows run alone.
        eos: Tokens that end a completion.
        accepts: Names of the arguments that its ``forward`` takes.
        threads: Threads that it computes with, and why.
        adapters: The learned weights that keys of prompts stand for; none unless set for a call.
    """

    model: Any
    tokenizer: Any
    seq2seq: bool
    window: int
    sharing: Sharing
    single: bool
    bypassed: frozenset[str]
    reach: int
    eos: frozenset[int]
    accepts: frozenset[str]
    threads: ThreadChoice
    adapters: BatchAdapters = field(default_factory=BatchAdapters)

    def prefix(self, tokens: Sequence[int]) -> Prefix:
        """Computes a prefix for ``run``."""
        return compute_prefix(self.model, tokens, self.accepts, self.adapters)

    def run(self, prefix: Prefix | None, *, alone: bool = False) -> Run:
        """Opens a batch, with a state of its own."""
        if self.seq2seq:
            start, cached = start_token(self.model), self.sharing != "uncached"
            return Seq2SeqRun(self.model, start, cached=cached, single=self.single, adapters=self.adapters)
        if self.sharing == "uncached":
            return UncachedRun(self.model, self.accepts, self.adapters)
        return CausalRun(
            self.model,
            self.accepts,
            prefix,
            shared=self.sharing == "shared",
            masked=not alone and self.sharing != "alone",
            single=self.single,
            adapters=self.adapters,
        )


def load_model(folder: Path, *, dtype: str, device: str, max_context: int | None, threads: int | None = None) -> Loaded:
    """Loads and probes the model in a folder.

    Args:
        folder: A folder with configuration, weights and tokenizer.
        dtype: "float32", "bfloat16" or "float16".
        device: "auto", or a device of torch.
        max_context: Context window for models that do not tell theirs, or a smaller one.
        threads: Threads to compute with on a CPU; ``None`` to choose them by a measurement.

    Returns:
        The loaded model.

    Raises:
        SettingError: ``dtype``, ``device`` or ``max_context`` cannot be used.
        BackendError: The folder does not hold a complete, usable model.
        UnsupportedError: No way of running the model gives the answers that it would give by itself.
    """
    where = _device(device, dtype)
    local_attention.register()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        window = _window(config.get_text_config(decoder=True), max_context)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = _weights(folder, config, DTYPES[dtype]).to(where).eval()
    except (SettingError, BackendError):
        raise
    except Exception as error:  # transformers, tokenizers and safetensors each have many kinds for bad files
        reason = (str(error).strip().splitlines() or [""])[0]
        raise BackendError(
            f"LocalBackend: {str(folder)!r} must hold a model that transformers loads without remote code, got "
            f"{type(error).__name__}: {reason}; save the model again, or use another"
        ) from error
    seq2seq = bool(config.is_encoder_decoder)
    accepts = frozenset(inspect.signature(model.forward).parameters)
    choice = choose_threads(model, wanted=threads, seq2seq=seq2seq, window=window)
    with using_threads(choice.threads):
        way = probe_seq2seq(model, start_token(model)) if seq2seq else probe_causal(model, accepts, window)
    if way.sharing == "uncached":
        warnings.warn(
            f"LocalBackend: a {config.model_type} model keeps no cache that can be used, so every new token reads the "
            "whole text again; its answers are right, and slow",
            stacklevel=3,
        )
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        seq2seq=seq2seq,
        window=window,
        sharing=way.sharing,
        single=way.single,
        bypassed=way.bypassed,
        reach=_NO_LIMIT if seq2seq else _reach(config.get_text_config(decoder=True)),
        eos=_end_tokens(model, tokenizer),
        accepts=accepts,
        threads=choice,
    )


def _device(device: str, dtype: str) -> torch.device:
    if dtype not in DTYPES:
        raise SettingError(error_message("dtype", of="LocalBackend", expected=one_of(DTYPES), got=dtype))
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        where = torch.device(name)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for the device
        raise SettingError(
            error_message(
                "device",
                of="LocalBackend",
                expected="'auto' or a device that torch has here",
                got=device,
                hint=str(error),
            )
        ) from None
    if dtype == "float16" and where.type == "cpu":
        raise SettingError(
            error_message(
                "dtype",
                of="LocalBackend",
                expected="'float32' or 'bfloat16' on a CPU",
                got=dtype,
                hint="float16 would silently be computed in float32 there",
            )
        )
    return where


def _window(config: Any, max_context: int | None) -> int:
    """Reads the context window; a wrong guess would cut prompts or crash, so there is none."""
    stated = [value for name in _WINDOW_NAMES if isinstance(value := getattr(config, name, None), int) and value > 0]
    if max_context is not None and (isinstance(max_context, bool) or max_context < 1):
        raise SettingError(
            error_message("max_context", of="LocalBackend", expected="an integer of at least 1", got=max_context)
        )
    if not stated:
        if max_context is None:
            raise SettingError(
                error_message(
                    "max_context",
                    of="LocalBackend",
                    expected=f"given for a {config.model_type} model, whose configuration does not tell its window",
                    got=None,
                    hint="pass the longest text in tokens that it was trained on, for example max_context=2048",
                )
            )
        return max_context
    if max_context is not None and max_context > stated[0]:
        raise SettingError(
            error_message(
                "max_context", of="LocalBackend", expected=f"at most the model's own {stated[0]}", got=max_context
            )
        )
    return max_context or stated[0]


def _weights(folder: Path, config: Any, dtype: torch.dtype) -> Any:
    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with no_progress_bars():
        model, info = kind.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    missing = sorted(info["missing_keys"])
    if missing:  # transformers would fill them with random numbers and only warn
        raise BackendError(
            f"LocalBackend: the weights in {str(folder)!r} must hold every tensor of the model, got none for "
            f"{missing[0]!r} and {len(missing) - 1} others; save the whole model again"
        )
    shareable = getattr(model, "_supports_attention_backend", False) and getattr(model, "_supports_sdpa", False)
    if shareable and not config.is_encoder_decoder:
        model.set_attn_implementation(local_attention.NAME)
    return model


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keeps transformers' bars out of the output of programs, and leaves its setting as it was."""
    log: Any = logging
    shown = log.is_progress_bar_enabled()
    log.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            log.enable_progress_bar()


def _reach(config: Any) -> int:
    """Returns how far the shortest-sighted layer looks back; 0 for layers that are not attention at all."""
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention", "chunked_attention"}:
        return 0
    limits = []
    if not kinds or "sliding_attention" in kinds:
        limits.append(getattr(config, "sliding_window", None))
    if not kinds or "chunked_attention" in kinds:
        limits.append(getattr(config, "attention_chunk_size", None))
    if getattr(config, "attention_types", None):  # GPT-Neo's local layers
        limits.append(getattr(config, "window_size", None))
    return min((limit for limit in limits if isinstance(limit, int)), default=_NO_LIMIT)


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    if ends is None:
        ends = tokenizer.eos_token_id
    listed = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
    return frozenset(listed)


def start_token(model: Any) -> int:
    """Returns the token with which the decoder of an encoder-decoder model starts."""
    for source in (model.generation_config, model.config):
        start = getattr(source, "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    return int(model.config.bos_token_id)
