"""What a server was found to refuse, and how the same call is put so that the server takes it.

A refusal costs nothing, so a call that was refused for one of its fields is made again without that field, or in the
server's own terms. What helped is remembered for the backend. Where that may change what an answer means, one warning
says so.
"""

from __future__ import annotations

import json
import re
import threading
import warnings
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from promptkit.backends.local.chat_template import fold_system
from promptkit.backends.openai.errors import NO_SYSTEM, RefusalError
from promptkit.errors import SettingError, UnsupportedError, error_message
from promptkit.types import Message

__all__ = ["OMITTABLE", "Dialect"]

T = TypeVar("T")

OMITTABLE = ("temperature", "top_p", "seed", "stream_options", "stop")
"""Fields without which a call can be made, in the order in which they are left out where a refusal names several."""

_LIMITS = ("max_tokens", "max_completion_tokens")
_LEAST_HEAT = 0.01
_FEW_STOPS = 4
_RENAME, _FOLD, _WARM, _CUT_STOPS, _WRAP, _REQUIRE = "rename", "fold", "warm", "few stops", "wrap", "require"
_OMIT = "omit "
_VALUE = "value"
_ROOT = re.compile(r"type: ?\W*object|must be an? (json )?object|root.{0,30}object|object.{0,30}root", re.IGNORECASE)
_REQUIRED = re.compile(r"'required' is required|every key in properties|all (fields|properties) must be required")
_UNKNOWN = re.compile(r"unsupported|not (supported|permitted|allowed)|unrecogni|unknown|extra[_ ]", re.IGNORECASE)
_POSITIVE = re.compile(r"positive|> ?0|greater than|above 0|non-?zero", re.IGNORECASE)
_TOO_MANY = re.compile(r"too (long|many)|at most|maximum|up to", re.IGNORECASE)
_MEANING = {
    _OMIT + "temperature": "temperature, which is left out from now on: answers are drawn at the server's own "
    "temperature, also where 0, which is greedy, was asked for",
    _OMIT + "top_p": "top_p, which is left out from now on: answers are drawn with the server's own top_p",
    _OMIT + "seed": "seed, which is left out from now on: samples cannot be drawn again",
    _OMIT + "response_format": "response_format, which is left out from now on: JSON is only asked for in words",
    _WARM: f"a temperature of 0: {_LEAST_HEAT} is sent in its place from now on",
}


@dataclass(frozen=True, slots=True)
class _Told:
    """A call that a server refused: what it said, and what it was sent."""

    said: str
    body: Mapping[str, Any]

    def names(self, field: str) -> bool:
        """Whether the refusal is about a field that was sent."""
        return field in self.body and re.search(rf"(?<![a-z_]){field}(?![a-z_])", self.said) is not None


class Dialect:
    """How one server wants its calls.

    Args:
        model: Name of the model, for warnings.
        omit: Fields that are never sent.
        schemas: ``"enforce"`` to refuse requests with a schema where the server takes none; ``"prompt"`` to send them
            without.

    Raises:
        SettingError: A field cannot be left out, or ``schemas`` is another word.
    """

    def __init__(self, model: str, omit: Collection[str], schemas: str) -> None:
        named: object = omit
        if isinstance(named, str) or not all(field in OMITTABLE for field in omit):
            raise SettingError(
                error_message("omit", of="RemoteBackend", expected=f"a list with some of {OMITTABLE}", got=omit)
            )
        if schemas not in ("enforce", "prompt"):
            raise SettingError(
                error_message("schemas", of="RemoteBackend", expected="'enforce' or 'prompt'", got=schemas)
            )
        self._model = model
        self._schemas = schemas
        self._known: tuple[str, ...] = tuple(_OMIT + field for field in OMITTABLE if field in omit)
        self._lock = threading.Lock()

    async def ask(self, body: Mapping[str, Any], send: Callable[[dict[str, Any]], Awaitable[T]]) -> T:
        """Makes a call, again in other terms for each refusal that tells how.

        Args:
            body: The call as promptkit puts it.
            send: Makes a call with a body.

        Returns:
            What ``send`` returns.

        Raises:
            UnsupportedError: The server refuses the call for good.
            BackendError: It failed otherwise.
        """
        tricks = self._known
        while True:
            sent = _put(body, tricks)
            try:
                found = await send(sent)
            except RefusalError as refusal:
                trick = _fit_split(_Told(refusal.said, sent), self._schemas)
                if trick is None or trick in tricks:
                    raise _final(refusal, sent) from None
                tricks = (*tricks, trick)
                continue
            self._remember(tricks)
            return found

    def unwrapped(self, body: Mapping[str, Any], text: str) -> str:
        """Takes the value out of the object into which a server wanted a schema to be wrapped.

        Args:
            body: The call as promptkit puts it.
            text: The text of an answer.

        Returns:
            The value as JSON, or the text itself if nothing was wrapped.
        """
        if _WRAP not in self._known or not _wraps(body):
            return text
        try:
            held = json.loads(text)
        except ValueError:
            return text
        return (
            json.dumps(held[_VALUE], ensure_ascii=False) if isinstance(held, dict) and set(held) == {_VALUE} else text
        )

    def _remember(self, tricks: tuple[str, ...]) -> None:
        with self._lock:
            new = [trick for trick in tricks if trick not in self._known]
            self._known = (*self._known, *new)
        for trick in new:
            if meaning := _MEANING.get(trick):
                warnings.warn(f"RemoteBackend {self._model!r}: the server refuses {meaning}", stacklevel=2)


def _fit_split(told: _Told, schemas: str) -> str | None:
    """Finds what to change about a call that was refused; ``None`` if nothing would help."""
    form = told.body.get("response_format")
    if form is not None and re.search(r"response_format|json_schema|schema", told.said, re.IGNORECASE):
        if _wraps(told.body) and _ROOT.search(told.said):
            return _WRAP
        if _REQUIRED.search(told.said):
            return _REQUIRE
        return _OMIT + "response_format" if schemas == "prompt" else None
    mine, other = _LIMITS if _LIMITS[0] in told.body else _LIMITS[::-1]
    if told.names(mine) and (other in told.said or _UNKNOWN.search(told.said)):
        return _RENAME
    if told.names("stop") and _TOO_MANY.search(told.said) and len(told.body["stop"]) > _FEW_STOPS:
        return _CUT_STOPS
    if told.names("temperature") and told.body["temperature"] == 0 and _POSITIVE.search(told.said):
        return _WARM
    named = [field for field in OMITTABLE if told.names(field)]
    if "top_p" in named and told.body["top_p"] == 1:  # where two fields exclude each other, this one says nothing
        return _OMIT + "top_p"
    if named:
        return _OMIT + named[0]
    turns = told.body.get("messages", ())
    return _FOLD if any(turn["role"] == "system" for turn in turns) and NO_SYSTEM.search(told.said) else None


def _final(refusal: RefusalError, body: Mapping[str, Any]) -> UnsupportedError:
    if "response_format" in body and re.search(r"response_format|json_schema|schema", refusal.said, re.IGNORECASE):
        return UnsupportedError(
            f"{refusal}; for typed answers from this server set schemas='prompt' of the RemoteBackend: the schema is "
            "then only shown to the model, and the answer is checked as ever"
        )
    return UnsupportedError(str(refusal))


def _put(body: Mapping[str, Any], tricks: Collection[str]) -> dict[str, Any]:
    """Puts a call as a server wants it."""
    sent = {key: value for key, value in body.items() if _OMIT + key not in tricks}
    if _RENAME in tricks:
        for mine, other in (_LIMITS, _LIMITS[::-1]):
            if mine in body:
                sent[other] = sent.pop(mine)
    if _FOLD in tricks and "messages" in sent:
        folded = fold_system([Message(turn["role"], turn["content"]) for turn in sent["messages"]])
        if folded is not None:
            sent["messages"] = [{"role": message.role, "content": message.content} for message in folded]
    if _WARM in tricks and "temperature" in sent:
        sent["temperature"] = max(sent["temperature"], _LEAST_HEAT)
    if _CUT_STOPS in tricks and "stop" in sent:  # the others end a text here
        sent["stop"] = sent["stop"][:_FEW_STOPS]
    if "response_format" in sent:
        schema = sent["response_format"]["json_schema"]["schema"]
        schema = _wrapped(schema) if _WRAP in tricks and _wraps(body) else schema
        schema = _required(schema) if _REQUIRE in tricks else schema
        sent["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return sent


def _wraps(body: Mapping[str, Any]) -> bool:
    """Whether a call asks for a schema whose root is not an object."""
    form = body.get("response_format")
    return form is not None and form["json_schema"]["schema"].get("type") != "object"


def _wrapped(schema: Mapping[str, Any]) -> dict[str, Any]:
    inner = {key: part for key, part in schema.items() if key != "$defs"}
    outer = {"type": "object", "properties": {_VALUE: inner}, "required": [_VALUE], "additionalProperties": False}
    return outer | ({"$defs": schema["$defs"]} if "$defs" in schema else {})


def _required(schema: Any) -> Any:
    """Requires every property, as strict servers want it; what fits this schema fits the original too."""
    if isinstance(schema, list):
        return [_required(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {
        key: part if key in ("enum", "const", "default", "examples") else _required(part)
        for key, part in schema.items()
    }
    if isinstance(out.get("properties"), dict) and "type" in out:
        out["required"] = list(out["properties"])
    return out
