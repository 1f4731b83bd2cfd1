"""A keeper of Markdown notes with plugins in Lua: run it with OPENAI_BASE_URL or a key set.

    python examples/notes.py [FOLDER]

FOLDER holds the notes, *.md; without it there are two of its own. Each plugin in plugins/ that
takes notes is given every one, and what it returns is shown. A plugin that fails or takes too much
is passed over.
"""

import sys
from pathlib import Path

from luaopenai import LimitExceeded, Limits, LuaError, OpenAI, PluginHost

PLUGINS = Path(__file__).parent / "plugins"
NOTES = {
    "Paris": "Paris is the capital of France. It lies on the river Seine. #travel #france",
    "Trip": "We go to [[Paris]] in May, and perhaps to [[Lyon]]. #Travel #todo",
}


def main() -> None:
    """Show every note, and what the plugins say about it."""
    notes = NOTES
    if len(sys.argv) > 1:
        notes = {path.stem: path.read_text("utf-8") for path in Path(sys.argv[1]).glob("*.md")}
    limits = Limits(seconds=1, memory_mb=32, requests=1, tokens=2000)
    functions = {"has_note": notes.__contains__}
    with OpenAI() as client, PluginHost(client, functions, limits, output=show) as host:
        plugins = [one for one in host.load_folder(PLUGINS) if "on_note" in one.exports]
        for title, text in sorted(notes.items()):
            print(f"# {title}")
            for plugin in plugins:
                try:
                    found = plugin.call("on_note", {"title": title, "text": text})
                except (LuaError, LimitExceeded) as error:
                    print(f"  {plugin.name} failed: {error}")
                    continue
                for name, value in found.items():
                    print(f"  {name}: {value}")
        for plugin in plugins:
            used = plugin.usage
            print(f"{plugin.name}: {used.requests} requests, {used.tokens} tokens")


def show(plugin: str, text: str) -> None:
    """Print what a plugin says."""
    print(f"  {plugin} says: {text.rstrip()}")


if __name__ == "__main__":
    main()
