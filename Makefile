# What developers do, each from a fresh checkout: run, test, lint, format, bench, clean.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: run example-plugins test lint format bench clean

run: $(READY)
	@$(BIN)/luaopenai model pull
	$(BIN)/luaopenai run --local examples/session.lua

example-plugins: $(READY)
	@$(BIN)/luaopenai model pull
	$(BIN)/python examples/locally.py examples/notes.py

test: $(READY)
	@sh tests/support/lua_tool.sh busted $(BIN)/luaopenai test --version
	@sh tests/support/lua_tool.sh rocks $(BIN)/luaopenai-lua -l lfs -l lpeg -l mime.core -e 'require("cjson").new()' \
	  || echo "going on without: what they are needed for is skipped"
	$(BIN)/python -m pytest

lint: $(READY)
	@sh tests/support/lua_tool.sh luacheck luacheck --version
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@PATH="$$PATH:$(CURDIR)/lua_modules/bin" luacheck --quiet .

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY)
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks $(CASES)

clean:
	rm -rf $(VENV) lua_modules build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[local]" --group dev
	touch $@
