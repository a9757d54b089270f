# Two commands: `make run` and `make test`. Both set up everything they need.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PORT   ?= 3000
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min((os.cpu_count() or 1) + 1, 4))')
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run demo test lint bench bench-shift reset edit-sample undo-edit-sample setup clean

help:                ## This list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

run: $(STAMP) sample/interactions  ## Serve the Dagster UI at http://127.0.0.1:3000 (PORT=...) with its sensors, and the ask page at port + 1 (SERVE_PORT=...).
	@$(BIN)/twohands dev --port $(PORT)

demo: $(STAMP)       ## Both hands in one run, without a browser: index, edit, shift, fine-tune, gate, release, rollback. Minutes.
	@$(BIN)/python sample/demo.py

sample/interactions: | $(STAMP)  # 60 days of demo logs up to yesterday, made once
	@$(BIN)/python sample/make_interactions.py --api 20

test: export HF_HUB_OFFLINE = 1
test: $(STAMP)       ## All tests, one worker more than cores, since many wait for a server (at most 4: WORKERS=...).
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(STAMP)       ## ruff, pyright, import-linter.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright && $(BIN)/lint-imports

bench: $(STAMP)      ## Benchmarks beside their peers; see benchmarks/README.md.
	@$(BIN)/pip install -q -c constraints.txt -e '.[bench]'
	@for file in $(filter-out benchmarks/shift/%,$(wildcard benchmarks/*/bench_*.py)); do \
	  module=$$(echo "$${file%.py}" | tr / .); echo "== $$module" && $(BIN)/python -m "$$module" || exit 1; done

bench-shift: $(STAMP)  ## When must the slow hand move: our test, its peers, an oracle. Over an hour; QUICK=1 takes minutes.
	@$(BIN)/pip install -q -c constraints.txt -e '.[bench]'
	@$(BIN)/python -W ignore -m benchmarks.shift.bench_shift $(if $(QUICK),--quick)

edit-sample: $(STAMP)       ## One later day of edits to the sample handbook: watch the sensor pick it up.
	@$(BIN)/python sample/edit_sample.py

undo-edit-sample: $(STAMP)  ## Take that day back.
	@$(BIN)/python sample/edit_sample.py --undo

reset:               ## Forget all state (index, lake, run history). Sources stay as they are.
	@rm -rf "$${TWOHANDS_HOME:-.twohands}" && echo "state removed"

setup: $(STAMP)      ## Only install.

clean: reset         ## reset, and remove the virtual environment.
	@rm -rf $(VENV)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"Python 3.11 or 3.12 is needed, found {v[0]}.{v[1]}. Next: make PYTHON=python3.11 ...")'
	@echo "Installing into $(VENV) (6 GB with PyTorch; takes a few minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)
