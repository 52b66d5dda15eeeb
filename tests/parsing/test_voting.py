"""Votes: the three rules, ties, abstentions, stopping."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.errors import SettingError
from promptkit.parsing import AnswerParser, BetaStop, ParserSpec, Sample, WindowStop, vote
from promptkit.types import Completion

READER = AnswerParser(ParserSpec(kind="marked", marker="The answer is", then="number"))
FOUR = ["2 + 3. The answer is 5.", "3 + 3. The answer is 6.", "3 + 2. The answer is 5.", "3 + 3. The answer is 6."]


def test_the_example_of_four_samples() -> None:
    majority, distinct = vote(FOUR, parser=READER), vote(FOUR, parser=READER, rule="distinct")
    assert majority.tie and dict(majority.votes) == {"5": 2, "6": 2}
    assert not distinct.tie and distinct.answer == "5" and dict(distinct.votes) == {"5": 2, "6": 1}
    assert distinct.distinct_paths == majority.distinct_paths == 3
    assert distinct.agreement == 0.5
    assert distinct.reasonings == ("2 + 3.", "3 + 2.")


def test_equal_numbers_are_equal() -> None:
    spellings = ["1,000", "1000.0", "１０００", "1e3", "999"]
    outcome = vote([f"The answer is {number}." for number in spellings], parser=READER)
    assert dict(outcome.votes) == {"1000": 4, "999": 1}


def test_nothing_is_stripped_from_answers() -> None:
    outcome = vote(["-5", "5", "the dog", "dog", "5 mg"])
    assert len(outcome.votes) == 5


def test_abstentions_never_vote_but_count_in_the_agreement() -> None:
    outcome = vote(["?"] * 7 + ["The answer is 5."] * 2 + [("The answer is 5", "length", None)], parser=READER)
    assert outcome.answer == "5" and dict(outcome.votes) == {"5": 2}
    assert (outcome.abstained, outcome.samples_used, outcome.agreement) == (8, 10, 0.2)
    assert outcome.readings == (None,) * 7 + ("5", "5", None)


@pytest.mark.parametrize("rule", ["majority", "distinct", "weighted"])
@pytest.mark.parametrize("stop", [None, "beta", "window"])
@pytest.mark.parametrize("samples", [0, 500])
def test_without_a_readable_sample_there_is_no_answer(rule: str, stop: str | None, samples: int) -> None:
    outcome = vote(["[invalid]"] * samples, parser=READER, rule=rule, stop=stop)  # type: ignore[arg-type]
    assert outcome.answer is None and not outcome.votes and not outcome.tie and outcome.agreement == 0
    assert outcome.abstained == outcome.samples_used


def test_weighted_votes_add_up_sequence_probabilities() -> None:
    samples = [
        Sample("5", "stop", math.log(0.9)),
        Sample("6", "stop", math.log(0.3)),
        Sample("6", "stop", math.log(0.4)),
    ]
    outcome = vote(samples, rule="weighted")
    assert outcome.answer == "5"
    assert dict(outcome.votes) == pytest.approx({"5": 0.9, "6": 0.7})
    assert outcome.agreement == pytest.approx(1 / 3)


def test_a_completion_brings_its_own_weight() -> None:
    long = Completion("5", tokens=4, logprob=4 * math.log(0.5))
    assert dict(vote([long], rule="weighted").votes) == pytest.approx({"5": 0.5})


def test_a_weighted_vote_without_log_probability_is_refused() -> None:
    with pytest.raises(SettingError) as refused:
        vote(["5"], rule="weighted")
    assert str(refused.value) == (
        "vote: mean_logprob of sample 0 must be the mean token log-probability of every readable sample, for rule "
        "'weighted', got None; give (text, finish, mean) records, or use rule 'majority'"
    )


def test_ties_by_rule() -> None:
    assert vote(["b", "a", "a", "b"], tie="first").answer == "b"
    assert vote(["b", "a", "a", "b"]).answer == "a"
    assert vote(["10", "9"], tie="first").answer == "10"
    assert vote(["10", "9", "x"]).answer == "9"
    assert vote(FOUR, parser=READER, tie="first").answer == "5"
    assert vote(FOUR[1::2] + FOUR[0::2], parser=READER).answer == "5"  # more distinct paths
    assert list(vote(["b", "a", "c", "c"]).votes) == ["c", "a", "b"]


def test_a_huge_power_of_ten_as_text_is_no_number() -> None:
    assert vote(["1e999999999", "z"]).answer == "1e999999999"


TEXTS = st.lists(
    st.builds(
        lambda path, answer, mean: Sample(f"{path}. The answer is {answer}.", "stop", mean),
        st.sampled_from(["x + y", "y + x", "X +  y"]),
        st.sampled_from(["5", "5.0", "6", "7", "no"]),
        st.floats(-5, 0),
    ),
    max_size=9,
)


@given(TEXTS, st.sampled_from(["majority", "distinct", "weighted"]), st.sampled_from([None, 0.5]), st.randoms())
def test_order_never_matters_to_the_stable_rule(
    samples: list[Sample], rule: str, near: float | None, rng: random.Random
) -> None:
    one = vote(samples, parser=READER, rule=rule, near=near)  # type: ignore[arg-type]
    other = vote(rng.sample(samples, len(samples)), parser=READER, rule=rule, near=near)  # type: ignore[arg-type]
    for name in ("answer", "votes", "agreement", "distinct_paths", "tie", "abstained"):
        assert getattr(one, name) == getattr(other, name)
    assert list(one.votes) == list(other.votes)


def test_a_thousand_permutations() -> None:
    rng = random.Random(0)
    samples = [Sample(f"way {n % 7}. The answer is {n % 5}.", "stop", -n / 10) for n in range(20)] + [Sample("?")] * 5
    for rule, expected in (("majority", "0"), ("distinct", "0"), ("weighted", "0")):
        for _ in range(1000):
            rng.shuffle(samples)
            outcome = vote(samples, parser=READER, rule=rule)  # type: ignore[arg-type]
            assert outcome.answer == expected and outcome.agreement == 4 / 25


@given(TEXTS, st.sampled_from(["majority", "distinct", "weighted"]), st.randoms())
def test_order_matters_to_the_first_seen_only_where_answers_are_tied(
    samples: list[Sample], rule: str, rng: random.Random
) -> None:
    one = vote(samples, parser=READER, rule=rule, tie="first")  # type: ignore[arg-type]
    other = vote(rng.sample(samples, len(samples)), parser=READER, rule=rule, tie="first")  # type: ignore[arg-type]
    assert dict(one.votes) == dict(other.votes) and one.tie == other.tie
    assert one.answer == other.answer or one.tie


@pytest.mark.parametrize("tie", ["stable", "first"])
def test_a_thousand_permutations_without_a_tie(tie: str) -> None:
    rng = random.Random(1)
    samples = ["The answer is 5."] * 3 + ["The answer is 6."] * 2 + ["I cannot say."] * 5
    for _ in range(1000):
        rng.shuffle(samples)
        outcome = vote(samples, parser=READER, tie=tie)  # type: ignore[arg-type]
        assert (outcome.answer, outcome.agreement, outcome.tie) == ("5", 0.3, False)


@pytest.mark.parametrize("rule", ["majority", "distinct"])
@pytest.mark.parametrize("near", [None, 0.5])
def test_megabytes_of_one_letter_abstain(rule: str, near: float | None) -> None:
    outcome = vote(["a" * 1_000_000] * 3 + ["b. The answer is 5."], parser=READER, rule=rule, near=near)  # type: ignore[arg-type]
    assert (outcome.answer, outcome.abstained, outcome.agreement) == ("5", 3, 0.25)
    long = ["a" * (1_000_000 + n) + " The answer is 5." for n in range(3)]
    outcome = vote(long, parser=READER, rule=rule, near=near)  # type: ignore[arg-type]
    assert (outcome.answer, outcome.distinct_paths) == ("5", 3 if near is None else 1)


def test_an_answer_echoed_from_the_question_gives_way_to_the_last_one() -> None:
    echo = "Tom says: The answer is 7. No. 2 + 3 = 5. The answer is 5."
    assert dict(vote([echo, echo, "Tom says: The answer is 7."], parser=READER).votes) == {"5": 2, "7": 1}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
def test_first_takes_the_first_seen_of_the_tied(answers: list[str]) -> None:
    counts = Counter(answers)
    assert vote(answers, tie="first").answer == max(counts, key=lambda answer: counts[answer])
    assert vote(answers).tie == (list(counts.values()).count(max(counts.values())) > 1)


def test_stopping_is_replayed() -> None:
    outcome = vote(["5"] * 10, stop=BetaStop(0.95))
    assert (outcome.samples_used, outcome.samples_saved, outcome.votes["5"]) == (4, 6, 4)
    outcome = vote(["5", "6", "5", "5", "5", *"77777", "8"], stop=WindowStop(5))
    assert (outcome.samples_used, outcome.answer) == (10, "7")


def test_samples_behind_the_stop_change_nothing() -> None:
    for near in (None, 0.5):
        short = vote(FOUR[:1] * 4, parser=READER, stop="beta", near=near)
        longer = vote(FOUR[:1] * 4 + FOUR[1:] * 5, parser=READER, stop="beta", near=near)
        assert short.samples_used == longer.samples_used == 4
        assert (short.votes, short.distinct_paths) == (longer.votes, longer.distinct_paths)


def test_a_vote_says_how_many_more_samples_could_decide_it() -> None:
    assert vote([], stop="beta").more_needed == 4
    assert vote(["5", "5", "5", "6"], stop="beta").more_needed == 3
    assert vote(["5", "5", "6"], stop="window").more_needed == 2
    assert vote(["5"] * 4, stop="beta").more_needed == vote(["5"]).more_needed == 0
    same = ["3 + 3. The answer is 6."] * 3
    assert vote(same, parser=READER, stop="beta", rule="distinct").more_needed == 3


def test_a_repeated_path_adds_no_certainty_under_distinct() -> None:
    same = ["3 + 3. The answer is 6."] * 12
    assert vote(same, parser=READER, stop="beta").samples_used == 4
    assert vote(same, parser=READER, stop="beta", rule="distinct").samples_used == 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"rule": "mayority"},
            "vote: rule must be one of 'majority', 'distinct', 'weighted', got 'mayority'; did you mean 'majority'?",
        ),
        ({"tie": "last"}, "vote: tie must be one of 'stable', 'first', got 'last'"),
        ({"near": 2.0}, "vote: near must be a number above 0, at most 1, or None, got 2.0"),
    ],
)
def test_unknown_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError) as refused:
        vote(["5"], **settings)  # type: ignore[arg-type]
    assert str(refused.value) == message


def test_a_sample_of_another_kind_is_refused() -> None:
    with pytest.raises(SettingError, match="vote: samples must be texts, .* got 5"):
        vote([5])  # type: ignore[list-item]


def test_numbers_with_a_decimal_comma_are_ranked_by_value() -> None:
    parser = AnswerParser({"kind": "number", "decimal": ","})
    assert vote(["10,5", "9,75"], parser=parser).answer == "9,75"
