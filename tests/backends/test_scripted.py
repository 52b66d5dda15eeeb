from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.backends.scripted import ScriptedBackend, _split
from promptkit.errors import BackendError, ContextLengthError, SettingError, UnsupportedError
from promptkit.types import Message, Prompt, Request, Sampling, ScoreRequest


def ask(text: str = "2 + 2 =", **settings: object) -> Request:
    samples = settings.pop("samples", (0,))
    return Request(Prompt(text=text), Sampling(**settings), samples=samples)  # type: ignore[arg-type]


def texts(backend: ScriptedBackend, request: Request) -> list[str]:
    return [completion.text for completion in backend.generate([request])[0].completions]


def test_a_function_sees_request_and_sample_index() -> None:
    backend = ScriptedBackend(lambda request, index: f"{request.prompt.text} {index}")
    assert texts(backend, ask("Q", samples=(0, 3))) == ["Q 0", "Q 3"]
    assert [c.index for c in backend.generate([ask(samples=(4, 2))])[0].completions] == [4, 2]


def test_a_mapping_answers_by_the_first_key_in_the_prompt() -> None:
    backend = ScriptedBackend({"pears": "pear", "app": "apple", "": "none"})
    assert [texts(backend, ask(t))[0] for t in ("two apples", "apples, pears", "plums")] == ["apple", "pear", "none"]


def test_a_mapping_without_a_fitting_key_says_so() -> None:
    with pytest.raises(BackendError, match="no key fits the prompt that ends in 'plums'; an empty key fits every"):
        ScriptedBackend({"apples": "x"}).generate([ask("plums")])


def test_a_list_goes_round_by_sample_index() -> None:
    assert texts(ScriptedBackend(["a", "b"]), ask(samples=(0, 1, 2))) == ["a", "b", "a"]


def test_stop_texts_end_and_are_trimmed() -> None:
    completion = ScriptedBackend(["five\n\nQuestion: more"]).generate([ask(stop=("\n\n", "Q"))])[0].completions[0]
    assert (completion.text, completion.finish) == ("five", "stop")


def test_the_token_limit_cuts_and_says_length() -> None:
    completion = ScriptedBackend(["one two three"]).generate([ask(max_new_tokens=2)])[0].completions[0]
    assert (completion.text, completion.finish, completion.tokens) == ("one two", "length", 2)


def test_a_full_answer_ends_with_the_end_token() -> None:
    completion = ScriptedBackend(["one two"]).generate([ask(max_new_tokens=3)])[0].completions[0]
    assert (completion.text, completion.finish, completion.tokens, completion.logprob) == ("one two", "eos", 3, None)


@given(st.text())
def test_tokens_are_pieces_of_the_text(text: str) -> None:
    assert "".join(_split(text)) == text


def test_counts_tokens_of_both_forms() -> None:
    backend = ScriptedBackend()
    assert backend.count_tokens(Prompt(text="Jane has 2 apples.")) == 5
    assert backend.count_tokens(Prompt(messages=(Message("user", "Jane has"), Message("assistant", "ok")))) == 9


def test_the_context_window_is_enforced_before_anything_is_logged() -> None:
    backend = ScriptedBackend(["x"], context_window=10)
    backend.generate([ask("a b c", max_new_tokens=7)])
    with pytest.raises(ContextLengthError, match="4 \\+ 7 = 11"):
        backend.generate([ask("a", max_new_tokens=1), ask("a b c d", max_new_tokens=7)])
    assert len(backend.requests) == 1


def test_told_to_fail_it_fails_on_that_call_only() -> None:
    backend = ScriptedBackend(["x"], fail_on={1})
    backend.generate([ask()])
    with pytest.raises(BackendError, match="call 1 fails because of fail_on"):
        backend.generate([ask()])
    assert texts(backend, ask()) == ["x"]


def test_scores_come_from_the_function() -> None:
    backend = ScriptedBackend(scores=lambda request, text: -float(len(text)))
    assert backend.score([ScoreRequest(Prompt(text="p"), (" a b", "c"))]) == [((-4.0, 2), (-1.0, 1))]
    with pytest.raises(UnsupportedError, match="score needs a function"):
        ScriptedBackend().score([ScoreRequest(Prompt(text="p"), ("a",))])


def test_usage_and_progress_are_told() -> None:
    seen: list[tuple[int, int]] = []
    replies = ScriptedBackend(["one two"]).generate(
        [ask(samples=(0, 1)), ask()], progress=lambda a, b: seen.append((a, b))
    )
    assert seen == [(1, 2), (2, 2)]
    assert (replies[0].usage.calls, replies[0].usage.prompt_tokens, replies[0].usage.generated_tokens) == (1, 4, 6)


def test_fingerprints_tell_scripts_apart() -> None:
    prints = {ScriptedBackend(script).fingerprint() for script in (["a"], ["b"], {"a": "b"}, lambda r, i: "a")}
    assert len(prints) == 4
    assert ScriptedBackend(["a"]).fingerprint() == ScriptedBackend(("a",)).fingerprint()


@pytest.mark.parametrize("answers", ["text", [], {}])
def test_a_script_must_be_one(answers: object) -> None:
    with pytest.raises(SettingError, match="answers must be a function, a mapping or a list of texts"):
        ScriptedBackend(answers)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="context_window must be"):
        ScriptedBackend(context_window=0)


def test_calls_from_threads_are_all_logged() -> None:
    backend = ScriptedBackend(["x"], fail_on={100})
    threads = [
        threading.Thread(target=lambda: [backend.generate([ask()]) for _ in range(20)] and None) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(backend.requests) == 100
    with pytest.raises(BackendError):
        backend.generate([ask()])
