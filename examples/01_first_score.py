"""A task, few-shot prompting and an honest score on the reference model, offline.

Run ``python examples/01_first_score.py``; ``--items`` sets the number of test items.
"""

import argparse
import tempfile

import promptkit as pk

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--items", type=int, default=50)
items = parser.parse_args().items

backend = pk.LocalBackend("reference")
task = pk.load_task("products")
data = pk.load_examples("products")
print(data)

for shots in (0, 4):
    predictor = pk.FewShot(task, shots=shots, select="balanced").fit(data.train, backend, dev=data.dev, seed=0)
    print(f"\n{shots} shots\n{pk.evaluate(predictor, data.test[:items])}")

print("\nA prompt as it is sent:\n")
print(predictor.ask(data.test[0].query).prompt.text)

# A fitted predictor is one folder. It loads elsewhere, or is refused with a reason.
with tempfile.TemporaryDirectory() as folder:
    predictor.save(f"{folder}/products-4-shots")
    again = pk.load(f"{folder}/products-4-shots", backend)
question = data.test[0].query
assert again.predict([question])[0].answer == predictor.predict([question])[0].answer
print("\nThe saved and loaded predictor answers:", again.predict([question])[0].answer)
