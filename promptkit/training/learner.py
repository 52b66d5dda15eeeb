"""What is trained, on a frozen model: vectors before the text, a low-rank change, or both; and its loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from promptkit.backends.local.model import start_token
from promptkit.errors import UnsupportedError
from promptkit.training.clone import AnswerHead, clone_sharing_weights, frozen
from promptkit.training.config import LoraSpec, SoftSpec, TrainingConfig
from promptkit.training.dataset import Item, collate, cut
from promptkit.training.lora import LowRank
from promptkit.training.soft_prompt import Prefix, Vectors, build_soft, soft_weights
from promptkit.types import Weights

if TYPE_CHECKING:
    from promptkit.backends.local.backend import LocalBackend

__all__ = ["Group", "Learner", "learning"]


@contextmanager
def learning(
    backend: LocalBackend,
    spec: TrainingConfig,
    *,
    lora: LoraSpec | None,
    soft: SoftSpec | None,
    steps: int,
    bfloat16: bool,
) -> Iterator[Learner]:
    """Makes a learner beside a backend that goes on serving, and leaves its model as it was found.

    Args:
        backend: The backend.
        spec: How to train.
        lora: The low-rank change to learn, or ``None``.
        soft: The vectors to learn, or ``None``.
        steps: Optimiser steps of the whole run.
        bfloat16: Whether to compute in bfloat16 beside the base's own type.

    Yields:
        The learner; its first numbers are drawn from torch's global generator.
    """
    with backend.lock:  # a batch may be putting hooks on the modules that are copied
        clone = clone_sharing_weights(backend.model)
    with frozen(backend.model):
        seq2seq = backend._loaded.seq2seq
        vectors = None if soft is None else build_soft(soft, clone, seq2seq=seq2seq)
        change = None
        if lora is not None:
            change = LowRank(clone, lora, steps=steps, seq2seq=seq2seq)
        rate = 0.0 if soft is None else soft.rate
        yield Learner(clone, spec, vectors, change, soft_rate=rate, seq2seq=seq2seq, bfloat16=bfloat16)


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that the optimiser treats alike.

    Attributes:
        parameters: The parameters by name.
        rate: Peak learning rate.
        decay: Weight decay.
        eps: What AdamW adds to the root of the second moment.
    """

    parameters: dict[str, nn.Parameter]
    rate: float
    decay: float = 0.0
    eps: float = 1e-8


class Learner:
    """A model with something to learn beside it.

    Args:
        model: The clone of a model, with ``change`` on it.
        spec: How to train.
        soft: Vectors before the text, or ``None``.
        change: The low-rank change, or ``None``.
        soft_rate: Peak learning rate of the vectors.
        seq2seq: Whether the model has an encoder and a decoder.
        bfloat16: Whether to compute in bfloat16 beside the base's own type.
    """

    def __init__(
        self,
        model: Any,
        spec: TrainingConfig,
        soft: Vectors | Prefix | None,
        change: LowRank | None,
        *,
        soft_rate: float,
        seq2seq: bool,
        bfloat16: bool,
    ) -> None:
        self.soft = soft
        self._soft_rate = soft_rate
        self.change = change
        self._model = model
        self._spec = spec
        self._seq2seq = seq2seq
        self._bfloat16 = bfloat16
        self._head = AnswerHead(model)
        self._decoder_start = start_token(model) if seq2seq else None
        self.groups = self._groups()
        self.parameters: dict[str, nn.Parameter] = {
            name: parameter for group in self.groups for name, parameter in group.parameters.items()
        }

    def _groups(self) -> list[Group]:
        groups = []
        if self.change is not None:
            groups += [Group(own, rate, self._spec.weight_decay) for own, rate in self.change.groups]
        if self.soft is not None:
            own = {f"soft.{name}": parameter for name, parameter in self.soft.named_parameters()}
            network = isinstance(self.soft, Vectors) and self.soft.network is not None
            # Offsets are in units of a spread of perhaps 0.02, and so are their gradients: the usual eps would brake.
            groups.append(Group(own, self._soft_rate) if network else Group(own, self._soft_rate, eps=1e-12))
        return groups

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self._model.device
        return device

    def layer(self, path: str) -> nn.Module:
        """Returns a layer of the model by its path, with its change on it."""
        found: nn.Module = self._model.get_submodule(path)
        return found

    @property
    def trainable(self) -> int:
        """Numbers that are learned."""
        return sum(parameter.numel() for parameter in self.parameters.values())

    @property
    def total(self) -> int:
        """Numbers of the base model and those beside it."""
        parts = [self._model] if self.soft is None else [self._model, self.soft]
        return sum(int(each.numel()) for part in parts for each in part.parameters())

    def gradients(self, items: Sequence[Item]) -> float:
        """Adds the gradients of a step's loss, the mean over all its answer tokens.

        Args:
            items: The items of the step; they are cut into passes, which changes no number but by rounding.

        Returns:
            The loss in nats per answer token; nothing was added for passes after one whose loss is no number.
        """
        tokens = sum(len(item.answer) for item in items)
        if self.change is not None:
            self.change.train(True)
        total = 0.0
        for part in self._parts(items):
            loss = self._summed(part) / tokens
            value = loss.item()
            total += value
            if not math.isfinite(value):
                return total
            loss.backward()  # type: ignore[no-untyped-call]
        penalty = None if self.change is None else self.change.penalty()
        if penalty is not None:
            penalty.backward()  # type: ignore[no-untyped-call]
        return total

    def loss(self, items: Sequence[Item]) -> float:
        """Computes the loss without dropout.

        Args:
            items: At least one item.

        Returns:
            The loss in nats per answer token.
        """
        return -self.log_probability(items) / sum(len(item.answer) for item in items)

    @torch.no_grad()
    def log_probability(self, items: Sequence[Item]) -> float:
        """Returns the summed natural log-probability of all answers, without dropout."""
        if self.change is not None:
            self.change.train(False)
        return -sum(self._summed(part).item() for part in self._parts(items))

    def _parts(self, items: Sequence[Item]) -> list[list[Item]]:
        return cut(items, self._spec.batch_size, self._spec.batch_tokens)

    def _summed(self, items: Sequence[Item]) -> Tensor:
        """Cross-entropy of a forward pass, summed over its answer tokens."""
        batch = collate(items, self.device, self._decoder_start)
        places = batch.places
        inputs: dict[str, Any] = {"input_ids": batch.ids}
        before = 0
        if isinstance(self.soft, Vectors):
            embedded = self._model.get_input_embeddings()(batch.ids)
            vectors = self.soft().to(embedded.dtype).expand(len(items), -1, -1)
            inputs = {"inputs_embeds": torch.cat([vectors, embedded], dim=1)}
            before = vectors.shape[1]
        if batch.decoder_ids is None:
            # Padding is on the right, where causal attention never looks, so there is no mask to compute with.
            places = places + before
            inputs["use_cache"] = isinstance(self.soft, Prefix)
            if isinstance(self.soft, Prefix):
                inputs["past_key_values"] = self.soft.cache(len(items), self._model.dtype)
        else:
            real = functional.pad(batch.real, (before, 0), value=True)
            inputs |= {"attention_mask": real.long(), "decoder_input_ids": batch.decoder_ids, "use_cache": False}
        with self._arithmetic(), self._head.only(batch.rows, places):
            logits: Tensor = self._model(**inputs).logits
        if logits.shape[:2] != (1, len(batch.targets)):
            raise UnsupportedError(
                f"training: a {self._model.config.model_type} model must compute its logits by its output head alone, "
                f"got logits of shape {tuple(logits.shape)}; use another model"
            )
        return functional.cross_entropy(logits[0].float(), batch.targets, reduction="sum")

    def _arithmetic(self) -> Any:
        if not self._bfloat16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def weights(self, base: str) -> tuple[Weights | None, Weights | None]:
        """Returns what was learned, ``(lora, soft prompt)``.

        Args:
            base: Fingerprint of the base model.
        """
        lora = None if self.change is None else self.change.weights(base)
        return lora, None if self.soft is None else soft_weights(self.soft, base, seq2seq=self._seq2seq)
