"""200 edited adapters against a model: each is refused, or is the original to the last number."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from safetensors.numpy import load, save

import promptkit as pk
from promptkit.artifacts.weights import CONFIG_FILE, TENSOR_FILE, weights_from_files, weights_to_files


def edit(config: dict, tensors: dict[str, np.ndarray], draw: random.Random) -> str:
    """Changes one thing that a model cannot run with, or one that means nothing."""
    name = draw.choice(sorted(tensors))
    tensor = tensors[name]
    module = name.split(".lora_")[0]
    what = draw.choice(
        [
            "layer",
            "half",
            "extra",
            "rename",
            "wide",
            "turned",
            "type",
            "nan",
            "rank",
            "targets",
            "dora",
            "task",
            "noise",
            "f64",
        ]
    )
    if what == "layer":
        for own in [each for each in tensors if each.startswith(module)]:
            del tensors[own]
    elif what == "half":
        del tensors[name]
    elif what == "extra":
        tensors[draw.choice([f"{name}s", "base_model.model.lm_head.lora_A.weight"])] = tensor
    elif what == "rename":
        tensors[name.replace(".0.", ".7.").replace(".1.", ".8.")] = tensors.pop(name)
    elif what == "wide":
        axis = draw.randrange(tensor.ndim)
        tensors[name] = np.concatenate([tensor, tensor[:1] if axis == 0 else tensor[:, :1]], axis=axis)
    elif what == "turned":
        tensors[name] = np.ascontiguousarray(tensor.T)
    elif what == "type":
        tensors[name] = tensor.astype(draw.choice([np.int32, np.uint8, np.bool_]))
    elif what == "nan":
        tensors[name] = np.where(
            np.arange(tensor.size).reshape(tensor.shape) == 0, draw.choice([np.nan, np.inf]), tensor
        ).astype(np.float32)
    elif what == "f64":
        tensors[name] = tensor.astype(np.float64)
    elif what == "rank":
        config["r"] = draw.choice([0, 1, 2, 4, 10**6, True, "3"])
    elif what == "targets":
        config["target_modules"] = draw.choice(
            [".*", "all-linear", ["q_proj"], ["lm_head"], [*config["target_modules"], "x"]]
        )
    elif what == "dora":
        config["use_dora"] = True
    elif what == "task":
        config[draw.choice(["auto_mapping", "modules_to_save", "loftq_config", "unheard_of"])] = draw.choice(
            [["x"], {"a": "b"}, "x", None, {}]
        )
    else:
        config[draw.choice(["peft_version", "revision", "base_model_name_or_path"])] = draw.choice(
            ["1.0", "../../x", "http://x"]
        )
    return what


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_an_edited_adapter_is_the_original_or_is_refused(backend, make, kind):
    engine = backend(kind)
    weights = make.low_rank(engine)
    files = weights_to_files(weights)
    draw, refused, kept = random.Random(11), set(), set()
    for _ in range(100):
        config, tensors = json.loads(files[CONFIG_FILE]), load(files[TENSOR_FILE])
        what = edit(config, tensors, draw)
        edited = {CONFIG_FILE: json.dumps(config).encode(), TENSOR_FILE: save(tensors)}
        try:
            again = weights_from_files(edited, base=engine.fingerprint())
            engine.check_weights(again)
        except pk.ArtifactError:
            refused.add(what)
        else:
            assert again == weights, what
            kept.add(what)
    assert kept <= {"noise", "task"} and len(refused) >= 11
