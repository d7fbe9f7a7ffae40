# Every target sets up the virtual environment it needs: quietly, once, and again when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint types layers unit simulate fuzz soak bench interop setup-services clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(READY): pyproject.toml
	@echo "setting up $(VENV) (once) ..." >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "agentbus needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --editable '.[dev]' 2>.venv/pip.log || { cat .venv/pip.log >&2; exit 1; }
	@touch $@

demo: $(READY) ## run the main job on this repository's documents (ARGS="FOLDER --no-chaos")
	@$(BIN)/agentbus demo $(ARGS)

test: lint types unit ## lint, types and the whole default suite, layer rules included

lint: $(READY) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .

types: $(READY) ## pyright and mypy, both strict
	@$(BIN)/pyright
	@$(BIN)/mypy --no-error-summary

layers: $(READY) ## imports go down only (also held by tests/test_house.py)
	@$(BIN)/lint-imports --no-logo >/dev/null || $(BIN)/lint-imports

unit: $(READY) ## the default suite
	@$(BIN)/pytest -n 2

test-slow: $(READY) ## what is marked slow
	@$(BIN)/pytest -m slow || test $$? -eq 5  # 5: nothing is marked so

SDK_READY := .venv-interop/.ready
$(SDK_READY): tests/interop/requirements.txt
	@echo "setting up .venv-interop for the official SDK (once) ..." >&2
	@test -x .venv-interop/bin/python || $(PYTHON) -m venv .venv-interop
	@.venv-interop/bin/pip install --quiet -r tests/interop/requirements.txt 2>.venv-interop/pip.log || { cat .venv-interop/pip.log >&2; exit 1; }
	@touch $@

SEEDS ?= 1000
simulate: $(READY) ## client, hub, buses, queues and faults on virtual time (SEEDS=1000)
	@$(BIN)/python -m agentbus.testing.simulation --seeds $(SEEDS)
	@$(BIN)/python -m agentbus.testing.simulation --seeds $(SEEDS) --queues

SECONDS_EACH ?= 60
fuzz: $(READY) ## fuzz both decoders, then a whole hub (SECONDS_EACH=60)
	@$(BIN)/python -m tests.fuzz.decoders --seconds $(SECONDS_EACH)
	@$(BIN)/python -m tests.fuzz.hub --seconds $(SECONDS_EACH)

MINUTES ?= 10
soak: $(READY) ## a hub under load and chaos: memory flat, nothing lost (MINUTES=10)
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

PEERS_READY := $(foreach peer,autogen arq taskiq,.venv-$(peer)/.ready)
$(PEERS_READY): .venv-%/.ready: benchmarks/requirements-%.txt
	@echo "setting up .venv-$* for the benchmark beside $* (once) ..." >&2
	@test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/pip install --quiet -r $< 2>.venv-$*/pip.log || { cat .venv-$*/pip.log >&2; exit 1; }
	@touch $@

bench: $(READY) $(SDK_READY) $(PEERS_READY) ## measure beside peers; writes benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks $(ARGS)

interop: $(READY) $(SDK_READY) ## the official Python SDK against our hub
	@$(BIN)/pytest -m interop tests/interop

setup-services: ## install nats-server, redis-server and chromium where a test needs them (Debian, root)
	@command -v apt-get >/dev/null || { echo "setup-services knows Debian only; install nats-server, redis-server and chromium by hand" >&2; exit 1; }
	@apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nats-server redis-server chromium >/dev/null

clean: ## remove what the targets made
	@rm -rf $(VENV) .venv-interop $(dir $(PEERS_READY)) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
