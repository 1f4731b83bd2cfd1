"""What several test files share, besides fixtures."""

from __future__ import annotations

import re


def exactly(text: str) -> str:
    """A pattern for ``pytest.raises`` that matches this text alone."""
    return rf"^{re.escape(text)}\Z"
