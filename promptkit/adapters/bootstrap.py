"""Rationales written by the model itself, kept where they end in the right target (STaR, arXiv 2203.14465)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from promptkit.adapters.base import seconds_left
from promptkit.adapters.few_shot import FewShot
from promptkit.adapters.selection import select
from promptkit.backends import Backend
from promptkit.types import Example, JSONObject, Prediction

__all__ = ["Bootstrapped", "bootstrap_rationales"]

PROBE = 4
"""Questions that are asked first where time is limited."""
SEEDS = 4
"""Worked examples shown while the model writes further rationales, where the data has any."""


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """What bootstrapping found.

    Attributes:
        examples: Examples that have a rationale: those of the data, then those the model wrote.
        notes: How many rationales were given; for how many questions one was tried, kept, dropped because it did not
            end in a target, or failed; and what it cost. Plain JSON data.
    """

    examples: tuple[Example, ...]
    notes: JSONObject


def bootstrap_rationales(
    adapter: FewShot, examples: Sequence[Example], backend: Backend, *, items: int, seed: int
) -> Bootstrapped:
    """Lets a model reason over training questions, and keeps rationales that end in the right target.

    Where the data has some rationales, up to four are shown as demonstrations; otherwise the model is asked without.
    STaR's second step, to reason towards a given answer, is left out: such rationales know the target. Where the
    backend has a deadline, questions are asked a few at a time, while there is time.

    Args:
        adapter: How questions are asked, with reasoning.
        examples: Training examples; those without rationale are tried in their order.
        backend: The model.
        items: Number of questions tried at most.
        seed: Seed of the demonstrations.

    Returns:
        The examples with rationales. A dropped rationale stands nowhere in them.

    Raises:
        DataError: The examples are a split named "test".
        TaskError: The task has no reasoning template.
    """
    select("first", examples, 0)  # refuses a test split before the model is paid
    given = [example for example in examples if example.rationale]
    bare = [example for example in examples if not example.rationale][:items]
    asking = dataclasses.replace(adapter, shots=min(SEEDS, len(given)), select="random")
    wanted, predictor = len(bare), asking.fit(given, backend, seed=seed)
    predictions: list[Prediction] = []
    started, seconds = time.monotonic(), seconds_left(backend)
    while len(predictions) < len(bare):
        size = len(bare)
        if seconds is not None:
            done, taken = len(predictions), time.monotonic() - started
            affordable = PROBE if not done else int((seconds - taken) / max(taken / done, 1e-9))
            size = min(affordable, max(PROBE, done))  # the pace is known better the more were asked
            if size < 1:
                bare = bare[:done]
                break
        part = bare[len(predictions) : len(predictions) + size]
        predictions += predictor.predict([example.query for example in part], on_error="record")
    parser = adapter.task.parser(adapter.ask)
    kept = [
        replace(example, rationale=prediction.reasonings[0])
        for example, prediction in zip(bare, predictions, strict=True)
        if prediction.reasonings
        and prediction.answer is not None
        and prediction.answer in map(parser.canonical, example.targets)
    ]
    failed = sum(prediction.error is not None for prediction in predictions)
    notes: JSONObject = {
        "given": len(given),
        "tried": len(bare),
        "kept": len(kept),
        "dropped": len(bare) - len(kept) - failed,
        "failed": failed,
        "prompt_tokens": sum(prediction.usage.prompt_tokens for prediction in predictions),
        "generated_tokens": sum(prediction.usage.generated_tokens for prediction in predictions),
    }
    if len(bare) < wanted:
        notes["cut"] = f"{len(bare)} of {wanted} questions were reasoned over in the {seconds:.2g} s there were"
    return Bootstrapped((*given, *kept), notes)
