# make lists what there is. Everything sets itself up first; the second time that takes no time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON_HERE := .venv/bin/python
WORKERS ?= 4
GROUND := $(PYTHON_HERE) -m tests.cluster.ground

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## makes .venv with everything in it
	@tools/setup.sh
	@$(PYTHON_HERE) -m compileall -q api operator runner search

# What is used of the packages is compiled once, and not by each process that comes first.
bytecode: setup
	@[[ .venv/.bytecode -nt .venv/.millwright ]] || \
	  { said=$$($(PYTHON_HERE) tools/bytecode.py 2>&1) && touch .venv/.bytecode || { echo "$$said"; exit 1; }; }

demo: bytecode ## makes a small Phi-3, tunes it, compresses it to int4 and classifies with it: about two minutes
	@examples/emotion/demo.sh

demo-cluster: bytecode ## the same on a real Kubernetes of its own, by kubectl apply; the first time builds that, half an hour
	@examples/emotion/demo-cluster.sh

# Several processes train at once on few cores: more threads than one each only take turns, and spin while they wait.
test test-fast: export OMP_NUM_THREADS ?= 1
test test-fast: export OMP_WAIT_POLICY ?= PASSIVE
# pytest keeps the tests as it has rewritten them, for the next run and for its other workers.
test test-fast: export PYTHONDONTWRITEBYTECODE =
# Outside of the checkout: a fresh clone of code that was checked here before takes seconds, not a minute.
export MYPY_CACHE_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/millwright-mypy

test: setup ## everything that CI runs: check, then all tests; those on a cluster need root
	@$(MAKE) --no-print-directory -j3 --output-sync=line check cluster-tools test-modules
	@$(PYTHON_HERE) -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-fast: testtools bytecode ## the tests that need neither root nor a cluster
	@$(PYTHON_HERE) -m pytest -q -n $(WORKERS) --dist loadfile tests/unit tests/pipeline

check: setup ## ruff, mypy, import contracts; generated files are up to date
	@$(PYTHON_HERE) -m ruff check api operator runner search tests bench examples
	@$(PYTHON_HERE) -m ruff format --check -q api operator runner search tests bench examples
	@$(PYTHON_HERE) -m mypy
	@.venv/bin/lint-imports --no-logo
	@.venv/bin/millwright passes --markdown | diff docs/passes.md - || { echo 'docs/passes.md is not what the passes say: make docs'; exit 1; }
	@.venv/bin/millwright metrics --markdown | diff docs/metrics.md - || { echo 'docs/metrics.md is not what the metrics say: make docs'; exit 1; }
	@$(PYTHON_HERE) -m millwright_runner.olive docs/olive.md --check || { echo 'docs/olive.md is not what the table says: make docs'; exit 1; }
	@$(PYTHON_HERE) -m millwright_runner.crd --check

crds: setup ## writes the CustomResourceDefinition: crds/, and the chart's copy
	@$(PYTHON_HERE) -m millwright_runner.crd

docs: setup ## writes what is generated: docs/passes.md, docs/metrics.md, the table in docs/olive.md
	@for page in passes metrics; do .venv/bin/millwright $$page --markdown >docs/$$page.md.new && mv docs/$$page.md.new docs/$$page.md || exit 1; done
	@$(PYTHON_HERE) -m millwright_runner.olive docs/olive.md

lock: setup ## resolves all requirements anew, within what pyproject.toml allows
	@tools/lock.sh

cluster-up: setup ## starts the test cluster and leaves it up: tests then use it as it is
	@$(GROUND) up --keep
	@echo 'for a shell: eval "$$($(GROUND) env)"'

cluster-down: ## takes the test cluster down; programs and images stay for the next time
	@$(GROUND) down

cluster-images: setup ## builds the images from today's code, for the cluster that is up; prints their references
	@$(GROUND) images

# Before the tests, which would do it in silence. Another cluster needs nothing of it.
cluster-tools: setup testtools
	@[[ -n $$MILLWRIGHT_TEST_KUBECONFIG ]] || { $(GROUND) install && $(GROUND) images --build-only; }

bench-operator: bytecode ## what the operator costs, on the test cluster with simulated pods
	@$(GROUND) install --with kwok
	@PYTHONPATH=$(CURDIR) $(PYTHON_HERE) bench/operator/bench.py

bench-olive: bytecode ## the same jobs through Microsoft Olive and through Millwright: ratios
	@$(PYTHON_HERE) bench/olive/bench.py

testtools: setup
	@tools/testtools.sh

# Rewritten once, while images are built, and not by each worker for itself.
test-modules: bytecode
	@said=$$($(PYTHON_HERE) -m pytest -q --collect-only 2>&1) || { echo "$$said"; exit 1; }

clean: ## removes what was made, but not .venv and .tools
	@rm -rf build dist examples/emotion/build examples/emotion/out bench/build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find api operator runner search tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup bytecode demo demo-cluster test test-fast test-modules cluster-tools cluster-up cluster-down cluster-images
.PHONY: check crds docs lock bench-operator bench-olive testtools clean
