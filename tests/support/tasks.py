"""What tests of Lua's tasks share: a script's beginning, and an event loop that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

CHATTING = """
local openai = require("openai")
local client = openai.new()
local function chat(model, said)
  return (assert(client:new_chat_session({ model = model }):send(said)))
end
local function stream(model)
  client:chat({ { role = "user", content = "s" } }, { model = model, stream = true }, print)
end
"""
"""How a script begins that holds chats with a crowd server, whole and as streams."""


async def ticking(work: Callable[[], Any]) -> tuple[Any, int]:
    """What awaited work comes to, and how often the loop got its turn meanwhile."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticker = asyncio.ensure_future(tick())
    result = await work()
    ticker.cancel()
    return result, ticks
