"""The backend that runs transformers models on this machine."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptkit.backends.checks import check_fits, check_request, check_score_request
from promptkit.backends.local.adapter_cache import AdapterCache
from promptkit.backends.local.batch_adapters import BatchAdapters
from promptkit.backends.local.constrained import Grammars, Guide
from promptkit.backends.local.decoding import Row, decode, score
from promptkit.backends.local.forward import Run
from promptkit.backends.local.keys import PromptKey
from promptkit.backends.local.model import Loaded, Sharing, load_model
from promptkit.backends.local.model_folder import declared_form, fingerprint, fingerprint_of_settings, resolve
from promptkit.backends.local.scheduler import BatchStats, Scheduler, replies, reporter
from promptkit.backends.local.threads import ThreadChoice, using_threads
from promptkit.backends.local.tokenizer import TokenCodec
from promptkit.backends.streaming import OnText, Piecewise, TextPieces
from promptkit.errors import ArtifactError, SettingError, UnsupportedError, error_message
from promptkit.types import Completion, Progress, Prompt, Reply, Request, Sampling, ScoreRequest, Weights

__all__ = ["LocalBackend"]


class LocalBackend:
    """Runs any causal or encoder-decoder model of transformers.

    The tokens that prompts have in common are computed once per batch, samples of one prompt share all of it, and
    finished rows leave the batch. None of this shows in the answers: with ``dtype="float32"``, greedy completions are
    token for token those of plain greedy ``generate`` on each prompt alone, and a sample depends on (seed, prompt,
    sample index) and the request's weights only. Sampling settings that a model's own generation_config.json may hold
    are not applied.

    Soft prompts and LoRAs belong to requests, never to the backend: requests with and without them, in any mixture,
    run in the same batches and from several threads, and none changes what another one is answered.

    Args:
        name_or_folder: "reference" for the model that ships with promptkit, a folder, or a name on the Hugging Face
            Hub. Folders are read offline; weights must be safetensors; code in a model folder is never run.
        dtype: "float32", "bfloat16", or "float16" on a GPU.
        device: "auto" for a CUDA device if there is one, else the CPU; or a device of torch.
        batch_size: Most completions computed side by side.
        batch_tokens: Most tokens of a batch beside the shared prefix.
        chat: Whether prompts should be rendered as chat; by default what the folder's ``promptkit.json`` says, else
            whether the tokenizer has a chat template.
        max_context: Context window for a model whose configuration does not tell it, or a smaller one.
        local_files_only: Whether to look for names of the Hub on this machine only.
        threads: CPU threads for the model's work, training included. By default one, or as many as affinity, CPU quota
            and torch's own setting allow, whichever a short measurement at loading finds faster. torch's setting is
            changed during that work alone and for the calling thread.

    Attributes:
        folder: The model's folder.
        lock: Held while a batch runs, which may put hooks on the model's modules: who copies them holds it too.

    Raises:
        SettingError: A setting is out of range, or contradicts the model.
        BackendError: There is no such model, or its files are incomplete.

    Example:
        >>> backend = LocalBackend("reference")  # doctest: +SKIP
        >>> backend.generate([Request(Prompt(text="Question: ..."))])[0].completions[0].text  # doctest: +SKIP
        ' The answer is 5.'
    """

    def __init__(
        self,
        name_or_folder: str | Path = "reference",
        *,
        dtype: str = "float32",
        device: str = "auto",
        batch_size: int = 32,
        batch_tokens: int = 16_384,
        chat: bool | None = None,
        max_context: int | None = None,
        local_files_only: bool = False,
        threads: int | None = None,
    ) -> None:
        limits: dict[str, object] = {"batch_size": batch_size, "batch_tokens": batch_tokens}
        limits |= {} if threads is None else {"threads": threads}
        for name, value in limits.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SettingError(
                    error_message(name, of="LocalBackend", expected="an integer of at least 1", got=value)
                )
        self.name = str(name_or_folder)
        self.folder = resolve(name_or_folder, local_files_only=local_files_only)
        self._loaded: Loaded = load_model(
            self.folder, dtype=dtype, device=device, max_context=max_context, threads=threads
        )
        self._codec = TokenCodec(self._loaded.tokenizer, keep_tail=self._loaded.seq2seq)
        self.chat = self._form(chat)
        self.context_window = self._loaded.window
        self._eos = self._loaded.eos
        if self.chat and self._loaded.tokenizer.eos_token_id is not None:
            self._eos |= {self._loaded.tokenizer.eos_token_id}  # where the chat template ends a turn
        self._batch_size = batch_size
        self._batch_tokens = batch_tokens
        self.lock = threading.RLock()
        self._fingerprint: str | None = None
        self._grammars: Grammars | None = None
        self._adapter_cache = AdapterCache(self._loaded, self.fingerprint)

    def __repr__(self) -> str:
        weights = next(self._loaded.model.parameters())
        where = f"dtype={str(weights.dtype).removeprefix('torch.')!r}, device={str(weights.device)!r}"
        return f"LocalBackend({self.name!r}, {where}, batch_size={self._batch_size})"

    def _form(self, chat: bool | None) -> bool:
        template = bool(self._loaded.tokenizer.chat_template)
        if chat is None:
            form = declared_form(self.folder)
            chat = template if form is None else form == "chat"
        if chat and not template:
            raise SettingError(
                error_message(
                    "chat", of="LocalBackend", expected="False for a tokenizer without a chat template", got=chat
                )
            )
        return chat

    @property
    def model(self) -> Any:
        """The transformers model. It is shared by all requests: read it, never change it."""
        return self._loaded.model

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self._loaded.tokenizer

    @property
    def threads(self) -> ThreadChoice:
        """How many threads the model computes with, and why; ``threads.threads`` is ``None`` off the CPU."""
        return self._loaded.threads

    @property
    def batching(self) -> Sharing:
        """How prompts run together on this model, as measured at loading."""
        return self._loaded.sharing

    def count_tokens(self, prompt: Prompt) -> int:
        """Returns how many tokens a prompt has, the tokens of its frame included; a soft prompt comes on top."""
        return len(self._codec.prompt_ids(prompt))

    def fingerprint(self) -> str:
        """Returns a hash of weights, tokenizer and configuration, equal on every machine; computed once."""
        with self.lock:
            if self._fingerprint is None:
                self._fingerprint = fingerprint(self.folder)
            return self._fingerprint

    @functools.cached_property
    def cache_scope(self) -> str:
        """What can change answers beside the fingerprint: numbers, device, form of prompts, settings of the folder."""
        settings = fingerprint_of_settings(self.folder)
        return json.dumps([str(self.model.dtype), self.model.device.type, self.chat, settings])

    def check_weights(self, weights: Weights) -> None:
        """Checks that learned weights fit this model; ``generate`` and ``score`` do so for every request.

        Args:
            weights: The weights.

        Raises:
            ArtifactError: They were made for another model, or a tensor is missing, too many, of a wrong shape or not
                finite; the message names it.
            UnsupportedError: This model cannot use weights of this kind.
        """
        self._adapter_cache.ready(weights)

    def check_prefix(self) -> None:
        """Checks, before anything is trained, that this model can use the keys and values of prefix tuning.

        Raises:
            UnsupportedError: It cannot.
        """
        self._adapter_cache.check_prefix()

    def generate(self, requests: Sequence[Request], *, progress: Progress | None = None) -> list[Reply]:
        """Completes every request; see ``Backend.generate``.

        Args:
            requests: What is wanted, in any order and mixture.
            progress: Called with (finished requests, all requests) whenever a request is finished.

        Returns:
            One reply per request, in order. ``prompt_tokens`` include the virtual tokens of a soft prompt, which take
            places of the window like others; ``cached_tokens`` are those taken from a shared prefix or from an equal
            prompt; ``seconds`` are the completions' equal shares of their batches.

        Raises:
            SettingError: A request is out of range.
            ArtifactError: Weights of a request do not fit this model; nothing was computed.
            ContextLengthError: A prompt with its ``max_new_tokens`` does not fit; nothing was computed.
            UnsupportedError: A prompt cannot be put into tokens safely, or this model cannot use weights of such a
                kind; nothing was computed.
            MissingExtraError: A request has a schema, and llguidance is not installed.
            BackendError: The model failed.
        """
        return self._generate(requests, progress, lambda tokens: None)

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Completes a request for one sample and gives its text in pieces, as they are generated.

        Args:
            request: What is wanted.

        Yields:
            Pieces of the text; together they are the completion's. When no more are asked for, generation ends.

        Returns:
            The whole reply, as the value of the generator: ``reply = yield from backend.stream(request)``.

        Raises:
            SettingError: The request is out of range, or asks for several samples.
            BackendError: As ``generate``.
        """
        check_request(request, of="stream")
        if len(request.samples) != 1:
            raise SettingError(error_message("samples", of="stream", expected="one index", got=request.samples))

        def work(on_text: OnText) -> Reply:
            ids = self._codec.prompt_ids(request.prompt)
            pieces = TextPieces(self._codec.text, ids, request.sampling.stop, on_text)
            reply = self._generate([request], None, pieces.grow)[0]
            pieces.finish(reply.completions[0])
            return reply

        return (yield from Piecewise(work).pieces())

    def _generate(
        self, requests: Sequence[Request], progress: Progress | None, grew: Callable[[list[int]], None]
    ) -> list[Reply]:
        prompts, adapters = [], BatchAdapters(self._adapter_cache.ready)
        for number, request in enumerate(requests):
            check_request(request, of=f"requests[{number}]")
            prompts.append(self._encode(request, adapters, request.sampling.max_new_tokens, f"requests[{number}]"))
            self._guide(request.sampling)  # a schema that cannot be kept is refused before anything is computed
        numbers: dict[Row, int] = {}
        wanted = [
            [numbers.setdefault(_row(prompt, request, index), len(numbers)) for index in request.samples]
            for prompt, request in zip(prompts, requests, strict=True)
        ]
        rows, results, stats = list(numbers), dict[int, Completion](), BatchStats()
        report = reporter([set(own) for own in wanted], progress)

        def complete(run: Run, batch: tuple[int, ...]) -> None:
            def finished(place: int, completion: Completion) -> None:
                results[batch[place]] = completion
                stats.done.add(batch[place])
                report(batch[place])

            chosen = [rows[number] for number in batch]
            decode(run, chosen, self._codec, self._eos, finished, guide=self._guide, grew=grew)

        new_tokens = [row.sampling.max_new_tokens for row in rows]
        self._work([row.prompt for row in rows], adapters, new_tokens, stats, complete)
        return replies(requests, prompts, wanted, results, stats)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[tuple[float, int], ...]]:
        """Tells how likely each continuation of a prompt is; see ``Backend.score``.

        Args:
            requests: Prompts with their continuations. The prompts' tokens are those of ``generate``.

        Returns:
            Per request and continuation: the summed natural log-probability and the number of tokens.

        Raises:
            SettingError: A prompt or continuation is empty.
            ArtifactError: Weights of a request do not fit this model; nothing was computed.
            ContextLengthError: A prompt with a continuation does not fit; nothing was computed.
            BackendError: The model failed.
        """
        prompts: list[PromptKey] = []
        continuations: list[list[int]] = []
        adapters = BatchAdapters(self._adapter_cache.ready)
        for number, request in enumerate(requests):
            of = f"requests[{number}]"
            check_score_request(request, of=of)
            tokens = [self._codec.continuation_ids(request.prompt, text) for text in request.continuations]
            prompt = self._encode(request, adapters, max(map(len, tokens)), of)
            prompts += [prompt] * len(tokens)
            continuations += tokens
        values, stats = dict[int, float](), BatchStats()

        def weigh(run: Run, batch: tuple[int, ...]) -> None:
            own = [continuations[number] for number in batch]
            found = score(run, [prompts[number] for number in batch], own)
            values.update(zip(batch, found, strict=True))
            stats.done.update(batch)

        self._work(prompts, adapters, [len(tokens) for tokens in continuations], stats, weigh)
        pairs = iter([(values[number], len(tokens)) for number, tokens in enumerate(continuations)])
        return [tuple(next(pairs) for _ in request.continuations) for request in requests]

    def _guide(self, sampling: Sampling) -> Guide | None:
        if sampling.schema is None:
            return None
        with self.lock:
            if self._grammars is None:
                width = self._loaded.model.get_output_embeddings().weight.shape[0]
                self._grammars = Grammars(self.tokenizer, width, self._eos)
        return self._grammars.guide(sampling.schema, sampling.max_new_tokens)

    def _encode(self, request: Request | ScoreRequest, adapters: BatchAdapters, new_tokens: int, of: str) -> PromptKey:
        """Names what a request's rows read, weights included, and checks that it fits."""
        ids = self._codec.prompt_ids(request.prompt)
        if not ids:
            raise SettingError(
                error_message("prompt", of=of, expected="text with at least one token", got=request.prompt.text)
            )
        try:
            key = adapters.key(ids, request.soft_prompt, request.lora)
        except (ArtifactError, UnsupportedError) as error:
            raise type(error)(f"{of}: {error}") from None
        if self._loaded.seq2seq:  # encoder and decoder have a window each
            check_fits(len(key), 0, self.context_window, of=of)
            check_fits(0, new_tokens, self.context_window, of=of)
        else:
            check_fits(len(key), new_tokens, self.context_window, of=of)
        return key

    def _work(
        self,
        prompts: Sequence[PromptKey],
        adapters: BatchAdapters,
        new_tokens: Sequence[int],
        stats: BatchStats,
        hint: Callable[[Run, tuple[int, ...]], None],
    ) -> None:
        worker = Scheduler(replace(self._loaded, adapters=adapters), self.lock, prompts, stats)
        with using_threads(self.threads.threads):
            worker.work(new_tokens, hint, batch_size=self._batch_size, batch_tokens=self._batch_tokens)


def _row(prompt: PromptKey, request: Request, index: int) -> Row:
    """Names a completion by what it depends on; greedy ones depend on neither seed nor index."""
    if request.sampling.temperature == 0:
        return Row(prompt, replace(request.sampling, top_p=1.0), 0, 0)
    return Row(prompt, request.sampling, request.seed, index)
