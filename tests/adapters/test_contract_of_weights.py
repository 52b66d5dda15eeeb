"""Strategies with learned weights keep the contract on a real model, and the usual ways to do it wrong break it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import promptkit as pk
from promptkit import ArtifactError, FewShot, LoRA, SoftPrompt, load_task
from promptkit.adapters import PlanPredictor
from promptkit.records import settings
from promptkit.registry import register
from promptkit.tasks.task import Task
from promptkit.testing import CONTRACT, Case, check_adapter
from promptkit.types import Example, Prediction, Query, Weights

TASK = load_task("tone")
WORDS = ("the fund pays four per cent", "a fine film", "how many apples", "ask for the terms", "dull from end to end")


def examples(count: int = 14) -> list[Example]:
    texts = [f"{WORDS[i % 5]}{' and so on' * (i % 3)} {i}" for i in range(count)]
    return [Example(Query({"message": text}, f"e{i}"), (WORDS[i % 5],)) for i, text in enumerate(texts)]


QUICK: dict[str, Any] = {"epochs": 2, "batch_size": 4, "max_new_tokens": 8, "precision": "float32", "instruction": None}
SOFT: dict[str, Any] = {**QUICK, "tokens": 3, "learning_rate": 0.5}
LOW: dict[str, Any] = {**QUICK, "rank": 2, "learning_rate": 0.3}

VARIANTS: dict[str, Callable[[], Any]] = {
    "prompt": lambda: SoftPrompt(TASK, **SOFT),
    "prefix": lambda: SoftPrompt(TASK, kind="prefix", **SOFT),
    "ptuning": lambda: SoftPrompt(TASK, kind="ptuning", **SOFT),
    "prompt, shots": lambda: SoftPrompt(TASK, init="prompt", shots=1, select="nearest", **SOFT),
    "lora": lambda: LoRA(TASK, **LOW),
    "dora": lambda: LoRA(TASK, variant="dora", targets=["q_proj", "v_proj"], **LOW),
    "adalora": lambda: LoRA(TASK, variant="adalora", **{**LOW, "epochs": 6}),
    "lora with vectors": lambda: LoRA(TASK, soft_prompt=2, **LOW),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_learned_weights_keep_the_contract(name: str, backend_of: Callable[..., Any]) -> None:
    adapter = VARIANTS[name]()
    assert check_adapter(adapter, examples(), backend_of("llama")) == tuple(CONTRACT)


@pytest.mark.parametrize("name", ["prompt", "prefix", "lora", "lora with vectors"])
def test_training_changes_the_answers_or_the_contract_would_prove_nothing(
    name: str, backend_of: Callable[..., Any]
) -> None:
    queries = [one.query for one in examples()[-4:]]
    backend = backend_of("llama")
    tuned = VARIANTS[name]().fit(examples()[:6], backend)
    base = replace(tuned, soft_prompt=None, lora=None)
    assert [p.text for p in tuned.predict(queries)] != [p.text for p in base.predict(queries)]


class Wrapped:
    """A predictor that does something around another one's predictions."""

    def __init__(self, inner: PlanPredictor, predict: Callable[[PlanPredictor, Any, int], list[Prediction]]) -> None:
        self.inner, self.task, self._predict = inner, inner.task, predict

    def predict(self, queries: Sequence[Any], *, seed: int = 0, **rest: Any) -> list[Prediction]:
        return self._predict(self.inner, queries, seed)

    def save(self, folder: str | Path) -> None:
        self.inner.save(folder)


NUMBERS = itertools.count()
WRAPPED: dict[Any, Any] = {}


@settings
class GlobalAdapter:
    """Wraps the shared model with PEFT and switches its adapter on for everybody, as most tutorials do."""

    task: Task

    def fit(self, examples: Sequence[Example], backend: Any, *, dev: Any = None, seed: int = 0) -> Any:
        import torch
        from peft import LoraConfig, get_peft_model

        name = f"mine{next(NUMBERS)}"
        torch.manual_seed(seed)
        config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        if backend not in WRAPPED:
            WRAPPED[backend] = get_peft_model(backend.model, config, adapter_name=name)
        else:
            WRAPPED[backend].add_adapter(name, config)
        WRAPPED[backend].set_adapter(name)

        def predict(inner: PlanPredictor, queries: Any, seed: int) -> list[Prediction]:
            WRAPPED[backend].set_adapter(name)
            return inner.predict(queries, seed=seed)

        return Wrapped(FewShot(self.task, shots=0, max_new_tokens=8).fit((), backend), predict)


@settings
class PeftGenerate:
    """Generates with PEFT's own prompt tuning from left-padded batches, [soft][pad][text]."""

    task: Task

    def fit(self, examples: Sequence[Example], backend: Any, *, dev: Any = None, seed: int = 0) -> Any:
        import torch
        from peft import PromptTuningConfig, get_peft_model

        torch.manual_seed(seed)
        config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=6)
        tuned = get_peft_model(backend.model, config).eval()
        with torch.no_grad():
            tuned.prompt_encoder["default"].embedding.weight.mul_(3)
        backend.model.requires_grad_(True)

        def predict(inner: PlanPredictor, queries: Any, seed: int) -> list[Prediction]:
            found = inner.predict(queries, seed=seed)
            prompts = [inner.ask(pk.Query(getattr(q, "fields", q))).prompt.text for q in queries]
            if not prompts:
                return found
            tokenizer = backend.tokenizer
            batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
            with torch.no_grad():
                out = tuned.generate(
                    input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=8,
                    do_sample=False, pad_token_id=0, eos_token_id=None,
                )  # fmt: skip
            texts = [tokenizer.decode(row[-8:]) for row in out]
            return [replace(p, answer=text or None, text=text) for p, text in zip(found, texts, strict=True)]

        return Wrapped(FewShot(self.task, shots=0, max_new_tokens=8, instruction=None).fit((), backend), predict)


register("strategy", "global_adapter")(GlobalAdapter)
register("strategy", "peft_generate")(PeftGenerate)


def case(adapter: Any, backend: Any) -> Case:
    found = examples()
    return Case(adapter, found[:6], backend, found[6:8], [one.query for one in found[-4:]])


@pytest.fixture
def own_backend(tiny: Callable[..., Path]) -> Any:
    """A backend that nobody else uses, because the twins damage its model."""
    return pk.LocalBackend(tiny("llama"), device="cpu")


@pytest.mark.parametrize("check", ["fitting_changes_nothing", "others_are_left_alone", "predictors_share_a_model"])
def test_a_global_adapter_on_the_shared_model_breaks_the_contract(check: str, own_backend: Any) -> None:
    with pytest.raises(AssertionError):
        CONTRACT[check](case(GlobalAdapter(TASK), own_backend))


def test_pefts_own_generate_breaks_the_contract(own_backend: Any) -> None:
    with pytest.raises(AssertionError, match="depends on the other queries"):
        CONTRACT["neighbours_do_not_matter"](case(PeftGenerate(TASK), own_backend))


def lenient_load(folder: Path, backend: Any) -> PlanPredictor:
    """Loads as ``load_state_dict(strict=False)`` does: names that do not fit are passed over."""
    found = pk.load(folder, backend)
    assert found.lora is not None
    renamed = {name.replace("self_attn", "attention"): tensor for name, tensor in found.lora.tensors.items()}
    known = {name: tensor for name, tensor in renamed.items() if name in found.lora.tensors}
    zeros = {name: 0 * tensor for name, tensor in found.lora.tensors.items()}
    return replace(found, lora=Weights("lora", found.lora.config, {**zeros, **known}, found.lora.base))


def test_a_lenient_loader_breaks_the_contract(backend_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = LoRA(TASK, targets="attention", **LOW)
    CONTRACT["saved_is_loaded"](case(adapter, backend_of("llama")))
    monkeypatch.setattr("promptkit.testing.contract.load", lenient_load)
    with pytest.raises(AssertionError, match="the loaded predictor predicts otherwise"):
        CONTRACT["saved_is_loaded"](case(adapter, backend_of("llama")))


def test_what_the_lenient_loader_passes_over_is_refused_by_ours(backend_of: Callable[..., Any], tmp_path: Path) -> None:
    fitted = LoRA(TASK, targets="attention", **LOW).fit(examples()[:6], backend_of("llama"))
    assert fitted.lora is not None
    renamed = {name.replace("self_attn", "attention"): tensor for name, tensor in fitted.lora.tensors.items()}
    broken = replace(fitted, lora=Weights("lora", fitted.lora.config, renamed, fitted.lora.base))
    with pytest.raises(ArtifactError):
        broken.predict([examples()[0].query])
    broken.save(tmp_path / "broken")
    with pytest.raises(ArtifactError):
        pk.load(tmp_path / "broken", backend_of("llama"))
