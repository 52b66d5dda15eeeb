"""Training lowers the loss, keeps the best, repeats itself, leaves everything else alone, and refuses what cannot work."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
import torch

from promptkit.artifacts.weights import weights_from_files, weights_to_files
from promptkit.backends.local.backend import LocalBackend
from promptkit.errors import (
    ContextLengthError,
    DataError,
    MissingExtraError,
    SettingError,
    TrainingError,
)
from promptkit.training import LoraSpec, Pair, SoftSpec, Trained, TrainingConfig, checks, train
from promptkit.training.learner import Learner
from promptkit.training.trainer import rate
from promptkit.types import Prompt, Request

FAST = TrainingConfig(epochs=4, batch_size=4, precision="float32")
WAYS: dict[str, dict[str, Any]] = {
    "prompt": {"soft": SoftSpec(tokens=4, learning_rate=0.3)},
    "ptuning": {"soft": SoftSpec(kind="ptuning", tokens=4, learning_rate=5e-3)},
    "prefix": {"soft": SoftSpec(kind="prefix", tokens=4, learning_rate=0.3)},
    "lora": {"lora": LoraSpec(rank=4, dropout=0.1, learning_rate=5e-3)},
    "rslora": {"lora": LoraSpec(rank=4, variant="rslora", targets="attention", learning_rate=5e-3)},
    "dora": {"lora": LoraSpec(rank=4, variant="dora", targets="attention", learning_rate=5e-3)},
    "adalora": {"lora": LoraSpec(rank=2, variant="adalora", learning_rate=5e-3)},
    "both": {"lora": LoraSpec(rank=4, learning_rate=5e-3), "soft": SoftSpec(tokens=4, learning_rate=0.3)},
}


def fit(backend: LocalBackend, pairs: Any, way: str = "lora", spec: TrainingConfig = FAST, **more: Any) -> Trained:
    chosen = {"lora": None, "soft": None, "seed": 0} | WAYS[way] | more
    return train(backend, pairs(24), pairs(9, first=24), spec, **chosen)


@pytest.mark.parametrize("way", WAYS)
def test_training_lowers_the_loss_and_gives_weights_that_the_backend_takes(backend_of, pairs, way) -> None:
    backend = backend_of("llama")
    base = {name: tensor.clone() for name, tensor in backend.model.state_dict().items()}
    trained = fit(backend, pairs, way)
    log = trained.log
    assert log.stopped == "epochs" and log.steps == 24 and log.epochs == 4.0
    assert log.dev[0][0] == 0 and dict(log.dev)[log.best_step] == min(loss for _, loss in log.dev[1:])
    assert min(loss for _, loss in log.dev) < log.dev[0][1] - 0.1
    assert [step for step, _ in log.loss] == list(range(1, 25))
    assert log.tokens_per_second > 0 and 0 < log.trainable_parameters < log.total_parameters
    assert (trained.lora is not None, trained.soft_prompt is not None) == ("lora" in WAYS[way], "soft" in WAYS[way])
    for weights in (trained.lora, trained.soft_prompt):
        if weights is not None:
            backend.check_weights(weights)
            assert weights_from_files(weights_to_files(weights), base=backend.fingerprint()) == weights
    assert all(torch.equal(tensor, base[name]) for name, tensor in backend.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in backend.model.parameters())


@pytest.mark.parametrize("way", ["both", "adalora", "prefix", "ptuning"])
def test_refitting_gives_the_same_bits(backend_of, pairs, way) -> None:
    backend = backend_of("llama")
    spec = TrainingConfig(epochs=2, batch_size=4, precision="float32")
    torch.manual_seed(1)
    first = fit(backend, pairs, way, spec)
    torch.manual_seed(2)
    second = fit(backend, pairs, way, spec)
    other = fit(backend, pairs, way, spec, seed=1)
    assert (first.lora, first.soft_prompt) == (second.lora, second.soft_prompt)
    assert first.log.loss == second.log.loss
    assert (first.lora, first.soft_prompt) != (other.lora, other.soft_prompt)


def test_the_global_generator_is_left_as_it_was(backend_of, pairs) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(3)
    torch.manual_seed(3)
    fit(backend_of("llama"), pairs, spec=TrainingConfig(epochs=1, batch_size=8, precision="float32"))
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("kind", ["gpt2", "t5", "falcon_rw", "gemma"])
def test_other_architectures_learn_too(backend_of, pairs, kind) -> None:
    backend = backend_of(kind)
    # The tiny t5 starts at a loss of 18 and takes a while to come down.
    trained = train(
        backend,
        pairs(12, end=True),
        pairs(6, end=True),
        FAST,
        lora=LoraSpec(rank=4, learning_rate=5e-3),
        soft=SoftSpec(tokens=3, learning_rate=0.3),
        seed=0,
    )
    assert trained.log.dev[-1][1] < trained.log.dev[0][1] - 0.2
    assert trained.lora is not None and trained.soft_prompt is not None
    backend.check_weights(trained.lora)
    backend.check_weights(trained.soft_prompt)


def test_an_answer_can_be_learned_by_heart_and_generated(backend_of) -> None:
    backend = backend_of("llama")
    prompt = Prompt(text="Review: dull.\nLabel:")
    one = [Pair(prompt, " negative", end=True)]
    spec = TrainingConfig(epochs=40, warmup=0.1, precision="float32")
    trained = train(backend, one, (), spec, lora=LoraSpec(alpha=32, learning_rate=1e-2), soft=None, seed=0)
    assert trained.log.dev == () and trained.log.best_step == 40
    reply = backend.generate([Request(prompt, lora=trained.lora), Request(prompt)])
    assert (reply[0].completions[0].text, reply[0].completions[0].finish) == (" negative", "eos")
    assert reply[1].completions[0].text != " negative"


@pytest.mark.parametrize("kind", ["prompt", "ptuning", "prefix"])
def test_vectors_start_where_they_are_told_to(backend_of, pairs, kind) -> None:
    backend = backend_of("llama")
    ids = tuple(backend._codec.content("Review: a fine film"))
    by_text = SoftSpec(kind=kind, tokens=len(ids), start_text_ids=ids, learning_rate=1e-9)
    tiny_step = TrainingConfig(epochs=1, batch_size=64, precision="float32")
    found = fit(backend, pairs, spec=tiny_step, lora=None, soft=by_text).soft_prompt
    assert found is not None
    if kind == "prefix":
        layers = backend._loaded.prefix(ids).layers
        wanted = torch.cat([part[0].transpose(0, 1).flatten(1) for layer in layers for part in layer], dim=1)
    else:
        wanted = backend.model.get_input_embeddings().weight.detach()[list(ids)]
    np.testing.assert_allclose(found.tensors["prompt_embeddings"], wanted.numpy(), atol=1e-6)
    again = SoftSpec(kind=kind, tokens=len(ids), start=wanted.numpy(), learning_rate=1e-9)
    second = fit(backend, pairs, spec=tiny_step, lora=None, soft=again)
    np.testing.assert_allclose(second.soft_prompt.tensors["prompt_embeddings"], wanted.numpy(), atol=1e-6)


def test_random_vectors_have_the_scale_of_the_models_own(backend_of, pairs) -> None:
    backend = backend_of("llama")
    words = backend.model.get_input_embeddings().weight.detach()
    still = TrainingConfig(epochs=1, batch_size=64, precision="float32")
    found = fit(backend, pairs, spec=still, lora=None, soft=SoftSpec(tokens=100, learning_rate=1e-9)).soft_prompt
    assert float(np.std(found.tensors["prompt_embeddings"])) == pytest.approx(float(words.std()), rel=0.1)


def test_the_best_step_on_dev_is_kept_and_patience_stops(backend_of, pairs) -> None:
    spec = TrainingConfig(epochs=30, batch_size=4, patience=2, schedule="constant", warmup=0.0, precision="float32")
    backend = backend_of("llama")
    dev = [Pair(pair.prompt, " something else entirely") for pair in pairs(6, first=30)]  # gets worse soon
    seen: list[float] = []
    trained = train(
        backend,
        pairs(16),
        dev,
        spec,
        lora=LoraSpec(learning_rate=0.05),
        soft=None,
        seed=0,
        progress=lambda *now: seen.append(now[2]),
    )
    log = trained.log
    losses = dict(log.dev)
    assert log.stopped == "patience" and log.steps < 120
    assert losses[log.best_step] == min(losses.values())
    assert list(losses)[-3] == log.best_step  # two evaluations without a new best came after it
    score = backend.score([_score(pair, trained.lora) for pair in dev])
    tokens = sum(count for row in score for _, count in row)
    assert -sum(value for row in score for value, _ in row) / tokens == pytest.approx(losses[log.best_step], abs=1e-4)


def _score(pair: Pair, lora: Any) -> Any:
    from promptkit.types import ScoreRequest

    return ScoreRequest(pair.prompt, (pair.answer,), lora=lora)


def test_adalora_keeps_as_many_ranks_as_were_asked_for(backend_of, pairs) -> None:
    for spec in (FAST, TrainingConfig(epochs=40, batch_size=4, max_minutes=1e-6, precision="float32")):
        lora = fit(backend_of("llama"), pairs, "adalora", spec).lora
        values = [tensor for name, tensor in lora.tensors.items() if name.endswith("lora_E")]
        assert {len(each) for each in values} == {3}
        assert sum(int((each != 0).sum()) for each in values) == 2 * len(values)


def test_time_limits_end_a_run_in_good_order(backend_of, pairs) -> None:
    log = fit(
        backend_of("llama"), pairs, spec=TrainingConfig(epochs=40, batch_size=16, max_minutes=1e-6, precision="float32")
    ).log
    assert (log.stopped, log.steps) == ("max_minutes", 1)
    assert [step for step, _ in log.dev] == [0, 1]


def test_progress_tells_step_total_loss_and_time_left(backend_of, pairs) -> None:
    seen: list[tuple[int, int, float, float]] = []
    log = fit(backend_of("llama"), pairs, spec=FAST, progress=lambda *now: seen.append(now)).log
    assert [(step, loss) for step, _, loss, _ in seen] == list(log.loss)
    assert {total for _, total, _, _ in seen} == {24}
    assert seen[-1][3] == 0 < seen[0][3]


def test_fits_of_two_threads_do_not_disturb_each_other(backend_of, pairs) -> None:
    backend = backend_of("llama")
    spec = TrainingConfig(epochs=2, batch_size=4, precision="float32")
    wanted = fit(backend, pairs, "lora", spec)
    found: list[Trained] = []
    threads = [threading.Thread(target=lambda: found.append(fit(backend, pairs, "lora", spec))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.lora for each in found] == [wanted.lora, wanted.lora]


@pytest.mark.skipif(not checks.bfloat16_is_real(torch.device("cpu")), reason="this processor has no bfloat16")
def test_bfloat16_learns_where_it_is_real(backend_of, pairs) -> None:
    plain, rounded = (
        fit(backend_of("llama"), pairs, "both", TrainingConfig(epochs=2, batch_size=4, precision=precision)).log
        for precision in ("float32", "auto")
    )
    assert plain.loss != rounded.loss
    assert rounded.loss[-1][1] == pytest.approx(plain.loss[-1][1], rel=0.03)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"lora": None}, SettingError, "lora or soft must be given"),
        ({"seed": True}, SettingError, "seed must be an integer"),
        ({"pairs": []}, DataError, "pairs must be at least one pair"),
        ({"pairs": [Pair(Prompt(text="a"), "")]}, DataError, "answers must have at least one token"),
        ({"dev": [Pair(Prompt(text="a"), "")]}, DataError, "^dev: answers must have"),
        ({"pairs": [Pair(Prompt(text="a b " * 600), " c")]}, ContextLengthError, "window of 512 tokens"),
        ({"soft": SoftSpec(tokens=512)}, SettingError, "tokens must be below the context window of 512"),
        ({"soft": SoftSpec(tokens=2, start=np.zeros((2, 5)))}, SettingError, r"start must be an array \[2, 32\]"),
        ({"soft": SoftSpec(tokens=1, start_text_ids=(10**6,))}, SettingError, "start_text_ids must be token ids below"),
        ({"lora": LoraSpec(targets=("q_porj",))}, SettingError, "did you mean 'q_proj'"),
        ({"lora": LoraSpec(variant="adalora")}, SettingError, "adalora must be at least 10 optimiser steps, .* got 2"),
    ],
)
def test_what_cannot_work_is_refused_before_training(backend_of, pairs, monkeypatch, given, error, message) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(Learner, "gradients", lambda *_: pytest.fail("it trained"))
    arguments = {"pairs": pairs(8), "dev": (), "lora": LoraSpec(), "soft": None, "seed": 0} | given
    learned, dev = arguments.pop("pairs"), arguments.pop("dev")
    with pytest.raises(error, match=message):
        train(
            backend_of("llama"), learned, dev, TrainingConfig(epochs=2, batch_size=16, precision="float32"), **arguments
        )


def test_bfloat16_that_would_be_pretended_is_refused(backend_of, pairs, monkeypatch) -> None:
    monkeypatch.setattr(checks, "bfloat16_is_real", lambda device: False)
    with pytest.raises(
        SettingError, match=r"precision must be 'float32' or 'auto', got 'bfloat16'; this cpu would only"
    ):
        fit(backend_of("llama"), pairs, spec=TrainingConfig(precision="bfloat16"))
    assert (
        fit(backend_of("llama"), pairs, spec=TrainingConfig(epochs=1, batch_size=16, precision="auto")).log.steps == 2
    )


@pytest.mark.parametrize(
    ("name", "library"), [("wandb", "wandb"), ("mlflow", "mlflow-skinny"), ("tensorboard", "tensorboard")]
)
def test_a_tracker_that_is_not_installed_is_named_before_training(
    backend_of, pairs, monkeypatch, name, library
) -> None:
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda package: None if package == name else object())
    with pytest.raises(MissingExtraError, match=rf"package '{name}' must be installed.*pip install {library}$"):
        fit(backend_of("llama"), pairs, spec=TrainingConfig(report_to=name, precision="float32"))


@pytest.mark.parametrize(("where", "step"), [("loss", 3), ("gradient", 2), ("dev loss", 6)])
def test_numbers_that_are_none_stop_the_run_at_once(backend_of, pairs, monkeypatch, where, step) -> None:
    calls = {"gradients": 0, "loss": -1}

    def spoil(name: str, original: Any, value: float) -> Any:
        def call(self: Any, items: Any) -> float:
            calls[name] += 1
            found = original(self, items)
            if name == "gradients" and where == "gradient" and calls[name] == step:
                next(iter(self.parameters.values())).grad[0, 0] = value
            wanted = {"gradients": "loss", "loss": "dev loss"}[name] == where
            return value if wanted and calls[name] == (step if name == "gradients" else 1) else found

        return call

    monkeypatch.setattr(Learner, "gradients", spoil("gradients", Learner.gradients, math.nan))
    monkeypatch.setattr(Learner, "loss", spoil("loss", Learner.loss, math.inf))
    advice = "with a learning rate of .*; use a lower learning rate or a longer warmup"
    with pytest.raises(TrainingError, match=f"the {where} must be finite, got (nan|inf) at step {step} of 24 {advice}"):
        fit(backend_of("llama"), pairs)
    assert calls["gradients"] == step


def test_a_loss_that_explodes_stops_the_run(tiny, pairs) -> None:
    backend = LocalBackend(tiny("gpt2"), device="cpu")
    with torch.no_grad():
        backend.model.get_output_embeddings().weight.mul_(1e38)  # logits overflow
    with pytest.raises(TrainingError, match="must be finite"):
        fit(backend, pairs)


def test_too_little_memory_is_explained(backend_of, pairs, monkeypatch) -> None:
    def fail(*_: Any) -> float:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Learner, "gradients", fail)
    with pytest.raises(TrainingError, match="must fit into memory, got more; use a smaller batch_size with more accum"):
        fit(backend_of("llama"), pairs)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize(("warmup", "steps"), [(0.0, 1), (0.0, 7), (0.3, 10), (0.99, 5)])
def test_the_learning_rate_rises_then_falls_and_is_never_0(schedule, warmup, steps) -> None:
    rates = [rate(TrainingConfig(warmup=warmup, schedule=schedule), step, steps) for step in range(1, steps + 1)]
    assert max(rates) == 1.0
    assert min(rates) > 0
    top = rates.index(1.0)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
