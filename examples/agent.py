"""An agent whose tools are plugins in Lua: run it with OPENAI_BASE_URL or a key set.

    python examples/agent.py [QUESTION]

Each Lua file in plugins/ may offer tools. They run behind walls: a tool gets at the notes through
functions of this program, and at nothing else. Change a file, or add one, between two questions:
the next has the new tools. Without QUESTION it takes one from each line of its input.
"""

import sys
from pathlib import Path

from luaopenai import Limits, OpenAI, OpenAIError, PluginHost, ToolCall

PLUGINS = Path(__file__).parent / "plugins"
NOTES = {
    "Paris": "Paris is the capital of France. It lies on the river Seine. #travel #france",
    "Trip": "We go to [[Paris]] in May, and perhaps to [[Lyon]]. #Travel #todo",
}
TASK = "You answer questions about the user's notes. Look into them with your tools first."


def main() -> None:
    """Answer one question, or one after the other."""
    functions = {"titles": lambda: sorted(NOTES), "read": NOTES.get, "has_note": NOTES.__contains__}
    limits = Limits(seconds=1, memory_mb=32, requests=1, tokens=2000)
    with OpenAI() as client, PluginHost(client, functions, limits) as host:
        host.load_folder(PLUGINS, watch=True)
        chat = client.new_chat_session(messages=[{"role": "system", "content": TASK}])
        for question in sys.argv[1:] or map(str.rstrip, sys.stdin):
            host.refresh()
            try:
                print(chat.run(question, tools=host.tools(), on_result=show).text)
            except OpenAIError as error:
                sys.exit(f"no answer: {error}")


def show(call: ToolCall) -> None:
    """Print a call and what came of it, in a dim line."""
    print(f"→ {call.name} {call.arguments} = {call.error or call.result}")


if __name__ == "__main__":
    main()
