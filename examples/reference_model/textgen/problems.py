"""Word problems of one to five steps, with several routes of reasoning to the same answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
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
class Term:
    """A number that is added to the result or taken from it, with the step that gives it, if one does."""

    sign: str
    value: int
    about: str
    source: Step | None = None


@dataclass(frozen=True)
class Problem:
    """A word problem: its text, the steps that always come first, and the terms that may come in any order."""

    question: str
    first: tuple[Step, ...]
    terms: tuple[Term, ...]
    thing: str
    name: str

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in the order of the text."""
        return self.first + _add_up(self.terms)

    @property
    def answer(self) -> int:
        """The result of the last step."""
        return sum(t.value if t.sign == "+" else -t.value for t in self.terms)

    def shuffled(self, rng: random.Random) -> tuple[Step, ...]:
        """All steps, the terms in a random order in which nothing falls under zero: other numbers, same answer."""
        while True:
            terms = rng.sample(self.terms, len(self.terms))
            steps = _add_up(terms) if terms[0].sign == "+" else ()
            if (steps or len(terms) == 1) and all(step.result >= 0 for step in steps):
                return self.first + steps


def _add_up(terms: Sequence[Term]) -> tuple[Step, ...]:
    """Adds terms one after the other; a term's own source comes right before its use."""
    total, steps = 0, []
    for i, term in enumerate(terms):
        if term.source:
            steps.append(term.source)
        result = total + term.value if term.sign == "+" else total - term.value
        if i:
            steps.append(Step(total, term.sign, term.value, result, term.about))
        total = result
    return tuple(steps)


def draw_problem(rng: random.Random, steps: int, high: int, *, training: bool = True, kind: str = "") -> Problem:
    """Draws a problem.

    Args:
        rng: Source of randomness.
        steps: Number of arithmetic operations, 1 to 5.
        high: Largest number that is added or taken away; results stay under 1,000.
        training: Whether the problem may be seen in training, or is one of those held out.
        kind: One of ``KINDS``; drawn if empty.

    Returns:
        The problem.
    """
    while True:
        make = KINDS[kind or rng.choices(list(KINDS), (0.27, 0.35, 0.22, 0.16))[0]]
        problem = make(rng, steps, high)
        if problem and len(problem.steps) == steps and held_out(problem.question) is not training:
            return problem


OWNS = ("{name} has {n} {thing}.", "{name} had {n} {thing}.", "There are {n} {thing} in {name}'s box.")
GAINS = ("{who} bought {n} more.", "{who} found {n} more.", "{who} got {n} more {thing}.", "{other} gave {him} {n}.",
         "{who} won {n} {thing}.")  # fmt: skip
LOSSES = ("{who} lost {n}.", "{who} gave {n} to {other}.", "{who} sold {n} of them.", "{who} used {n} {thing}.",
          "{n} of them broke.")  # fmt: skip
PACKS = ("{who} bought {packs} {pack} with {each} {thing} each.", "{other} brought {packs} {pack} of {each} {thing}.")
HALVES = ("{who} gave half of them to {other}.", "{who} sold half of them.")
ENDS = ("How many {thing} does {name} have now?", "How many {thing} does {name} have now?",
        "How many {thing} does {he} have in total?", "How many {thing} are there now?")  # fmt: skip


class _Story:
    """One person's things become more and fewer: collects sentences, and terms or steps."""

    def __init__(self, rng: random.Random, high: int) -> None:
        self.rng, self.high = rng, high
        self.name, self.other = rng.sample(NAMES, 2)
        self.he, self.him = ("he", "him") if self.name in HE else ("she", "her")
        self.thing = rng.choice(THINGS)
        self.have = rng.randint(2, high)
        self.first: list[Step] = []
        self.terms = [Term("+", self.have, "gain")]
        self.text: list[str] = []
        self.say(OWNS, n=self.have)

    def say(self, sentences: Sequence[str], **values: object) -> None:
        """Adds one of several sentences."""
        rng, he = self.rng, self.he
        who = he.capitalize() if rng.random() < 0.7 else rng.choice((self.name, "Then " + he, "Later " + he))
        names = {"name": self.name, "other": self.other, "he": he, "him": self.him, "thing": self.thing, "who": who}
        self.text.append(rng.choice(sentences).format(**names, **values))

    def add(self, term: Term) -> None:
        """Adds a term."""
        self.terms.append(term)
        self.have += term.value if term.sign == "+" else -term.value

    def gain(self) -> None:
        """Some are added."""
        number = self.rng.randint(1, self.high)
        self.say(GAINS, n=number)
        self.add(Term("+", number, "gain"))

    def lose(self) -> None:
        """Some are taken away, never all."""
        if self.have > 1:
            number = self.rng.randint(1, min(self.high, self.have - 1))
            self.say(LOSSES, n=number)
            self.add(Term("-", number, "loss"))

    def packs(self) -> None:
        """Several packs are added."""
        packs, each = self.rng.randint(2, 6), self.rng.randint(2, min(12, max(3, self.high // 2)))
        self.say(PACKS, packs=packs, each=each, pack=self.rng.choice(("boxes", "bags", "packs")))
        self.add(Term("+", packs * each, "gain", Step(packs, "*", each, packs * each, "packs")))

    def scale(self, sign: str, factor: int, about: str) -> None:
        """Multiplies or divides all: what came before can no longer change places with what follows."""
        result = self.have * factor if sign == "*" else self.have // factor
        self.first += [*_add_up(self.terms), Step(self.have, sign, factor, result, about)]
        self.terms, self.have = [Term("+", result, "gain")], result

    @property
    def count(self) -> int:
        """Number of steps so far."""
        return len(self.first) + len(_add_up(self.terms))

    def end(self) -> Problem | None:
        """Asks the question."""
        self.say(ENDS)
        return Problem(" ".join(self.text), tuple(self.first), tuple(self.terms), self.thing, self.name)


def _count(rng: random.Random, steps: int, high: int) -> Problem | None:
    """One person's things become more and fewer by numbers alone."""
    story = _Story(rng, high)
    while story.count < steps:
        (story.gain if rng.random() < 0.5 else story.lose)()
    return story.end() if story.have <= 999 else None


def _chain(rng: random.Random, steps: int, high: int) -> Problem | None:
    """One person's things become more and fewer, by packs, times and halves too."""
    story = _Story(rng, high)
    while story.count < steps:
        op = rng.random()
        if op < 0.4:
            story.gain()
        elif op < 0.75:
            story.lose()
        elif op < 0.85 and story.count + 2 <= steps:
            story.packs()
        elif op < 0.93:
            factor = rng.choice((2, 2, 3))
            story.text.append(f"Then the number of {story.thing} {'doubled' if factor == 2 else 'tripled'}.")
            story.scale("*", factor, "times")
        elif story.have % 2 == 0:
            story.say(HALVES)
            story.scale("/", 2, "half")
        if story.have > 999:
            return None
    return story.end()


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
        terms = tuple(Term("+", count, "together") for count in counts)
        text.append(
            rng.choice((f"How many {thing} do they have together?", f"How many {thing} do they have in total?"))
        )
    else:
        terms = (Term("+", have, "gain"),)
        text.append(f"How many {thing} does {names[-1]} have?")
    problem = Problem(" ".join(text), tuple(out), terms, thing, names[-1])
    return problem if problem.answer <= 999 else None


def _price(rng: random.Random, steps: int, high: int) -> Problem | None:
    """Shopping: several kinds of things, perhaps change."""
    name = rng.choice(NAMES)
    he = "he" if name in HE else "she"
    things = rng.sample(THINGS, 3)
    change = steps > 1 and rng.random() < 0.4
    text: list[str] = []
    terms: list[Term] = []
    while (left := steps - int(change) - len(_add_up(terms))) > 0:
        if len(terms) == 3:
            return None
        who = he.capitalize() if terms else name
        if left == 1 and terms:
            terms.append(Term("+", rng.randint(1, high), "total"))
            text.append(f"{who} pays {terms[-1].value} coins for a bag.")
            continue
        price, count, thing = rng.randint(2, min(20, max(3, high))), rng.randint(2, 9), things[len(terms)]
        text.append(
            f"{who} {rng.choice((f'buys {count} {thing} for', f'bought {count} {thing} at'))} {price} coins each."
        )
        terms.append(Term("+", count * price, "total", Step(count, "*", price, count * price, thing)))
    total, first = sum(t.value for t in terms), ()
    if change:
        first, paid = _add_up(terms), total + rng.randint(1, high)
        terms = [Term("+", paid, "total"), Term("-", total, "change")]
        text.append(f"{he.capitalize()} pays with {paid} coins. How many coins does {name} get back?")
    else:
        text.append(f"How many coins does {name} spend?")
    return Problem(" ".join(text), first, tuple(terms), "coins", name) if total <= 999 else None


KINDS: dict[str, Callable[[random.Random, int, int], Problem | None]] = {
    "count": _count,
    "chain": _chain,
    "compare": _compare,
    "price": _price,
}


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


def reason(rng: random.Random, problem: Problem, route: str, *, shuffled: bool = False) -> str:
    """Writes the reasoning of a problem along one route, with free choice of words inside it.

    Args:
        rng: Source of randomness.
        problem: The problem.
        route: One of ``ROUTES``.
        shuffled: Whether the terms come in a random order instead of the text's.

    Returns:
        The reasoning without the final answer sentence.
    """
    steps = problem.shuffled(rng) if shuffled else problem.steps
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
