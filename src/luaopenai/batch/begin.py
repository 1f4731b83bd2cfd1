"""Builds the first message to a worker elsewhere: the script's text, the key and the settings."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from luaopenai.batch.options import BatchError, Options
from luaopenai.batch.script import script_files
from luaopenai.client.servers import PROVIDERS


def what_to_do(options: Options, function: Callable[[Any], Any] | None = None) -> dict[str, Any]:
    """Returns what a worker is told first, as JSON values; the key is among it.

    Args:
        options: the job's.
        function: runs rows in the place of the script.

    Raises ``BatchError`` where the script cannot be read, or the function not be sent.
    """
    files = {} if function is not None else script_files(options.script)
    return {
        "script": options.script,
        "function": None if function is None else _pickled(function),
        "files": {name: text.decode("latin-1") for name, text in files.items()},
        "args": list(options.args),
        "concurrency": options.concurrency,
        "settings": {**_settings_of(os.environ), **options.settings},
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


def _settings_of(known: Mapping[str, str]) -> dict[str, str]:
    """Returns what the environment says of the server, which a worker's own does not."""
    names = {"base_url": "OPENAI_BASE_URL", "model": "OPENAI_MODEL"}
    return {setting: known[name] for setting, name in names.items() if known.get(name)}


def _pickled(function: Callable[[Any], Any]) -> str:
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(function)
    except Exception as error:
        raise BatchError(f"the function cannot be sent to workers: {error}") from None
    return b64encode(data).decode()


@contextmanager
def written(begin: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Writes a script and its modules to a folder, which is removed at the end of ``with``.

    Yields the script's path there, and the folder with a slash. Modules are where ``require`` looks
    for their names.
    """
    script = os.path.basename(begin["script"])
    with TemporaryDirectory(prefix="luaopenai-", ignore_cleanup_errors=True) as folder:
        for name, text in begin["files"].items():
            own = name == begin["script"]
            path = os.path.join(folder, script if own else name.replace(".", os.sep) + ".lua")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(text.encode("latin-1"))
        yield os.path.join(folder, script), folder + os.sep
