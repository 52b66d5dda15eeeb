"""Answers of a type: the adapter answers in its own words, and the same model puts that answer into JSON.

The first step is the assistant's usual one, with its demonstrations, weights and votes, so that a type costs no
accuracy: no adapter was fitted on JSON. If pydantic can already read the answer as the type, or as the only field that
a record must have, that is all. Otherwise a second request, without weights, shows question and answer and has them
continued by JSON, held to the type's schema by the backend (``Sampling.schema``: constrained decoding in a local model,
``response_format`` at a server). A chat model is also told the schema; a model that continues text is led by the names
that the schema makes it write. Pydantic checks what comes, whatever was promised; a fence, reasoning and words around
the JSON are passed over (``json_text``). One repair is tried, with pydantic's complaint in the prompt.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from promptkit.assistants.json_text import read_value
from promptkit.backends.base import unwrap
from promptkit.errors import AnswerTypeError, ContextLengthError, SettingError, error_message
from promptkit.tasks import render
from promptkit.tasks.template import fold_blank_lines
from promptkit.types import Message, Prompt, Query, Request, Sampling

if TYPE_CHECKING:
    from promptkit.assistants.assistant import Assistant

__all__ = ["MAX_ANSWER", "ask_typed"]

MAX_ANSWER = 256
"""Most tokens of a typed answer; a local model closes its JSON before they run out."""


def ask_typed(assistant: Assistant, query: Query, answer_type: Any, seed: int) -> Any:
    """Answers a question with an instance of a type.

    Args:
        assistant: Who answers.
        query: The question.
        answer_type: A pydantic model, or any type that pydantic has a JSON Schema for.
        seed: Seed of sampling.

    Returns:
        The instance.

    Raises:
        SettingError: The type has no JSON Schema.
        AnswerTypeError: The votes disagree, or two attempts did not fit the type; holds the text.
        BackendError: The model failed, or cannot be held to a schema.
    """
    adapter, schema = _adapter(answer_type)
    name = getattr(answer_type, "__name__", str(answer_type))
    reply = assistant._answer(query, (), seed)[0]
    if reply.reason == "disagreement":
        shown = f"only {reply.prediction.agreement or 0:.0%} of the votes agree"
        raise AnswerTypeError(f"{name}: there must be an answer to give a type to, got none: {shown}", reply.text)
    said = reply.prediction.text.strip() or reply.prediction.answer or ""
    if reply.answer is not None:
        found = _as_it_stands(adapter, answer_type, reply.answer)
        if found is not None:
            return found
    return _fill_in(assistant, query, said, adapter, schema, name, seed)


def _adapter(answer_type: Any) -> tuple[TypeAdapter[Any], str]:
    try:
        adapter = TypeAdapter(answer_type)
        return adapter, json.dumps(_closed(adapter.json_schema()), ensure_ascii=False)
    except (PydanticUserError, TypeError) as error:
        reason = str(error).splitlines()[0]
        expected = "a type that pydantic has a JSON Schema for"
        raise SettingError(
            error_message("answer_type", of="ask", expected=expected, got=answer_type, hint=reason)
        ) from None


def _closed(schema: Any) -> Any:
    """Forbids properties that a record does not name, which a model could add for ever, and drops the titles."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, part in schema.items():
        if key in ("properties", "$defs"):  # here keys are names that the type gives
            out[key] = {name: _closed(value) for name, value in part.items()}
        elif key in ("enum", "const", "default", "examples"):
            out[key] = part
        elif key != "title":
            out[key] = _closed(part)
    if "properties" in out:
        out.setdefault("additionalProperties", False)
    return out


def _as_it_stands(adapter: TypeAdapter[Any], answer_type: Any, answer: str) -> Any:
    """Reads an answer that already is of the type: a bare value, JSON, or the one value that a record needs."""
    record = isinstance(answer_type, type) and issubclass(answer_type, BaseModel)
    attempts: list[tuple[Callable[[Any], Any], Any]] = [(adapter.validate_json, answer)]
    if record:
        needed = [field.alias or name for name, field in answer_type.model_fields.items() if field.is_required()]
        attempts += [(adapter.validate_python, {needed[0]: answer})] if len(needed) == 1 else []
    else:
        attempts.insert(0, (adapter.validate_python, answer))
    for read, value in attempts:
        try:
            return read(value)
        except ValidationError:
            continue
    return None


def _fill_in(
    assistant: Assistant, query: Query, said: str, adapter: TypeAdapter[Any], schema: str, name: str, seed: int
) -> Any:
    """Has the model write the answer as JSON, twice at most."""
    backend, faulty, reason = assistant.predictor.backend, "", ""
    for _ in range(2):
        prompt = _prompt(assistant, query, said, schema, faulty, reason)
        room = backend.context_window - backend.count_tokens(prompt)
        if room < 1:
            raise ContextLengthError(
                f"{name}: question, answer and schema must leave room for JSON in the context window of "
                f"{backend.context_window} tokens, got {backend.context_window - room} tokens; shorten the question"
            )
        sampling = Sampling(max_new_tokens=min(MAX_ANSWER, room), schema=schema)
        text = backend.generate([Request(prompt, sampling, seed)])[0].completions[0].text
        try:
            return read_value(adapter, text)
        except ValidationError as error:
            faulty, reason = text.strip(), _complaint(error)
        except ValueError as error:
            faulty, reason = text.strip(), str(error)
    expected = error_message("the answer", of=name, expected="of this type", got=faulty, hint=reason)
    raise AnswerTypeError(f"{expected} (after one repair)", faulty)


def _complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _prompt(assistant: Assistant, query: Query, said: str, schema: str, faulty: str, reason: str) -> Prompt:
    plan = assistant.predictor.plan
    asked = render(assistant.task, query, (), ask=plan.ask, form=plan.form, instruction=plan.instruction)
    if plan.form == "chat":
        messages = [
            *asked.messages,
            Message("assistant", said or "-"),
            Message("user", f"Write this answer as JSON that fits {schema}. Write nothing else."),
        ]
        if faulty:
            wrong = f"That does not fit: {reason}. Write the corrected JSON and nothing else."
            messages += [Message("assistant", faulty), Message("user", wrong)]
        return Prompt(messages=tuple(messages))
    lines = [f"{asked.text} {fold_blank_lines(said)}"]
    if getattr(unwrap(assistant.predictor.backend), "schemas", "enforce") == "prompt":
        lines.append(f"The same as JSON that fits {schema}:")
    if faulty:
        lines += [fold_blank_lines(faulty), f"That does not fit: {fold_blank_lines(reason)}. The corrected JSON:"]
    return Prompt(text="\n".join(lines) + "\n")
