"""Keeps the record while the climb goes on, and closes it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import PurePath

import promptkit
from promptkit.data import Leakage, Split
from promptkit.evaluation.scoring import Report
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
from promptkit.statistics import minimum_detectable
from promptkit.tasks.task import Task
from promptkit.types import JSONObject

__all__ = ["RECORD", "Recorder"]

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
        forced: Whether the climb goes on in spite of leakage.
        work: What rungs work with.
        rules: By what the climb decides.
        budget: What it may spend.
        rungs: The planned rungs.
        sealed: The test split.
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
        sealed: HeldOutTest,
    ) -> None:
        self._work, self._rules, self._sealed = work, rules, sealed
        pool, test = work.pool, SplitFacts(items=len(sealed), fingerprint=sealed.fingerprint())
        train, dev = (SplitFacts(items=len(split), fingerprint=split.fingerprint) for split in splits)
        found = minimum_detectable(
            len(pool),
            discordance=DISCORDANCE,
            # Tests of the ladder are one-sided; the function is asked for two sides.
            confidence=max(0.01, 2 * rules.rule.confidence - 1),
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
                **rules.rule.model_dump(),
                seed=work.seed,
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

    def save(self, ascent: SearchLoop) -> None:
        """Writes the record as far as it is known into the run folder."""
        if self._work.folder is not None and self._work.journal.get(self._end) is None:
            self._record(ascent).save(self._work.folder / RECORD)

    def finish(
        self, ascent: SearchLoop, decision: Decision, test: Report | None, split: Split | None, error: str
    ) -> Record:
        """Closes the record.

        Args:
            ascent: What happened.
            decision: What was decided.
            test: The winner on test, or ``None``.
            split: The test split, if it was scored.
            error: Why it was not scored, or "".

        Returns:
            The record, which also stands in the run folder.
        """
        work, sealed = self._work, self._sealed
        kept = ascent.kept.candidate if ascent.kept is not None else None
        facts = TestFacts(reads=sealed.reads, cut_off=sealed.cut_off, error=error)
        if test is not None and split is not None and kept is not None:
            groups = work.pool.groups[: len(kept.scores)]
            facts = score_test(test, split, work.metric, kept.scores, groups, sealed.reads, sealed.cut_off)
        record = self._record(ascent)
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
            margin=self._rules.rule.margin,
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
        outcomes, items = record[decision.winner].outcomes, record.items
        if test.outcomes:
            outcomes, items = test.outcomes, test.items
        why = why_nothing_works(outcomes, items, self._work.metric)
        return f"{why}; {decision.reason}" if why and decision.stopped == "budget" else why

    def _notes(self, ascent: SearchLoop) -> tuple[str, ...]:
        """What a reader should know about data and budget."""
        notes = [*self._work.pool.notes, *_notes_of_fits(ascent)]
        if grouped := len({group for group in self._work.pool.groups if group}):
            notes.append(
                f"items of {grouped} groups belong together: a group is one observation in tests and intervals"
            )
        tested = self._sealed.reads[-1] if self._sealed.reads else None
        if tested is not None and tested.scored and tested.items < len(self._sealed):
            notes.append(
                f"{tested.items} of {len(self._sealed)} test items were scored: the budget left no time for more"
            )
        if any("rungs appended" in change for one in self._work.journal.values("extended:") for change in one):
            notes.append("rungs were appended when results were known: error rates hold for each form of the ladder")
        return tuple(notes)

    def _record(self, ascent: SearchLoop) -> Record:
        work, pool = self._work, self._work.pool
        sessions = work.journal.values("session:")
        trials = tuple(as_trial(entry, self._rules.rule.confidence, pool) for entry in ascent.entries)
        judged = {one.item for trial in trials for one in trial.outcomes}
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
                "notes": self._notes(ascent),
                **asdict(work.backend.spent),
                "started": sessions[0]["started"] if sessions else "",
                "resumed": max(0, len(sessions) - 1),
            }
        )


def _notes_of_fits(ascent: SearchLoop) -> list[str]:
    found = []
    for entry in ascent.entries:
        fit = entry.candidate.fit if entry.candidate is not None else None
        for name, notes in (fit.notes if fit is not None else {}).items():
            if isinstance(notes, dict) and isinstance(notes.get("cut"), str):
                found.append(f"{entry.name}: its {name} was cut down to the time that there was: {notes['cut']}")
    return found


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
