# The index of everything one does with this project. `make help` prints it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
INSTALLED := $(VENV)/installed.stamp

# Imports are 2.5 times slower without bytecode.
unexport PYTHONDONTWRITEBYTECODE
# What the environment has on its path must not shadow what the lock pins.
unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help setup demo up down test check check-types check-style check-imports check-models docs site browser observability screenshots pictures wrk bench bench-serve lock clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make the virtual environment from the hashed lock

demo: setup ## start the stack and replay 28 weeks of flights through it
	$(BIN)/perennial up
	$(BIN)/python -m demo

up: setup ## start PostgreSQL, MLflow and Airflow on this machine
	$(BIN)/perennial up

down: setup ## stop them; the data stays
	$(BIN)/perennial down

test: setup ## run every test, in three processes that share one PostgreSQL and one MLflow server
	$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder

check: setup ## lint, types, architecture, configuration: two of them at a time
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target check-types check-style check-imports site check-models

check-types: setup
	$(BIN)/mypy

check-style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-imports: setup
	$(BIN)/lint-imports

check-models: setup
	$(BIN)/perennial check
	@if command -v docker-compose >/dev/null; then \
		echo "docker-compose --env-file .env.example config -q"; \
		docker-compose --env-file .env.example config -q; \
	else \
		echo "docker-compose is not installed: docker-compose.yaml is left to tests/unit/test_compose.py"; \
	fi

docs: setup ## regenerate the reference under docs/reference from the code
	$(BIN)/python docs/generate_reference.py

site: setup ## docs/ as a site, in .state/site: open index.html there
	$(BIN)/mkdocs build --strict

browser: ## install Chromium and its driver where they are missing: tests drive them (Debian)
	@if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then \
		set -e; \
		as_root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$as_root apt-get update; \
		$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium chromium-driver; \
	fi

observability: ## install promtool and amtool where they are missing: tests run the alerting rules through them (Debian)
	@if ! command -v promtool >/dev/null || ! command -v amtool >/dev/null; then \
		set -e; \
		as_root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$as_root apt-get update; \
		$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends prometheus prometheus-alertmanager; \
	fi

screenshots: setup ## take the pictures of a review anew, docs/images/review-*.png and past-gates.png
	PERENNIAL_SCREENSHOTS=docs/images $(BIN)/python -m pytest tests/browser -q

pictures: setup ## take the pictures of the demo anew, which has to be over and still run: docs/images/{airflow,console}-*.png
	PYTHONPATH=include:tests $(BIN)/python tests/browser/pictures.py

wrk: ## install the load generator where it is missing (Debian)
	@if ! command -v wrk >/dev/null; then \
		set -e; \
		as_root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$as_root apt-get update; \
		$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends wrk; \
	fi

bench: setup wrk ## measure against the raw tools
	$(BIN)/python tests/bench

bench-serve: setup wrk ## the same of the scoring service alone: requests, and swaps under load
	$(BIN)/python tests/bench serve swaps

lock: $(BIN)/uv ## compile requirements.in to requirements.txt, with hashes
	$(BIN)/uv pip compile --python-version 3.11 --universal --generate-hashes requirements.in -o requirements.txt

clean: ## stop the stack, remove its data and the virtual environment
	if [ -f $(INSTALLED) ]; then $(BIN)/python -m stack purge; fi
	rm -rf .state $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(BIN)/uv: | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(INSTALLED): requirements.txt Makefile include/install.py | $(BIN)/uv
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --require-hashes --compile-bytecode requirements.txt
	$(BIN)/python include/install.py
	@touch $@
