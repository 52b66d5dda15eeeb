"""A backend: what answers prompts. This one adds up the numbers of the last question, and samples go wrong at times."""

import hashlib
import re
from collections.abc import Sequence

import promptkit as pk


class Adding:
    """A model of one skill; it keeps no state, so it can be called from several threads."""

    chat = False
    context_window = 8192

    def __init__(self, name: str, wrong: float = 0.3) -> None:
        self.name, self.wrong = name, wrong

    def generate(self, requests: Sequence[pk.Request], *, progress=None) -> list[pk.Reply]:
        replies = [self._reply(request) for request in requests]
        if progress is not None:
            progress(len(requests), len(requests))
        return replies

    def _reply(self, request: pk.Request) -> pk.Reply:
        completions = tuple(self._complete(request, index) for index in request.samples)
        prompt, generated = self.count_tokens(request.prompt), sum(one.tokens for one in completions)
        return pk.Reply(completions, pk.Usage(calls=1, prompt_tokens=prompt, generated_tokens=generated))

    def _complete(self, request: pk.Request, index: int) -> pk.Completion:
        question = request.prompt.text.rpartition("Question:")[2]
        numbers = [int(number) for number in re.findall(r"\d+", question)]
        # A sample depends on seed, prompt and index alone, never on its batch.
        draw = hashlib.sha256(f"{request.seed}:{index}:{question}".encode()).digest()[0] / 256
        slip = request.sampling.temperature > 0 and draw < self.wrong
        words = f"{' + '.join(map(str, numbers))} = {sum(numbers) + slip}. The answer is {sum(numbers) + slip}.".split()
        kept = words[: request.sampling.max_new_tokens]
        finish = "stop" if kept == words else "length"
        logprob = -(1.0 if slip else 0.1) * len(kept)
        return pk.Completion(" " + " ".join(kept), finish, len(kept), logprob, index)

    def score(self, requests: Sequence[pk.ScoreRequest]) -> list[tuple[tuple[float, int], ...]]:
        raise pk.UnsupportedError("Adding cannot score continuations; set answer_by='generation'")

    def count_tokens(self, prompt: pk.Prompt) -> int:
        return len((prompt.text or "").split())

    def fingerprint(self) -> str:
        return hashlib.sha256(f"adding:{self.wrong}".encode()).hexdigest()


@pk.register("backend", "adding")
def adding(model: str, **settings: float) -> Adding:
    """Adds up the numbers of a question; ``--model`` is only its name."""
    return Adding(model, **settings)
