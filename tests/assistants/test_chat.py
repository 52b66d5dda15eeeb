from __future__ import annotations

import asyncio
import gc
import re
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import pytest

import promptkit as pk
from promptkit.assistants import Turn

from .conftest import QUESTION, Make


def scripted(assistant: pk.Assistant) -> pk.ScriptedBackend:
    backend = assistant.predictor.backend
    assert isinstance(backend, pk.ScriptedBackend)
    return backend


def test_answers_see_the_turns_before_them(make: Make) -> None:
    assistant = make([" The answer is 5."])
    chat = assistant.chat()
    first = chat.send("One?")
    second = chat.send("Two?")
    assert (first.text, first.answer, second.abstained, second.reason) == ("The answer is 5.", "5", False, "")
    prompt = scripted(assistant).requests[-1].prompt.text
    assert prompt is not None
    assert prompt.endswith("Question: One?\nAnswer: The answer is 5.\n\nQuestion: Two?\nAnswer:")
    assert (chat.turns, len(chat.kept), chat.dropped_turns) == (2, 2, 0)


def test_reasoned_turns_are_shown_with_their_reasoning(make: Make) -> None:
    assistant = make([" 2 + 3 = 5. The answer is 5."], ask="reasoned")
    chat = assistant.chat()
    chat.send("One?")
    chat.send("Two?")
    assert "Question: One?\nAnswer: 2 + 3 = 5. The answer is 5.\n\n" in str(
        scripted(assistant).requests[-1].prompt.text
    )


def test_chats_do_not_know_of_each_other(make: Make) -> None:
    assistant = make()
    one, two = assistant.chat(), assistant.chat()
    one.send("A secret of one?")
    two.send("Something else?")
    assert "secret" not in str(scripted(assistant).requests[-1].prompt)


def size_of(chat: pk.Chat) -> int:
    """Bytes of everything that a conversation holds beside its assistant."""
    seen: dict[int, int] = {}
    todo: list[object] = [value for name, value in vars(chat).items() if name != "assistant"]
    while todo:
        thing = todo.pop()
        if id(thing) not in seen and not isinstance(thing, type | ModuleType | FunctionType):
            seen[id(thing)] = sys.getsizeof(thing)
            todo += gc.get_referents(thing)
    return sum(seen.values())


def long_talk(make: Make, turns: int, window: int) -> tuple[pk.Chat, list[int], list[int]]:
    """Talks, checks every prompt, and returns how many turns were kept, and the bytes held, after each turn."""
    assistant = make(window=window)
    backend, chat = scripted(assistant), assistant.chat()
    kept, sizes = [], []
    for number in range(turns):
        chat.send(f"Turn {number}: " + "so " * (number % 23) + "how many?")
        (request,) = backend.requests
        assert backend.count_tokens(request.prompt) + request.sampling.max_new_tokens <= window
        items = (request.prompt.text or "").split("\n\n")[3:-1]  # without instruction, demonstrations and question
        assert all(
            re.fullmatch(r"Question: Turn \d+: (so )*how many\?\nAnswer: The answer is 5\.", item) for item in items
        )
        shown = [int(item.split(":")[1].removeprefix(" Turn ")) for item in items]
        assert shown == list(range(number - len(items), number))  # the newest, without a gap
        assert chat.dropped_turns + len(chat.kept) == chat.turns == number + 1
        backend.requests.clear()
        kept.append(len(chat.kept))
        sizes.append(size_of(chat))
    return chat, kept, sizes


def test_200_turns_stay_within_the_window_and_cost_no_more_memory_at_the_end(make: Make) -> None:
    chat, kept, sizes = long_talk(make, 200, 400)
    assert chat.dropped_turns > 180
    assert 3 < max(kept) < 30
    assert max(sizes[100:]) <= 1.02 * max(sizes[:100])  # ids grow a digit


def test_a_conversation_that_keeps_everything_would_be_seen(make: Make) -> None:
    """The bad twin: with a window without end, memory grows and the check above sees it."""
    chat, kept, sizes = long_talk(make, 60, 1_000_000)
    assert (chat.dropped_turns, kept[-1]) == (0, 60)
    assert max(sizes[30:]) > 1.5 * max(sizes[:30])


def test_a_turn_that_is_gone_does_not_come_back(make: Make) -> None:
    chat = make(window=260).chat()
    for number in range(6):
        chat.send(f"Turn {number}?")
    assert chat.dropped_turns == 0
    dropped = chat.send("long " * 150 + "?").dropped_turns
    assert dropped > 0
    assert chat.send("Short again?").dropped_turns >= dropped
    assert len(chat.kept) + chat.dropped_turns == 8


def test_a_question_that_does_not_fit_is_an_error_and_changes_nothing(make: Make) -> None:
    chat = make(window=200).chat()
    chat.send("One?")
    with pytest.raises(pk.ContextLengthError, match="the question alone takes"):
        chat.send("word " * 400)
    assert (chat.turns, len(chat.kept)) == (1, 1)
    assert chat.send("Two?").dropped_turns == 0


def test_a_turn_that_fails_changes_nothing() -> None:
    backend = pk.ScriptedBackend([" The answer is 5."], fail_on=[1])
    chat = pk.Assistant(pk.FewShot(pk.load_task("apples"), shots=0).fit([], backend)).chat()
    chat.send("One?")
    with pytest.raises(pk.BackendError, match="fails because of fail_on"):
        chat.send("Two?")
    assert (chat.turns, [turn.query.fields["question"] for turn in chat.kept]) == (1, ["One?"])
    chat.send("Three?")
    assert "Two?" not in str(backend.requests[-1].prompt)


VOTES = ["a. The answer is 5.", "b. The answer is 5.", "c. The answer is 6.", "d. The answer is 7."]


def test_it_abstains_where_votes_disagree(make: Make) -> None:
    assistant = make(VOTES, samples=4, min_agreement=0.6)
    chat = assistant.chat()
    reply = chat.send(QUESTION)
    assert (reply.abstained, reply.reason, reply.answer) == (True, "disagreement", None)
    assert reply.text == "I am not sure enough to answer this, so I hand it over."
    assert reply.prediction.votes == {"5": 2, "6": 1, "7": 1}
    chat.send("Another?")
    assert "bought 3 more" not in str(scripted(assistant).requests[-1].prompt)  # nothing was said, nothing is shown
    assert (chat.turns, chat.kept, chat.dropped_turns) == (2, (), 0)


def test_half_of_the_votes_suffices_where_half_is_asked_for(make: Make) -> None:
    reply = make(VOTES, samples=4, min_agreement=0.5).ask(QUESTION)
    assert (reply.abstained, reply.answer, reply.text) == (False, "5", "a. The answer is 5.")


def test_the_predictors_own_min_agreement_is_disagreement_too() -> None:
    backend = pk.ScriptedBackend(VOTES)
    adapter = pk.ChainOfThought(pk.load_task("apples"), shots=0, samples=4, min_agreement=0.9)
    assert pk.Assistant(adapter.fit([], backend)).ask(QUESTION).reason == "disagreement"


def test_what_cannot_be_read_is_handed_over(make: Make) -> None:
    reply = make([" I do not know"], handover="Please call us.").ask(QUESTION)
    assert (reply.text, reply.abstained, reply.reason) == ("Please call us.", True, "unreadable")
    assert reply.prediction.text == " I do not know"


def test_hidden_reasoning_stays_hidden() -> None:
    backend = pk.ScriptedBackend(["secret path. The answer is 5."])
    adapter = pk.ChainOfThought(pk.load_task("apples"), shots=0, samples=3, show_reasoning=False)
    chat = pk.Assistant(adapter.fit([], backend)).chat()
    assert chat.send("One?").text == "5"
    assert "".join(chat.stream("Two?")) == "5"
    assert "secret" not in str(backend.requests[-1].prompt)


@pytest.mark.parametrize(
    ("answers", "how"),
    [
        ([" The answer is 5."], {}),
        (["  one  two\n The answer is 5. \n"], {"ask": "reasoned"}),
        (VOTES, {"samples": 4}),
        (VOTES, {"samples": 4, "min_agreement": 0.9}),
    ],
)
def test_the_pieces_of_a_stream_are_the_text(make: Make, answers: list[str], how: dict[str, Any]) -> None:
    whole = make(answers, **how).chat().send(QUESTION)
    stream = make(answers, **how).chat().stream(QUESTION)
    assert "".join(stream) == whole.text == stream.reply.text
    assert stream.reply.answer == whole.answer

    async def collect() -> str:
        return "".join([piece async for piece in make(answers, **how).chat().stream(QUESTION)])

    assert asyncio.run(collect()) == whole.text


def test_text_that_was_shown_and_cannot_be_read_is_followed_by_the_handover(make: Make) -> None:
    stream = make([" I do not know"], handover="Please call us.").chat().stream(QUESTION)
    assert "".join(stream) == "I do not know\nPlease call us."
    assert (stream.reply.text, stream.reply.reason) == ("Please call us.", "unreadable")


def test_a_stream_counts_as_a_turn_when_it_was_read(make: Make) -> None:
    chat = make(VOTES, samples=4).chat()
    stream = chat.stream("One?")
    assert chat.turns == 0
    with pytest.raises(pk.SettingError, match="read all of its pieces first"):
        stream.reply  # noqa: B018
    assert list(stream)
    assert (chat.turns, stream.reply.answer) == (1, "5")
    with pytest.raises(pk.SettingError, match="can be read once only"):
        list(stream)


def test_errors_of_a_stream_are_raised_where_it_is_read() -> None:
    backend = pk.ScriptedBackend([" 5"], fail_on=[0, 1])
    chat = pk.Assistant(pk.FewShot(pk.load_task("apples"), shots=0).fit([], backend)).chat()
    with pytest.raises(pk.BackendError, match="fails because of fail_on"):
        list(chat.stream("One?"))

    async def read() -> None:
        async for _ in chat.stream("Two?"):
            pass

    with pytest.raises(pk.BackendError, match="fails because of fail_on"):
        asyncio.run(read())


class Slow(pk.ScriptedBackend):
    """Gives one piece, then waits until it may go on."""

    def __init__(self, wait: Callable[[], None]) -> None:
        super().__init__([" The answer is 5."])
        self.wait, self.closed = wait, False

    def stream(self, request: pk.Request) -> Any:
        try:
            yield " The answer "
            self.wait()
            yield "is 5."
        finally:
            self.closed = True
        return self.generate([request])[0]


def test_a_question_waits_for_the_last_reply_and_says_so() -> None:
    import threading

    go = threading.Event()
    backend = Slow(lambda: go.wait(30) and None)
    chat = pk.Assistant(pk.FewShot(pk.load_task("apples"), shots=0).fit([], backend)).chat()
    pieces = iter(chat.stream("One?"))
    assert next(pieces) == "The answer"
    with pytest.raises(pk.SettingError, match="must wait for the last reply"):
        chat.send("Two?")
    go.set()
    assert "".join(pieces) == " is 5."
    assert chat.send("Two?").answer == "5"


def test_a_stream_that_is_left_ends_the_generation_and_is_no_turn() -> None:
    import threading

    go = threading.Event()
    backend = Slow(lambda: go.wait(30) and None)
    chat = pk.Assistant(pk.FewShot(pk.load_task("apples"), shots=0).fit([], backend)).chat()
    pieces = iter(chat.stream("One?"))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    go.set()
    for thread in threading.enumerate():
        if thread.name == "promptkit-pieces":
            thread.join(30)
    assert backend.closed
    assert (chat.turns, chat.kept, backend.requests) == (0, (), [])
    assert chat.send("Two?").answer == "5"


def test_async_answers(make: Make) -> None:
    assistant = make()

    async def talk() -> list[Any]:
        chats = [assistant.chat() for _ in range(5)]
        replies = await asyncio.gather(*(chat.asend(QUESTION) for chat in chats))
        return [*(reply.text for reply in replies), await assistant.aask(QUESTION, int)]

    assert asyncio.run(talk()) == ["The answer is 5."] * 5 + [5]


def test_many_streams_at_a_time_need_no_thread_to_wait() -> None:
    import threading

    go = threading.Event()
    backend = Slow(lambda: go.wait(60) and None)
    assistant = pk.Assistant(pk.FewShot(pk.load_task("apples"), shots=0).fit([], backend))

    async def talk() -> list[str]:
        streams = [assistant.chat().stream("One?") for _ in range(80)]  # more than asyncio has threads

        async def read(stream: Any) -> str:
            return "".join([piece async for piece in stream])

        parsers = [asyncio.create_task(read(stream)) for stream in streams]
        await asyncio.sleep(0.2)
        assert await assistant.aask(QUESTION, int) == 5  # others are still answered
        go.set()
        return await asyncio.gather(*parsers)

    assert asyncio.run(talk()) == ["The answer is 5."] * 80


def test_an_asynchronous_reader_that_leaves_ends_the_generation() -> None:
    import threading

    go = threading.Event()
    backend = Slow(lambda: go.wait(60) and None)
    chat = pk.Assistant(pk.FewShot(pk.load_task("apples"), shots=0).fit([], backend)).chat()

    async def leave() -> None:
        task = asyncio.create_task(anext(aiter(chat.stream("One?"))))
        assert await task == "The answer"

    asyncio.run(leave())
    go.set()
    for thread in threading.enumerate():
        if thread.name == "promptkit-pieces":
            thread.join(60)
    assert backend.closed
    assert chat.turns == 0


def test_given_fields_hold_for_the_conversation(make: Make) -> None:
    assistant = make([" Mia"], task="products", shots=0)
    chat = assistant.chat(given={"facts": "Halden: contact Mia"})
    assert chat.send("Whom do I call?").answer == "Mia"
    chat.send({"facts": "Osmery: contact Paul", "question": "And here?"})
    assert "Osmery: contact Paul\nQuestion: And here?" in str(scripted(assistant).requests[-1].prompt.text)
    with pytest.raises(pk.DataError, match="given must be one of 'facts', 'question', got 'fact'"):
        assistant.chat(given={"fact": "x"})
    with pytest.raises(pk.DataError, match="given 'facts' must be a text"):
        assistant.chat(given={"facts": 5})  # type: ignore[dict-item]


def test_the_transcript_gets_every_turn_and_reset_forgets(make: Make) -> None:
    turns: list[Turn] = []
    chat = make().chat(transcript=turns.append)
    chat.send("One?")
    list(chat.stream("Two?"))
    assert [(turn.query.fields["question"], turn.reply.answer) for turn in turns] == [("One?", "5"), ("Two?", "5")]
    chat.reset()
    assert (chat.turns, chat.kept, chat.dropped_turns) == (0, (), 0)


def test_a_repeated_question_is_answered_anew(make: Make) -> None:
    assistant = make()
    chat = assistant.chat()
    chat.send("One?")
    chat.send("one?")
    assert str(scripted(assistant).requests[-1].prompt.text).count("ne?\nAnswer:") == 1
