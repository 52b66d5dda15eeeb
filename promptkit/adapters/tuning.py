"""What SoftPrompt and LoRA have in common: from settings, examples and a model to a predictor with weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from promptkit.adapters.base import Predictor
from promptkit.adapters.few_shot import FewShot, usable_examples
from promptkit.adapters.plan import Plan
from promptkit.adapters.predictor import PlanPredictor
from promptkit.adapters.selection import select
from promptkit.adapters.training_set import TrainingSet, distill
from promptkit.backends import Backend
from promptkit.backends.base import check_backend, unwrap
from promptkit.errors import SettingError, UnsupportedError, error_message
from promptkit.records import settings
from promptkit.tasks import render, render_answer
from promptkit.tasks.task import Task
from promptkit.training import LoraSpec, Pair, SoftSpec, TrainingConfig, TrainProgress
from promptkit.training.config import SoftKind
from promptkit.training.initialization import Init, domain_ids, prompt_head_ids, text_ids, vocabulary_ids
from promptkit.types import Example, JSONObject, Prompt, Queries, Query

if TYPE_CHECKING:
    from promptkit.backends import LocalBackend

__all__ = ["Soft", "Tuning", "WeightSettings", "fit_weights", "need_local", "training_pairs"]

_SEARCH_TRIALS = 6


@settings
class WeightSettings(TrainingConfig):
    """Settings that every strategy with learned weights has: the prompt around them, and how they are trained.

    Attributes:
        shots: Number of demonstrations in every prompt, in training too; never the question itself.
        select: How they are chosen, as in ``FewShot``.
        reasoned: Ask for reasoning that ends in the answer; training examples need rationales, or a teacher.
        instruction: Which instruction heads the prompt, as in ``FewShot``.
        form: ``completion``, ``chat``, or ``auto`` for what the model prefers.
        max_new_tokens: Limit of generated tokens; by default the task's.
    """

    _: KW_ONLY
    shots: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0
    select: str = "balanced"
    reasoned: bool = False
    instruction: int | str | None = 0
    form: Literal["auto", "completion", "chat"] = "auto"
    max_new_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None

    def asks(self, task: Task) -> FewShot:
        """Returns how questions are asked, before, in and after training alike."""
        return FewShot(
            task,
            shots=self.shots,
            select=self.select,
            ask="reasoned" if self.reasoned else "direct",
            instruction=self.instruction,
            form=self.form,
            max_new_tokens=self.max_new_tokens,
        )


@dataclass(frozen=True, slots=True)
class Soft:
    """Vectors before the text, and where they start.

    Attributes:
        kind: "prompt", "prefix" or "ptuning".
        tokens: How many.
        init: Their starting point (see ``promptkit.training.initialization``).
        init_text: The text of ``init="text"``.
        learning_rate: Their peak learning rate; ``None`` for that of the kind.
    """

    kind: SoftKind
    tokens: int
    init: Init
    init_text: str | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a strategy with learned weights wants of one fit.

    Attributes:
        name: The strategy, for messages.
        kind: Its registered kind.
        asks: How questions are asked, before, in and after training alike.
        train: How weights are trained.
        lora: The low-rank change to learn, or ``None``.
        soft: The vectors to learn, or ``None``.
    """

    name: str
    kind: str
    asks: FewShot
    train: TrainingConfig
    lora: LoraSpec | None = None
    soft: Soft | None = None


def fit_weights(
    tuning: Tuning,
    examples: Sequence[Example],
    backend: Backend,
    *,
    dev: Sequence[Example] | None,
    seed: int,
    teacher: Predictor | None = None,
    unlabelled: Queries | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: TrainProgress | None = None,
) -> PlanPredictor:
    """Trains weights on examples rendered as they will be asked; the model itself stays as it is.

    Args:
        tuning: What is wanted.
        examples: Labelled training examples.
        backend: The model.
        dev: Examples on which the best step is chosen, or ``None``.
        seed: Seed of everything that is drawn.
        teacher: A fitted predictor that answers ``unlabelled``, or from whose prompt the vectors start.
        unlabelled: Queries for the teacher.
        checkpoint: Folder of checkpoints, from which a training that was cut off goes on.
        progress: Called after every step.

    Returns:
        The predictor.

    Raises:
        UnsupportedError: The backend has no model to train.
        SettingError: Settings do not fit each other or the model.
        DataError: There is nothing to train on.
        LeakageError: Dev items are among the training items.
    """
    from promptkit.training import train  # Loads torch and transformers.

    check_backend(backend, of="fit")
    local = need_local(backend, tuning.name)
    if teacher is not None and not callable(getattr(teacher, "predict", None)):
        expected = "a fitted predictor, as fit and load return, or None"
        raise SettingError(error_message("teacher", of=tuning.name, expected=expected, got=teacher))
    _check_teacher(tuning, teacher, unlabelled)
    training_set = distill(
        tuning.asks.task, examples, dev, reasoned=tuning.asks.ask == "reasoned",
        teacher=teacher, unlabelled=unlabelled, seed=seed, of=tuning.name,
    )  # fmt: skip
    plan = tuning.asks.fit(training_set.labelled, backend, seed=seed).plan.model_copy(update={"kind": tuning.kind})
    asker = PlanPredictor(plan, tuning.asks.task, backend)
    notes: JSONObject = {"examples": training_set.notes}
    soft = None
    if tuning.soft is not None:
        ids, notes["start"] = start_ids(tuning, asker, training_set, teacher)
        soft = SoftSpec(
            kind=tuning.soft.kind,
            tokens=tuning.soft.tokens,
            start_text_ids=ids,
            learning_rate=tuning.soft.learning_rate,
        )
    reserved = soft.tokens if soft else 0
    trained = train(
        local,
        training_pairs(asker, training_set.examples, reserved=reserved),
        training_pairs(asker, training_set.dev, reserved=reserved),
        tuning.train,
        lora=tuning.lora,
        soft=soft,
        seed=seed,
        checkpoint=Path(checkpoint) if checkpoint is not None else None,
        progress=progress,
    )
    notes["training"] = trained.log.to_json()
    if trained.left_out:
        notes["left_out"] = list(trained.left_out)
    return PlanPredictor(plan, asker.task, backend, notes, trained.soft_prompt, trained.lora)


def need_local(backend: Backend, of: str) -> LocalBackend:
    """Finds the local model whose weights can be trained, also behind a cache or journal.

    Args:
        backend: Any backend.
        of: The name of the strategy, for messages.

    Returns:
        The local backend.

    Raises:
        UnsupportedError: There is no local model.
    """
    from promptkit.backends import LocalBackend  # Loads torch.

    local = unwrap(backend)
    if not isinstance(local, LocalBackend):
        raise UnsupportedError(
            error_message(
                "backend", of=of, expected="a LocalBackend, because learned weights go inside the model",
                got=type(local).__name__,
                hint="use LocalBackend (in a shell no --base-url), or a prompting strategy such as FewShot",
            )
        )  # fmt: skip
    return local


def _check_teacher(tuning: Tuning, teacher: Predictor | None, unlabelled: Queries | None) -> None:
    """Refuses a teacher that would have nothing to do, since its user expects that it did something."""
    starts = tuning.soft is not None and tuning.soft.init == "prompt"
    if teacher is not None and unlabelled is None and not starts and tuning.asks.ask == "direct":
        hint = "pass unlabelled=[...] for it to answer, or leave it out"
        raise SettingError(
            error_message("unlabelled", of=tuning.name, expected="given with a teacher", got=None, hint=hint)
        )


def training_pairs(predictor: PlanPredictor, examples: Sequence[Example], *, reserved: int) -> list[Pair]:
    """Renders examples for training exactly as they will be rendered for prediction.

    An answer ends as generation ends: with the separator in a completion prompt, which is a stop text; in a chat and
    in the answers of an encoder-decoder with the model's end token.

    Args:
        predictor: The predictor that will play the plan; a demonstration is never shown to itself.
        examples: Training or dev examples.
        reserved: Places of the context window that a soft prompt will take.

    Returns:
        One pair for each example, in order.

    Raises:
        ContextLengthError: A question does not fit.
        DataError: An example lacks a field or a rationale.
    """
    plan, task = predictor.plan, predictor.task
    completion = plan.form == "completion"
    model = getattr(unwrap(predictor.backend), "model", None)
    end = not completion or bool(model is not None and model.config.is_encoder_decoder)
    pairs = []
    for example in examples:
        prompt = predictor.ask(example.query, reserved=reserved).prompt
        answer = render_answer(task, example, ask=plan.ask, form=plan.form)
        pairs.append(Pair(prompt, answer + task.separator if completion else answer, end))
    return pairs


def start_ids(
    tuning: Tuning, asker: PlanPredictor, training_set: TrainingSet, teacher: Predictor | None
) -> tuple[tuple[int, ...] | None, JSONObject]:
    """Finds the tokens from whose vectors a soft prompt starts.

    Args:
        tuning: What is wanted; ``tuning.soft`` is given.
        asker: Says how questions are asked.
        training_set: What is trained on.
        teacher: A fitted predictor whose prompt is taken for ``init="prompt"``.

    Returns:
        As many token ids as vectors, or ``None`` for random ones; and what they say, for the notes.

    Raises:
        SettingError: The text or the teacher's prompt is empty.
    """
    soft, seed = tuning.soft, asker.plan.seed
    assert soft is not None
    codec = need_local(asker.backend, tuning.name)._codec
    notes: JSONObject = {"init": soft.init}
    ids: tuple[int, ...] | None = None
    if soft.init == "domain":
        ids = domain_ids(codec, _item_texts(asker, training_set.examples), soft.tokens)
    elif soft.init == "vocabulary":
        ids = vocabulary_ids(codec, soft.tokens, seed)
    elif soft.init == "text":
        ids = text_ids(codec, soft.init_text or "", soft.tokens)
    elif soft.init == "prompt":
        plan, found = _best_prompt(tuning, asker, training_set, teacher)
        notes |= found
        ids = prompt_head_ids(codec, *_whole_and_bare(plan, asker, training_set.examples[0].query), soft.tokens)
    if ids is not None:
        notes["tokens"] = [codec.text((), [number]) for number in ids]
    return ids, notes


def _item_texts(asker: PlanPredictor, examples: Sequence[Example]) -> list[str]:
    """Renders questions with their answers and nothing before them: the texts of the domain."""
    plan, task = asker.plan, asker.task
    return [
        (render(task, example.query, ask=plan.ask, instruction=None).text or "")
        + render_answer(task, example, ask=plan.ask)
        + task.separator
        for example in examples
    ]


def _best_prompt(
    tuning: Tuning, asker: PlanPredictor, training_set: TrainingSet, teacher: Predictor | None
) -> tuple[Plan, JSONObject]:
    """Finds the few-shot prompt from which vectors start: the teacher's, or the best of several sets on dev."""
    assert tuning.soft is not None
    if teacher is not None:
        if not isinstance(teacher, PlanPredictor) or not (teacher.plan.demos or teacher.plan.instruction):
            expected = "a predictor of promptkit with demonstrations or an instruction"
            of = f"{tuning.name}(init='prompt')"
            raise SettingError(error_message("teacher", of=of, expected=expected, got=type(teacher).__name__))
        return _fixed(teacher.plan), {"prompt": "teacher"}
    ask = asker.plan.ask
    usable = usable_examples(asker.task, training_set.examples, ask, 1)
    sizes = [asker.backend.count_tokens(Prompt(text=text)) for text in _item_texts(asker, usable[:50])]
    shots = min(len(usable), -(-tuning.soft.tokens * len(sizes) // sum(sizes)))
    search = FewShot(
        asker.task,
        shots=shots,
        select="searched" if training_set.dev else "balanced",
        ask=ask,
        form=asker.plan.form,
        instruction=asker.plan.instruction,
        max_new_tokens=asker.plan.max_new_tokens,
        trials=_SEARCH_TRIALS,
    )
    found = search.fit(usable, asker.backend, dev=training_set.dev or None, seed=asker.plan.seed)
    score = found.notes.get("search", {}).get("best_score")
    return found.plan, {"prompt": search.select, "shots": shots, "dev_score": score}


def _fixed(plan: Plan) -> Plan:
    """Replaces demonstrations that are chosen for every question by some that stand for the pool."""
    if plan.per_query is None:
        return plan
    demos = select("diverse", plan.demos, min(plan.shots, len(plan.demos)), seed=plan.seed)
    return plan.model_copy(update={"per_query": None, "demos": tuple(demos)})


def _whole_and_bare(plan: Plan, asker: PlanPredictor, query: Query) -> tuple[Prompt, Prompt]:
    """Renders a question with everything that a plan puts before it, and by itself."""
    task, ask, form = asker.task, plan.ask, plan.form
    whole = render(task, query, plan.demos, ask=ask, form=form, instruction=plan.instruction)
    return whole, render(task, query, ask=ask, form=form, instruction=None)
