"""What counts as a near-duplicate, what does not, and how many planted copies are found."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptkit.data import measure_leakage
from promptkit.data.item import Item
from promptkit.data.near import CONTAINED, KIN, NEAR, Corpus, NearIndex
from promptkit.types import Example, Query

VOCABULARY = [
    a + b + c
    for a, b, c in itertools.product(
        ["ba", "ce", "di", "fo", "gu", "ha", "le", "mi", "no", "pu"],
        ["lor", "tan", "rik", "mes", "vun"],
        ["", "a", "is"],
    )
]


def example(text: str, target: str = "x") -> Example:
    return Example(Query({"question": text}), (target,))


def prose(seed: int) -> str:
    """A sentence of 8 to 24 words, frequent ones more often, as in a language."""
    draw = random.Random(seed)
    weights = [1 / (rank + 2) for rank in range(len(VOCABULARY))]
    return " ".join(draw.choices(VOCABULARY, weights, k=draw.randint(8, 24))).capitalize() + "."


def problem(seed: int) -> Example:
    """A word problem from one of three frames."""
    draw = random.Random(seed)
    name, other = draw.sample("Joe Ann Mia Tom Sue Bob Eve Max Lia Dan Kim Ned".split(), 2)
    thing = draw.choice("apples pears oranges plums coins cards books pens".split())
    a, b = draw.randint(5, 20), draw.randint(1, 5)
    text, answer = draw.choice(
        [
            (f"{name} has {a} {thing} and got {b} more. How many {thing} does {name} have?", a + b),
            (f"{name} had {a} {thing}. {other} took {b} of them. How many {thing} are left?", a - b),
            (f"There are {a} {thing} on the table and {name} adds {b}. How many {thing} are there?", a + b),
        ]
    )
    return example(text, str(answer))


def ticket(seed: int) -> Example:
    """A message from one frame with a greeting and a closing line that may be missing, and few labels."""
    draw = random.Random(seed)
    thing = draw.choice("phone laptop router card printer tablet camera watch modem scanner".split())
    what = draw.choice(["broke", "stopped working", "makes a noise", "does not start", "is very slow", "gets hot"])
    when = draw.choice(["since Monday", "after the update", "when I travel", "since last week", "at night"])
    start = draw.choice(["Hello, ", "Hi team, ", "Dear support, ", "", "Good day. "])
    end = draw.choice(["", " Can you fix it?", " I need it for work.", " Thank you."])
    return example(f"{start}my {thing} {what} {when}.{end}", draw.choice(["hardware", "service"]))


def note(seed: int) -> Example:
    """A short message from one of three frames, with its rewriting as a target that few others have."""
    draw = random.Random(seed)
    verb, rewritten = draw.choice("get:receive buy:purchase ask:enquire send:dispatch keep:retain".split()).split(":")
    thing = draw.choice("cups kites rings shoes bells socks jars eggs bricks shirts peaches nails".split())
    day = draw.choice("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
    number = draw.randint(2, 40)
    text, target = draw.choice(
        [
            (f"please {verb} {number} {thing}", f"Kindly {rewritten} {number} {thing}."),
            (f"they {verb} some {thing} on {day}", f"They {rewritten} several {thing} on {day[:3]}."),
            (f"I can't {verb} the last {number} {thing}", f"I cannot {rewritten} the final {number} {thing}."),
        ]
    )
    return example(text, target)


def different(make: Callable[[int], Example], count: int) -> list[Example]:
    """The first different items that a generator makes, in an order that has nothing to do with their content."""
    found: dict[str, Example] = {}
    for seed in itertools.count():
        item = make(seed)
        found.setdefault(item.query.key, item)
        if len(found) == count:
            return list(found.values())
    raise AssertionError


def change(words: int) -> Callable[[str, random.Random], str]:
    def edit(text: str, draw: random.Random) -> str:
        parts = text.split(" ")
        free = [at for at, part in enumerate(parts) if not re.search(r"\d", part)]
        for at in draw.sample(free, words):
            parts[at] = draw.choice([word for word in VOCABULARY if word != parts[at].lower()])
        return " ".join(parts)

    return edit


def append(text: str, draw: random.Random) -> str:
    return text + draw.choice([" Please answer.", " Explain your reasoning in 3 steps.", " Thanks a lot for any help."])


def prepend(text: str, draw: random.Random) -> str:
    return "Here is a question for you. " + text


def drop(text: str, draw: random.Random) -> str:
    parts = text.split(" ")
    del parts[draw.choice([at for at, part in enumerate(parts) if not re.search(r"\d", part)])]
    return " ".join(parts)


EDITS = {"one word": change(1), "two words": change(2), "append": append, "prepend": prepend, "drop": drop}
SETS: dict[str, Callable[[int], Example]] = {
    "prose": lambda seed: example(prose(seed)),
    "labelled prose": lambda seed: example(prose(seed), f"label {seed % 3}"),
    "problems": problem,
    "tickets": ticket,
    "notes": note,
}


def near(train: list[Example], test: list[Example]) -> set[int]:
    found = measure_leakage(train, test=test).overlap("test", "train")
    return {match.row for match in found.matches if match.grade == "near"}


@pytest.mark.parametrize("kind", SETS)
def test_clean_sets_have_no_near_copies(kind: str) -> None:
    rows = different(SETS[kind], 800)
    assert near(rows[:500], rows[500:]) == set()


@pytest.mark.parametrize("planted", [1, 5, 50])
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("kind", ["prose", "labelled prose"])
def test_planted_copies_are_found(kind: str, edit: str, planted: int) -> None:
    draw = random.Random(planted)
    rows = different(SETS[kind], 800)
    train, test = rows[:500], rows[500:]
    for row in range(planted):
        text = EDITS[edit](train[row * 7].query.fields["question"], draw)
        test[row] = example(text, train[row * 7].target)
    found = near(train, test)
    assert len(found & set(range(planted))) >= 0.95 * planted
    assert found <= set(range(planted))


PLANTED = list(itertools.product(["problems", "tickets", "notes"], ["one word", "append", "prepend", "two words"]))


def found_in_frames(kind: str, edit: str) -> set[int]:
    draw = random.Random(5)
    rows = different(SETS[kind], 800)
    train, test = rows[:500], rows[500:]
    for row in range(50):
        test[row] = example(EDITS[edit](train[row].query.fields["question"], draw), train[row].target)
    return near(train, test)


@pytest.mark.parametrize(("kind", "edit"), PLANTED)
def test_copies_planted_into_frames_are_found_by_what_no_frame_says(kind: str, edit: str) -> None:
    assert len(found_in_frames(kind, edit) & set(range(50))) >= 0.95 * 50


@pytest.mark.parametrize(("kind", "edit"), PLANTED)
def test_nothing_but_the_copies_planted_into_frames_is_found(kind: str, edit: str) -> None:
    assert found_in_frames(kind, edit) <= set(range(50))


def test_a_copy_in_train_is_found_as_well_as_one_in_test() -> None:
    rows = different(SETS["prose"], 400)
    draw = random.Random(0)
    copies = [example(change(1)(row.query.fields["question"], draw)) for row in rows[300:350]]
    assert near(rows[:300] + copies, rows[300:]) == set(range(50))


FRAME = "Joe has 3 oranges and he got 1 more. How many oranges does he have?"


@pytest.mark.parametrize(
    ("text", "target", "copy"),
    [
        ("Joe has 3 oranges and he got 1 more. How many oranges does he really have?", "4", True),
        ("Joe had 3 oranges and then got 1 more. How many oranges does he have?", "4", True),
        ("Read this. Joe has 3 oranges and he got 1 more. How many oranges does he have? Answer in 1 word.", "4", True),
        ("Joe has 4 oranges and he got 1 more. How many oranges does he have?", "4", False),  # a number
        ("Joe has 3 oranges and he got 11 more. How many oranges does he have?", "4", False),
        ("Joe has three oranges and he got 1 more. How many oranges does he have?", "4", False),
        ("Joe has 1 orange and he got 3 more. How many oranges does he have?", "4", False),  # their order
        ("Joe has 3 oranges and he got 1 more. How many oranges does he really have?", "5", False),  # the target
        ("Sue paid 3 dollars for cheese and 1 for bread. What did she pay in total?", "4", False),
    ],
)
def test_numbers_and_targets_must_agree(text: str, target: str, copy: bool) -> None:
    clean = different(SETS["prose"], 30)
    assert near([example(FRAME, "4"), *clean], [example(text, target)]) == ({0} if copy else set())


def test_one_common_target_is_enough() -> None:
    clean = different(SETS["prose"], 30)
    one = Example(Query({"question": "Which town is the largest one in France?"}), ("Paris", "Paris, France"))
    two = Example(Query({"question": "Which city is the largest one in France?"}), ("the capital", "PARIS"))
    assert near([one, *clean], [two]) == {0}


def test_signs_between_numbers_count_as_numbers() -> None:
    clean = different(SETS["prose"], 30)
    assert (
        near(
            [example("Please work out 2 + 2 for me now", "4"), *clean],
            [example("Please work out 2 * 2 for me now", "4")],
        )
        == set()
    )


def test_other_names_in_a_frame_are_no_copy() -> None:
    rows = different(problem, 700)
    joe = example("Joe has 7 plums and got 2 more. How many plums does Joe have?", "9")
    kim = example("Kim has 7 plums and got 2 more. How many plums does Kim have?", "9")
    assert near([joe, *rows[:400]], [kim, *rows[400:]]) == set()
    # The twin: among texts of other frames the same pair is a copy but for a name.
    clean = different(SETS["prose"], 400)
    assert near([joe, *clean[:200]], [kim, *clean[200:]]) == {0}


def test_an_open_slot_in_a_frame_is_no_copy() -> None:
    rows = [example(f"What are the most frequent symptoms of {word} fever?", "symptoms") for word in VOCABULARY]
    clean = different(SETS["labelled prose"], 400)
    assert near(rows[:80] + clean[:200], rows[80:] + clean[200:]) == set()


def test_a_new_word_in_a_closed_slot_is_a_copy_however_many_others_fill_the_slot() -> None:
    things = "phone laptop router card printer tablet camera watch modem scanner".split()
    makes = [f"my {thing} {what} since last week" for thing in things for what in ("broke", "beeps", "is hot")]
    rows = [
        example(f"{start}{text}", "service") for text in makes for start in ("", "Hello, ", "Good day. ", "Dear all, ")
    ]
    random.Random(0).shuffle(rows)
    assert near(rows[:80], rows[80:]) == set()
    copy = example(re.sub(r"my \w+", "my balor", rows[0].query.fields["question"]), "service")
    assert near(rows[:80], [copy, *rows[80:]]) == {0}


def test_a_hundred_items_of_a_frame_are_no_copies_of_each_other() -> None:
    # Few items leave most runs of three words new; that others are as alike by chance is what tells.
    rows = different(ticket, 150)
    assert near(rows[:100], rows[100:]) == set()


def test_texts_of_three_words_are_no_near_copies() -> None:
    clean = different(SETS["prose"], 100)
    assert near([example("Where is it?"), *clean], [example("Where is she?"), example("So where is it?")]) == set()


def test_a_short_phrase_in_a_long_text_is_no_copy() -> None:
    clean = different(SETS["prose"], 100)
    long = f"{prose(901)} I want a refund {prose(902)}"
    assert near([example(long), *clean], [example("I want a refund")]) == set()
    assert near([example("Well, I want a refund now"), *clean], [example("I want a refund")]) == {0}


def test_chinese_copies_are_found_by_characters() -> None:
    draw = random.Random(1)
    signs = [chr(code) for code in range(0x4F00, 0x4F00 + 300)]
    rows = [example("".join(draw.choices(signs, k=draw.randint(10, 25)))) for _ in range(300)]
    copies = []
    for row in rows[:50]:
        text = list(row.query.fields["question"])
        text[draw.randrange(len(text))] = "鯨"
        copies.append(example("".join(text)))
    assert near(rows[:200], copies + rows[200:]) == set(range(50))


def test_a_copy_with_several_fields_is_found() -> None:
    def item(facts: str, question: str) -> Example:
        return Example(Query({"facts": facts, "question": question}), ("x",))

    rows = [item(prose(n), prose(1000 + n)) for n in range(100)]
    copy = item(prose(3) + " One more fact.", prose(1003))
    assert near(rows[:60], [copy, *rows[60:]]) == {0}


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_index_finds_what_comparing_all_pairs_finds(seed: int) -> None:
    draw = random.Random(seed)
    few = [*VOCABULARY[:12], "3", "4"]
    items = [
        Item(example(" ".join(draw.choices(few, k=draw.randint(3, 9))), draw.choice(["one", "two"]))) for _ in range(40)
    ]
    corpus = Corpus({"test": items[:20], "train": items[20:]})
    index = NearIndex(corpus, "test", "train", items[20:])

    def likeness(one: Item, two: Item) -> float:
        short, long = sorted((one, two), key=lambda item: item.size)
        if one.targets != two.targets or short.size < 4:
            return 0
        if short.runs[0] in long.runs[0] and short.size >= long.size / 4:
            return CONTAINED
        rarity = corpus.targets[next(iter(one.targets))]
        mean = (corpus.weight(one.grams) + corpus.weight(two.grams)) / 2 + rarity
        return (corpus.weight(one.grams & two.grams) + rarity) / mean if one.number_bag == two.number_bag else 0

    for item, least in itertools.product(items[:20], [NEAR, KIN * NEAR]):
        found = {place: like for like, place in index.alike(item, least)}
        shares = {place for place, other in enumerate(items[20:]) if item.grams & other.grams}
        expected = {place: likeness(item, other) for place, other in enumerate(items[20:]) if place in shares}
        assert found == pytest.approx({place: like for place, like in expected.items() if like >= least})
        likes = [like for like, _ in index.alike(item, least)]
        assert likes == sorted(likes, reverse=True)


def test_the_result_does_not_depend_on_the_order_of_rows() -> None:
    rows = different(SETS["prose"], 200)
    draw = random.Random(2)
    test = [example(change(1)(row.query.fields["question"], draw)) for row in rows[:20]]
    found = measure_leakage(rows, test=test).overlap("test", "train").matches
    turned = measure_leakage(rows[::-1], test=test[::-1]).overlap("test", "train").matches
    assert {(match.row, match.original, match.likeness) for match in found} == {
        (19 - match.row, 199 - match.original, match.likeness) for match in turned
    }
