"""The parts of a decision record: plain facts about data, model, settings, tests and costs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from promptkit.types import JSONObject

__all__ = [
    "Bounds",
    "CostFacts",
    "DataFacts",
    "Facts",
    "FitFacts",
    "InterimAnalysis",
    "Item",
    "ItemResult",
    "LeakageFacts",
    "ModelFacts",
    "PairedTest",
    "PromptSample",
    "Settings",
    "SplitFacts",
    "TaskFacts",
]


class Facts(BaseModel):
    """A frozen part of the record; unknown fields, and numbers that are not finite, are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Bounds(Facts):
    """An estimate with its interval.

    Attributes:
        mean: The estimate.
        low: Lower end.
        high: Upper end.
        n: Number of items.
        confidence: Confidence of the interval.
        method: How it was made, for example ``"bootstrap"`` or ``"always valid"``.
    """

    mean: float
    low: float
    high: float
    n: int
    confidence: float
    method: str


class InterimAnalysis(Facts):
    """One interim analysis of a running comparison.

    Attributes:
        items: Items judged so far.
        difference: Mean paired difference, this rung minus the kept one.
        low: Lower end of the always-valid interval at that moment.
        high: Upper end.
    """

    items: int
    difference: float
    low: float
    high: float


class PairedTest(Facts):
    """A rung against the kept one, on the same items.

    Attributes:
        against: Name of the kept rung.
        items: Number of items that both answered.
        planned: Number of items there were.
        margin: The difference that had to be exceeded, at the level of ``p_margin``.
        difference: Mean paired difference, this rung minus the kept one.
        low: Lower end of the always-valid interval of the difference.
        high: Upper end.
        p_value: P-value of "the gain is at most 0", valid at any interim analysis.
        alpha: The share of the error rate that this test could spend.
        p_margin: Ordinary p-value of "the gain is at most the margin", at most .2 for a rung that is kept.
        effect: Standardised paired difference (mean over standard deviation), ``None`` if all are equal.
        better: Items on which this rung scored higher.
        worse: Items on which the kept one did.
        equal: Items on which both scored the same.
        analyses: Every interim analysis, in order.
        method: The test, for people.
    """

    against: str
    items: int
    planned: int
    margin: float
    difference: float
    low: float
    high: float
    p_value: float
    alpha: float
    p_margin: float | None = None
    effect: float | None
    better: int
    worse: int
    equal: int
    analyses: tuple[InterimAnalysis, ...]
    method: str


class CostFacts(Facts):
    """What answering cost, measured while the rung was judged.

    Attributes:
        items: Items over which the means go.
        calls: Requests to the model.
        prompt_tokens: Sum over items.
        cached_tokens: Prompt tokens among them that were not computed anew.
        generated_tokens: Sum over items.
        prompt_tokens_per_item: Mean per item.
        generated_tokens_per_item: Mean per item.
        seconds: Sum of wall-clock seconds.
        seconds_median: Median of the seconds per request.
        seconds_p95: 95th percentile of the same.
        peak_memory_bytes: Highest resident memory of the process during fit and judging; 0 where unknown.
    """

    items: int
    calls: int
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    prompt_tokens_per_item: float
    generated_tokens_per_item: float
    seconds: float
    seconds_median: float
    seconds_p95: float
    peak_memory_bytes: int = 0


class FitFacts(Facts):
    """What fitting cost, and what it left.

    Attributes:
        seconds: Wall-clock seconds, folds included.
        calls: Requests to the model.
        prompt_tokens: Prompt tokens of these requests.
        generated_tokens: Tokens generated for them.
        training: What training reported (loss and dev curves, steps, tokens, seconds ...), for rungs that train.
        training_tokens: Tokens that were trained on; 0 for rungs that train nothing.
        trainable_parameters: Number of trained parameters; 0 for rungs that train nothing.
        artifact: Folder of the saved predictor, relative to the run folder; "" without one.
        artifact_bytes: Size of the saved predictor.
        folds: Number of further fits for cross-fitting; 0 without.
        examples: Number of training examples given to the fit.
        tuning: Number of examples set aside from train for the choices of the fit.
        notes: What fitting found out, for example the trials of a search.
    """

    seconds: float
    calls: int
    prompt_tokens: int
    generated_tokens: int
    training: JSONObject | None = None
    training_tokens: int = 0
    trainable_parameters: int = 0
    artifact: str = ""
    artifact_bytes: int = 0
    folds: int = 0
    examples: int = 0
    tuning: int = 0
    notes: JSONObject = Field(default_factory=dict)


class PromptSample(Facts):
    """A prompt as it was sent.

    Attributes:
        item: Key of the item in ``Record.items``.
        text: The text of a completion prompt, or ``None``.
        messages: ``{"role", "content"}`` of a chat prompt.
        weights: Learned weights that belong to it, for example ``"soft_prompt of 16 tokens"``, ``"lora"``; "" for none.
    """

    item: str
    text: str | None = None
    messages: tuple[dict[str, str], ...] = ()
    weights: str = ""


class Item(Facts):
    """A judged item; the record holds it once, however many rungs answered it.

    Attributes:
        id: Its id in the data.
        split: The split from which it came.
        fields: What was asked.
        targets: Accepted answers.
    """

    id: str
    split: str
    fields: dict[str, str]
    targets: tuple[str, ...]


class ItemResult(Facts):
    """A rung's answer to one item, with its score and cost.

    Attributes:
        item: Key of the item in ``Record.items`` ("dev/3") or ``TestFacts.items`` ("test/3").
        score: Score by the metric of the climb; a failed or unreadable answer scores 0.
        answer: What was read, or ``None``.
        text: What was generated.
        error: Why there is no answer, for failures; else ``None``.
        agreement: Share of samples that voted for the answer.
        samples: Number of samples drawn.
        prompt_tokens: Tokens of the prompt.
        cached_tokens: Prompt tokens among them that were not computed anew.
        generated_tokens: Tokens generated.
        calls: Requests to the model.
        seconds: Wall-clock seconds; in a batch an equal share.
        fold: Number of the fold whose fit answered (cross-fitting), or ``None`` for the rung's own predictor.
    """

    item: str
    score: float
    answer: str | None
    text: str
    error: str | None = None
    agreement: float | None = None
    samples: int = 1
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
    fold: int | None = None


class LeakageFacts(Facts):
    """Items of one split that stand in another, by grade."""

    split: str
    inside: str
    exact: int
    normalised: int
    near: int


class SplitFacts(Facts):
    """Size and fingerprint of a split."""

    items: int
    fingerprint: str


class DataFacts(Facts):
    """The data, as far as the record needs it.

    Attributes:
        name: Where the data came from.
        train: The training split.
        dev: The split on which rungs were judged.
        test: The split that was scored once.
        leakage: What the splits share.
        forced: Whether the climb went on although test items stand in train or dev.
        tuning: Training items set aside for the choices that fits make (searched demonstrations, early stopping).
        judged: Items on which rungs could be judged: dev, and with cross-fitting train.
        folds: Number of folds of cross-fitting; 0 without.
        detectable: Smallest gain that a fixed test on all judged items would show with power 0.8, before the climb.
    """

    name: str
    train: SplitFacts
    dev: SplitFacts
    test: SplitFacts
    leakage: tuple[LeakageFacts, ...]
    forced: bool = False
    tuning: int = 0
    judged: int = 0
    folds: int = 0
    detectable: float | None = None


class TaskFacts(Facts):
    """The task: name, what it is, and the metric by which the climb decided."""

    name: str
    description: str
    fields: tuple[str, ...]
    labels: tuple[str, ...]
    metric: str
    metrics: tuple[str, ...]


class ModelFacts(Facts):
    """The model: name (without its folder), fingerprint and context window."""

    name: str
    fingerprint: str
    context_window: int


class Settings(Facts):
    """The settings of the climb, all that its decisions depend on.

    Attributes:
        target: Wanted score by metric; at most one, or none.
        minutes: Budget in minutes of wall-clock time, or ``None``.
        tokens: Budget in prompt and generated tokens, or ``None``.
        calls: Budget in requests, or ``None``.
        margin: Gain that a rung must exceed to be kept.
        confidence: Confidence of the decisions together, and of every interval shown.
        seed: Seed of everything.
        block: Items judged between two interim analyses.
        rungs: Names of the planned rungs, in order of cost.
        plans: Settings of the planned rungs, as far as they are known before the climb.
    """

    target: dict[str, float]
    minutes: float | None
    tokens: int | None
    calls: int | None
    margin: float
    confidence: float
    seed: int
    block: int
    rungs: tuple[str, ...]
    plans: tuple[JSONObject, ...] = ()
