"""Reads the options of ``luaopenai run`` and ``luaopenai-lua``.

By hand, for two reasons: everything after the script is the script's, whatever it looks like,
and argparse alone costs as much as the rest of a start.
"""

from __future__ import annotations


class UsageError(Exception):
    """The command line is wrong; the text says how."""


class Options:
    """The options and arguments of a command line.

    Attributes:
        steps: ``("-e", CODE)`` and ``("-l", MODULE)`` in their order.
        script: the script's path, ``-`` for standard input, None for none.
        args: the script's arguments.
        interactive: ``-i``.
        version: ``-v`` or ``--version``.
        help: ``-h`` or ``--help``.
        values: the long options that take a value, by name; the last where there are several.
        repeated: all values of each.
        flags: the long options that take none.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []
        self.script: str | None = None
        self.args: list[str] = []
        self.interactive = False
        self.version = False
        self.help = False
        self.values: dict[str, str] = {}
        self.repeated: dict[str, list[str]] = {}
        self.flags: set[str] = set()


def parse(argv: list[str], long_values: frozenset[str], long_flags: frozenset[str]) -> Options:
    """Reads the options before the script; raises ``UsageError``."""
    options = Options()
    rest = list(argv)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            _long(options, word, rest, long_values, long_flags)
        else:
            _short(options, word, rest)
    if rest:
        options.script, options.args = rest[0], rest[1:]
    return options


def _long(
    options: Options,
    word: str,
    rest: list[str],
    long_values: frozenset[str],
    long_flags: frozenset[str],
) -> None:
    name, equals, value = word.partition("=")
    if name == "--version":
        options.version = True
    elif name == "--help":
        options.help = True
    elif name in long_values:
        if not equals and not rest:
            raise UsageError(f"{name} needs a value")
        options.values[name] = value if equals else rest.pop(0)
        options.repeated.setdefault(name, []).append(options.values[name])
    elif name in long_flags and not equals:
        options.flags.add(name)
    else:
        raise UsageError(f"unknown option {word}")


def _short(options: Options, word: str, rest: list[str]) -> None:
    letter, value = word[:2], word[2:]
    if letter in ("-e", "-l"):
        if not value and not rest:
            raise UsageError(f"{letter} needs a value")
        options.steps.append((letter, value or rest.pop(0)))
    elif word == "-i":
        options.interactive = True
    elif word == "-v":
        options.version = True
    elif word == "-h":
        options.help = True
    else:
        raise UsageError(f"unknown option {word}")
