"""Threads are chosen by what was measured, and torch's own setting is as before after every piece of work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from promptkit.backends.local import model as local_models
from promptkit.backends.local import threads as local_threads
from promptkit.backends.local.backend import LocalBackend
from promptkit.backends.local.machine import Cpus
from promptkit.backends.local.threads import ThreadChoice, Timing, better_count, choose_threads, measure, using_threads
from promptkit.errors import BackendError, SettingError
from promptkit.training import LoraSpec, Pair, TrainingConfig, loop, train
from promptkit.training import trainer as run
from promptkit.types import Prompt, Request, Sampling, ScoreRequest

ASK = [Request(Prompt(text="Review: dull.\nLabel:"), Sampling(max_new_tokens=4))]


@pytest.fixture(autouse=True)
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that torch lets have four threads on eight CPUs, and nothing measured so far."""
    before = torch.get_num_threads()
    monkeypatch.setattr(local_threads, "count_cpus", lambda: Cpus(8, 8, None))
    monkeypatch.setattr(local_threads, "_chosen", {})
    monkeypatch.setattr(local_threads, "_scopes", local_threads._Scopes())
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Clock:
    """A clock that a model's passes move on, by so much for a number of threads and of tokens."""

    def __init__(self, cost: Callable[[int, int], float]) -> None:
        self.now, self.reads, self._cost = 0.0, list[tuple[int, int]](), cost

    def __call__(self) -> float:
        return self.now

    def read(self, tokens: int) -> None:
        threads = torch.get_num_threads()
        self.reads.append((threads, tokens))
        self.now += self._cost(threads, tokens)


def chosen(cost: Callable[[int, int], float]) -> int:
    clock = Clock(cost)
    return better_count(measure(clock.read, (1, 4), clock=clock))


@pytest.mark.parametrize(
    ("cost", "count"),
    [
        (lambda threads, tokens: tokens / threads / 1e4, 4),
        (lambda threads, tokens: tokens * threads / 1e4, 1),  # threads that are in each other's way
        (lambda threads, tokens: tokens / 1e4, 1),  # no gain
        (lambda threads, tokens: tokens / (1 + 0.02 * threads) / 1e4, 1),  # hardly any
        (lambda threads, tokens: (tokens / threads if tokens > 1 else 1.0) / 1e4, 4),
        (lambda threads, tokens: (tokens / threads if tokens > 1 else 11.0 * threads) / 1e4, 1),
    ],
)
def test_more_threads_are_taken_where_they_are_clearly_faster(cost: Callable[[int, int], float], count: int) -> None:
    assert chosen(cost) == count


def test_threads_whose_core_is_taken_away_now_and_then_are_not_taken() -> None:
    turns = iter(range(10_000))

    def cost(threads: int, tokens: int) -> float:
        return tokens / threads / 1e4 * (11 if threads > 1 and next(turns) % 4 == 0 else 1)

    assert chosen(cost) == 1
    assert chosen(lambda threads, tokens: tokens / threads / 1e4) == 4  # the same without the stops


def test_a_long_model_is_measured_with_single_tokens_once() -> None:
    clock = Clock(lambda threads, tokens: 2.0 * tokens / threads)
    timings = measure(clock.read, (1, 4), clock=clock)
    assert [(timing.threads, len(timing.step), timing.prefill) for timing in timings] == [(1, 1, ()), (4, 1, ())]
    assert all(tokens == 1 for _, tokens in clock.reads) and len(clock.reads) == 4
    assert better_count(timings) == 4


def test_measuring_ends_in_time() -> None:
    clock = Clock(lambda threads, tokens: 0.05)
    measure(clock.read, (1, 4), clock=clock)
    assert clock.now < 1.2


def test_measuring_takes_turns_and_leaves_the_setting_alone() -> None:
    clock = Clock(lambda threads, tokens: 1e-4)
    measure(clock.read, (1, 4), clock=clock)
    visits = [threads for at, (threads, _) in enumerate(clock.reads) if at == 0 or clock.reads[at - 1][0] != threads]
    assert visits[:4] == [4, 1, 4, 1] and torch.get_num_threads() == 4


def model(parameters: int = 10, device: str = "cpu") -> Any:
    weight = torch.zeros(parameters)
    config = SimpleNamespace(model_type="toy", get_text_config=lambda decoder: SimpleNamespace(vocab_size=50))
    return SimpleNamespace(parameters=lambda: [weight], config=config, dtype=torch.float32, device=torch.device(device))


@pytest.mark.parametrize(
    ("cpus", "torch_threads", "most"),
    [(Cpus(64, 64, 2.9), 4, 2), (Cpus(64, 3, None), 4, 3), (Cpus(64, 64, None), 2, 2), (Cpus(64, 64, None), 4, 4)],
)
def test_no_more_threads_than_are_allowed_are_tried(
    monkeypatch: pytest.MonkeyPatch, cpus: Cpus, torch_threads: int, most: int
) -> None:
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(local_threads, "count_cpus", lambda: cpus)
    monkeypatch.setattr(
        local_threads,
        "measure",
        lambda read, counts: seen.append(counts) or (Timing(1, (9.0,), ()), Timing(most, (1.0,), ())),
    )
    torch.set_num_threads(torch_threads)
    choice = choose_threads(model(), wanted=None, seq2seq=False, window=512)
    assert (seen, choice.threads) == ([(1, most)], most)
    assert choice.reason == f"{most} threads were faster than one"
    assert choose_threads(model(), wanted=None, seq2seq=False, window=512) is choice  # measured once in a process
    choose_threads(model(11), wanted=None, seq2seq=False, window=512)
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("cpus", "torch_threads", "wanted", "device", "threads", "reason"),
    [
        (Cpus(64, 1, None), 4, None, "cpu", 1, "one CPU may be used"),
        (Cpus(64, 64, 1.5), 4, None, "cpu", 1, "one CPU may be used"),
        (Cpus(64, 64, None), 1, None, "cpu", 1, "torch is set to one thread"),
        (Cpus(64, 64, None), 4, 3, "cpu", 3, "given as threads="),
        (Cpus(64, 64, None), 4, None, "meta", None, "the model is on meta"),
    ],
)
def test_nothing_is_measured_where_there_is_no_choice(
    monkeypatch: pytest.MonkeyPatch,
    cpus: Cpus,
    torch_threads: int,
    wanted: int | None,
    device: str,
    threads: int | None,
    reason: str,
) -> None:
    monkeypatch.setattr(local_threads, "count_cpus", lambda: cpus)
    monkeypatch.setattr(local_threads, "measure", lambda *_: pytest.fail("measured"))
    torch.set_num_threads(torch_threads)
    choice = choose_threads(model(device=device), wanted=wanted, seq2seq=False, window=512)
    assert (choice.threads, choice.reason, choice.timings) == (threads, reason, ())


def test_a_block_gives_back_what_it_found_also_after_an_error() -> None:
    with using_threads(2):
        assert torch.get_num_threads() == 2
        with using_threads(3), using_threads(3), using_threads(None):
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 2
    with pytest.raises(ValueError), using_threads(1):
        raise ValueError
    assert torch.get_num_threads() == 4


def test_blocks_of_several_threads_do_not_leak_into_each_other() -> None:
    inside, leave = threading.Barrier(3), threading.Event()
    found: dict[int, tuple[int, int]] = {}

    def work(count: int) -> None:
        with using_threads(count):
            inside.wait(20)
            leave.wait(20)
            during = torch.get_num_threads()
        found[count] = (during, torch.get_num_threads())

    threads = [threading.Thread(target=work, args=(count,)) for count in (1, 2)]
    for thread in threads:
        thread.start()
    inside.wait(20)
    assert torch.get_num_threads() == 4  # this thread is in no block
    leave.set()
    for thread in threads:
        thread.join()
    assert found == {1: (1, 4), 2: (2, 4)}
    fresh: list[int] = []
    last = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    last.start()
    last.join()
    assert fresh == [4]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every number of threads with which a tiny model was run."""
    found: list[int] = []
    original = torch.nn.Embedding.forward

    def forward(self: Any, ids: Any) -> Any:
        found.append(torch.get_num_threads())
        return original(self, ids)

    monkeypatch.setattr(torch.nn.Embedding, "forward", forward)
    return found


def with_threads(folder: Path, count: int) -> LocalBackend:
    """A backend that was loaded on one thread, as threads beyond the free cores make loading slow."""
    backend = LocalBackend(folder, threads=1)
    backend._loaded = replace(backend._loaded, threads=ThreadChoice(count, "for a test"))
    return backend


def test_all_work_is_done_with_the_threads_that_were_given(tiny: Callable[..., Path], seen: list[int]) -> None:
    backend = LocalBackend(tiny("llama"), threads=1)
    assert (backend.threads.threads, set(seen)) == (1, {1})
    seen.clear()
    backend.generate(ASK)
    backend.score([ScoreRequest(Prompt(text="Review:"), (" dull",))])
    list(backend.stream(ASK[0]))
    pairs = [Pair(Prompt(text="Review: dull.\nLabel:"), " negative")] * 2
    train(
        backend, pairs, pairs, TrainingConfig(epochs=1, precision="float32"), lora=LoraSpec(rank=2), soft=None, seed=0
    )
    assert len(seen) > 10 and set(seen) == {1}
    assert torch.get_num_threads() == 4


def test_a_resumed_training_keeps_its_number_of_threads(
    tiny: Callable[..., Path], tmp_path: Path, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The check before the first step computes with the backend's own number, as nothing of it is learned.
    monkeypatch.setattr(loop, "check_first_pass", lambda *args, **kwargs: None)
    pairs = [Pair(Prompt(text="Review: dull.\nLabel:"), " negative")] * 4
    settings: dict[str, Any] = {"lora": LoraSpec(rank=2), "soft": None, "seed": 0, "checkpoint": tmp_path / "run"}
    backends = {count: with_threads(tiny("llama"), count) for count in (1, 2)}
    log = train(
        backends[2],
        pairs,
        (),
        TrainingConfig(epochs=1, batch_size=2, max_minutes=1e-9, precision="float32"),
        **settings,
    ).log
    assert (log.steps, log.stopped) == (1, "max_minutes")
    seen.clear()
    train(backends[1], pairs, (), TrainingConfig(epochs=1, batch_size=2, precision="float32"), **settings)
    assert set(seen) == {2} and torch.get_num_threads() == 4
    settings["checkpoint"] = tmp_path / "elsewhere"  # where no more than one may be used, as many as the backend chose
    train(
        backends[2],
        pairs,
        (),
        TrainingConfig(epochs=1, batch_size=2, max_minutes=1e-9, precision="float32"),
        **settings,
    )
    monkeypatch.setattr(run, "count_cpus", lambda: Cpus(64, 1, None))
    seen.clear()
    train(backends[1], pairs, (), TrainingConfig(epochs=1, batch_size=2, precision="float32"), **settings)
    assert set(seen) == {1}


def test_the_setting_is_given_back_when_the_model_fails(tiny: Callable[..., Path]) -> None:
    backend = LocalBackend(tiny("gpt2"), threads=1)
    with torch.no_grad():
        backend.model.lm_head.weight[3] = float("nan")
    with pytest.raises(BackendError, match="logits must be finite"):
        backend.generate(ASK)
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("slower", [True, False])
def test_a_backend_takes_what_was_measured(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, seen: list[int], slower: bool
) -> None:
    def measured(read: Callable[[int], None], counts: tuple[int, ...]) -> tuple[Timing, ...]:
        read(64)
        read(1)
        return tuple(Timing(n, (float(n if slower else 1 / n),), (1.0 * (n if slower else 1 / n),)) for n in counts)

    monkeypatch.setattr(local_threads, "measure", measured)
    backend = LocalBackend(tiny("qwen2"))
    assert backend.threads.threads == (1 if slower else 4)
    seen.clear()
    backend.generate(ASK)
    assert set(seen) == {1 if slower else 4}


def test_a_model_that_cannot_be_measured_is_left_to_the_probe(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise TypeError

    monkeypatch.setattr(local_threads, "measure", broken)
    assert LocalBackend(tiny("t5")).threads.reason == "nothing could be measured"


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_greedy_text_does_not_depend_on_the_number_of_threads(tiny: Callable[..., Path], kind: str) -> None:
    texts = ["Review: dull.\nLabel:", "Question: Jack has 8 pears.\nAnswer:"]
    requests = [Request(Prompt(text=text), Sampling(max_new_tokens=4)) for text in texts]
    one, two = (with_threads(tiny(kind), count).generate(requests) for count in (1, 2))
    assert [reply.completions[0].text for reply in one] == [reply.completions[0].text for reply in two]


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2"])
def test_threads_must_be_a_count(tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, threads: Any) -> None:
    monkeypatch.setattr(local_models, "choose_threads", lambda *_, **__: pytest.fail("loaded a model"))
    with pytest.raises(SettingError, match="threads must be an integer of at least 1, got"):
        LocalBackend(tiny("llama"), threads=threads)
