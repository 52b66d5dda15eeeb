"""promptkit: prompting-first adaptation of language models.

A task stays fixed, strategies are compared, and every strategy ends in one predictor whose score comes with an
interval and a cost. Every public name is in the table below and is imported from its module on first use (PEP
562), so ``import promptkit`` costs next to nothing and torch is loaded only by what runs a model.

Example:
    >>> import promptkit as pk
    >>> task = pk.load_task("apples")
    >>> adapter = pk.FewShot(task, shots=4, select="balanced")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptkit.adapters import Adapter as Adapter
    from promptkit.adapters import ChainOfThought as ChainOfThought
    from promptkit.adapters import FewShot as FewShot
    from promptkit.adapters import LoRA as LoRA
    from promptkit.adapters import Plan as Plan
    from promptkit.adapters import PlanPredictor as PlanPredictor
    from promptkit.adapters import Predictor as Predictor
    from promptkit.adapters import SoftPrompt as SoftPrompt
    from promptkit.adapters import load as load
    from promptkit.adapters.plan import Aggregation as Aggregation
    from promptkit.adapters.selection import LexicalIndex as LexicalIndex
    from promptkit.adapters.selection import select as select
    from promptkit.artifacts.weights import read_peft_folder as read_peft_folder
    from promptkit.assistants import Assistant as Assistant
    from promptkit.assistants import AssistantReply as AssistantReply
    from promptkit.assistants import Chat as Chat
    from promptkit.assistants import ReplyStream as ReplyStream
    from promptkit.assistants import Routed as Routed
    from promptkit.assistants import Router as Router
    from promptkit.backends import Backend as Backend
    from promptkit.backends import CachedBackend as CachedBackend
    from promptkit.backends import LocalBackend as LocalBackend
    from promptkit.backends import RemoteBackend as RemoteBackend
    from promptkit.backends import ScriptedBackend as ScriptedBackend
    from promptkit.data import Data as Data
    from promptkit.data import DataWarning as DataWarning
    from promptkit.data import Leakage as Leakage
    from promptkit.data import Split as Split
    from promptkit.data import load_examples as load_examples
    from promptkit.data import measure_leakage as measure_leakage
    from promptkit.errors import AnswerTypeError as AnswerTypeError
    from promptkit.errors import ArtifactError as ArtifactError
    from promptkit.errors import BackendError as BackendError
    from promptkit.errors import ContextLengthError as ContextLengthError
    from promptkit.errors import DataError as DataError
    from promptkit.errors import LeakageError as LeakageError
    from promptkit.errors import MetricError as MetricError
    from promptkit.errors import MissingExtraError as MissingExtraError
    from promptkit.errors import PromptkitError as PromptkitError
    from promptkit.errors import SettingError as SettingError
    from promptkit.errors import TaskError as TaskError
    from promptkit.errors import TemplateError as TemplateError
    from promptkit.errors import TrainingError as TrainingError
    from promptkit.errors import TrainingStopped as TrainingStopped
    from promptkit.errors import UnsupportedError as UnsupportedError
    from promptkit.evaluation import BreakEven as BreakEven
    from promptkit.evaluation import Comparison as Comparison
    from promptkit.evaluation import Cost as Cost
    from promptkit.evaluation import Price as Price
    from promptkit.evaluation import Report as Report
    from promptkit.evaluation import break_even as break_even
    from promptkit.evaluation import compare as compare
    from promptkit.evaluation import evaluate as evaluate
    from promptkit.export import check_vllm as check_vllm
    from promptkit.html import write_report as write_report
    from promptkit.ladder import Budget as Budget
    from promptkit.ladder import ClimbResult as ClimbResult
    from promptkit.ladder import Record as Record
    from promptkit.ladder import climb as climb
    from promptkit.ladder import load_record as load_record
    from promptkit.memory_estimate import MemoryEstimate as MemoryEstimate
    from promptkit.memory_estimate import estimate as estimate
    from promptkit.metrics import Metric as Metric
    from promptkit.metrics import get_metric as get_metric
    from promptkit.metrics import rouge as rouge
    from promptkit.parsing import AnswerParser as AnswerParser
    from promptkit.parsing import BetaStop as BetaStop
    from promptkit.parsing import ReadSample as ReadSample
    from promptkit.parsing import StopRule as StopRule
    from promptkit.parsing import Vote as Vote
    from promptkit.parsing import VoteSummary as VoteSummary
    from promptkit.parsing import WindowStop as WindowStop
    from promptkit.parsing import vote as vote
    from promptkit.parsing import vote_rows as vote_rows
    from promptkit.records import settings as settings
    from promptkit.registry import load_plugin as load_plugin
    from promptkit.registry import register as register
    from promptkit.statistics import Sequential as Sequential
    from promptkit.statistics import minimum_detectable as minimum_detectable
    from promptkit.tasks import Task as Task
    from promptkit.tasks import lint as lint
    from promptkit.tasks import list_tasks as list_tasks
    from promptkit.tasks import load_task as load_task
    from promptkit.tasks import new_task as new_task
    from promptkit.tasks import render as render
    from promptkit.types import Completion as Completion
    from promptkit.types import Example as Example
    from promptkit.types import Message as Message
    from promptkit.types import Prediction as Prediction
    from promptkit.types import Prompt as Prompt
    from promptkit.types import Query as Query
    from promptkit.types import Reply as Reply
    from promptkit.types import Request as Request
    from promptkit.types import Sampling as Sampling
    from promptkit.types import ScoreRequest as ScoreRequest
    from promptkit.types import Usage as Usage

__version__ = "0.1.0"

_NAMES_BY_MODULE = {
    "adapters": "Adapter ChainOfThought FewShot LoRA Plan PlanPredictor Predictor SoftPrompt load",
    "adapters.plan": "Aggregation",
    "adapters.selection": "LexicalIndex select",
    "records": "settings",
    "artifacts.weights": "read_peft_folder",
    "assistants": "Assistant AssistantReply Chat ReplyStream Routed Router",
    "backends": "Backend CachedBackend LocalBackend RemoteBackend ScriptedBackend",
    "data": "Data DataWarning Leakage Split load_examples measure_leakage",
    "errors": "AnswerTypeError ArtifactError BackendError ContextLengthError DataError LeakageError "
    "MetricError MissingExtraError PromptkitError SettingError TaskError TemplateError TrainingError "
    "TrainingStopped UnsupportedError",
    "evaluation": "BreakEven Comparison Cost Price Report break_even compare evaluate",
    "export": "check_vllm",
    "html": "write_report",
    "ladder": "Budget ClimbResult Record climb load_record",
    "memory_estimate": "MemoryEstimate estimate",
    "metrics": "Metric get_metric rouge",
    "parsing": "AnswerParser BetaStop ReadSample StopRule Vote VoteSummary WindowStop vote vote_rows",
    "registry": "load_plugin register",
    "statistics": "Sequential minimum_detectable",
    "tasks": "Task lint list_tasks load_task new_task render",
    "types": "Completion Example Message Prediction Prompt Query Reply Request Sampling ScoreRequest Usage",
}
_HOME = {name: f"{__name__}.{module}" for module, names in _NAMES_BY_MODULE.items() for name in names.split()}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    """Imports a public name from its module when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Lists the public names, whether or not they are imported yet."""
    return list(__all__)
