# MSaaS: every command does its own set-up. `make help` lists them.
PYTHON ?= python3
# Another index for torch, for example https://download.pytorch.org/whl/cpu. Empty: the default one.
TORCH_INDEX ?=
# Tests that run at once.
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PARTS := common rest worker keeper logs local
STAMP := $(VENV)/.msaas-setup
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-fast train-test check attack bench chaos cluster-test clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with every part, torch first, under constraints.txt

$(STAMP): constraints.txt requirements-dev.txt $(PARTS:%=%/pyproject.toml)
	$(PYTHON) -c 'import sys; sys.exit("MSaaS needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -r requirements-dev.txt $(PARTS:%=-e ./%)
	touch $@

up: $(STAMP) ## the local stack in the foreground, with WORKERS=n PORT=p DEMUCS_MODEL=m MODEL_FALLBACK=starter
	@exec $(BIN)/python -m msaas_local

demo: $(STAMP) ## separate the songs of data/ on a local stack, stems under output/
	@exec $(BIN)/python -m msaas_local demo

test: $(STAMP) ## all tests but the long ones, JOBS at a time, and the slowest 20
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations=20 -m "not alone and not chaos and not cluster and not bench"
	$(BIN)/python -m pytest -m "alone and not chaos"

test-fast: $(STAMP) ## the tests that start no process and no server, in less than a minute
	$(BIN)/python -m pytest -n $(JOBS) -m "not server and not process and not slow and not alone and not chaos and not cluster and not bench"

train-test: $(STAMP) ## the tests of training/, with its own requirements
	$(BIN)/pip install --quiet -c constraints.txt -e ./training
	$(BIN)/python -m pytest -n $(JOBS) training/tests

check: $(STAMP) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=training/src $(BIN)/lint-imports

chaos: $(STAMP) ## the long fault tests, with the table of docs/reliability.md
	$(BIN)/python -m pytest -m "(chaos or fault) and not cluster and not bench"

attack: $(STAMP) ## hostile clients against the API, with their figures
	$(BIN)/python -m pytest -m "not cluster and not bench" tests/attacks

bench: $(STAMP) ## speed and memory against demucs and the goals, with BENCH="--long --json FILE"
	$(BIN)/python -m bench $(BENCH)

cluster-test: $(STAMP) ## against the cluster KUBECONFIG points to
	$(BIN)/python -m pytest -m cluster tests/cluster

clean: ## remove build outputs and the local state
	rm -rf $(VENV) .msaas output build .coverage .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
