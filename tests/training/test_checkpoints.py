"""Runs go on from checkpoints as if nothing had happened, and only from their own, whole ones."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from promptkit.artifacts import load_folder
from promptkit.errors import ArtifactError, SettingError, TrainingError, TrainingStopped
from promptkit.training import LoraSpec, SoftSpec, Trained, TrainingConfig, train
from promptkit.training.checkpoints import Checkpoints, State, pack_curve, unpack_curve
from promptkit.training.graceful_stop import stop_requested
from promptkit.training.learner import Learner

SPEC = TrainingConfig(epochs=3, batch_size=4, checkpoint_every=4, patience=None, precision="float32")
RUN = {"base model": "b", "data": "d", "settings": "s"}
WAYS: dict[str, dict[str, Any]] = {
    "both": {"lora": LoraSpec(rank=2, dropout=0.2, learning_rate=5e-3), "soft": SoftSpec(tokens=3)},
    "adalora": {"lora": LoraSpec(rank=2, variant="adalora", dropout=0.2, learning_rate=5e-3), "soft": None},
    "ptuning": {"lora": None, "soft": SoftSpec(kind="ptuning", tokens=3, learning_rate=5e-3)},
}


def fit(
    backend: Any, pairs: Any, folder: Path | None, way: str = "both", spec: TrainingConfig = SPEC, **more: Any
) -> Trained:
    arguments = {"seed": 0, **WAYS[way], **more}
    return train(backend, pairs(20), pairs(6, first=20), spec, checkpoint=folder, **arguments)


class Power(Exception):
    """The cut of the power."""


def cut_after(steps: int) -> Any:
    def progress(step: int, *_: Any) -> None:
        if step == steps:
            raise Power

    return progress


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(backend_of, pairs, tmp_path, way) -> None:
    backend = backend_of("llama")
    wanted = fit(backend, pairs, None, way)
    for steps in (6, 13):
        with pytest.raises(Power):
            fit(backend, pairs, tmp_path / "run", way, progress=cut_after(steps))
    made: list[int] = []
    found = fit(backend, pairs, tmp_path / "run", way, progress=lambda step, *_: made.append(step))
    assert made == [13, 14, 15]
    assert found.log.loss == wanted.log.loss
    assert found.log.dev == wanted.log.dev
    assert found.log.best_step == wanted.log.best_step
    assert found.log.tokens == wanted.log.tokens
    assert (found.lora, found.soft_prompt) == (wanted.lora, wanted.soft_prompt)


def test_a_finished_run_is_not_trained_again(backend_of, pairs, tmp_path, monkeypatch) -> None:
    backend = backend_of("llama")
    wanted = fit(backend, pairs, tmp_path)
    assert names(tmp_path) == ["step-00000012", "step-00000015"]
    monkeypatch.setattr(Learner, "gradients", lambda *_: pytest.fail("it trained"))
    found = fit(backend, pairs, tmp_path)
    assert (found.lora, found.soft_prompt, found.log.loss) == (wanted.lora, wanted.soft_prompt, wanted.log.loss)


def test_a_run_that_time_cut_short_goes_on_when_given_more(backend_of, pairs, tmp_path) -> None:
    backend = backend_of("llama")
    wanted = fit(backend, pairs, None)
    short = TrainingConfig(**{**_fields(SPEC), "max_minutes": 1e-6})
    assert fit(backend, pairs, tmp_path, spec=short).log.steps == 1
    found = fit(backend, pairs, tmp_path)
    assert (found.lora, found.log.loss) == (wanted.lora, wanted.log.loss)


def _fields(spec: TrainingConfig) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(spec)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops_politely(backend_of, pairs, tmp_path, number: signal.Signals) -> None:
    backend = backend_of("llama")
    wanted = fit(backend, pairs, None)
    handler = signal.getsignal(number)

    def terminate(step: int, *_: Any) -> None:
        if step == 6:
            os.kill(os.getpid(), number)

    message = rf"stopped \({number.name}\) after step 6 of 15; a checkpoint was saved; run the same again"
    with pytest.raises(TrainingStopped, match=message) as stopped:
        fit(backend, pairs, tmp_path, progress=terminate)
    assert stopped.value.log.stopped == number.name.lower() and stopped.value.log.steps == 6
    assert signal.getsignal(number) is handler
    assert names(tmp_path) == ["step-00000004", "step-00000006"]
    found = fit(backend, pairs, tmp_path)
    assert (found.lora, found.log.loss) == (wanted.lora, wanted.log.loss)
    with pytest.raises(TrainingStopped, match="give train a checkpoint folder"):
        fit(backend, pairs, None, progress=terminate)


def test_a_second_interrupt_ends_at_once_and_the_first_signal_counts() -> None:
    with pytest.raises(KeyboardInterrupt), stop_requested() as end:
        os.kill(os.getpid(), signal.SIGINT)
        assert end.is_set() and end.by == "sigint"
        os.kill(os.getpid(), signal.SIGTERM)
        assert end.by == "sigint"
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second interrupt was swallowed")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_that_the_program_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_requested() as end:
            os.kill(os.getpid(), signal.SIGINT)
            assert not end.is_set()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_sigterm_alone() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    inside: list[Any] = []

    def enter() -> None:
        with stop_requested() as event:
            inside.append((signal.getsignal(signal.SIGTERM), event.is_set()))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert inside == [(handler, False)]


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(backend_of, pairs, tmp_path, monkeypatch) -> None:
    backend = backend_of("llama")
    original, calls = Learner.gradients, []

    def spoilt(self: Any, items: Any) -> float:
        calls.append(1)
        return original(self, items) if len(calls) != 7 else float("nan")

    monkeypatch.setattr(Learner, "gradients", spoilt)
    with pytest.raises(TrainingError, match="got nan at step 7 of 15 .* checkpoints from before are kept;"):
        fit(backend, pairs, tmp_path)
    assert names(tmp_path) == ["step-00000004"]
    monkeypatch.setattr(Learner, "gradients", original)
    assert fit(backend, pairs, tmp_path).lora == fit(backend, pairs, None).lora


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "another settings"),
        ({"lora": LoraSpec(rank=3)}, "another settings"),
        ({"spec": TrainingConfig(epochs=4, batch_size=4, precision="float32")}, "another settings"),
        ({"soft": None}, "another settings"),
    ],
)
def test_checkpoints_of_other_settings_are_refused(backend_of, pairs, tmp_path, change, message) -> None:
    backend = backend_of("llama")
    with pytest.raises(Power):
        fit(backend, pairs, tmp_path, progress=cut_after(5))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(SettingError, match=f"must be of this run, got one with {message}; name another folder"):
        fit(backend, pairs, tmp_path, **change)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_checkpoints_of_other_data_or_another_model_are_refused(backend_of, pairs, tmp_path) -> None:
    backend = backend_of("llama")
    with pytest.raises(Power):
        fit(backend, pairs, tmp_path, progress=cut_after(5))
    with pytest.raises(SettingError, match="got one with another data;"):
        fit(backend, lambda count, first=1: pairs(count, first=first), tmp_path)
    with pytest.raises(SettingError, match="got one with another base model"):
        fit(backend_of("qwen2"), pairs, tmp_path)


@pytest.mark.parametrize("damage", ["flip", "manifest", "remove", "no manifest", "empty"])
def test_broken_checkpoints_are_passed_over_with_a_warning(backend_of, pairs, tmp_path, damage) -> None:
    backend = backend_of("llama")
    wanted = fit(backend, pairs, None)
    with pytest.raises(Power):
        fit(backend, pairs, tmp_path, progress=cut_after(10))
    assert names(tmp_path) == ["step-00000004", "step-00000008"]
    newest = tmp_path / "step-00000008"
    tensors = next(newest.glob("files-*/tensors.safetensors"))
    if damage == "flip":
        data = bytearray(tensors.read_bytes())
        data[len(data) // 2] ^= 1
        tensors.write_bytes(data)
    elif damage == "manifest":
        (newest / "manifest.json").write_text("{")
    elif damage == "remove":
        tensors.unlink()
    elif damage == "no manifest":
        (newest / "manifest.json").unlink()
    else:
        for path in newest.rglob("*"):
            if path.is_file():
                path.unlink()
    made: list[int] = []
    with pytest.warns(UserWarning, match="checkpoint step-00000008 was passed over: step-00000008"):
        found = fit(backend, pairs, tmp_path, progress=lambda step, *_: made.append(step))
    assert made[0] == 5
    assert names(tmp_path) == ["step-00000012", "step-00000015"]
    assert (found.lora, found.log.loss) == (wanted.lora, wanted.log.loss)


def test_a_folder_with_anything_else_in_it_is_left_alone(backend_of, pairs, tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ArtifactError, match=r"checkpoint must be a new or empty folder.*got 'thesis.txt'"):
        fit(backend_of("llama"), pairs, tmp_path)
    with pytest.raises(ArtifactError, match="checkpoint must be a folder, got 'thesis.txt'"):
        fit(backend_of("llama"), pairs, tmp_path / "thesis.txt")


def test_checkpoints_hold_no_pickles(backend_of, pairs, tmp_path) -> None:
    with pytest.raises(Power):
        fit(backend_of("llama"), pairs, tmp_path, progress=cut_after(5))
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds == {".json", ".safetensors"}


def test_states_and_curves_come_back_as_they_were(tmp_path) -> None:
    store = Checkpoints(tmp_path / "new" / "run", RUN)
    assert store.newest() is None
    curve = [(1, 0.1 + 0.2), (10**7, 1e-300)]
    for step in (1, 2, 3):
        store.save(step, State({"step": step, "x": 1 / 3}, {"a": torch.arange(3), "curve": pack_curve(curve)}))
    state = store.newest()
    assert state is not None and state.numbers == {"step": 3, "x": 1 / 3}
    assert unpack_curve(state.tensors["curve"]) == curve and state.tensors["a"].tolist() == [0, 1, 2]
    assert unpack_curve(pack_curve([])) == []
    assert names(tmp_path / "new" / "run") == ["step-00000002", "step-00000003"]


def test_the_store_under_checkpoints_checks_hashes(tmp_path) -> None:
    Checkpoints(tmp_path, RUN).save(1, State({}, {"a": torch.zeros(1)}))
    assert load_folder(tmp_path / "step-00000001", kind="training checkpoint").meta == {"run": RUN}
