# make lists what there is. Everything sets itself up first; the second time that takes no time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON_HERE := .venv/bin/python
WORKERS ?= 2

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## makes .venv with everything in it
	@tools/setup.sh
	@$(PYTHON_HERE) -m compileall -q api runner

demo: setup ## makes a small Phi-3, tunes it, compresses it to int4 and classifies with it: about two minutes
	@examples/emotion/demo.sh

test: check testtools ## everything that CI runs: check, then all tests
	@$(PYTHON_HERE) -m pytest -q -n $(WORKERS) --dist loadfile

test-fast: testtools ## the tests that need no torch
	@$(PYTHON_HERE) -m pytest -q -n $(WORKERS) --dist loadfile tests/unit

check: setup ## ruff, mypy, import contracts; generated files are up to date
	@$(PYTHON_HERE) -m ruff check api runner tests bench examples
	@$(PYTHON_HERE) -m ruff format --check -q api runner tests bench examples
	@$(PYTHON_HERE) -m mypy
	@.venv/bin/lint-imports --no-logo
	@.venv/bin/millwright passes --markdown | diff docs/passes.md - || { echo 'docs/passes.md is not what the passes say: make docs'; exit 1; }
	@$(PYTHON_HERE) -m millwright_runner.olive docs/olive.md --check || { echo 'docs/olive.md is not what the table says: make docs'; exit 1; }

docs: setup ## writes what is generated: docs/passes.md, the table in docs/olive.md
	@.venv/bin/millwright passes --markdown >docs/passes.md.new && mv docs/passes.md.new docs/passes.md
	@$(PYTHON_HERE) -m millwright_runner.olive docs/olive.md

bench-olive: setup ## the same jobs through Microsoft Olive and through Millwright: ratios
	@$(PYTHON_HERE) bench/olive/bench.py

testtools: setup
	@tools/testtools.sh

clean: ## removes what was made, but not .venv and .tools
	@rm -rf build dist examples/emotion/build examples/emotion/out bench/build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find api runner tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup demo test test-fast check docs bench-olive testtools clean
