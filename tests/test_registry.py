from __future__ import annotations

import textwrap
import warnings
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

import promptkit as pk
from promptkit import registry
from promptkit.registry import find, load_plugin, name_of, register, registered_names

pytestmark = pytest.mark.usefixtures("plugins")

METRIC = """
    import promptkit as pk

    @pk.register("metric", "same_start")
    def same_start(answer, target):
        return float(answer[:1] == target[:1])
"""


def plugin(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def test_a_piece_is_found_by_its_name_and_names_itself() -> None:
    @register("metric", "always")
    def always(answer: str, target: str) -> float:
        """Is always right.

        More about it.
        """
        return 1.0

    assert find("metric", "always", of="test").value is always
    assert find("metric", "always", of="test").summary == "Is always right."
    assert name_of("metric", always) == "always" and name_of("aggregator", always) is None
    assert "always" in registered_names("metric")


def test_a_taken_name_is_refused_and_the_same_object_is_not() -> None:
    def mine(answer: str, target: str) -> float:
        return 1.0

    register("metric", "mine")(mine)
    assert register("metric", "mine")(mine) is mine
    with pytest.raises(pk.SettingError, match=r"metric 'mine' is taken by .*mine; choose another name"):
        register("metric", "mine")(lambda answer, target: 0.0)
    assert find("metric", "mine", of="test").value is mine


@pytest.mark.parametrize(
    ("group", "name", "options", "said"),
    [
        ("metrics", "mine", {}, "register: group must be one of 'strategy', 'metric'"),
        ("metric", "my metric", {}, "name of a metric must be letters, digits"),
        ("metric", "", {}, "name of a metric must be letters"),
        ("stop_rule", "none", {}, "no reserved name, got 'none'"),
        ("selector", "searched", {}, "no reserved name, got 'searched'"),
        ("metric", "mine", {"bounds": 1}, r"options of a metric must be left out, got \['bounds'\]"),
        ("selector", "mine", {"query": 1}, r"options of a selector must be one of 'per_query', got \['query'\]"),
    ],
)
def test_bad_registrations_are_refused(group: Any, name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(pk.SettingError, match=said):
        register(group, name, **options)(len)


def test_only_what_can_be_called_is_registered() -> None:
    bad: Any = 5
    with pytest.raises(pk.SettingError, match="metric must be a class or a function, got 5"):
        register("metric", "five")(bad)


def test_an_unknown_name_says_what_is_known_and_what_was_perhaps_meant() -> None:
    with pytest.raises(pk.SettingError, match=r"one of 'beta', 'window', got 'windw'; did you mean 'window'\?"):
        find("stop_rule", "windw", of="vote")
    with pytest.raises(pk.MetricError, match="a name of your own needs its plugin to be loaded"):
        pk.get_metric("tastiness")


def test_a_file_is_run_once(tmp_path: Path) -> None:
    path = plugin(tmp_path, METRIC)
    assert load_plugin(path) is load_plugin(str(path))
    assert pk.get_metric("same_start").score("Bern", ["Basel"]) == 1.0


def test_two_files_of_one_name_are_two_plugins(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, second = plugin(tmp_path, "VALUE = 1"), plugin(tmp_path / "other", "VALUE = 2")
    assert (load_plugin(first).VALUE, load_plugin(second).VALUE) == (1, 2)


def test_a_file_that_fails_registers_nothing_and_can_be_mended(tmp_path: Path) -> None:
    path = plugin(tmp_path, METRIC + "\n    1 / 0\n")
    with pytest.raises(pk.SettingError, match=r"plugin mine\.py cannot be loaded: ZeroDivisionError: division by zero"):
        load_plugin(path)
    assert "same_start" not in registered_names("metric")
    plugin(tmp_path, METRIC)
    load_plugin(path)
    assert "same_start" in registered_names("metric")


def test_a_file_that_takes_a_name_of_promptkit_is_refused(tmp_path: Path) -> None:
    path = plugin(tmp_path, METRIC.replace("same_start", "exact_match"))
    with pytest.raises(pk.SettingError, match="metric 'exact_match' is taken by promptkit"):
        load_plugin(path)


@pytest.mark.parametrize("path", ["", "no/such/file.py", "."])
def test_a_path_that_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(pk.SettingError, match="load_plugin: path must be "):
        load_plugin(path)


def test_entry_points_are_loaded_once_and_only_when_a_name_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(tmp_path, METRIC, "good_plugin_of_a_test.py")
    points = EntryPoints(
        EntryPoint(name, module, "promptkit")
        for name, module in [("broken", "no_such_module_of_a_test"), ("good", "good_plugin_of_a_test")]
    )
    asked: list[str] = []
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: asked.append(group) or points)
    monkeypatch.setattr(registry, "_entry_points_loaded", False)
    assert pk.get_metric("exact_match").name == "exact_match"
    assert asked == []
    with pytest.warns(UserWarning, match="plugin 'broken' cannot be loaded: ModuleNotFoundError"):
        assert pk.get_metric("same_start").score("Bern", ["Basel"]) == 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "same_start" in registered_names("metric")
    assert asked == ["promptkit"]


def test_a_score_outside_of_0_to_1_is_refused() -> None:
    """The intervals of a report and the tests of a climb hold for scores in [0, 1]."""

    def marks(answer: str, target: str) -> Any:
        return {"none": None, "nan": float("nan")}.get(answer, len(answer))

    metric = pk.get_metric(marks)
    assert metric.name == "marks" and metric.score("a", ["b"]) == 1.0
    for answer in ("four", "none", "nan"):
        with pytest.raises(pk.MetricError, match=r"marks: a score must be in \[0, 1\], got .*divide it by its range"):
            metric.score(answer, ["b"])


def test_a_function_needs_a_name_that_no_other_metric_has() -> None:
    def exact_match(answer: str, target: str) -> float:
        return 0.0

    with pytest.raises(pk.MetricError, match="a name, or a function that has one"):
        pk.get_metric(lambda answer, target: 1.0)
    with pytest.raises(pk.MetricError, match="of a name that no registered metric has, got 'exact_match'"):
        pk.get_metric(exact_match)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"7": 1.0}, "aggregator 'mine': scores must be a mapping from answers of the samples to scores"),
        (["5"], "scores must be a mapping"),
        ({"5": float("nan")}, "score of '5' must be a finite number, got nan"),
        ({"5": "1"}, "score of '5' must be a finite number, got '1'"),
    ],
)
def test_bad_scores_of_an_aggregator_are_refused(scores: Any, said: str) -> None:
    register("aggregator", "mine")(lambda samples: scores)
    with pytest.raises(pk.SettingError, match=said):
        pk.vote(["5", "5", "6"], rule="mine")


def test_an_aggregator_may_leave_answers_out_and_elect_none() -> None:
    register("aggregator", "six")(lambda samples: {one.answer: 1 for one in samples if one.answer == "6"})
    outcome = pk.vote(["5", "5", "6"], rule="six")
    assert (outcome.answer, dict(outcome.votes), round(outcome.agreement, 2)) == ("6", {"6": 1}, 0.33)
    assert pk.vote(["5", "5"], rule="six").answer is None


@pytest.mark.parametrize(
    "places", [lambda places, k: places[: k - 1], lambda places, k: places[:1] * k, lambda *_: [99, 98]]
)
def test_a_selector_that_gives_other_places_is_refused(places: Any) -> None:
    register("selector", "mine")(lambda index, given, k, **_: places(given, k))
    pool = [pk.Example(pk.Query({"q": str(number)}), ("x",)) for number in range(5)]
    with pytest.raises(pk.SettingError, match="selector 'mine': places must be 2 different ones of the 5"):
        pk.select("mine", pool, 2)


def test_a_stop_rule_that_could_not_be_loaded_is_not_put_into_a_plan() -> None:
    @dataclass(frozen=True)
    class Never:
        def stops_at(self, answers: Any, counted: Any = None) -> None:
            return None

        def fewest_more(self, answers: Any, counted: Any = None) -> int:
            return 1

    assert pk.vote(["5", "5"], stop=Never()).samples_used == 2
    with pytest.raises(pk.SettingError, match="stop must be a name, or of a dataclass registered as a stop rule"):
        pk.ChainOfThought(pk.load_task("apples"), stop=Never())
    register("stop_rule", "never")(Never)
    assert pk.ChainOfThought(pk.load_task("apples"), stop=Never()).stop == Never()
