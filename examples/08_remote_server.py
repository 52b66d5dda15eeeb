"""The prompting rungs on a model server, with a cache: few-shot, reasoning, voting with an early stop.

Any OpenAI-compatible server will do: ``--base-url http://localhost:8000/v1 --model NAME``, and ``--api-key-env`` for
the name of the variable that holds its key. Without these options a scripted server is started here. It answers from
a script: reasoned paths are right two times out of three, direct answers never; every tenth call fails at first.

Run ``python examples/08_remote_server.py``; ``--items`` sets the number of test items.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path

from chat_server import serve

import promptkit as pk

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--items", type=int, default=30)
parser.add_argument("--base-url", default="")
parser.add_argument("--model", default="scripted")
parser.add_argument("--api-key-env", default=None)
options = parser.parse_args()

task, data = pk.load_task("apples"), pk.load_examples("apples")
targets = {example.query.fields["question"]: example.target for example in data.test}


def answer(messages: list[str], index: int) -> str:
    """What the scripted server says: it knows the answers, and which way of asking it was asked."""
    *_, shown, last = messages
    question = next(text for text in targets if text in last)
    right, reasoned = int(targets[question]), len(shown) > 20
    slip = (len(question) + index) % 3 == 0 if reasoned else True
    return f"{'Step by step. ' * reasoned}The answer is {right + slip}."


with contextlib.ExitStack() as stack:
    url = options.base_url or stack.enter_context(serve(answer, fail_every=10))
    remote = stack.enter_context(pk.RemoteBackend(url, options.model, api_key_env=options.api_key_env, backoff=0.05))
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    backend = stack.enter_context(pk.CachedBackend(remote, Path(folder) / "answers.sqlite"))

    for name, adapter in {
        "direct": pk.FewShot(task, shots=4),
        "reasoned": pk.FewShot(task, shots=4, ask="reasoned"),
        "voted": pk.ChainOfThought(task, shots=4, samples=9, stop="beta"),
        "voted again, from the cache": pk.ChainOfThought(task, shots=4, samples=9, stop="beta"),
    }.items():
        predictor = adapter.fit(data.train, backend, dev=data.dev, seed=0)
        asked = backend.stats.misses
        report = pk.evaluate(predictor, data.test[: options.items], ["numeric_match"])
        score = report["numeric_match"]
        print(
            f"{name:<28} {score.mean:.2f} [{score.low:.2f}, {score.high:.2f}]  "
            f"samples asked of the server: {backend.stats.misses - asked:3}  "
            f"tokens per item: {report.cost.prompt_tokens_per_item:.0f} + {report.cost.generated_tokens_per_item:.0f}"
        )

    print("\nOne answer, streamed:")
    prompt = pk.render(task, data.test[0].query, data.train[:2], ask="reasoned", form="chat")
    for piece in backend.stream(pk.Request(prompt, pk.Sampling(max_new_tokens=200))):
        print(piece, end="", flush=True)
    print()
