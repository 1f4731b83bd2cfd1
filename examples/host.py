"""A Python program that lets a Lua script do its work: run it with OPENAI_BASE_URL or a key set."""

from luaopenai import LuaError, OpenAI, Runtime

SCRIPT = """
local openai = require("openai")
local client = openai.new()

return {
  shout = function(text) return text:upper() .. "!" end,
  ask = function(question)
    local chat = client:new_chat_session({ temperature = 0 })
    return (assert(chat:send(question)))
  end,
}
"""


def main() -> None:
    """Call two functions that a script returns, and show what a mistake in Lua looks like."""
    with OpenAI() as client:
        runtime = Runtime(client)
        script = runtime.run_string(SCRIPT, "script.lua")
        print(script["shout"]("called from python"))
        print(script["ask"]("What is the capital of Spain? Answer in one sentence."))
        try:
            script["shout"](None)
        except LuaError as error:
            print(f"line {error.line} of {error.chunk} failed: {error.message}")


if __name__ == "__main__":
    main()
