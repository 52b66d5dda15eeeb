"""The test split: read once, and nobody else ever gets it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

import promptkit as pk
from tests.support.simulation import TASK, answer, climb, make_data, model, rung

LABELS = "01"


class Watched(pk.Example):
    """An example that notes who looks at its targets."""

    analyses: ClassVar[list[str]] = []

    def __getattribute__(self, name: str) -> Any:
        if name in ("targets", "target"):
            Watched.analyses.append(object.__getattribute__(self, "query").id)
        return object.__getattribute__(self, name)


def watched(data: pk.Data) -> pk.Data:
    test = [Watched(one.query, one.targets, one.rationale) for one in data.test]
    return pk.Data(data.train, data.dev, pk.Split("test", test), name=data.name, leakage=data.leakage)


@pytest.fixture
def analyses() -> Iterator[list[str]]:
    Watched.analyses = []
    yield Watched.analyses
    Watched.analyses = []


class Peeking:
    """A model that notes whether test labels were looked at before it was asked about a test item."""

    def __init__(self, analyses: list[str], test: pk.Split) -> None:
        self.analyses, self.asked_of_test = analyses, {one.query.fields["sum"] for one in test}
        self.early: list[int] = []

    def __call__(self, request: pk.Request, index: int) -> str:
        text = request.prompt.text or ""
        if text.rpartition("Sum: ")[2].partition("\n")[0] not in self.asked_of_test:
            self.early.append(len(self.analyses))
        return answer(request, index)


def test_no_label_of_test_is_looked_at_before_the_climb_is_over(analyses: list[str]) -> None:
    data = watched(make_data(dev=100, test=30))
    # The fingerprint is the one reading before the end; it is counted, and makes one look a row.
    script = Peeking(analyses, data.test)
    climb(0.3, 0.6, 0.9, data=data, backend=pk.ScriptedBackend(script, name="sums"))
    assert set(script.early) == {30}
    assert len(analyses) > 30


def test_the_watch_sees_a_rung_that_cheats(analyses: list[str]) -> None:
    data = watched(make_data(dev=40, test=20))

    class Cheat:
        """Learns from the test split, which it got behind the ladder's back."""

        def fit(self, examples: Any, backend: Any, *, dev: Any = None, seed: int = 0) -> Any:
            assert [one.target for one in data.test]
            return rung(0.9)[1].fit(examples, backend)

    script = Peeking(analyses, data.test)
    climb(rungs=[rung(0.3), ("cheat", Cheat())], data=data, backend=pk.ScriptedBackend(script, name="sums"))
    assert max(script.early) > 20


def test_no_question_of_test_is_asked_before_the_winner_is_scored() -> None:
    backend, data = model(), make_data(dev=60, test=40)
    few = ("few", pk.FewShot(TASK, shots=6, select="searched", trials=4, instruction="Quality 0.8."))
    result = climb(rungs=[rung(0.3), few], data=data, backend=backend)
    questions = {one.query.fields["sum"] for one in data.test}
    asked = [(r.prompt.text or "").rpartition("Sum: ")[2].partition("\n")[0] for r in backend.requests]
    places = [place for place, question in enumerate(asked) if question in questions]
    assert places == list(range(len(asked) - 40, len(asked)))
    before = "".join(request.prompt.text or "" for request in backend.requests[: places[0]])
    assert not any(f"Sum: {question}\n" in before for question in questions)
    assert result.record.calls == len(asked)


def guess(request: pk.Request, index: int) -> str:
    """A model that knows nothing: right half of the time, whatever it is shown."""
    return f" {random.Random(request.prompt.text).choice(LABELS)}"


def shuffled_labels(seed: int, train: int = 60, dev: int = 200, test: int = 200) -> pk.Data:
    """Questions whose labels were drawn by lot."""
    rng = random.Random(seed)
    data = make_data(train, dev, test, seed=seed)
    parts = {
        name: pk.Split(name, [pk.Example(one.query, (rng.choice(LABELS),), one.rationale) for one in part])
        for name, part in data.splits.items()
    }
    return pk.Data(**parts, leakage=data.leakage)


def ladder() -> list[tuple[str, pk.FewShot]]:
    """Four rungs that search hard: each tries many sets of demonstrations."""
    zero = ("zero-shot", pk.FewShot(TASK, shots=0))
    return [zero, *((f"{n} shots", pk.FewShot(TASK, shots=n, select="searched", trials=12)) for n in (1, 2, 4, 8))]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_random_labels_it_reports_no_gain() -> None:
    gains, scores, honest = 0, [], 0
    for seed in range(20):
        result = pk.climb(TASK, shuffled_labels(seed), pk.ScriptedBackend(guess), rungs=ladder(), seed=seed)
        record = result.record
        assert record.decision is not None and record.test is not None and record.test.score is not None
        gains += record.decision.winner != "zero-shot"
        scores.append(record.test.score.mean)
        honest += record.test.score.low <= 0.5 <= record.test.score.high
    print(f"gains in {gains} of 20 seeds; test intervals hold chance in {honest}; mean on test {sum(scores) / 20:.4f}")
    assert gains <= 2
    assert honest >= 17
    assert abs(sum(scores) / 20 - 0.5) < 3 * 0.5 / (20 * 200) ** 0.5


def test_random_labels_once() -> None:
    data = shuffled_labels(1, dev=120, test=50)
    record = pk.climb(TASK, data, pk.ScriptedBackend(guess), rungs=ladder()[:3], seed=1).record
    assert record.decision is not None and record.decision.winner == "zero-shot"
