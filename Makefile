# Everything lives in .venv; `make` alone lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Where the environment forbids to keep bytecode, every program compiles all that it imports, each time anew.
unexport PYTHONDONTWRITEBYTECODE

# Default: the newest of 3.11 to 3.13 that the host has.
PYTHON ?=
ARGS ?=
BIN := .venv/bin
SETUP_INPUTS := scripts/setup pyproject.toml requirements/lock.txt

# What needs a database and no sandbox, so that it runs on any PostgreSQL: TEST_PG_BIN names the folder of its
# programs; by default it is the embedded one.
DATABASE_TESTS := $(addprefix tests/integration/,agents analytics automations bulk db events handler_calls job_views jobs leases loops outbox schedules tenants)
SMOKE_TESTS := tests/unit tests/integration/db tests/integration/jobs tests/integration/job_views tests/contract/test_jobs.py tests/e2e/test_handlers.py
# Errors at every statement, and kills of every process: what is promised first, so `make test` has their short forms.
FAULT_TESTS := $(addprefix tests/chaos/,test_database_faults.py test_feature_faults.py test_kill_matrix.py test_kills.py)
# What `make test` leaves to `make test-system`: whole features, other faults, installations, and the escape test at
# the levels below the host's own.
SYSTEM_TESTS := tests/e2e tests/chaos $(FAULT_TESTS:%=--ignore=%)
SYSTEM_PARTS := $(addprefix tests/integration/,escape_test/test_standard_level.py escape_test/test_user_namespace.py test_release_script.py)
PART_TESTS := tests/unit tests/integration tests/contract $(SYSTEM_PARTS:%=--ignore=%) $(FAULT_TESTS)
# One more worker than processors, as tests wait for servers to start and stop; at most 4.
PYTEST_PARALLEL := -n $(shell processors=$$(nproc); echo $$((processors < 3 ? processors + 1 : 4)))

# The documentation site, which the server shows at /docs.
SITE := src/runwright/docs_site/built/manifest.json
SITE_INPUTS := mkdocs.yml $(wildcard *.md) src/runwright/config.default.toml $(shell find docs examples scripts/docs -type f -not -name '*.pyc')

# The dashboard, which the server shows at /.
WEB := src/runwright/web/built

.PHONY: help setup run web-dev screenshots test test-system test-database coverage smoke mutate check docs schema client bench lock clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do \
		printf '  make %-13s %s\n' "$$name" "$$text"; done

setup: .venv/.installed ## Install everything into .venv, and build the dashboard
	@scripts/build_web || [ "$${CI:-}" != true ]

.venv/.installed: $(SETUP_INPUTS)
	PYTHON='$(PYTHON)' scripts/setup
	touch $@

.venv/.installed-bench: $(SETUP_INPUTS) requirements/bench.txt
	PYTHON='$(PYTHON)' scripts/setup bench
	touch .venv/.installed $@

docs: setup ## Write the command line's reference, and build the documentation site, which the server shows at /docs
	$(BIN)/python scripts/cli_reference
	$(MAKE) --no-print-directory $(SITE)

$(SITE): .venv/.installed $(SITE_INPUTS)
	scripts/build_docs

run: setup $(SITE) ## Set up, then serve on 127.0.0.1:8080 with the demonstration
	exec $(BIN)/runwright serve --demo $(ARGS)

web-dev: setup ## Serve the dashboard with hot reload, against a running server (RUNWRIGHT_URL, default 127.0.0.1:8080)
	scripts/build_web dev

screenshots: setup ## Write the pictures of the dashboard in README and docs (ARGS='--all FOLDER': every page, to look at)
	$(BIN)/python scripts/screenshots $(ARGS)

test: setup $(SITE) ## Set up, then run the tests of parts and of the APIs (with ARGS='tests/chaos -k name' only those)
	$(BIN)/python -m pytest $(PYTEST_PARALLEL) --ignore tests/bench $(or $(ARGS),$(PART_TESTS))

test-system: setup $(SITE) ## Set up, then run the tests of whole features, of faults and of installations
	$(BIN)/python -m pytest $(PYTEST_PARALLEL) $(SYSTEM_TESTS) $(SYSTEM_PARTS) $(ARGS)

test-database: setup ## Run the tests of the database on another PostgreSQL (TEST_PG_BIN=/usr/lib/postgresql/15/bin)
	$(BIN)/python -m pytest $(PYTEST_PARALLEL) $(DATABASE_TESTS) $(ARGS)

coverage: setup ## Run unit tests and those of the database, and report how much of the code they cover
	mkdir -p build/coverage
	$(BIN)/python -m pytest $(PYTEST_PARALLEL) -p pytest_cov --cov --cov-report= tests/unit $(DATABASE_TESTS) $(ARGS)
	$(BIN)/coverage html --quiet
	$(BIN)/coverage report --sort=cover > build/coverage/report.txt
	@head -25 build/coverage/report.txt; echo '...'; tail -1 build/coverage/report.txt
	@echo 'all of it: build/coverage/report.txt, build/coverage/html/index.html'

smoke: setup ## Run a selection of the tests on another Python (PYTHON=python3.13)
	UV=$(BIN)/uv VENV=.venv/smoke PYTHON='$(PYTHON)' scripts/setup
	.venv/smoke/bin/python -m pytest $(PYTEST_PARALLEL) $(SMOKE_TESTS) $(ARGS)

mutate: setup ## Change the code bit by bit and see whether a test notices (ARGS='core cron --sample 200')
	nice -n 15 $(BIN)/python -m tests.mutate $(ARGS)

check: setup $(SITE) ## Format, lint, types, import order, names, words and the documentation, as CI does
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/check_words
	$(BIN)/python scripts/cli_reference --check
	scripts/build_web check

schema: setup ## Write docs/schema.txt anew, after a new migration
	$(BIN)/python -m tests.schema_dump > docs/schema.txt

client: setup ## Build runwright-client, and the TypeScript client from the OpenAPI documents
	scripts/client $(ARGS)

bench: .venv/.installed-bench ## Measure, side by side with the peers (ARGS='--quick')
	$(BIN)/python -m tests.bench $(ARGS)

lock: setup ## Pin the newest allowed dependencies (ARGS='--upgrade')
	scripts/lock $(ARGS)

clean: ## Remove .venv and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist $(dir $(SITE)) $(WEB) web/node_modules
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
