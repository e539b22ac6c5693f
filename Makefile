# Everything lives in .venv; `make` alone lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
SETUP_INPUTS := scripts/setup pyproject.toml requirements/lock.txt

.PHONY: help setup run test check schema bench lock clean

help: ## List the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done

setup: .venv/.installed ## Install everything into .venv

.venv/.installed: $(SETUP_INPUTS)
	PYTHON='$(PYTHON)' scripts/setup
	touch $@

.venv/.installed-bench: $(SETUP_INPUTS) requirements/bench.txt
	PYTHON='$(PYTHON)' scripts/setup bench
	touch .venv/.installed $@

run: setup ## Set up, then serve on 127.0.0.1:8080 with the demonstration
	exec $(BIN)/runwright serve --demo $(ARGS)

test: setup ## Set up, then run the tests (ARGS='-k name' narrows them)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --ignore tests/bench $(ARGS)

check: setup ## Format, lint, types and import order, as CI does
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports --no-logo

schema: setup ## Write docs/schema.txt anew, after a new migration
	$(BIN)/python -m tests.schema_dump > docs/schema.txt

bench: .venv/.installed-bench ## Measure, side by side with the peers (ARGS='--quick')
	$(BIN)/python -m tests.bench $(ARGS)

lock: setup ## Pin the newest allowed dependencies (ARGS='--upgrade')
	scripts/lock $(ARGS)

clean: ## Remove .venv and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
