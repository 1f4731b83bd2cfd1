"""Tells the format of a file of rows or results by its name."""

from __future__ import annotations

import os
from typing import Literal

from luaopenai.batch.options import CODE_USAGE, INPUT_FORMATS, OUTPUT_FORMATS, BatchError

_BY_EXTENSION = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".md": "text",
}
_FORMATS = {"input": INPUT_FORMATS, "output": OUTPUT_FORMATS}


def find_format(path: str, given: str | None, kind: Literal["input", "output"]) -> str:
    """Returns the format of a file: the one that is given, or the one that its extension tells.

    Standard input, and an output that is a folder of parts, are JSON Lines where none is given.
    Raises ``BatchError`` where there is no such format, or none to be told.
    """
    formats = _FORMATS[kind]
    if given is not None:
        if given not in formats:
            text = f"no {kind} format {given!r}; there are {', '.join(formats)}"
            raise BatchError(text, CODE_USAGE)
        return given
    if path == "-" or path.endswith(("/", os.sep)):
        return "jsonl"
    found = _BY_EXTENSION.get(os.path.splitext(path)[1].lower())
    if found not in formats:
        text = f"the format of {path} is not clear from its name; name it with --{kind}-format"
        raise BatchError(f"{text} {'|'.join(formats)}", CODE_USAGE)
    return found
