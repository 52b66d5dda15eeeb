"""An assistant for one shipped task: glossary, tone, a conversation about one sheet of facts, a typed answer, a folder.

Run ``python examples/10_assistant.py``.
"""

import tempfile
from typing import Literal

from pydantic import BaseModel

import promptkit as pk

backend = pk.LocalBackend("reference")
data = pk.load_examples("products")
predictor = pk.FewShot(pk.load_task("products"), shots=8).fit(data.train, backend, dev=data.dev)
assistant = pk.Assistant(
    predictor, glossary={"offered": "sold", "NAV": "net asset value"}, tone="Be brief.", name="desk"
)

facts = "Kestrel Loan: minimum 4900 euros, risk very low\nWexcombe Bond: region Italy, term 20 months, fee 7 dollars"
with tempfile.TemporaryDirectory() as folder:
    assistant.save(f"{folder}/desk")
    assistant = pk.Assistant.load(f"{folder}/desk", backend)  # or is refused, with a reason

chat = assistant.chat(given={"facts": facts})
for question in (
    "What is the minimum for Kestrel Loan?",
    "Where is Wexcombe Bond offered?",
    "How risky is Kestrel Loan?",
):
    print("You:      ", question)
    print("Assistant: ", end="")
    for piece in (stream := chat.stream(question)):
        print(piece, end="", flush=True)
    print(f"   [terms explained: {', '.join(stream.reply.terms) or '-'}; turns before: {chat.turns - 1}]")


class Risk(BaseModel):
    level: Literal["very low", "low", "medium", "high", "very high"]


print("Typed:    ", repr(assistant.ask({"facts": facts, "question": "How risky is Kestrel Loan?"}, answer_type=Risk)))
