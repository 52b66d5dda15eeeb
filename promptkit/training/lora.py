"""LoRA and its family on a model, through PEFT, while they are trained."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from promptkit.artifacts.peft_config import canonical_config
from promptkit.errors import SettingError, UnsupportedError, error_message
from promptkit.training.config import LoraSpec
from promptkit.training.experts import left_out
from promptkit.training.fused import fuse
from promptkit.training.targets import count_trained, find_targets, resolve_targets
from promptkit.types import JSONObject, Weights

if TYPE_CHECKING:
    pass

__all__ = ["LowRank"]

_NAME = "default"
_WARM, _FINAL = 0.1, 0.3  # shares of adalora's steps before ranks are given up, and after
_ROUNDS = 50  # about how often adalora gives up ranks
_LEAST_STEPS = 10
_IMPORTANCE = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class LowRank:
    """The low-rank change of a model that is being trained.

    AdaLoRA (Zhang et al. 2023, arXiv 2303.10512) starts above its target rank and gives ranks up by importance: not in
    the first tenth of its steps, then along a cubic curve, and never in the last three tenths, in which the rest is
    trained on. Its bookkeeping is called here after every optimiser step, its orthogonality loss is ``penalty``, and
    ``ranknum``, a constant that PEFT keeps as a parameter, is never trained. Two deviations let it learn at the
    learning rate of its siblings, where PEFT's hardly moves in a few hundred steps: singular vectors start orthogonal,
    to which the loss would pull them, and singular values have the learning rate times the square root of the layers'
    mean width, as a step of plain LoRA moves that many rows at once.

    Args:
        model: The clone of the model; its layers are wrapped.
        spec: The settings.
        steps: Optimiser steps of the whole run.
        seq2seq: Whether the model has an encoder and a decoder.

    Attributes:
        parameters: What is trained, by name.
        layers: The layers that are changed, by path, as they are without the change.
        left_out: Experts and linear layers that "all-linear" does not reach (see ``promptkit.training.experts``).

    Raises:
        SettingError: A target names no linear layer, adalora has too few steps, or LoftQ cannot work here.
        UnsupportedError: PEFT cannot change these layers, or would change others than those that are planned.
    """

    def __init__(self, model: Any, spec: LoraSpec, *, steps: int, seq2seq: bool) -> None:
        # Importing PEFT takes seconds, which a soft prompt alone should not cost.
        import peft

        self._spec = spec
        self._steps = steps
        if spec.variant == "adalora" and steps < _LEAST_STEPS:
            hint = "train for more epochs, with a smaller batch_size, or with variant='lora'"
            expected = f"at least {_LEAST_STEPS} optimiser steps, in which ranks are given up one after another"
            raise SettingError(error_message("adalora", of="LoraSpec", expected=expected, got=steps, hint=hint))
        own = {id(parameter) for parameter in model.parameters()}
        targets = resolve_targets(model, spec.targets)
        layers = find_targets(model, targets)
        self.layers: Mapping[str, nn.Module] = layers
        self.left_out = left_out(model, layers) if spec.targets == "all-linear" else ()
        self._config = _config(spec, targets, any(isinstance(layer, Conv1D) for layer in layers.values()), seq2seq)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT warns of tied heads, which are never targets here
            self._peft: Any = _wrapped(peft, model, self._peft_config(peft))
        _check_wrapped(model, layers)
        fuse(model, _NAME)
        self._state_dict = peft.get_peft_model_state_dict
        added = {name: each for name, each in model.named_parameters() if id(each) not in own}
        self.parameters: dict[str, nn.Parameter] = {}
        for name, parameter in added.items():
            parameter.requires_grad_(".ranknum." not in name)
            if parameter.requires_grad:
                self.parameters[name] = parameter
        found, planned = sum(each.numel() for each in self.parameters.values()), count_trained(layers.values(), spec)
        if found != planned:
            expected = f"{planned:,}, as planned for these targets"
            raise UnsupportedError(
                error_message("numbers that PEFT would train", of="LoRA", expected=expected, got=found)
            )
        if spec.variant == "adalora":
            for name, parameter in self.parameters.items():
                if ".lora_E." not in name:
                    nn.init.orthogonal_(parameter)
        self._dropouts = [module for name, module in model.named_modules() if name.endswith(f".lora_dropout.{_NAME}")]

    def _peft_config(self, peft: Any) -> Any:
        shared = {name: value for name, value in self._config.items() if name != "peft_type"}
        if self._spec.variant == "adalora":
            schedule = {
                "tinit": int(_WARM * self._steps),
                "tfinal": int(_FINAL * self._steps),
                "deltaT": max(1, self._steps // _ROUNDS),
                "total_step": self._steps,
            }
            return peft.AdaLoraConfig(**shared, **schedule)
        return peft.LoraConfig(**shared)

    @property
    def groups(self) -> list[tuple[dict[str, nn.Parameter], float]]:
        """Parameters by name with their peak learning rate."""
        rate = self._spec.learning_rate
        values = {name: each for name, each in self.parameters.items() if ".lora_E." in name}
        if not values:
            return [(self.parameters, rate)]
        widths = [len(each) for name, each in self.parameters.items() if ".lora_B." in name]
        vectors = {name: each for name, each in self.parameters.items() if name not in values}
        return [(vectors, rate), (values, rate * math.sqrt(sum(widths) / len(widths)))]

    def train(self, mode: bool) -> None:
        """Turns dropout on or off, on the input of the change alone; the base model has none in either."""
        for module in self._dropouts:
            module.train(mode)

    def penalty(self) -> Tensor | None:
        """The orthogonality loss of adalora, weighted; ``None`` for the others, which have none."""
        if self._spec.variant != "adalora" or self._spec.orthogonality == 0:
            return None
        losses = []
        for name, matrix in self.parameters.items():
            if ".lora_E." not in name:
                square = matrix @ matrix.T if ".lora_A." in name else matrix.T @ matrix
                losses.append(torch.linalg.matrix_norm(square - torch.eye(len(square), device=square.device)))
        return self._spec.orthogonality * torch.stack(losses).mean()

    def after_step(self, step: int) -> None:
        """Tells that optimiser step ``step`` (from 1) was made and gradients are still there."""
        if self._spec.variant == "adalora":
            for parameter in self.parameters.values():
                if parameter.grad is None:  # of a layer that no pair reached; PEFT multiplies without asking
                    parameter.grad = torch.zeros_like(parameter)
            self._peft.base_model.update_and_allocate(step)

    def settled(self, step: int) -> bool:
        """Whether the ranks after so many steps are those wanted; weights from before must not be kept as best."""
        return self._spec.variant != "adalora" or step >= self._steps - int(_FINAL * self._steps)

    def settle(self, step: int) -> None:
        """Gives up ranks at once, for a run of adalora that ends before its time."""
        if not self.settled(step):
            allocator = self._peft.base_model.rankallocator
            self._peft.peft_config[_NAME].rank_pattern = allocator.mask_to_budget(
                self._peft.base_model.model, allocator.target_bgt
            )

    def state(self) -> dict[str, Tensor]:
        """Returns what has to be saved beside the parameters to go on from here."""
        if self._spec.variant != "adalora":
            return {}
        allocator = self._peft.base_model.rankallocator
        found = {f"{part}/{name}": each for part in _IMPORTANCE for name, each in getattr(allocator, part).items()}
        pattern = self._peft.peft_config[_NAME].rank_pattern or {}
        found |= {f"pattern/{name}": torch.tensor(mask, dtype=torch.uint8) for name, mask in pattern.items()}
        return found

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Goes on from what ``state`` returned."""
        if self._spec.variant != "adalora":
            return
        parts: dict[str, dict[str, Any]] = {part: {} for part in (*_IMPORTANCE, "pattern")}
        for key, tensor in state.items():
            part, _, name = key.partition("/")
            parts[part][name] = tensor
        allocator = self._peft.base_model.rankallocator
        for part in _IMPORTANCE:
            # A tensor, not a parameter: importance is computed without gradients.
            like = self.parameters
            setattr(allocator, part, {name: each.to(like[name].device) for name, each in parts[part].items()})
        pattern = {name: mask.bool().tolist() for name, mask in parts["pattern"].items()}
        self._peft.peft_config[_NAME].rank_pattern = pattern or None

    def weights(self, base: str) -> Weights:
        """Returns what was learned under PEFT's names.

        Ranks that adalora gave up stay as rows whose singular value is 0: the change is the same, every matrix has the
        rank at which training started, and loading needs no pattern of ranks.

        Args:
            base: Fingerprint of the base model.
        """
        # PEFT would cut given-up ranks out here and need their pattern in the configuration.
        pattern, self._peft.peft_config[_NAME].rank_pattern = self._peft.peft_config[_NAME].rank_pattern, None
        try:
            found = self._state_dict(self._peft, save_embedding_layers=False)
        finally:
            self._peft.peft_config[_NAME].rank_pattern = pattern
        tensors = {
            name.removeprefix("base_model.model."): tensor.detach().float().cpu().numpy().copy()
            for name, tensor in found.items()
        }
        return Weights("lora", canonical_config(self._config, "LoRA"), tensors, base)


def _config(spec: LoraSpec, targets: list[str], fan_in_fan_out: bool, seq2seq: bool) -> JSONObject:
    config: JSONObject = {
        "peft_type": "LORA",
        "task_type": "SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM",
        "lora_alpha": spec.alpha,
        "lora_dropout": float(spec.dropout),
        "target_modules": targets,
        "fan_in_fan_out": fan_in_fan_out,
    }
    if spec.variant == "adalora":
        return config | {"peft_type": "ADALORA", "init_r": spec.start_rank, "target_r": spec.rank}
    return config | {"r": spec.rank, "use_rslora": spec.variant == "rslora", "use_dora": spec.variant == "dora"}


def _wrapped(peft: Any, model: Any, config: Any) -> Any:
    """Puts the change on a model; PEFT knows layers of architectures whose weights are read by themselves."""
    try:
        return peft.get_peft_model(model, config)
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise UnsupportedError(
            f"LoRA: PEFT must be able to change the layers in targets of a {model.config.model_type} model, got "
            f"{type(error).__name__}: {reason:.300}; name other layers in targets; nothing was trained"
        ) from error


def _check_wrapped(model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
    """Checks that PEFT changes exactly the layers that are planned: it rewrites configurations by architecture."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = {path for path, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    wrong = sorted(found.symmetric_difference(layers))
    if wrong:
        kind: Any = model.config
        raise UnsupportedError(
            f"LoRA: PEFT must change the {len(layers)} layers of a {kind.model_type} model that are planned, got "
            f"{len(found)} layers, of which {wrong[0]!r} differs; name other layers in targets, for example those of "
            "attention"
        )
