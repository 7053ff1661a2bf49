# MSaaS: every command does its own set-up. `make help` lists them.
PYTHON ?= python3
# The index of torch without CUDA. Empty: torch with CUDA, several GB, from the index of pip.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Tests that run at once. Many wait: three keep two cores busy.
JOBS ?= 3
VENV := .venv
BIN := $(VENV)/bin
# The tools of lock, audit and sbom, apart from the packages they look at.
TOOLS := $(VENV)/tools
WHEELS ?= build/wheels
# Every file of a wheel is known by its SHA-256, and nothing is built from source but the parts themselves.
LOCKED := install --quiet --no-deps --only-binary :all: --require-hashes
PARTS := common catalogue rest worker keeper logs local client
IMAGES := rest worker worker-gpu keeper logs
AUDITED := rest worker keeper logs torch-cuda dev training
STAMP := $(VENV)/.msaas-setup
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start services some hundred times: each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup web demo up test test-fast test-long train-test check attack fuzz bench chaos cluster-test lock audit sbom digests wheels clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with every part and the packages of locks/dev.txt

$(STAMP): locks/dev.txt locks/torch-cpu.txt locks/torch-cuda.txt $(PARTS:%=%/pyproject.toml)
	$(PYTHON) -c 'import sys; sys.exit("MSaaS needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip $(LOCKED) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX) -r locks/torch-cpu.txt,-r locks/torch-cuda.txt)
	$(BIN)/pip $(LOCKED) -r locks/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation $(PARTS:%=-e ./%)
	touch $@

# The page that `rest` serves. Its packages are pinned with their hashes in web/package-lock.json.
PAGE := rest/src/msaas_rest/home/page/index.html

web: $(PAGE) ## build the page of the service, which takes Node.js 20.19 or newer and npm

$(PAGE): web/node_modules/.package-lock.json web/index.html web/vite.config.ts web/tsconfig.json $(shell find web/src -type f)
	cd web && npm run --silent build
	touch $@

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --silent
	touch $@

up: $(STAMP) ## the local stack in the foreground, with WORKERS=n PORT=p DEMUCS_MODEL=m MODEL_FALLBACK=starter
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory web || echo 'The page is not built. The stack runs without it.' >&2; fi
	@exec $(BIN)/python -m msaas_local

demo: $(STAMP) ## separate the songs of data/ on a local stack, stems under output/
	@exec $(BIN)/python -m msaas_local demo

test: $(STAMP) ## all tests but the long ones, JOBS at a time, and the slowest 20
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations=20 -m "not long and not alone and not chaos and not cluster and not bench"

test-long: $(STAMP) ## the tests that take many seconds of two cores, and those that measure time
	$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder --durations=20 -m "long and not alone and not chaos and not cluster and not bench"
	$(BIN)/python -m pytest -m "alone and not chaos"

test-fast: $(STAMP) ## the tests that start no process and no server
	$(BIN)/python -m pytest -n $(JOBS) -m "not server and not process and not slow and not long and not alone and not chaos and not cluster and not bench"

train-test: $(STAMP) ## the tests of training/, with its own requirements
	$(BIN)/pip $(LOCKED) -r locks/training.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e ./training
	$(BIN)/python -m pytest -n $(JOBS) training/tests

check: $(STAMP) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=training/src $(BIN)/lint-imports

chaos: $(STAMP) ## the long fault tests, with the table of docs/reliability.md
	$(BIN)/python -m pytest -m "(chaos or fault) and not cluster and not bench"

# Tests of attacks outside of tests/attacks: malformed HTTP, the decoder, packages and passwords, logs.
ATTACKS := rest/tests/test_server.py worker/tests/test_confinement.py local/tests/test_supervisor.py \
	$(foreach name,locks images redis_users store_users secrets servers scripts,tests/manifests/test_$(name).py)

attack: $(STAMP) ## hostile clients against the API, with their figures
	$(BIN)/python -m pytest -m "not cluster and not bench" tests/attacks $(ATTACKS)

fuzz: $(STAMP) ## generated requests against the API and its OpenAPI document, with EXAMPLES=n SEED=n
	EXAMPLES=$(or $(EXAMPLES),200) SEED=$(or $(SEED),1) $(BIN)/python -m pytest -rA rest/tests/test_contract.py

bench: $(STAMP) ## speed and memory against demucs and the goals, with BENCH="--long --json FILE"
	$(BIN)/python -m bench $(BENCH)

cluster-test: $(STAMP) ## against the cluster KUBECONFIG points to
	$(BIN)/python -m pytest -m cluster tests/cluster

$(TOOLS)/.setup: locks/tools.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip $(LOCKED) -r locks/tools.txt
	touch $@

lock: $(TOOLS)/.setup ## write locks/ after a change of constraints.txt or of a requirement
	PATH=$(CURDIR)/$(TOOLS)/bin:$$PATH $(PYTHON) locks/compile.py

# An advisory database that knows none of the packages must not pass: --strict.
audit: $(TOOLS)/.setup ## known vulnerabilities of the locked packages, by the advisories of PyPI or AUDIT="-s osv"
	$(TOOLS)/bin/pip-audit --strict --progress-spinner off --disable-pip $(AUDIT) $(AUDITED:%=-r locks/%.txt)

sbom: $(TOOLS)/.setup ## a bill of materials (CycloneDX) of each image in build/sbom
	mkdir -p build/sbom
	for image in $(IMAGES); do \
	  $(TOOLS)/bin/python locks/installed.py $$image | $(TOOLS)/bin/cyclonedx-py requirements --pyproject $${image%-gpu}/pyproject.toml \
	    --output-reproducible --mc-type application -o build/sbom/msaas-$$image.cdx.json - || exit 1; \
	done

wheels: $(STAMP) ## a wheel of each part in WHEELS (build/wheels)
	rm -rf $(WHEELS) $(PARTS:%=%/build)
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(WHEELS) $(PARTS:%=./%)
	ls $(WHEELS)

digests: ## compare the digests of images with their registries, which takes skopeo and a connection
	grep -rhoE '[a-z0-9./-]+:[A-Za-z0-9._-]+@sha256:[0-9a-f]{64}' */Dockerfile */k8s deploy/components compose.yaml | sort -u | while IFS=@ read -r image digest; do \
	  found=$$(skopeo inspect --no-tags --format '{{.Digest}}' "docker://$$image") || exit 1; echo "$$image $$found"; \
	  test "$$found" = "$$digest" || { echo "$$image: the digest here is $$digest" >&2; exit 1; }; \
	done

clean: ## remove build outputs and the local state
	rm -rf $(VENV) .msaas output build web/node_modules rest/src/msaas_rest/home/page .coverage .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
