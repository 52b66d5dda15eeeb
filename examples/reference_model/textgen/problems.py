"""Word problems of one to five steps, with several routes of reasoning to the same answer."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise

from .words import HE, NAMES, THINGS, held_out


@dataclass(frozen=True)
class Step:
    """One operation: ``left sign right = result``, and what it is about."""

    left: int
    sign: str
    right: int
    result: int
    about: str


@dataclass(frozen=True)
class Problem:
    """A word problem: its text, its steps in order, and what is counted."""

    question: str
    steps: tuple[Step, ...]
    thing: str
    name: str

    @property
    def answer(self) -> int:
        """The result of the last step."""
        return self.steps[-1].result


def draw_problem(rng: random.Random, steps: int, high: int, *, training: bool = True) -> Problem:
    """Draws a problem.

    Args:
        rng: Source of randomness.
        steps: Number of arithmetic operations, 1 to 5.
        high: Largest number that is added or taken away; results stay under 1,000.
        training: Whether the problem may be seen in training, or is one of those held out.

    Returns:
        The problem.
    """
    while True:
        kind = rng.random()
        make = _chain if kind < 0.62 else _compare if kind < 0.84 else _price
        problem = make(rng, steps, high)
        if problem and len(problem.steps) == steps and held_out(problem.question) is not training:
            return problem


def _chain(rng: random.Random, steps: int, high: int) -> Problem | None:
    """One person's things become more and fewer."""
    name, other = rng.sample(NAMES, 2)
    he, his = ("he", "him") if name in HE else ("she", "her")
    thing = rng.choice(THINGS)
    have = rng.randint(2, high)
    text = [
        rng.choice(
            (f"{name} has {have} {thing}.", f"{name} had {have} {thing}.", f"There are {have} {thing} in {name}'s box.")
        )
    ]
    out: list[Step] = []
    while len(out) < steps:
        op = rng.random()
        who = he.capitalize() if rng.random() < 0.7 else rng.choice((name, "Then " + he, "Later " + he))
        number = rng.randint(1, high)
        if op < 0.4:
            text.append(
                rng.choice(
                    (
                        f"{who} bought {number} more.",
                        f"{who} found {number} more.",
                        f"{who} got {number} more {thing}.",
                        f"{other} gave {his} {number}.",
                        f"{who} won {number} {thing}.",
                    )
                )
            )
            out.append(Step(have, "+", number, have + number, "gain"))
        elif op < 0.75:
            if have < 2:
                continue
            number = rng.randint(1, min(high, have - 1))
            text.append(
                rng.choice(
                    (
                        f"{who} lost {number}.",
                        f"{who} gave {number} to {other}.",
                        f"{who} sold {number} of them.",
                        f"{who} used {number} {thing}.",
                        f"{number} of them broke.",
                    )
                )
            )
            out.append(Step(have, "-", number, have - number, "loss"))
        elif op < 0.85 and len(out) + 2 <= steps:
            packs, each = rng.randint(2, 6), rng.randint(2, min(12, max(3, high // 2)))
            pack = rng.choice(("boxes", "bags", "packs"))
            text.append(
                rng.choice(
                    (
                        f"{who} bought {packs} {pack} with {each} {thing} each.",
                        f"{other} brought {packs} {pack} of {each} {thing}.",
                    )
                )
            )
            out.append(Step(packs, "*", each, packs * each, "packs"))
            out.append(Step(have, "+", packs * each, have + packs * each, "gain"))
        elif op < 0.93:
            factor = rng.choice((2, 2, 3))
            text.append(f"Then the number of {thing} {'doubled' if factor == 2 else 'tripled'}.")
            out.append(Step(have, "*", factor, have * factor, "times"))
        elif have % 2 == 0:
            text.append(rng.choice((f"{who} gave half of them to {other}.", f"{who} sold half of them.")))
            out.append(Step(have, "/", 2, have // 2, "half"))
        if out:
            have = out[-1].result
        if have > 999:
            return None
    text.append(
        rng.choice(
            (
                f"How many {thing} does {name} have now?",
                f"How many {thing} does {name} have now?",
                f"How many {thing} does {he} have in total?",
                f"How many {thing} are there now?",
            )
        )
    )
    return Problem(" ".join(text), tuple(out), thing, name)


def _compare(rng: random.Random, steps: int, high: int) -> Problem | None:
    """Several people, each with more, fewer or times as many as the one before; perhaps all together."""
    together = steps >= 2 and rng.random() < 0.5
    links = steps // 2 if together and steps % 2 == 0 else steps
    together = together and links * 2 == steps
    names = rng.sample(NAMES, links + 1)
    thing = rng.choice(THINGS)
    have = rng.randint(2, high)
    counts = [have]
    text = [f"{names[0]} has {have} {thing}."]
    out: list[Step] = []
    for before, name in pairwise(names):
        op, number = rng.random(), rng.randint(1, high)
        if op < 0.45:
            text.append(f"{name} has {number} more {thing} than {before}.")
            out.append(Step(have, "+", number, have + number, name))
        elif op < 0.8 and have > 2:
            number = rng.randint(1, min(high, have - 1))
            text.append(f"{name} has {number} fewer {thing} than {before}.")
            out.append(Step(have, "-", number, have - number, name))
        else:
            factor = rng.choice((2, 2, 3, 4))
            text.append(f"{name} has {'twice' if factor == 2 else f'{factor} times'} as many {thing} as {before}.")
            out.append(Step(have, "*", factor, have * factor, name))
        have = out[-1].result
        counts.append(have)
    if together:
        total = counts[0]
        for count in counts[1:]:
            out.append(Step(total, "+", count, total + count, "together"))
            total += count
        text.append(
            rng.choice((f"How many {thing} do they have together?", f"How many {thing} do they have in total?"))
        )
        have = total
    else:
        text.append(f"How many {thing} does {names[-1]} have?")
    return Problem(" ".join(text), tuple(out), thing, names[-1]) if have <= 999 else None


def _price(rng: random.Random, steps: int, high: int) -> Problem | None:
    """Shopping: several kinds of things, perhaps change."""
    name = rng.choice(NAMES)
    he = "he" if name in HE else "she"
    things = rng.sample(THINGS, 3)
    change = steps > 1 and rng.random() < 0.4
    kinds, left = [], steps - int(change)
    while left > 0:
        if left >= 2 or not kinds:
            kinds.append(True)
            left -= 2 if len(kinds) > 1 else 1
        else:
            kinds.append(False)
            left -= 1
    if len(kinds) > 3:
        return None
    text, out, total = [], [], 0
    for i, several in enumerate(kinds):
        if several:
            price, count = rng.randint(2, min(20, max(3, high))), rng.randint(2, 9)
            text.append(
                rng.choice(
                    (
                        f"{name if not i else he.capitalize()} buys {count} {things[i]} for {price} coins each.",
                        f"{name if not i else he.capitalize()} bought {count} {things[i]} at {price} coins each.",
                    )
                )
            )
            out.append(Step(count, "*", price, count * price, things[i]))
            cost = count * price
        else:
            cost = rng.randint(1, high)
            text.append(f"{name if not i else he.capitalize()} pays {cost} coins for a bag.")
        if i:
            out.append(Step(total, "+", cost, total + cost, "total"))
        total += cost
    if change:
        paid = total + rng.randint(1, high)
        text.append(
            f"{name if not text else he.capitalize()} pays with {paid} coins. How many coins does {name} get back?"
        )
        out.append(Step(paid, "-", total, paid - total, "change"))
    else:
        text.append(f"How many coins does {name} spend?")
    return Problem(" ".join(text), tuple(out), "coins", name) if total <= 999 and out else None


SPOKEN = {"+": ("plus", "and", "added to"), "-": ("minus", "less", "without"), "*": ("times",), "/": ("divided by",)}
ROUTES = ("equations", "story", "running", "spoken", "list", "spaceless", "backward")


def _story(rng: random.Random, step: Step) -> str:
    equation = f"{step.left} {step.sign} {step.right} = {step.result}"
    lead = {
        "gain": ("After getting more there are", "That makes", "With these it is", "Now it is"),
        "loss": ("After that there are", "What is left is", "That leaves", "So"),
        "packs": ("The packs hold", "Inside are", "That is"),
        "times": ("The number becomes", "It grows to", "Now it is"),
        "half": ("Half of it is", "That leaves", "Half is"),
        "together": ("Together that is", "Adding gives", "The sum is"),
        "total": ("In all that is", "Adding gives", "The sum is"),
        "change": ("The change is", "Back comes", "What remains is"),
    }.get(step.about, (f"{step.about.capitalize()} make" if step.about[0].islower() else f"{step.about} has", "This gives", "So"))  # fmt: skip
    return f"{rng.choice(lead)} {equation}."


def reason(rng: random.Random, problem: Problem, route: str) -> str:
    """Writes the reasoning of a problem along one route, with free choice of words inside it.

    Args:
        rng: Source of randomness.
        problem: The problem.
        route: One of ``ROUTES``.

    Returns:
        The reasoning without the final answer sentence.
    """
    steps = problem.steps
    if route == "equations":
        return " ".join(f"{s.left} {s.sign} {s.right} = {s.result}." for s in steps)
    if route == "spaceless":
        return ", ".join(f"{s.left}{s.sign}{s.right}={s.result}" for s in steps) + "."
    if route == "list":
        return "\n".join(f"{i}. {s.left} {s.sign} {s.right} = {s.result}" for i, s in enumerate(steps, 1)) + "\n"
    if route == "spoken":
        return " ".join(
            f"{s.left} {rng.choice(SPOKEN[s.sign])} {s.right} {rng.choice(('is', 'makes', 'gives'))} {s.result}."
            for s in steps
        )
    if route == "running":
        return f"Start with {steps[0].left}." + "".join(
            f" {rng.choice(('Take', 'Use', 'Have'))} {s.left}." * (i > 0 and s.left != steps[i - 1].result)
            + f" Now {s.sign} {s.right}: {s.result}."
            for i, s in enumerate(steps)
        )
    if route == "backward":
        return " ".join(f"{s.result} is {s.left} {s.sign} {s.right}." for s in steps)
    return " ".join(_story(rng, s) for s in steps)


ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen""".split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_words(number: int) -> str:
    """Spells a whole number under 1,000 in English."""
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    rest = number % 100
    return f"{ONES[number // 100]} hundred" + (f" and {number_words(rest)}" if rest else "")
