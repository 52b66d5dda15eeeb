"""``promptkit chat``: a conversation on the terminal, or line by line for scripts."""

from __future__ import annotations

import json as json_lines
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from promptkit.cli import interrupts
from promptkit.cli.options import AskOption, Json, ModelOptions, Samples, Seed, Select, Stop, Traceback, with_records
from promptkit.cli.run import choose_adapter
from promptkit.cli.show import JOINERS, print_json, say, say_error
from promptkit.errors import BackendError, PromptkitError

if TYPE_CHECKING:
    import promptkit as pk

__all__ = ["chat"]

_DEFAULTS = {
    "shots": 4, "select": "balanced", "ask": "direct", "samples": 1, "stop": "none", "tone": "", "min_agreement": None,
}  # fmt: skip
_HELP = "/reset forgets the conversation, /quit ends it; for several fields say a JSON object."


@with_records
def chat(
    *,
    folder: Annotated[str, typer.Argument(metavar="[FOLDER]", help="A saved assistant or predictor.")] = "",
    task: Annotated[
        str, typer.Option("--task", metavar="TASK", help="Start from a task instead, by few-shot prompting.")
    ] = "",
    shots: Annotated[int, typer.Option("--shots", min=0, help="With --task: number of demonstrations.")] = 4,
    select: Select = "balanced",
    ask: AskOption = "direct",
    samples: Samples = 1,
    stop: Stop = "none",
    tone: Annotated[str, typer.Option("--tone", help="With --task: how to speak.")] = "",
    min_agreement: Annotated[
        float | None, typer.Option("--min-agreement", help="With --task: least share of votes that must agree.")
    ] = None,
    given: Annotated[
        list[str], typer.Option("--given", metavar="FIELD=TEXT", help="A field for the whole conversation; repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    model: ModelOptions,
    seed: Seed = 0,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Talk with an assistant.

    On a terminal, replies come as they are generated. Where lines come from a file or a pipe, each is a question and
    each reply one line, or with --json one object:

        promptkit chat --task apples --ask reasoned
    """
    if bool(folder) == bool(task):
        raise typer.BadParameter("give a FOLDER, or a task with --task", param_hint="FOLDER")
    if folder:
        _refuse_beside_folder(
            shots=shots, select=select, ask=ask, samples=samples, stop=stop, tone=tone, min_agreement=min_agreement
        )
    fields = _read_given(given)
    opened = model.open()
    if folder:
        assistant = _load(folder, opened)
    else:
        assistant = _from_domain(task, opened, (shots, select, ask, samples, stop), tone, min_agreement, seed)
    talk = assistant.chat(given=fields, seed=seed)
    live = sys.stdin.isatty() and not json
    if live:
        say(f"{assistant.name} on {opened.name}. {_HELP}")
    asked, failed = 0, list[PromptkitError]()
    for line in _lines(live):
        if line == "/quit":
            break
        if line == "/reset":
            talk.reset()
            continue
        asked += 1
        try:
            _answer(talk, line, live=live, json=json)
        except PromptkitError as error:
            if traceback:
                raise
            failed.append(error)
            say_error(f"error: {error}")
    if failed and not live:
        raise BackendError(f"{len(failed)} of {asked} questions could not be answered; the first: {failed[0]}")


def _refuse_beside_folder(**given: object) -> None:
    """Refuses settings that a saved folder has of its own, rather than ignore them."""
    for name, value in given.items():
        if value != _DEFAULTS[name]:
            raise typer.BadParameter(
                "belongs to --task; a saved FOLDER has its own", param_hint=f"--{name.replace('_', '-')}"
            )


def _read_given(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if not all(name and mark for name, mark, _ in pairs):
        raise typer.BadParameter("must be a field, =, and its text", param_hint="--given")
    return {name: text for name, _, text in pairs}


def _load(folder: str, backend: pk.Backend) -> pk.Assistant:
    """Loads an assistant, or a predictor and makes an assistant of it."""
    import promptkit as pk
    from promptkit.artifacts import kind_of

    if kind_of(folder) == "predictor":
        return pk.Assistant(pk.load(folder, backend))
    return pk.Assistant.load(folder, backend)


def _from_domain(
    task: str,
    backend: pk.Backend,
    how: tuple[int, str, str, int, str],
    tone: str,
    min_agreement: float | None,
    seed: int,
) -> pk.Assistant:
    import promptkit as pk

    shots, select, ask, samples, stop = how
    known = pk.load_task(task)
    adapter = choose_adapter(known, shots, select, ask, samples, stop=stop)
    # Nothing is scored here, so leakage between splits is worth a warning only.
    examples = pk.load_examples(task, task=known, on_leakage="warn") if shots else None
    train, dev = (examples.train, examples.dev) if examples else ((), None)
    predictor = adapter.fit(train, backend, dev=dev, seed=seed)
    return pk.Assistant(predictor, tone=tone, min_agreement=min_agreement)


def _lines(live: bool) -> Iterator[str]:
    """Yields what is said; blank lines say nothing."""
    while True:
        try:
            line = input("> " if live else "").strip()
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise BackendError(f"standard input must be UTF-8, got byte 0x{error.object[error.start]:02x}") from None
        if line:
            yield line


def _answer(talk: pk.Chat, line: str, *, live: bool, json: bool) -> None:
    question = _as_fields(line)
    if not live:
        reply = talk.send(question)
        if json:
            print_json([_record(line, reply)], lines=True)
        else:
            say(" ".join(reply.text.split()) + _mark(reply), at_once=True)
        return
    stream = talk.stream(question)
    try:
        for piece in _printable_pieces(stream):
            say(piece, end="", at_once=True)
    except KeyboardInterrupt:
        if not interrupts.forget():
            raise
        # Ctrl-C ended the answer, not the conversation.
        say(" [stopped; this turn does not count]")
        return
    say(_mark(stream.reply))


def _printable_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """Cuts a stream anew, so that no sign of several characters, such as an emoji with joiners, is cut in two."""
    held = ""
    for piece in pieces:
        held += piece
        cut = len(held) - (not held[-1:].isascii())
        while cut > 0 and any(char in JOINERS for char in held[cut - 1 : cut + 1]):
            cut -= 1
        if cut > 0:
            yield held[:cut]
            held = held[cut:]
    if held:
        yield held


def _as_fields(line: str) -> str | dict[str, str]:
    """Reads a line that is a JSON object of texts as fields; every other line is a text."""
    if not line.startswith("{"):
        return line
    try:
        value = json_lines.loads(line)
    except (ValueError, RecursionError):
        return line
    return value if isinstance(value, dict) else line


def _mark(reply: pk.AssistantReply) -> str:
    marks = [f"abstained: {reply.reason}"] if reply.abstained else []
    marks += [f"{reply.dropped_turns} earlier turns no longer fit"] if reply.dropped_turns else []
    return f"  [{'; '.join(marks)}]" if marks else ""


def _record(line: str, reply: pk.AssistantReply) -> dict[str, object]:
    return {
        "question": line,
        "text": reply.text,
        "answer": reply.answer,
        "abstained": reply.abstained,
        "reason": reply.reason,
        "agreement": reply.prediction.agreement,
        "dropped_turns": reply.dropped_turns,
        "prompt_tokens": reply.prediction.usage.prompt_tokens,
        "generated_tokens": reply.prediction.usage.generated_tokens,
    }
