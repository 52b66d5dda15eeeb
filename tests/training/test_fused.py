"""The quicker forward of plain LoRA computes what PEFT's does, and is put on nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from promptkit.backends.local.backend import LocalBackend
from promptkit.training.clone import clone_sharing_weights, frozen
from promptkit.training.fused import fuse


def wrapped(model: Any, **settings: Any) -> Any:
    import peft

    torch.manual_seed(0)
    clone = clone_sharing_weights(model)
    kind = settings.pop("kind", peft.LoraConfig)
    with frozen(model):  # PEFT freezes what it wraps, and the model's numbers are the twin's
        clone = peft.get_peft_model(clone, kind(target_modules="all-linear", task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, parameter in clone.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn_like(parameter))
    return clone


def computed(model: Any) -> dict[str, torch.Tensor]:
    logits = model(input_ids=torch.arange(3, 23).view(2, 10)).logits
    logits.square().mean().backward()
    gradients = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    return {"logits": logits, **gradients}


@pytest.mark.parametrize("settings", [{"r": 4}, {"r": 4, "use_rslora": True, "lora_alpha": 3}])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "falcon_rw", "phi"])
def test_outputs_and_gradients_are_those_of_peft(backend_of, kind, settings) -> None:
    model = backend_of(kind).model
    theirs, ours = wrapped(model, **settings), wrapped(model, **settings)
    assert fuse(ours, "default") > 0
    wanted, found = computed(theirs), computed(ours)
    assert wanted.keys() == found.keys() and len(wanted) > 4
    for name, tensor in wanted.items():
        assert (tensor - found[name]).norm() <= 1e-5 * tensor.norm(), name


def test_variants_and_other_types_keep_pefts_own(backend_of, tiny) -> None:
    import peft

    model = backend_of("llama").model
    assert fuse(wrapped(model, r=4, use_dora=True), "default") == 0
    assert fuse(wrapped(model, kind=peft.AdaLoraConfig, total_step=10), "default") == 0
    rounded = LocalBackend(tiny("llama"), device="cpu", dtype="bfloat16").model
    assert fuse(wrapped(rounded, r=4), "default") == 0
