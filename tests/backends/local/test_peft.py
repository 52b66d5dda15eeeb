"""LocalBackend answers with weights as stock PEFT does with the same files, one prompt at a time."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from promptkit.backends.local.adapters import fold_lora
from promptkit.backends.local.backend import LocalBackend
from promptkit.types import Prompt, Request, Sampling, ScoreRequest, Weights
from tests.support import learned

TEXTS = ["Question: Jane has 2 apples. She bought 3 more.\nAnswer:", "Review: dull.\nLabel:"]
LABELS = (" a", "\n", "I", "3", "?")  # one token each
NEW = 5
CASES = [
    ("gpt2", "soft_prompt"),
    ("gpt2", "prefix"),
    ("gpt2", "dora"),
    ("gpt2", "adalora"),
    ("llama", "soft_prompt"),
    ("llama", "prefix"),
    ("llama", "patterns"),
    ("gemma", "soft_prompt"),
    ("gemma", "prefix"),
    ("qwen3", "prefix"),
    ("bloom", "soft_prompt"),
    ("bloom", "prefix"),
    ("falcon_rw", "rslora"),
    ("falcon_rw", "dora"),
    ("opt", "adalora_masked"),
    ("opt", "prefix"),
    ("phi", "rslora"),
    ("t5", "soft_prompt"),
    ("t5", "lora"),
]


@cache
def loaded(folder: Path) -> LocalBackend:
    return LocalBackend(folder)


def masked(weights: Weights) -> Weights:
    """AdaLoRA after some ranks were pruned, one layer down to none: PEFT saves the rest and a mask."""
    tensors, pattern = dict(weights.tensors), {}
    layers = [name.removesuffix(".lora_E") for name in tensors if name.endswith(".lora_E")]
    for at, layer in enumerate(layers[:3]):
        mask = [place < at for place in range(weights.config["init_r"])]
        pattern[f"{layer}.lora_E"] = mask
        tensors[f"{layer}.lora_A"] = tensors[f"{layer}.lora_A"][mask]
        tensors[f"{layer}.lora_E"] = tensors[f"{layer}.lora_E"][mask]
        tensors[f"{layer}.lora_B"] = tensors[f"{layer}.lora_B"][:, mask]
    return Weights("lora", {**weights.config, "rank_pattern": pattern}, tensors, weights.base)


def made(backend: LocalBackend, what: str) -> Weights:
    if what == "soft_prompt":
        return learned.soft_prompt(backend, 1)
    if what == "prefix":
        return learned.prefix(backend, 2)
    if what == "adalora_masked":
        return masked(learned.lora(backend, 3, variant="adalora"))
    if what == "patterns":
        return learned.lora(
            backend, 3, rank_pattern={"v_proj": 2, "0.mlp.up_proj": 3}, alpha_pattern={"1.self_attn.q_proj": 3.0}
        )
    return learned.lora(backend, 3, variant=what)


def stock(folder: Path, weights: Weights, where: Path) -> Any:
    """The model as stock PEFT loads it with these weights."""
    from peft import PeftModel

    prefix = "base_model.model." if weights.kind == "lora" else ""
    tensors = {prefix + name: np.ascontiguousarray(tensor) for name, tensor in weights.tensors.items()}
    save_file(tensors, where / "adapter_model.safetensors")
    (where / "adapter_config.json").write_text(json.dumps(dict(weights.config)))
    model = copy.deepcopy(learned.plain_model(folder))
    return PeftModel.from_pretrained(model, where).eval()


@pytest.mark.parametrize(("name", "what"), CASES)
def test_answers_are_those_of_stock_peft(tiny: Callable[..., Path], tmp_path: Path, name: str, what: str) -> None:
    folder = tiny(name)
    backend = loaded(folder)
    weights = made(backend, what)
    model = stock(folder, weights, tmp_path)
    own: dict[str, Any] = {"lora" if weights.kind == "lora" else "soft_prompt": weights}
    replies = backend.generate([Request(Prompt(text=text), Sampling(max_new_tokens=NEW), **own) for text in TEXTS])
    scores = backend.score([ScoreRequest(Prompt(text=text), LABELS, **own) for text in TEXTS])
    for text, reply, found in zip(TEXTS, replies, scores, strict=True):
        ids = torch.tensor([backend._codec.prompt_ids(Prompt(text=text))])
        with torch.no_grad():
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=NEW,
                do_sample=False,
                num_beams=1,
                output_logits=True,
                return_dict_in_generate=True,
            )
        tokens = out.sequences[0].tolist()
        tokens = tokens[1:] if name == "t5" else tokens[ids.shape[1] :]
        assert reply.completions[0].text == backend._codec.text(ids[0].tolist(), tokens)
        firsts = [backend._codec.continuation_ids(Prompt(text=text), label)[0] for label in LABELS]
        want = out.logits[0][0].log_softmax(-1)[firsts].tolist()
        assert [score for score, _ in found] == pytest.approx(want, abs=1e-3)
    plain = backend.score([ScoreRequest(Prompt(text=text), LABELS) for text in TEXTS])
    moved = [abs(a[0] - b[0]) for own, base in zip(scores, plain, strict=True) for a, b in zip(own, base, strict=True)]
    assert max(moved) > 0.02, "weights that change nothing would prove nothing"


@pytest.mark.parametrize("variant", ["lora", "rslora", "dora", "adalora"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_folded_weights_are_pefts_merged_weights(
    tiny: Callable[..., Path], tmp_path: Path, name: str, variant: str
) -> None:
    folder = tiny(name)
    backend = loaded(folder)
    weights = learned.lora(backend, 6, variant=variant)
    merged = stock(folder, weights, tmp_path).merge_and_unload()
    for path, folded in fold_lora(weights, backend.model).items():
        layer, want = backend.model.get_submodule(path), merged.get_submodule(path).weight.detach()
        turned = name == "gpt2"
        base = (layer.weight.T if turned else layer.weight).detach()
        got = base * (1 if folded.scale is None else folded.scale[:, None]) + folded.b @ folded.a
        assert torch.allclose(got, want.T if turned else want, atol=1e-5)
        assert not torch.allclose(got, base, atol=1e-2)
