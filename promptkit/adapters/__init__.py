"""Strategies of adaptation behind one interface, each ending in a plan that one predictor plays."""

from promptkit.adapters.base import Adapter, Predictor
from promptkit.adapters.chain_of_thought import ChainOfThought
from promptkit.adapters.few_shot import FewShot
from promptkit.adapters.lora import LoRA
from promptkit.adapters.plan import Plan
from promptkit.adapters.predictor import PlanPredictor
from promptkit.adapters.saving import load
from promptkit.adapters.settings import adapter_from_settings, adapter_settings
from promptkit.adapters.soft_prompt import SoftPrompt

__all__ = [
    "Adapter",
    "ChainOfThought",
    "FewShot",
    "LoRA",
    "Plan",
    "PlanPredictor",
    "Predictor",
    "SoftPrompt",
    "adapter_from_settings",
    "adapter_settings",
    "load",
]
