"""Weights that were made ready for a model, kept for the next call that names them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from promptkit.backends.local.adapters import fold_lora, prefix_layers, soft_vectors
from promptkit.backends.local.batch_adapters import Ready
from promptkit.backends.local.model import Loaded
from promptkit.errors import ArtifactError, SettingError, UnsupportedError, error_message
from promptkit.types import Weights

__all__ = ["AdapterCache"]

_MAX_BYTES = 1 << 30  # bytes of weights that are kept beside those in use


class AdapterCache:
    """Makes weights ready for one model; those used last are kept. It may be used from several threads.

    Nothing that it keeps shows in an answer: weights are found by their fingerprint, which covers every number of
    them.

    Args:
        loaded: The model.
        fingerprint: Returns the fingerprint of the model.
        max_bytes: Bytes of weights to keep; the newest are always kept.
    """

    def __init__(self, loaded: Loaded, fingerprint: Callable[[], str], *, max_bytes: int = _MAX_BYTES) -> None:
        self._loaded = loaded
        self._fingerprint = fingerprint
        self._base: str | None = None
        self._max_bytes = max_bytes
        self._kept: dict[str, Ready] = {}
        self._lock = threading.Lock()

    def ready(self, weights: Weights) -> Ready:
        """Checks weights and makes them ready, or finds them as they were made before.

        Raises:
            ArtifactError: They are damaged or belong to another model; the message names what does not fit.
            UnsupportedError: This model cannot use weights of this kind.
        """
        if self._base is None:  # outside of the lock, because the fingerprint takes one of its own
            self._base = self._fingerprint()
        with self._lock:
            found = self._kept.pop(weights.fingerprint, None) or self._make(weights)
            self._kept[weights.fingerprint] = found
            while len(self._kept) > 1 and sum(map(_bytes, self._kept.values())) > self._max_bytes:
                del self._kept[next(iter(self._kept))]
            return found

    def check_prefix(self) -> None:
        """Checks that this model can use prefix tuning at all.

        Raises:
            UnsupportedError: It cannot.
        """
        loaded, kind = self._loaded, self._loaded.model.config.model_type
        if loaded.seq2seq or not loaded.reach or loaded.sharing == "uncached":
            raise UnsupportedError(
                f"LocalBackend: a {kind} model must be a decoder of attention layers alone to use prefix tuning, and "
                "keep their keys and values, got another architecture; train a soft prompt of kind 'prompt'"
            )

    def _make(self, weights: Weights) -> Ready:
        loaded, model = self._loaded, self._loaded.model
        if weights.base != self._base:
            expected = f"made for this model, whose fingerprint is {self._base}"
            hint = "load the model for which they were trained"
            raise ArtifactError(
                error_message("base", of=f"{weights.kind} weights", expected=expected, got=weights.base, hint=hint)
            )
        if weights.kind == "lora":
            changes = fold_lora(weights, model)
            bypassed = [path for path in sorted(loaded.bypassed & set(changes)) if not changes[path].is_zero]
            if bypassed:
                raise UnsupportedError(
                    f"LocalBackend: a LoRA of a {model.config.model_type} model must change layers that the model "
                    f"calls, got {bypassed[0]!r}, whose weight it reads past the layer; train again without this target"
                )
            return Ready(changes={model.get_submodule(path): folded for path, folded in changes.items()})
        if weights.kind == "soft_prompt":
            if not loaded.seq2seq and "inputs_embeds" not in loaded.accepts:
                raise UnsupportedError(
                    f"LocalBackend: a {model.config.model_type} model must read vectors to use a soft prompt, got one "
                    "that reads tokens only; train a LoRA"
                )
            return Ready(vectors=soft_vectors(weights, model))
        if weights.kind == "prefix":
            self.check_prefix()
            return Ready(layers=prefix_layers(weights, loaded.prefix([0]).layers))
        raise SettingError(
            error_message("kind", of="weights", expected="'soft_prompt', 'prefix' or 'lora'", got=weights.kind)
        )


def _bytes(ready: Ready) -> int:
    tensors = [one for pair in ready.layers for one in pair]
    tensors += [one for folded in ready.changes.values() for one in (folded.a, folded.b)]
    if ready.vectors is not None:
        tensors.append(ready.vectors)
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
