"""Working through planned batches: shared prefixes, smaller batches where memory is short, and what it all cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from promptkit.backends.local.attention import Prefix
from promptkit.backends.local.forward import Run
from promptkit.backends.local.keys import lora_number
from promptkit.backends.local.model import Loaded
from promptkit.backends.local.prefix import Batch, plan_batches
from promptkit.errors import BackendError
from promptkit.types import Completion, Progress, Reply, Request, Usage

__all__ = ["BatchStats", "Scheduler", "replies", "reporter"]

Prompts = Sequence[tuple[int, ...]]


@dataclass(slots=True)
class BatchStats:
    """What one call has computed so far, and what that cost.

    Attributes:
        done: Rows that have their result.
        fresh: Per prompt, how many of its tokens were computed.
        seconds: Per row, its equal share of its batches' time.
    """

    done: set[int] = field(default_factory=set)
    fresh: dict[tuple[int, ...], int] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def computed(self, prompt: tuple[int, ...], tokens: int) -> None:
        """Notes that tokens of a prompt went through the model."""
        self.fresh[prompt] = self.fresh.get(prompt, 0) + tokens


class Scheduler:
    """Takes the rows of one call through the model, batch by batch.

    Args:
        loaded: The model.
        lock: Held while a batch is in the model, so that calls of several threads take turns.
        prompts: The prompt of each row, as a key of ``local_keys``.
        stats: Where results and costs are noted.
    """

    def __init__(self, loaded: Loaded, lock: threading.RLock, prompts: Prompts, stats: BatchStats) -> None:
        self._loaded = loaded
        self._lock = lock
        self._prompts = prompts
        self._ledger = stats
        self._prefix: Prefix | None = None  # the last one: batches of one group follow each other

    def work(
        self,
        new_tokens: Sequence[int],
        do: Callable[[Run, tuple[int, ...]], None],
        *,
        batch_size: int,
        batch_tokens: int,
    ) -> None:
        """Plans batches and works on them.

        Args:
            new_tokens: How many tokens each row may add.
            do: Computes the given rows on an open run, and notes each in ``stats.done``.
            batch_size: Most rows in a batch.
            batch_tokens: Most tokens in a batch beside the shared prefix.

        Raises:
            BackendError: A single row does not fit the memory.
        """
        loaded, most_new = self._loaded, max(new_tokens, default=0)
        far = [loaded.sharing in ("alone", "uncached") or len(ids) + most_new > loaded.reach for ids in self._prompts]
        for alone in (False, True):
            chosen = [number for number, flag in enumerate(far) if flag == alone]
            for batch in plan_batches(
                [self._prompts[number] for number in chosen],
                [new_tokens[number] for number in chosen],
                batch_size=batch_size,
                batch_tokens=batch_tokens,
                share=loaded.sharing in ("shared", "copied"),
                alone=alone,
            ):
                rows = [chosen[row] for row in batch.rows]
                # Side by side, the rows of one LoRA are one matrix product.
                rows.sort(key=lambda number: lora_number(self._prompts[number]))
                todo = [Batch(tuple(rows), batch.shared)]
                while todo:
                    todo += self._attempt(todo.pop(), alone, do)

    def _open(self, batch: Batch, alone: bool) -> Run:
        """Opens a run, with its prefix computed unless the batch before had the same."""
        prompt = self._prompts[batch.rows[0]]
        if not batch.shared:
            return self._loaded.run(None, alone=alone)
        if self._prefix is None or self._prefix.tokens != prompt[: batch.shared]:
            self._prefix = None  # freed before the next one is computed
            self._prefix = self._loaded.prefix(prompt[: batch.shared])
            self._ledger.computed(prompt, batch.shared)
        return self._loaded.run(self._prefix)

    def _attempt(self, batch: Batch, alone: bool, do: Callable[[Run, tuple[int, ...]], None]) -> list[Batch]:
        """Works on a batch; returns what is left to do if the memory did not suffice."""
        stats = self._ledger
        with self._lock:
            start = time.perf_counter()
            try:
                do(self._open(batch, alone), batch.rows)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                spent = (time.perf_counter() - start) / len(batch.rows)
                for row in batch.rows:
                    stats.seconds[row] = stats.seconds.get(row, 0.0) + spent
                for prompt in {self._prompts[row] for row in batch.rows}:
                    stats.computed(prompt, len(prompt) - batch.shared)
                return []
        # Only here has the failed run been freed.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(batch.rows) == 1:
            raise BackendError(
                f"LocalBackend: a prompt of {len(self._prompts[batch.rows[0]])} tokens must fit the memory, got out of "
                "memory with this prompt alone; use a shorter prompt, dtype='bfloat16' or a smaller model"
            )
        left = [row for row in batch.rows if row not in stats.done]
        half = (len(left) + 1) // 2
        return [Batch(tuple(part), batch.shared) for part in (left[half:], left[:half]) if part]


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether an error means that memory ran out; torch has no class of its own for that on a CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return not isinstance(error, BackendError) and ("can't allocate memory" in text or "not enough memory" in text)


def reporter(wanted: Sequence[set[int]], progress: Progress | None) -> Callable[[int], None]:
    """Returns a function to be told of finished rows, which reports finished requests.

    Args:
        wanted: The rows of each request; a row may belong to several.
        progress: Whom to report to.

    Returns:
        A function of a row's number.
    """
    owners: dict[int, list[int]] = {}
    for number, own in enumerate(wanted):
        for row in own:
            owners.setdefault(row, []).append(number)
    open_rows = [len(own) for own in wanted]
    done = 0

    def report(row: int) -> None:
        nonlocal done
        for number in owners[row]:
            open_rows[number] -= 1
            if not open_rows[number]:
                done += 1
                if progress is not None:
                    progress(done, len(wanted))

    return report


def replies(
    requests: Sequence[Request],
    prompts: Prompts,
    wanted: Sequence[Sequence[int]],
    results: dict[int, Completion],
    stats: BatchStats,
) -> list[Reply]:
    """Puts completions and costs back to the requests that asked for them.

    Args:
        requests: The requests.
        prompts: The prompt of each request.
        wanted: The rows of each request, in the order of its samples.
        results: The completion of each row.
        stats: What was computed.

    Returns:
        One reply per request. What several requests share is charged to the first of them.
    """
    fresh, seconds = dict(stats.fresh), dict(stats.seconds)
    found = []
    for request, prompt, own in zip(requests, prompts, wanted, strict=True):
        completions = tuple(replace(results[row], index=index) for row, index in zip(own, request.samples, strict=True))
        usage = Usage(
            calls=1,
            prompt_tokens=len(prompt),
            cached_tokens=len(prompt) - min(len(prompt), fresh.pop(prompt, 0)),
            generated_tokens=sum(completion.tokens for completion in completions),
            seconds=sum(seconds.pop(row, 0.0) for row in own),
        )
        found.append(Reply(completions, usage))
    return found
