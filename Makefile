# One command to set up, one to check, one to test. Everything lands in .venv; nothing is installed
# elsewhere. Needs Python 3.10 or newer with venv, and make.

PYTHON ?= $(shell command -v python3 || command -v python)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install -c constraints.txt

# A stamp says what is in .venv; it is older than these when they changed.
INPUTS := pyproject.toml constraints.txt
RUNTIME := $(VENV)/.runtime-installed
TOOLS := $(VENV)/.tools-installed

# Tests wait for servers more than they compute, but two cores are soon full.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 3); echo $$((n + 1)))
PYTEST ?= -n $(WORKERS) --maxprocesses=4 --dist=loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test soak lint format bench pictures docs clean

help:
	@echo "make demo    the main job, shown against a server on this machine"
	@echo "make test    every test; says what it skips"
	@echo "make soak    random sequences of syncing, for SIDECAR_SOAK seconds (600)"
	@echo "make lint    formatter, linter, types, Lua syntax"
	@echo "make bench   the benchmarks"
	@echo "make pictures the screenshots of docs/images, where code-server is"
	@echo "make docs    generated files brought up to date"

demo: $(RUNTIME)
	@$(BIN)/sidecar demo

test: $(TOOLS)
	$(BIN)/python -m pytest $(PYTEST)

soak: $(TOOLS)
	SIDECAR_SOAK=$${SIDECAR_SOAK:-600} $(BIN)/python -m pytest -s tests/sync/test_model.py

lint: $(TOOLS)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@if [ -x editors/vscode/node_modules/.bin/tsc ]; then cd editors/vscode && npm --silent run check; \
	else echo "TypeScript is not checked: no \`npm install\` in editors/vscode yet"; fi
	@if nvim=$$(command -v $(BIN)/nvim || command -v nvim); then \
	  $$nvim --clean -l .ci/syntax.lua editors/nvim; \
	else echo "Lua syntax is not checked: there is no Neovim here"; fi

format: $(TOOLS)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(TOOLS)
	$(BIN)/python -m bench

pictures: $(TOOLS)
	SIDECAR_SCREENSHOTS=$$(mktemp -d) && export SIDECAR_SCREENSHOTS && \
	  $(BIN)/python -m pytest tests/editors/test_vscode.py -k breakpoint && \
	  cp "$$SIDECAR_SCREENSHOTS/debug.png" docs/images/vscode.png

docs: $(TOOLS)
	$(BIN)/python -m protocol.generate

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "sidecar needs Python 3.10 or newer; $(PYTHON) is older. Name another: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): $(INPUTS) | $(BIN)/python
	@echo "Installing the sidecar and what it needs into $(VENV)"
	@$(PIP) --editable .
	@touch $@

$(TOOLS): $(RUNTIME)
	@echo "Installing the tools of tests and checks into $(VENV)"
	@$(PIP) --editable '.[rolling,dev]'
	@touch $@
