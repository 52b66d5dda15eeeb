# One short command per verb. The first one that needs it makes .venv; PYTHON=... chooses the interpreter.

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin
ITEMS ?= 100
MINUTES ?= 110
# What `make demo` climbs: one task that a prompt solves, one that voting solves, one that needs learned weights.
TASKS ?= chinese apples tone
TARGET ?= 0.8
CLIMB = $(RUN)/promptkit climb --target $(TARGET) --test-items $(ITEMS) --folder runs/demo --report runs/demo --resume
INPUTS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo demo-all demo-weights test test-slow lint format bench model clean

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.installed  ## climb from prompt to voting to learned weights on three tasks; score prompts on all six
	$(RUN)/promptkit demo --items $(ITEMS)
	$(CLIMB) $(TASKS)

demo-all: $(VENV)/.installed  ## the same climbs on all six tasks (a quarter of an hour)
	$(CLIMB) apples chinese notation products tickets tone

demo-weights: $(VENV)/.installed  ## compare prompts, soft prompts and LoRA over several seeds (an hour)
	$(RUN)/python examples/weights_table.py

test: $(VENV)/.installed-dev  ## run the tests
	$(RUN)/python -m pytest

test-slow: $(VENV)/.installed-dev  ## run the tests that take more than a few seconds each
	$(RUN)/python -m pytest -m slow

lint: $(VENV)/.installed-dev  ## style, types and layers; changes nothing
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

format: $(VENV)/.installed-dev  ## rewrite the code in the house style
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

bench: $(VENV)/.installed-dev  ## measure what benchmarks/README.md claims
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(RUN)/python $$script; done

model: $(VENV)/.installed  ## rebuild the reference model from nothing (hours on two cores; continues a run that was cut off)
	$(RUN)/python examples/reference_model/build.py --minutes $(MINUTES)

clean:  ## remove the environment, caches and built packages
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp tells that an environment is complete; an installation that was cut off leaves none and is done again.
$(VENV)/.installed: $(INPUTS)
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(INPUTS)
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.installed $@
