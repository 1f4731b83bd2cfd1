"""The files that plugins are loaded from, and the folders that are watched for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from luaopenai.host.faults import plugin_error

if TYPE_CHECKING:
    from luaopenai.bridge.errors import LuaError
    from luaopenai.host.faults import LimitExceeded

Stamp = tuple[int, int, int]
"""Tells a changed file from others: time of the change in nanoseconds, size in bytes, inode."""


class PluginFile:
    """One plugin's file.

    Attributes:
        path: where it is.
        folder: the folder that it was loaded with; None for a file that was loaded alone.
        read_as: its stamp when it was last read.
    """

    def __init__(self, path: Path, folder: Folder | None = None) -> None:
        self.path = path
        self.folder = folder
        self.read_as: Stamp | None = None

    def read(self) -> bytes:
        """Returns the source; raises ``LuaError`` when it cannot be read."""
        # Before it is read: what changes meanwhile is read again.
        self.read_as = self.stamp()
        try:
            return self.path.read_bytes()
        except OSError as error:
            what = f"cannot be read: {self.path}: {error.strerror}"
            raise plugin_error(self.path.stem, what) from None

    def has_changed(self) -> bool:
        """Returns whether the file is another than the one that was read last."""
        stamp = self.stamp()
        return stamp is not None and stamp != self.read_as

    def stamp(self) -> Stamp | None:
        """Returns the file's stamp; None where there is no file."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


class Folder:
    """A folder of plugins.

    Attributes:
        on_error: is given the path and the error of a file that cannot be loaded.
        is_watched: whether changes in it are followed.
    """

    def __init__(
        self,
        path: Path,
        on_error: Callable[[Path, LuaError | LimitExceeded], object],
        *,
        is_watched: bool,
    ) -> None:
        self.on_error = on_error
        self.is_watched = is_watched
        self._path = path
        self._tried: dict[Path, Stamp | None] = {}
        """Files that were loaded, or could not be, as they were then."""

    def find(self) -> list[Path]:
        """Returns its Lua files in the order of their names; raises ``OSError``."""
        lua = [path for path in self._path.iterdir() if path.suffix == ".lua" and path.is_file()]
        return sorted(lua)

    def is_worth_trying(self, file: PluginFile) -> bool:
        """Returns whether a file was never loaded in its present state."""
        return file.path not in self._tried or self._tried[file.path] != file.stamp()

    def note_tried(self, file: PluginFile) -> None:
        """Remembers a file's state when it was loaded, or could not be."""
        self._tried[file.path] = file.read_as
