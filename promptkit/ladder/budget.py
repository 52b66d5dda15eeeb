"""What a climb may spend, and the tracker that gives the same answers after a resumed run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from promptkit.errors import SettingError, error_message
from promptkit.ladder.journal import Journal
from promptkit.ladder.journaled_backend import JournaledBackend

__all__ = ["Budget", "BudgetTracker"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a climb may spend before it stops; ``None`` for no limit.

    Time is shared: what the final test will take is reserved, the rest is divided among the rungs to come, and a fit
    gets what judging its rung will leave. Searches try less, trainings stop early and blocks of items end early if
    time is short, and the record says so; a climb overruns by about one request to the model, or one step of a
    training. Tokens and calls are checked before every rung and after every block of items. A climb that is
    continued may be given more.

    Attributes:
        minutes: Wall-clock minutes, all sessions of a continued climb together; above 0.
        tokens: Prompt and generated tokens; at least 1.
        calls: Requests to the model; at least 1.

    Raises:
        SettingError: A limit is out of range.

    Example:
        >>> Budget(minutes=10)
        Budget(minutes=10, tokens=None, calls=None)
    """

    minutes: float | None = None
    tokens: int | None = None
    calls: int | None = None

    def __post_init__(self) -> None:
        """Checks the limits."""
        minutes: object = self.minutes
        good = isinstance(minutes, int | float) and not isinstance(minutes, bool) and math.isfinite(minutes)
        if minutes is not None and not (good and self.minutes > 0):  # type: ignore[operator]
            raise SettingError(error_message("minutes", of="Budget", expected="a number above 0, or None", got=minutes))
        for name in ("tokens", "calls"):
            value: object = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise SettingError(
                    error_message(name, of="Budget", expected="an integer of at least 1, or None", got=value)
                )


class BudgetTracker:
    """Tells whether a budget is spent; a resumed climb gets the same answers.

    Args:
        budget: The limits.
        journal: Keeps the answers, and the time of earlier sessions.
        backend: Counts tokens and calls.
    """

    def __init__(self, budget: Budget, journal: Journal, backend: JournaledBackend) -> None:
        self.budget = budget
        self._journal = journal
        self._backend = backend

    @property
    def mark(self) -> list[float | int | None]:
        """The limits as plain data, saved with every answer that holds for these limits alone."""
        return [self.budget.minutes, self.budget.tokens, self.budget.calls]

    def spent_out(self, moment: str, *, reserve: float = 0.0) -> str:
        """Tells which limit is reached.

        Args:
            moment: The point in the climb, under which the answer is saved.
            reserve: Seconds to reserve for what must still be done.

        Returns:
            The limit as a text for people, or "" if none is.
        """
        key = f"budget:{moment}"
        kept = self._journal.get(key)
        # Whether another budget was spent says nothing about this one.
        if kept is None or (kept["over"] and kept.get("budget") != self.mark):
            kept = {"over": self._over(reserve), "budget": self.mark}
            if self.budget != Budget():
                self._journal.put(key, kept)
        return str(kept["over"])

    def seconds_left(self) -> float | None:
        """Returns the seconds until the time is up, 0 or more; ``None`` without a limit."""
        minutes = self.budget.minutes
        return None if minutes is None else max(0.0, 60 * minutes - self._journal.elapsed)

    def check_covers(self, seconds: float) -> None:
        """Makes sure that a budget which was changed allows for what is spent already.

        Args:
            seconds: Seconds that earlier sessions took.

        Raises:
            SettingError: A limit lies below what is spent.
        """
        spent = self._backend.spent
        tokens = spent.prompt_tokens + spent.generated_tokens
        for name, value, limit in (
            ("minutes", seconds / 60, self.budget.minutes),
            ("tokens", tokens, self.budget.tokens),
            ("calls", spent.calls, self.budget.calls),
        ):
            if limit is not None and limit < value:
                least = math.ceil(10 * value) / 10 if name == "minutes" else value
                hint = "a climb that is continued may be given more, and not less than it has spent"
                expected = f"at least {least:g}, which the climb has spent"
                raise SettingError(error_message(name, of="Budget", expected=expected, got=limit, hint=hint))

    def time_is_up(self, moment: str, *, reserve: float = 0.0) -> str:
        """Says that the next piece of work would not fit into the time.

        Args:
            moment: The point in the climb, under which the text is saved.
            reserve: Seconds that are reserved.

        Returns:
            The limit as a text for people.
        """
        key = f"budget:{moment}:cut"
        kept = self._journal.get(key)
        if kept is None or kept["budget"] != self.mark:
            kept = {"over": self._time(reserve), "budget": self.mark}
            self._journal.put(key, kept)
        return str(kept["over"])

    def _time(self, reserve: float) -> str:
        kept = f", less what the test will take ({reserve:.0f} s)" if reserve >= 1 else ""
        return f"{self.budget.minutes:g} minutes{kept}"

    def _over(self, reserve: float) -> str:
        budget, spent = self.budget, self._backend.spent
        left = self.seconds_left()
        if left is not None and left <= reserve:
            return self._time(reserve)
        if budget.tokens is not None and spent.prompt_tokens + spent.generated_tokens >= budget.tokens:
            return f"{budget.tokens} tokens"
        if budget.calls is not None and spent.calls >= budget.calls:
            return f"{budget.calls} calls"
        return ""
