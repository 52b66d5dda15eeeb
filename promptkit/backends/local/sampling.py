"""Choosing the next token of every row, such that a row never depends on its neighbours.

A row's random numbers come from a counter-based generator (Philox, Salmon et al. 2011) keyed by (seed, prompt, sample
index), with the step as its counter. Adding Gumbel noise to the log-probabilities and taking the largest draws exactly
from their distribution (the Gumbel-max trick, Gumbel 1954).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptkit.backends.local.constrained import Guide

__all__ = ["Draw", "choose", "gumbel", "noise_key", "restrict", "settle"]


@dataclass(frozen=True, slots=True)
class Draw:
    """How one row draws its tokens.

    Attributes:
        temperature: 0 for the most likely token.
        top_p: Share of the probability that stays.
        key: Key of the row's random numbers, from ``noise_key``.
    """

    temperature: float
    top_p: float
    key: int


def noise_key(seed: int, prompt_ids: Sequence[int], index: int) -> int:
    """Derives the 128-bit key of one sample's random numbers.

    Args:
        seed: Seed of the run.
        prompt_ids: Tokens of the prompt.
        index: Sample index.

    Returns:
        A key for ``gumbel``.
    """
    digest = hashlib.blake2b(f"{seed}/{index}/".encode(), digest_size=16)
    digest.update(np.asarray(prompt_ids, dtype="<i8").tobytes())
    return int.from_bytes(digest.digest(), "little")


def gumbel(key: int, step: int, size: int) -> NDArray[np.float64]:
    """Returns the standard Gumbel noise of one step of one sample.

    Args:
        key: The sample's key.
        step: How many tokens the sample has so far.
        size: Number of tokens in the vocabulary.

    Returns:
        ``size`` independent numbers; the same for the same arguments, in every process.
    """
    # The step is in the counter's highest word: each step has 2**192 blocks for itself.
    uniform = np.random.Generator(np.random.Philox(key=key, counter=step << 192)).random(size)
    with np.errstate(divide="ignore"):  # a uniform of exactly 0 becomes -inf: never chosen, as it should be
        noise: NDArray[np.float64] = -np.log(-np.log(uniform))
    return noise


def _nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Removes the least likely tokens beyond a share of ``top_p`` (Holtzman et al. 2020); the first always stays."""
    ordered, places = logits.sort(descending=True, stable=True)
    shares = ordered.softmax(-1)
    beyond = shares.cumsum(-1) - shares >= top_p
    return logits.scatter(0, places, ordered.masked_fill(beyond, -torch.inf))


def choose(logits: Tensor, draws: Sequence[Draw], step: int) -> tuple[list[int], list[float]]:
    """Chooses the next token of every row.

    Args:
        logits: ``[rows, vocabulary]``, in float32.
        draws: How each row draws.
        step: How many tokens every row has so far.

    Returns:
        The tokens, and their natural log-probabilities at temperature 1.
    """
    tokens = logits.argmax(-1)
    for row, draw in enumerate(draws):
        if draw.temperature > 0:
            heated = logits[row].cpu().double() / draw.temperature  # some accelerators have no float64
            if draw.top_p < 1:
                heated = _nucleus(heated, draw.top_p)
            noise = torch.from_numpy(gumbel(draw.key, step, logits.shape[-1]))
            tokens[row] = int((heated + noise).argmax())
    chosen = logits.gather(-1, tokens[:, None]).squeeze(-1) - logits.logsumexp(-1)
    return tokens.tolist(), chosen.tolist()


def restrict(logits: Tensor, guides: Sequence[Guide | None]) -> Tensor:
    """Rules out the tokens that a row's guide does not allow.

    Args:
        logits: ``[rows, vocabulary]``.
        guides: The guide of each row, or ``None``.

    Returns:
        Logits of -inf for such tokens; rows without a guide stay as they are.
    """
    allowed = torch.ones(logits.shape, dtype=torch.bool)
    for row, guide in enumerate(guides):
        if guide is not None:
            allowed[row] = torch.from_numpy(guide.allowed())
    return logits.masked_fill(~allowed.to(logits.device), -torch.inf)


def settle(tokens: list[int], logprobs: list[float], logits: Tensor, guides: Sequence[Guide | None]) -> None:
    """Hands the chosen tokens to their guides, which may put others in their place.

    Args:
        tokens: The chosen token of each row; changed in place.
        logprobs: Their log-probabilities; changed in place.
        logits: What they were chosen from, ``[rows, vocabulary]``.
        guides: The guide of each row, or ``None``.
    """
    for row, guide in enumerate(guides):
        if guide is not None:
            taken = guide.take(tokens[row])
            if taken != tokens[row]:
                tokens[row] = taken
                logprobs[row] = float(logits[row, taken] - logits[row].logsumexp(-1))
