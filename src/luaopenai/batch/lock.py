"""Keeps two commands from one journal, or output: a locked file beside it names its holder."""

from __future__ import annotations

import contextlib
import os

from luaopenai.batch.options import BatchError


class JournalLock:
    """Holds the lock of a journal until ``release``, or until the process ends in any way.

    Raises ``BatchError``, which names the process, where another one holds it.
    """

    def __init__(self, journal: str) -> None:
        self._path = journal + ".lock"
        while True:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise BatchError(f"{self._path} cannot be made: {error.strerror}") from None
            try:
                _lock(self._file)
            except OSError:
                holder = os.read(self._file, 100).decode("ascii", "replace").strip()
                os.close(self._file)
                raise BatchError(
                    f"another command (process {holder or 'unknown'}) is at work on {journal}"
                ) from None
            # Who held it before may have removed the file that we have just locked.
            if self._is_in_place():
                break
            os.close(self._file)
        os.ftruncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def __enter__(self) -> JournalLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Lets others have the journal."""
        if self._file < 0:
            return
        # Where an open file cannot be removed, it stays.
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        os.close(self._file)
        self._file = -1

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(self._path))
        except FileNotFoundError:
            return False


def _lock(file: int) -> None:
    """Locks an open file, or raises ``OSError`` at once."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        # Far behind the text, so that others can read it.
        os.lseek(file, 1 << 30, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(file, 0, os.SEEK_SET)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
