"""Conversations of several turns with three assistants on the reference model, printed as they went.

Run ``python examples/12_transcript.py``; the transcript in README is its output.
"""

import promptkit as pk

backend = pk.LocalBackend("reference")


def talk(name: str, adapter: pk.Adapter, questions: list[str], given: dict[str, str] | None = None) -> None:
    data = pk.load_examples(name)
    assistant = pk.Assistant(adapter.fit(data.train, backend, dev=data.dev))
    print(f"--- {name}" + "".join(f"\n{text}" for text in (given or {}).values()))
    chat = assistant.chat(given=given)
    for question in questions:
        print(f"you> {question}\n{name}> {chat.send(question).text}")


talk(
    "apples",
    pk.ChainOfThought(pk.load_task("apples"), shots=4, samples=10, stop="beta"),
    [
        "Jane has 12 apples. She bought 30 more. How many apples does Jane have now?",
        "Tom had 50 pears. He lost 8 of them. Then he got 14 more pears. How many pears does Tom have now?",
        "Rosa bought 6 lamps at 7 coins each. How many coins does Rosa spend?",
    ],
)
talk(
    "products",
    pk.FewShot(pk.load_task("products"), shots=8),
    [
        "What is the minimum for Kestrel Loan?",
        "How long does Wexcombe Bond run?",
        "Where is Wexcombe Bond offered?",
        "How risky is Kestrel Loan?",
    ],
    given={
        "facts": "Kestrel Loan: minimum 4900 euros, risk very low, contact Mia\n"
        "Wexcombe Bond: region Italy, term 20 months, fee 7 dollars"
    },
)
talk(
    "chinese",
    pk.FewShot(pk.load_task("chinese"), shots=4),
    ["小林星期三在大同买了98个花。", "今天，小王在长春有93个书。", "在中山，小马星期五卖了74个车。"],
)
