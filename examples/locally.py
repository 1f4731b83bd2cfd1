"""Runs a Python program on the embedded model: python examples/locally.py PROGRAM.py [ARGS...]."""

import os
import runpy
import sys

from luaopenai.local import LocalServer


def main() -> None:
    """Serve the model, and run the program with its address."""
    del sys.argv[0]
    with LocalServer() as server:
        os.environ["OPENAI_BASE_URL"] = server.base_url
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
