"""An assistant as one folder, and back."""

from __future__ import annotations

import json
import os

from pydantic import BaseModel, ConfigDict, ValidationError

from promptkit.adapters.saving import predictor_files, read_predictor
from promptkit.artifacts import load_folder, save_folder
from promptkit.assistants.assistant import Assistant
from promptkit.assistants.questions import Questions
from promptkit.backends import Backend
from promptkit.errors import ArtifactError, SettingError, TaskError

__all__ = ["load_assistant", "save_assistant"]

KIND = "assistant"
SETTINGS, QUESTIONS = "assistant.json", "questions.jsonl"


class _Settings(BaseModel):
    """What ``assistant.json`` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    glossary: dict[str, str]
    tone: str
    min_agreement: float | None
    handover: str


def save_assistant(assistant: Assistant, folder: str | os.PathLike[str]) -> None:
    """Writes an assistant: the files of its predictor, its settings, and the questions that a router needs.

    Args:
        assistant: The assistant.
        folder: Where to write.

    Raises:
        ArtifactError: The folder cannot be written.
    """
    files, meta = predictor_files(assistant.predictor)
    settings = _Settings(
        name=assistant.name,
        glossary=assistant.glossary,
        tone=assistant.tone,
        min_agreement=assistant.min_agreement,
        handover=assistant.handover,
    )
    files[SETTINGS] = settings.model_dump_json(indent=1)
    if assistant.questions is not None:
        pairs = [("train", text) for text in assistant.questions.train]
        pairs += [("dev", text) for text in assistant.questions.dev]
        files[QUESTIONS] = "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)
    save_folder(folder, files, kind=KIND, meta=meta)


def load_assistant(folder: str | os.PathLike[str], backend: Backend, *, same_model: bool = True) -> Assistant:
    """Reads a saved assistant; see ``Assistant.load``."""
    saved = load_folder(folder, kind=KIND)
    predictor = read_predictor(saved, backend, str(folder), same_model=same_model)
    name = SETTINGS
    try:
        settings = _Settings.model_validate_json(saved.files[SETTINGS])
        name = QUESTIONS
        questions = _read_questions(saved.files[QUESTIONS]) if QUESTIONS in saved.files else None
        name = SETTINGS
        return Assistant(predictor, **dict(settings), data=questions)
    except KeyError:
        raise ArtifactError(f"{folder}: {name} is missing; save the assistant again") from None
    except (SettingError, TaskError, ValidationError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{folder}: {name} cannot be used: {reason}; save the assistant again") from None


def _read_questions(data: bytes) -> Questions:
    found: dict[str, list[str]] = {"train": [], "dev": []}
    for line in data.splitlines():
        pair = json.loads(line)
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] not in found or not isinstance(pair[1], str):
            raise ValueError("a line must be a pair of 'train' or 'dev' and a text")
        found[pair[0]].append(pair[1])
    if not found["train"] or not found["dev"]:
        raise ValueError("it must hold questions of train and of dev")
    return Questions(tuple(found["train"]), tuple(found["dev"]))
