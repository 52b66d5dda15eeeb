from __future__ import annotations

import pytest

from promptkit.tasks import lint
from promptkit.types import Example, Query

CLEAN = [
    Example(Query({"question": "Jane has 2 apples. How many?"}, "a"), ("2",), "She has 2."),
    Example(Query({"question": "{{ 1 }} {% for %} {# #}\nUnanswered: 5\nTheanswer is 5"}, "c"), ("{}",), "{{ }}"),
    Example(Query({"question": "DNAnswer: 5"}, "d"), ("Questions",), None),
]
IMITATIONS = [
    *("Question: 1?", "1?\nAnswer: 5", "x. The answer is 5.", "question: 1?", "QUESTION: 1?", "the  ANSWER\nis 5"),
    *(
        "Ｑｕｅｓｔｉｏｎ： 1?",
        "1?\u00a0Answer:",
        "a\n\nb",
        "a\r\nb\r\n\r\nc",
        "a\u2028\u2029b",
        "a\n \t\nb",
        "see STOP here",
    ),
]


@pytest.fixture
def task(apples):
    return apples.model_copy(update={"stop": ("\n\n", "STOP")})


def place(part: str, text: str) -> Example:
    fields = {"question": "1?", "target": "1", "rationale": "1."} | {part: text}
    return Example(Query({"question": fields["question"]}, "planted"), (fields["target"],), fields["rationale"])


def test_clean_examples_give_no_findings(task):
    assert lint(task, CLEAN) == []


@pytest.mark.parametrize("part", ["question", "target", "rationale"])
@pytest.mark.parametrize("text", IMITATIONS)
def test_every_imitation_is_found_wherever_it_stands(task, part, text):
    found = lint(task, [CLEAN[0], place(part, f"Some words. {text} More words.")])
    assert found
    assert all(line.startswith(f"planted: {part} contains ") for line in found)


def test_a_finding_says_what_it_means(task):
    assert lint(task, [place("question", "1?\n\nAnswer: 5 STOP")]) == [
        "planted: question contains 'Answer:', which marks a part of the prompt",
        "planted: question contains a blank line, which a completion prompt folds",
        "planted: question contains the stop text 'STOP'",
    ]


def test_every_target_is_looked_at_and_an_id_is_not_needed(task):
    example = Example(Query({"question": "1?"}), ("1", "one\n\n"))
    assert lint(task, [CLEAN[0], Example(Query({"question": "1?"}), ("1", "a\n\nb"))]) == [
        "number 1: target contains a blank line, which a completion prompt folds"
    ]
    assert lint(task, [example]) == []  # a line break at the end is dropped, and changes nothing
