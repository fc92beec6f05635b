# Every target works alone on a fresh clone: the first one that needs it makes .venv and installs kiromi there.
#   make test PYTHON=python3.12      another Python (only used to make .venv)
#   make test SEED=1763689000        the random order and the examples of an earlier run
#   make test ARGS='-k scheme -x'    more arguments for pytest

PYTHON ?= python3
WORKERS ?= auto
ARGS ?=
ifndef SEED
SEED := $(shell date +%s)
endif

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Where it is set, every program that the tests start would compile all of kiromi anew.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: demo test check bench clean

demo: $(VENV)/.installed
	$(BIN)/kiromi demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --randomly-seed=$(SEED) --hypothesis-seed=$(SEED) --cov $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_docs.py

bench: $(VENV)/.installed-dev
	$(BIN)/python -m tools.bench $(ARGS)

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis
	rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find kiromi tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the last thing that venv writes, so a venv that was cut short is made again.
$(BIN)/pip:
	$(PYTHON) tools/check_environment.py
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/pip
	@echo "Installing kiromi into $(VENV); the first time hnswlib is compiled, for about half a minute."
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/pip
	@echo "Installing kiromi and its tools into $(VENV); the first time hnswlib is compiled, for about half a minute."
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.installed
