"""How many threads a model computes with: chosen by a measurement, and set for promptkit's own work alone.

Threads of one matrix product wait for each other in a loop. Where a core is not free all the time, as on a virtual
machine or beside other programs, the others spin for the one that is stopped, and a small model becomes many times
slower with two threads than with one. Large models gain from threads. Which it is depends on the model and the machine,
so both are measured together: one thread against as many as may be used.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from promptkit.backends.local.machine import count_cpus

__all__ = ["ThreadChoice", "Timing", "better_count", "choose_threads", "measure", "using_threads"]

_GAIN = 0.9  # more threads must bring the time below this share of that with one
_PREFILL = 64  # tokens read at once
_STEPS = 3  # single tokens per visit
_ROUNDS = 5
_SECONDS = 0.6  # after which no further round begins
_LONG_STEP = 0.1  # seconds of a single token, from which on nothing else is measured


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured with one number of threads.

    Attributes:
        threads: The number.
        step: Seconds of each forward pass over one token, at least one.
        prefill: Seconds of each pass over 64 tokens; empty for a model whose single tokens take long.
    """

    threads: int
    step: tuple[float, ...]
    prefill: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ThreadChoice:
    """A number of threads and why it was chosen.

    Attributes:
        threads: Threads for the model's work; ``None`` where that is not a matter of CPU threads.
        reason: Why, in words.
        timings: What was measured, if anything was.
    """

    threads: int | None
    reason: str
    timings: tuple[Timing, ...] = ()


_chosen: dict[tuple[object, ...], ThreadChoice] = {}
_measuring = threading.Lock()


def choose_threads(model: Any, *, wanted: int | None, seq2seq: bool, window: int) -> ThreadChoice:
    """Chooses the number of threads for a model; the same for equal shapes of models in one process.

    Args:
        model: The model, loaded.
        wanted: The number, if the user gave one.
        seq2seq: Whether it has an encoder and a decoder.
        window: Tokens that it can read at most.

    Returns:
        The choice. With one usable CPU, with ``wanted`` and on other devices than a CPU, nothing is measured.
    """
    if model.device.type != "cpu":
        return ThreadChoice(None, f"the model is on {model.device.type}")
    if wanted is not None:
        return ThreadChoice(wanted, "given as threads=")
    limit = _scopes.outside()
    most = min(limit, count_cpus().usable)
    if most == 1:
        return ThreadChoice(1, "torch is set to one thread" if limit == 1 else "one CPU may be used")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    shape = (type(model).__name__, model.config.model_type, parameters, str(model.dtype), most)
    with _measuring:
        if shape not in _chosen:
            _chosen[shape] = _measured(model, (1, most), seq2seq, window)
        return _chosen[shape]


def _measured(model: Any, counts: Sequence[int], seq2seq: bool, window: int) -> ThreadChoice:
    ids = torch.arange(_PREFILL, device=model.device)[None] % model.config.get_text_config(decoder=True).vocab_size

    def read(tokens: int) -> None:
        inputs = {"input_ids": ids[:, : min(tokens, window)]} | ({"decoder_input_ids": ids[:, :1]} if seq2seq else {})
        with torch.no_grad():
            model(**inputs)

    try:
        timings = measure(read, counts)
    except Exception:  # a model that cannot be run so; what is wrong with it is told by the probe that follows
        return ThreadChoice(1, "nothing could be measured")
    best = better_count(timings)
    if best == 1:
        return ThreadChoice(1, f"{counts[-1]} threads were not clearly faster than one", timings)
    return ThreadChoice(best, f"{best} threads were faster than one", timings)


def measure(
    read: Callable[[int], None],
    counts: Sequence[int],
    *,
    seconds: float = _SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Timing, ...]:
    """Measures a model with several numbers of threads, in turn, so that a busy moment meets all of them.

    Args:
        read: Runs the model over so many tokens.
        counts: Numbers of threads.
        seconds: When so much time is spent, no further round begins; the first is always finished.
        clock: Returns the time in seconds.

    Returns:
        What was measured with each number, in the order of ``counts``.
    """
    steps: dict[int, list[float]] = {count: [] for count in counts}
    prefills: dict[int, list[float]] = {count: [] for count in counts}

    def timed(tokens: int) -> float:
        begun = clock()
        read(tokens)
        return clock() - begun

    started = clock()
    long = False
    for number in range(_ROUNDS):
        for count in counts if number % 2 else reversed(counts):
            with using_threads(count):
                warm = timed(1)  # wakes the threads, and lets those of the visit before fall asleep
                long = long or warm > _LONG_STEP
                steps[count] += [timed(1) for _ in range(1 if long else _STEPS)]
                prefills[count] += [] if long else [timed(_PREFILL)]
        if clock() - started > seconds:
            break
    return tuple(Timing(count, tuple(steps[count]), () if long else tuple(prefills[count])) for count in counts)


def better_count(timings: Sequence[Timing]) -> int:
    """Returns the number of threads that is clearly faster than one, both at its best and on the average, or 1.

    The best time tells what the threads can do, the average what it costs to wait for a core that is not always free.

    Args:
        timings: What was measured; the first with one thread.

    Example:
        >>> one, two = Timing(1, (1.0, 1.2), (4.0,)), Timing(2, (0.6, 0.7), (2.0,))
        >>> better_count([one, two])
        2
        >>> better_count([one, Timing(2, (0.6, 11.0), (2.0,))])  # now and then a core is taken away
        1
    """
    one = timings[0]
    shares = {1: _GAIN}
    for timing in timings[1:]:
        pairs = [(timing.step, one.step)] + ([(timing.prefill, one.prefill)] if one.prefill and timing.prefill else [])
        shares[timing.threads] = max(
            math.prod(typical(many) / typical(single) for many, single in pairs) ** (1 / len(pairs))
            for typical in (min, fmean)
        )
    return min(shares, key=lambda count: (shares[count], count))


class _Scopes:
    """The blocks in which a thread's number is changed.

    ``torch.set_num_threads`` holds for the calling thread and for threads that use torch for the first time later. Such
    a thread, met inside the block of another, has that one's number, which is not the one to give back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[int] = Counter()
        self._outside = 0
        self._known = threading.local()

    def outside(self) -> int:
        """Returns the number of threads that torch has in this thread outside of all blocks."""
        now = torch.get_num_threads()  # also lets torch set up this thread, which would undo a number set before
        with self._lock:
            return self._own(now)

    def _own(self, now: int) -> int:
        if not self._open.total():
            self._outside = now
        elif now in self._open and not hasattr(self._known, "own"):
            return self._outside
        return now

    @contextmanager
    def set(self, count: int) -> Iterator[None]:
        now = torch.get_num_threads()
        with self._lock:
            before = self._own(now)
            self._known.own = True
            self._open[count] += 1
            torch.set_num_threads(count)
        try:
            yield
        finally:
            with self._lock:
                self._open -= Counter({count: 1})
                torch.set_num_threads(before)


_scopes = _Scopes()


def using_threads(count: int | None) -> AbstractContextManager[None]:
    """Lets torch compute with so many threads inside a block of this thread, and as before after it.

    Args:
        count: The number; ``None`` changes nothing.
    """
    return nullcontext() if count is None else _scopes.set(count)
