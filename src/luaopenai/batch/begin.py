"""What a worker elsewhere is told: the script's text, the key and the settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from luaopenai.batch.options import Options
from luaopenai.batch.script import script_files
from luaopenai.client.servers import PROVIDERS


def what_to_do(options: Options) -> dict[str, Any]:
    """Returns what a script's worker is told first, as JSON values; the key is among it.

    Raises ``BatchError`` where the script cannot be read.
    """
    return {
        "script": options.script,
        "files": {
            name: text.decode("latin-1") for name, text in script_files(options.script).items()
        },
        "args": list(options.args),
        "concurrency": options.concurrency,
        "settings": dict(options.settings),
        "environment": environment_to_send(os.environ),
        "sandbox": options.sandbox,
        "limits": dict(options.limits),
    }


def environment_to_send(known: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that scripts may ask for: those for clients of this package."""
    keys = {provider.key_variable for provider in PROVIDERS.values()}
    return {
        name: value for name, value in known.items() if name in keys or name.startswith("OPENAI_")
    }


@contextmanager
def written(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Writes a script and its modules to a folder, which is removed at the end of ``with``.

    Yields the script's path there, and the folder with a slash. Modules are where ``require`` looks
    for their names.
    """
    script = os.path.basename(told["script"])
    with TemporaryDirectory(prefix="luaopenai-", ignore_cleanup_errors=True) as folder:
        for name, text in told["files"].items():
            own = name == told["script"]
            path = os.path.join(folder, script if own else name.replace(".", os.sep) + ".lua")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(text.encode("latin-1"))
        yield os.path.join(folder, script), folder + os.sep
