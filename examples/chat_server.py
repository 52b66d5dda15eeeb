"""A model server for trying things out: OpenAI's chat protocol on this machine, with answers from a function."""

import contextlib
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SAMPLE = 2**14  # RemoteBackend puts the index of a sample into the lower 14 bits of its seed


@contextlib.contextmanager
def serve(answer: Callable[[list[str], int], str], *, fail_every: int = 0) -> Iterator[str]:
    """Answers ``/v1/chat/completions`` while the block runs.

    Args:
        answer: Gets the contents of the messages and the index of the sample, and returns the completion.
        fail_every: Answers every so many-th call with status 503 instead; 0 for none.

    Yields:
        The base URL.
    """
    calls = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if fail_every and next(calls) % fail_every == 0:
                self.send(503, {"error": {"message": "busy", "code": "overloaded"}})
                return
            contents = [message["content"] for message in asked["messages"]]
            text = answer(contents, asked.get("seed", 0) % SAMPLE)
            words, about = (
                re.findall(r"\s*\S+", text),
                {"id": "1", "object": "chat.completion", "model": asked["model"]},
            )
            counts = {"prompt_tokens": sum(len(one.split()) for one in contents), "completion_tokens": len(words)}
            usage = {**counts, "total_tokens": sum(counts.values())}
            if not asked.get("stream"):
                choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                self.send(200, about | {"choices": [choice], "usage": usage})
                return
            choices = [{"index": 0, "delta": {"content": word}, "finish_reason": None} for word in words]
            choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
            events = [about | {"object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
            events.append(about | {"object": "chat.completion.chunk", "choices": [], "usage": usage})
            data = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            self.send(200, data, kind="text/event-stream")

        def send(self, status: int, data: Any, kind: str = "application/json") -> None:
            body = (data if isinstance(data, str) else json.dumps(data)).encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
