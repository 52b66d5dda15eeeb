"""Which of several assistants a question is for, if any: nearest by examples, with a threshold set on dev examples.

A question is compared with the training questions of every task by the TF-IDF cosine of words
(``promptkit.adapters.selection.LexicalIndex``); a task's score is the mean over its five nearest, which one odd
example cannot carry. The task of the highest score is chosen if the score reaches that task's threshold; otherwise
the question belongs to none of them.

A threshold is set on dev questions, leaving one task out at a time: the dev questions of the task itself should
reach it, and those of every other task, which count as questions of no known task when their own one is left out,
should not where this task is their nearest. It is the value of greatest Youden index, share of the first minus
share of the second (Youden 1950), among those that keep at least 98 % of the task's own; of equally good values the
highest, since questions of the outside world may come nearer than any task here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promptkit.adapters.selection import LexicalIndex
from promptkit.assistants.assistant import Assistant
from promptkit.assistants.questions import Questions, joined
from promptkit.assistants.replies import AssistantReply
from promptkit.errors import SettingError, error_message
from promptkit.types import Example, Query

__all__ = ["KEPT", "NEAREST", "REFUSAL", "Routed", "Router"]

NEAREST = 5
"""Training questions of a task whose mean likeness is its score."""
KEPT = 0.98
"""Least share of a task's own dev questions that its threshold lets through."""
REFUSAL = "None of the assistants here is for this question."
"""What a router says when it chooses none, unless it is given another text."""

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Routed:
    """What became of a question.

    Attributes:
        chosen: Name of the assistant that the question is for, or ``None`` for none of them.
        reply: Its reply; ``None`` if none was chosen.
        scores: Likeness of the question to each task, from 0 to 1, by name.
        text: What to show: the reply's text, or the text for refusing.
    """

    chosen: str | None
    reply: AssistantReply | None
    scores: Mapping[str, float]
    text: str


class Router:
    """Several assistants behind one face.

    Args:
        assistants: Two or more of different names. Each knows its task's questions: a shipped task by itself,
            another one by ``Assistant(..., data=...)``.
        refusal: What to say when none of them is for a question.

    Attributes:
        assistants: The assistants by name.
        thresholds: By name, the score that a question must reach to be for that assistant.

    Raises:
        SettingError: There are fewer than two assistants, two have one name, or one does not know its task.

    Example:
        >>> import promptkit as pk
        >>> backend = pk.ScriptedBackend([" Harbor"])
        >>> fit = lambda name: pk.FewShot(pk.load_task(name), shots=0).fit([], backend)
        >>> desk = Router([pk.Assistant(fit("tickets")), pk.Assistant(fit("apples"))])
        >>> desk.ask("hello, where is my parcel? order 3241").chosen
        'tickets'
        >>> desk.ask("Who composed the Magic Flute?").chosen is None
        True
    """

    def __init__(self, assistants: Sequence[Assistant], *, refusal: str = REFUSAL) -> None:
        wrong = [assistant for assistant in assistants if not callable(getattr(assistant, "routing", None))]
        if wrong:
            expected = "Assistant(predictor) or Assistant.load(folder, backend), each"
            raise SettingError(error_message("assistants", of="Router", expected=expected, got=wrong[0]))
        names = [assistant.name for assistant in assistants]
        if len(names) < 2 or len(set(names)) < len(names):
            expected = "two or more of different names"
            hint = "name them apart with Assistant(..., name=...)" if len(names) > 1 else ""
            raise SettingError(error_message("assistants", of="Router", expected=expected, got=names, hint=hint))
        if not isinstance(refusal, str) or not refusal.strip():
            raise SettingError(error_message("refusal", of="Router", expected="a text not blank", got=refusal))
        self.assistants = dict(zip(names, assistants, strict=True))
        self._refusal = refusal
        tasks = [assistant.routing() for assistant in assistants]
        self._index, self._owners = _index(tasks)
        self._thresholds = self._calibrate(tasks)
        self.thresholds = dict(zip(names, self._thresholds.tolist(), strict=True))

    def route(self, question: str | Mapping[str, str]) -> str | None:
        """Tells whom a question is for, without asking any model.

        Args:
            question: A text, or texts by field, whose names are not looked at.

        Returns:
            The name of the assistant, or ``None`` for none of them.
        """
        return self._choose(self._scores(_text(question)))

    def ask(self, question: str | Mapping[str, str], *, seed: int = 0) -> Routed:
        """Has a question answered by the assistant that it is for.

        Args:
            question: A text, or texts by field.
            seed: Seed of sampling.

        Returns:
            Who was chosen, and the reply.

        Raises:
            DataError: The question does not have the fields of the chosen assistant's task.
            BackendError: The model failed.
        """
        scores = self._scores(_text(question))
        chosen = self._choose(scores)
        reply = None if chosen is None else self.assistants[chosen].ask(question, seed=seed)
        shown = dict(zip(self.assistants, scores.tolist(), strict=True))
        return Routed(chosen, reply, shown, self._refusal if reply is None else reply.text)

    async def aask(self, question: str | Mapping[str, str], *, seed: int = 0) -> Routed:
        """Answers as ``ask`` does, in a thread of its own, so that the event loop is free meanwhile."""
        return await asyncio.to_thread(self.ask, question, seed=seed)

    def _choose(self, scores: Scores) -> str | None:
        best = int(np.argmax(scores))
        return list(self.assistants)[best] if scores[best] >= self._thresholds[best] else None

    def _scores(self, text: str) -> Scores:
        """Returns the score of each task, ``[tasks]``."""
        likeness = self._index.similarity({"question": text})
        return np.array([_mean_of_best(likeness[owned]) for owned in self._owners])

    def _calibrate(self, tasks: Sequence[Questions]) -> Scores:
        tables = [np.stack([self._scores(text) for text in task.dev]) for task in tasks]
        nearest = []
        for own, table in enumerate(tables):
            others = table.copy()
            others[:, own] = -1.0  # as if the task of these questions were not there
            nearest.append(others.argmax(1))
        thresholds = []
        for place, table in enumerate(tables):
            strangers = [other[nearest[own] == place, place] for own, other in enumerate(tables) if own != place]
            thresholds.append(_threshold(table[:, place], np.concatenate(strangers)))
        return np.array(thresholds)


def _text(question: str | Mapping[str, str]) -> str:
    return question if isinstance(question, str) else joined(question)


def _index(tasks: Sequence[Questions]) -> tuple[LexicalIndex, list[npt.NDArray[np.int64]]]:
    """Builds one index over all training questions, so that all scores weigh words alike."""
    pairs = [(text, str(place)) for place, task in enumerate(tasks) for text in task.train]
    index = LexicalIndex([Example(Query({"question": text}), (owner,)) for text, owner in pairs])
    owners = np.array([int(example.target) for example in index.examples])
    return index, [np.flatnonzero(owners == place) for place in range(len(tasks))]


def _mean_of_best(likeness: Scores) -> float:
    if len(likeness) > NEAREST:
        likeness = np.partition(likeness, -NEAREST)[-NEAREST:]
    return float(likeness.mean()) if len(likeness) else 0.0


def _threshold(own: Scores, strangers: Scores) -> float:
    """Returns the score of greatest Youden index among the task's own, the highest of equals."""
    values = np.unique(own)
    kept = (own[None, :] >= values[:, None]).mean(1)
    let_in = (strangers[None, :] >= values[:, None]).mean(1) if len(strangers) else np.zeros(len(values))
    youden = np.where(kept >= KEPT, kept - let_in, -1.0)
    return float(values[np.flatnonzero(youden >= youden.max() - 1e-12)[-1]])
