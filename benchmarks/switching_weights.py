"""Serving many LoRAs from one base model, in CPU seconds: eight in turn, and the base beside one, against one LoRA.

A llama of about 31 million random weights, in float32 on one thread, and 32 requests of about 50 tokens with 32 new
ones. The same requests go through one ``LocalBackend`` three times: all with one LoRA; alternating among eight LoRAs of
rank 8 on all linear layers; alternating between the base model and one LoRA. The prompts have no long beginning in
common, as prompts of tuned models have none: what a LoRA changes can be shared with no other LoRA.

A last line is for information: the same eight with 8 to 32 new tokens. Batches then run half empty, and every step
still reads the weights of all eight, each 2.3 % of this small model, so the share of switching is larger there.

Both sides take turns and the median of the ratios counts. Exits with 1 if a request is answered otherwise than alone
among requests of its own LoRA, or if switching costs 5 % or more.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from few_shot_speed import build, text_of, timed, transformers

from promptkit.backends.local.backend import LocalBackend
from promptkit.types import Prompt, Request, Sampling, Weights

LIMIT = 1.05
LORAS, RANK, REQUESTS, OWN_TOKENS, NEW_TOKENS = 8, 8, 32, 50, 32
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def made_up_lora(backend: LocalBackend, seed: int) -> Weights:
    """Draws a LoRA whose changes are about a tenth of the layers' own weights."""
    draw = np.random.default_rng(seed)
    tensors: dict[str, Any] = {}
    for path, layer in backend.model.named_modules():
        if path.rpartition(".")[2] in TARGETS:
            spread = 0.1 * float(layer.weight.detach().std()) / RANK**0.5
            tensors[f"{path}.lora_A.weight"] = draw.normal(size=(RANK, layer.in_features)).astype(np.float32)
            up = draw.normal(size=(layer.out_features, RANK)) * spread
            tensors[f"{path}.lora_B.weight"] = up.astype(np.float32)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": RANK, "target_modules": TARGETS}
    return Weights("lora", config, tensors, backend.fingerprint())


def answers(backend: LocalBackend, requests: list[Request]) -> list[str]:
    """Completes requests and returns their texts."""
    return [reply.completions[0].text for reply in backend.generate(requests)]


def one_by_one(backend: LocalBackend, requests: list[Request]) -> list[str]:
    """Completes the requests of each LoRA by themselves; the order is that of the requests."""
    found: dict[int, str] = {}
    for lora in {request.lora for request in requests}:
        own = [number for number, request in enumerate(requests) if request.lora == lora]
        found.update(zip(own, answers(backend, [requests[number] for number in own]), strict=True))
    return [found[number] for number in range(len(requests))]


def compare(backend: LocalBackend, name: str, one: list[Request], many: list[Request], repeats: int) -> bool:
    """Lets both sides take turns; prints the median ratio and returns whether it holds."""
    equal = answers(backend, many) == one_by_one(backend, many)
    ratios, ones, manys = list[float](), list[float](), list[float]()
    for turn in range(repeats):
        for side, times in ((one, ones), (many, manys)) if turn % 2 else ((many, manys), (one, ones)):
            times.append(timed(partial(answers, backend, side))[0])
        ratios.append(manys[-1] / ones[-1])
    ratio = statistics.median(ratios)
    print(
        f"{name:<34} {statistics.median(ones):9.2f} {statistics.median(manys):9.2f} {ratio:7.3f}x  "
        f"({min(ratios):.3f} to {max(ratios):.3f})  answers {'equal' if equal else 'DIFFER'}",
        flush=True,
    )
    return equal and ratio < LIMIT


def main() -> int:
    """Runs the comparisons.

    Returns:
        0 if all answers were equal and switching cost less than 5 %, else 1.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="turns of each side; the median counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    print(f"{'CPU seconds, one thread':<34} {'one':>9} {'many':>9} {'ratio':>8}  (range)")
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        backend = LocalBackend(folder, device="cpu")
        loras = [made_up_lora(backend, seed) for seed in range(LORAS)]
        plain = [
            Request(
                Prompt(text=text_of(backend.tokenizer, OWN_TOKENS - 5 + n % 11, 100 + n)),
                Sampling(max_new_tokens=NEW_TOKENS),
            )
            for n in range(REQUESTS)
        ]
        one = [replace(request, lora=loras[0]) for request in plain]
        turns = [replace(request, lora=loras[n % LORAS]) for n, request in enumerate(plain)]
        mixed = [request if n % 2 else own for n, (request, own) in enumerate(zip(plain, one, strict=True))]
        good = [
            compare(backend, f"{LORAS} LoRAs in turn against one", one, turns, options.repeats),
            compare(backend, "base and a LoRA against the LoRA", one, mixed, options.repeats),
        ]
        one, turns = (
            [replace(own, sampling=Sampling(max_new_tokens=8 + 7 * n % 25)) for n, own in enumerate(side)]
            for side in (one, turns)
        )
        compare(backend, f"{LORAS} LoRAs, 8 to {NEW_TOKENS} new tokens", one, turns, options.repeats)
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
