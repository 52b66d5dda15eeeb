"""What is evidence for a copy, and what is not."""

from __future__ import annotations

import random

import pytest

from promptkit.data.chance import LONGEST, Chance, Step


def steps(text: str) -> list[Step]:
    words = text.split()
    return list(zip(["", *words], [*words, ""], strict=True))


THINGS = "phone laptop router card printer tablet camera watch modem scanner".split()
CLOSED = [f"my {thing} {what} today" for thing in THINGS for what in ("broke", "beeps", "smokes", "hangs")]
OPEN = [f"what is {letter}{vowel}x like" for letter in "bcdfghjklm" for vowel in "aeio"]
CHANCE = Chance(map(steps, [*CLOSED, *OPEN]))


def evidence(one: str, other: str) -> float:
    return CHANCE.evidence(steps(one), steps(other))


def test_the_more_a_text_keeps_of_what_is_rare_the_more_evidence() -> None:
    assert evidence("what is bax like", "what is bax like") > evidence("my card beeps today", "my card beeps today") > 0


def test_a_word_that_nobody_else_uses_is_more_evidence_in_a_closed_slot_than_in_an_open_one() -> None:
    said = {"closed": CLOSED[0], "open": OPEN[0]}
    changed = {"closed": said["closed"].replace("phone", "balor"), "open": said["open"].replace("bax", "balor")}
    chance = Chance(map(steps, [*CLOSED, *OPEN, *changed.values()]))
    closed, opened = (chance.evidence(steps(said[kind]), steps(changed[kind])) for kind in said)
    assert closed > opened
    # And more than a value that others have there, which is what items of a frame differ in.
    assert closed > chance.evidence(steps(CLOSED[0]), steps(CLOSED[4]))


def test_each_further_edit_takes_evidence_away() -> None:
    draw = random.Random(0)
    texts = [" ".join(draw.choices(THINGS, k=12)) for _ in range(40)]
    words, found = texts[0].split(), []
    for count in range(5):
        edited = [
            THINGS[THINGS.index(word) - 1] if at < 2 * count and at % 2 else word for at, word in enumerate(words)
        ]
        found.append(Chance(map(steps, texts)).evidence(steps(texts[0]), steps(" ".join(edited))))
    assert found == sorted(found, reverse=True) and len(set(found)) == 5


def test_what_a_text_repeats_is_evidence_once() -> None:
    assert evidence("bax bax bax bax", "bax bax bax bax") == pytest.approx(evidence("bax bax", "bax bax"), abs=1)


def test_evidence_is_the_same_from_both_sides() -> None:
    pairs = [(CLOSED[0], CLOSED[1]), (CLOSED[0], "my balor broke today"), (OPEN[0], CLOSED[0]), ("", OPEN[0]), ("", "")]
    for one, other in pairs:
        assert evidence(one, other) == evidence(other, one)


def test_long_texts_are_compared_by_their_first_words() -> None:
    long = " ".join(random.Random(0).choices(THINGS, k=LONGEST))
    assert evidence(long, long) == evidence(long + " my phone", long + " what is")


def test_without_texts_there_is_no_evidence() -> None:
    assert Chance([]).evidence([], []) == 0
