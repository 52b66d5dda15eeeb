"""The decision record: what a climb tried, what it measured, what it cost, and why it decided as it did.

One JSON file with a versioned schema. It holds everything that a person or a report needs, so it can be read years
later without the model, the data or the run folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from promptkit.errors import ArtifactError
from promptkit.ladder.facts import (
    Bounds,
    CostFacts,
    DataFacts,
    Facts,
    FitFacts,
    Item,
    ItemResult,
    ModelFacts,
    PairedTest,
    PromptSample,
    Settings,
    TaskFacts,
)
from promptkit.types import JSONObject

__all__ = [
    "FORMAT",
    "Decision",
    "Record",
    "Stopped",
    "TestFacts",
    "TestRead",
    "Trial",
    "Verdict",
]

FORMAT = 1
"""Version of the schema; a higher one is refused."""
NEEDS = "0.1.0"
"""The first version of promptkit that reads this schema; written into every record."""
UNSTEADY = frozenset(
    """seconds seconds_median seconds_p95 peak_memory_bytes started finished resumed versions machine
    cached_tokens tokens_per_second training artifact artifact_bytes max_minutes
    cut_off extended""".split()
)
"""Fields that may differ from run to run though every decision is the same: times, memory, machine, interruptions."""

Verdict = Literal["first", "kept", "lost", "undecided", "failed", "left_out", "not_tried"]
"""Result of a trial.

first      the first rung that could be judged; there is nothing cheaper to compare it with
kept       the test shows a gain over the kept one, above the margin
lost       the test shows that it gains at most the margin
undecided  neither could be shown on these items; the cheaper one stays
failed     its fit or its judging raised an error
left_out   it does not apply to this task or model
not_tried  the climb stopped before it
"""

Stopped = Literal["target", "ceiling", "budget", "top", "nothing"]
"""Why the climb stopped: the target is reached; no gain by the margin is possible above the kept score; the budget is
spent; the last rung was tried; no rung could be judged."""


class Trial(Facts):
    """One trial of one rung, successful or not.

    Attributes:
        rung: Name of the rung.
        place: Its place on the ladder, from 0.
        number: Number of the trial of this rung, from 1; above 1 after a failure of the model.
        kind: Kind of the adapter, for example ``"few_shot"``.
        settings: All settings of the adapter.
        verdict: The result.
        reason: Why, in a sentence.
        detail: What it is in a few words, for example ``"8 shots"``.
        prior: What it got from the rungs below, for people.
        score: Mean score on the judged items with its interval.
        lower_bound: Always-valid lower bound of the mean, which a target is compared with.
        upper_bound: Always-valid upper bound.
        test: The comparison with the kept rung; ``None`` for the first.
        cost: What answering cost.
        fit: What fitting cost.
        answered: Items for which an answer could be read.
        unanswered: Items whose text held no readable answer.
        failed: Items for which the model failed or the prompt did not fit.
        prompts: Some prompts as they were sent.
        results: Its answer to each judged item.
    """

    rung: str
    place: int
    number: int = 1
    kind: str = ""
    settings: JSONObject = Field(default_factory=dict)
    verdict: Verdict
    reason: str
    detail: str = ""
    prior: tuple[str, ...] = ()
    score: Bounds | None = None
    lower_bound: float | None = None
    upper_bound: float | None = None
    test: PairedTest | None = None
    cost: CostFacts | None = None
    fit: FitFacts | None = None
    answered: int = 0
    unanswered: int = 0
    failed: int = 0
    prompts: tuple[PromptSample, ...] = ()
    results: tuple[ItemResult, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether it answered any item."""
        return self.score is not None


class TestRead(Facts):
    """One read of the test split.

    Attributes:
        purpose: Why it was read.
        items: Number of items read.
        scored: Whether answers were scored against its labels.
    """

    __test__ = False  # not a test, whatever pytest thinks of the name

    purpose: str
    items: int
    scored: bool


class TestFacts(Facts):
    """The winner on the test split, scored once.

    Attributes:
        reads: Every read of the test split.
        cut_off: Number of earlier test reads that were interrupted before the score was saved.
        error: Why the test split could not be scored, or "".
        score: Mean on the test split with its interval; ``None`` if there is no test split.
        metrics: The same by metric, for every metric of the task.
        dev_mean: Mean of the winner on the judged items.
        optimism: ``dev_mean`` minus the mean on test.
        optimism_low: Lower end of the interval of the optimism (two independent samples).
        optimism_high: Upper end.
        cost: What answering the test items cost.
        answered: Items for which an answer could be read.
        unanswered: Items whose text held no readable answer.
        failed: Items for which the model failed or the prompt did not fit.
        items: The test items by key.
        results: The winner's answers.
    """

    __test__ = False

    reads: tuple[TestRead, ...]
    cut_off: int = 0
    error: str = ""
    score: Bounds | None = None
    metrics: dict[str, Bounds] = Field(default_factory=dict)
    dev_mean: float | None = None
    optimism: float | None = None
    optimism_low: float | None = None
    optimism_high: float | None = None
    cost: CostFacts | None = None
    answered: int = 0
    unanswered: int = 0
    failed: int = 0
    items: dict[str, Item] = Field(default_factory=dict)
    results: tuple[ItemResult, ...] = ()


class Decision(Facts):
    """The decision of a climb.

    Attributes:
        winner: Name of the rung that was kept last; ``None`` if none could be judged.
        stopped: Why the climb ended.
        reason: The same in a sentence.
        reached: Whether the target was reached, by the lower bound; ``None`` without a target.
    """

    winner: str | None
    stopped: Stopped
    reason: str
    reached: bool | None = None


class Record(Facts):
    """The decision record of a climb.

    Attributes:
        format: Version of this schema.
        needs: First version of promptkit that reads it.
        promptkit: Version of promptkit that wrote it.
        status: ``running`` until the climb is over.
        answer: The decision in one sentence.
        trouble: Why nothing works yet, though a rung won: most items are unanswered, or one constant answer would score
            as well (see ``promptkit.ladder.working``); "" where the winner works.
        task: The task.
        model: The model.
        data: The data.
        settings: The settings of the climb.
        trials: Every trial of every rung, in order, including failed and untried ones.
        decision: The decision; ``None`` while the climb is running.
        test: The winner on the test split; ``None`` while the climb is running.
        items: The judged items by key ("dev/3").
        seconds: Wall-clock seconds of all sessions together.
        calls: Requests to the model in all sessions together.
        prompt_tokens: Prompt tokens of these requests.
        generated_tokens: Tokens generated for them.
        started: When it was started, UTC, ISO 8601.
        finished: When it was finished, or "".
        resumed: How often it was resumed after an interruption.
        extended: Changes of the budget, and rungs appended, when it was continued.
        notes: Notes on data and budget, for people.
        versions: Versions of Python and libraries.
        machine: Processor and system, without names of hosts.
    """

    format: Literal[1] = FORMAT  # type: ignore[assignment]
    needs: str = NEEDS
    promptkit: str
    status: Literal["running", "finished"]
    answer: str
    trouble: str = ""
    task: TaskFacts
    model: ModelFacts
    data: DataFacts
    settings: Settings
    trials: tuple[Trial, ...] = ()
    decision: Decision | None = None
    test: TestFacts | None = None
    items: dict[str, Item] = Field(default_factory=dict)
    seconds: float = 0.0
    calls: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    started: str = ""
    finished: str = ""
    resumed: int = Field(default=0, ge=0)
    extended: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    machine: str = ""

    def __getitem__(self, rung: str) -> Trial:
        """Returns the last trial of a rung.

        Raises:
            KeyError: No rung of this name was planned.
        """
        for trial in reversed(self.trials):
            if trial.rung == rung:
                return trial
        raise KeyError(rung)

    @property
    def winner(self) -> Trial | None:
        """The trial that won, or ``None``."""
        return self[self.decision.winner] if self.decision is not None and self.decision.winner is not None else None

    def differences(self, other: Record) -> list[str]:
        """Lists where another record decided, scored or tested otherwise; times, memory and machine do not count.

        Args:
            other: A record, for example of the same climb done again.

        Returns:
            Paths of the values that differ, for example ``"trials.1.test.p_value: 0.01, 0.02"``; empty if none do.
        """
        return list(_differences(_steady(self.model_dump(mode="json")), _steady(other.model_dump(mode="json")), ""))

    def same_decisions(self, other: Record) -> bool:
        """Tells whether another record says the same in everything but times, memory and machine."""
        return not self.differences(other)

    @model_validator(mode="wrap")
    @classmethod
    def _check_hash(cls, data: Any, handler: ModelWrapValidatorHandler[Record]) -> Record:
        """Compares what was read with its hash, where it has one; that is no field, as it follows from the rest."""
        if not isinstance(data, dict) or "sha256" not in data:
            return handler(data)
        rest = {key: value for key, value in data.items() if key != "sha256"}
        record = handler(rest)
        try:
            known = _content_hash(rest)
        except ArtifactError:
            raise ValueError("of finite numbers only") from None
        if data["sha256"] != known:
            raise ValueError("as it was written: its sha256 is that of something else, so it was changed since")
        return record

    @model_validator(mode="after")
    def _check_links(self) -> Record:
        """Refuses results of items, and a winner, that the record does not hold."""
        for trial in self.trials:
            named = [*(one.item for one in trial.results), *(one.item for one in trial.prompts)]
            if foreign := [item for item in named if item not in self.items]:
                raise ValueError(f"of items that the record holds; {trial.rung!r:.40} names {foreign[0]!r:.40}")
        test = self.test
        foreign = [one.item for one in test.results if one.item not in test.items] if test is not None else []
        if foreign:
            raise ValueError(f"of test items that the record holds; a result names {foreign[0]!r:.40}")
        winner = self.decision.winner if self.decision is not None else None
        if winner is not None and not any(one.rung == winner and one.judged for one in self.trials):
            raise ValueError(f"of a winner that was judged; the decision names {winner!r:.40}")
        return self

    def to_json(self) -> str:
        """Returns the record as JSON text, with a hash of what it says.

        Raises:
            ArtifactError: A number in it is not finite.
        """
        values = self.model_dump(mode="json")
        return json.dumps(values | {"sha256": _content_hash(values)}, ensure_ascii=False, indent=1) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the record to a file, atomically: other processes see the old file or the new one.

        Args:
            path: The file, for example ``"record.json"``.

        Raises:
            ArtifactError: The file cannot be written.
        """
        target = Path(path)
        stage = target.with_name(f".{target.name}.{os.getpid()}")
        data = self.to_json().encode("utf-8", "backslashreplace")
        try:
            stage.unlink(missing_ok=True)  # never written through: it may be a link that somebody left there
            with stage.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(stage, target)
        except OSError as error:
            with contextlib.suppress(OSError):
                stage.unlink(missing_ok=True)
            raise ArtifactError(f"{target.name} could not be written: {error.strerror or error}") from error


def _content_hash(values: JSONObject) -> str:
    """Hashes plain JSON data: keys in order, ASCII, no spaces."""
    try:
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the record must hold finite numbers only: {error}") from None
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _steady(item) for key, item in value.items() if key not in UNSTEADY}
    return [_steady(item) for item in value] if isinstance(value, list) else value


def _differences(one: Any, other: Any, where: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            yield from _differences(one.get(key), other.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from _differences(*pair, f"{where}.{place}")
    elif one != other:
        yield f"{where}: {one!r:.60}, {other!r:.60}"
