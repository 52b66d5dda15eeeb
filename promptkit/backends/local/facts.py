"""What decides the speed of local models on this machine, in plain data for reports."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from statistics import fmean

import torch

from promptkit.backends.local.backend import LocalBackend
from promptkit.backends.local.machine import count_cpus
from promptkit.backends.local.threads import using_threads
from promptkit.types import JSONObject

__all__ = ["machine_facts", "model_facts"]

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "peft", "numpy")
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")
_SIZE = 512  # of the matrices that are multiplied
_TRIES = 5


def machine_facts() -> JSONObject:
    """Looks at this machine; takes a few hundredths of a second.

    Returns:
        Versions of packages, CPUs that may be used, threads of torch, devices, and how many times as fast as in float32
        a matrix product is in bfloat16 on one thread.
    """
    cpus = count_cpus()
    devices = [f"cuda:{number} {torch.cuda.get_device_name(number)}" for number in range(torch.cuda.device_count())]
    return {
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "cpus": {"visible": cpus.visible, "affinity": cpus.affinity, "quota": cpus.quota, "usable": cpus.usable},
        "torch_threads": torch.get_num_threads(),
        "environment": {name: os.environ.get(name) for name in _VARIABLES},
        "devices": ["cpu", *devices],
        "bfloat16_speedup": _product_seconds(torch.float32) / _product_seconds(torch.bfloat16),
    }


def _product_seconds(dtype: torch.dtype) -> float:
    matrix = torch.ones(_SIZE, _SIZE, dtype=dtype)
    best = float("inf")
    with using_threads(1):
        for _ in range(_TRIES):
            begun = time.perf_counter()
            matrix @ matrix
            best = min(best, time.perf_counter() - begun)
    return best


def model_facts(backend: LocalBackend) -> JSONObject:
    """Tells how a model is run here.

    Args:
        backend: The model's backend.

    Returns:
        Name, architecture, size, data type, device, how prompts are batched, threads, why so many, and the times that
        were measured: the best and the mean of the passes over one token and over the 64 of a prefill, in seconds.
    """
    model, choice = backend.model, backend.threads
    timings: list[JSONObject] = []
    for timing in choice.timings:
        told: JSONObject = {"threads": timing.threads}
        for name, seconds in (("token", timing.step), ("prefill", timing.prefill)):
            told[name] = {"best": min(seconds), "mean": fmean(seconds)} if seconds else None
        timings.append(told)
    return {
        "name": backend.name,
        "architecture": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "batching": backend.batching,
        "threads": choice.threads,
        "reason": choice.reason,
        "timings": timings,
    }
