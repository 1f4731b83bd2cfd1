"""The lock of a journal is one command's, and leaves nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luaopenai.batch import lock as lock_module
from luaopenai.batch.lock import JournalLock
from luaopenai.batch.options import BatchError


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = str(tmp_path / "j")
    locks = 0
    lock_file = lock_module._lock

    def lock(file: int) -> None:
        nonlocal locks
        locks += 1
        lock_file(file)
        if locks == 1:
            # As the holder before does when it ends.
            os.unlink(f"{journal}.lock")

    monkeypatch.setattr(lock_module, "_lock", lock)
    held = JournalLock(journal)
    with pytest.raises(BatchError, match="another command"):
        JournalLock(journal)
    held.release()


def test_a_lock_is_removed_and_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        JournalLock(str(tmp_path / "j")).release()
    assert os.listdir(tmp_path) == []
