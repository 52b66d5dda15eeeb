"""A climb that is cut off goes on from where it was: the same record, and nothing that was finished is done again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import promptkit as pk
from promptkit.ladder.journal import Journal
from tests.support import ROOT, program
from tests.support.simulation import Cut, answer, climb, cut_after, make_data, model, rung, rungs

LADDER = (0.3, 0.35, 0.9)


def test_cut_off_anywhere_it_ends_in_the_same_record(tmp_path: Path) -> None:
    data = make_data(train=12, dev=60, test=30)
    clean = climb(*LADDER, data=data, folds=0, block=10).record
    folder = tmp_path / "run"
    calls, cuts = 0, 0
    while True:
        backend = cut_after(37)
        try:
            again = climb(*LADDER, data=data, folds=0, block=10, folder=folder, backend=backend).record
        except Cut:
            calls, cuts = calls + len(backend.requests), cuts + 1
            # What is being judged is asked in blocks of 10; the test, as any call, in parts of at most 64.
            assert cuts < 20
            continue
        break
    calls += len(backend.requests)
    assert cuts >= 3 and again.resumed == cuts
    assert again.differences(clean) == []
    assert calls <= clean.calls + 64 * cuts
    assert pk.load_record(folder).same_decisions(clean)


def test_a_finished_climb_is_played_again_without_a_call(tmp_path: Path) -> None:
    first = climb(*LADDER, folder=tmp_path / "run")
    backend = model()
    again = climb(*LADDER, folder=tmp_path / "run", backend=backend)
    assert not backend.requests
    assert again.record == first.record
    assert again.test is not None and first.test is not None
    assert again.test.metrics == first.test.metrics and again.test.rows == first.test.rows
    assert isinstance(again.winner, pk.PlanPredictor) and isinstance(first.winner, pk.PlanPredictor)
    assert again.winner.plan == first.winner.plan


def test_what_the_fits_of_folds_cost_is_kept_when_it_goes_on(tmp_path: Path) -> None:
    searched = pk.FewShot(rung(0.6)[1].task, shots=2, select="searched", instruction="Quality 0.6.", max_new_tokens=8)
    ladder, data = [rung(0.3), ("searched", searched)], make_data(train=40, dev=20, test=20)
    first = climb(rungs=ladder, data=data, folder=tmp_path / "run").record
    again = climb(rungs=ladder, data=data, folder=tmp_path / "run").record
    one, two = first["searched"].fit, again["searched"].fit
    assert one is not None and one.folds > 1 and one.calls > 100
    assert two == one


def test_no_fit_is_done_again(tmp_path: Path) -> None:
    fits: list[str] = []

    class Noted:
        """Counts its fits."""

        def fit(self, examples, backend, *, dev=None, seed=0):  # type: ignore[no-untyped-def]
            fits.append("fit")
            return rung(0.9)[1].fit(examples, backend, dev=dev, seed=seed)

    ladder = [rung(0.3), ("noted", Noted()), rung(0.95)]
    with pytest.raises(Cut):
        climb(rungs=ladder, folder=tmp_path / "run", backend=cut_after(110))
    assert fits == ["fit"]
    record = climb(rungs=ladder, folder=tmp_path / "run").record
    assert fits == ["fit"] and record.resumed == 1


class Corrected:
    """A stranger's strategy: it corrects the answers of a poor plan, which is all that it could save."""

    def fit(self, examples, backend, *, dev=None, seed=0):  # type: ignore[no-untyped-def]
        return CorrectedPredictor(rung(0.3)[1].fit(examples, backend, dev=dev, seed=seed), rung(0.95)[1])


class CorrectedPredictor:
    def __init__(self, poor, good):  # type: ignore[no-untyped-def]
        self.poor, self.task = poor, poor.task
        self.good = good.fit((), poor.backend)

    def predict(self, queries, **rest):  # type: ignore[no-untyped-def]
        return self.good.predict(queries, **rest)

    def save(self, folder):  # type: ignore[no-untyped-def]
        self.poor.save(folder)


def test_a_strangers_fit_is_not_taken_for_the_plan_inside_of_it(tmp_path: Path) -> None:
    ladder = [rung(0.3), ("corrected", Corrected())]
    clean = climb(rungs=ladder).record
    with pytest.raises(Cut):
        climb(rungs=ladder, folder=tmp_path / "run", backend=cut_after(110))
    again = climb(rungs=ladder, folder=tmp_path / "run")
    assert again.record.resumed == 1 and again.record.differences(clean) == []
    assert isinstance(again.winner, CorrectedPredictor)
    assert again.record.trials[1].fit is not None and again.record.trials[1].fit.artifact == ""


def test_a_failure_is_not_tried_again_after_a_crash(tmp_path: Path) -> None:
    tries: list[str] = []

    class Failing:
        """Fails, and counts."""

        def fit(self, examples, backend, *, dev=None, seed=0):  # type: ignore[no-untyped-def]
            tries.append("fit")
            raise pk.DataError("no")

    ladder = [rung(0.3), ("failing", Failing()), rung(0.9)]
    with pytest.raises(Cut):
        climb(rungs=ladder, folder=tmp_path / "run", backend=cut_after(30))
    climb(rungs=ladder, folder=tmp_path / "run")
    assert tries == ["fit"]


def test_a_crash_while_test_is_scored_is_told(tmp_path: Path) -> None:
    data = make_data(train=8, dev=40, test=100)
    clean = climb(0.5, data=data, folds=0).record
    with pytest.raises(Cut):
        climb(0.5, data=data, folds=0, folder=tmp_path / "run", backend=cut_after(clean.calls - 10))
    record = climb(0.5, data=data, folds=0, folder=tmp_path / "run").record
    assert record.test is not None
    assert record.test.cut_off == 1 and [read.scored for read in record.test.reads] == [False, True]
    assert "begun again after a crash 1 times" in str(pk.ClimbResult(None, record, None))
    assert record.same_decisions(clean)


def test_while_it_runs_the_record_says_so(tmp_path: Path) -> None:
    with pytest.raises(Cut):
        climb(*LADDER, folder=tmp_path / "run", backend=cut_after(60))
    record = pk.load_record(tmp_path / "run" / "record.json")
    assert record.status == "running" and record.decision is None and record.test is None
    assert [trial.rung for trial in record.trials] == ["r0"]


def change(name: str, value: object) -> Callable[[dict[str, object]], None]:
    """One change of the settings."""
    return lambda options: options.update({name: value})


@pytest.mark.parametrize(
    ("alter", "which"),
    [
        (change("seed", 1), "seed"),
        (change("margin", 0.1), "margin"),
        (change("target", {"exact_match": 0.5}), "target"),
        (change("rungs", rungs(0.3, 0.4)), "plans"),
        (change("data", make_data(seed=1)), "dev"),
        (change("backend", pk.ScriptedBackend(answer, name="another")), "model"),
    ],
)
def test_a_folder_of_another_climb_is_refused(
    alter: Callable[[dict[str, object]], None], which: str, tmp_path: Path
) -> None:
    options: dict[str, object] = {"rungs": rungs(0.3, 0.9), "folder": tmp_path / "run"}
    climb(**options)  # type: ignore[arg-type]
    alter(options)
    with pytest.raises(pk.SettingError, match=f"run: {which}.* must be .*continue with the same settings"):
        climb(**options)  # type: ignore[arg-type]


def test_without_resume_a_used_folder_is_refused(tmp_path: Path) -> None:
    climb(0.5, folder=tmp_path / "run")
    with pytest.raises(pk.SettingError, match=r"climb: folder must be new, got 'run'; pass resume=True \(--resume\)"):
        climb(0.5, folder=tmp_path / "run", resume=False)


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(pk.SettingError, match="folder must be new, or that of a climb, got 'thesis.txt'"):
        climb(0.5, folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.txt"]


def test_a_fit_that_somebody_touched_is_fitted_again(tmp_path: Path) -> None:
    first = climb(*LADDER, folder=tmp_path / "run").record
    for file in (tmp_path / "run" / "fits").rglob("plan.json"):
        file.write_text(file.read_text().replace("Quality", "quality"))
    assert climb(*LADDER, folder=tmp_path / "run").record.same_decisions(first)


def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    child = start(tmp_path, pause=0.05)
    wait_for(tmp_path / "run" / "journal.jsonl", child)
    try:
        with pytest.raises(pk.SettingError, match="folder must be used by one climb at a time; another process"):
            climb(0.5, folder=tmp_path / "run")
    finally:
        child.kill()
        child.wait()
    Journal(tmp_path / "run" / "journal.jsonl").close()  # the lock went with the process


def start(folder: Path, pause: float = 0.0) -> subprocess.Popen[bytes]:
    """Starts a climb in a process of its own, which counts its calls in a file."""
    command = program("counting_climb", folder, pause)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)


def wait_for(file: Path, child: subprocess.Popen[bytes]) -> None:
    """Waits until a file has something in it."""
    while not (file.exists() and file.stat().st_size):
        assert child.poll() is None, child.stderr.read().decode() if child.stderr else ""
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_kills_change_nothing(tmp_path: Path) -> None:
    """SIGKILL at fifty moments of one climb: the record of the unkilled run, and no finished call twice."""
    (tmp_path / "clean").mkdir()
    (tmp_path / "killed").mkdir()
    child = start(tmp_path / "clean")
    assert child.wait() == 0
    clean = pk.load_record(tmp_path / "clean" / "run")
    counter = tmp_path / "killed" / "calls"
    (tmp_path / "killed" / "started").write_text("0")
    kills, in_flight = 0, 0
    while True:
        before = size(counter)
        child = start(tmp_path / "killed", pause=0.02)
        # Each life gets a few more calls done than it can lose, so that the climb moves on.
        while child.poll() is None and (kills >= 50 or size(counter) - before < 4 + 7 * (kills % 5)):
            time.sleep(0.005)
        if child.poll() is not None:
            assert child.returncode == 0, child.stderr.read().decode() if child.stderr else ""
            break
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        kills += 1
        # What the last call had asked may be lost; everything before it was answered and kept.
        in_flight += size(counter) - int((tmp_path / "killed" / "started").read_text() or 0)
    killed = pk.load_record(tmp_path / "killed" / "run")
    assert kills == 50 and killed.resumed == kills
    assert killed.differences(clean) == []
    assert size(tmp_path / "clean" / "calls") == clean.calls
    assert size(counter) <= clean.calls + in_flight
    print(f"{kills} kills, {clean.calls} calls clean, {size(counter)} with kills, {in_flight} in flight when killed")


def size(file: Path) -> int:
    """Bytes of a file: calls that were made, as the counting model writes one for each."""
    return file.stat().st_size if file.exists() else 0
