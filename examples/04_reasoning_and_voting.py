"""Chain of thought with voting against a direct few-shot prompt, on the same items.

Run ``python examples/04_reasoning_and_voting.py``; ``--items`` sets the number of test items.
"""

import argparse

import promptkit as pk

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--items", type=int, default=30)
items = parser.parse_args().items

backend = pk.LocalBackend("reference")
task, data = pk.load_task("apples"), pk.load_examples("apples")
arms = {
    "direct": pk.FewShot(task, shots=4),
    "reasoned": pk.FewShot(task, shots=4, ask="reasoned"),
    "voted": pk.ChainOfThought(task, shots=4, samples=20, stop="beta"),
}
for name, adapter in arms.items():
    predictor = adapter.fit(data.train, backend, dev=data.dev, seed=0)
    print(f"\n{name}\n{pk.evaluate(predictor, data.test[:items], ['numeric_match'])}")

shown = predictor.predict([data.test[2].query])[0]
print("\nQuestion:", data.test[2].query.fields["question"])
print(
    f"Answer {shown.answer}, agreement {shown.agreement:.0%}, {shown.samples_used} samples, votes {dict(shown.votes)}"
)
print("One of the reasonings:", shown.reasonings[0] if shown.reasonings else "-")
