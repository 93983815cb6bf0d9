# Two commands matter: `make run` and `make test`. Both make the environment first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
BUILT := $(VENV)/.built
TESTED := $(filter-out tests/faults/ tests/__pycache__/,$(sort $(wildcard tests/*/))) tests/faults/edges tests/faults/operations
COMPILED := $(shell find streams connectors schemas -name "*.pyx" -o -name "*.pxd" -o -name "*.pxi")

.DEFAULT_GOAL := help
.PHONY: help setup run check test faults bench lint format types lock generate clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s '	'

setup: $(BUILT)  ## the environment in .venv, exactly as requirements.lock pins it

$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"cm-streams needs Python 3.11 to 3.13; $(PYTHON) is {v[0]}.{v[1]}. Name another one: make PYTHON=python3.11 ...")'
	@echo "setup, 1 of 3: an empty environment in $(VENV)"
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@echo "setup, 2 of 3: the pinned packages (half a minute; several minutes on a slow machine or line)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements.lock
	@touch $(STAMP)

$(BUILT): $(STAMP) pyproject.toml $(COMPILED)
	@echo "setup, 3 of 3: cm-streams itself, compiled where there is a C compiler (half a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation -e .
	@$(BIN)/python -c 'from streams.mapping.fields import COMPILED; COMPILED or print("setup: there is no C compiler, or no Python headers: profiles will be folded in Python, at half the speed")'
	@touch $(BUILT)
	@echo "setup: done"

lock:  ## resolve the dependencies again: requirements.lock, requirements-run.lock without development tools, and requirements-build.lock that builds the image
	@$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv
	@build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-header --output-file requirements.lock pyproject.toml
	@build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --constraint requirements.lock --output-file requirements-run.lock pyproject.toml
	@build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --constraint requirements.lock --group build --output-file requirements-build.lock

run: setup  ## everything on this machine, with a demonstration; ONCE=1 plays it to its end and checks it, FRESH=1 begins again
	@$(BIN)/cm-streams up $(if $(ONCE),--once) $(if $(DEMO),--demo) $(if $(FRESH),--fresh)

check: setup lint types  ## format, lint, types, unit and contract tests, before each commit
	@$(BIN)/pytest -n 2 --dist worksteal tests/unit tests/contract -m "not slow"

test: setup lint types  ## unit, contract, component and integration tests and the quick fault tests, against a real broker; JOBS=3: three at a time
	@$(BIN)/pytest -n $(or $(JOBS),2) --dist worksteal $(TESTED) -m "not long_fault" --durations 30 --durations-min 10

faults: setup  ## every fault with fifty kills and more, thousands of stories, 500 requests for each operation; FAULT=12 RUNS=20 SEED=7 plays one
	@FAULT=$(or $(FAULT),all) FAULT_KILLS=$(or $(RUNS),50) FAULT_EXAMPLES=2400 FAULT_API_EXAMPLES=500 $(if $(SEED),FAULT_SEED=$(SEED)) \
		$(BIN)/pytest -n 2 --dist worksteal $(filter-out tests/__pycache__/,$(sort $(wildcard tests/*/)))

bench: setup  ## measure against peers, into benchmarks/results.json (QUICK=1: under three minutes, no peers in Java)
	@$(BIN)/python -m benchmarks.run $(if $(QUICK),--quick)

generate: setup  ## what is generated from code: schemas, AsyncAPI, the README's tables
	@$(BIN)/python -m schemas.export && $(BIN)/python -m streams.readme

format: setup  ## ruff: format and repair
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: setup  ## ruff: format and rules
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: setup  ## mypy, strict
	@$(BIN)/mypy

clean:  ## everything that was made here, the environment included
	rm -rf $(VENV) .cache .data build *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f $(patsubst %.pyx,%.c,$(filter %.pyx,$(COMPILED))) $(patsubst %.pyx,%.*.so,$(filter %.pyx,$(COMPILED)))
