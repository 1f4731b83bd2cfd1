"""Finds the files that a script is made of: its own, and the modules that it names in `require`."""

from __future__ import annotations

import os
import re
from hashlib import blake2b

from luaopenai.batch.options import BatchError

_REQUIRE = re.compile(rb"""\brequire\s*\(?\s*(?:"([\w./-]+)"|'([\w./-]+)'|\[\[([\w./-]+)\]\])""")


def script_files(script: str) -> dict[str, bytes]:
    """Returns the text of a script, under its path, and those of its modules, under their names.

    Modules are looked for beside the script and in the current folder, where those of a project
    are; installed ones are not followed. A name that is put together as the script runs is not
    found. Raises ``BatchError`` where the script cannot be read.
    """
    try:
        with open(script, "rb") as file:
            text = file.read()
    except OSError as error:
        raise BatchError(f"{script} cannot be read: {error.strerror}") from None
    folders = [os.path.dirname(script) or ".", "."]
    found = {script: text}
    waiting = [text]
    while waiting:
        for groups in _REQUIRE.findall(waiting.pop()):
            name = b"".join(groups).decode()
            module = None if name in found else _read_module(name, folders)
            if module is not None:
                found[name] = module
                waiting.append(module)
    return found


def _read_module(name: str, folders: list[str]) -> bytes | None:
    inner = name.replace(".", os.sep)
    for folder in folders:
        for path in (f"{inner}.lua", os.path.join(inner, "init.lua")):
            try:
                with open(os.path.join(folder, path), "rb") as file:
                    return file.read()
            except OSError:
                continue
    return None


def digests(files: dict[str, bytes]) -> dict[str, str]:
    """Returns a digest of each text under its name; a script's folder does not count."""
    return {
        os.path.basename(name): blake2b(text, digest_size=16).hexdigest()
        for name, text in files.items()
    }
