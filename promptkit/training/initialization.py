"""Starting points of soft prompts: which tokens' vectors a soft prompt starts from.

==========  ======================================================================================================
random      none: vectors drawn at the scale of the word embeddings (``None`` here; training draws them)
vocabulary  frequent tokens, drawn by seed (Lester et al. 2021, arXiv 2104.08691, section 3.2)
text        the tokens of a text of your own, in order and round again until all places are filled
domain      the tokens that the task uses much more than general text does (weighted log-odds)
prompt    the tokens right before the question in a few-shot prompt
==========  ======================================================================================================

All are word embeddings, because trained vectors stay near their start and a model can make sense of what lies near
its words. Nothing of a tokenizer's frame (begin, end, padding, roles) is ever among them.

General text for ``domain`` is a page of prose that comes with promptkit (``promptkit.training.general``): it is only
to show which words and signs are common anywhere. Which tokens are frequent, for ``vocabulary``, every tokenizer tells
by itself: a BPE vocabulary lists its merges from frequent to rare, a Unigram vocabulary the probability of every piece.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from promptkit.errors import DataError, SettingError, error_message
from promptkit.training.general import GENERAL_TEXT
from promptkit.types import Prompt

if TYPE_CHECKING:
    from promptkit.backends.local.tokenizer import TokenCodec

__all__ = ["Init", "domain_ids", "frequent_ids", "log_odds", "prompt_head_ids", "text_ids", "vocabulary_ids"]

Init = Literal["domain", "random", "vocabulary", "prompt", "text"]
"""Names of starting points."""

FREQUENT = 5_000
"""How many of the most frequent tokens ``vocabulary`` draws from, as in the paper."""

Array = npt.NDArray[np.float64]


def frequent_ids(codec: TokenCodec) -> list[int]:
    """Lists the ordinary tokens of a vocabulary from frequent to rare, as the tokenizer's own making tells.

    Args:
        codec: The tokenizer of the model.

    Returns:
        Token ids without control tokens: of a BPE vocabulary merges in their order, then single signs; of a Unigram
        vocabulary by probability; of others by number.
    """
    content = json.loads(codec.tokenizer.backend_tokenizer.to_str())
    added = {token["id"] for token in content.get("added_tokens", [])}
    model = content["model"]
    if model.get("type") == "Unigram":
        order = sorted(range(len(model["vocab"])), key=lambda number: (-model["vocab"][number][1], number))
    else:
        vocabulary: dict[str, int] = model["vocab"]
        merged = ["".join(pair.split(" ", 1) if isinstance(pair, str) else pair) for pair in model.get("merges") or []]
        made = list(dict.fromkeys(vocabulary[token] for token in merged if token in vocabulary))
        order = [*made, *sorted(set(vocabulary.values()) - set(made))]
    return [number for number in order if number not in added]


def log_odds(own: Array, other: Array) -> Array:
    """Tells how much more frequent each token is in one text than in another, in standard deviations.

    The log-odds ratio with an informative Dirichlet prior of Monroe, Colaresi and Quinn 2008 ("Fightin' Words",
    equations 16, 20 and 22): ``delta = log((y + a) / (n + a0 - y - a)) - log((z + a) / (m + a0 - z - a))``, divided by
    ``sqrt(1 / (y + a) + 1 / (z + a))``. The prior ``a`` is the two texts taken together, scaled to the size of the
    smaller one, so a token needs to be used more than once or twice to stand out.

    Args:
        own: How often each token occurs in the one text, ``[vocabulary]``.
        other: How often in the other, ``[vocabulary]``.

    Returns:
        The z-scores ``[vocabulary]``; minus infinity for tokens that stand in neither.

    Example:
        >>> log_odds(np.array([50.0, 50.0, 0.0, 0.0]), np.array([50.0, 10.0, 40.0, 0.0])).round(1).tolist()
        [0.0, 5.1, -5.2, -inf]
    """
    n, m = own.sum(), other.sum()
    both = own + other
    prior = both * (min(n, m) / max(both.sum(), 1.0))
    size, seen = prior.sum(), both > 0
    y, z = np.where(seen, own + prior, 1.0), np.where(seen, other + prior, 1.0)
    # A text of one single token has no odds; the least positive rest keeps its logarithm finite.
    delta = np.log(y / np.maximum(n + size - y, 1e-9)) - np.log(z / np.maximum(m + size - z, 1e-9))
    return np.where(seen, delta / np.sqrt(1 / y + 1 / z), -np.inf)


def domain_ids(codec: TokenCodec, texts: Iterable[str], tokens: int) -> tuple[int, ...]:
    """Chooses the tokens that are most typical of a task's texts, the most typical one last, next to the text.

    Args:
        codec: The tokenizer of the model.
        texts: The task's training texts, questions and answers.
        tokens: How many to choose.

    Returns:
        Token ids; the same ones again where fewer tokens are more frequent than in general text.

    Raises:
        DataError: The texts hold no token.
    """
    used = Counter(number for text in texts for number in codec.content(text))
    if not used:
        raise DataError(error_message("examples", of="init='domain'", expected="texts with at least one token", got=[]))
    general = Counter(codec.content(GENERAL_TEXT))
    ids = sorted(used | general)
    scores = log_odds(np.array([float(used[n]) for n in ids]), np.array([float(general[n]) for n in ids]))
    ranked = sorted(zip(-scores, ids, strict=True))
    typical = [number for score, number in ranked if score < 0 and number in used]
    return _fill(typical or sorted(used), tokens)[::-1]


def vocabulary_ids(codec: TokenCodec, tokens: int, seed: int) -> tuple[int, ...]:
    """Draws frequent tokens of the vocabulary, each at most once while there are enough.

    Args:
        codec: The tokenizer of the model.
        tokens: How many to draw.
        seed: Which draw.

    Returns:
        Token ids.
    """
    frequent = frequent_ids(codec)[:FREQUENT]
    order = np.random.default_rng(seed).permutation(len(frequent))
    return _fill([frequent[place] for place in order], tokens)


def text_ids(codec: TokenCodec, text: str, tokens: int) -> tuple[int, ...]:
    """Takes the tokens of a text: cut at the end if there are too many, from its start again if too few.

    Args:
        codec: The tokenizer of the model.
        text: Any text; it gets no begin-of-text and no end token.
        tokens: How many are wanted.

    Returns:
        Token ids.

    Raises:
        SettingError: The text has no token.
    """
    found = codec.content(text)
    if not found:
        raise SettingError(
            error_message("init_text", of="SoftPrompt", expected="a text with at least one token", got=text)
        )
    return _fill(found, tokens)


def prompt_head_ids(codec: TokenCodec, prompt: Prompt, bare: Prompt, tokens: int) -> tuple[int, ...]:
    """Takes the last tokens before the question in a prompt with demonstrations.

    Args:
        codec: The tokenizer of the model.
        prompt: A prompt with demonstrations and some question.
        bare: The same question without anything before it.
        tokens: How many are wanted.

    Returns:
        Token ids without control tokens, in the order of the prompt; from their start again if there are too few.

    Raises:
        DataError: Nothing precedes the question.
    """
    whole, alone = codec.prompt_ids(prompt), codec.prompt_ids(bare)
    same = next((at for at, (a, b) in enumerate(zip(whole[::-1], alone[::-1], strict=False)) if a != b), len(alone))
    control = codec.control
    head = [number for number in whole[: len(whole) - same] if number not in control]
    if not head:
        expected = "a teacher, or shots, whose prompt says something before the question"
        raise DataError(
            error_message("prompt", of="init='prompt'", expected=expected, got=prompt.text or prompt.messages)
        )
    return _fill(head[-tokens:], tokens)


def _fill(found: Sequence[int], tokens: int) -> tuple[int, ...]:
    return tuple(islice(cycle(found), tokens))
