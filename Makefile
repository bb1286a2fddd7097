# Everything a person or the build server does here is one of these words. `make` lists them.
VENV := .venv
PYTHON := $(VENV)/bin/python
BASE_PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORE := $(VENV)/.core-installed
DEV := $(VENV)/.dev-installed

.DEFAULT_GOAL := help
.PHONY: help demo test check fix acceptance bench docs web types lock clean

help:  ## This list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(CORE)  ## The main job on real handwritten digits: inspect, train, evaluate, report, predict
	$(VENV)/bin/vitreous demo

test: $(DEV)  ## The whole test suite (under 10 minutes on two cores)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -m "not acceptance" -n auto --dist loadfile

check: $(DEV)  ## Format, lint, types, and the direction of imports
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports --no-cache

fix: $(DEV)  ## Format and mend what the linter can mend
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

acceptance: $(DEV)  ## Long runs on the real data packs (VITREOUS_DATA or ../shared/data)
	$(PYTHON) -m pytest -m acceptance -s --timeout 3600

bench: $(DEV)  ## The benchmarks; results in benchmarks/results, the table in docs/reference/benchmarks.md
	$(PYTHON) -m benchmarks

docs: $(DEV)  ## Write the reference pages that come from the code
	$(PYTHON) -m docs.generate

web: $(DEV)  ## Build the explorer's pages (the install did; this is for after a change in web/)
	$(PYTHON) hatch_build.py

types: $(DEV)  ## Write the front end's types from the server's schema
	$(PYTHON) -m vitreous.server.openapi web/openapi.json
	$(PYTHON) -c "import sys, hatch_build; sys.exit(hatch_build.write_types())"

lock: $(DEV)  ## Choose versions anew and write the locks
	$(PYTHON) -m pip install --quiet uv
	$(VENV)/bin/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 \
	  --upgrade --no-header --no-annotate -c requirements/pins.in \
	  --group build -o requirements/core.txt
	$(VENV)/bin/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 \
	  --upgrade --no-header --no-annotate -c requirements/pins.in -c requirements/core.txt \
	  --group dev --all-extras -o requirements/dev.txt

clean:  ## Remove the environment and what tools left
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis web/node_modules src/vitreous/server/static

$(VENV)/bin/python:
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; set BASE_PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(BASE_PYTHON) -m venv $(VENV)

$(CORE): requirements/core.txt pyproject.toml | $(VENV)/bin/python
	$(PYTHON) -m pip install --quiet -r requirements/core.txt
	$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	$(PYTHON) -m pip install --quiet -r requirements/dev.txt
	$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@ $(CORE)
