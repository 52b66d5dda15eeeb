"""Labels and choice letters: read whole or not at all, whatever stands around them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.parsing.parser import AnswerParser

Reading = Callable[[str], str | None]
SETS = {
    "sentiment": ("-1", "0", "1"),
    "languages": ("C", "C++", "C#"),
    "grades": ("A", "A+", "A-"),
    "stars": ("A*", "A", "B"),
    "replies": ("Yes", "Yes!"),
    "platforms": (".NET", "Java", "n/a"),
    "covered": ("spam", "not spam"),
    "plain": ("spam", "ham"),
    "answers": ("no", "no answer", "yes"),
    "ratings": ("1", "2", "3", "4", "5"),
    "teams": ("billing", "technical", "account"),
    "knowledge": ("don't know", "know"),
    "chinese": ("满意", "不满意"),
    "tags": ("<pos>", "<neg>"),
    "identifiers": ("POS_ADJ", "POS"),
}
WHOLE = [
    ("sentiment", "−1.", "-1"),
    ("sentiment", "The label is -1.", "-1"),
    ("sentiment", "-**1**", "-1"),
    ("sentiment", "minus 1", "-1"),
    ("sentiment", "$-1$", "-1"),
    ("sentiment", "\\boxed{-1}", "-1"),
    ("sentiment", "\\(-1\\)", "-1"),
    ("sentiment", "-1.0", "-1"),
    ("sentiment", "+1", "1"),
    ("sentiment", "1\ufe0f\u20e3", "1"),
    ("sentiment", "Not 1 but 0", "0"),
    ("sentiment", "- 1", None),
    ("sentiment", "10", None),
    ("sentiment", "0/1", None),
    ("sentiment", "½", None),
    ("sentiment", "1²", None),
    ("sentiment", "1%", None),
    ("sentiment", "1e3", None),
    ("sentiment", "-1-", None),
    ("sentiment", "label_1", None),
    ("sentiment", "-1, 0 or 1", None),
    ("languages", "I use C++.", "C++"),
    ("languages", "*C*++", "C++"),
    ("languages", "C<b>++</b>", "C++"),
    ("languages", "C\\+\\+", "C++"),
    ("languages", "C&#43;&#43;", "C++"),
    ("languages", "C++11", None),
    ("languages", "C+++", None),
    ("languages", "F#", None),
    ("languages", "Objective-C", None),
    ("languages", "C/C++", None),
    ("languages", "C or C++", None),
    ("grades", "A−", "A-"),
    ("grades", "A⁺", "A+"),
    ("grades", "A<sup>+</sup>", "A+"),
    ("grades", "Grade: A-.", "A-"),
    ("grades", "A +", None),
    ("grades", "A++", None),
    ("grades", "A-level", None),
    ("grades", "B+", None),
    ("grades", "A*", None),
    ("stars", "A*", "A*"),
    ("stars", "*A*", "A"),
    ("stars", "**A***", "A*"),
    ("stars", "the grade is *A*.", "A"),
    ("replies", "Yes! I do.", "Yes!"),
    ("replies", "Yes, I do.", "Yes"),
    ("platforms", "Use .NET.", ".NET"),
    ("platforms", "N/A", "n/a"),
    ("platforms", "ASP.NET", None),
    ("platforms", "JavaScript", None),
    ("covered", "This is **not** spam.", "not spam"),
    ("covered", 'not "spam"', "not spam"),
    ("covered", "NOT SPAM!", "not spam"),
    ("covered", "non-spam", None),
    ("covered", "It isn't spam", None),
    ("plain", "This is not spam", None),
    ("plain", "not spam but ham", "ham"),
    ("plain", "neither spam nor ham", None),
    ("plain", "not spam or ham", None),
    ("plain", "~~spam~~ ham", "ham"),
    ("plain", "antispam", None),
    ("plain", "spam's", None),
    ("answers", "no answer", "no answer"),
    ("answers", "yes and no", None),
    ("answers", "I know", None),
    ("ratings", "4 out of 5", "4"),
    ("ratings", "4 stars", "4"),
    ("ratings", "[[4]]", "4"),
    ("ratings", "#4", "4"),
    ("ratings", "2 + 2 = 4", "4"),
    ("ratings", "4/5", None),
    ("ratings", "4,5", None),
    ("ratings", "3½", None),
    ("ratings", "3-4", None),
    ("ratings", "3 to 7", None),
    ("ratings", "10:30", None),
    ("ratings", "5 000", None),
    ("ratings", "\\frac{3}{4}", None),
    ("ratings", "v4", None),
    ("ratings", "4 because 5 is too high", None),
    ("teams", "It is a billing issue", "billing"),
    ("teams", "Billing. Not technical.", "billing"),
    ("teams", "billing, billing", "billing"),
    ("teams", "Billing, technical, account, or", None),
    ("teams", "billing,technical", None),
    ("teams", "sub-billing", None),
    ("teams", "billing_account", None),
    ("knowledge", "I don’t know", "don't know"),
    ("chinese", "不满意", "不满意"),
    ("chinese", "我很满意。", "满意"),
    ("tags", "The tag is <neg>.", "<neg>"),
    ("identifiers", "POS\\_ADJ", "POS_ADJ"),
    ("identifiers", "POS_NOUN", None),
]
MARKED = [
    ("ratings", "4 because 5 is too high", "4"),
    ("ratings", "4 of 5", "4"),
    ("ratings", "**4**/5", None),
    ("ratings", "4, 5", None),
    ("ratings", "-4", None),
    ("ratings", ".4", None),
    ("ratings", "3.7 of 5", None),
    ("ratings", "4.0", "4"),
    ("ratings", "4 (5 is too high)", "4"),
    ("teams", "<billing>", "billing"),
    ("teams", "billing or technical", None),
    ("teams", "billing and/or technical", None),
    ("teams", "billing technical", None),
    ("teams", "`billing`, `technical`", None),
    ("teams", "billing or", None),
    ("teams", "billing (technical is wrong)", "billing"),
    ("teams", "The label is billing", "billing"),
    ("teams", "The label is billing, not technical", "billing"),
    ("teams", "not billing but technical", "technical"),
    ("teams", "\n- **billing**", "billing"),
    ("teams", "**billing**, since it is about an invoice", "billing"),
]
LETTERS = [
    ("A dog", None),
    ("A is correct", "A"),
    ("A. Paris", "A"),
    ("I think A dog is right", None),
    ("The answer is **b**.", "B"),
    ("The answer is $\\boxed{B}$.", "B"),
    ("Vitamin B12", None),
    ("U.S.A.", None),
    ("Ⓑ", "B"),
]
MARKED_LETTERS = [
    ("(B) A dog", "B"),
    ("B A dog", "B"),
    ("B - A dog", "B"),
    ("B, because A is small", "B"),
    ("A dog", None),
    ("A/B", None),
    ("A, B", None),
    ("A & B", None),
    ("AB", None),
    ("not A", None),
]


def reading(labels: tuple[str, ...], marker: str = "") -> Reading:
    return AnswerParser({"kind": "label", "labels": labels, "marker": marker or ()}).read


@pytest.mark.parametrize(("name", "text", "expected"), WHOLE)
def test_a_label_is_read_whole_or_not_at_all(name: str, text: str, expected: str | None) -> None:
    assert reading(SETS[name])(text) == expected


@pytest.mark.parametrize(("name", "text", "expected"), MARKED)
def test_behind_a_marker_the_label_at_the_start_counts(name: str, text: str, expected: str | None) -> None:
    assert reading(SETS[name], "Answer:")(f"So: **Answer:** {text}") == expected


@pytest.mark.parametrize(("text", "expected"), LETTERS)
def test_choice_letters(text: str, expected: str | None) -> None:
    assert AnswerParser({"kind": "choice"}).read(text) == expected


@pytest.mark.parametrize(("text", "expected"), MARKED_LETTERS)
def test_choice_letters_behind_a_marker(text: str, expected: str | None) -> None:
    assert AnswerParser({"kind": "choice", "marker": "Answer:"}).read(f"Answer: {text}") == expected


def test_a_label_alone_on_the_first_line_goes_before() -> None:
    assert reading(SETS["teams"])("Billing.\nIt is neither technical nor account.") == "billing"
    assert reading(SETS["teams"])("It is billing.\nOr technical.") is None


def test_labels_of_one_value_are_told_apart_by_their_spelling() -> None:
    read = reading(("1", "01", "2"))
    assert [read(text) for text in ("1", "01", "It is 01.", "2.0", "001")] == ["1", "01", "01", "2", None]


def test_a_label_at_the_edge_of_what_is_looked_at_is_not_read_in_part() -> None:
    read = reading(("spam", "ham"), "Answer:")
    for fill in range(9_980, 10_010):
        assert read("Answer: " + "x" * fill + " spammer") is None
    assert reading(("spam", "ham"))("antispam " + "x " * 4_998) is None


def test_labels_with_a_decimal_comma() -> None:
    read = AnswerParser({"kind": "label", "labels": ["0,5", "1"], "decimal": ","}).read
    assert [read(text) for text in ("0,5", "Es ist 0,50.", "1", "1,5")] == ["0,5", "0,5", "1", None]


@pytest.mark.parametrize("unit", ["A ", "not spam ", "spam ", "not ", "*a*", "½", "~~a", "<b ", "-1 ", "1+", "\\text{"])
def test_a_megabyte_is_read(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    for labels in (("spam", "not spam", "A"), ("-1", "0", "1", "n/a")):
        reading(labels)(text)
        reading(labels, "Answer")("Answer " + text)


# What may stand around a label without changing it; with these it is always read ...
KEPT = [
    "{}", "{}.", "{}.\n", " {} ", "**{}**", "__{}__", "`{}`", "({})", "[{}]", "{{{}}}", '"{}"', "“{}”", "«{}»", "「{}」", "'{}'", "**{}**.",
    "# {}", "> {}", "<b>{}</b>", "<p>{}</p>", "\\boxed{{{}}}", "$\\boxed{{{}}}$", "\\text{{{}}}", "**“{}”**", "\u200b{}\u200b", "{}\n\nBecause.",
    "The label is {}.", "It must be **{}** then.", "It is `{}`", "答案是{}。", "label={};", "{} (very sure)",
]  # fmt: skip
# ... and with these it may be given up, since they make something else of it.
KEPT_OR_NOT = [
    "{}x", "x{}", "{}1", "1{}", "{}+", "{}-", "-{}", "−{}", "{}#", "{}.5", "0.{}", "{},5", "{}/2", "2/{}", "{}:30", "{}²", "{}^2", "{}'s", "non-{}",
    "{}-ish", "_{}", "{}_", "not {}", "no {}", "isn't {}", "{}*", "@{}", "#{}", "{} 000", "{}%", "~~{}~~", "{}e3", "{}!", "{}?", "±{}",
    "{} or so", "\\sqrt{{{}}}", "{}½", "{} to 9", "9-{}", "x{}x", "{}{}", "&{}", "{}.0.1", "- {}", "{}…", "¿{}?", "{} - 1x", "<{}>",
]  # fmt: skip
FRAGMENTS = st.text(alphabet="AaB01-+#*! ./'é", min_size=1, max_size=4)


def clean(labels: list[str]) -> tuple[str, ...]:
    """Different labels that each have a letter or digit and no white space around them."""
    found: dict[str, str] = {}
    for label in labels:
        short = " ".join(label.split())
        if re.search(r"[^\W_]", short):
            found.setdefault(short.casefold().replace("*", ""), short)
    return tuple(found.values())


def is_whole(make: Callable[[tuple[str, ...]], Reading], labels: tuple[str, ...], place: int, around: str) -> None:
    """The property: what stands around a label gives this label or none, but where the whole text spells another one."""
    label = labels[place % len(labels)]
    text = around.format(*[label] * around.count("{}"))
    answer = make(labels)(text)
    if around in KEPT:
        assert answer == label, (labels, text)
    elif answer is not None and answer != label:
        assert len(answer) > len(label) and label.casefold() in answer.casefold(), (labels, text)


@given(st.sampled_from(sorted(SETS)), st.integers(0, 4), st.sampled_from(KEPT + KEPT_OR_NOT))
def test_whatever_stands_around_a_label_gives_it_or_abstains(name: str, place: int, around: str) -> None:
    is_whole(reading, SETS[name], place, around)


def names_its_answer(make: Callable[[tuple[str, ...]], Reading], labels: tuple[str, ...], text: str) -> None:
    """The property: what is read stands in the text as it is, and with no letter, digit or sign that touches it."""
    answer = make(labels)(text)
    if answer is None or re.search(r"\d", answer) or re.search(r"[\s*.'!]", answer):
        return
    assert re.search(rf"(?<![A-Za-z0-9_é#+-]){re.escape(answer)}(?![A-Za-z0-9_é#+-])", text, re.IGNORECASE), (
        labels,
        text,
    )


@given(st.lists(FRAGMENTS, min_size=1, max_size=4).map(clean).filter(bool), FRAGMENTS, st.integers(0, 3), FRAGMENTS)
def test_of_any_labels_none_is_read_out_of_a_longer_word(
    labels: tuple[str, ...], before: str, place: int, behind: str
) -> None:
    names_its_answer(reading, labels, before + labels[place % len(labels)] + behind)


def test_the_properties_catch_rules_that_strip_signs() -> None:
    def last_word(labels: tuple[str, ...]) -> Reading:
        def read(text: str) -> str | None:
            found = re.findall("|".join(rf"(?<!\w){re.escape(label.strip('+-#!.*'))}(?!\w)" for label in labels), text)
            return next((label for label in labels if found and label.startswith(found[-1])), None)

        return read

    caught = {"whole": 0, "alone": 0}
    for labels in SETS.values():
        for around in KEPT + KEPT_OR_NOT:
            try:
                is_whole(last_word, labels, len(labels) - 1, around)
            except AssertionError:
                caught["whole"] += 1
    for labels, text in [(("C", "C++"), "C+"), (("A", "B"), "A+"), (("a-b", "c"), "xa-b")]:
        try:
            names_its_answer(last_word, labels, text)
        except AssertionError:
            caught["alone"] += 1
    assert caught["whole"] > 100 and caught["alone"] >= 2
