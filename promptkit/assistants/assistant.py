"""An assistant: a fitted predictor with a glossary, a tone, and the right not to answer."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, overload

from promptkit.adapters import PlanPredictor
from promptkit.assistants.glossary import check_glossary, occurring
from promptkit.assistants.questions import Questions, shipped_questions
from promptkit.assistants.replies import AssistantReply, Reason, ReplyStream, Tap, Trimmed
from promptkit.assistants.turns import Composed, as_query, compose, head
from promptkit.backends import Backend
from promptkit.backends.base import check_backend
from promptkit.backends.streaming import OnText
from promptkit.data import Data
from promptkit.errors import SettingError, error_message
from promptkit.tasks.loading import check_name
from promptkit.tasks.task import Task
from promptkit.types import Example, Prediction, Query

if TYPE_CHECKING:
    from promptkit.assistants.chat import Chat, Turn

__all__ = ["HANDOVER", "Assistant"]

HANDOVER = "I am not sure enough to answer this, so I hand it over."
"""What an assistant says in place of an answer, unless it is given another text."""

T = TypeVar("T")
_WORDS = re.compile(r"\s*\S+\s*")


class Assistant:
    """Answers questions of one task in words, in a conversation or typed, by the adapter that won there.

    The prompt is the predictor's own: its instruction, followed by the tone and by those terms of the glossary that
    occur in the question; its demonstrations; its weights and votes. The task's own glossary counts too. Text of
    users is data: it makes no control token, and cannot end its turn or open another.

    An assistant abstains where no answer can be read from what the model wrote, and, if ``min_agreement`` is set, where
    a smaller share of the votes agrees. Its reply is then ``handover``, with ``abstained`` and ``reason`` set.

    Nothing about an assistant changes after it is made, so threads may share it.

    Args:
        predictor: A fitted predictor of promptkit.
        glossary: Meanings of terms; see ``promptkit.assistants.glossary`` for when a term occurs.
        tone: How to speak, as a sentence to the model.
        min_agreement: Least share of votes that must agree, in (0, 1]. Needs a predictor that votes, or one that
            answers by likelihood, where it is the least share of probability.
        name: What it is called, by the rule for names of tasks; by default the task's name.
        handover: What it says in place of an answer.
        data: The task's examples, from which a ``Router`` learns what belongs to it; only questions of the training
            and dev splits are kept. Not needed for a shipped task.

    Raises:
        SettingError: A setting is out of range, or ``min_agreement`` is set and nothing votes.

    Example:
        >>> import promptkit as pk
        >>> backend = pk.ScriptedBackend([" The answer is 5."])
        >>> predictor = pk.FewShot(pk.load_task("apples"), shots=0).fit([], backend)
        >>> assistant = Assistant(predictor, tone="Be brief.")
        >>> assistant.ask("Jane has 2 apples. She bought 3 more. How many apples does Jane have?").text
        'The answer is 5.'
        >>> assistant.ask("Jane has 2 apples. She bought 3 more. How many?", answer_type=int)
        5
    """

    def __init__(
        self,
        predictor: PlanPredictor,
        *,
        glossary: Mapping[str, str] | None = None,
        tone: str = "",
        min_agreement: float | None = None,
        name: str = "",
        handover: str = HANDOVER,
        data: Data | Questions | None = None,
    ) -> None:
        of, given = "Assistant", (predictor, tone, handover, name)
        if not isinstance(given[0], PlanPredictor):
            expected = "a predictor that an adapter's fit or promptkit.load returned"
            raise SettingError(error_message("predictor", of=of, expected=expected, got=predictor))
        for which, text, empty in (("tone", tone, True), ("handover", handover, False), ("name", name, True)):
            if not isinstance(text, str) or not (empty or text.strip()):
                raise SettingError(
                    error_message(which, of=of, expected="a text" + ("" if empty else " not blank"), got=text)
                )
        self.predictor = predictor
        self.name = check_name(name or predictor.task.name, of=of)
        self.glossary = check_glossary(glossary or {}, of=of)
        self.tone = " ".join(tone.split())
        self.min_agreement = _check_agreement(min_agreement, predictor)
        self.handover = handover
        self.questions = Questions.of(data) if isinstance(data, Data) else data
        self._terms = {**check_glossary(predictor.task.glossary, of=of), **self.glossary}

    @property
    def task(self) -> Task:
        """The task that is done."""
        return self.predictor.task

    def chat(
        self,
        *,
        given: Mapping[str, str] | None = None,
        seed: int = 0,
        transcript: Callable[[Turn], None] | None = None,
    ) -> Chat:
        """Opens a conversation.

        Args:
            given: Fields that hold for all of it, such as a sheet of facts; a plain text then is for the field left.
            seed: Seed of sampling.
            transcript: Called with every finished turn, for who wants to keep all of them; the conversation itself
                keeps those that fit its context window.

        Returns:
            The conversation.

        Raises:
            DataError: A given field is unknown, or no text.
        """
        from promptkit.assistants.chat import Chat  # A conversation asks an assistant, so it imports this.

        return Chat(self, given=given or {}, seed=seed, transcript=transcript)

    @overload
    def ask(self, question: str | Mapping[str, str], *, seed: int = 0) -> AssistantReply: ...

    @overload
    def ask(self, question: str | Mapping[str, str], answer_type: type[T], *, seed: int = 0) -> T: ...

    @overload
    def ask(self, question: str | Mapping[str, str], answer_type: Any, *, seed: int = 0) -> Any: ...

    def ask(self, question: str | Mapping[str, str], answer_type: Any = None, *, seed: int = 0) -> Any:
        """Answers one question outside of any conversation.

        Args:
            question: A text, for a task of one field, or texts by field.
            answer_type: What the answer must be: a pydantic model, or any type that pydantic knows, such as ``int``,
                ``Literal["yes", "no"]`` or ``list[str]``. ``None`` asks for a reply in words.
            seed: Seed of sampling.

        Returns:
            An ``AssistantReply``, or an instance of ``answer_type`` (see ``promptkit.assistants.typed``).

        Raises:
            DataError: The question does not fit the task.
            ContextLengthError: It does not fit the context window.
            BackendError: The model failed.
            AnswerTypeError: The assistant abstained, or the answer could not be given that type.
            MissingExtraError: A local model is to answer with a type, and llguidance is not installed.
        """
        query = as_query(self.task, question, {})
        if answer_type is None:
            return self._answer(query, (), seed)[0]
        from promptkit.assistants.typed import ask_typed

        return ask_typed(self, query, answer_type, seed)

    async def aask(self, question: str | Mapping[str, str], answer_type: Any = None, *, seed: int = 0) -> Any:
        """Answers as ``ask`` does, in a thread of its own, so that the event loop is free meanwhile."""
        return await asyncio.to_thread(self.ask, question, answer_type, seed=seed)

    def stream(self, question: str | Mapping[str, str], *, seed: int = 0) -> ReplyStream:
        """Answers one question piece by piece.

        Where votes decide, the winner's text comes after the vote; else the text comes while it is generated.

        Args:
            question: As in ``ask``.
            seed: Seed of sampling.

        Returns:
            The reply, to be read with ``for`` or ``async for``.
        """
        query = as_query(self.task, question, {})
        return ReplyStream(lambda on_text: self._answer(query, (), seed, on_text)[0])

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the assistant with its predictor as one folder.

        Args:
            folder: Where to write; an older assistant there is replaced in one step.

        Raises:
            ArtifactError: The folder cannot be written.
        """
        from promptkit.assistants.saving import save_assistant  # Loading makes assistants, so it imports this.

        save_assistant(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], backend: Backend, *, same_model: bool = True) -> Assistant:
        """Reads a saved assistant, strictly.

        Args:
            folder: A folder written by ``save``.
            backend: The model that will answer; a saved folder never chooses it.
            same_model: Refuse another model than the one with which the predictor was fitted.

        Returns:
            The assistant.

        Raises:
            ArtifactError: The folder is damaged, was changed, comes from a newer version or belongs to another model.
        """
        from promptkit.assistants.saving import load_assistant

        check_backend(backend, of="Assistant.load")
        return load_assistant(folder, backend, same_model=same_model)

    def routing(self) -> Questions:
        """Returns the questions by which a router knows this assistant's task.

        Raises:
            SettingError: It has none, and its task is not a shipped one.
        """
        found = self.questions or shipped_questions(self.task)
        if found is None:
            expected = "given for a task of your own"
            hint = "pass Assistant(..., data=load_examples(...)) so that a router can learn what belongs to it"
            raise SettingError(
                error_message("data", of=f"assistant {self.name!r}", expected=expected, got=None, hint=hint)
            )
        return found

    def _compose(self, query: Query, turns: Sequence[Example]) -> tuple[Composed, tuple[str, ...]]:
        terms = occurring(self._terms, query.fields.values())
        told = head(self.predictor.plan.instruction, self.tone, terms)
        return compose(self.predictor, query, turns, told), tuple(terms)

    def _answer(
        self, query: Query, turns: Sequence[Example], seed: int, on_text: OnText | None = None
    ) -> tuple[AssistantReply, Composed]:
        """Answers a question after earlier turns; ``on_text`` gets the text while or after it is generated."""
        composed, terms = self._compose(query, turns)
        predictor, shown = composed.predictor, Trimmed(on_text or (lambda piece: None))
        plan = predictor.plan
        if on_text is not None and plan.aggregate is None and plan.answer_by == "generation":
            predictor = replace(predictor, backend=Tap(predictor.backend, shown))
        prediction = predictor.predict([query], seed=seed)[0]
        reason = self._reason(prediction)
        text = self.handover if reason else prediction.text.strip() or prediction.answer or ""
        if on_text is not None:
            _hand_on(text, shown, on_text)
        reply = AssistantReply(
            text=text,
            answer=None if reason else prediction.answer,
            abstained=bool(reason),
            reason=reason,
            prediction=prediction,
            terms=terms,
            dropped_turns=len(turns) - len(composed.kept),
            dropped_shots=composed.dropped_shots + prediction.dropped_shots,
        )
        return reply, composed

    def _reason(self, prediction: Prediction) -> Reason:
        """Tells why a prediction is no answer, if it is none."""
        if prediction.votes and prediction.answer is None:
            return "disagreement"  # the predictor's own min_agreement
        if prediction.answer is None:
            return "unreadable"
        least = self.min_agreement
        agreed = least is None or prediction.agreement is None or prediction.agreement >= least
        return "" if agreed else "disagreement"


def _check_agreement(least: float | None, predictor: PlanPredictor) -> float | None:
    if least is None:
        return None
    number = isinstance(least, int | float) and not isinstance(least, bool)
    if not number or not 0 < least <= 1:
        expected = "a share above 0 and at most 1, or None"
        raise SettingError(error_message("min_agreement", of="Assistant", expected=expected, got=least))
    if predictor.plan.aggregate is None and predictor.plan.answer_by == "generation":
        expected = "None for a predictor that draws one completion, since nothing votes"
        hint = "fit ChainOfThought with several samples, or FewShot(answer_by='likelihood')"
        raise SettingError(error_message("min_agreement", of="Assistant", expected=expected, got=least, hint=hint))
    return float(least)


def _hand_on(text: str, shown: Trimmed, on_text: OnText) -> None:
    """Hands on what is not shown yet of the reply's text."""
    if not shown.text:
        for piece in _WORDS.findall(text):
            on_text(piece)
    elif text.startswith(shown.text):
        on_text(text[len(shown.text) :])
    else:
        on_text("\n" + text)
