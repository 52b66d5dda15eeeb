"""A task of your own: a folder with a description and one template, and data of any shape. No model is needed.

Run ``python examples/02_your_own_task.py``; it plays the prompts on a scripted backend, as a dry run would.
"""

import tempfile
from pathlib import Path

import promptkit as pk

SETTINGS = """
description: Is a review of a tea shop glad or sad?
instructions: ["Judge the review."]
fields: [review]
labels: [glad, sad]
parsers:
  direct: {kind: label}
max_new_tokens: {direct: 8}
"""
TEMPLATE = """{% macro question(item) %}Review: {{ item.review }}
Mood:{% endmacro %}
{% macro answer(item) %} {{ item.target }}{% endmacro %}
"""
REVIEWS = "text,mood\n" + "".join(
    f"{word} tea number {i},{'glad' if word in ('lovely', 'fresh') else 'sad'}\n"
    for i in range(10)
    for word in ("lovely", "stale", "fresh", "bitter")
)


def answer(request: pk.Request, sample: int) -> str:
    """Stands in for a model: calls a review glad if its last line has a kind word."""
    last = (request.prompt.text or "").rsplit("Review:", 1)[-1]
    return " glad" if "lovely" in last or "fresh" in last else " sad"


with tempfile.TemporaryDirectory() as root:
    folder = Path(root) / "tea"
    folder.mkdir()
    (folder / "task.yaml").write_text(SETTINGS, encoding="utf-8")
    (folder / "direct.jinja").write_text(TEMPLATE, encoding="utf-8")
    (Path(root) / "reviews.csv").write_text(REVIEWS, encoding="utf-8")

    task = pk.load_task(folder)
    # Columns are mapped by name; a single file is split into train, dev and test so that duplicates never straddle.
    data = pk.load_examples(Path(root) / "reviews.csv", task=task, columns={"review": "text", "target": "mood"})
    print(data)

predictor = pk.FewShot(task, shots=2).fit(data.train, pk.ScriptedBackend(answer), seed=1)
print(predictor.ask(data.test[0].query).prompt.text)
print(pk.evaluate(predictor, data.test))
