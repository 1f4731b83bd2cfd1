"""What the local model cannot do is said, in one line, where a script runs into it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from luaopenai.local import shortcoming

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
INPUT_IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
CHAT, RESPONSES = "/chat/completions", "/responses"


def asked(path: str, status: int, *, is_embedded: bool = True, **payload: Any) -> str | None:
    body = json.dumps(payload).encode()
    return shortcoming(path, body, status, is_embedded=is_embedded)


@pytest.mark.parametrize(
    ("path", "status", "payload", "said"),
    [
        (CHAT, 200, {"tools": [TOOL]}, "tools"),
        (CHAT, 200, {"functions": [TOOL["function"]]}, "tools"),
        (RESPONSES, 200, {"tools": [{"type": "image_generation"}]}, "tools"),
        (CHAT, 500, {"messages": [{"role": "user", "content": [IMAGE]}]}, "pictures"),
        (RESPONSES, 500, {"input": [{"role": "user", "content": [INPUT_IMAGE]}]}, "pictures"),
        (RESPONSES, 400, {"previous_response_id": "resp_1"}, "previous_response_id"),
        (RESPONSES, 200, {"conversation": "conv_1"}, "conversations"),
        ("/images/generations", 404, {"prompt": "a cat"}, "/images/generations"),
        ("/audio/transcriptions", 501, {}, "/audio/transcriptions"),
    ],
)
def test_what_a_request_asks_in_vain_is_named(
    path: str, status: int, payload: dict[str, Any], said: str
) -> None:
    assert said in (asked(path, status, **payload) or "")


@pytest.mark.parametrize(
    ("path", "status", "payload"),
    [
        (CHAT, 200, {"messages": [{"role": "user", "content": 'say "tools"'}]}),
        (CHAT, 200, {"tools": []}),
        (CHAT, 400, {"messages": []}),
        (RESPONSES, 200, {"previous_response_id": None}),
        ("/embeddings", 200, {"input": "a"}),
    ],
)
def test_nothing_is_said_of_what_it_can_do_or_of_other_failures(
    path: str, status: int, payload: dict[str, Any]
) -> None:
    assert asked(path, status, **payload) is None


def test_another_model_may_call_tools() -> None:
    assert asked(CHAT, 200, is_embedded=False, tools=[TOOL]) is None


@pytest.mark.parametrize("body", [None, b"", b'"tools" {', b'["tools"]', b"\xff"])
def test_a_body_that_is_no_json_object_is_passed_over(body: bytes | None) -> None:
    assert shortcoming(CHAT, body, 200, is_embedded=True) is None


SCRIPT = """
local client = require("openai").new()
local messages = { { role = "user", content = "Say hello." } }
local tool = { type = "function", ["function"] = { name = "now" } }
for _ = 1, 2 do
  print((client:chat(messages, { tools = { tool }, max_tokens = 3 })))
end
print((client:files()))
print((client:create_response("Go on.", { previous_response_id = "resp_1" })))
"""


@pytest.mark.model
def test_a_script_is_told_each_once_on_standard_error(model: Path) -> None:
    command = [sys.executable, "-m", "luaopenai", "run", "--local", "-e", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "200\n200\n404\n400\n")
    assert [line.partition(":")[2] for line in done.stderr.splitlines()] == [
        " the local model calls no tools: it answers as if none were given",
        " the local model has no /files: it does chats, completions, responses and embeddings",
        " the local model keeps no responses, so it knows no previous_response_id",
    ]
