"""The plan in which every strategy ends: how to ask, which demonstrations, how to sample and aggregate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from promptkit.parsing import StopRule, Tie, stop_rule, stop_settings
from promptkit.registry import find
from promptkit.types import Ask, Example, JSONObject

__all__ = ["MAX_NEW_TOKENS", "MAX_SAMPLES", "MAX_SEED", "MAX_SHOTS", "Aggregation", "Plan", "Stop"]

MAX_SHOTS = 1000
"""Most demonstrations in a prompt."""
MAX_SAMPLES = 10_000
"""Most completions of a question."""
MAX_NEW_TOKENS = 100_000
"""Most generated tokens of a completion."""
MAX_SEED = 2**63 - 1
"""Greatest seed; the least is its negative."""


def _read_stop(value: object) -> object:
    rule = stop_rule(value)  # type: ignore[arg-type]
    if rule is None:
        return "none"
    stop_settings(rule)  # refuses a rule that could not be saved
    return value if isinstance(value, str) else rule


def _write_stop(value: StopRule | str) -> str | JSONObject:
    return value if isinstance(value, str) else stop_settings(value)


Stop = Annotated[StopRule | str | None, PlainValidator(_read_stop), PlainSerializer(_write_stop)]
"""When enough samples of a question have been drawn: a registered rule with its defaults by name, or a rule, in JSON an
object with its name as ``kind`` and its settings. ``None`` is taken for ``"none"``, as ``promptkit.vote`` takes it."""


def _check_rule(name: str) -> str:
    return find("aggregator", name, of="Plan", which="rule").name


def _check_selector(name: str | None) -> str | None:
    return None if name is None else find("selector", name, of="Plan", which="per_query").name


class Aggregation(BaseModel):
    """How samples of one question become one answer. Frozen, and JSON both ways.

    Attributes:
        rule: The aggregator that scores the answers (see ``promptkit.vote``).
        tie: How ties are resolved.
        near: Overlap from which two reasonings are one path; ``None`` for equal texts only.
        stop: When enough samples have been drawn.
        min_agreement: Least share of all samples that must agree, in (0, 1]; below it there is no answer.
        show_reasoning: Whether predictions carry what was generated; if not, they hold answers and votes only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Annotated[str, AfterValidator(_check_rule)] = "majority"
    tie: Tie = "stable"
    near: float | None = Field(default=None, gt=0.0, le=1.0)
    stop: Stop = "none"
    min_agreement: float | None = Field(default=None, gt=0.0, le=1.0)
    show_reasoning: bool = True


class Plan(BaseModel):
    """Everything that a predictor needs besides the task and the model. Frozen, and JSON both ways.

    Attributes:
        kind: The strategy that made the plan; for people, never for decisions.
        ask: Whether questions are asked directly or with reasoning.
        answer_by: ``generation`` reads a generated text; ``likelihood`` takes the most likely label.
        form: Whether prompts are completion texts or chat messages.
        instruction: The instruction that heads every prompt; ``None`` for none.
        shots: Wanted number of demonstrations, 0 to 1,000.
        per_query: The selector that chooses demonstrations anew for every query out of ``demos``; ``None`` where
            ``demos`` are the demonstrations themselves.
        demos: The demonstrations, or the pool from which they are chosen.
        max_new_tokens: Limit of generated tokens per completion, 1 to 100,000.
        samples: Completions per query at most, 1 to 10,000.
        aggregate: How several samples become one answer; ``None`` reads the first.
        temperature: 0 for greedy decoding, at most 10.
        top_p: Nucleus share of sampling, in (0, 1].
        seed: The seed with which the strategy was fitted, below 2**63 in size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    ask: Ask = "direct"
    answer_by: Literal["generation", "likelihood"] = "generation"
    form: Literal["completion", "chat"] = "completion"
    instruction: str | None = None
    shots: int = Field(default=0, ge=0, le=MAX_SHOTS)
    per_query: Annotated[str | None, AfterValidator(_check_selector)] = None
    demos: tuple[Example, ...] = ()
    max_new_tokens: int = Field(default=64, ge=1, le=MAX_NEW_TOKENS)
    samples: int = Field(default=1, ge=1, le=MAX_SAMPLES)
    aggregate: Aggregation | None = None
    temperature: float = Field(default=0.0, ge=0.0, le=10.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    seed: int = Field(default=0, ge=-MAX_SEED, le=MAX_SEED)
