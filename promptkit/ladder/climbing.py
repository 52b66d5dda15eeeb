"""``pk.climb``: finds the cheapest adaptation of a model that is good enough, and records why."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from promptkit.adapters import PlanPredictor, Predictor
from promptkit.adapters.base import parse_queries
from promptkit.backends import Backend
from promptkit.backends.base import check_backend
from promptkit.data import Data, Split
from promptkit.data.groups import Group
from promptkit.errors import LeakageError, PromptkitError, check_path, error_message
from promptkit.evaluation.scoring import Report, evaluate
from promptkit.ladder.budget import Budget, BudgetTracker
from promptkit.ladder.candidate import Candidate
from promptkit.ladder.cross_fitting import Pool, make_pool
from promptkit.ladder.fitting import ClimbProgress, RunContext
from promptkit.ladder.held_out import HeldOutTest
from promptkit.ladder.journal import JournalError
from promptkit.ladder.journaled_backend import JournaledBackend
from promptkit.ladder.loop import Rules, SearchLoop
from promptkit.ladder.record import Record
from promptkit.ladder.recorder import Recorder, report_from
from promptkit.ladder.rungs import RungsLike, make_rungs
from promptkit.ladder.setup import (
    RunFolder,
    check_kinds,
    check_leakage,
    check_numbers,
    digest,
    read_target,
    same_climb,
    with_groups,
)
from promptkit.ladder.table import table
from promptkit.metrics import get_metric
from promptkit.tasks.task import Task
from promptkit.types import JSONObject, Queries, Query

__all__ = ["ClimbResult", "climb"]


@dataclass(frozen=True)
class ClimbResult:
    """The outcome of a climb. ``print`` shows the answer in one sentence and the rungs as a table.

    Attributes:
        winner: The predictor of the cheapest rung that is good enough; ``None`` if no rung could be judged.
        record: The decision record.
        test: The winner on the test split, scored once; ``None`` without a winner or a test split.
        folder: The run folder, or ``None``.
    """

    winner: Predictor | None
    record: Record
    test: Report | None
    folder: Path | None = None

    def report(self, path: str | os.PathLike[str]) -> None:
        """Writes the record as one HTML file that needs nothing else.

        Args:
            path: The file.
        """
        # promptkit.html is a layer above and imported only for a report.
        importlib.import_module("promptkit.html").write_report(self.record, path)

    def __str__(self) -> str:
        """The answer and the table."""
        return table(self.record)


def climb(
    task: Task,
    data: Data,
    backend: Backend,
    *,
    target: Mapping[str, float] | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    rungs: RungsLike = "default",
    margin: float = 0.02,
    confidence: float = 0.95,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = True,
    unlabelled: Queries | None = None,
    group: Group | None = None,
    on_leakage: Literal["fail", "force"] = "fail",
    folds: int | Literal["auto"] = "auto",
    block: int = 20,
    retries: int = 1,
    progress: ClimbProgress | None = None,
) -> ClimbResult:
    """Finds the cheapest adaptation that is good enough, with confidence intervals and the cost of each step.

    Rungs are tried from cheap to expensive. Each is fitted on train, with the results of the rungs below it, and judged
    on dev item by item against the kept one. It is kept only if a paired test shows a gain, at an error rate that all
    rungs share, and the gain exceeds ``margin``; judging ends as soon as that is decided (see
    ``promptkit.ladder.sequential_test``). The climb stops when the lower bound of the kept rung reaches the target,
    when even a perfect rung could not be shown to gain the margin, at the end of the budget, or after the last rung.
    Then the winner is scored on test, once.

    Args:
        task: The task.
        data: Train, dev and test. A fit that has to choose something (demonstrations, the best step of a training)
            gets a part of train for it; dev is for judging alone.
        backend: The model.
        target: The metric that decides, with the score that is good enough, such as ``{"exact_match": 0.9}``. ``None``
            for the task's metric, and to climb while rungs gain.
        budget: What may be spent; by default without limit. A climb that is continued may be given more.
        seed: Seed of everything: two climbs of one seed decide the same, unless time runs out.
        rungs: ``"default"``: zero-shot, few-shot with searched demonstrations, chain of thought with voting where
            the task has a template for it, soft prompt, LoRA. Or adapters or ``(name, adapter)`` pairs, from cheap to
            expensive.
        margin: Gain that a more expensive rung must exceed, in [0, 1): by a test at level .2, where the gain itself
            is shown at the level that ``confidence`` gives.
        confidence: Confidence of all decisions together, in [0.5, 1): 1 minus the chance that any rung without a gain
            is kept.
        folder: Where the run is kept: journal, fits and ``record.json``. An interrupted climb, even after ``kill -9``,
            continues from there and repeats no finished call or fit. Its budget may be changed, and rungs
            appended: then it is decided anew.
        resume: Whether to go on with what the folder holds; if not, it must be new.
        unlabelled: Queries without answers; rungs that learn weights learn from the kept rung's answers to them.
        group: What items belong to that depend on each other, such as several questions on one document: a field, a
            mapping from id, or "id"; by default ``Example.group``, and repeated ids. A group is one observation in
            every test and interval, and folds keep it together.
        on_leakage: ``fail`` refuses data with an item in two splits; ``force`` climbs anyway, and the record says so.
        folds: Cross-fitting for small dev sets: number of folds, 0 for none, ``auto`` for 5 where
            dev has fewer than 100 items (see ``promptkit.ladder.cross_fitting``).
        block: Items judged between two interim analyses.
        retries: Further trials of a rung whose model failed; the record lists every trial.
        progress: Called as ``progress(what, done, total, seconds_left)``.

    Returns:
        Winner, record and test score.

    Raises:
        SettingError: A setting is out of range, or the folder belongs to another climb or is in use.
        LeakageError: Items are in two splits, or also among the unlabelled queries.
        DataError: Dev is empty.
        MetricError: The metric is unknown or sees nothing in a target.
        ArtifactError: The folder cannot be written.

    Example:
        >>> import promptkit as pk
        >>> task, data = pk.load_task("apples"), pk.load_examples("apples")
        >>> targets = {one.query.fields["question"]: one.target for split in data for one in split}
        >>> def answers(request, index):  # a model that needs to be shown how
        ...     shown, _, asked = request.prompt.text.rpartition("Question: ")
        ...     return f" The answer is {targets[asked.removesuffix(chr(10) + 'Answer:')] if 'is ' in shown else 0}."
        >>> rungs = [pk.FewShot(task, shots=0), pk.FewShot(task, shots=2), pk.FewShot(task, shots=8)]
        >>> result = pk.climb(task, data, pk.ScriptedBackend(answers), target={"numeric_match": 0.9}, rungs=rungs)
        >>> result.record.decision.winner, result.record.decision.stopped, result.test["numeric_match"].mean
        ('2 shots', 'target', 1.0)
    """
    check_backend(backend, of="climb")
    check_kinds(task=task, data=data, budget=budget, folder=folder)
    check_numbers(margin=margin, confidence=confidence, seed=seed, block=block, retries=retries)
    metric, wanted = read_target(target, task)
    forced = check_leakage(data, on_leakage)
    data = with_groups(data, group)
    ladder = make_rungs(rungs, task, data.train)
    budget = budget or Budget()
    pool = make_pool(data.train, data.dev, folds=folds, seed=seed)
    for example in pool.examples:
        get_metric(metric).score(example.target, example.targets)  # a target without anything to see ends it here
    run = RunFolder(check_path(folder, "folder", of="climb") if folder is not None else None, resume=resume)
    try:
        held_out = HeldOutTest(data.test, run.journal)
        queries = _unlabelled(task, unlabelled, pool, held_out, on_leakage)
        model = JournaledBackend(backend, run.journal)
        tracker = BudgetTracker(budget, run.journal, model)
        work = RunContext(
            model, run.journal, pool, metric, seed, run.path, progress, tracker.seconds_left, tracker.mark
        )
        rules = Rules(wanted, margin, confidence, block, retries, len(held_out), queries)
        recorder = Recorder(
            task, data.name, (data.train, data.dev), data.leakage, forced, work, rules, budget, ladder, held_out
        )
        _extend(run, recorder.identity(_digest(queries)), tracker)
        recorder.begin()
        search = SearchLoop(work, ladder, tracker, rules, after=lambda: recorder.save(search))
        decision = search.run()
        kept = search.kept.candidate if search.kept is not None else None
        test, split, error = _score_once(kept, held_out, work, confidence)
        record = recorder.finish(search, decision, test, split, error)
        winner = kept.predictor if kept is not None else None
    finally:
        run.close()
    if isinstance(winner, PlanPredictor):
        winner = replace(winner, backend=backend)
    return ClimbResult(winner, record, test, run.path)


def _unlabelled(
    task: Task, queries: Queries | None, pool: Pool, held_out: HeldOutTest, on_leakage: str
) -> list[Query] | None:
    """Checks that no question on which rungs are judged or tested is among those to learn from."""
    if queries is None:
        return None
    known = parse_queries(task, queries)
    judged = {one.query.key for one in (*pool.examples, *pool.fit_split.tuning)}
    judged |= held_out.queries("comparison of unlabelled queries with its questions")
    shared = [query.id for query in known if query.key in judged]
    if shared and on_leakage != "force":
        expected = "questions on which nothing is judged or chosen"
        hint = f"remove these {len(shared)}, or pass on_leakage='force'"
        raise LeakageError(error_message("unlabelled", of="climb", expected=expected, got=shared, hint=hint))
    return [query for query in known if query.key not in judged]


def _digest(queries: list[Query] | None) -> str:
    return "" if queries is None else digest(" ".join(query.key for query in queries))


def _extend(run: RunFolder, facts: JSONObject, tracker: BudgetTracker) -> None:
    """Lets a climb continue with another budget or further rungs; any other difference is refused."""
    journal = run.journal
    changes = same_climb(journal, facts, run.path.name if run.path else "climb")
    if changes:
        tracker.check_covers(journal.elapsed_before)
        journal.put_all({"climb": facts, f"extended:{journal.count('extended:')}": changes})


def _score_once(
    kept: Candidate | None, held_out: HeldOutTest, work: RunContext, confidence: float
) -> tuple[Report | None, Split | None, str]:
    """Scores the winner on test, or takes the score from the journal if that was done."""
    if kept is None or not len(held_out):
        return None, None, "" if kept is None else "there is no test split"
    winner, key = kept.predictor, f"test:score:{kept.place}:{kept.number}"
    done = work.journal.get(key)
    if done is not None and done["items"] < len(held_out) and done["budget"] != work.budget:
        done = None  # with another budget there may be time for more of it
    items = _test_items(kept, len(held_out), work) if done is None else done["items"]
    for number in range(work.journal.count("test:score:") - (done is not None)):
        held_out.scored_before(f"score number {number + 1}, before the climb was extended")
    if not items:
        return None, None, "the budget left no time for it; continue with more minutes"
    split = held_out.open("score of the winner", again=done is not None, items=items, seed=work.seed)
    if done is not None:
        return (report_from(done["report"]) if done["report"] else None), split, str(done["error"])
    report, error = None, ""
    try:
        metrics = list(dict.fromkeys((work.metric, *winner.task.metrics)))
        show = work.show("scoring the winner on test")
        report = evaluate(winner, split, metrics, seed=work.seed, confidence=confidence, progress=show)
    except JournalError:
        raise
    except PromptkitError as fault:  # the climb is over and its record must not be lost
        error = f"{type(fault).__name__}: {fault}"
    facts = {"report": report.to_dict() if report else None, "error": error, "items": items, "budget": work.budget}
    work.journal.put(key, facts)
    held_out.scored()
    return report, split, error


def _test_items(kept: Candidate, items: int, work: RunContext) -> int:
    """Returns on how many test items there is time to score the winner, by its pace on dev."""
    left = work.seconds_left()
    if left is None or kept.pace is None or kept.pace * items <= left:
        return items
    return int(left / kept.pace)
