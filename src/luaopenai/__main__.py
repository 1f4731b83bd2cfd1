"""Lets ``python -m luaopenai`` do what the ``luaopenai`` command does."""

from luaopenai.cli import main

if __name__ == "__main__":
    main()
