"""What several test files share, besides fixtures."""

from __future__ import annotations

import re

API_KEY = "sk-test-0123456789"
"""The key of clients that send to servers of the tests' own."""


def exactly(text: str) -> str:
    """A pattern for ``pytest.raises`` that matches this text alone."""
    return rf"^{re.escape(text)}\Z"
