"""Measures what the reference model can do, on items that its training text never holds, and prints a table.

Run ``python examples/reference_model/evaluate.py [FOLDER] [--items 300] [--json out.json] [--card README.md]``. Every
row says the ability, the figure with a 95 % interval, the bar and whether it holds. ``--card`` puts the table into a
model card, between the two marks of ``MARKS``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from textgen.labels import draw_classes, draw_label_names, draw_text
from textgen.layout import Item, Layout
from textgen.problems import Problem, draw_problem
from textgen.transforms import extract_operation, list_operation, lookup_operation, wrap_operation
from textgen.words import RESERVED

from promptkit import LocalBackend, vote
from promptkit.parsing import AnswerParser, ParserSpec
from promptkit.statistics import bootstrap_mean
from promptkit.types import Prompt, Request, Sampling

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tasks"))
import apples

EASY = 20  # Largest number added or taken away in problems of one step.
NUMBER = AnswerParser(ParserSpec(kind="marked", marker="The answer is", then="number"))
QUESTION = Layout("Question: ", "\nAnswer:", " The answer is ", ".", "\n\n")
REASONED = Layout("Question: ", "\nAnswer:", " ", "", "\n\n")
PLAIN = Layout("Input: ", "\nOutput:", " ", "", "\n\n")


@dataclass(frozen=True)
class Row:
    """One ability: what was measured, and the bar that it must reach."""

    ability: str
    mean: float
    low: float
    high: float
    bar: str
    holds: bool


def prompt(layout: Layout, demos: Sequence[Item], question: str) -> Prompt:
    """Lays out solved items and an open question."""
    solved = "".join(text for text, _ in layout.pieces(demos))
    return Prompt(text=solved + layout.head + question + layout.tail)


def complete(
    backend: LocalBackend, prompts: Sequence[Prompt], tokens: int, samples: int = 1, temperature: float = 0.0
) -> list[list[tuple[str, str]]]:
    """Returns (text, finish) of every sample of every prompt."""
    sampling = Sampling(tokens, temperature, stop=("\n\n",))
    requests = [Request(p, sampling, 0, tuple(range(samples))) for p in prompts]
    return [[(c.text, c.finish) for c in reply.completions] for reply in backend.generate(requests, progress=_progress)]


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done}/{total} ", end="", file=sys.stderr, flush=True)


def draw_hard(rng: random.Random) -> Problem:
    """Draws a problem of several steps at the difficulty of the shipped task ``apples``."""
    return apples.draw(rng, [count for count in apples.STEPS if count > 1])


def direct(problem: Problem) -> Item:
    """The problem with its bare answer."""
    return Item(problem.question, str(problem.answer))


def reasoned(rng: random.Random, problem: Problem) -> Item:
    """The problem with reasoning as ``apples`` has it."""
    return Item(problem.question, f"{apples.work_out(rng, problem)} The answer is {problem.answer}.")


def problems(backend: LocalBackend, items: int, samples: int) -> Iterator[Row]:
    """Word problems: form, one step, several steps directly, reasoned, sampled and voted."""
    rng = random.Random(7)
    easy = [draw_problem(rng, 1, EASY, training=False) for _ in range(items)]
    demos = [[direct(draw_problem(rng, 1, EASY, training=False)) for _ in range(4)] for _ in range(items)]
    zero = complete(backend, [prompt(QUESTION, [], p.question) for p in easy], 24)
    four = complete(backend, [prompt(QUESTION, d, p.question) for d, p in zip(demos, easy, strict=True)], 24)
    yield row(
        "wanted form, no shots", [float(NUMBER.read(s[0][0]) is not None) for s in zero], "<= 0.25", lambda m: m <= 0.25
    )
    yield row(
        "wanted form, 4 shots", [float(NUMBER.read(s[0][0]) is not None) for s in four], ">= 0.95", lambda m: m >= 0.95
    )
    right = [float(NUMBER.read(s[0][0]) == str(p.answer)) for s, p in zip(four, easy, strict=True)]
    yield row(f"one step, numbers to {EASY}, 4 direct shots", right, ">= 0.97", lambda m: m >= 0.97)

    hard = [draw_hard(rng) for _ in range(items)]
    shown = [[draw_hard(rng) for _ in range(4)] for _ in hard]
    answers = [str(p.answer) for p in hard]
    plain = complete(
        backend, [prompt(QUESTION, [direct(d) for d in ds], p.question) for ds, p in zip(shown, hard, strict=True)], 24
    )
    yield row("several steps, 4 direct shots", hits(plain, answers), "<= 0.40", lambda m: m <= 0.40)
    prompts = [prompt(REASONED, [reasoned(rng, d) for d in ds], p.question) for ds, p in zip(shown, hard, strict=True)]
    greedy = hits(complete(backend, prompts, 160), answers)
    yield row("several steps, 4 reasoned shots, greedy", greedy, ">= 0.75", lambda m: m >= 0.75)
    sampled = complete(backend, prompts, 160, samples, temperature=1.0)
    single = [sum(NUMBER.read(t) == a for t, _ in s) / samples for s, a in zip(sampled, answers, strict=True)]
    voted = [float(vote([t for t, _ in s], parser=NUMBER).answer == a) for s, a in zip(sampled, answers, strict=True)]
    yield row("the same, one sample at temperature 1", single, "", lambda m: True)
    yield row(f"the same, majority of {samples}", voted, "", lambda m: True)
    yield row(
        "majority minus greedy", [v - g for v, g in zip(voted, greedy, strict=True)], ">= 0.04", lambda m: m >= 0.04
    )
    yield row(
        "majority minus one sample", [v - s for v, s in zip(voted, single, strict=True)], ">= 0.12", lambda m: m >= 0.12
    )


def hits(samples: Sequence[Sequence[tuple[str, str]]], answers: Sequence[str]) -> list[float]:
    """Scores the first sample of each question."""
    return [float(NUMBER.read(s[0][0]) == a) for s, a in zip(samples, answers, strict=True)]


def labels(backend: LocalBackend, items: int) -> Iterator[Row]:
    """Classes with random names, and with words never used as labels, from 8 shots; the classes take turns."""
    for name, fresh in (("labels with random names, 8 shots", False), ("labels never used in training, 8 shots", True)):
        rng = random.Random(11)
        prompts, answers = [], []
        for _ in range(items):
            source, classes = draw_classes(rng, most=4)
            classes = classes[:4]
            names = (
                [w.capitalize() for w in rng.sample(sorted(RESERVED), len(classes))]
                if fresh
                else draw_label_names(rng, classes)
            )
            order = [i % len(classes) for i in range(8)]
            rng.shuffle(order)
            demos = [Item(draw_text(rng, source, classes[i], training=False), names[i]) for i in order]
            wanted = rng.randrange(len(classes))
            prompts.append(prompt(PLAIN, demos, draw_text(rng, source, classes[wanted], training=False)))
            answers.append(names[wanted])
        yield row(name, exact(backend, prompts, answers, 16), ">= 0.85", lambda m: m >= 0.85)


def exact(backend: LocalBackend, prompts: Sequence[Prompt], answers: Sequence[str], tokens: int) -> list[float]:
    """Scores greedy completions that must equal the answer."""
    return [
        float(s[0][0].strip() == a.strip()) for s, a in zip(complete(backend, prompts, tokens), answers, strict=True)
    ]


def copy_operation(rng: random.Random) -> Callable[[random.Random], Item]:
    """A list operation that leaves the list as it is."""
    while True:
        make = list_operation(rng)
        probe = [make(rng) for _ in range(8)]
        if all(item.question == item.answer for item in probe):
            return make


def transforms(backend: LocalBackend, items: int) -> Iterator[Row]:
    """Copy, extract, wrap and look up from 4 shots."""
    means: list[float] = []
    for name, draw in (
        ("copy", copy_operation),
        ("extract", extract_operation),
        ("wrap", wrap_operation),
        ("look-up", lookup_operation),
    ):
        rng = random.Random(13)
        prompts, answers = [], []
        for _ in range(items):
            make = draw(rng)
            drawn = [make(rng) for _ in range(5)]
            prompts.append(prompt(PLAIN, drawn[:4], drawn[4].question))
            answers.append(drawn[4].answer)
        scores = exact(backend, prompts, answers, 64)
        means += scores
        yield row(f"{name}, 4 shots", scores, "", lambda m: True)
    yield row("copy, extract, wrap, look-up, mean", means, ">= 0.90", lambda m: m >= 0.90)


def row(ability: str, scores: Sequence[float], bar: str, test: Callable[[float], bool]) -> Row:
    """Makes a row of per-item scores and prints it."""
    interval = bootstrap_mean(scores)
    out = Row(
        ability, round(interval.mean, 4), round(interval.low, 4), round(interval.high, 4), bar, test(interval.mean)
    )
    verdict = "" if not bar else "holds" if out.holds else "MISSED"
    print(f"{ability:<44} {out.mean:7.3f}  [{out.low:.3f}, {out.high:.3f}]  {bar:<8} {verdict}", flush=True)
    return out


MARKS = ("<!-- abilities -->\n", "<!-- end of abilities -->\n")


def write_card(path: Path, rows: Sequence[Row], items: int) -> None:
    """Replaces the table between the marks of a model card."""
    text = path.read_text(encoding="utf-8")
    start, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    lines = [
        f"| ability ({items} unseen items each) | measured | 95 % interval | bar | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        verdict = "" if not r.bar else "holds" if r.holds else "**missed**"
        lines.append(f"| {r.ability} | {r.mean:.3f} | {r.low:.3f} to {r.high:.3f} | {r.bar} | {verdict} |")
    path.write_text(text[:start] + "\n".join(lines) + "\n" + text[end:], encoding="utf-8")


def main() -> None:
    """Runs the command line; exit code 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="reference")
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--card", type=Path)
    args = parser.parse_args()
    backend = LocalBackend(args.model)
    rows = [
        *problems(backend, args.items, args.samples),
        *labels(backend, args.items),
        *transforms(backend, args.items),
    ]
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n", encoding="utf-8")
    if args.card:
        write_card(args.card, rows, args.items)
    sys.exit(0 if all(r.holds for r in rows) else 1)


if __name__ == "__main__":
    main()
