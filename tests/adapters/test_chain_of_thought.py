from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import promptkit as pk
from promptkit import BackendError, BetaStop, ChainOfThought, DataError, ScriptedBackend, SettingError, WindowStop
from promptkit.adapters import Plan, PlanPredictor, adapter_from_settings, adapter_settings
from promptkit.adapters.plan import Aggregation
from promptkit.types import Query, Request

TASK = pk.load_task("apples")
ASKED = {"question": "Ann has 2 pears and finds 3. How many pears has she?"}
FOUR = [
    " 2 + 3 = 5. The answer is 5.",
    " 2 * 3 = 6. The answer is 6.",
    " 3 + 2 = 5. The answer is 5.",
    " 2 * 3 = 6. The answer is 6.",
]


def fitted(paths: list[str], **settings: Any) -> PlanPredictor:
    settings = {"shots": 0, "samples": len(paths), **settings}
    return ChainOfThought(TASK, **settings).fit([], ScriptedBackend(paths))


def test_four_paths_tie_by_majority_and_not_by_distinct_paths() -> None:
    tied = fitted(FOUR).predict([ASKED])[0]
    assert (tied.tie, dict(tied.votes), tied.answer) == (True, {"5": 2, "6": 2}, "5")  # 5 came by two distinct paths
    distinct = fitted(FOUR, vote="distinct").predict([ASKED])[0]
    assert (distinct.answer, dict(distinct.votes), distinct.tie) == ("5", {"5": 2, "6": 1}, False)
    assert (distinct.distinct_paths, distinct.agreement, distinct.samples_used) == (3, 0.5, 4)
    assert distinct.reasonings == ("2 + 3 = 5.", "3 + 2 = 5.")
    assert distinct.text == FOUR[0]


def test_tie_first_takes_the_first_seen() -> None:
    paths = [f" So it goes. The answer is {n}." for n in (6, 5, 5, 6)]
    assert fitted(paths, tie="first").predict([ASKED])[0].answer == "6"
    assert fitted(paths).predict([ASKED])[0].answer == "5"


def test_near_makes_two_reasonings_one_path() -> None:
    paths = [f" First we add {mark}two and three, and that is that. The answer is 5." for mark in ("", "the ")]
    assert fitted(paths).predict([ASKED])[0].distinct_paths == 2
    assert fitted(paths, near=0.6).predict([ASKED])[0].distinct_paths == 1


def test_unreadable_samples_never_vote_and_lower_the_agreement() -> None:
    prediction = fitted([" no idea", " 5 or so", " The answer is 5.", " [invalid]"]).predict([ASKED])[0]
    assert (prediction.answer, dict(prediction.votes), prediction.agreement) == ("5", {"5": 1}, 0.25)
    assert prediction.text == " The answer is 5."
    assert prediction.abstained == 3


@pytest.mark.parametrize("vote", ["majority", "distinct", "weighted"])
def test_five_hundred_unreadable_samples_are_no_answer(vote: str) -> None:
    prediction = fitted([" [invalid]"], samples=500, vote=vote).predict([ASKED])[0]
    assert prediction.answer is None and prediction.error is None
    assert (prediction.agreement, dict(prediction.votes), prediction.tie, prediction.samples_used) == (
        0,
        {},
        False,
        500,
    )


def test_a_sample_cut_by_the_limit_abstains() -> None:
    # "The answer is 12" may have been the start of 125.
    prediction = fitted([" The answer is 12"], samples=3, max_new_tokens=4).predict([ASKED])[0]
    assert [one.finish for one in prediction.completions] == ["length"] * 3
    assert prediction.answer is None


def test_an_answer_echoed_from_the_question_does_not_count_if_the_model_gives_its_own() -> None:
    asked = {"question": "Tom says: The answer is 7. Ann has 2 pears and 3 more. How many?"}
    echo = f" Question: {asked['question']} 2 + 3 = 5. The answer is 5."
    prediction = fitted([echo], samples=3).predict([asked])[0]
    assert prediction.answer == "5"
    assert fitted([" Tom says: The answer is 7. That is wrong."], samples=3).predict([asked])[0].answer == "7"


def test_a_megabyte_of_one_letter_is_no_answer() -> None:
    prediction = fitted(["a" * 1_000_000], samples=2, max_new_tokens=4000).predict([ASKED])[0]
    assert prediction.answer is None and len(prediction.text) == 1_000_000


def test_min_agreement_makes_the_predictor_abstain() -> None:
    for least, answer in ((0.5, "5"), (0.51, None)):
        prediction = fitted(FOUR, vote="distinct", min_agreement=least).predict([ASKED])[0]
        assert (prediction.answer, prediction.agreement) == (answer, 0.5)
        assert dict(prediction.votes) == {"5": 2, "6": 1}


def test_hidden_reasoning_stands_nowhere_in_the_prediction() -> None:
    prediction = fitted(FOUR, show_reasoning=False).predict([ASKED])[0]
    assert (prediction.answer, dict(prediction.votes), prediction.samples_used) == ("5", {"5": 2, "6": 2}, 4)
    assert "2 + 3" not in repr(prediction) and "2 * 3" not in repr(prediction)
    assert "2 + 3" in repr(fitted(FOUR).predict([ASKED])[0])


def test_demonstrations_show_their_rationales() -> None:
    data = pk.load_examples("apples")
    backend = ScriptedBackend(FOUR)
    predictor = ChainOfThought(TASK, shots=3, samples=4).fit(data.train, backend, dev=data.dev)
    prediction = predictor.predict([data.test[0].query])[0]
    request = backend.requests[0]
    assert isinstance(request, Request)
    assert request.sampling.temperature == 1.0 and request.samples == (0, 1, 2, 3)
    assert prediction.shots == 3
    assert len(predictor.plan.demos) == 3
    assert all(demo.rationale and demo.rationale in str(request.prompt.text) for demo in predictor.plan.demos)


def test_chat_models_reason_too() -> None:
    data = pk.load_examples("apples")
    backend = ScriptedBackend(FOUR, chat=True)
    prediction = ChainOfThought(TASK, shots=2, samples=3).fit(data.train, backend).predict([ASKED])[0]
    assert [m.role for m in backend.requests[0].prompt.messages] == ["system", *["user", "assistant"] * 2, "user"]
    assert (prediction.answer, prediction.samples_used) == ("5", 3)


def test_more_samples_extend_the_same_sequence() -> None:
    def answer(request: Request, index: int) -> str:
        return f" path {index} of seed {request.seed}. The answer is {index % 4}."

    backend = ScriptedBackend(answer)
    few, many = (
        ChainOfThought(TASK, shots=0, samples=samples).fit([], backend).predict([ASKED], seed=3)[0].completions
        for samples in (5, 12)
    )
    assert many[:5] == few and len(many) == 12
    assert [one.index for one in many] == list(range(12))


def test_a_failing_question_costs_only_itself() -> None:
    def answer(request: Request, index: int) -> str:
        if "broken" in str(request.prompt.text) and index >= 4:
            raise BackendError("the model gave up")
        return f" So. The answer is {index if 'broken' in str(request.prompt.text) else 5}."

    predictor = ChainOfThought(TASK, shots=0, samples=10, stop="beta").fit([], ScriptedBackend(answer))
    queries = [{"question": text} for text in ("fine", "broken", "fine too", "word " * 5000)]
    seen: list[tuple[int, int]] = []
    found = predictor.predict(queries, on_error="record", progress=lambda done, total: seen.append((done, total)))
    assert [one.answer for one in found] == ["5", None, "5", None]
    assert [one.error is None for one in found] == [True, False, True, False]
    assert "gave up" in str(found[1].error) and "context window" in str(found[3].error)
    assert seen[-1] == (3, 3)
    with pytest.raises(BackendError, match="gave up"):
        predictor.predict(queries[:2])


def test_a_saved_predictor_votes_as_before(tmp_path: Path) -> None:
    data, backend = pk.load_examples("apples"), ScriptedBackend(FOUR)
    adapter = ChainOfThought(TASK, shots=2, samples=9, vote="distinct", stop=WindowStop(3), tie="first", near=0.5)
    predictor = adapter.fit(data.train, backend)
    predictor.save(tmp_path / "voter")
    again = pk.load(tmp_path / "voter", backend)
    assert again.plan == predictor.plan
    assert again.plan.aggregate == Aggregation(rule="distinct", tie="first", near=0.5, stop=WindowStop(3))
    assert again.predict([ASKED])[0].votes == predictor.predict([ASKED])[0].votes


@pytest.mark.parametrize("stop", ["none", "beta", "window", BetaStop(0.9), WindowStop(7)])
def test_settings_and_plans_survive_json(stop: Any) -> None:
    adapter = ChainOfThought(TASK, stop=stop, min_agreement=0.4, near=0.8)
    again = adapter_from_settings(TASK, json.loads(json.dumps(adapter_settings(adapter))))
    assert again == adapter and again.stop == stop
    plan = Plan(kind="chain_of_thought", samples=9, aggregate=Aggregation(stop=stop, min_agreement=0.4))
    read = Plan.model_validate_json(plan.model_dump_json())
    assert read == plan and read.aggregate is not None and read.aggregate.stop == stop


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"temperature": 0},
            "ChainOfThought: temperature must be above 0 for 20 samples, got 0.0; greedy samples are all the same; set "
            "samples=1 for one greedy path",
        ),
        (
            {"stop": "bta"},
            "vote: stop must be one of 'none', 'beta', 'window', got 'bta'; did you mean 'beta'?",
        ),
        (
            {"stop": {"kind": "beta", "threshold": 2.0}},
            "BetaStop: threshold must be a number above 0.5 and below 1, got 2.0",
        ),
        ({"stop": {"threshold": 0.9}}, "vote: kind of stop must be one of 'none', 'beta', 'window', got None"),
        ({"stop": {"kind": "beta", "thresh": 0.9}}, "vote: stop rule 'beta' does not take {'thresh': 0.9}: "),
        ({"stop": 5}, "vote: stop must be a name, or of a dataclass registered as a stop rule, got 5"),
        ({"samples": 0}, "ChainOfThought: samples must be greater than or equal to 1, got 0"),
        (
            {"vote": "mayority"},
            "ChainOfThought: vote must be one of 'majority', 'distinct', 'weighted', got 'mayority'; did you mean",
        ),
        ({"min_agreement": 0}, "ChainOfThought: min_agreement must be greater than 0, got 0"),
        ({"instruction": []}, "ChainOfThought: instruction must be a valid integer or a valid string, got []"),
        ({"ask": "direct"}, "ChainOfThought: setting must be one of 'task', 'shots', 'samples'"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as refused:
        ChainOfThought(TASK, **settings)
    assert str(refused.value).startswith(message)


def test_a_task_that_is_none_or_missing_is_named() -> None:
    with pytest.raises(SettingError, match="ChainOfThought: task must be given, got None"):
        ChainOfThought()  # type: ignore[call-arg]
    with pytest.raises(SettingError, match="ChainOfThought: task must be .* instance of Task, got 'apples'"):
        ChainOfThought("apples")  # type: ignore[arg-type]


def test_one_greedy_path_is_plain_chain_of_thought() -> None:
    prediction = fitted(FOUR, samples=1, temperature=0).predict([ASKED])[0]
    assert (prediction.answer, prediction.samples_used, prediction.agreement) == ("5", 1, 1.0)


def test_a_domain_without_reasoning_says_so() -> None:
    with pytest.raises(pk.TaskError, match=r"task tickets: ask must be one of 'direct', got 'reasoned'"):
        ChainOfThought(pk.load_task("tickets"), shots=0).fit([], ScriptedBackend())


def test_too_few_rationales_say_what_to_do() -> None:
    bare = [pk.Example(Query({"question": f"{n} and {n}?"}), (str(2 * n),)) for n in range(5)]
    with pytest.raises(
        DataError, match=r"rationales must be there .* got 0; add rationales, bootstrap them with ChainOfThought"
    ):
        ChainOfThought(TASK, shots=2).fit(bare, ScriptedBackend())
    with pytest.raises(DataError, match="test"):
        ChainOfThought(TASK, shots=2).fit(pk.load_examples("apples").test, ScriptedBackend())


class Telling(ScriptedBackend):
    """A scripted model that is surer of what it says first."""

    def generate(self, requests: Any, **rest: Any) -> Any:
        return [
            replace(
                reply, completions=tuple(replace(c, logprob=-c.tokens * (c.index + 1.0)) for c in reply.completions)
            )
            for reply in super().generate(requests, **rest)
        ]


def test_a_weighted_vote_adds_up_mean_probabilities() -> None:
    paths = [f" So. The answer is {n}." for n in (7, 5, 5)]
    prediction = ChainOfThought(TASK, shots=0, samples=3, vote="weighted").fit([], Telling(paths)).predict([ASKED])[0]
    assert prediction.answer == "7"  # exp(-1) against exp(-2) + exp(-3)
    assert dict(prediction.votes) == pytest.approx({"7": math.exp(-1), "5": math.exp(-2) + math.exp(-3)})
    assert prediction.agreement == pytest.approx(1 / 3)


def test_a_weighted_vote_needs_a_model_that_tells_probabilities() -> None:
    with pytest.raises(SettingError, match="mean_logprob of sample 0 .* or use rule 'majority'"):
        fitted(FOUR, vote="weighted").predict([ASKED])


def test_no_stop_rule_has_two_spellings() -> None:
    """``None`` as ``promptkit.vote`` takes it, and its name; settings hold the name, in JSON and in YAML."""
    bare = ChainOfThought(TASK, stop=None)
    assert bare.stop == "none" and bare == ChainOfThought(TASK, stop="none") == ChainOfThought(TASK)
    values = adapter_settings(bare)
    assert values["stop"] == "none"
    for text, read in ((json.dumps(values), json.loads), (yaml.safe_dump(values), yaml.safe_load)):
        assert adapter_from_settings(TASK, read(text)) == bare
    for text in ('{"kind": "chain_of_thought", "stop": null}', "{kind: chain_of_thought, stop: }"):
        assert adapter_from_settings(TASK, yaml.safe_load(text)) == bare
    assert Aggregation(stop=None) == Aggregation(stop="none") == Aggregation.model_validate_json('{"stop": null}')
    assert Aggregation(stop=None).model_dump_json() == Aggregation().model_dump_json()
    for other in ("never", False, 0, ""):
        with pytest.raises(SettingError, match="stop must be"):
            ChainOfThought(TASK, stop=other)  # type: ignore[arg-type]
