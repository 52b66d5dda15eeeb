"""The contract of an adapter as checks that run on any adapter, also one that promptkit has never seen.

Example:
    >>> import promptkit as pk
    >>> from promptkit.testing import CONTRACT, check_adapter
    >>> data, task = pk.load_examples("apples"), pk.load_task("apples")
    >>> backend = pk.ScriptedBackend(lambda request, index: " The answer is 5.")
    >>> check_adapter(pk.FewShot(task, shots=2), data.train[:20], backend) == tuple(CONTRACT)
    True
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from promptkit.adapters import Adapter, FewShot, Predictor, adapter_from_settings, adapter_settings, load
from promptkit.backends import Backend
from promptkit.errors import ArtifactError, UnsupportedError
from promptkit.types import Example, Prediction, Prompt, Query, Request, Sampling, ScoreRequest, Usage

__all__ = ["CONTRACT", "Case", "check_adapter"]


@dataclass(frozen=True)
class Case:
    """What a check works on.

    Attributes:
        adapter: The adapter under test.
        examples: Training examples.
        backend: The model.
        dev: Examples for adapters that choose on dev.
        queries: What the predictors are asked.
    """

    adapter: Adapter
    examples: Sequence[Example]
    backend: Backend
    dev: Sequence[Example]
    queries: Sequence[Query]

    def fit(self, seed: int = 0) -> Predictor:
        """Fits the adapter."""
        return self.adapter.fit(self.examples, self.backend, dev=self.dev, seed=seed)

    def answers(self, predictor: Predictor, seed: int = 0) -> list[Prediction]:
        """Asks all queries; costs, which no two runs share, are left out."""
        return [_without_cost(p) for p in predictor.predict(self.queries, seed=seed)]


def _without_cost(prediction: Prediction) -> Prediction:
    # A log-probability may differ in its last bits with the shape of the batch; the tokens may not.
    completions = tuple(replace(c, logprob=None) for c in prediction.completions)
    return replace(prediction, usage=Usage(), completions=completions, agreement=None, votes={})


def one_prediction_per_query(case: Case) -> None:
    """As many predictions as queries, in their order; no query, no prediction."""
    predictor = case.fit()
    assert [p.id for p in case.answers(predictor)] == [q.id for q in case.queries], (
        "predictions are not in the order of the queries"
    )
    assert predictor.predict([]) == [], "no queries must give no predictions"


def neighbours_do_not_matter(case: Case) -> None:
    """A query alone, in a batch, and in the batch turned round gets the same prediction."""
    predictor = case.fit()
    together = case.answers(predictor)
    alone = [_without_cost(predictor.predict([query])[0]) for query in case.queries]
    turned = [_without_cost(p) for p in predictor.predict(list(reversed(case.queries)))][::-1]
    assert alone == together, "a prediction depends on the other queries of the call"
    assert turned == together, "a prediction depends on the order of the queries"


def fitting_changes_nothing(case: Case) -> None:
    """Neither the adapter nor what the base model says is changed by fitting and predicting."""
    settings = adapter_settings(case.adapter)
    probe = [Request(Prompt(text="Probe: "), Sampling(max_new_tokens=8))]
    before = case.backend.fingerprint(), case.backend.generate(probe)[0].completions
    case.answers(case.fit())
    after = case.backend.fingerprint(), case.backend.generate(probe)[0].completions
    assert adapter_settings(case.adapter) == settings, "fitting changed the adapter's settings"
    assert after == before, "fitting changed what the base model answers"


def fitting_twice_is_fitting_once(case: Case) -> None:
    """Refitting with the same seed gives the same predictions."""
    assert case.answers(case.fit(seed=1)) == case.answers(case.fit(seed=1)), "refitting gives other predictions"


def same_seed_same_predictions(case: Case) -> None:
    """Predicting twice with one seed gives the same."""
    predictor = case.fit()
    assert case.answers(predictor, seed=3) == case.answers(predictor, seed=3), "the same seed gives other predictions"


def settings_round_trip(case: Case) -> None:
    """Settings survive JSON."""
    text = json.dumps(adapter_settings(case.adapter))
    again = adapter_from_settings(case.fit().task, json.loads(text))
    assert adapter_settings(again) == adapter_settings(case.adapter), "settings do not survive JSON"


def saved_is_loaded(case: Case) -> None:
    """A saved and loaded predictor is of the same class, has the same plan and predicts the same."""
    predictor = case.fit()
    with tempfile.TemporaryDirectory() as folder:
        try:
            predictor.save(Path(folder) / "predictor")
            again = load(Path(folder) / "predictor", case.backend)
        except ArtifactError as error:
            raise AssertionError(f"a fitted predictor cannot be saved and loaded: {error}") from error
    assert type(again) is type(predictor), (
        f"load builds a {type(again).__name__} of what a {type(predictor).__name__} saved, which may answer otherwise; "
        "fit must return a PlanPredictor"
    )
    plan = getattr(predictor, "plan", None)
    assert again.plan == plan, "the loaded predictor has another plan"
    assert case.answers(again) == case.answers(predictor), "the loaded predictor predicts otherwise"


def predictors_share_a_model(case: Case) -> None:
    """Two predictors on one model, from several threads at once, answer as they do alone."""
    predictors = [case.fit(seed=0), case.fit(seed=1)]
    expected = [case.answers(predictor) for predictor in predictors]
    found: list[list[Prediction] | None] = [None] * 4

    def work(place: int) -> None:
        found[place] = case.answers(predictors[place % 2])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected * 2, "predictors on one model disturb each other"


def others_are_left_alone(case: Case) -> None:
    """Another predictor and the bare model say the same before, between and beside, to the last bit of a score."""
    # The task from the settings where they have it: a fit would already change what is to be measured before it.
    task = getattr(case.adapter, "task", None) or case.fit().task
    other = FewShot(task, shots=0).fit((), case.backend)
    expected, likely = case.answers(other), _likelihoods(case.backend)
    mine = case.fit()
    alone = case.answers(mine)
    for _ in range(2):
        assert case.answers(other) == expected, "fitting or predicting changes what another predictor answers"
        assert _likelihoods(case.backend) == likely, "fitting or predicting changes the likelihoods of the bare model"
        assert case.answers(mine) == alone, "another predictor changes what this one answers"
    found: list[object] = [None] * 6

    def work(place: int) -> None:
        found[place] = case.answers(mine) if place % 2 else (case.answers(other), _likelihoods(case.backend))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(expected, likely), alone] * 3, "predictors on one model disturb each other from threads"


def _likelihoods(backend: Backend) -> object:
    """Scores a few continuations on the bare model; ``None`` where a backend cannot score."""
    continuations = (" yes", " no", " 5.", "\n")
    try:
        return backend.score([ScoreRequest(Prompt(text=text), continuations) for text in ("Probe: ", "2 + 3 =")])
    except UnsupportedError:
        return None


def answers_are_texts_or_none(case: Case) -> None:
    """An answer is a text that says something, or ``None``; never empty, never a bool."""
    for prediction in case.answers(case.fit()):
        answer: object = prediction.answer
        said = isinstance(answer, str) and answer.strip() != ""
        assert answer is None or said, f"an answer must be a text that says something, or None, got {answer!r}"


CONTRACT: dict[str, Callable[[Case], None]] = {
    check.__name__: check
    for check in (
        one_prediction_per_query,
        neighbours_do_not_matter,
        fitting_changes_nothing,
        fitting_twice_is_fitting_once,
        same_seed_same_predictions,
        settings_round_trip,
        saved_is_loaded,
        predictors_share_a_model,
        others_are_left_alone,
        answers_are_texts_or_none,
    )
}
"""Every check of the contract by name."""


def check_adapter(
    adapter: Adapter,
    examples: Sequence[Example],
    backend: Backend,
    *,
    dev: Sequence[Example] | None = None,
    queries: Sequence[Query] | None = None,
) -> tuple[str, ...]:
    """Runs the whole contract on an adapter.

    Args:
        adapter: The adapter, of a registered kind.
        examples: Training examples; the last four become the queries if none are given.
        backend: The model.
        dev: Examples for adapters that choose on dev; by default the four before the queries.
        queries: What is asked.

    Returns:
        The names of the checks that passed: all of them.

    Raises:
        AssertionError: A check failed; the message says which rule is broken.
    """
    asked = queries if queries is not None else [example.query for example in examples[-4:]]
    case = Case(adapter, examples[:-8], backend, dev if dev is not None else examples[-8:-4], asked)
    for name, check in CONTRACT.items():
        try:
            check(case)
        except AssertionError as error:
            raise AssertionError(f"{type(adapter).__name__} breaks {name}: {error}") from error
    return tuple(CONTRACT)
