# Everything goes into .venv; nothing outside this folder is changed. `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help install demo serve test soak check format bench kafka kafka-stop clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CONTRIB := $(wildcard contrib_plugins/*/pyproject.toml)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation
# The first Python that is new enough; PYTHON=/path/to/python overrides it.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
ARGS ?=
# The hook packages of contrib_plugins/ are installed here to be tested; a server has them only when it asks.
BARE := DISPATCHER_HOOKS_INSTALLED=$${DISPATCHER_HOOKS_INSTALLED:-false}
BROKERS ?= 1

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## Make .venv and install everything into it

$(READY): pyproject.toml sdk/pyproject.toml constraints.txt $(CONTRIB)
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found: install one, or say make PYTHON=/path/to/python3"; exit 1; }
	@echo "Installing into $(VENV), once; this takes about a minute"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment: install its venv module"; exit 1; }
	@$(PIP) setuptools
	@$(PIP) --editable ./sdk --editable '.[dev]' $(foreach file,$(CONTRIB),--editable ./$(dir $(file)))
	@if command -v c++ >/dev/null 2>&1; then $(PIP) --use-pep517 'py-tlsh' >$(VENV)/tlsh.log 2>&1 \
		|| echo "TLSH left out: it did not compile (see $(VENV)/tlsh.log)"; \
	else echo "TLSH left out: there is no C++ compiler (c++) to build it with"; fi
	@touch $@

demo: $(READY)  ## See it work: server, two plugins, a folder of real files (ARGS=--help for more)
	@$(BARE) $(BIN)/dispatcher demo $(ARGS)

serve: $(READY)  ## Run the server alone, on http://localhost:8111 unless DISPATCHER_LISTEN says otherwise
	@$(BARE) $(BIN)/dispatcher serve

test: $(READY)  ## Run every test (ARGS="tests/unit -x" for some)
	@folder=$$(mktemp -d) && $(BIN)/python -m pytest --basetemp $$folder/tests $(ARGS); \
	status=$$?; rm -rf $$folder; exit $$status

soak: $(READY)  ## Kill dispatchers and brokers for ten minutes (ARGS="--kills 50 --outage 120"; LEDGER_SEED=N repeats)
	@folder=$$(mktemp -d) && $(BIN)/python -m pytest tests/e2e/soak.py --basetemp $$folder/soak $(ARGS); \
	status=$$?; rm -rf $$folder; exit $$status

check: $(READY)  ## Lint, format, types and who may import whom
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY)  ## Put code into the house's format
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format

bench: $(READY)  ## Measure rates, CPU and memory of the server; ARGS="--log both" on Kafka too, ARGS=--help for more
	@$(BIN)/python -m tests.bench.run $(ARGS)

kafka: $(READY)  ## Start a real Kafka broker for trying things (BROKERS=3 for three); needs Java and Maven
	@$(BIN)/python -m tests.kafka start $(BROKERS)

kafka-stop: $(READY)  ## Stop the broker of `make kafka` and remove its data
	@$(BIN)/python -m tests.kafka stop

clean:  ## Remove .venv and caches, never data
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .bench
