"""A stop rule: sampling ends when one answer is some votes ahead of the next."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import promptkit as pk


@pk.register("stop_rule", "lead")
@dataclass(frozen=True)
class LeadStop:
    """Stops when the leading answer is ``votes`` ahead of the second."""

    votes: int = 3

    def __post_init__(self) -> None:
        if type(self.votes) is not int or self.votes < 1:
            raise pk.SettingError(f"LeadStop: votes must be an integer of at least 1, got {self.votes!r}")

    def stops_at(self, answers: Sequence[str | None], counted: Sequence[bool] | None = None) -> int | None:
        for used in range(1, len(answers) + 1):
            if self._lead(answers[:used], counted) >= self.votes:
                return used
        return None

    def fewest_more(self, answers: Sequence[str | None], counted: Sequence[bool] | None = None) -> int:
        return self.votes - self._lead(answers, counted)

    def _lead(self, answers: Sequence[str | None], counted: Sequence[bool] | None) -> int:
        votes = Counter(answer for place, answer in enumerate(answers) if counted is None or counted[place])
        (_, first), (_, second) = [*votes.most_common(2), ("", 0), ("", 0)][:2]
        return first - second
