# `make run` opens the dashboard, `make check` is for daily work, `make test` runs every check.
# `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8501
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -q
TWO = -n 2 --dist loadfile --no-loadscope-reorder
EACH = -n 2 --dist load --maxschedchunk 2  # browser tests share nothing but their server
STAGES = MAKE="$(MAKE)" sh tests/stages.sh

unexport PYTHONDONTWRITEBYTECODE  # pytest's own compilation of the tests takes longer than it looks

.PHONY: run check test lint fast unit browser thorough instructions bench help clean

run: $(VENV)/.run  ## open the dashboard (PORT=8501)
	$(BIN)/python app.py --server.port $(PORT)

check: $(VENV)/.test  ## lint, types and the fast tests: less than 90 seconds
	+@$(STAGES) lint fast

test: $(VENV)/.test  ## every check: lint, types, all tests, those in a browser too
	+@$(STAGES) lint unit browser

lint: $(VENV)/.test  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fast: $(VENV)/.test  ## tests that take seconds
	$(PYTEST) $(TWO) -m "not browser and not slow"

unit: $(VENV)/.test  ## all tests that need no browser
	$(PYTEST) $(TWO) -m "not browser"

browser: $(VENV)/.test  ## tests in a real Chromium
	@sh tests/e2e/chromium.sh
	$(PYTEST) $(EACH) -m browser tests/e2e

thorough: $(VENV)/.test  ## every check, on larger samples: an hour or more
	+@TEST_THOROUGH=1 $(STAGES) lint unit browser

instructions: $(VENV)/.test  ## recompute shipped numbers with each instruction set of this processor
	$(BIN)/python -m tests.instruction_sets

bench: $(VENV)/.run  ## speed, against a plain forward pass and the papers' way
	$(BIN)/python -m benchmarks.protocol

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /\1:/p' Makefile | while IFS=: read -r name text; do \
		printf '%-14s%s\n' "$$name" "$$text"; done

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.test: requirements.txt tests/requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@ $(VENV)/.run

clean:  ## remove the virtual environment and the caches of the tools
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
