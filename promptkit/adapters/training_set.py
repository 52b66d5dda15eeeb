"""What weights are trained on: labelled examples, and the answers of a cheaper strategy to others (distillation)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from promptkit.adapters.base import Predictor, parse_queries
from promptkit.data import Split, check_examples
from promptkit.errors import DataError, LeakageError, SettingError, error_message
from promptkit.tasks.task import Task
from promptkit.types import Example, JSONObject, Prediction, Queries, Query

__all__ = ["TrainingSet", "check_apart", "distill"]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What weights are trained on.

    Attributes:
        labelled: Labelled examples; with a rationale each where questions are asked with reasoning.
        pseudo_labelled: Examples whose targets are a teacher's answers.
        dev: Examples on which training is watched.
        notes: How many came from where, and how many were left out and why. Plain JSON data.
    """

    labelled: tuple[Example, ...]
    pseudo_labelled: tuple[Example, ...]
    dev: tuple[Example, ...]
    notes: JSONObject

    @property
    def examples(self) -> tuple[Example, ...]:
        """Everything to train on."""
        return self.labelled + self.pseudo_labelled


def check_apart(
    examples: Sequence[Example], dev: Sequence[Example] | None, unlabelled: Sequence[Query] = (), *, of: str
) -> None:
    """Checks that training sees no test item, and no item of dev.

    Args:
        examples: Training examples.
        dev: Examples on which training is watched.
        unlabelled: Queries that a teacher answers for training.
        of: The name of the strategy, for messages.

    Raises:
        DataError: A split named "test" was given.
        LeakageError: Dev items are among the training items.
    """
    for name, split in (("examples", examples), ("dev", dev)):
        check_examples(split if split is not None else (), of=of, which=name)
        if isinstance(split, Split) and split.name == "test":
            hint = "train on data.train and watch data.dev, or the test score means nothing"
            raise DataError(error_message(name, of=of, expected="no test items", got=split, hint=hint))
    seen = {example.query.key for example in examples} | {query.key for query in unlabelled}
    shared = [example.id for example in dev or () if example.query.key in seen]
    if shared:
        raise LeakageError(
            error_message(
                "dev", of=of, expected="items that training does not see", got=shared,
                hint=f"take these {len(shared)} of {len(dev or ())} out of one of the two, since the best step is "
                "chosen on dev",
            )
        )  # fmt: skip


def distill(
    task: Task,
    examples: Sequence[Example],
    dev: Sequence[Example] | None,
    *,
    reasoned: bool,
    teacher: Predictor | None = None,
    unlabelled: Queries | None = None,
    seed: int = 0,
    of: str,
) -> TrainingSet:
    """Gathers what to train on: labelled examples, and what a fitted cheaper strategy can add to them.

    A teacher's answers to unlabelled queries, voted if the teacher votes, become targets; queries on which it abstains
    or fails are left out. With ``reasoned`` the first reasoning that led to the answer becomes the rationale, and
    labelled examples without a rationale get the teacher's where it ended in a right answer (rejection sampling, Yuan
    et al. 2023, arXiv 2308.01825; one reasoning per question).

    Args:
        task: The task.
        examples: Labelled training examples.
        dev: Examples on which training is watched, or ``None``.
        reasoned: Whether rationales are needed; examples that still have none are left out and counted.
        teacher: A fitted predictor for the same task.
        unlabelled: Queries that it answers; those with the content of a labelled example are left out.
        seed: Seed of the teacher's samples.
        of: The name of the strategy, for messages.

    Returns:
        The training set.

    Raises:
        SettingError: The teacher does another task, or has nothing to do.
        DataError: Nothing is left to train on.
        LeakageError: Dev items are among the training items.
    """
    queries = parse_queries(task, unlabelled) if unlabelled is not None else []
    check_apart(examples, dev, queries, of=of)
    if unlabelled is not None and teacher is None:
        raise SettingError(error_message("teacher", of=of, expected="given with unlabelled queries", got=None))
    if teacher is not None and teacher.task.fields != task.fields:
        expected = f"a predictor for {task.name!r}, whose fields are {task.fields}"
        raise SettingError(error_message("teacher", of=of, expected=expected, got=teacher.task.name))
    known, pseudo_labelled, watched = list(examples), list[Example](), list(dev or ())
    notes: JSONObject = {"labelled": len(known)}
    if teacher is not None and queries:
        pseudo_labelled, notes["distillation"] = _label(teacher, known, queries, reasoned, seed)
    if reasoned:
        task.template("reasoned")
        if teacher is not None:
            known, notes["rationales"] = _reason(teacher, task, known, seed)
        notes["without_rationale"] = sum(not example.rationale for example in known)
        known = [example for example in known if example.rationale]
        watched = [example for example in watched if example.rationale]
    if not known and not pseudo_labelled:
        expected = "there for at least one training example" if reasoned else "at least one"
        hint = (
            "give rationales, or a teacher that reasons" if reasoned else "give examples, or a teacher with unlabelled"
        )
        raise DataError(
            error_message("rationales" if reasoned else "examples", of=of, expected=expected, got=0, hint=hint)
        )
    notes |= {"trained_on": len(known) + len(pseudo_labelled), "dev": len(watched)}
    return TrainingSet(tuple(known), tuple(pseudo_labelled), tuple(watched), notes)


def _reason(teacher: Predictor, task: Task, examples: list[Example], seed: int) -> tuple[list[Example], dict[str, int]]:
    """Lets the teacher reason over labelled examples that have no rationale, and keeps what ended right."""
    bare = [example for example in examples if not example.rationale]
    parser = task.parser("reasoned")
    found: dict[int, Example] = {}
    predictions = teacher.predict([example.query for example in bare], seed=seed, on_error="record")
    for example, prediction in zip(bare, predictions, strict=True):
        right = prediction.answer in [parser.canonical(target) for target in example.targets]
        if prediction.answer is not None and right and prediction.reasonings:
            found[id(example)] = replace(example, rationale=prediction.reasonings[0])
    counts = {"tried": len(bare), "kept": len(found), "dropped": len(bare) - len(found)}
    return [found.get(id(example), example) for example in examples], counts


def _label(
    teacher: Predictor, examples: Sequence[Example], queries: Sequence[Query], reasoned: bool, seed: int
) -> tuple[list[Example], JSONObject]:
    """Lets the teacher answer queries, and makes examples of those that it answered."""
    fresh = {query.key: query for query in queries}
    for example in examples:
        fresh.pop(example.query.key, None)
    asked = list(fresh.values())
    predictions = teacher.predict(asked, seed=seed, on_error="record")
    pseudo_labelled = [
        Example(query, (prediction.answer,), prediction.reasonings[0] if reasoned else None)
        for query, prediction in zip(asked, predictions, strict=True)
        if prediction.answer is not None and (prediction.reasonings or not reasoned)
    ]
    return pseudo_labelled, {
        "queries": len(queries),
        "known": len(queries) - len(asked),
        "asked": len(asked),
        "used": len(pseudo_labelled),
        "abstained": sum(p.answer is None and p.error is None for p in predictions),
        "failed": sum(p.error is not None for p in predictions),
        "without_reasoning": sum(p.answer is not None and not p.reasonings for p in predictions) if reasoned else 0,
        **_cost(predictions),
    }


def _cost(predictions: Sequence[Prediction]) -> JSONObject:
    return {
        "prompt_tokens": sum(p.usage.prompt_tokens for p in predictions),
        "generated_tokens": sum(p.usage.generated_tokens for p in predictions),
        "seconds": sum(p.usage.seconds for p in predictions),
    }
