"""A model that writes code and has it run, safely: run it with OPENAI_BASE_URL or a key set.

    python examples/code_tool.py [QUESTION]

The code is Lua. It runs in a process of its own without files and network, for a second at most,
and calls the one function that this program gives it. When it fails, the model is told the line.
"""

import sys

from luaopenai import Limits, OpenAI, OpenAIError, PluginHost, ToolCall

SALES = {"apples": [120, 80, 95], "pears": [30, 45, 60], "plums": [5, 0, 12]}
QUESTION = "Which fruit has the highest average of sales, and what is it, to two places?"


def sales(fruit: str = "") -> "list[float] | list[str]":
    """Returns a fruit's sales by month; without a name, the names of all fruits."""
    return SALES[fruit] if fruit else sorted(SALES)


def main() -> None:
    """Answer a question by code."""
    question = " ".join(sys.argv[1:]) or QUESTION
    with OpenAI() as client, PluginHost(functions={"sales": sales}, limits=Limits(1, 32)) as host:
        chat = client.new_chat_session()
        try:
            print(chat.run(question, tools=[host.code_tool()], on_result=show).text)
        except OpenAIError as error:
            sys.exit(f"no answer: {error}")


def show(call: ToolCall) -> None:
    """Print the code and what came of it."""
    print(call.arguments["code"] if isinstance(call.arguments, dict) else call.arguments)
    print(f"→ {call.error or call.result}")


if __name__ == "__main__":
    main()
