"""promptkit: prompting-first adaptation of language models.

A task stays fixed, strategies are compared, and every strategy ends in one predictor whose score comes with an
interval and a cost. Every public name stands in the table below and is imported from its module on first use (PEP
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
    from promptkit.adapters import Plan as Plan
    from promptkit.adapters import PlanPredictor as PlanPredictor
    from promptkit.adapters import Predictor as Predictor
    from promptkit.adapters import load as load
    from promptkit.backends import Backend as Backend
    from promptkit.backends import LocalBackend as LocalBackend
    from promptkit.backends import ScriptedBackend as ScriptedBackend
    from promptkit.data import Data as Data
    from promptkit.data import DataWarning as DataWarning
    from promptkit.data import Leakage as Leakage
    from promptkit.data import Split as Split
    from promptkit.data import load_examples as load_examples
    from promptkit.data import measure_leakage as measure_leakage
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
    from promptkit.errors import UnsupportedError as UnsupportedError
    from promptkit.evaluation import Cost as Cost
    from promptkit.evaluation import Report as Report
    from promptkit.evaluation import evaluate as evaluate
    from promptkit.metrics import get_metric as get_metric
    from promptkit.metrics import rouge as rouge
    from promptkit.prompts import lint as lint
    from promptkit.prompts import render as render
    from promptkit.readout import BetaStop as BetaStop
    from promptkit.readout import Reader as Reader
    from promptkit.readout import Vote as Vote
    from promptkit.readout import VoteSummary as VoteSummary
    from promptkit.readout import WindowStop as WindowStop
    from promptkit.readout import vote as vote
    from promptkit.readout import vote_rows as vote_rows
    from promptkit.scaffold import new_task as new_task
    from promptkit.selection import select as select
    from promptkit.task import Task as Task
    from promptkit.task import list_tasks as list_tasks
    from promptkit.task import load_task as load_task
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
    "adapters": "Adapter ChainOfThought FewShot Plan PlanPredictor Predictor load",
    "backends": "Backend LocalBackend ScriptedBackend",
    "data": "Data DataWarning Leakage Split load_examples measure_leakage",
    "errors": "ArtifactError BackendError ContextLengthError DataError LeakageError MetricError MissingExtraError "
    "PromptkitError SettingError TaskError TemplateError UnsupportedError",
    "evaluation": "Cost Report evaluate",
    "metrics": "get_metric rouge",
    "prompts": "lint render",
    "readout": "BetaStop Reader Vote VoteSummary WindowStop vote vote_rows",
    "scaffold": "new_task",
    "selection": "select",
    "task": "Task list_tasks load_task",
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
    """Lists public names whether or not they are imported yet."""
    return sorted({*globals(), *__all__})
