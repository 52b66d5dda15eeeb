"""Curves arrive where ``report_to`` sends them."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from promptkit.training import LoraSpec, TrainingConfig, checks, trackers, train


def run(backend: Any, pairs: Any, **settings: Any) -> Any:
    spec = TrainingConfig(epochs=2, batch_size=4, **settings)
    return train(backend, pairs(8), pairs(4), spec, lora=LoraSpec(rank=2), soft=None, seed=0).log


def test_tensorboard_holds_the_curves(backend_of, pairs, tmp_path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = run(backend_of("llama"), pairs, report_to="tensorboard", report_folder=str(tmp_path))
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "dev_loss", "gradient_norm", "learning_rate_share"}
    for name, curve in (("loss", log.loss), ("dev_loss", log.dev)):
        steps, values = zip(*curve, strict=True)
        assert [each.step for each in events.Scalars(name)] == list(steps)
        assert [each.value for each in events.Scalars(name)] == pytest.approx(values)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_other_trackers_are_called_as_they_document(backend_of, pairs, monkeypatch, name) -> None:
    """Stand-ins with the signatures of the packages, which are not installed where tests run."""
    seen: list[Any] = []
    if name == "wandb":
        session = SimpleNamespace(log=lambda data, step: seen.append((step, data)), finish=lambda: seen.append("end"))
        package = SimpleNamespace(init=lambda project, config: seen.append(config) or session)
    else:
        package = SimpleNamespace(
            start_run=lambda: None,
            log_params=seen.append,
            log_metrics=lambda metrics, step: seen.append((step, metrics)),
            end_run=lambda: seen.append("end"),
        )
    monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda package: object())
    log = run(backend_of("llama"), pairs, report_to=name)
    assert seen[0]["train.epochs"] == 2 and seen[0]["lora.rank"] == 2 and seen[0]["seed"] == 0
    assert seen[-1] == "end"
    points = [(step, data["loss"]) for step, data in seen[1:-1] if "loss" in data]
    assert tuple(points) == log.loss


def test_a_tracker_is_closed_when_training_fails(backend_of, pairs, monkeypatch) -> None:
    closed: list[int] = []

    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(
        "promptkit.training.loop.open_tracker", lambda *_: trackers.Tracker(fail, lambda: closed.append(1))
    )
    with pytest.raises(OSError, match="disk"):
        run(backend_of("llama"), pairs)
    assert closed == [1]
