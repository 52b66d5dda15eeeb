"""The training loop: one for vectors before the text, low-rank changes, and both together."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from promptkit.backends.local.threads import using_threads
from promptkit.errors import TrainingError
from promptkit.training.checkpoints import Checkpoints
from promptkit.training.checks import check_run, is_memory_error, uses_bfloat16
from promptkit.training.config import LoraSpec, Pair, SoftSpec, Trained, TrainingConfig, TrainProgress
from promptkit.training.dataset import encode
from promptkit.training.first_pass import check_first_pass
from promptkit.training.graceful_stop import stop_requested
from promptkit.training.learner import learning
from promptkit.training.trackers import open_tracker
from promptkit.training.trainer import Run, draw_seed
from promptkit.types import JSONObject

if TYPE_CHECKING:
    from promptkit.backends.local.backend import LocalBackend

__all__ = ["train"]

_TURN = threading.Lock()
"""Fits take turns: dropout draws from torch's one global generator, and gradients need the cores."""

_MOVABLE = ("max_minutes", "checkpoint_every", "report_to", "report_folder")
"""Settings that may differ when a run is resumed, as they change none of its numbers."""


def train(
    backend: LocalBackend,
    pairs: Sequence[Pair],
    dev: Sequence[Pair],
    spec: TrainingConfig,
    *,
    lora: LoraSpec | None,
    soft: SoftSpec | None,
    seed: int,
    checkpoint: Path | None = None,
    progress: TrainProgress | None = None,
) -> Trained:
    """Learns weights beside a model, which itself stays as it is, bit by bit, and may serve others meanwhile.

    The loss is the mean cross-entropy of the answer tokens, and logits are computed at those places only. Optimiser:
    AdamW with a warm-up, a gradient norm of at most ``spec.clip``, and weight decay for LoRA alone. Dropout of the base
    model stays off. Runs with equal arguments give equal weights on one machine with one number of threads, unless
    ``max_minutes`` cuts them; a run that is resumed keeps its number of threads where so many may still be used.

    Args:
        backend: The model.
        pairs: What is learned from, at least one pair.
        dev: Pairs on which the best step is chosen; empty to keep the last step.
        spec: How to train.
        lora: The low-rank change to learn, or ``None``.
        soft: The vectors to learn, or ``None``. Both are learned together if both are given.
        seed: Seed of first values, order and dropout.
        checkpoint: Folder for checkpoints, or ``None``. A run that finds its own there goes on from the newest.
        progress: Called after every optimiser step.

    Returns:
        What was learned, and how it went.

    Raises:
        SettingError: A setting cannot work on this model and machine, or the checkpoints are of another run; nothing
            was trained.
        UnsupportedError: A low-rank change would not be trained as planned on this architecture, or the backend could
            not answer with it, or the model cannot use such vectors; nothing was trained.
        DataError: There are no pairs, or answers without tokens.
        ContextLengthError: A pair does not fit the context window.
        TrainingError: A loss or gradient was no number, or memory was short; checkpoints from before are kept.
        TrainingStopped: The process was asked to stop (SIGTERM, or SIGINT as by Ctrl-C); a checkpoint was saved if
            there is a folder for it.

    Example:
        >>> pairs = [Pair(Prompt(text="2 + 2 ="), " 4;")]  # doctest: +SKIP
        >>> trained = train(backend, pairs, (), TrainingConfig(), lora=LoraSpec(), soft=None, seed=0)  # doctest: +SKIP
        >>> trained.lora.kind, trained.log.stopped  # doctest: +SKIP
        ('lora', 'epochs')
    """
    check_run(backend, pairs, spec, lora=lora, soft=soft, seed=seed)
    if soft is not None and soft.kind == "prefix":
        backend.check_prefix()
    before = 0 if soft is None else soft.tokens
    items = encode(backend, pairs, of="pairs", before=before)
    held_out = encode(backend, dev, of="dev", before=before)
    bfloat16 = uses_bfloat16(spec, backend.model.device)
    steps = spec.epochs * -(-len(items) // (spec.batch_size * spec.accumulate))
    settings = _settings(spec, lora, soft, seed, bfloat16)
    store = None
    if checkpoint is not None:
        data = _digest([[(item.prompt, item.answer) for item in part] for part in (items, held_out)])
        store = Checkpoints(
            checkpoint, {"base model": backend.fingerprint(), "data": data, "settings": _digest(settings)}
        )
    threads = using_threads(backend.threads.threads)
    with _TURN, threads, _own_randomness(backend.model.device), stop_requested() as end:
        torch.manual_seed(draw_seed(seed, "start"))
        with learning(backend, spec, lora=lora, soft=soft, steps=steps, bfloat16=bfloat16) as learner:
            with _memory_guarded():
                check_first_pass(learner, backend, pairs, before=before, bfloat16=bfloat16)
            missed = () if learner.change is None else learner.change.left_out
            if missed:
                warnings.warn(_about(missed), stacklevel=2)
            tracker = open_tracker(spec, _plain(settings))
            try:
                run = Run(learner, items, held_out, spec, seed, steps, store, tracker)
                with _memory_guarded():
                    log = run.go(end, progress)
            finally:
                tracker.close()
            change, vectors = learner.weights(backend.fingerprint())
    return Trained(change, vectors, log, missed)


def _about(missed: Sequence[str]) -> str:
    return (
        f"LoRA(targets='all-linear') leaves these weights as they are: {', '.join(missed)}; experts that a model keeps "
        "as one stacked parameter are no linear layers, so the change is learned by the other layers alone; to train "
        "experts too, use a model that keeps them as linear layers, or compare with a dense model"
    )


@contextmanager
def _memory_guarded() -> Iterator[None]:
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, TrainingError) or not is_memory_error(error):
            raise
        raise TrainingError(
            "train: a step must fit into memory, got more; use a smaller batch_size with more accumulate, which gives "
            "the same result, a smaller batch_tokens, or shorter pairs"
        ) from error


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Gives training the global generators of torch, and gives them back as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _settings(
    spec: TrainingConfig, lora: LoraSpec | None, soft: SoftSpec | None, seed: int, bfloat16: bool
) -> JSONObject:
    """Everything beside base and data that decides the numbers of a run."""
    training = {name: value for name, value in dataclasses.asdict(spec).items() if name not in _MOVABLE}
    vectors: JSONObject | None = None
    if soft is not None:
        vectors = {name: getattr(soft, name) for name in ("kind", "tokens", "start_text_ids", "rate")}
        if soft.start is not None:
            vectors["start"] = hashlib.sha256(np.ascontiguousarray(soft.start, np.float32).tobytes()).hexdigest()
    change = None if lora is None else dataclasses.asdict(lora)
    return {"train": training, "lora": change, "soft": vectors, "seed": seed, "bfloat16": bfloat16}


def _plain(settings: JSONObject) -> JSONObject:
    """Flattens settings for trackers."""
    flat: JSONObject = {}
    for name, value in settings.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {
            f"{name}.{key}".rstrip("."): each if isinstance(each, int | float) else str(each) for key, each in parts
        }
    return flat


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
