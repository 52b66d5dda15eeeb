"""Saves the record while the climb runs, and completes it at the end."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

import promptkit
from promptkit.data import Leakage, Split
from promptkit.evaluation.scoring import Cost, Report
from promptkit.ladder.budget import Budget
from promptkit.ladder.facts import DataFacts, LeakageFacts, ModelFacts, Settings, SplitFacts, TaskFacts
from promptkit.ladder.fitting import RunContext
from promptkit.ladder.held_out import HeldOutTest
from promptkit.ladder.loop import Rules, SearchLoop
from promptkit.ladder.record import Decision, Record, TestFacts
from promptkit.ladder.rungs import Rung
from promptkit.ladder.setup import digest
from promptkit.ladder.working import why_nothing_works
from promptkit.ladder.writing import answer, as_trial, item, machine, score_test, versions
from promptkit.statistics import Interval, minimum_detectable
from promptkit.tasks.task import Task
from promptkit.types import JSONObject, Usage

__all__ = ["RECORD", "Recorder", "report_from"]

RECORD = "record.json"
"""Name of the record in a run folder."""
DISCORDANCE = 0.2
"""Share of items on which two rungs are taken to differ, for what dev can show before anything is known."""


class Recorder:
    """Writes the record of one climb.

    Args:
        task: The task.
        name: Where the data came from.
        splits: Train and dev.
        leakage: What the splits share.
        forced: Whether the climb runs despite leakage.
        work: What rungs work with.
        rules: The settings that decide.
        budget: What it may spend.
        rungs: The planned rungs.
        held_out: The test split.
    """

    def __init__(
        self,
        task: Task,
        name: str,
        splits: tuple[Split, Split],
        leakage: Leakage,
        forced: bool,
        work: RunContext,
        rules: Rules,
        budget: Budget,
        rungs: Sequence[Rung],
        held_out: HeldOutTest,
    ) -> None:
        self._work, self._rules, self._held_out = work, rules, held_out
        pool, test = work.pool, SplitFacts(items=len(held_out), fingerprint=held_out.fingerprint())
        train, dev = (SplitFacts(items=len(split), fingerprint=split.fingerprint) for split in splits)
        found = minimum_detectable(
            len(pool),
            discordance=DISCORDANCE,
            # Tests of the ladder are one-sided; the function is asked for two sides.
            confidence=max(0.01, 2 * rules.confidence - 1),
            arms=max(1, sum(not rung.left_out for rung in rungs) - 1),
        )
        metrics = tuple(dict.fromkeys((work.metric, *task.metrics)))
        backend = work.backend
        self._base = Record(
            promptkit=promptkit.__version__,
            status="running",
            answer="The climb is still running, or was cut off.",
            task=TaskFacts(
                name=task.name,
                description=task.description,
                fields=task.fields,
                labels=task.labels,
                metric=work.metric,
                metrics=metrics,
            ),
            # Of a model given as a folder only the last name is kept: where it lies is nobody else's business.
            model=ModelFacts(
                name=PurePath(backend.name).name,
                fingerprint=backend.fingerprint(),
                context_window=backend.context_window,
            ),
            data=DataFacts(
                name=PurePath(name).name,
                train=train,
                dev=dev,
                test=test,
                leakage=tuple(
                    LeakageFacts(
                        split=one.split, inside=one.inside, exact=one.exact, normalised=one.normalised, near=one.near
                    )
                    for one in leakage.overlaps
                ),
                forced=forced,
                tuning=len(pool.fit_split.tuning),
                judged=len(pool),
                folds=len(pool.fold_splits),
                detectable=found if found <= 1 else None,
            ),
            settings=Settings(
                target={} if rules.target is None else {work.metric: rules.target},
                **asdict(budget),
                margin=rules.margin,
                confidence=rules.confidence,
                seed=work.seed,
                block=rules.block,
                rungs=tuple(rung.name for rung in rungs),
                plans=tuple(rung.plan for rung in rungs),
            ),
            versions=versions(),
            machine=machine(),
        )
        self._task_hash = digest(task.model_dump_json())

    def identity(self, unlabelled: str) -> JSONObject:
        """Returns all that the climb depends on, by name.

        Args:
            unlabelled: Hash of the unlabelled queries.
        """
        base = self._base
        splits = {"train": base.data.train, "dev": base.data.dev, "test": base.data.test}
        return {
            "task": f"{base.task.name} {self._task_hash}",
            "model": f"{base.model.name} {base.model.fingerprint}",
            **{name: split.fingerprint for name, split in splits.items()},
            "folds": base.data.folds,
            "unlabelled": unlabelled,
            "retries": self._rules.retries,
            **base.settings.model_dump(mode="json"),
        }

    @property
    def _end(self) -> str:
        """The key of the end of the climb, which it can have again after it was extended."""
        return f"finished:{self._work.journal.count('extended:')}"

    def begin(self) -> None:
        """Notes that a session begins, unless the climb is finished already."""
        journal = self._work.journal
        if journal.get(self._end) is None:
            journal.put(f"session:{journal.count('session:')}", {"started": _now()})

    def save(self, search: SearchLoop) -> None:
        """Writes the record as far as it is known into the run folder."""
        if self._work.folder is not None and self._work.journal.get(self._end) is None:
            self._record(search).save(self._work.folder / RECORD)

    def finish(
        self, search: SearchLoop, decision: Decision, test: Report | None, split: Split | None, error: str
    ) -> Record:
        """Completes the record.

        Args:
            search: The finished search.
            decision: What was decided.
            test: The winner on test, or ``None``.
            split: The test split, if it was scored.
            error: Why it was not scored, or "".

        Returns:
            The record, which is also saved in the run folder.
        """
        work, held_out = self._work, self._held_out
        kept = search.kept.candidate if search.kept is not None else None
        facts = TestFacts(reads=held_out.reads, cut_off=held_out.cut_off, error=error)
        if test is not None and split is not None and kept is not None:
            groups = work.pool.groups[: len(kept.scores)]
            facts = score_test(test, split, work.metric, kept.scores, groups, held_out.reads, held_out.cut_off)
        record = self._record(search)
        end = work.journal.get(self._end)
        if end is None:
            end = {"finished": _now(), "seconds": work.journal.elapsed}
            work.journal.put(self._end, end)
        trouble = self._trouble(record, decision, facts)
        text = answer(
            decision,
            record.trials,
            facts,
            target=self._rules.target,
            margin=self._rules.margin,
            metric=work.metric,
            trouble=trouble,
        )
        closed = {"status": "finished", "answer": text, "trouble": trouble, "decision": decision, "test": facts, **end}
        record = record.model_copy(update=closed)
        if work.folder is not None:
            record.save(work.folder / RECORD)
        return record

    def _trouble(self, record: Record, decision: Decision, test: TestFacts) -> str:
        """Says why nothing works yet, if so: by the test items, or where they were not scored by the judged ones."""
        if decision.winner is None or decision.reached:
            return ""
        results, items = record[decision.winner].results, record.items
        if test.results:
            results, items = test.results, test.items
        why = why_nothing_works(results, items, self._work.metric)
        return f"{why}; {decision.reason}" if why and decision.stopped == "budget" else why

    def _notes(self, search: SearchLoop) -> tuple[str, ...]:
        """Notes on data and budget, for people."""
        notes = [*self._work.pool.notes, *_notes_of_fits(search)]
        if grouped := len({group for group in self._work.pool.groups if group}):
            notes.append(
                f"items of {grouped} groups belong together: a group is one observation in tests and intervals"
            )
        tested = self._held_out.reads[-1] if self._held_out.reads else None
        if tested is not None and tested.scored and tested.items < len(self._held_out):
            notes.append(
                f"{tested.items} of {len(self._held_out)} test items were scored: the budget left no time for more"
            )
        if any("rungs appended" in change for one in self._work.journal.values("extended:") for change in one):
            notes.append("rungs were appended when results were known: error rates hold for each form of the ladder")
        return tuple(notes)

    def _record(self, search: SearchLoop) -> Record:
        work, pool = self._work, self._work.pool
        sessions = work.journal.values("session:")
        trials = tuple(as_trial(trial, self._rules.confidence, pool) for trial in search.trials)
        judged = {one.item for trial in trials for one in trial.results}
        return self._base.model_copy(
            update={
                "trials": trials,
                "items": {
                    key: item(example, key.partition("/")[0])
                    for key, example in zip(pool.keys, pool.examples, strict=True)
                    if key in judged
                },
                "seconds": work.journal.elapsed,
                "extended": tuple(change for one in work.journal.values("extended:") for change in one),
                "notes": self._notes(search),
                **asdict(work.backend.spent),
                "started": sessions[0]["started"] if sessions else "",
                "resumed": max(0, len(sessions) - 1),
            }
        )


def _notes_of_fits(search: SearchLoop) -> list[str]:
    found = []
    for trial in search.trials:
        fit = trial.candidate.fit if trial.candidate is not None else None
        for name, notes in (fit.notes if fit is not None else {}).items():
            if isinstance(notes, dict) and isinstance(notes.get("cut"), str):
                found.append(f"{trial.name}: its {name} was cut down to the time that there was: {notes['cut']}")
    return found


def report_from(values: Mapping[str, Any]) -> Report:
    """Builds an evaluation report from the plain data that ``Report.to_dict`` gave.

    Args:
        values: The plain data.

    Returns:
        The report.
    """
    cost = dict(values["cost"])
    return Report(
        **{
            **values,
            "metrics": {name: Interval(**found) for name, found in values["metrics"].items()},
            "scores": {name: tuple(scores) for name, scores in values["scores"].items()},
            "rows": tuple(values["rows"]),
            "notes": tuple(values.get("notes", ())),
            "cost": Cost(**{**cost, "usage": Usage(**cost["usage"])}),
        }
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
