from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from promptkit.backends.local.scheduler import BatchStats, Scheduler, is_out_of_memory, replies, reporter
from promptkit.errors import BackendError
from promptkit.types import Completion, Prompt, Request

SHARED = tuple(range(100))


class Model:
    """Stands for a loaded model: notes the prefixes it computes and the runs it opens."""

    def __init__(self, sharing: str = "shared", reach: int = 1 << 60) -> None:
        self.sharing, self.reach = sharing, reach
        self.prefixes: list[int] = []
        self.opened: list[tuple[int, bool]] = []

    def prefix(self, tokens: tuple[int, ...]) -> Any:
        self.prefixes.append(len(tokens))
        return SimpleNamespace(tokens=tokens)

    def run(self, prefix: Any, *, alone: bool = False) -> Any:
        self.opened.append((len(prefix.tokens) if prefix else 0, alone))
        return self


def work(model: Model, prompts: list[tuple[int, ...]], do: Callable[..., None], batch_size: int = 4) -> BatchStats:
    stats = BatchStats()
    worker = Scheduler(model, threading.RLock(), prompts, stats)  # type: ignore[arg-type]
    worker.work([4] * len(prompts), do, batch_size=batch_size, batch_tokens=9999)
    return stats


def test_batches_of_one_group_share_one_prefix() -> None:
    model, seen = Model(), list[int]()
    prompts = [(*SHARED, at) for at in range(10)]
    stats = work(model, prompts, lambda run, rows: seen.extend(rows))
    assert sorted(seen) == list(range(10))
    assert model.prefixes == [100]
    assert model.opened == [(100, False)] * 3
    assert sorted(stats.fresh.values()) == [1] * 9 + [101]
    assert set(stats.seconds) == set(range(10))


def test_rows_beyond_the_reach_run_alone_and_unshared() -> None:
    model = Model(reach=104)
    batches: list[tuple[int, ...]] = []
    work(
        model,
        [(*SHARED[:99], 1), (*SHARED, 2), (*SHARED, 3), (*SHARED[:99], 4)],
        lambda run, rows: batches.append(rows),
    )
    assert batches == [(0, 3), (1,), (2,)]
    assert model.opened == [(99, False), (0, True), (0, True)]


def test_models_that_cannot_share_do_not() -> None:
    model = Model("padded")
    work(model, [(*SHARED, 1), (*SHARED, 2)], lambda run, rows: None)
    assert model.opened == [(0, False)]
    model = Model("alone")
    work(model, [(*SHARED, 1), (*SHARED, 2)], lambda run, rows: None)
    assert model.opened == [(0, True), (0, True)]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_halves_the_batch_and_repeats_nothing_finished(error: Exception) -> None:
    model, stats = Model(), BatchStats()
    prompts = [(*SHARED, at) for at in range(8)]
    worker = Scheduler(model, threading.RLock(), prompts, stats)  # type: ignore[arg-type]
    tried: list[tuple[int, ...]] = []

    def do(run: Any, rows: tuple[int, ...]) -> None:
        tried.append(rows)
        if len(rows) > 2:
            if len(tried) == 1:
                stats.done.add(rows[0])  # one row had finished before the memory ran out
            raise error
        stats.done.update(rows)

    worker.work([4] * 8, do, batch_size=8, batch_tokens=9999)
    assert [len(rows) for rows in tried] == [8, 4, 2, 2, 3, 2, 1]
    finished = [row for rows in tried if len(rows) < 3 for row in rows]
    assert sorted([tried[0][0], *finished]) == list(range(8))
    assert model.prefixes == [100]


def test_a_prompt_that_never_fits_is_a_typed_error() -> None:
    def do(run: Any, rows: tuple[int, ...]) -> None:
        raise MemoryError

    with pytest.raises(BackendError, match="a prompt of 101 tokens must fit the memory, got out of memory"):
        work(Model(), [(*SHARED, 1), (*SHARED, 2)], do)


def test_other_errors_are_no_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(BackendError("not enough memory, says another check"))

    def do(run: Any, rows: tuple[int, ...]) -> None:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        work(Model(), [(1, 2)], do)


def test_progress_counts_requests_not_rows() -> None:
    seen: list[tuple[int, int]] = []
    report = reporter([{0, 1}, {1}, {2}], lambda done, total: seen.append((done, total)))
    for row in (2, 1, 0):
        report(row)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    reporter([{0}], None)(0)


def test_what_requests_share_is_charged_once() -> None:
    prompt = (1, 2, 3)
    stats = BatchStats(fresh={prompt: 3}, seconds={0: 0.5, 1: 0.25})
    done = {0: Completion("a", tokens=2), 1: Completion("b", tokens=3)}
    requests = [Request(Prompt(text="p"), samples=(5,)), Request(Prompt(text="p"), samples=(5, 6))]
    first, second = replies(requests, [prompt, prompt], [[0], [0, 1]], done, stats)
    assert [completion.index for completion in second.completions] == [5, 6]
    assert (first.usage.cached_tokens, first.usage.seconds) == (0, 0.5)
    assert (second.usage.cached_tokens, second.usage.seconds, second.usage.generated_tokens) == (3, 0.25, 5)
