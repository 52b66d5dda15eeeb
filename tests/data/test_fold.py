"""Texts as they look, multiple-choice questions whatever the order of options, and frames of open slots."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.data import measure_leakage
from promptkit.data.choices import find_choices
from promptkit.data.fold import fold
from promptkit.data.frames import Frames
from promptkit.data.item import Item
from promptkit.types import Example, Query

CYRILLIC = str.maketrans("aceopxyijsABCEHKMOPTXY", "асеорхуіјѕАВСЕНКМОРТХУ")
GREEK = str.maketrans("aoviukABEZHIKMNOPTYX", "αονιυκΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")
SCRIPTS = {"cyrillic": CYRILLIC, "greek": GREEK}


def example(text: str, target: str = "x", **fields: str) -> Example:
    return Example(Query({"question": text, **fields}), (target,))


def found(train: Example, test: Example) -> str:
    """The grade of a match among texts that have nothing to do with either; "" for none."""
    others = [example(f"{a} {b} {c} were told of {n}", str(n)) for n, (a, b, c) in enumerate(OTHERS)]
    matches = measure_leakage([train, *others[:40]], test=[test, *others[40:]]).overlap("test", "train").matches
    return {match.row: match.grade for match in matches}.get(0, "")


_DRAW = random.Random(0)
_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
OTHERS = [tuple("".join(_DRAW.choices(_SYLLABLES, k=3)) for _ in range(3)) for _ in range(80)]
QUESTION = "Anna has 3 nice apples and a box of 12 pears. How many pieces of fruit does she have?"


# --- letters and digits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS)
@given(text=st.text(st.sampled_from("aceopxyijsviuk bdfgABCEHKMOPTXY019 .?"), max_size=40))
def test_letters_that_look_alike_are_equal(script: str, text: str) -> None:
    disguised = f"{text.translate(SCRIPTS[script])} xаb"  # some word mixes scripts, which tells of a disguise
    assert fold(disguised) == fold(f"{text} xab")


@given(st.text(max_size=30))
def test_folding_is_stable_and_forgets_case_width_and_composition(text: str) -> None:
    once = fold(text)
    assert fold(once) == once or unicodedata.normalize("NFKC", once) != once or not once.isascii()
    plain = "".join(char for char in text if char.isascii())
    assert fold(plain) == plain.casefold()


@pytest.mark.parametrize("zero", ["٠", "۰", "०", "০", "๐", "０", "𝟎", "𝟘"])
def test_digits_of_all_scripts_are_digits(zero: str) -> None:
    text = "".join(chr(ord(zero) + int(char)) if char.isdigit() else char for char in QUESTION)
    assert fold(text) == fold(QUESTION) and text != QUESTION
    assert found(example(QUESTION, "15"), example(text, "15")) == "normalised"
    other = text.replace(chr(ord(zero) + 3), chr(ord(zero) + 4))
    assert found(example(QUESTION, "15"), example(other, "15")) == ""  # the twin: another number


@pytest.mark.parametrize(
    "text", ["An\u200bna h\u00adas", "A\u034fnna \u202ehas", "Anna\ufe0f has\u2060", "A\u0336nna has"]
)
def test_what_nobody_sees_does_not_count(text: str) -> None:
    assert fold(text) == "anna has"


@pytest.mark.parametrize("script", [*SCRIPTS, "full width", "mathematical", "small capitals"])
def test_disguised_copies_are_found(script: str) -> None:
    tables = {
        **SCRIPTS,
        "full width": {code: code + 0xFEE0 for code in range(33, 127)},
        "mathematical": {ord("a") + n: 0x1D41A + n for n in range(26)},
        "small capitals": str.maketrans("abcdeghijklmnoprtuvwyz", "ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ"),
    }
    assert found(example(QUESTION, "15"), example(QUESTION.translate(tables[script]), "15")) == "normalised"
    changed = QUESTION.replace("12", "13").translate(tables[script])
    assert found(example(QUESTION, "16"), example(changed, "16")) == ""  # the twin: another number


def test_texts_of_other_scripts_stay_themselves() -> None:
    assert fold("Вода") == fold("ВОДА") == "вода" and fold("Νερό") == "νερό"
    assert fold("вoда") == "вода"  # a Latin o in a Russian word
    assert fold("α + a") == "α + a" and fold("Find ν in m/s") == "find ν in m/s"  # names in mathematics
    assert (
        found(example("What is α times a squared minus 7?"), example("What is a times α squared minus 7?"))
        != "normalised"
    )
    assert fold("小王在长春有93个书") == "小王在长春有93个书"


# --- options -------------------------------------------------------------------------------------------------------

OPTIONS = ["a quarter of it", "half of the water", "none of these", "two thirds"]
FORMS = ["{}) {}", "({}) {}", "[{}] {}", "{}. {}", "{}: {}", "**{}.** {}"]


def choice(options: list[str], form: str, between: str, labels: str = "ABCD") -> str:
    lines = between.join(form.format(label, option) for label, option in zip(labels, options, strict=True))
    return f"How much of the water is left in the second bucket after 12 minutes?\n{lines}\nAnswer:"


@pytest.mark.parametrize("labels", ["ABCD", "abcd", "1234", "0123"])
@pytest.mark.parametrize("between", ["\n", "  ", ", "])
@pytest.mark.parametrize("form", FORMS)
def test_reordered_options_with_another_letter_are_a_copy(form: str, between: str, labels: str) -> None:
    if "**" in form and between != "\n":
        return  # bold labels stand on lines
    turned = [OPTIONS[at] for at in (2, 0, 3, 1)]
    one = example(choice(OPTIONS, form, between, labels), labels[1])
    two = example(choice(turned, form, between, labels), labels[3])
    assert found(one, two) == "near"
    wrong = example(choice(turned, form, between, labels), labels[0])  # the twin: another option is right
    assert found(one, wrong) == ""
    other = example(choice([*turned[:3], "half of the tea"], form, between, labels), labels[3])
    assert found(one, other) == ""  # the twin: the right option says something else


def test_options_in_fields_of_their_own_and_targets_by_text() -> None:
    def item(options: list[str], target: str) -> Example:
        named = dict(zip(("option_a", "option_b", "option_c", "option_d"), options, strict=True))
        return example("How much of the water is left in the second bucket?", target, **named)

    turned = OPTIONS[::-1]
    assert found(item(OPTIONS, "B"), item(turned, "C")) == "near"
    assert found(item(OPTIONS, "(B)"), item(turned, "Option C")) == "near"
    assert found(item(OPTIONS, OPTIONS[1]), item(turned, OPTIONS[1])) == "near"
    assert found(item(OPTIONS, "B"), item(turned, "B")) == ""


def test_lists_that_are_no_options_keep_their_order() -> None:
    def steps(first: str, second: str) -> Example:
        return example(f"What comes of it?\n1. {first}\n2. {second}\n3. Serve it cold.", "soup")

    assert find_choices({"q": fold(steps("boil it", "cut it").query.fields["question"])}) is not None
    one, two = Item(steps("boil it", "cut it")), Item(steps("cut it", "boil it"))
    assert one.targets == two.targets == {"soup"} and one.loose != two.loose
    assert find_choices({"q": "it costs 1.5 and 2.5 and 3.5"}) is None
    assert find_choices({"q": "see section a. there is no other"}) is None
    assert find_choices({"a": "red", "z": "blue"}) is None


# --- sentences -----------------------------------------------------------------------------------------------------

STORY = ["Anna buys 3 pears at the market", "Her brother eats 2 of the plums", "Later she finds 7 nuts in a tree"]


def story(order: tuple[int, ...], texts: list[str] = STORY) -> Example:
    return example(" ".join(f"{texts[at]}." for at in order) + " How many things are in the basket?", "8")


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_reordered_sentences_are_a_copy(order: tuple[int, ...]) -> None:
    assert found(story((0, 1, 2)), story(order)) == "near"
    edited = [STORY[0].replace("market", "shop"), *STORY[1:]]
    assert found(story((0, 1, 2)), story(order, edited)) == "near"
    swapped = [STORY[0].replace("3", "2"), STORY[1].replace("2", "7"), STORY[2].replace("7", "3")]
    assert found(story((0, 1, 2)), story(order, swapped)) == ""  # the twin: numbers that changed their places
    other = [STORY[0].replace("3", "4"), *STORY[1:]]
    assert found(story((0, 1, 2)), story(order, other)) == ""


# --- frames --------------------------------------------------------------------------------------------------------


def test_another_thing_in_an_open_slot_is_another_item() -> None:
    names = ["".join(_DRAW.choices(_SYLLABLES, k=4)) for _ in range(300)]
    rows = [example(f"What are the symptoms of {name} disease?", "symptoms") for name in names[:150]]
    rows += [example(f"Is {name} syndrome inherited?", "inheritance") for name in names[150:]]
    _DRAW.shuffle(rows)
    near = measure_leakage(rows[:200], test=rows[200:]).overlap("test", "train")
    assert near.matches == ()
    asked = rows[0].query.fields["question"]
    same = example(asked.replace("What are", "Which are").replace("Is ", "Was "), rows[0].target)
    assert len(measure_leakage(rows[:200], test=[same, *rows[200:]]).overlap("test", "train").matches) == 1  # the twin


def test_the_frame_alone_is_no_copy_of_what_fills_it() -> None:
    names = ["".join(_DRAW.choices(_SYLLABLES, k=4)) for _ in range(60)]
    rows = [example(f"Who is at risk for {name}?", "risk") for name in names]
    bare = example("Who is at risk for?", "risk")
    assert measure_leakage([bare, *rows[:30]], test=rows[30:]).overlap("test", "train").matches == ()


def test_a_slot_of_few_values_is_no_open_slot() -> None:
    items = [
        Item(f"My {thing} {what} again") for thing in "phone card laptop".split() for what in "broke beeps hums".split()
    ]
    frames = Frames(items)
    assert not any(frames.differ(one, two) for one in items for two in items)
