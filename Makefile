# Penumbra. Every target does its own set-up, and set-up that is done costs nothing.
#
#   PYTHON=python3.12 make test        the interpreter for .venv (otherwise the first that fits)
#   PYTEST_ARGS="-k spool" make pytest only some tests
#   KEEP=1 make demo                   leave the demo's node up, and say what to try
#   NO_APT=1 make test                 install no Debian packages, even as root

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --warn-undefined-variables
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?=
KEEP ?=
NO_APT ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_SEED ?=
FUZZ_CASE ?=
export PYTHON KEEP NO_APT FUZZ_SECONDS FUZZ_SEED FUZZ_CASE

BIN := .venv/bin

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: setup ## the main job on real input, against real servers, in one table
	@$(BIN)/python -m examples.demo

.PHONY: pipelines
pipelines: setup ## each specialty's models on phantoms, through Triton, node and PACS, beside the truth
	@$(BIN)/python -m examples.pipelines --all

.PHONY: test
test: setup lint pytest ## everything that must hold: lint, types, tests

.PHONY: setup
setup: ## environments, and servers and tools that tests talk to
	@deploy/setup-python.sh
	@deploy/setup-triton.sh
	@deploy/setup-mlserver.sh
	@deploy/setup-peers.sh
	@deploy/setup-azurite.sh
	@deploy/setup-fhir-schema.sh
	@deploy/setup-viewer.sh

.PHONY: viewer
viewer: ## fetch the OHIF viewer into .viewer/, for [http] viewer (50 MB)
	@deploy/setup-viewer.sh

.PHONY: lint
lint: setup ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests that compute are dealt out one by one; those with servers of their own a file at a time.
COMPUTING := ai config deid dicom house routing
# What pytest says when a choice such as -k leaves none of these.
NONE := 5
.PHONY: pytest
pytest: setup ## the tests alone
	$(BIN)/pytest -n 2 $(COMPUTING:%=tests/%) $(PYTEST_ARGS) || test $$? = $(NONE)
	$(BIN)/pytest -n 2 --dist loadfile $(COMPUTING:%=--ignore=tests/%) $(PYTEST_ARGS) || test $$? = $(NONE)

.PHONY: fuzz
fuzz: setup ## damaged input against the way in: FUZZ_SECONDS=300 for longer, FUZZ_SEED=N to repeat
	@$(BIN)/python -m tests.fuzz

.PHONY: results
results: ## AI results of every kind before every validator; about 10 minutes
	@deploy/setup-python.sh
	@deploy/setup-peers.sh
	@$(BIN)/python -m examples.results

.PHONY: bench-ingest
bench-ingest: ## receiving beside other servers, into docs/benchmarks.md; about 40 minutes
	@deploy/setup-python.sh
	@deploy/setup-peers.sh
	@$(BIN)/python -m bench.ingest --client load,storescu --write docs/benchmarks.md $(BENCH_ARGS)

.PHONY: bench-deid
bench-deid: ## de-identifying beside other tools, into docs/benchmarks.md; about 2 minutes
	@deploy/setup-python.sh
	@deploy/setup-deid-peers.sh
	@$(BIN)/python -m bench.deid --write docs/benchmarks.md $(BENCH_ARGS)

.PHONY: bench-forward
bench-forward: ## delivering beside other tools, into docs/benchmarks.md; about 12 minutes
	@deploy/setup-python.sh
	@deploy/setup-peers.sh
	@deploy/setup-bench-peers.sh
	@$(BIN)/python -m bench.forward --write docs/benchmarks.md $(BENCH_ARGS)

.PHONY: bench-query
bench-query: ## asking and retrieving beside Orthanc, into docs/benchmarks.md; about 10 minutes
	@deploy/setup-python.sh
	@deploy/setup-peers.sh
	@$(BIN)/python -m bench.query --write docs/benchmarks.md $(BENCH_ARGS)

.PHONY: bench-infer
bench-infer: ## asking models beside tritonclient, into docs/benchmarks.md; about 4 minutes
	@deploy/setup-python.sh
	@deploy/setup-triton.sh
	@deploy/setup-peers.sh
	@$(BIN)/python -m bench.infer --write docs/benchmarks.md $(BENCH_ARGS)

.PHONY: format
format: setup ## let ruff mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean: ## remove what runs left behind; environments and var/ stay
	rm -rf .demo .hypothesis .pipelines .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## remove the environments too
	rm -rf .venv .venv-triton .venv-mlserver .venv-deid-peers .venv-bench-peers .azurite .fhir .viewer
