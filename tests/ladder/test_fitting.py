"""Rungs that learn weights climb like the others: through the journal, from dev alone, and never fitted twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import promptkit as pk
from promptkit.adapters import tuning
from promptkit.ladder.rungs import make_rungs
from tests.support import shipped


def short(data: pk.Data, train: int, dev: int, test: int) -> pk.Data:
    return pk.Data(data.train[:train], data.dev[:dev], data.test[:test], name=data.name)


class Cut(BaseException):
    """What a kill looks like from inside."""


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was trained."""
    done: list[str] = []
    fit = tuning.fit_weights

    def noted(what: Any, *args: Any, **rest: Any) -> Any:
        done.append(what.name)
        return fit(what, *args, **rest)

    for module in ("soft_prompt", "lora"):
        monkeypatch.setattr(f"promptkit.adapters.{module}.fit_weights", noted)
    return done


def test_soft_prompt_and_lora_are_trained_once_through_a_crash(
    tmp_path: Path, trainings: list[str], backend_of: Callable[..., pk.LocalBackend]
) -> None:
    task, backend = pk.load_task("tone"), backend_of("llama")
    data = short(shipped("tone"), 24, 6, 4)
    rungs = [
        pk.FewShot(task, shots=0),
        ("soft", pk.SoftPrompt(task, tokens=2, epochs=1, init="vocabulary")),
        ("lora", pk.LoRA(task, rank=2, epochs=1, targets=["q_proj"])),
    ]
    # So few items can show nothing to a careful test; a careless one keeps the climb going.
    options: dict[str, Any] = {
        "rungs": rungs, "folder": tmp_path / "run", "folds": 2, "confidence": 0.5, "budget": pk.Budget(minutes=9),
    }  # fmt: skip

    def cut(what: str, *rest: Any) -> None:
        if what == "lora: judging":
            raise Cut

    try:
        pk.climb(task, data, backend, **options, progress=cut)
    except Cut:
        pass
    first = list(trainings)
    result = pk.climb(task, data, backend, **options)
    assert trainings == first == ["SoftPrompt", "LoRA"]
    record = result.record
    assert record.resumed == 1
    for name, weights in (("soft", "soft_prompt of 2 tokens"), ("lora", "lora")):
        trial = record[name]
        assert trial.fit is not None and trial.fit.training is not None, trial.reason
        assert trial.fit.trainable_parameters > 0 and trial.fit.training_tokens > 0 and trial.fit.seconds > 0
        assert trial.prompts[0].weights == weights
        # With folds, prompts are judged on train too; what learns weights is judged on dev alone.
        assert trial.cost is not None and trial.cost.items <= 6
        assert (tmp_path / "run" / trial.fit.artifact / "manifest.json").exists()
    assert record.data.judged == 30


def test_weights_climb_behind_a_cache_which_changes_no_score_and_no_cost_in_tokens(
    tmp_path: Path,
    trainings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    backend_of: Callable[..., pk.LocalBackend],
) -> None:
    task, backend = pk.load_task("tone"), backend_of("llama")
    data = short(shipped("tone"), 24, 6, 4)
    options: dict[str, Any] = {
        "rungs": [
            pk.FewShot(task, shots=0),
            ("soft", pk.SoftPrompt(task, tokens=2, epochs=1, init="vocabulary")),
            ("lora", pk.LoRA(task, rank=2, epochs=1, targets=["q_proj"])),
        ],
        "folds": 0, "confidence": 0.5,
    }  # fmt: skip
    records = [pk.climb(task, data, backend, **options).record]
    asked, generate = list[int](), backend.generate

    def counted(requests: Any, **rest: Any) -> Any:
        asked[-1] += len(requests)
        return generate(requests, **rest)

    monkeypatch.setattr(backend, "generate", counted)
    for number in range(2):
        asked.append(0)
        with pk.CachedBackend(backend, tmp_path / "answers.sqlite") as cached:
            result = pk.climb(task, data, cached, **options, folder=tmp_path / f"run-{number}")
        assert isinstance(result.winner, pk.PlanPredictor) and result.winner.backend is cached
        records.append(result.record)
    # Equal trainings give equal weights on one machine, and equal weights have their answers remembered.
    assert asked[0] > 0 == asked[1]
    assert trainings == ["SoftPrompt", "LoRA"] * 3
    for record in records[1:]:
        for one, other in zip(records[0].trials, record.trials, strict=True):
            assert one.fit is not None and other.fit is not None and other.cost is not None and one.cost is not None
            assert (one.rung, one.score, one.cost.prompt_tokens) == (other.rung, other.score, other.cost.prompt_tokens)
            assert one.cost.generated_tokens == other.cost.generated_tokens


@pytest.mark.slow
def test_the_default_ladder_can_be_fitted_by_its_own_hand_downs(trainings: list[str]) -> None:
    task, backend = pk.load_task("tone"), pk.LocalBackend("reference")
    data = short(shipped("tone"), 24, 12, 0)
    few, soft = (rung.ready for rung in make_rungs(["few-shot", "soft prompt"], task, data.train))
    from promptkit.ladder.rungs import Prior

    prompt = few(Prior()).adapter.fit(data.train, backend, dev=data.dev[:4])
    assert isinstance(prompt, pk.PlanPredictor)
    ready = soft(Prior("few-shot", prompt, prompt, minutes=0.05))
    fitted = ready.adapter.fit(data.train, backend, dev=data.dev, **ready.options)
    assert trainings == ["SoftPrompt"]
    assert isinstance(fitted, pk.PlanPredictor) and fitted.soft_prompt is not None
    assert fitted.notes["start"]["prompt"] == "teacher"
