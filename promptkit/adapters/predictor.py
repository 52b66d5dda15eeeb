"""The one predictor, which plays any plan: choose demonstrations, render, fit, generate, read."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from promptkit.adapters.base import OnError, parse_queries
from promptkit.adapters.plan import Plan
from promptkit.adapters.selection import LexicalIndex, select
from promptkit.adapters.voting import ask_all, count_votes, draw_votes
from promptkit.backends import Backend
from promptkit.errors import ContextLengthError, PromptkitError
from promptkit.tasks import render, render_answer
from promptkit.tasks.task import Task
from promptkit.types import (
    Completion,
    Example,
    JSONObject,
    Prediction,
    Progress,
    Prompt,
    Queries,
    Query,
    Reply,
    Request,
    Sampling,
    ScoreRequest,
    Usage,
    Weights,
)

if TYPE_CHECKING:
    from promptkit.training.log import TrainingLog

__all__ = ["PlanPredictor", "RenderedQuery"]


@dataclass(frozen=True, slots=True)
class RenderedQuery:
    """A query with the prompt that asks it.

    Attributes:
        query: The query.
        prompt: The prompt, which fits the context window.
        demos: The demonstrations in it.
        dropped: Number of demonstrations left out to make it fit.
    """

    query: Query
    prompt: Prompt
    demos: tuple[Example, ...]
    dropped: int = 0


@dataclass(frozen=True)
class PlanPredictor:
    """Plays a plan for a task on a backend.

    Attributes:
        plan: How to ask, with which demonstrations, how to sample.
        task: What is asked, and how answers are read.
        backend: The model.
        notes: What fitting found out, such as the trials of a search; plain JSON data, saved with the predictor.
        soft_prompt: Learned vectors that stand before every prompt, or ``None``.
        lora: Learned low-rank changes of the model, or ``None``. The model itself is never changed.
    """

    plan: Plan
    task: Task
    backend: Backend
    notes: JSONObject = field(default_factory=dict)
    soft_prompt: Weights | None = None
    lora: Weights | None = None

    @property
    def training(self) -> TrainingLog | None:
        """How the weights were trained: losses, steps, seconds, parameters; ``None`` where nothing was."""
        from promptkit.training.log import TrainingLog  # Only what has weights needs the room that trains.

        found = self.notes.get("training")
        return None if found is None else TrainingLog.from_json(found)

    def predict(
        self, queries: Queries, *, seed: int = 0, on_error: OnError = "raise", progress: Progress | None = None
    ) -> list[Prediction]:
        """Answers queries.

        Args:
            queries: Queries, or mappings from the task's fields to text.
            seed: Seed of sampling; greedy answers do not depend on it.
            on_error: ``raise`` stops at the first failure; ``record`` keeps it in ``Prediction.error`` and goes on.
            progress: Called with (finished, all) queries.

        Returns:
            One prediction per query, in order; none depends on the others.

        Raises:
            DataError: Queries do not fit the task.
            ContextLengthError: A question does not fit the context window even without demonstrations.
            BackendError: The model failed.
        """
        known = parse_queries(self.task, queries)
        out: dict[int, Prediction] = {}
        asked: dict[int, RenderedQuery] = {}
        for place, query in enumerate(known):
            try:
                asked[place] = self.ask(query)
            except ContextLengthError as error:
                if on_error == "raise":
                    raise
                out[place] = Prediction(query.id, None, error=str(error))
        started = time.perf_counter()
        answers = self._answer_all(list(asked.values()), seed, on_error, progress)
        share = (time.perf_counter() - started) / max(1, len(asked))
        for place, prediction in zip(asked, answers, strict=True):
            out[place] = prediction.with_usage(replace(prediction.usage, seconds=share))
        return [out[place] for place in range(len(known))]

    def ask(self, query: Query, *, reserved: int | None = None) -> RenderedQuery:
        """Renders the prompt for a query, dropping whole demonstrations from the front until it fits.

        Args:
            query: The query.
            reserved: Places of the context window to keep free for a soft prompt; by default those of its own.

        Returns:
            The query with its prompt.

        Raises:
            ContextLengthError: The question alone does not fit; it is never cut.
        """
        if reserved is None:
            reserved = self.soft_prompt.tokens if self.soft_prompt else 0
        demos = self._demos(query)
        room = self.backend.context_window - self.plan.max_new_tokens - reserved
        for dropped in range(len(demos) + 1):
            kept = demos[dropped:]
            prompt = render(
                self.task, query, kept, ask=self.plan.ask, form=self.plan.form, instruction=self.plan.instruction
            )
            length = self.backend.count_tokens(prompt)
            if length <= room:
                return RenderedQuery(query, prompt, tuple(kept), dropped)
        soft = f", its soft prompt {reserved}" if reserved else ""
        raise ContextLengthError(
            f"query {query.id!r}: the question alone takes {length} tokens{soft} and its answer up to "
            f"{self.plan.max_new_tokens}, but {self.backend.name} has a context window of "
            f"{self.backend.context_window}; shorten the question, lower max_new_tokens or use a model with more room"
        )

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the predictor as one folder (see ``promptkit.load``).

        Args:
            folder: Where to write; an older predictor there is replaced in one step.

        Raises:
            ArtifactError: The folder cannot be written, or ``promptkit.load`` would build something else from it: the
                predictor is of a subclass, or another predictor saves through this one.
        """
        from promptkit.adapters.saving import save_predictor  # The saving module builds predictors, so it imports this.

        save_predictor(self, folder)

    def export(self, folder: str | os.PathLike[str], to: str = "peft") -> Path:
        """Writes the weights for other programs (see ``promptkit.export``).

        Args:
            folder: Where to write; a new or empty folder.
            to: ``peft``, ``merged``, ``baked`` or ``prompt-embeds``.

        Returns:
            The folder.

        Raises:
            SettingError: The form is unknown, or there are no weights of that sort.
            UnsupportedError: The model cannot be written in that form.
            ArtifactError: The folder holds something already, or the disk refuses.
        """
        from promptkit.export import export  # Writes with torch and transformers, which predicting need not load.

        return export(self, folder, to)

    @functools.cached_property
    def _index(self) -> LexicalIndex:
        return LexicalIndex(self.plan.demos)

    def _demos(self, query: Query) -> list[Example]:
        plan = self.plan
        if plan.per_query is not None:
            return select(plan.per_query, self._index, plan.shots, query=query, seed=plan.seed)
        # A demonstration with the content of the question would hand over the answer.
        key = query.key if plan.demos else ""
        return [demo for demo in plan.demos if demo.query.key != key]

    def _answer_all(
        self, asked: Sequence[RenderedQuery], seed: int, on_error: OnError, progress: Progress | None
    ) -> list[Prediction]:
        try:
            if self.plan.answer_by == "generation":
                return self._by_generation(asked, seed, on_error, progress)
            return self._by_likelihood(asked, progress)
        except PromptkitError as error:
            if on_error == "raise":
                raise
            if self.plan.answer_by == "generation":  # each failure of a request stands with its query already
                return [_failed(one, error) for one in asked]
        # The batch failed: ask one by one, so that one bad query costs only itself.
        found: list[Prediction] = []
        for one in asked:
            try:
                found += self._by_likelihood([one], None)
            except PromptkitError as error:
                found.append(_failed(one, error))
            if progress is not None:
                progress(len(found), len(asked))
        return found

    def _by_generation(
        self, asked: Sequence[RenderedQuery], seed: int, on_error: OnError, progress: Progress | None
    ) -> list[Prediction]:
        plan = self.plan
        sampling = Sampling(
            max_new_tokens=plan.max_new_tokens,
            temperature=plan.temperature,
            top_p=plan.top_p,
            stop=self.task.stop if plan.form == "completion" else (),
        )
        requests = [Request(one.prompt, sampling, seed, soft_prompt=self.soft_prompt, lora=self.lora) for one in asked]
        if plan.aggregate is not None:
            parser = self.task.parser(plan.ask)
            found = draw_votes(self.backend, requests, plan.samples, plan.aggregate, parser, progress, on_error)
        else:
            found = ask_all(self.backend, requests, on_error, progress)
        read = self._read if plan.aggregate is None else self._elect
        return [
            _failed(one, reply) if isinstance(reply, PromptkitError) else read(one, reply)
            for one, reply in zip(asked, found, strict=True)
        ]

    def _read(self, one: RenderedQuery, reply: Reply) -> Prediction:
        parser = self.task.parser(self.plan.ask)
        first = reply.completions[0]
        reasoning = parser.reasoning(first.text) if self.plan.ask == "reasoned" else ""
        return Prediction(
            id=one.query.id,
            answer=parser.read(first.text, finish=first.finish),
            text=first.text,
            completions=reply.completions,
            usage=reply.usage,
            shots=len(one.demos),
            dropped_shots=one.dropped,
            reasonings=(reasoning,) if reasoning else (),
        )

    def _elect(self, one: RenderedQuery, reply: Reply) -> Prediction:
        how = self.plan.aggregate
        assert how is not None
        outcome = count_votes(reply.completions, how, self.task.parser(self.plan.ask))
        agreed = how.min_agreement is None or outcome.agreement >= how.min_agreement
        winner = outcome.readings.index(outcome.answer) if outcome.answer is not None else 0
        return Prediction(
            id=one.query.id,
            answer=outcome.answer if agreed else None,
            # Whole texts hold the reasoning too, so they are hidden with it.
            text=reply.completions[winner].text if how.show_reasoning else "",
            completions=reply.completions if how.show_reasoning else (),
            usage=reply.usage,
            shots=len(one.demos),
            dropped_shots=one.dropped,
            agreement=outcome.agreement,
            votes=dict(outcome.votes),
            distinct_paths=outcome.distinct_paths,
            tie=outcome.tie,
            samples_used=outcome.samples_used,
            abstained=outcome.abstained,
            reasonings=outcome.reasonings if how.show_reasoning else (),
        )

    def _by_likelihood(self, asked: Sequence[RenderedQuery], progress: Progress | None) -> list[Prediction]:
        requests = [
            ScoreRequest(one.prompt, self._label_texts(one.query), soft_prompt=self.soft_prompt, lora=self.lora)
            for one in asked
        ]
        scores = self.backend.score(requests)
        if progress is not None:
            progress(len(asked), len(asked))
        return [self._most_likely(one, row) for one, row in zip(asked, scores, strict=True)]

    def _label_texts(self, query: Query) -> tuple[str, ...]:
        # The separator belongs to the text: without it "Card" would be at least as likely as "Card loss".
        end = self.task.separator if self.plan.form == "completion" else ""
        return tuple(
            render_answer(self.task, Example(query, (label,)), ask=self.plan.ask) + end for label in self.task.labels
        )

    def _most_likely(self, one: RenderedQuery, row: Sequence[tuple[float, int]]) -> Prediction:
        best = max(range(len(row)), key=lambda place: row[place][0])
        label = self.task.labels[best]
        total = math.fsum(math.exp(score - row[best][0]) for score, _ in row)
        text = render_answer(self.task, Example(one.query, (label,)), ask=self.plan.ask)
        completion = Completion(text, "stop", row[best][1], row[best][0])
        return Prediction(
            id=one.query.id,
            answer=label,
            text=text,
            completions=(completion,),
            usage=Usage(
                calls=1,
                prompt_tokens=self.backend.count_tokens(one.prompt),
                generated_tokens=sum(tokens for _, tokens in row),
            ),
            shots=len(one.demos),
            dropped_shots=one.dropped,
            agreement=1.0 / total,
            votes=self._shares(row),
        )

    def _shares(self, row: Sequence[tuple[float, int]]) -> Mapping[str, float]:
        top = max(score for score, _ in row)
        weights = [math.exp(score - top) for score, _ in row]
        whole = math.fsum(weights)
        pairs = zip(self.task.labels, weights, strict=True)
        return {label: weight / whole for label, weight in sorted(pairs, key=lambda pair: -pair[1])}


def _failed(one: RenderedQuery, error: PromptkitError) -> Prediction:
    return Prediction(one.query.id, None, shots=len(one.demos), dropped_shots=one.dropped, error=str(error))
