# What developers do, each from a fresh checkout: run, map, test, fuzz, lint, format, stubs, bench, clean.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
READY_DEV := $(VENV)/ready-dev
BRING := sh scripts/bring.sh
BUSTED := $(BIN)/luaopenai test --version
ROCKS := $(BIN)/luaopenai-lua -l lfs -l lpeg -l mime.core -e 'require("cjson").new()'
LUACHECK := $(BIN)/luaopenai-lua scripts/luacheck.lua

# Where scripts/bring.sh puts a library that llama.cpp needs and the system lacks.
export LD_LIBRARY_PATH := $(CURDIR)/$(VENV)/lib$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))

# Tests start a thousand Pythons: with what was compiled kept, each is there in half the time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run map example-plugins model tools test fuzz lint format stubs bench clean

run: model
	$(BIN)/luaopenai run --local examples/session.lua

map: model
	@mkdir -p build
	$(BIN)/luaopenai map --local --restart examples/map/classify.lua examples/map/tickets.jsonl -o build/labelled.jsonl --workers 1
	@cat build/labelled.jsonl

example-plugins: model
	$(BIN)/python examples/locally.py examples/notes.py

model: $(READY)
	@$(BRING) openmp $(BIN)/python -c "import xllamacpp"
	@$(BIN)/luaopenai model pull

test: $(READY_DEV)
	@$(BRING) openmp $(BIN)/python -c "import xllamacpp" || echo "going on without the tests of the embedded model"
	@$(BRING) busted $(BUSTED) || echo "going on without busted: the specs in tests/lua are skipped"
	@$(BRING) rocks $(ROCKS) || echo "going on without rocks: what is compared with them is skipped"
	$(BIN)/python -m pytest -rs --numprocesses auto --dist loadfile --no-loadscope-reorder

# Attacks at random on plugins' walls; `make fuzz SECONDS=300 SEED=7`.
fuzz: $(READY_DEV)
	cd tests && $(CURDIR)/$(BIN)/python -m fuzz --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

lint: $(READY_DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@if $(BRING) luacheck $(LUACHECK) --version; \
	  then echo "$(LUACHECK) --quiet ."; $(LUACHECK) --quiet .; \
	  else echo "going on without luacheck: no Lua file was checked"; fi

# Fails where `make test` and `make lint` would skip something.
tools: $(READY_DEV)
	@$(BRING) openmp $(BIN)/python -c "import xllamacpp"
	@$(BRING) busted $(BUSTED)
	@$(BRING) rocks $(ROCKS)
	@$(BRING) luacheck $(LUACHECK) --version

format: $(READY_DEV)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# What is made from the table of endpoints: types for editors, and its table in docs/reference.md.
stubs: $(READY_DEV)
	$(BIN)/python -m tools.stubs

bench: $(READY_DEV)
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks $(CASES)

clean:
	rm -rf $(VENV) lua_modules build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@echo "making a Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "installing luaopenai and llama.cpp into it (20 MB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[local]"
	@touch $@

$(READY_DEV): $(READY)
	@echo "installing the developers' tools into $(VENV) (130 MB)"
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@
