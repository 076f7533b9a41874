# The commands of the README are `make up`, `make stack` and `make test`. Everything else is for those who change the code.
SHELL := /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
# The lock carries hashes and no download hosts, so it works with any package index. Why: docs/decisions/0001.
SYNC := URLLIB3_NO_OVERRIDE=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-binary urllib3-future

# Three for two processors: tests wait for servers, clocks and browsers much of the time.
WORKERS ?= $(shell expr \( $$(nproc 2>/dev/null || echo 2) \* 3 + 1 \) / 2)

.PHONY: up stack test check bench lock clean help fmt

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/'

up: $(VENV)/ready ## start everything with a demo site: make up ARGS="--http 127.0.0.1:9000"
	@exec $(BIN)/courtyard up --demo $(ARGS)

stack: $(VENV)/ready ## docker-compose.yml without containers, with a demo site: Mosquitto, InfluxDB, PostgreSQL
	@sh tests/needs.sh install mosquitto influxdb postgresql
	@exec $(BIN)/courtyard stack up --demo $(ARGS)

test: $(VENV)/ready-dev ## install what the tests need where possible, then run all of them
	@sh tests/needs.sh install
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/ready-dev ## lint, types, arrows, and the fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/courtyard check
	$(BIN)/python -m pytest -q -m "not slow and not browser"

fmt: $(VENV)/ready-dev ## format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/ready-dev ## the figures of docs/performance.md
	$(BIN)/courtyard bench ingest --messages 300000
	$(BIN)/courtyard bench alarm

lock: $(VENV)/uv ## resolve the dependencies anew
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --group dev pyproject.toml -c requirements.lock -o requirements-dev.lock

$(VENV)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Courtyard needs Python 3.11 or newer. Name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing. On Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv==0.13.9'
	@touch $@

$(VENV)/ready: requirements.lock pyproject.toml $(VENV)/uv
	@echo "Installing Courtyard into $(VENV) (once; about a minute)"
	@$(SYNC) -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/ready-dev: requirements-dev.lock $(VENV)/ready
	@echo "Installing the tests' tools"
	@$(SYNC) -r requirements-dev.lock
	@touch $@

clean: ## remove the virtual environment
	rm -rf $(VENV)
