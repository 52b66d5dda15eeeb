"""An application with promptkit inside: FastAPI, one conversation per visitor, replies streamed as server-sent events.

``python examples/11_application.py`` asks itself a few questions over HTTP without opening a port; with ``--serve`` it
listens on 127.0.0.1:8000. Needs ``pip install fastapi uvicorn``.
"""

import argparse
import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator

import httpx2
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

import promptkit as pk

MOST_CHATS = 1000  # the longest unused one makes room for the next visitor


class Question(BaseModel):
    text: str = Field(min_length=1, max_length=2000)


class Turn(Question):
    visitor: str = Field(
        pattern=r"^[A-Za-z0-9-]{16,64}$"
    )  # a secret of the visitor's, or visitors share a conversation


def create_app(assistant: pk.Assistant) -> FastAPI:
    app = FastAPI(title=assistant.name)
    chats: OrderedDict[str, pk.Chat] = OrderedDict()

    def chat_of(visitor: str) -> pk.Chat:
        chats.setdefault(visitor, assistant.chat())
        chats.move_to_end(visitor)
        while len(chats) > MOST_CHATS:
            chats.popitem(last=False)
        return chats[visitor]

    @app.post("/ask")
    async def ask(question: Question) -> dict[str, object]:
        try:
            reply = await assistant.aask(question.text)
        except (pk.DataError, pk.ContextLengthError) as error:
            raise HTTPException(422, str(error)) from None
        return {"text": reply.text, "answer": reply.answer, "abstained": reply.abstained, "reason": reply.reason}

    @app.post("/chat")
    async def chat(question: Turn) -> StreamingResponse:
        try:
            stream = chat_of(question.visitor).stream(question.text)
        except pk.DataError as error:
            raise HTTPException(422, str(error)) from None

        async def events() -> AsyncIterator[str]:
            try:
                async for piece in stream:
                    yield f"data: {json.dumps({'piece': piece})}\n\n"
                done = {"answer": stream.reply.answer, "dropped_turns": stream.reply.dropped_turns}
                yield f"event: done\ndata: {json.dumps(done)}\n\n"
            except pk.PromptkitError as error:  # the status was sent long ago
                yield f"event: error\ndata: {json.dumps({'error': str(error)})}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


async def ask_itself(app: FastAPI) -> None:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://application") as client:
        question = "Jane has 2 apples. She bought 3 more. How many apples does Jane have now?"
        print("POST /ask ", (await client.post("/ask", json={"text": question})).json())
        for text in (question, "Tom has 9 pears. He lost 4 pears. How many pears does Tom have now?"):
            answer = await client.post("/chat", json={"text": text, "visitor": "a-visitor-0123456789"})
            events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
            pieces = [json.loads(event).get("piece", "") for event in events]
            print("POST /chat", f"{len(pieces) - 1} pieces:", "".join(pieces), "->", events[-1])
        print("POST /ask  without a text:", (await client.post("/ask", json={"text": ""})).status_code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="listen on 127.0.0.1:8000")
    serve = parser.parse_args().serve
    task, data = pk.load_task("apples"), pk.load_examples("apples")
    predictor = pk.FewShot(task, shots=4, ask="reasoned").fit(data.train, pk.LocalBackend("reference"))
    app = create_app(pk.Assistant(predictor))
    if serve:
        import uvicorn

        uvicorn.run(app, host="127.0.0.1", port=8000)
    else:
        asyncio.run(ask_itself(app))


if __name__ == "__main__":
    main()
