"""Makes the calls that standard input asks for, with ``luaopenai`` or ``openai`` as its argument.

It speaks as ``script.lua`` does.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

Task = Callable[[Any], tuple[int, float | None]]
"""Makes one call with a client: what it counted, and seconds where it measures for itself."""

MODEL = "gpt-4.1"
EMBEDDING_MODEL = "text-embedding-3-small"
QUESTION: list[Any] = [{"role": "user", "content": "Say hello."}]
INPUTS = [f"text number {number}" for number in range(1, 65)]
HISTORY: list[Any] = [
    {
        "role": "user" if number % 2 else "assistant",
        "content": f"{number}: a message of a long talk, about as long as people write.",
    }
    for number in range(1, 501)
]


def luaopenai_tasks() -> tuple[Callable[[str], Any], dict[str, Task]]:
    from luaopenai import OpenAI

    def chat(client: OpenAI, messages: list[Any]) -> tuple[int, None]:
        answer = client.chat(messages)
        return len(answer.body["choices"][0]["message"]["content"]), None

    def raw_stream(client: OpenAI) -> tuple[int, None]:
        events = 0

        def count(_: object) -> None:
            nonlocal events
            events += 1

        client.create_chat_completion(QUESTION, count)
        return events, None

    def session_stream(client: OpenAI) -> tuple[int, None]:
        chunks = 0

        def count(chunk: Any, _: object) -> None:
            nonlocal chunks
            chunks += bool(chunk["content"])

        reply = client.new_chat_session().send("Say hello.", count)
        return len(reply) + chunks, None

    def latency(client: OpenAI) -> tuple[int, float]:
        delays: list[float] = []

        def note(chunk: Any, _: object) -> None:
            if chunk["content"]:
                delays.append(time.time() - float(chunk["content"]))

        client.new_chat_session().send("Say hello.", note)
        return len(delays), median(delays)

    def embedding(client: OpenAI) -> tuple[int, None]:
        answer = client.embedding(INPUTS, model=EMBEDDING_MODEL, encoding_format="float")
        rows = answer.body["data"]
        return len(rows) * len(rows[0]["embedding"]), None

    return functools.partial(OpenAI, "key"), {
        "chat": functools.partial(chat, messages=QUESTION),
        "history": functools.partial(chat, messages=HISTORY),
        "raw_stream": raw_stream,
        "session_stream": session_stream,
        "latency": latency,
        "embedding": embedding,
    }


def openai_tasks() -> tuple[Callable[[str], Any], dict[str, Task]]:
    from openai import OpenAI

    def make(base_url: str) -> OpenAI:
        return OpenAI(api_key="key", base_url=base_url)

    def chat(client: OpenAI, messages: list[Any]) -> tuple[int, None]:
        answer = client.chat.completions.create(model=MODEL, messages=messages)
        return len(answer.choices[0].message.content or ""), None

    def raw_stream(client: OpenAI) -> tuple[int, None]:
        stream = client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
        return sum(1 for _ in stream), None

    def texts(client: OpenAI) -> Any:
        for event in client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True):
            text = event.choices[0].delta.content
            if text:
                yield text

    # The package has no sessions; this is what a program does in place of one.
    def session_stream(client: OpenAI) -> tuple[int, None]:
        found = list(texts(client))
        return len("".join(found)) + len(found), None

    def latency(client: OpenAI) -> tuple[int, float]:
        delays = [time.time() - float(text) for text in texts(client)]
        return len(delays), median(delays)

    def embedding(client: OpenAI) -> tuple[int, None]:
        rows = client.embeddings.create(
            model=EMBEDDING_MODEL, input=INPUTS, encoding_format="float"
        ).data
        return len(rows) * len(rows[0].embedding), None

    return make, {
        "chat": functools.partial(chat, messages=QUESTION),
        "history": functools.partial(chat, messages=HISTORY),
        "raw_stream": raw_stream,
        "session_stream": session_stream,
        "latency": latency,
        "embedding": embedding,
    }


def main() -> None:
    make, tasks = luaopenai_tasks() if sys.argv[1] == "luaopenai" else openai_tasks()
    client_for = functools.cache(make)
    for line in sys.stdin:
        name, base_url, calls = line.split()
        client, task = client_for(base_url), tasks[name]
        start = time.perf_counter()
        for _ in range(int(calls)):
            count, seconds = task(client)
        taken = (time.perf_counter() - start) / int(calls)
        print(f"{taken if seconds is None else seconds:.9f} {count}", flush=True)


if __name__ == "__main__":
    main()
