"""LoRA on mixture-of-experts models and on layers that PEFT reads in its own way: as planned, or refused before step 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

import promptkit as pk
from promptkit.backends.local.backend import LocalBackend
from promptkit.errors import SettingError, UnsupportedError
from promptkit.training import LoraSpec, Pair, Trained, TrainingConfig, train
from promptkit.training import first_pass as first_pass_module
from promptkit.training.experts import left_out, taken_for_experts
from promptkit.training.lora import LowRank
from promptkit.training.targets import find_linear, find_targets, resolve_targets
from promptkit.types import ScoreRequest

COMMON = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
FEW = {"moe_intermediate_size": 16, "num_experts_per_tok": 2}
MLA = {"num_key_value_heads": 4, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4}
SHARED = {"n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
SHAPES: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": {**FEW, "num_experts": 4, "shared_expert_intermediate_size": 16},
    "qwen3_moe": {**FEW, "head_dim": 8, "num_experts": 4, "mlp_only_layers": [0]},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "phimoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "glm4_moe": {**FEW, **SHARED, "head_dim": 8},
    "deepseek_v3": {**FEW, **SHARED, **MLA, "v_head_dim": 8},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt_oss": {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2},
    "llama4_text": {"head_dim": 8, "num_local_experts": 4, "intermediate_size_mlp": 48, "num_experts_per_tok": 1},
    "hunyuan_v1_moe": {"head_dim": 8, "num_experts": 4, "moe_topk": 2},
}
QUICK = ("mixtral", "qwen3_moe", "llama4_text")
REWRITTEN = ("qwen3_moe", "glm4_moe", "deepseek_v3", "hunyuan_v1_moe")
"""Architectures of which PEFT takes the dense or shared layers for experts."""


@pytest.fixture
def build(tmp_path: Path, make_tokenizer: Callable[..., Any]) -> Callable[..., Path]:
    """A function that returns the folder of a tiny model of an architecture."""

    def save(kind: str, **fields: Any) -> Path:
        tokenizer = make_tokenizer()
        ids = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
        torch.manual_seed(3)
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(kind, **{**COMMON, **ids, **fields})
        )
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(4)
        folder = tmp_path / kind
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return save


def learn(backend: LocalBackend, pairs: list[Pair], lora: LoraSpec, steps: list[int] | None = None) -> Trained:
    spec, lora = TrainingConfig(epochs=1, batch_size=4, precision="float32"), replace(lora, learning_rate=0.02)
    return train(
        backend, pairs, (), spec, lora=lora, soft=None, seed=0,
        progress=lambda step, *_: None if steps is None else steps.append(step),
    )  # fmt: skip


def planned(folder: Path, lora: LoraSpec) -> Any:
    task = pk.load_task("tone")
    return pk.estimate(folder, pk.LoRA(task, rank=lora.rank, variant=lora.variant, targets=lora.targets))


@pytest.mark.filterwarnings("ignore:LoRA.targets")
@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in SHAPES]
)
def test_what_is_planned_is_trained_and_answers_as_in_stock_peft(
    kind: str, build: Callable[..., Path], pairs: Callable[..., list[Pair]], tmp_path: Path
) -> None:
    import peft

    from promptkit.artifacts.weights import weights_to_files

    folder, some = build(kind, **SHAPES[kind]), pairs(4)
    backend, spec = LocalBackend(folder, device="cpu"), LoraSpec(rank=2)
    trained, plan = learn(backend, some, spec), planned(folder, spec)
    assert trained.lora is not None
    assert sum(each.size for each in trained.lora.tensors.values()) == plan.trainable_parameters
    assert trained.log.trainable_parameters == plan.trainable_parameters
    assert tuple(trained.lora.config["target_modules"]) == plan.targets
    assert trained.left_out == plan.left_out and "experts" in " ".join(plan.left_out) and "left out" in str(plan)

    request = ScoreRequest(some[1].prompt, (some[1].answer,), lora=trained.lora)
    bare = ScoreRequest(some[1].prompt, (some[1].answer,))
    got, base = (backend.score([each])[0][0][0] for each in (request, bare))
    assert abs(got - base) > 1e-3, "nothing was learned"

    files = tmp_path / "adapter"
    files.mkdir()
    for name, data in weights_to_files(trained.lora).items():
        (files / name).write_bytes(data)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    stock = peft.PeftModel.from_pretrained(model, files).eval()
    prompt = backend._codec.prompt_ids(some[1].prompt)
    answer = backend._codec.continuation_ids(some[1].prompt, some[1].answer)
    with torch.no_grad():
        logits = stock(input_ids=torch.tensor([[*prompt, *answer[:-1]]])).logits[0].float().log_softmax(-1)
    wanted = sum(float(logits[len(prompt) - 1 + at, token]) for at, token in enumerate(answer))
    assert got == pytest.approx(wanted, abs=1e-4)


def test_experts_are_named_to_the_user(build: Callable[..., Path]) -> None:
    task = pk.load_task("tone")
    backend = LocalBackend(build("mixtral", **SHAPES["mixtral"]), device="cpu", chat=False)
    some = [pk.Example(pk.Query({"message": f"so {number}"}, f"e{number}"), ("calm",)) for number in range(4)]
    quick: dict[str, Any] = {"epochs": 1, "batch_size": 4, "rank": 2, "instruction": None, "max_new_tokens": 4}
    with pytest.warns(UserWarning, match=r"leaves these weights as they are: .*experts.*use a model that keeps them"):
        predictor = pk.LoRA(task, precision="float32", **quick).fit(some, backend)
    noted = predictor.notes["left_out"]
    assert any("mlp.experts.down_proj (2 tensors, " in line for line in noted)
    assert any("mlp.gate.weight" in line for line in noted)
    chosen = pk.LoRA(task, precision="float32", targets=("q_proj",), **quick).fit(some, backend)
    assert "left_out" not in chosen.notes  # who names layers knows what is left out


def test_a_dense_model_leaves_nothing_out(build: Callable[..., Path]) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(build("llama"))
    layers = find_targets(model, resolve_targets(model, "all-linear"))
    assert left_out(model, layers) == () and taken_for_experts(model, layers) == set()
    assert left_out(model, [path for path in layers if "mlp" not in path])  # the bad twin


@pytest.mark.parametrize("kind", REWRITTEN)
def test_names_that_peft_takes_for_experts_are_refused(kind: str, build: Callable[..., Path]) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(build(kind, **SHAPES[kind]))
    lost = taken_for_experts(model, find_linear(model))
    assert lost and all(path.endswith(("gate_proj", "up_proj", "down_proj")) for path in lost)
    for names in (["down_proj"], ["o_proj", "up_proj"], [min(lost)]):
        with pytest.raises(SettingError, match=f"targets must be without names that PEFT takes .* of a {kind} model"):
            resolve_targets(model, names)


def test_a_rewriting_that_was_not_foreseen_is_refused_before_training(
    build: Callable[..., Path], pairs: Callable[..., list[Pair]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bad twin: planning as if PEFT took names as they are."""
    monkeypatch.setattr("promptkit.training.targets.taken_for_experts", lambda model, paths: set())
    backend, steps = LocalBackend(build("qwen3_moe", **SHAPES["qwen3_moe"]), device="cpu"), list[int]()
    with pytest.raises(UnsupportedError, match=r"PEFT must change the 11 layers of a qwen3_moe model that are planned"):
        learn(backend, pairs(4), LoraSpec(rank=2), steps)
    assert steps == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["phimoe", "llama4_text"])
def test_routers_that_are_linear_by_class_are_no_targets(kind: str, dtype: Any, build: Callable[..., Path]) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(build(kind, **SHAPES[kind]), dtype=dtype)
    routers = [path for path, layer in model.named_modules() if path.endswith("router")]
    assert isinstance(model.get_submodule(routers[0]), nn.Linear) and not set(routers) & set(find_linear(model))
    with pytest.raises(SettingError, match="targets must be names of linear layers"):
        resolve_targets(model, ["router"])


def test_layers_that_peft_refuses_are_a_typed_error(
    build: Callable[..., Path], pairs: Callable[..., list[Pair]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import peft

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("Module 'out_proj' is incompatible with Mamba-based models")

    backend, steps = LocalBackend(build("llama"), device="cpu"), list[int]()
    monkeypatch.setattr(peft, "get_peft_model", refuse)
    with pytest.raises(
        UnsupportedError, match=r"PEFT must be able .* of a llama model, got ValueError: Module 'out_pr"
    ):
        learn(backend, pairs(4), LoraSpec(rank=2), steps)
    assert steps == []


def read_without_a_call(model: nn.Module) -> None:
    """Makes a model read the weight of a layer that it never calls, as Mamba's fast path does."""
    for module in model.modules():
        if type(module).__name__ == "LlamaMLP":
            mlp: Any = module
            mlp.forward = lambda x, mlp=mlp: nn.functional.linear(
                mlp.act_fn(mlp.gate_proj(x)) * mlp.up_proj(x), mlp.down_proj.weight
            )


def test_a_layer_that_is_never_called_is_named_before_training(
    build: Callable[..., Path], pairs: Callable[..., list[Pair]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, steps, start = LocalBackend(build("llama"), device="cpu"), list[int](), LowRank.__init__

    def spoiled(self: LowRank, model: Any, spec: LoraSpec, **what: Any) -> None:
        start(self, model, spec, **what)
        read_without_a_call(model)

    monkeypatch.setattr(LowRank, "__init__", spoiled)
    with pytest.raises(UnsupportedError, match=r"got 2 of a llama model, such as .*down_proj'.*use targets=\['gate_pr"):
        learn(backend, pairs(4), LoraSpec(rank=2), steps)
    assert steps == []
    weights = [parameter for parameter in backend.model.parameters() if parameter.grad is not None]
    assert not weights, "the check leaves gradients on the model that serves"
    assert learn(backend, pairs(4), LoraSpec(rank=2, targets=("q_proj", "up_proj"))).lora is not None


@pytest.mark.parametrize("fault", ["ignored", "halved", "leaks", "crashes"])
def test_an_engine_that_answers_otherwise_is_found_before_training(
    fault: str, build: Callable[..., Path], pairs: Callable[..., list[Pair]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad twins of the engine: one that loses a change, weakens it, lets it leak to other rows, or fails."""
    from dataclasses import replace

    backend, steps, score = LocalBackend(build("llama"), device="cpu"), list[int](), LocalBackend.score

    def spoiled(self: LocalBackend, requests: Any) -> Any:
        loras = [request.lora for request in requests]
        if fault == "crashes" and any(loras):
            raise AttributeError("'LinearAttentionLayer' object has no attribute 'batch_select_indices'")
        if fault == "leaks":
            return score(self, [replace(r, lora=next((each for each in loras if each), None)) for r in requests])
        bare = score(self, [replace(request, lora=None) for request in requests])
        if fault == "ignored":
            return bare
        full = score(self, requests)
        return [
            tuple((a[0] * 0.5 + b[0] * 0.5, a[1]) for a, b in zip(one, two, strict=True))
            for one, two in zip(bare, full, strict=True)
        ]

    monkeypatch.setattr(LocalBackend, "score", spoiled)
    with pytest.raises(UnsupportedError, match=r"engine.*llama model.*nothing was trained|llama model.*Attribute"):
        learn(backend, pairs(4), LoraSpec(rank=2), steps)
    assert steps == []


@pytest.mark.parametrize(
    "variant", ["adalora", *(pytest.param(each, marks=pytest.mark.slow) for each in ("lora", "rslora", "dora"))]
)
def test_the_check_changes_no_number_of_a_training(
    variant: Any, build: Callable[..., Path], pairs: Callable[..., list[Pair]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, spec = LocalBackend(build("llama"), device="cpu"), LoraSpec(rank=2, variant=variant, dropout=0.1)
    training = TrainingConfig(epochs=10, batch_size=4, precision="float32")
    found = []
    for check in (first_pass_module.check_first_pass, lambda *_, **__: None):
        monkeypatch.setattr("promptkit.training.loop.check_first_pass", check)
        found.append(train(backend, pairs(4), (), training, lora=spec, soft=None, seed=0).lora)
    assert found[0] == found[1]


def test_short_memory_in_the_check_is_said_as_in_a_step(
    build: Callable[..., Path], pairs: Callable[..., list[Pair]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    backend = LocalBackend(build("llama"), device="cpu")
    monkeypatch.setattr(LocalBackend, "score", short)
    with pytest.raises(pk.TrainingError, match="a step must fit into memory"):
        learn(backend, pairs(4), LoraSpec(rank=2))
