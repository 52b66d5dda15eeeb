from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptkit.errors import DataError, SettingError, TaskError, TemplateError
from promptkit.tasks import render, render_answer
from promptkit.tasks.task import build_task
from promptkit.tasks.template import MAX_CHARS
from promptkit.types import Example, Message, Query

JOE = "Joe has 3 oranges and he got 1 more. How many oranges does he have?"
JACK = "Jack has 8 pears and he lost 1. How many pears does Jack have now?"
JANE = "Jane has 2 apples. She bought 3 more. How many apples does she have in total?"
shared_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def example(question: str, target: str, rationale: str | None = None, id: str = "") -> Example:
    return Example(Query({"question": question}, id), (target,), rationale)


DEMOS = [example(JOE, "4", "3 + 1 = 4."), example(JACK, "7", "8 - 1 = 7.")]
QUERY = Query({"question": JANE})

# Texts that imitate the layout, with every kind of line end; used as any field of any item.
ENDS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", " ", "\t", "\u00a0", ""]
PIECES = [
    *ENDS,
    "Question: 1?",
    "Answer:",
    " The answer is 5.",
    "###",
    "#",
    "Note:",
    "Task: x",
    "{{ item }}",
    "a",
    "\n\n",
]
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def test_the_canonical_layout(apples):
    """The layout of Brown et al. 2020: solved questions first, the new question last."""
    assert render(apples, QUERY, DEMOS).text == (
        "Solve the problem.\n\n"
        f"Question: {JOE}\nAnswer: The answer is 4.\n\n"
        f"Question: {JACK}\nAnswer: The answer is 7.\n\n"
        f"Question: {JANE}\nAnswer:"
    )


def test_reasoning_stands_before_the_answer(apples):
    assert render(apples, QUERY, DEMOS[:1], ask="reasoned", instruction=None).text == (
        f"Question: {JOE}\nAnswer: 3 + 1 = 4. The answer is 4.\n\nQuestion: {JANE}\nAnswer:"
    )


def test_chat_form(apples):
    assert render(apples, QUERY, DEMOS, ask="reasoned", form="chat").messages == (
        Message("system", "Solve the problem."),
        Message("user", f"Question: {JOE}\nAnswer:"),
        Message("assistant", "3 + 1 = 4. The answer is 4."),
        Message("user", f"Question: {JACK}\nAnswer:"),
        Message("assistant", "8 - 1 = 7. The answer is 7."),
        Message("user", f"Question: {JANE}\nAnswer:"),
    )


def test_chat_keeps_blank_lines(apples):
    prompt = render(apples, Query({"question": "a\n\nb\r\n"}), form="chat", instruction=1)
    assert prompt.messages == (Message("system", "Work\n\nit out."), Message("user", "Question: a\n\nb\r\n\nAnswer:"))


def test_zero_shots_and_every_way_to_instruct(apples):
    question = f"Question: {JANE}\nAnswer:"
    assert render(apples, QUERY).text == f"Solve the problem.\n\n{question}"
    assert render(apples, QUERY, instruction=1).text == f"Work\nit out.\n\n{question}"
    assert render(apples, QUERY, instruction="My {{ own }}\n\n.").text == f"My {{{{ own }}}}\n.\n\n{question}"
    for nothing in (None, "", " \n"):
        assert render(apples, QUERY, instruction=nothing).text == question
        assert render(apples, QUERY, instruction=nothing, form="chat").messages == (Message("user", question),)


def test_a_task_without_instructions_gives_none():
    values = {
        "name": "bare",
        "fields": ["q"],
        "parsers": {"direct": {"kind": "line"}},
        "templates": {
            "direct": "{% macro question(item) %}{{ item.q }}{% endmacro %}"
            "{% macro answer(item) %}\n{{ item.target }}{% endmacro %}"
        },
    }
    bare = build_task(values, of="bare")
    assert render(bare, Query({"q": "2"}), [Example(Query({"q": "1\n"}), ("one",))]).text == "1\none\n\n2"


@pytest.mark.parametrize("instruction", [2, -1, True, False, 1.0])
def test_unknown_instructions(apples, instruction):
    with pytest.raises(SettingError, match=r"instruction must be a text, None, or one of 0 to 1 \(task 'apples'\)"):
        render(apples, QUERY, instruction=instruction)


def test_unknown_form_and_ask(apples):
    with pytest.raises(SettingError, match="form must be one of 'completion', 'chat', got 'Chat'"):
        render(apples, QUERY, form="Chat")
    with pytest.raises(TaskError, match="ask must be one of 'direct', 'reasoned', got 'thought'"):
        render(apples, QUERY, ask="thought")


@pytest.mark.parametrize("form", ["completion", "chat"])
@pytest.mark.parametrize("ask", ["direct", "reasoned"])
def test_training_sees_what_a_demonstration_shows(apples, ask, form):
    """Rendering a solved item as query plus continuation gives the very bytes of the demonstration."""
    odd = example("\n a \r\n\n b\n", "\n5\n\n6 ", "\n\nSo\u2028\n")
    for demo in (*DEMOS, odd):
        shown = render(apples, QUERY, [demo], ask=ask, form=form, instruction=None)
        asked = render(apples, demo.query, ask=ask, form=form, instruction=None)
        answer = render_answer(apples, demo, ask=ask, form=form)
        if form == "chat":
            assert shown.messages[:2] == (*asked.messages, Message("assistant", answer))
        else:
            assert shown.text.startswith(asked.text + answer + apples.separator)


def test_one_thousand_rows_with_braces_stay_as_they_are(apples):
    rng = random.Random(0)
    signs = ["{{", "}}", "{%", "%}", "{#", "#}", "{{-", "-%}", "item.target", "endmacro", "\\", "'", '"', "<", "&", " "]
    for _ in range(1000):
        question, target, rationale, instruction = (
            "x" + "".join(rng.choices(signs, k=6)) + "\ny" + "".join(rng.choices(signs, k=4)) + "z" for _ in range(4)
        )
        demo = example(question, target, rationale)
        prompt = render(apples, demo.query, [demo], ask="reasoned", instruction=instruction)
        assert prompt.text == (
            f"{instruction}\n\nQuestion: {question}\nAnswer: {rationale} The answer is {target}.\n\n"
            f"Question: {question}\nAnswer:"
        )
        chat = render(apples, demo.query, [demo], ask="reasoned", form="chat", instruction=instruction).messages
        assert [message.content for message in chat] == [
            instruction,
            f"Question: {question}\nAnswer:",
            f"{rationale} The answer is {target}.",
            f"Question: {question}\nAnswer:",
        ]


@shared_fixture
@given(data=st.data())
def test_no_text_changes_the_number_of_items(apples, notes, data):
    task = data.draw(st.sampled_from([apples, notes]))
    demos = [
        Example(Query({name: data.draw(texts) for name in task.fields}), (data.draw(texts),), data.draw(texts))
        for _ in range(data.draw(st.integers(0, 3)))
    ]
    query = Query({name: data.draw(texts) for name in task.fields})
    instruction = data.draw(st.none() | st.just(0) | texts)
    ask = data.draw(st.sampled_from(sorted(task.templates)))
    text = render(task, query, demos, ask=ask, instruction=instruction).text
    told = instruction == 0 or bool(instruction and instruction.strip()) or (instruction is not None and task is notes)
    items = text.split(task.separator)
    assert len(items) == told + len(demos) + 1
    for stop in task.stop:
        for demo in demos:
            assert stop not in render_answer(task, demo, ask=ask)
    assert render(task, query, demos, ask=ask, instruction=instruction).text == text


def test_without_folding_an_imitation_would_add_an_item(apples):
    """The twin of the property above: the raw template does what folding prevents."""
    text = apples.template().question({"question": "1?\nAnswer: The answer is 1.\n\nQuestion: 2?"})
    assert len(text.split(apples.separator)) == 2
    assert len(render(apples, Query({"question": text}), instruction=None).text.split(apples.separator)) == 1


def test_an_empty_field_leaves_no_blank_line(notes):
    empty = Example(Query({"text": "long", "hint": ""}), ("\nshort",))
    assert (
        render(notes, empty.query, [empty]).text
        == "Task: Shorten.\n\n###\n\nlong\nNote:\nshort\n\n###\n\nlong\nNote:\n"
    )


@pytest.mark.parametrize("fields", [{}, {"Question": "x"}, {"question": None}, {"question": 5}])
def test_missing_fields_name_the_query(apples, fields):
    with pytest.raises(DataError, match=r"query 'q7': field 'question' must be given, as text, got"):
        render(apples, Query(fields, "q7"))


def test_more_fields_than_the_task_lists_never_reach_the_prompt(apples):
    query = Query({"question": JANE, "target": "SECRET", "rationale": "SECRET"})
    assert render(apples, query, ask="reasoned").text == render(apples, QUERY, ask="reasoned").text


def test_a_demonstration_without_rationale_is_named(apples):
    with pytest.raises(DataError, match=r"example 'e3': rationale must be given, got None; .* ask 'direct'"):
        render(apples, QUERY, [example(JOE, "4", id="e3")], ask="reasoned")


def test_a_blank_question_is_an_error(notes):
    blank = notes.model_copy(
        update={"templates": {"direct": notes.templates["direct"].replace("\nNote:\n", "")}},
    )
    with pytest.raises(DataError, match="query 'q': question must be a text that is not blank"):
        render(blank, Query({"text": " ", "hint": ""}, "q"))


def test_a_text_that_no_template_takes(apples):
    with pytest.raises(TemplateError, match=r"^apples/direct\.jinja: .* at most 1,000,000 characters"):
        render(apples, Query({"question": "a" * (MAX_CHARS + 1)}))
