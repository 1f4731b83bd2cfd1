"""A server of models for plugins that attack: it answers soundly, oddly, or not at all."""

from __future__ import annotations

import json
import random

from support.fault_server import CHUNKED_STREAM, Connection, answer, chunk

_MESSAGE = {"role": "assistant", "content": "said"}
_CHAT = json.dumps({"choices": [{"index": 0, "message": _MESSAGE}], "usage": {"total_tokens": 3}})
_DELTA = json.dumps({"choices": [{"index": 0, "delta": {"content": "said "}}]})
_EVENT = f"data: {_DELTA}\n\n".encode()
_END = b"data: [DONE]\n\n"


def misbehave(connection: Connection, chance: random.Random) -> None:
    """Serves a connection: each request gets an answer at random."""
    while connection.read_request():
        kind = chance.randrange(12)
        if kind < 4:
            connection.send(answer(_CHAT.encode()))
        elif kind == 4:
            pieces = [chunk(_EVENT) for _ in range(chance.randrange(50))]
            connection.send(CHUNKED_STREAM + b"".join(pieces) + chunk(_END) + chunk(b""))
        elif kind == 5:  # a stream that is cut
            connection.send(CHUNKED_STREAM + chunk(_EVENT) + chunk(_EVENT)[: chance.randrange(30)])
            return
        elif kind == 6:  # an event without end
            connection.send(CHUNKED_STREAM + chunk(b"data: {" + b"x" * 100_000) * 5 + chunk(b""))
        elif kind == 7:
            connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * chance.choice([1, 50, 5000]))
            connection.send(answer(_CHAT.encode()))
        elif kind == 8:
            connection.send(answer(bytes(chance.choices(range(256), k=500))))
        elif kind == 9:
            connection.send(answer(b"[" * chance.choice([10, 100_000])))
        elif kind == 10:
            connection.send(answer(b'{"error": "no"}', status=chance.choice(["429 No", "500 No"])))
        else:
            connection.reset()
            return
