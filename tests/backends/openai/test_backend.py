from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import promptkit as pk
from promptkit import (
    BackendError,
    ContextLengthError,
    Prompt,
    RemoteBackend,
    Request,
    Sampling,
    ScoreRequest,
    ScriptedBackend,
    SettingError,
    UnsupportedError,
)
from promptkit.backends.base import Backend
from promptkit.backends.openai.backend import UNKNOWN_WINDOW, _reported
from promptkit.backends.openai.errors import RefusalError
from promptkit.types import Message, Weights
from tests.support import shipped
from tests.support.server import ScriptedServer

Serve = Callable[..., tuple[ScriptedServer, RemoteBackend]]


def ask(text: str = "2 + 2 =", *, samples: tuple[int, ...] = (0,), seed: int = 0, **sampling: Any) -> Request:
    return Request(Prompt(text=text), Sampling(**sampling), seed, samples)


def chat(text: str) -> Request:
    return Request(Prompt(messages=(Message("user", text),)))


def says(request: Request, index: int) -> str:
    prompt = request.prompt.text or request.prompt.messages[-1].content
    return f" {prompt} says {index}"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server and a backend that asks it: ``serve(script, server options, **backend options)``."""
    made: list[Any] = []

    def make(script: Any = says, options: dict[str, Any] | None = None, **settings: Any) -> Any:
        scripted = script if isinstance(script, ScriptedBackend) else ScriptedBackend(script)
        server = ScriptedServer(scripted, **(options or {}))
        server.__enter__()
        backend = RemoteBackend(server.base_url, "scripted", **{"backoff": 0.01, **settings})
        made.extend([backend.close, lambda: server.__exit__(None, None, None)])
        return server, backend

    yield make
    for end in made:
        end()


def texts(backend: RemoteBackend, *requests: Request) -> list[list[str]]:
    return [[completion.text for completion in reply.completions] for reply in backend.generate(requests)]


def test_it_is_a_backend_and_answers_both_forms(serve: Serve) -> None:
    server, backend = serve()
    assert isinstance(backend, Backend)
    assert (backend.name, backend.chat, backend.context_window) == ("scripted", True, UNKNOWN_WINDOW)
    assert texts(backend, ask("a"), chat("b")) == [[" a says 0"], [" b says 0"]]
    assert sorted(seen.path for seen in server.seen) == ["/v1/chat/completions", "/v1/completions"]


def test_a_sample_depends_on_its_index_alone(serve: Serve) -> None:
    server, backend = serve()
    five = texts(backend, ask("a", samples=(0, 1, 2, 3, 4), temperature=1.0))[0]
    assert five == [f" a says {index}" for index in range(5)]
    assert texts(backend, ask("a", samples=(3, 1), temperature=1.0)) == [[five[3], five[1]]]
    assert len({seen.body["seed"] for seen in server.seen}) == 5


def test_without_seeds_one_call_brings_all_samples(serve: Serve) -> None:
    server, backend = serve(seeds=False)
    reply = backend.generate([ask("a", samples=(7, 8, 9), temperature=1.0)])[0]
    assert [(one.index, one.text) for one in reply.completions] == [(7 + i, f" a says {i}") for i in range(3)]
    assert (len(server.seen), reply.usage.calls) == (1, 1)


def test_replies_keep_their_order_and_progress_is_told(serve: Serve) -> None:
    _, backend = serve(options={"latency": 0.005})
    told: list[tuple[int, int]] = []
    replies = backend.generate([ask(f"q{n}") for n in range(60)], progress=lambda *done: told.append(done))
    assert [reply.completions[0].text for reply in replies] == [f" q{n} says 0" for n in range(60)]
    assert told == [(n, 60) for n in range(1, 61)]
    assert backend.generate([]) == []


def test_calls_at_once_are_bounded_over_all_threads(serve: Serve) -> None:
    server, backend = serve(options={"latency": 0.01}, max_concurrency=3)
    threads = [
        threading.Thread(target=backend.generate, args=([ask(f"{t}-{n}") for n in range(10)],)) for t in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.seen) == 40
    assert server.most_at_once == 3


def test_it_works_inside_a_running_event_loop_and_for_awaiting(serve: Serve) -> None:
    _, backend = serve()

    async def main() -> list[str]:
        inside = backend.generate([ask("a")])
        awaited = await asyncio.gather(backend.agenerate([ask("b")]), backend.agenerate([ask("c"), ask("d")]))
        return [reply.completions[0].text for replies in (inside, *awaited) for reply in replies]

    assert asyncio.run(main()) == [" a says 0", " b says 0", " c says 0", " d says 0"]


def test_awaiting_raises_too(serve: Serve) -> None:
    _, backend = serve(options={"faults": ["400"]})
    with pytest.raises(BackendError, match="status 400"):
        asyncio.run(backend.agenerate([ask()]))


def test_usage_counts_answered_calls_and_their_tokens(serve: Serve) -> None:
    _, backend = serve(options={"faults": ["503", "429-seconds"]})
    usage = backend.generate([ask("a b c", samples=(0, 1), temperature=1.0)])[0].usage
    assert (usage.calls, usage.prompt_tokens, usage.generated_tokens) == (2, 6, 12)
    assert usage.seconds > 0


def test_retries_end(serve: Serve) -> None:
    server, backend = serve(options={"faults": ["503"] * 5}, retries=2)
    with pytest.raises(BackendError, match="status 503: try again; gave up after 3 tries"):
        backend.generate([ask()])
    assert len(server.seen) == 3


@pytest.mark.parametrize("fault", ["400", "403", "404", "401-blab", "501", "429-no-credit", "redirect"])
def test_what_is_wrong_is_never_asked_again(serve: Serve, fault: str) -> None:
    server, backend = serve(options={"faults": [fault] * 9}, retries=5)
    with pytest.raises(BackendError):
        backend.generate([ask()])
    assert len(server.seen) == 1


def test_a_wait_beyond_the_deadline_is_not_begun(serve: Serve) -> None:
    _, backend = serve(options={"faults": ["429-huge"]}, total_timeout=60)
    with pytest.raises(BackendError, match="the next try, in 120 s, is beyond total_timeout"):
        backend.generate([ask()])


@pytest.mark.parametrize("fault", ["slow-headers", "stalled-headers", "stalled-body"])
def test_deadlines_are_kept(serve: Serve, fault: str) -> None:
    _, backend = serve(options={"faults": [fault] * 99}, read_timeout=0.2, total_timeout=0.5, retries=99)
    with pytest.raises(BackendError, match="total_timeout|read_timeout"):
        backend.generate([ask()])


def test_waiting_in_the_queue_is_not_part_of_the_deadline(serve: Serve) -> None:
    _, backend = serve(options={"latency": 0.3}, max_concurrency=1, total_timeout=2.5)
    assert len(backend.generate([ask(f"q{n}") for n in range(10)])) == 10


def test_a_failure_costs_only_itself(serve: Serve) -> None:
    _, backend = serve(options={"faults": ["null-content"]})
    found = dict(backend.replies([ask(f"q{n}") for n in range(20)]))
    failed = [place for place, reply in found.items() if isinstance(reply, BackendError)]
    assert (len(found), len(failed)) == (20, 1)


@pytest.mark.parametrize("fault", ["401-blab", "404"])
def test_what_every_request_would_meet_ends_all_at_once(serve: Serve, fault: str) -> None:
    server, backend = serve(options={"faults": [fault] * 500}, max_concurrency=4)
    found = dict(backend.replies([ask(f"q{n}") for n in range(300)]))
    assert all(isinstance(reply, BackendError) for reply in found.values())
    assert len(found) == 300
    assert len(server.seen) <= 8


def test_nobody_at_the_address_is_one_error() -> None:
    with RemoteBackend("http://127.0.0.1:9/v1", "any", retries=1, backoff=0.01, max_concurrency=2) as backend:
        with pytest.raises(BackendError, match="ConnectError.*is the server running.*gave up after 2 tries"):
            backend.generate([ask(f"q{n}") for n in range(1000)])
        with pytest.raises(BackendError, match="is the server running"):
            backend.fingerprint()


def test_a_prompt_that_is_too_long_for_the_server() -> None:
    script = ScriptedBackend(["x"], context_window=20)
    with ScriptedServer(script) as server, RemoteBackend(server.base_url, "scripted") as backend:
        with pytest.raises(ContextLengthError, match="must fit the server's context window"):
            backend.generate([ask("word " * 30, max_new_tokens=4)])


def test_a_known_window_is_checked_before_anything_is_asked(serve: Serve) -> None:
    server, backend = serve(context_window=20, tokenizer=len)
    with pytest.raises(ContextLengthError, match="16 \\+ 5 = 21"):
        backend.generate([ask("a", max_new_tokens=5), ask("x" * 15, max_new_tokens=5)])
    assert server.seen == []
    assert backend.count_tokens(Prompt(text="x" * 15)) == 16


def test_an_estimate_refuses_nothing_by_itself(serve: Serve) -> None:
    _, backend = serve(context_window=20)
    assert texts(backend, ask("1 2 3 4 5 6 7 8 9", max_new_tokens=15))


def test_logprobs_where_they_are_offered(serve: Serve) -> None:
    _, backend = serve([" one two"], logprobs=True)
    assert [reply.completions[0].logprob for reply in backend.generate([ask(), chat("x")])] == [-2.0, -2.0]
    _, poor = serve([" one two"], {"lacks": ["logprobs"]}, logprobs=True)
    with pytest.raises(UnsupportedError, match="sent no log-probabilities; set logprobs=False"):
        poor.generate([ask()])


@pytest.mark.parametrize(
    ("field", "meaning"),
    [
        ("seed", "samples cannot be drawn again"),
        ("temperature", "the server's own temperature"),
        ("top_p", "the server's own top_p"),
        ("greedy", "refuses a temperature of 0: 0.01 is sent"),
    ],
)
def test_a_field_that_changes_answers_is_left_out_with_one_warning(serve: Serve, field: str, meaning: str) -> None:
    server, backend = serve(options={"lacks": [field]})
    heat = 0.0 if field == "greedy" else 1.0
    with pytest.warns(UserWarning, match=meaning) as told:
        assert texts(backend, ask("a", temperature=heat, stop=("x",))) == [[" a says 0"]]
    assert len(told) == 1
    assert len(server.seen) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts(backend, ask("b", temperature=heat), ask("c", temperature=heat))
    assert len(server.seen) == 4, "it is remembered"
    sent = server.seen[-1].body
    assert sent["temperature"] == 0.01 if field == "greedy" else field not in sent
    assert sent["max_tokens"] == 64


@pytest.mark.parametrize("field", ["max_tokens", "stop", "stream_options"])
def test_a_field_that_changes_nothing_is_left_out_silently(serve: Serve, field: str) -> None:
    server, backend = serve(["one END two"], {"lacks": [field]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            request = ask("a", stop=("END",))
            assert "".join(backend.stream(request)) == "one "
            assert texts(backend, request) == [["one "]]
    assert len(server.seen) == 5
    assert server.seen[-1].body.get("max_completion_tokens") == (64 if field == "max_tokens" else None)


@pytest.mark.parametrize("field", ["temperature", "top_p", "seed", "stop"])
def test_a_field_can_be_left_out_from_the_start(serve: Serve, field: str) -> None:
    server, backend = serve(options={"lacks": [field]}, omit=[field])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts(backend, ask("a", temperature=1.0, stop=("x",)))
    assert len(server.seen) == 1 and field not in server.seen[0].body
    assert backend.cache_scope != RemoteBackend(server.base_url, "scripted").cache_scope


def test_a_server_without_a_system_role_gets_the_instruction_in_the_first_question(serve: Serve) -> None:
    server, backend = serve(options={"lacks": ["system"]})
    prompt = Prompt(messages=(Message("system", "Be brief."), Message("user", "2 + 2 =")))
    for _ in range(2):
        assert texts(backend, Request(prompt)) == [[" Be brief.\n\n2 + 2 = says 0"]]
    assert len(server.seen) == 3
    assert server.seen[-1].body["messages"] == [{"role": "user", "content": "Be brief.\n\n2 + 2 ="}]
    with pytest.raises(UnsupportedError, match="System role not supported"):
        backend.generate([Request(Prompt(messages=(Message("system", "Alone."),)))])


def test_several_refusals_in_a_row(serve: Serve) -> None:
    server, backend = serve(options={"lacks": ["system", "seed", "top_p", "max_tokens"]})
    prompt = Prompt(messages=(Message("system", "Be brief."), Message("user", "2 + 2 =")))
    with pytest.warns(UserWarning):
        assert backend.generate([Request(prompt, Sampling(temperature=1.0))])[0].completions
    assert len(server.seen) == 5


def test_a_server_that_keeps_refusing_is_believed(serve: Serve) -> None:
    """The bad twin: a refusal of what was left out already is an error, and nothing is remembered."""
    server, backend = serve(options={"lacks": ["seed"], "faults": [None]})
    broken = "temperature is not supported with this model"

    async def refuse(path: str, body: Any = None, **_: Any) -> Any:
        refusal = RefusalError(broken)
        refusal.said = broken
        raise refusal

    backend._http.ask = refuse  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnsupportedError, match="temperature is not supported"):
            backend.generate([ask()])
    assert backend._dialect._known == ()
    assert server.seen == []


def test_missing_logprobs_end_all_work_at_once(serve: Serve) -> None:
    server, backend = serve(options={"lacks": ["logprobs"]}, logprobs=True, max_concurrency=2)
    found = dict(backend.replies([ask(f"q{n}") for n in range(100)]))
    assert all(isinstance(reply, UnsupportedError) for reply in found.values())
    assert len(server.seen) <= 4, "the others are not paid for"


def test_samples_that_are_not_given_are_said_to_be(serve: Serve) -> None:
    _, backend = serve(options={"lacks": ["n"]}, seeds=False)
    with pytest.raises(BackendError, match="hold 3 choices; set seeds=True"):
        backend.generate([ask(samples=(0, 1, 2), temperature=1.0)])


@pytest.mark.parametrize(("lack", "request_"), [("chat", chat("x")), ("completions", ask())], ids=["chat", "plain"])
def test_an_endpoint_that_is_not_there_is_said_to_be(serve: Serve, lack: str, request_: Request) -> None:
    _, backend = serve(options={"lacks": [lack]})
    with pytest.raises(BackendError, match="status 404: there is no /v1/"):
        backend.generate([request_])


def test_scores_by_echo(serve: Serve) -> None:
    """A token costs as much as stands before it, so each sum shows which prompt it was behind."""
    _, backend = serve(ScriptedBackend(["x"], scores=lambda request, text: -float(len(request.prompt.text or ""))))
    rows = backend.score(
        [ScoreRequest(Prompt(text="2 + 2 ="), (" 4", " four or so")), ScoreRequest(Prompt(text="a"), (" b", " c d"))]
    )
    assert rows == [((-7.0, 1), (-34.0, 3)), ((-1.0, 1), (-4.0, 2))]


def test_scores_that_are_not_offered(serve: Serve) -> None:
    _, backend = serve(options={"lacks": ["logprobs"]})
    with pytest.raises(UnsupportedError, match="score needs a server that echoes"):
        backend.score([ScoreRequest(Prompt(text="2 + 2 ="), (" 4",))])
    with pytest.raises(UnsupportedError, match="no continuations of chat prompts"):
        backend.score([ScoreRequest(Prompt(messages=(Message("user", "x"),)), (" 4",))])


@pytest.mark.parametrize("kind", ["soft_prompt", "lora"])
def test_weights_need_a_local_model(serve: Serve, kind: str) -> None:
    _, backend = serve()
    tensors = {"prompt_embeddings": np.zeros((2, 4), np.float32)}
    weights = Weights(kind, {}, tensors, "base")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match=f"{kind} must be None for RemoteBackend.*use LocalBackend"):
        backend.generate([Request(Prompt(text="x"), **{kind: weights})])  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="use LocalBackend"):
        backend.score([ScoreRequest(Prompt(text="x"), ("y",), **{kind: weights})])  # type: ignore[arg-type]


def test_bad_requests_ask_nothing(serve: Serve) -> None:
    server, backend = serve()
    for bad in (ask(""), ask(temperature=float("nan")), ask(max_new_tokens=0), ask("\ud800")):
        with pytest.raises(SettingError, match="requests\\[1\\]"):
            backend.generate([ask(), bad])
    assert server.seen == []


def test_texts_come_and_go_byte_for_byte(serve: Serve) -> None:
    text = '\u2028 e\u0301 é 👩‍👩‍👧 \ufeff אב \x00 </s> <|im_end|> {{ x }} \\ " \r\n\t'
    server, backend = serve(lambda request, index: request.prompt.text or "")
    assert texts(backend, ask(text)) == [[text]]
    assert server.seen[0].body["prompt"] == text


def test_fingerprints_are_of_the_model_not_of_the_address(serve: Serve) -> None:
    (first, one), (_, two) = serve(), serve()
    assert one.server != two.server
    assert one.fingerprint() == two.fingerprint()
    assert one.fingerprint() != RemoteBackend(one.server, "other").fingerprint()
    assert one.fingerprint() != RemoteBackend(one.server, "scripted", extra={"top_k": 1}).fingerprint()
    assert [seen.path for seen in first.seen] == ["/v1/models"] * 3  # and is asked for once by each
    _, unlisted = serve(options={"lacks": ["models"]})
    assert len(unlisted.fingerprint()) == 64


def test_what_a_list_of_models_says_counts_if_it_is_the_same_everywhere() -> None:
    def listed(**facts: Any) -> list[Any]:
        return _reported({"data": [{"id": "other"}, {"id": "m", "created": 1, **facts}]}, "m")

    assert listed(root="/data/models/llama", created=5) == listed(root="/other/place/llama", created=9)
    assert listed(root="a/llama") != listed(root="a/mistral")
    assert listed(parent="llama") != listed()
    assert listed(meta={"n_params": 5}) != listed(meta={"n_params": 6})
    assert [_reported(bad, "m") for bad in (None, [], {}, {"data": None}, {"data": [None, {"id": "x"}]})] == [[]] * 5


def test_closing_ends_all_connections_and_a_later_request_opens_new_ones(serve: Serve) -> None:
    server, backend = serve()
    texts(backend, *[ask(f"q{n}") for n in range(30)])
    assert server.connections > 0
    backend.close()
    backend.close()
    assert no_connections(server)
    assert texts(backend, ask("again")) == [[" again says 0"]]


def test_a_backend_that_nobody_holds_closes_itself(serve: Serve) -> None:
    server, _ = serve()
    backend = RemoteBackend(server.base_url, "scripted")
    texts(backend, ask())
    assert server.connections == 1
    del backend
    gc.collect()
    assert no_connections(server)


def no_connections(server: ScriptedServer) -> bool:
    for _ in range(200):
        if server.connections == 0:
            return True
        time.sleep(0.02)
    return False


def test_closing_in_the_middle_is_a_typed_error(serve: Serve) -> None:
    _, backend = serve(options={"latency": 20.0})
    threading.Timer(0.2, backend.close).start()
    with pytest.raises(BackendError, match="closed while it worked"):
        backend.generate([ask()])


def test_stopping_early_ends_the_calls(serve: Serve) -> None:
    server, backend = serve(options={"latency": 0.02}, max_concurrency=2)
    replies = backend.replies([ask(f"q{n}") for n in range(500)])
    next(replies)
    replies.close()  # type: ignore[attr-defined]
    backend.close()
    assert no_connections(server)
    assert len(server.seen) < 250


def test_a_child_process_has_connections_of_its_own(serve: Serve) -> None:
    _, backend = serve()
    texts(backend, ask("parent"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forking beside threads is what is tried here
        child = os.fork()
    if child == 0:
        ok = texts(backend, ask("child")) == [[" child says 0"]]
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert texts(backend, ask("parent")) == [[" parent says 0"]]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"model": ""}, "model must be"),
        ({"model": None}, "model must be"),
        ({"connect_timeout": 0}, "connect_timeout must be"),
        ({"read_timeout": float("nan")}, "read_timeout must be"),
        ({"total_timeout": float("inf")}, "total_timeout must be"),
        ({"total_timeout": True}, "total_timeout must be"),
        ({"max_concurrency": 0}, "max_concurrency must be"),
        ({"max_concurrency": 2.5}, "max_concurrency must be"),
        ({"context_window": 0}, "context_window must be"),
        ({"retries": -1}, "retries must be"),
        ({"backoff": -1}, "backoff must be"),
        ({"omit": ["model"]}, "omit must be a list with some of"),
        ({"omit": "temperature"}, "omit must be a list with some of"),
        ({"schemas": "maybe"}, "schemas must be 'enforce' or 'prompt'"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        RemoteBackend(**{"base_url": "http://127.0.0.1:9/v1", "model": "m", **settings})


def test_prompting_rungs_run_unchanged(serve: Serve, tmp_path: Any) -> None:
    """Few-shot, chain of thought with early stopping, evaluation and saving, by chat and by completion."""
    data, task = shipped("apples"), pk.load_task("apples")
    gold = {example.query.fields["question"]: example.target for example in data.test}

    def answer(request: Request, index: int) -> str:
        prompt = request.prompt.text or request.prompt.messages[-1].content
        right = next(target for question, target in gold.items() if question in prompt.rpartition("Question:")[2])
        return f" It is so. The answer is {right if index % 4 else 0}."

    for form in (True, False):
        _, backend = serve(answer, chat=form)
        few = pk.FewShot(task, shots=2).fit(data.train, backend)
        voted = pk.ChainOfThought(task, shots=2, samples=8, stop="beta").fit(data.train, backend)
        assert pk.evaluate(few, data.test[:5], ["numeric_match"])["numeric_match"].mean == 0.0
        report = pk.evaluate(voted, data.test[:5], ["numeric_match"])
        assert report["numeric_match"].mean == 1.0
        assert all(4 <= row["samples_used"] <= 8 for row in report.rows)
        voted.save(tmp_path / str(form))
        again = pk.load(tmp_path / str(form), backend)
        assert [one.answer for one in again.predict([e.query for e in data.test[:5]])] == [
            row["answer"] for row in report.rows
        ]


def test_failures_are_recorded_one_by_one_and_nothing_is_asked_twice(serve: Serve) -> None:
    data, task = shipped("apples"), pk.load_task("apples")
    faults = ["null-content", None, "html", None, "400"]
    server, backend = serve([" The answer is 5."], {"faults": faults}, chat=False)
    report = pk.evaluate(pk.FewShot(task, shots=1).fit(data.train, backend), data.test[:40], ["numeric_match"])
    assert (report.failed, report.items, len(server.seen)) == (2, 40, 41), (
        "no JSON is no answer, and is asked for again"
    )
    assert sorted(bool(row["error"]) for row in report.rows) == [False] * 38 + [True] * 2
