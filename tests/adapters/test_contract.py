"""Every adapter keeps the contract, and every check of the contract catches an adapter that breaks it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptkit import ChainOfThought, FewShot, ScriptedBackend, WindowStop, load_task
from promptkit.adapters import PlanPredictor
from promptkit.backends.checks import prompt_texts
from promptkit.records import settings
from promptkit.registry import register
from promptkit.tasks.task import Task
from promptkit.testing import CONTRACT, Case, check_adapter
from promptkit.types import Example, Prediction, Progress, Query, Reply, Request

WORDS = ("the parcel is late", "forgot my password", "where is my refund", "the box is torn", "do you hire")
LABELS = ("Harbor", "Lantern", "Quarry", "Meadow", "Anchor")


def examples(count: int = 24) -> list[Example]:
    return [Example(Query({"message": f"{WORDS[i % 5]} {i}"}, f"e{i}"), (LABELS[i % 5],)) for i in range(count)]


def answer(request: Request, index: int) -> str:
    """Depends on the whole prompt, as a model does."""
    text = request.prompt.text or ""
    return " " + LABELS[sum(text.encode()) % 5] + "\n\n"


def backend() -> ScriptedBackend:
    return ScriptedBackend(answer, scores=lambda request, text: -float(sum(text.encode()) % 7))


@pytest.mark.parametrize("select", ["first", "random", "balanced", "nearest", "diverse", "searched"])
def test_few_shot_keeps_the_contract(select: str) -> None:
    adapter = FewShot(load_task("tickets"), shots=3, select=select, trials=3)
    assert check_adapter(adapter, examples(), backend()) == tuple(CONTRACT)


@pytest.mark.parametrize("variant", [{"shots": 0}, {"answer_by": "likelihood"}, {"form": "chat"}])
def test_variants_keep_the_contract(variant: dict[str, Any]) -> None:
    check_adapter(FewShot(load_task("tickets"), **variant), examples(), backend())


def reason(request: Request, index: int) -> str:
    """Depends on the whole prompt and the sample index; of some questions all paths agree, of some none can be read."""
    prompt = "\n".join(prompt_texts(request.prompt))
    mood = sum(prompt.encode()) % 3
    if mood == 0:
        return " I wonder."
    number = index % 4 if mood == 1 else 5
    return f" path {index % 6} of {len(prompt)}. The answer is {number}.\n\n"


class Reasoning(ScriptedBackend):
    """A scripted model that tells how sure it is."""

    def generate(self, requests: Sequence[Request], *, progress: Progress | None = None) -> list[Reply]:
        replies = super().generate(requests, progress=progress)
        return [
            replace(
                reply,
                completions=tuple(replace(c, logprob=-0.1 * c.tokens * (1 + c.index % 3)) for c in reply.completions),
            )
            for reply in replies
        ]


def problems(count: int = 24) -> list[Example]:
    return [
        Example(Query({"question": f"What is {i} and {i}, {WORDS[i % 5]}?"}, f"p{i}"), (str(2 * i),), f"{i} twice.")
        for i in range(count)
    ]


@pytest.mark.parametrize("stop", ["none", "beta", "window", WindowStop(2)])
@pytest.mark.parametrize("vote", ["majority", "distinct", "weighted"])
def test_chain_of_thought_keeps_the_contract(vote: Any, stop: Any) -> None:
    adapter = ChainOfThought(load_task("apples"), shots=2, samples=9, vote=vote, stop=stop)
    assert check_adapter(adapter, problems(), Reasoning(reason)) == tuple(CONTRACT)
    found = adapter.fit(problems(), Reasoning(reason)).predict([one.query for one in problems()[-6:]])
    assert len({one.samples_used for one in found}) > (stop != "none"), "no question was decided before another"


@pytest.mark.parametrize(
    "variant",
    [
        {"shots": 0, "tie": "first"},
        {"select": "nearest", "near": 0.5},
        {"select": "searched", "trials": 2},
        {"form": "chat", "min_agreement": 0.4},
        {"bootstrap": True, "bootstrap_items": 4, "show_reasoning": False},
        {"samples": 1, "temperature": 0.0},
    ],
)
def test_variants_of_chain_of_thought_keep_the_contract(variant: dict[str, Any]) -> None:
    settings = {"shots": 2, "samples": 6, "stop": "beta", **variant}
    check_adapter(ChainOfThought(load_task("apples"), **settings), problems(), Reasoning(reason))


class Broken:
    """A predictor that changes what another one says."""

    def __init__(
        self, inner: PlanPredictor, change: Callable[[list[Prediction], Sequence[Any], int], list[Prediction]]
    ) -> None:
        self.inner, self.change, self.task = inner, change, inner.task

    def predict(self, queries: Sequence[Any], *, seed: int = 0, **rest: Any) -> list[Prediction]:
        return self.change(self.inner.predict(queries, seed=seed, **rest), queries, seed)

    def save(self, folder: str | Path) -> None:
        self.inner.save(folder)


class Shouting(PlanPredictor):
    """A stranger's predictor that does more with the answers of the plan."""

    def predict(self, queries: Any, **rest: Any) -> list[Prediction]:
        return [replace(p, answer=(p.answer or "").upper() or None) for p in super().predict(queries, **rest)]


COUNT = itertools.count()


def _mark(predictions: list[Prediction], text: str) -> list[Prediction]:
    return [replace(p, answer=f"{p.answer} {text}") for p in predictions]


FAULTS: dict[str, Callable[[list[Prediction], Sequence[Any], int], list[Prediction]]] = {
    "one_prediction_per_query": lambda out, queries, seed: out[::-1],
    "neighbours_do_not_matter": lambda out, queries, seed: _mark(out, str(len(queries))),
    "same_seed_same_predictions": lambda out, queries, seed: _mark(out, str(next(COUNT))),
    "fitting_twice_is_fitting_once": lambda out, queries, seed: _mark(out, str(next(COUNT))),
    "predictors_share_a_model": lambda out, queries, seed: _mark(out, str(next(COUNT))),
    "saved_is_loaded": lambda out, queries, seed: _mark(out, "x"),
    "answers_are_texts_or_none": lambda out, queries, seed: [replace(p, answer="") for p in out],
}


@settings
class Breaking:
    task: Task
    fault: str = ""

    def fit(self, examples: Sequence[Example], backend: Any, *, dev: Any = None, seed: int = 0) -> Any:
        if self.fault == "fitting_changes_nothing":
            backend.name += "!"
            backend._answers = lambda request, index: " Other\n\n"
        inner = FewShot(self.task, shots=2).fit(examples, backend, seed=seed)
        if not self.fault:
            return inner
        if self.fault == "subclass":
            return Shouting(inner.plan, inner.task, inner.backend)
        return Broken(inner, FAULTS.get(self.fault, lambda out, queries, seed: out))


register("strategy", "breaking")(Breaking)


@pytest.mark.parametrize("fault", [*FAULTS, "fitting_changes_nothing"])
def test_each_check_catches_its_fault(fault: str) -> None:
    case = Case(
        Breaking(load_task("tickets"), fault=fault), examples(), backend(), [], [e.query for e in examples()[-4:]]
    )
    with pytest.raises(AssertionError):
        CONTRACT[fault](case)


@pytest.mark.parametrize("fault", ["saved_is_loaded", "answers_are_texts_or_none", "subclass"])
def test_a_stranger_that_would_be_loaded_as_few_shot_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caught when it is saved; and where the saving itself does not look, by what is loaded."""
    case = Case(Breaking(load_task("tickets"), fault=fault), examples(), backend(), [], [examples()[0].query])
    with pytest.raises(AssertionError, match="cannot be saved and loaded: .* must be one that promptkit.load builds"):
        CONTRACT["saved_is_loaded"](case)
    monkeypatch.setattr("promptkit.adapters.saving._check_not_for_another", lambda *_: None)
    monkeypatch.setattr(
        Shouting, "save", lambda self, folder: PlanPredictor(self.plan, self.task, self.backend).save(folder)
    )
    with pytest.raises(AssertionError, match="load builds a PlanPredictor of what a (Broken|Shouting) saved"):
        CONTRACT["saved_is_loaded"](case)


def test_settings_that_do_not_round_trip_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(FewShot(load_task("tickets"), shots=3), examples(), backend(), [], [e.query for e in examples()[-4:]])
    monkeypatch.setattr("promptkit.testing.contract.adapter_from_settings", lambda task, values: FewShot(task, shots=1))
    with pytest.raises(AssertionError, match="do not survive"):
        CONTRACT["settings_round_trip"](case)


def test_the_whole_contract_names_the_adapter_and_the_rule() -> None:
    with pytest.raises(AssertionError, match="Breaking breaks one_prediction_per_query"):
        check_adapter(Breaking(load_task("tickets"), fault="one_prediction_per_query"), examples(), backend())


def test_an_adapter_without_fault_passes_as_a_strangers() -> None:
    assert check_adapter(Breaking(load_task("tickets")), examples(), backend()) == tuple(CONTRACT)
