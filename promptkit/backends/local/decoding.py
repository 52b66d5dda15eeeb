"""The decoding loop: rows grow token by token and leave the batch as soon as they are finished."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from promptkit.backends.local.constrained import Guide
from promptkit.backends.local.forward import Run
from promptkit.backends.local.keys import PromptKey, text_of
from promptkit.backends.local.sampling import Draw, choose, noise_key, restrict, settle
from promptkit.backends.local.tokenizer import TokenCodec
from promptkit.errors import BackendError
from promptkit.types import Completion, Finish, Sampling

__all__ = ["Row", "decode", "score"]


@dataclass(frozen=True, slots=True)
class Row:
    """One completion that is wanted: equal rows have equal results, so each is computed once.

    Attributes:
        prompt: The prompt with its weights, as a key of ``local_keys``.
        sampling: How it is drawn.
        seed: Seed of the run; 0 for greedy rows.
        index: Sample index; 0 for greedy rows.
    """

    prompt: PromptKey
    sampling: Sampling
    seed: int
    index: int


@dataclass(slots=True)
class _Growing:
    number: int
    row: Row
    text: PromptKey  # tokens of the prompt's text
    draw: Draw
    guide: Guide | None = None
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0


def _unique(prompts: Sequence[PromptKey]) -> tuple[list[PromptKey], list[int]]:
    """Returns the different prompts in order, and for each prompt its place among them."""
    places: dict[PromptKey, int] = {}
    where = [places.setdefault(prompt, len(places)) for prompt in prompts]
    return list(places), where


def decode(
    run: Run,
    rows: Sequence[Row],
    codec: TokenCodec,
    eos: Collection[int],
    finished: Callable[[int, Completion], None],
    *,
    guide: Callable[[Sampling], Guide | None] = lambda sampling: None,
    grew: Callable[[list[int]], None] = lambda tokens: None,
) -> None:
    """Completes a batch of rows.

    Args:
        run: The model's side of the batch, not yet started.
        rows: What is wanted; samples of one prompt are read by the model once.
        codec: Turns tokens into text.
        eos: Tokens that end a completion.
        finished: Called with a row's number and its completion, as soon as that is complete.
        guide: Makes the guide of a row whose sampling has a schema.
        grew: Called with the tokens of a row, whenever it has one more and is not complete.

    Raises:
        BackendError: The model computed something that is no number.
    """
    prompts, where = _unique([row.prompt for row in rows])
    logits = run.start(prompts)
    if where != list(range(len(prompts))):
        run.keep(where)
        logits = logits[where]
    alive = [_grow(number, row, guide(row.sampling)) for number, row in enumerate(rows)]
    for step in range(max(row.sampling.max_new_tokens for row in rows)):
        if not bool(torch.isfinite(logits.amax(-1)).all()):
            raise BackendError(
                "model: logits must be finite, got nan or inf; its weights are damaged, or need dtype='float32'"
            )
        guides = [item.guide for item in alive]
        if any(guides):
            logits = restrict(logits, guides)
        tokens, logprobs = choose(logits, [item.draw for item in alive], step)
        if any(guides):
            settle(tokens, logprobs, logits, guides)
        stay = []
        for place, item in enumerate(alive):
            item.tokens.append(tokens[place])
            item.logprob += logprobs[place]
            completion = _completed(item, codec, eos)
            if completion is None:
                stay.append(place)
                grew(item.tokens)
            else:
                finished(item.number, completion)
        if not stay:
            return
        if len(stay) < len(alive):
            run.keep(stay)
            alive = [alive[place] for place in stay]
        logits = run.feed(torch.tensor([[item.tokens[-1]] for item in alive], device=logits.device))[:, -1]


def _grow(number: int, row: Row, guide: Guide | None) -> _Growing:
    sampling, text = row.sampling, text_of(row.prompt)
    # Weights change a sample through its probabilities alone: with equal noise, two adapters are compared in pairs.
    key = noise_key(row.seed, text, row.index) if sampling.temperature > 0 else 0
    return _Growing(number, row, text, Draw(sampling.temperature, sampling.top_p, key), guide)


def _completed(item: _Growing, codec: TokenCodec, eos: Collection[int]) -> Completion | None:
    """Returns the completion if the newest token ended it."""
    sampling, spent = item.row.sampling, len(item.tokens)
    shown: str | None = None
    finish: Finish = "length"
    if item.tokens[-1] in eos:
        finish, shown = "eos", codec.text(item.text, item.tokens[:-1])
    elif sampling.stop and _may_stop(item, codec):
        whole = codec.text(item.text, item.tokens)
        found = [at for text in sampling.stop if (at := whole.find(text)) >= 0]
        if found:
            finish, shown = "stop", whole[: min(found)]
    elif item.guide is not None and item.guide.done:
        finish, shown = "length" if item.guide.hurried else "stop", codec.text(item.text, item.tokens)
    if shown is None:
        if spent < sampling.max_new_tokens:
            return None
        shown = codec.text(item.text, item.tokens)
    return Completion(shown, finish, spent, item.logprob, item.row.index)


def _may_stop(item: _Growing, codec: TokenCodec) -> bool:
    """Looks for stop texts in the newest tokens only, so that long completions stay cheap.

    A token holds at least one byte, so a stop text that the newest token completes lies within as many tokens as it
    has bytes; a few more keep the decoder's start-of-text habits away from it.
    """
    longest = max(len(text.encode("utf-8")) for text in item.row.sampling.stop)
    window = longest + 8
    recent = codec.text((), item.tokens[-window:]) if len(item.tokens) > window else None
    if recent is None:
        recent = codec.text(item.text, item.tokens)
    return any(text in recent for text in item.row.sampling.stop)


def score(run: Run, prompts: Sequence[PromptKey], continuations: Sequence[Sequence[int]]) -> list[float]:
    """Computes the log-likelihood of continuations.

    Args:
        run: The model's side of the batch, not yet started.
        prompts: The prompt of each row, as a key; equal prompts are read by the model once.
        continuations: The continuation of each row, at least one token.

    Returns:
        The summed natural log-probability of each continuation.
    """
    different, where = _unique(prompts)
    first = run.start(different)[where]
    run.keep(where)
    width = max(len(tokens) for tokens in continuations)
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    real = torch.zeros((len(prompts), width), dtype=torch.bool)
    for row, tokens in enumerate(continuations):
        ids[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        real[row, : len(tokens)] = True
    ids, real = ids.to(first.device), real.to(first.device)
    total = _logprob(first[:, None], ids[:, :1])[:, 0]
    if width > 1:
        # The last token is never read, only predicted.
        logits = run.feed(ids[:, :-1], real[:, :-1])
        total = total + (_logprob(logits, ids[:, 1:]) * real[:, 1:]).sum(1)
    if not bool(torch.isfinite(total).all()):
        raise BackendError("model: log-likelihoods must be finite, got nan or inf; its weights are damaged")
    return [float(value) for value in total]


def _logprob(logits: Tensor, ids: Tensor) -> Tensor:
    return logits.gather(-1, ids[..., None]).squeeze(-1) - logits.logsumexp(-1)
