"""The rungs of a ladder: what is tried, in order of cost, and the prior that each rung gets from those below it."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from promptkit.adapters import (
    Adapter,
    ChainOfThought,
    FewShot,
    PlanPredictor,
    Predictor,
    adapter_from_settings,
    adapter_settings,
)
from promptkit.errors import SettingError, error_message, one_of
from promptkit.registry import registered_names
from promptkit.tasks.task import Task
from promptkit.types import Example, JSONObject, Queries

__all__ = ["Prior", "Ready", "Rung", "RungsLike", "default_rungs", "describe", "make_rungs", "settings_of"]

SHOTS, REASONED_SHOTS = 8, 4
"""Demonstrations of the default rungs."""
SAMPLES = 20
"""Most reasoning paths of a vote."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Results of the rungs below, which a rung may build on.

    Attributes:
        kept: Name of the kept rung, or "".
        predictor: Its predictor, or ``None``.
        prompt: The best few-shot prompt so far, or ``None``.
        unlabelled: Queries without answers that the caller gave.
        minutes: Minutes that are left of the budget, or ``None``.
    """

    kept: str = ""
    predictor: Predictor | None = None
    prompt: PlanPredictor | None = None
    unlabelled: Queries | None = None
    minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A rung that can be fitted.

    Attributes:
        adapter: The adapter with all its settings.
        first: Examples that are put before the others of train, for adapters that take the first.
        options: Further arguments of its ``fit``.
        prior: What it got from the rungs below, for people.
        seconds: Seconds that its fit may take; ``None`` without a limit. The climb fills it in.
    """

    adapter: Adapter
    first: tuple[Example, ...] = ()
    options: JSONObject = field(default_factory=dict)
    prior: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung.

    Attributes:
        name: Its name in tables.
        ready: Makes it ready, given the prior.
        left_out: Why it does not apply to this task, or "".
        plan: What is known of its settings before the climb; plain JSON data.
    """

    name: str
    ready: Callable[[Prior], Ready]
    left_out: str = ""
    plan: JSONObject = field(default_factory=dict)


RungsLike = Literal["default"] | Sequence[Adapter | tuple[str, Adapter] | Rung | str]
"""``"default"``; or from cheap to expensive: adapters, pairs of name and adapter, rungs, or names of default rungs
and of registered strategies."""

ALIASES = {"voting": "chain of thought with voting", "chain of thought": "chain of thought with voting"}
"""Shorter names of default rungs."""


def make_rungs(rungs: RungsLike, task: Task, train: Sequence[Example]) -> tuple[Rung, ...]:
    """Turns what a caller gives into rungs.

    Args:
        rungs: ``"default"``, or a list from cheap to expensive (see ``RungsLike``).
        task: The task.
        train: The training examples, by whose number the default rungs are sized.

    Returns:
        The rungs, at least one, with different names.

    Raises:
        SettingError: There are none, one is no adapter, is for another task, or has the name of another.

    Example:
        >>> import promptkit as pk
        >>> task = pk.load_task("apples")
        >>> [rung.name for rung in make_rungs([pk.FewShot(task, shots=0), ("mine", pk.FewShot(task))], task, ())]
        ['zero-shot', 'mine']
        >>> [rung.name for rung in make_rungs("default", task, pk.load_examples("apples").train)]
        ['zero-shot', 'few-shot', 'chain of thought with voting', 'soft prompt', 'LoRA']
        >>> [rung.name for rung in make_rungs(["zero_shot", "voting", "lora"], task, ())]
        ['zero-shot', 'chain of thought with voting', 'LoRA']
    """
    if rungs == "default":
        return default_rungs(task, train)
    if isinstance(rungs, str) or not isinstance(rungs, Sequence) or not rungs:
        expected = "'default', or a list of adapters, (name, adapter) pairs or names of default rungs and strategies"
        raise SettingError(error_message("rungs", of="climb", expected=expected, got=rungs))
    found: list[Rung] = []
    for item in rungs:
        if isinstance(item, str):
            found.append(_named(item, default_rungs(task, train), task))
            continue
        if isinstance(item, Rung):
            found.append(item)
            continue
        pair: tuple[str, Any] = item if isinstance(item, tuple) and len(item) == 2 else ("", item)
        name, adapter = pair
        if not callable(getattr(adapter, "fit", None)):
            expected = "an adapter, a (name, adapter) pair or a Rung"
            raise SettingError(error_message("a rung", of="climb", expected=expected, got=adapter))
        own: Any = getattr(adapter, "task", task)
        if own != task:
            raise SettingError(error_message("a rung", of="climb", expected=f"for task {task.name!r}", got=own.name))
        found.append(_given(name or _fresh(describe(adapter), [rung.name for rung in found]), adapter))
    names = [rung.name for rung in found]
    if "" in names or len(set(names)) < len(names):
        raise SettingError(error_message("rungs", of="climb", expected="of different names, none empty", got=names))
    return tuple(found)


def default_rungs(task: Task, train: Sequence[Example]) -> tuple[Rung, ...]:
    """Lists the default ladder: zero-shot, few-shot, chain of thought with voting, soft prompt, LoRA.

    Few-shot searches for its demonstrations. Chain of thought takes over its instruction, and its demonstrations where
    they have rationales; rationales that the data lacks are written by the model (STaR). The soft prompt starts from
    the few-shot prompt. Soft prompt and LoRA reason if the kept rung does, and learn from its answers to unlabelled
    queries, if there are any.

    Args:
        task: The task.
        train: The training examples.

    Returns:
        The rungs.
    """
    # A quarter of train is set aside, and folds take a fifth of the rest.
    shots = max(1, min(SHOTS, len(train) // 2))
    few = FewShot(task, shots=shots, select="searched")
    reasoned = "" if "reasoned" in task.templates else f"task {task.name!r} has no template reasoned.jinja"
    return (
        _given("zero-shot", FewShot(task, shots=0)),
        _given("few-shot", few),
        Rung("chain of thought with voting", lambda prior: _chain(task, train, prior), reasoned),
        Rung("soft prompt", lambda prior: _soft_prompt(task, prior)),
        Rung("LoRA", lambda prior: _lora(task, prior)),
    )


def describe(adapter: Adapter) -> str:
    """Names an adapter for people.

    Example:
        >>> import promptkit as pk
        >>> task = pk.load_task("apples")
        >>> describe(pk.FewShot(task, shots=0)), describe(pk.FewShot(task, select="searched"))
        ('zero-shot', '4 shots, searched')
        >>> describe(pk.ChainOfThought(task, samples=1, temperature=0.0)), describe(pk.ChainOfThought(task, samples=5))
        ('chain of thought', 'vote of 5')
    """
    if isinstance(adapter, FewShot):
        if not adapter.shots:
            return "zero-shot reasoned" if adapter.ask == "reasoned" else "zero-shot"
        text = f"{adapter.shots} shot{'s' if adapter.shots > 1 else ''}"
        text += " reasoned" if adapter.ask == "reasoned" else ""
        return text if adapter.select == "balanced" else f"{text}, {adapter.select}"
    if isinstance(adapter, ChainOfThought):
        return "chain of thought" if adapter.samples == 1 else f"vote of {adapter.samples}"
    return {"SoftPrompt": "soft prompt"}.get(type(adapter).__name__, type(adapter).__name__)


def _named(name: str, known: Sequence[Rung], task: Task) -> Rung:
    """Finds a default rung, or makes one of a registered strategy with its default settings."""
    plain = " ".join(name.casefold().replace("-", " ").replace("_", " ").split())
    plain = ALIASES.get(plain, plain)
    for rung in known:
        if rung.name.casefold().replace("-", " ") == plain:
            return rung
    strategies = registered_names("strategy")
    if name in strategies:
        return _given(name, adapter_from_settings(task, {"kind": name}))
    expected = one_of([*(rung.name for rung in known), *strategies])
    raise SettingError(error_message("a rung", of="climb", expected=expected, got=name))


def _fresh(name: str, taken: Sequence[str]) -> str:
    number = 1 + sum(other == name or other.startswith(f"{name} #") for other in taken)
    return name if number == 1 else f"{name} #{number}"


def _given(name: str, adapter: Adapter) -> Rung:
    """A rung with the caller's settings; its ``fit`` gets what it accepts of the prior."""
    return Rung(name, lambda prior: _with_training_set(adapter, prior), plan=settings_of(adapter))


def settings_of(adapter: Adapter) -> JSONObject:
    """Returns the settings of an adapter as plain data, also of one that promptkit has never seen."""
    try:
        return adapter_settings(adapter)
    except SettingError:
        return {"kind": type(adapter).__name__, "shown": repr(adapter)[:500]}


def _chain(task: Task, train: Sequence[Example], prior: Prior) -> Ready:
    reasons = sum(bool(example.rationale) for example in train)
    shots = max(1, min(REASONED_SHOTS, len(train) // 2))
    bare = reasons < 2 * shots
    adapter = ChainOfThought(task, shots=shots, samples=SAMPLES, stop="beta", bootstrap=bare)
    if prior.prompt is None:
        return Ready(adapter)
    adapter = dataclasses.replace(adapter, instruction=prior.prompt.plan.instruction)
    demos = tuple(demo for demo in prior.prompt.plan.demos if demo.rationale)[:shots]
    if bare or prior.prompt.plan.per_query or len(demos) < shots:
        return Ready(adapter, prior=("instruction of few-shot",))
    return Ready(
        dataclasses.replace(adapter, select="first"), demos, prior=("instruction and demonstrations of few-shot",)
    )


def _soft_prompt(task: Task, prior: Prior) -> Ready:
    from promptkit.adapters import SoftPrompt  # Lazy import: needs torch.

    init: Literal["prompt", "domain"] = "prompt" if _starter(prior) is not None else "domain"
    adapter = SoftPrompt(task, init=init, reasoned=_reasons(prior), max_minutes=prior.minutes)
    return _with_training_set(adapter, prior)


def _lora(task: Task, prior: Prior) -> Ready:
    from promptkit.adapters import LoRA  # Lazy import: needs torch.

    return _with_training_set(LoRA(task, reasoned=_reasons(prior), max_minutes=prior.minutes), prior)


def _reasons(prior: Prior) -> bool:
    return isinstance(prior.predictor, PlanPredictor) and prior.predictor.plan.ask == "reasoned"


def _starter(prior: Prior) -> PlanPredictor | None:
    """Finds a predictor whose prompt can initialize vectors; one that also labels or reasons is the kept one."""
    teaches = prior.unlabelled is not None or _reasons(prior)
    found = prior.predictor if teaches else prior.prompt
    if isinstance(found, PlanPredictor) and (found.plan.demos or found.plan.instruction):
        return found
    return None


def _with_training_set(adapter: Adapter, prior: Prior) -> Ready:
    """Passes a teacher and unlabelled queries to a ``fit`` that accepts and uses them."""
    if "teacher" not in inspect.signature(adapter.fit).parameters:
        return Ready(adapter)
    options: JSONObject = {}
    told: list[str] = []
    if getattr(adapter, "init", "") == "prompt" and (starter := _starter(prior)) is not None:
        options["teacher"] = starter
        told.append(f"initialized from the prompt of {prior.kept if starter is prior.predictor else 'few-shot'}")
    if prior.unlabelled is not None and prior.predictor is not None:
        options |= {"teacher": prior.predictor, "unlabelled": prior.unlabelled}
        told.append(f"answers of {prior.kept} to {len(prior.unlabelled)} unlabelled queries")
    if getattr(adapter, "reasoned", False) and _reasons(prior):
        options["teacher"] = prior.predictor
        told.append(f"reasonings of {prior.kept}")
    return Ready(adapter, options=options, prior=tuple(told))
