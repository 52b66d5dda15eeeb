"""The nouns of promptkit, in the order in which they flow.

Query -> Example -> Prompt -> Request -> Completion -> Prediction -> Usage. A ``Query`` has no target and an
``Example`` contains a query, so nothing that predicts can see an answer: the type forbids it.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Ask",
    "Completion",
    "Example",
    "Message",
    "Prediction",
    "Progress",
    "Prompt",
    "Query",
    "Reply",
    "Request",
    "Sampling",
    "ScoreRequest",
    "Usage",
    "Weights",
    "content_key",
]

Ask = Literal["direct", "reasoned"]
"""How a question is asked: for the answer alone, or for reasoning that ends in the answer."""

Finish = Literal["stop", "eos", "length", "error"]
"""Why a completion ended: a stop text, the model's end token, the token limit, or a failure."""

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` while long work goes on."""


def content_key(fields: Mapping[str, str]) -> str:
    """Returns a stable 16-digit hash of what a query says, whatever its id.

    Two queries with equal normalised text (Unicode NFKC, case, white space) have equal keys; this is what keeps a
    test item out of the demonstrations.

    Example:
        >>> content_key({"question": "Two  apples?"}) == content_key({"question": "two apples?"})
        True
    """
    normal = {name: " ".join(unicodedata.normalize("NFKC", text).casefold().split()) for name, text in fields.items()}
    return hashlib.sha256(json.dumps(normal, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: named input fields, and nothing of the answer.

    Attributes:
        fields: Input text by field name, exactly the fields that the task lists.
        id: A name for this query, unique within one data set.
    """

    fields: Mapping[str, str]
    id: str = ""

    @property
    def key(self) -> str:
        """The hash of the content (see ``content_key``)."""
        return content_key(self.fields)


@dataclass(frozen=True, slots=True)
class Example:
    """A query together with its accepted answers.

    Attributes:
        query: What is asked.
        targets: Accepted answers, the preferred one first; at least one.
        rationale: Worked reasoning that leads to the first target, if the data has it.
        group: What the example belongs to, such as the document that its question is about. Examples of one group are
            not independent: splits keep them together, and intervals and tests take a group as one observation. ""
            if it belongs to nothing else.
    """

    query: Query
    targets: tuple[str, ...]
    rationale: str | None = None
    group: str = ""

    @property
    def id(self) -> str:
        """The id of the query."""
        return self.query.id

    @property
    def target(self) -> str:
        """The preferred answer."""
        return self.targets[0]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt, in exactly one of two forms.

    Attributes:
        text: The prompt of a completion model, byte-exact; ``None`` for a chat prompt.
        messages: The turns of a chat prompt, which the backend turns into text by the model's own chat template;
            empty for a completion prompt.
    """

    text: str | None = None
    messages: tuple[Message, ...] = ()

    def __post_init__(self) -> None:
        """Checks that exactly one form is given."""
        if (self.text is None) == (not self.messages):
            raise ValueError("a Prompt has either text or messages")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn.

    Attributes:
        max_new_tokens: Upper limit of generated tokens per completion, at least 1.
        temperature: 0 for greedy decoding; otherwise the divisor of the logits, up to 10.
        top_p: Nucleus share in (0, 1]; 1 keeps every token.
        stop: Texts that end a completion; the stop text itself is trimmed from the result.
        schema: JSON Schema, as text, of the one JSON value that a completion must be, or ``None`` for any text. The
            value ends by itself, so ``stop`` must be empty beside it.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    schema: str | None = None


@dataclass(frozen=True, eq=False)
class Weights:
    """Learned weights beside a base model, as PEFT saves them. Two are equal if they compute the same.

    A request names its weights; no backend ever has weights "set". The tensors are never changed after training.

    Attributes:
        kind: ``soft_prompt`` (vectors before the text; P-tuning ends in them too), ``prefix`` (keys and values before
            the text, per layer) or ``lora`` (low-rank changes of linear layers: lora, rslora, dora, adalora).
        config: What PEFT's ``adapter_config.json`` says, plain scalars and lists of names only.
        tensors: float32 arrays under PEFT's names, without its ``base_model.model.`` in front. ``soft_prompt`` and
            ``prefix`` have one, ``prompt_embeddings``: ``[tokens, hidden]``, or ``[tokens, layers * 2 * width]``.
        base: Fingerprint of the base model for which they were trained.
    """

    kind: Literal["soft_prompt", "prefix", "lora"]
    config: Mapping[str, Any]
    tensors: Mapping[str, npt.NDArray[np.float32]]
    base: str

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that matters to what they compute."""
        digest = hashlib.sha256(json.dumps([self.kind, self.base, dict(self.config)], sort_keys=True).encode())
        for name in sorted(self.tensors):
            tensor = self.tensors[name]
            digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
            digest.update(np.ascontiguousarray(tensor).tobytes())
        return digest.hexdigest()

    @property
    def tokens(self) -> int:
        """Places of the context window that they take."""
        return 0 if self.kind == "lora" else int(self.tensors["prompt_embeddings"].shape[0])

    def __eq__(self, other: object) -> bool:
        """Compares by fingerprint."""
        return isinstance(other, Weights) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        """Hashes by fingerprint."""
        return hash(self.fingerprint)


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and the completions wanted for it.

    Attributes:
        prompt: What the model reads.
        sampling: How completions are drawn.
        seed: Seed of the run. A sample depends on (seed, prompt, sample index) and the weights alone.
        samples: Indices of the wanted samples; ``(0,)`` for one, ``(5, 6)`` to extend a sequence of five.
        soft_prompt: Learned vectors, keys or values to put before the prompt, or ``None``.
        lora: Learned low-rank changes of the model for this request, or ``None``.
    """

    prompt: Prompt
    sampling: Sampling = Sampling()
    seed: int = 0
    samples: tuple[int, ...] = (0,)
    soft_prompt: Weights | None = None
    lora: Weights | None = None


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """One prompt and the continuations whose likelihood is wanted, with the weights of ``Request``."""

    prompt: Prompt
    continuations: tuple[str, ...]
    soft_prompt: Weights | None = None
    lora: Weights | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """One generated text.

    Attributes:
        text: The generated text without the prompt and without the stop text.
        finish: Why it ended. ``"length"`` means that it was cut off by the token limit.
        tokens: Number of generated tokens, the stop or end token included.
        logprob: Sum of the log-probabilities (natural log, at temperature 1) of the generated tokens, or ``None``
            where the backend does not tell.
        index: The sample index that was asked for.
    """

    text: str
    finish: Finish = "stop"
    tokens: int = 0
    logprob: float | None = None
    index: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What answers cost. Usages add up.

    Attributes:
        calls: Requests sent.
        prompt_tokens: Tokens of the prompts, counted once per request however many samples it has.
        cached_tokens: Prompt tokens among them that were not computed anew (shared prefix).
        generated_tokens: Tokens of all completions.
        seconds: Wall-clock seconds.
    """

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Adds two usages field by field."""
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.generated_tokens + other.generated_tokens,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """A backend's answer to one request: its completions in the order of ``Request.samples``, and the cost."""

    completions: tuple[Completion, ...]
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a predictor says about one query.

    Attributes:
        id: The id of the query.
        answer: The answer that was read, or ``None`` where nothing could be read; never an empty string.
        text: The generated text from which the answer was read.
        completions: Every completion drawn for the query.
        usage: What this prediction cost; seconds are its equal share of its batch.
        shots: Number of demonstrations in the prompt.
        dropped_shots: Demonstrations left out because the prompt would not fit the context window.
        agreement: Share of all samples that voted for ``answer``, abstentions included in the whole.
        votes: Votes by answer, most first; empty where a single completion was read.
        distinct_paths: Number of different reasoning paths among the readable samples.
        tie: Whether the leading answers were tied.
        samples_used: Number of samples that voted or abstained.
        abstained: Samples among them that could not be read.
        reasonings: Reasoning texts that led to ``answer``; empty if hidden or asked directly.
        error: Why no prediction could be made, for failures recorded instead of raised; else ``None``.
    """

    id: str
    answer: str | None
    text: str = ""
    completions: tuple[Completion, ...] = ()
    usage: Usage = Usage()
    shots: int = 0
    dropped_shots: int = 0
    agreement: float | None = None
    votes: Mapping[str, float] = field(default_factory=dict)
    distinct_paths: int | None = None
    tie: bool = False
    samples_used: int = 1
    abstained: int = 0
    reasonings: tuple[str, ...] = ()
    error: str | None = None

    def with_usage(self, usage: Usage) -> Prediction:
        """Returns a copy with another usage."""
        return replace(self, usage=usage)


JSONObject = dict[str, Any]
Queries = Sequence[Query | Mapping[str, str]]
