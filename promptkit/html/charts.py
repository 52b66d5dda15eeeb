"""Where the marks of the charts stand; the page's template draws them."""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from promptkit.html.arms import Arm, frontier
from promptkit.html.payback import Unit, asked, fitted, paybacks
from promptkit.html.scales import Scale, linear, logarithmic
from promptkit.html.text import count, duration, score, short, short_duration
from promptkit.ladder.facts import PairedTest

__all__ = ["Curve", "Curves", "Label", "Point", "Running", "Scatter", "curves", "running", "scatter"]

WIDTH, HEIGHT = 480, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 466, 14, 284
_LETTER = 6.6  # width of a letter of 12 units, roughly
_LINE = 14
_NAME = 22
_MOST_REQUESTS = 1e8


@dataclass(frozen=True, slots=True)
class Label:
    """A text, and where it starts, ends or has its middle."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "end", "middle"] = "start"


@dataclass(frozen=True, slots=True)
class Point:
    """A rung in the chart of quality against cost; ``top`` and ``bottom`` end its interval."""

    x: float
    y: float
    top: float
    bottom: float
    label: Label
    won: bool
    frontier: bool


@dataclass(frozen=True, slots=True)
class Scatter:
    """Quality against cost."""

    unit: Unit
    x: Scale
    y: Scale
    points: tuple[Point, ...]
    frontier: str
    target: float | None
    description: str


@dataclass(frozen=True, slots=True)
class Curve:
    """What a rung costs with its fit, by number of requests; ``place`` chooses colour and dashes."""

    place: int
    points: str
    label: Label
    won: bool


@dataclass(frozen=True, slots=True)
class Curves:
    """Break-even: curves of cost, and the points from which a more expensive fit is repaid."""

    unit: Unit
    x: Scale
    y: Scale
    curves: tuple[Curve, ...]
    crossings: tuple[tuple[float, float], ...]
    description: str


@dataclass(frozen=True, slots=True)
class Running:
    """The difference from the kept rung as items came in, with its always-valid interval."""

    x: Scale
    y: Scale
    band: str
    line: str
    last: Point
    zero: float
    margin: float


def scatter(arms: Sequence[Arm], unit: Unit, target: float | None) -> Scatter | None:
    """Places rungs by quality and cost.

    Args:
        arms: The judged rungs.
        unit: What the horizontal axis counts, per item.
        target: The score that is good enough.

    Returns:
        The chart; ``None`` if no rung has a cost above 0.
    """
    shown = [arm for arm in arms if asked(arm, unit) > 0]
    if not shown:
        return None
    bounds = [_bounds(arm) for arm in shown]
    wanted = [target] if target is not None and math.isfinite(target) else []
    x = logarithmic([asked(arm, unit) for arm in shown], _LEFT, _RIGHT, short if unit == "tokens" else short_duration)
    y = linear([value for one in bounds for value in one] + wanted, _BOTTOM, _TOP, "{:g}".format)
    best = frontier([(asked(arm, unit), one[0]) for arm, one in zip(shown, bounds, strict=True)])
    places = [(x(asked(arm, unit)), *(y(value) for value in one)) for arm, one in zip(shown, bounds, strict=True)]
    taken = [(at - 7, top - 1, at + 7, bottom + 1) for at, _, bottom, top in places]
    steps = _steps([places[place][:2] for place in best])
    taken += [
        (min(a, c) - 1, min(b, d) - 1, max(a, c) + 1, max(b, d) + 1) for (a, b), (c, d) in itertools.pairwise(steps)
    ]
    if wanted:
        line = y(wanted[0])
        taken += [(_LEFT, line - 2, _RIGHT, line + 2), (_RIGHT - 6 * _LETTER, line - 16, _RIGHT, line)]
    points = []
    for place, (arm, (at, mean, bottom, top)) in enumerate(zip(shown, places, strict=True)):
        label = _beside(f"{cut_name(arm.name)}, n = {_items(arm)}", at, mean, bottom, top, taken)
        points.append(Point(at, mean, top, bottom, label, arm.won, place in best))
    show = _amount if unit == "tokens" else duration
    said = [
        f"{arm.name}: score {score(mean)}, from {score(low)} to {score(high)} on {_items(arm)} items, "
        f"{show(asked(arm, unit))} per item"
        for arm, (mean, low, high) in zip(shown, bounds, strict=True)
    ]
    return Scatter(
        unit,
        x,
        y,
        tuple(points),
        _path(steps),
        y(wanted[0]) if wanted else None,
        "; ".join(said),
    )


def curves(arms: Sequence[Arm], unit: Unit) -> Curves | None:
    """Draws what each rung costs with its fit, by number of requests.

    Args:
        arms: The judged rungs.
        unit: What is counted.

    Returns:
        The chart; ``None`` if fewer than two rungs have a cost.
    """
    shown = [arm for arm in arms if asked(arm, unit) > 0]
    if len(shown) < 2:
        return None
    crossed = [(one.sums.requests, one.total) for one in paybacks(shown, unit)]
    met = [(at, total) for at, total in crossed if total is not None and 1 <= at <= _MOST_REQUESTS]
    most = 10.0 ** math.ceil(math.log10(max(1000.0, 3 * max((at for at, _ in met), default=0.0))))
    right = _RIGHT - 126
    x = logarithmic([1.3, most / 1.3], _LEFT, right, short)
    ends = [fitted(arm, unit) + n * asked(arm, unit) for arm in shown for n in (1, most)]
    y = logarithmic(ends, _BOTTOM, _TOP, short if unit == "tokens" else short_duration)
    counts = [most ** (step / 48) for step in range(49)]
    paths = [[(x(n), y(fitted(arm, unit) + n * asked(arm, unit))) for n in counts] for arm in shown]
    labels = _spread([path[-1][1] for path in paths])
    drawn = [
        Curve(place % 6, _path(path), Label(right + 8, labels[place], cut_name(arm.name, 19)), arm.won)
        for place, (arm, path) in enumerate(zip(shown, paths, strict=True))
    ]
    show = _amount if unit == "tokens" else duration
    said = [f"{arm.name}: {show(fitted(arm, unit))} to fit, then {show(asked(arm, unit))} a request" for arm in shown]
    return Curves(unit, x, y, tuple(drawn), tuple((x(at), y(total)) for at, total in met), "; ".join(said))


def running(test: PairedTest) -> Running | None:
    """Draws a sequential test, one interim analysis after another.

    Args:
        test: The comparison of a rung with the kept one.

    Returns:
        The chart; ``None`` if its figures are no numbers.
    """
    analyses = [(one.items, one.difference, one.low, one.high) for one in test.analyses]
    if not analyses or analyses[-1][0] != test.items:
        analyses.append((test.items, test.difference, test.low, test.high))
    if not all(math.isfinite(value) and abs(value) < 1e30 for value in (*sum(analyses, ()), test.margin, test.planned)):
        return None
    x = linear([0, max(test.planned, test.items, 1)], 44, 306, short)
    x = Scale(0, max(test.planned, test.items, 1), 44, 306, False, tuple(one for one in x.ticks if one.at <= 306))
    y = linear([0, test.margin, *(value for _, *rest in analyses for value in rest)], 118, 8, _signed)
    upper = [(x(n), y(high)) for n, _, _, high in analyses]
    lower = [(x(n), y(low)) for n, _, low, _ in analyses]
    n, difference, low, high = analyses[-1]
    beyond = x(n) > 240  # where a label to the right would leave the drawing
    label = Label(x(n) + (-7 if beyond else 7), y(high) + 10, f"n = {count(n)}", "end" if beyond else "start")
    last = Point(x(n), y(difference), y(high), y(low), label, False, False)
    line = _path([(x(n), y(difference)) for n, difference, _, _ in analyses])
    return Running(x, y, _path([*upper, *reversed(lower)]), line, last, y(0), y(test.margin))


def cut_name(name: str, limit: int = _NAME) -> str:
    """Cuts a name to what fits beside a mark."""
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _signed(value: float) -> str:
    return f"{value:+g}" if value else "0"


def _amount(tokens: float) -> str:
    return f"{count(tokens)} tokens"


def _bounds(arm: Arm) -> tuple[float, float, float]:
    found = arm.trial.score
    assert found is not None  # judged arms have one
    return found.mean, found.low, found.high


def _items(arm: Arm) -> str:
    found = arm.trial.score
    assert found is not None  # judged arms have one
    return count(found.n)


def _path(points: Sequence[tuple[float, ...]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _steps(points: Sequence[tuple[float, ...]]) -> list[tuple[float, float]]:
    """The frontier: level until the next better point, then up."""
    found: list[tuple[float, float]] = []
    for x, y in points:
        if found:
            found.append((x, found[-1][1]))
        found.append((x, y))
    if found:
        found.append((_RIGHT, found[-1][1]))
    return found


def _beside(
    text: str, x: float, mean: float, bottom: float, top: float, taken: list[tuple[float, float, float, float]]
) -> Label:
    """Finds the place beside a mark where its name covers the least, and takes it."""
    wide = _width(text)
    middle = min(max(x, wide / 2 + _LEFT), _RIGHT - wide / 2)
    choices = [
        (Label(x + 10, mean + 4, text), x + 10),
        (Label(x - 10, mean + 4, text, "end"), x - 10 - wide),
        (Label(middle, top - 6, text, "middle"), middle - wide / 2),
        (Label(middle, bottom + 14, text, "middle"), middle - wide / 2),
        (Label(x + 10, mean - 10, text), x + 10),
        (Label(x + 10, mean + 18, text), x + 10),
        (Label(x - 10, mean - 10, text, "end"), x - 10 - wide),
        (Label(x - 10, mean + 18, text, "end"), x - 10 - wide),
    ]
    boxes = [(left, label.y - 11, left + wide, label.y + 3) for label, left in choices]
    best = min(range(len(choices)), key=lambda place: (round(_covered(boxes[place], taken)), place))
    taken.append(boxes[best])
    return choices[best][0]


def _covered(box: tuple[float, ...], taken: Sequence[tuple[float, ...]]) -> float:
    """Area of a box that is taken, or outside of the drawing."""
    found = (box[2] - box[0]) * (box[3] - box[1])
    found -= _common(box, (_LEFT, 0, WIDTH, _BOTTOM))
    return found + sum(_common(box, other) for other in taken)


def _common(one: Sequence[float], other: Sequence[float]) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)


def _width(text: str) -> float:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text) * _LETTER


def _spread(heights: Sequence[float]) -> list[float]:
    """Moves texts at the ends of curves apart, in their order."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    found = [height + 4 for height in heights]
    for before, place in itertools.pairwise(order):
        found[place] = max(found[place], found[before] + _LINE)
    over = max(0.0, max(found) - _BOTTOM)
    return [height - over for height in found]
