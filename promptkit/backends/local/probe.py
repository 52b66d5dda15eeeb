"""Measuring on a loaded model how its rows may run together, and that what they compute then is right.

Architectures differ in what they make of a cache, of padding, positions and a shared block, and some ignore without an
error what they cannot use. A measurement is right also for those that nobody has listed. Its standard is the plain
forward pass over a whole sequence, which must agree with what ``generate`` of transformers computes step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import GenerationConfig
from transformers.pytorch_utils import Conv1D

from promptkit.backends.local import attention as local_attention
from promptkit.backends.local.forward import CausalRun, Run, Seq2SeqRun, UncachedRun, compute_prefix
from promptkit.errors import BackendError, UnsupportedError

__all__ = ["Sharing", "Way", "probe_causal", "probe_seq2seq"]

Sharing = Literal["shared", "copied", "padded", "alone", "uncached"]
"""How rows run together: their common prefix is one block that all attend to; every row has a copy of it; there is
none (encoder-decoder models); each prompt runs by itself, as its layers cannot stand padding; or each prompt runs by
itself and every step reads the whole sequence again, as the model keeps no cache that can be used."""

_EXACT = 1e-3  # largest difference in float32, in standard deviations of the logits; rounding is a hundredth of it
_STANDARD = 1e-2  # the same between generate and the plain pass; an accelerator may round in TensorFloat-32
_ROUGH = 0.08  # root mean square in 16 bits, where rounding reaches 0.02 and a lost past starts at 0.13
_NO_LOGIT = 1e30  # beyond this an entry of the vocabulary is masked, not computed
_SINGLE = 2  # further tokens that are read one by one; as many follow at once
_NEW = 2 * _SINGLE
_LONGEST = 32  # a model of a smaller window cannot be probed
_COMMON = 20  # tokens that both prompts start with
_LONG_TEXT = 512


@dataclass(frozen=True, slots=True)
class Way:
    """How a model is run.

    Attributes:
        sharing: How its rows run together.
        single: Whether it takes further tokens only one by one from its cache.
        bypassed: Paths of linear layers whose weights are read without calling the layer, so that no hook sees them.
    """

    sharing: Sharing
    single: bool = False
    bypassed: frozenset[str] = frozenset()


def probe_causal(model: Any, accepts: frozenset[str], window: int) -> Way:
    """Finds the fastest way to run a causal model that leaves its logits as they are for each prompt alone.

    Args:
        model: The model.
        accepts: Names of the arguments that its ``forward`` takes.
        window: Tokens that it can read at most.

    Returns:
        The way.

    Raises:
        UnsupportedError: The model does not predict each token from those before it alone, its forward pass and
            ``generate`` differ, or it is not the same from pass to pass, so that no answer would be right.
        BackendError: Its logits are not finite.
    """
    ids = _ids(model)
    case = _Case(model, ids, partial(UncachedRun, model, accepts))

    def cached(sharing: Sharing, single: bool) -> Run:
        if sharing == "alone":
            return CausalRun(model, accepts, shared=False, masked=False, single=single)
        prefix = compute_prefix(model, ids[:_COMMON], accepts)
        return CausalRun(model, accepts, prefix, shared=sharing == "shared", single=single)

    for single in (False, True):
        if case.fits(partial(cached, "alone", single), together=False):
            break
    else:
        _check_repeatable(model, accepts, window)
        return Way("uncached", bypassed=case.bypassed)
    ways: list[Sharing] = ["shared", "copied"]
    if model.config._attn_implementation != local_attention.NAME:
        ways.remove("shared")
    for way in ways:
        if case.fits(partial(cached, way, single), together=True):
            return Way(way, single, case.bypassed)
    return Way("alone", single, case.bypassed)


def probe_seq2seq(model: Any, start_token: int) -> Way:
    """Finds the fastest way to run an encoder-decoder model that leaves its logits as they are for each prompt alone.

    Args:
        model: The model.
        start_token: The token that its decoder starts with.

    Returns:
        The way.

    Raises:
        UnsupportedError: As for ``probe_causal``.
        BackendError: Its logits are not finite.
    """
    ids = _ids(model)
    plain = partial(Seq2SeqRun, model, start_token, cached=False)
    case = _Case(model, ids, plain, start_token)
    for single in (False, True):
        cached = partial(Seq2SeqRun, model, start_token, single=single)
        if case.fits(cached, together=True):
            return Way("padded", single, case.bypassed)
        if case.fits(cached, together=False):
            return Way("alone", single, case.bypassed)
    return Way("uncached", bypassed=case.bypassed)


class _Case:
    """Two prompts, how they go on, and the logits of the plain forward pass for every token after them.

    Args:
        model: The model.
        ids: Tokens to make the prompts of; together with what follows them they have ``_LONGEST`` tokens at most.
        plain: Opens a run that reads whole sequences.
        start_token: The token that the decoder of an encoder-decoder model starts with.

    Attributes:
        bypassed: As in ``Way``.
    """

    def __init__(
        self,
        model: Any,
        ids: Sequence[int],
        plain: Callable[[], Run],
        start_token: int | None = None,
    ) -> None:
        self._model = model
        self._prompts = [ids[: _LONGEST - _NEW], [*ids[:_COMMON], *ids[31:34]]]
        try:
            chosen, steps = self._standard(ids, plain, start_token)
            self._more = [chosen, ids[35 : 35 + _NEW]]
            pairs = zip(self._prompts, self._more, strict=True)
            with _watching(model) as bypassed:
                self._wanted = torch.cat([_logits(plain(), [prompt], [more], _NEW) for prompt, more in pairs])
            self.bypassed = frozenset(bypassed)
        except Exception as error:  # third-party code may raise anything
            raise UnsupportedError(
                f"LocalBackend: a {model.config.model_type} model must predict the next token of a text, got "
                f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}; use another model"
            ) from error
        self._computed = (self._wanted.abs() < _NO_LOGIT).all(0).all(0)
        if not bool(self._computed.any()):
            raise BackendError("model: logits must be finite, got nan or inf; its weights are damaged")
        if not self._same(steps, self._wanted[:1], _STANDARD):
            raise UnsupportedError(
                f"LocalBackend: a {model.config.model_type} model must compute each token from those before it, alike "
                "in one pass over a text and step by step in generate() of transformers, got different logits; none of "
                "its answers could be called right, so use another model"
            )

    def _standard(
        self, ids: Sequence[int], plain: Callable[[], Run], start_token: int | None
    ) -> tuple[Sequence[int], Tensor]:
        """Returns tokens after the first prompt, and the logits that step by step led to each of them and one more."""
        try:
            return _generated(self._model, self._prompts[0], start_token)
        except Exception:  # generate fails for some models that are sound, as T5 with a longer decoder than encoder
            chosen = ids[34 : 34 + _NEW]
            return chosen, _logits(plain(), self._prompts[:1], [chosen], 1)

    def fits(self, open_run: Callable[[], Run], *, together: bool) -> bool:
        """Tells whether a way of running gives the logits of the plain pass.

        Args:
            open_run: Opens a run.
            together: Whether both prompts go through it at once, else one prompt for two samples.
        """
        rows = slice(0, 2) if together else slice(1, 2)
        try:
            got = _logits(open_run(), self._prompts[rows], self._more[rows], 1, copies=1 if together else 2)
        except Exception:  # this way is not open for this architecture; the next one may be
            return False
        return self._same(got, self._wanted[rows].expand(len(got), -1, -1), _EXACT)

    def _same(self, got: Tensor, wanted: Tensor, exact: float) -> bool:
        if got.shape != wanted.shape:
            return False
        got, wanted = got[..., self._computed], wanted[..., self._computed]
        difference = (got - wanted) / wanted.std()
        if self._model.dtype == torch.float32:
            return bool(difference.abs().max() <= exact)
        # In 16 bits rounding may send a token to another expert, which moves the logits of this token alone: what is
        # wrong with a way of reading shows at every token that is read so.
        error = difference.square().mean(-1).sqrt()
        kinds = (error[:, :1], error[:, 1 : 1 + _SINGLE], error[:, 1 + _SINGLE :])
        return all(bool(kind.amin(1).max() <= _ROUGH) for kind in kinds)


def _ids(model: Any, count: int = 40) -> list[int]:
    size = model.config.get_text_config(decoder=True).vocab_size
    return [(7 * at * at + 3 * at + 5) % size for at in range(count)]


def _check_repeatable(model: Any, accepts: frozenset[str], window: int) -> None:
    """Reads a long text twice: attention by random hashes, as Reformer's, sets in beyond a length."""
    ids = _ids(model, min(window, _LONG_TEXT))
    first, again = (UncachedRun(model, accepts).start([ids]) for _ in range(2))
    if not bool((first - again).abs().max() <= _ROUGH * first.std()):
        raise UnsupportedError(
            f"LocalBackend: a {model.config.model_type} model must compute the same from the same text, got logits "
            "that change from pass to pass on a long one; none of its answers could be called right, so use another"
        )


def _logits(
    run: Run, prompts: Sequence[Sequence[int]], more: Sequence[Sequence[int]], width: int, copies: int = 1
) -> Tensor:
    """Runs prompts and tokens after them.

    Args:
        run: The run.
        prompts: The prompts.
        more: ``_NEW`` tokens that follow each.
        width: How many of the first ``_SINGLE`` tokens are read at once; ``_NEW`` for all of them.
        copies: How often each row is there after the prompt.

    Returns:
        Logits after each prompt and each token, ``[rows * copies, 1 + _NEW, vocabulary]``.
    """
    first = run.start(prompts)
    rows = [row for row in range(len(prompts)) for _ in range(copies)]
    run.keep(rows)
    first = first[rows]
    ids = torch.tensor([list(more[row]) for row in rows], device=first.device)
    cuts = [*range(0, _SINGLE, width), *([_SINGLE] if width < _NEW else []), _NEW]
    steps = [run.feed(ids[:, start:stop]) for start, stop in pairwise(cuts)]
    return torch.cat([first[:, None], *steps], dim=1)


@contextmanager
def _watching(model: Any) -> Iterator[set[str]]:
    """Yields a set that after the block holds the paths of linear layers which were passed by.

    These are the layers that were not called although the module that holds them was. An expert to which no token was
    sent is none of them.
    """
    called: set[nn.Module] = set()
    hooks = [module.register_forward_pre_hook(lambda module, inputs: called.add(module)) for module in model.modules()]
    bypassed: set[str] = set()
    try:
        yield bypassed
    finally:
        for hook in hooks:
            hook.remove()
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and module not in called:
            if model.get_submodule(path.rpartition(".")[0]) in called:
                bypassed.add(path)


def _generated(model: Any, prompt: Sequence[int], start_token: int | None) -> tuple[list[int], Tensor]:
    """Lets transformers go on with a prompt; returns ``_NEW`` tokens, and the logits of these and of the next."""
    ids = torch.tensor([list(prompt)], device=model.device)
    settings: Any = GenerationConfig
    plan = settings(
        max_new_tokens=_NEW + 1,
        do_sample=False,
        decoder_start_token_id=start_token,
        output_logits=True,
        return_dict_in_generate=True,
    )
    own, model.generation_config = model.generation_config, settings()  # its own would fill gaps of the plan
    try:
        found = model.generate(input_ids=ids, generation_config=plan)
    finally:
        model.generation_config = own
    return found.sequences[0, -_NEW - 1 : -1].tolist(), torch.stack(found.logits, dim=1).float()
