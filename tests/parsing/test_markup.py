"""Markup around answers, and blocks of reasoning, for every kind of parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.parsing.markup import first_line, split_reasoning, strip_emphasis, strip_tags, unwrap
from promptkit.parsing.parser import AnswerParser

KINDS: dict[str, dict[str, object]] = {
    "text": {"kind": "text"},
    "line": {"kind": "line"},
    "marked": {"kind": "marked", "marker": "Answer:"},
    "number": {"kind": "number"},
    "marked number": {"kind": "number", "marker": "Answer:"},
    "choice": {"kind": "choice"},
    "label": {"kind": "label", "labels": ["spam", "ham", "5"]},
    "json": {"kind": "json", "field": "a"},
    "regex": {"kind": "regex", "pattern": r"\d+"},
}
ANSWERS = {"choice": ("C", "B"), "json": ('{"a": "4"}', '{"a": "5"}'), "label": ("spam", "5")}
BLOCKS = [
    ("<think>\n{}\n</think>\n\n", "{}"),
    ("<thinking>{}</thinking>", "{}"),
    ("<THOUGHT>{}</THOUGHT> ", "{}"),
    ("<reasoning>{}</reasoning>\n", "{}"),
    ("<seed:think>{}</seed:think>", "{}"),
    ("[THINK]{}[/THINK]", "{}"),
    ("◁think▷{}◁/think▷", "{}"),
    ('<think type="long">{}</think>', "{}"),
    ("{}</think>\n", "{}"),
    ("<think>so</think><think>{}</think>", "so\n{}"),
    ("<think>so <think> {}</think>", "so\n{}"),
]


def wrong_and_right(kind: str) -> tuple[str, str]:
    wrong, right = ANSWERS.get(kind, ("4", "5"))
    return (f"Answer: {wrong}", f"Answer: {right}") if kind.startswith("marked") else (wrong, right)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(("block", "kept"), BLOCKS)
def test_reasoning_is_kept_and_not_read(kind: str, block: str, kept: str) -> None:
    parser, (wrong, right) = AnswerParser(KINDS[kind]), wrong_and_right(kind)
    text = block.format(wrong) + right
    assert parser.read(text) == parser.read(right) is not None
    assert parser.reasoning(text) == kept.format(wrong)
    assert parser.read(block.format(wrong)) is None


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_reasoning_that_was_cut_off_leaves_no_answer(kind: str, finish: str) -> None:
    parser, (wrong, right) = AnswerParser(KINDS[kind]), wrong_and_right(kind)
    for text in (f"<think>{wrong}\n", f"{right}\n<think>{wrong}\n", f"<think>a</think>{right}\n<think>{wrong}\n"):
        assert parser.read(text, finish=finish) is None
        assert wrong in parser.reasoning(text)


def test_words_that_look_like_tags_are_text() -> None:
    for text in ("<thinker>x", "`<think>` opens it", "I think > so", "<b>thought</b>"):
        assert split_reasoning(text) == ("", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Answer:** Paris", "Paris"),
        ("**Answer**: Paris", "Paris"),
        ("Answer: **Paris**", "Paris"),
        ("**Answer: Paris**", "Paris"),
        ("**Answer: Paris.**", "Paris"),
        ("*Answer: **Paris***", "Paris"),
        ("**Final Answer:** Paris", "Paris"),
        ("**Final answer: Paris**", "Paris"),
        ("### Answer: *Paris*", "Paris"),
        ("## Answer:\n\n**Paris**", "Paris"),
        ("Answer:\n### Paris", "Paris"),
        ("> - __Answer:__ Paris", "Paris"),
        ("`Answer:` Paris", "Paris"),
        ("Answer:\n```\nParis\n```", "Paris"),
        ("Answer : Paris", "Paris"),
        ("Answer：Paris", "Paris"),
        ('Answer: "Paris"', "Paris"),
        ("Answer: “Paris.”", "Paris"),
        ("Answer: 'Paris'.", "Paris"),
        ("Answer: „Paris“", "Paris"),
        ("Answer: «Paris»", "Paris"),
        ("Answer: 「巴黎」", "巴黎"),
        ("Answer: `Paris`", "Paris"),
        ("Answer: $\\boxed{Paris}$", "Paris"),
        ("Answer: 'don't know'", "don't know"),
        ("Answer: **kwargs", "**kwargs"),
        ("Answer: *args", "*args"),
        ("Answer: f(*args, **kwargs)", "f(*args, **kwargs)"),
        ("Answer: 2**3", "2**3"),
        ("Answer: __init__", "__init__"),
        ("Answer: 'tis", "'tis"),
        ("Answer: # comment", "# comment"),
        ('Answer: He said "hi" and left', 'He said "hi" and left'),
        ('Answer: "a" and "b"', '"a" and "b"'),
        ("Answer: *x* and *y*", "*x* and *y*"),
        ("Answer: **Paris** (France)", "**Paris** (France)"),
    ],
)
def test_markup_around_a_marked_text_is_dropped(text: str, expected: str) -> None:
    assert AnswerParser({"kind": "marked", "marker": "Answer:"}).read(text) == expected


@pytest.mark.parametrize(
    "text", ["**The answer is** Paris.", "The answer is: **Paris**.", "**The** answer is *Paris*."]
)
def test_markup_inside_a_marker_does_not_hide_it(text: str) -> None:
    assert AnswerParser({"kind": "marked", "marker": "The answer is"}).read(text) == "Paris"


@pytest.mark.parametrize("kind", ["text", "line"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Paris**", "Paris"),
        ('"Paris"', "Paris"),
        ("```python\nf(*x)\n```", "f(*x)"),
        ("*args", "*args"),
        ("*.py*", "*.py*"),
    ],
)
def test_markup_around_whole_texts_is_dropped(kind: str, text: str, expected: str) -> None:
    parser = AnswerParser({"kind": kind})
    assert parser.read(text) == expected
    assert parser.canonical(expected) == expected


def test_what_a_pattern_or_a_field_holds_stays_as_it_is() -> None:
    assert AnswerParser({"kind": "json", "field": "a"}).read('{"a": "**x**"}') == "**x**"
    assert AnswerParser({"kind": "regex", "pattern": r"\S+$"}).read('say "x"') == '"x"'


@given(
    st.text(alphabet="ab *_`\"'“”.", max_size=12),
    st.sampled_from(["**{}**", "*{}*", '"{}"', "“{}”", "«{}»", "`{}`", "{}"]),
)
def test_what_is_inside_stays(inner: str, around: str) -> None:
    answer = unwrap(around.format(inner))
    assert answer in around.format(inner)
    assert unwrap(answer) == answer
    if inner.strip().isalpha() and inner == inner.strip():
        assert answer == inner


def test_helpers() -> None:
    assert first_line("\n\n```py\nx = 1\n```") == ("x = 1", True, True)
    assert first_line(" x") == ("x", False, False)
    assert first_line("```\n") is None
    assert strip_emphasis("**A***, *b* a*b*c __x__ a_b_c `d`") == "A*, b a*b*c x a_b_c d"
    assert strip_tags("A<sup>+</sup> &lt; 3 &notit <td>x</td>") == "A+ < 3 &notit \nx\n"


@pytest.mark.parametrize(
    "unit",
    ["<", "<think>", "</think>", "think<", "`", "*", '"', "“", "```\n", "[THINK", "&lt;", "<b ", "**a", "Answer:**"],
)
@pytest.mark.parametrize("kind", ["marked", "label", "number"])
def test_a_megabyte_is_read(kind: str, unit: str) -> None:
    parser, text = AnswerParser(KINDS[kind]), unit * (1_000_000 // len(unit))
    parser.read(text)
    parser.reasoning(text)
