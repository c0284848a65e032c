# Each target works alone on a fresh clone: it makes .venv first when that is missing or older than what it is made from.
# `make demo` needs only what training needs; everything else brings the development tools as well.

# The first that runs and is new enough: a name may be there and belong to nothing (pyenv's shims).
PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3; do \
  $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$each && break; done)
VENV := .venv
LOWEST := .venv-lowest
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
MADE_FROM := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lowest lint format type bench docs clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/.for-training  ## draw pictures, train, add, search, judge: about two minutes
	$(BIN)/sightbook demo

test: $(VENV)/.for-development  ## every test, the commands of the documentation among them, on all cores
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

lowest: $(LOWEST)/.installed  ## codes, catalogue, pictures and search with the oldest packages that pyproject.toml allows, no torch
	$(LOWEST)/bin/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile \
	  tests/catalogue tests/codes tests/describe tests/images tests/ingest tests/search

lint: $(VENV)/.for-development  ## ruff, formatting and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: $(VENV)/.for-development  ## rewrite the code as ruff formats it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(VENV)/.for-development  ## mypy, strict
	$(BIN)/mypy

docs: $(VENV)/.for-development  ## build the documentation into site/, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.for-development  ## every benchmark, one table each (long)
	@set -e; for file in benchmarks/*.py; do \
	  case $$file in */_*) continue;; esac; \
	  echo "== $$file"; $(BIN)/python $$file; done

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(LOWEST) site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No python3 found: install Python 3.11 or newer, or say make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than Python 3.11: say make PYTHON=/path/to/a/newer/python"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Order-only on the interpreter: its time stamp is that of the installed Python, not of this folder.
$(VENV)/.for-training: $(MADE_FROM) | $(BIN)/python
	@echo "Installing sightbook and what training needs into $(VENV) (once, some minutes)"
	$(PIP) --editable ".[train]"
	@touch $@

$(VENV)/.for-development: $(MADE_FROM) | $(BIN)/python
	@echo "Installing sightbook and its development tools into $(VENV) (once, some minutes)"
	$(PIP) --editable ".[all,dev]"
	@touch $@ $(VENV)/.for-training

$(LOWEST)/.installed: $(MADE_FROM) tools/lowest.py | $(BIN)/python
	@echo "Installing sightbook with its oldest dependencies into $(LOWEST) (once, some minutes)"
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python tools/lowest.py > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip --disable-pip-version-check install --quiet --constraint $(LOWEST)/lowest.txt --editable ".[heif]" \
	  pytest pytest-timeout pytest-xdist hypothesis onnx
	@touch $@
