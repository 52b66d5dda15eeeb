"""The search loop of a climb: rung by rung, until the target, the ceiling, the last rung or the end of the budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from functools import partial
from typing import Any

from promptkit.adapters import PlanPredictor
from promptkit.ladder.bounds import ConfidenceSequence, can_win
from promptkit.ladder.budget import BudgetTracker
from promptkit.ladder.candidate import Candidate
from promptkit.ladder.fitting import RunContext, RungError
from promptkit.ladder.record import Decision, Stopped, Verdict
from promptkit.ladder.rungs import Prior, Ready, Rung, settings_of
from promptkit.ladder.sequential_test import Outcome, SequentialTest, SharedLevel
from promptkit.types import JSONObject, Queries

__all__ = ["Rules", "RunningTrial", "SearchLoop"]

TEST_SHARE = 0.25
"""Largest share of the time that is reserved for the test; if that is too little, fewer items are tested."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings that decide a climb.

    Attributes:
        target: Wanted mean of the metric, or ``None``.
        margin: Gain that a rung must exceed to be kept.
        confidence: Confidence of all decisions together.
        block: Items judged between two interim analyses.
        retries: Further trials of a rung whose model failed.
        test_items: Number of test items, for which time is reserved.
        unlabelled: Queries without answers, for rungs that can learn from them.
    """

    target: float | None
    margin: float
    confidence: float
    block: int
    retries: int
    test_items: int
    unlabelled: Queries | None = None


@dataclass
class RunningTrial:
    """One trial of one rung while it runs; its prior comes from the rungs kept at that time."""

    rung: Rung
    place: int
    number: int = 1
    verdict: Verdict = "not_tried"
    reason: str = ""
    candidate: Candidate | None = None
    settings: JSONObject = field(default_factory=dict)
    prior: tuple[str, ...] = ()
    test: SequentialTest | None = None
    against: str = ""
    bounds: ConfidenceSequence | None = None
    kept: RunningTrial | None = None
    prompt: RunningTrial | None = None

    @property
    def name(self) -> str:
        """Name of the rung."""
        return self.rung.name


class SearchLoop:
    """Tries the rungs in order and decides when to stop.

    Args:
        work: What rungs work with.
        rungs: The rungs, from cheap to expensive.
        tracker: Tells when the budget is spent.
        rules: The settings that decide.
        after: Called after every trial, for example to save the record.
    """

    def __init__(
        self,
        work: RunContext,
        rungs: Sequence[Rung],
        tracker: BudgetTracker,
        rules: Rules,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self.trials: list[RunningTrial] = []
        self.kept: RunningTrial | None = None
        self._work, self._rungs, self._tracker, self._rules, self._after = work, rungs, tracker, rules, after
        self._prompt: RunningTrial | None = None
        self._groups = work.pool.groups
        self._error_rate = 1 - rules.confidence
        self._level = SharedLevel(self._error_rate, sum(not rung.left_out for rung in rungs) - 1)

    def run(self) -> Decision:
        """Climbs until something stops it.

        Returns:
            What was decided.
        """
        for place, rung in enumerate(self._rungs):
            stop = self._step(place, rung)
            self._after()
            if stop is not None:
                self._leave_rest(place, stop)
                return stop
        if self.kept is None:
            stuck = ("failed", "not_tried")
            first = next((trial.reason for trial in self.trials if trial.verdict in stuck), "no rung applies")
            return Decision(winner=None, stopped="nothing", reason=f"no rung could be judged: {first}")
        return self._stop("top", "the last rung was tried")

    def _step(self, place: int, rung: Rung) -> Decision | None:
        """Tries one rung; returns the decision if the climb ends here."""
        kept = self.kept
        if kept is not None and (over := self._tracker.spent_out(f"before:{place}", reserve=self._reserve())):
            self.trials.append(RunningTrial(rung, place, reason=f"the budget ended before: {over}"))
            return self._stop("budget", f"the budget ended before {rung.name}: {over}")
        alpha = self._level.next
        trial = self._try(place, rung, alpha)
        if not rung.left_out and trial.verdict != "first":
            if trial.test is not None and trial.test.analyses:
                self._level.settle(won=trial.verdict == "kept")
            else:
                self._level.skip()  # nothing was tested
        judged = trial.candidate is not None and trial.candidate.results and trial.verdict not in ("failed", "left_out")
        if judged and _few_shot(trial.candidate):
            self._prompt = trial
        if trial.verdict not in ("first", "kept"):
            return None
        self.kept = trial
        return self._settle(trial, self._level.next, last=place + 1 == len(self._rungs))

    def _try(self, place: int, rung: Rung, alpha: float) -> RunningTrial:
        if rung.left_out:
            self.trials.append(RunningTrial(rung, place, verdict="left_out", reason=rung.left_out))
            return self.trials[-1]
        for number in range(1, self._rules.retries + 2):
            trial = RunningTrial(rung, place, number, kept=self.kept, prompt=self._prompt)
            self.trials.append(trial)
            trial.candidate = Candidate(self._work, rung, place, number, partial(self._ready, trial))
            try:
                self._judge(trial, alpha)
                return trial
            except RungError as error:
                trial.verdict = "left_out" if error.unsupported else "not_tried" if error.no_time else "failed"
                trial.reason = str(error)
                if not error.transient:
                    break
        return self.trials[-1]

    def _ready(self, trial: RunningTrial, fold: int | None) -> Ready:
        """Makes a rung ready with the prior of a fold."""
        prior = self._prior(trial, fold)
        ready = _timed(trial.rung.ready(prior), prior.minutes)
        ready = replace(ready, seconds=self._fit_seconds(trial, learns=hasattr(ready.adapter, "max_minutes")))
        if fold is None:
            trial.settings, trial.prior = settings_of(ready.adapter), ready.prior
        return ready

    def _prior(self, trial: RunningTrial, fold: int | None) -> Prior:
        kept, prompt = trial.kept, trial.prompt
        found = prompt.candidate.predictor_of(fold) if prompt is not None and prompt.candidate is not None else None
        return Prior(
            kept=kept.name if kept is not None else "",
            predictor=kept.candidate.predictor_of(fold) if kept is not None and kept.candidate is not None else None,
            prompt=found if isinstance(found, PlanPredictor) else None,
            unlabelled=self._rules.unlabelled,
            minutes=self._minutes(trial.place),
        )

    def _minutes(self, place: int) -> float | None:
        """The minutes that a training may take; the same after a resumed run."""
        seconds = self._for_fits(place)
        if seconds is None:
            return None
        key = f"minutes:{place}"
        kept = self._work.journal.get(key)
        if kept is None or kept["budget"] != self._tracker.mark:
            kept = {"minutes": max(0.1, round(seconds / 60, 2)), "budget": self._tracker.mark}
            self._work.journal.put(key, kept)
        return float(kept["minutes"])

    def _fit_seconds(self, trial: RunningTrial, *, learns: bool) -> float | None:
        """The seconds that one fit may take: the fits of a cross-fitted rung share them."""
        seconds = self._for_fits(trial.place)
        fits = 1 + len(self._work.pool.fold_splits)
        if seconds is None or learns:
            return seconds
        candidate = trial.candidate
        done = candidate.fits if candidate is not None else 0
        return seconds / max(1, fits - done)

    def _for_fits(self, place: int) -> float | None:
        """Seconds for the fits of a rung: its share of what is left, less what judging takes at the kept pace."""
        left = self._time_left()
        if left is None:
            return None
        share = left / max(1, sum(not rung.left_out for rung in self._rungs[place:]))
        pace = self.kept.candidate.pace if self.kept is not None and self.kept.candidate is not None else None
        judging = share / 2 if pace is None else pace * len(self._work.pool)
        return share - min(judging, share / 2)

    def _time_left(self) -> float | None:
        """Seconds that are left for rungs."""
        left = self._tracker.seconds_left()
        return None if left is None else max(0.0, left - self._reserve())

    def _judge(self, trial: RunningTrial, alpha: float) -> None:
        """Fits a rung and compares it with the kept one."""
        candidate, kept = trial.candidate, self.kept
        assert candidate is not None
        candidate.predictor  # noqa: B018 - fits
        # Settings are known even if the fit was loaded from the run folder.
        if not trial.settings:
            self._ready(trial, None)
        if kept is None or kept.candidate is None:
            candidate.judge(min(self._rules.block, candidate.limit), self._time_left)
            if not candidate.results:
                raise RungError("the budget ended before an item was answered", no_time=True)
            trial.verdict, trial.reason = "first", "the cheapest rung that can be judged"
            return
        planned = min(kept.candidate.limit, candidate.limit)
        trial.against = kept.name
        trial.test = SequentialTest(self._rules.margin, alpha, self._rules.confidence, planned, self._work.seed)
        outcome = self._compare(trial.test, kept.candidate, candidate, trial)
        if not trial.test.items:
            raise RungError(f"the budget ended before an item was answered: {outcome}", no_time=True)
        trial.verdict, trial.reason = _verdict(trial.test, outcome, kept.name)

    def _compare(
        self, test: SequentialTest, kept: Candidate, candidate: Candidate, trial: RunningTrial
    ) -> Outcome | str:
        while True:
            start = test.items
            moment = f"judging:{trial.place}:{trial.number}:{start}"
            if start and (over := self._tracker.spent_out(moment, reserve=self._reserve())):
                return over
            stop = min(start + self._rules.block, test.planned)
            whole = kept.judge(stop, self._time_left) and candidate.judge(stop, self._time_left)
            stop = min(stop, len(kept.results), len(candidate.results))
            part = slice(start, stop)
            found = test.add(kept.scores[part], candidate.scores[part], self._groups[part]) if stop > start else None
            if found is not None:
                return found
            if not whole:
                return self._tracker.time_is_up(moment, reserve=self._reserve())

    def _settle(self, trial: RunningTrial, alpha: float, *, last: bool) -> Decision | None:
        """Judges a kept rung further until it is clear whether the climb may stop here."""
        candidate, target = trial.candidate, self._rules.target
        assert candidate is not None
        planned = candidate.limit
        bounds = trial.bounds = ConfidenceSequence(self._error_rate / len(self._rungs), planned)
        seen = 0
        while True:
            bounds.add(candidate.scores[seen:], self._groups[seen : len(candidate.results)])
            seen = len(candidate.results)
            if target is not None and bounds.low >= target:
                text = f"the lower bound of {trial.name}, {bounds.low:.3f}, reaches the target of {target:g}"
                return self._stop("target", text)
            gain_possible = can_win(candidate.scores, self._rules.margin, alpha, planned, self._groups[:seen])
            settled = target is None or bounds.high < target
            if seen >= planned or (settled and (gain_possible or last)):
                break
            moment = f"settling:{trial.place}:{trial.number}:{seen}"
            if over := self._tracker.spent_out(moment, reserve=self._reserve()):
                return self._stop("budget", f"the budget ended while {trial.name} was judged: {over}")
            if not candidate.judge(min(seen + self._rules.block, planned), self._time_left):
                over = self._tracker.time_is_up(moment, reserve=self._reserve())
                return self._stop("budget", f"the budget ended while {trial.name} was judged: {over}")
        if gain_possible or last:
            return None
        text = f"even a perfect rung could not be shown to gain more than {self._rules.margin:g} over {trial.name}"
        return self._stop("ceiling", f"{text} on {planned} items")

    def _stop(self, why: Stopped, reason: str) -> Decision:
        assert self.kept is not None
        reached = None if self._rules.target is None else why == "target"
        return Decision(winner=self.kept.name, stopped=why, reason=reason, reached=reached)

    def _leave_rest(self, place: int, stop: Decision) -> None:
        for number, rung in enumerate(self._rungs[place + 1 :], place + 1):
            self.trials.append(RunningTrial(rung, number, reason=f"stopped before: {stop.reason}"))

    def _reserve(self) -> float:
        """Seconds that are reserved for the test, by the pace of the kept rung."""
        if self.kept is None or self.kept.candidate is None:
            return 0.0
        needed = self._rules.test_items * (self.kept.candidate.pace or 0.0)
        minutes = self._tracker.budget.minutes
        return needed if minutes is None else min(needed, TEST_SHARE * 60 * minutes)


def _timed(ready: Ready, minutes: float | None) -> Ready:
    """Limits the training of a caller's adapter to the budget, unless it has its own limit."""
    adapter: Any = ready.adapter
    if minutes is None or not is_dataclass(adapter) or getattr(adapter, "max_minutes", minutes) is not None:
        return ready
    limited: Any = replace(adapter, max_minutes=minutes)  # type: ignore[type-var]
    return replace(ready, adapter=limited)


def _few_shot(candidate: Candidate | None) -> bool:
    """Whether a rung yields a few-shot prompt: demonstrations, one direct answer, no weights."""
    found = candidate.predictor if candidate is not None else None
    if not isinstance(found, PlanPredictor) or found.soft_prompt is not None or found.lora is not None:
        return False
    return bool(found.plan.demos) and found.plan.ask == "direct"


def _verdict(test: SequentialTest, outcome: Outcome | str, kept: str) -> tuple[Verdict, str]:
    low, high = test.interval
    seen = f"{test.difference:+.3f} [{low:+.3f}, {high:+.3f}] against {kept} on {test.items} of {test.planned} items"
    if outcome == "won":
        return "kept", f"gains more than {test.margin:g}: {seen}"
    if outcome == "lost":
        return "lost", f"gains at most {test.margin:g}: {seen}"
    if outcome == "open":
        return "undecided", f"no gain above {test.margin:g} could be shown: {seen}"
    if outcome == "futile":
        return "undecided", f"stopped for futility: a gain above {test.margin:g} is unlikely: {seen}"
    return "undecided", f"the budget ended ({outcome}): {seen}"
