# `make benchmark` runs the shipped experiment, `make test` the tests; both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

# Tests wait a fifth of their time, slow ones more: for children, for servers, for limits, for what is to die.
CORES := $(shell getconf _NPROCESSORS_ONLN)
PARALLEL := --numprocesses $(shell expr $(CORES) + 1)
PARALLEL_SLOW := --numprocesses $(shell expr $(CORES) + 3)

.PHONY: benchmark quick test test-all lint audit docs coverage nightly clean

benchmark: $(VENV)/installed
	$(BIN)/python -m benchmark run experiments.yaml

quick: $(VENV)/installed
	$(BIN)/python -m benchmark run experiments/quick.yaml

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -m "not slow and not nightly" $(PARALLEL) $(MEASURED)

# Everything: first the quick ones, as `make test` does, then the slow ones, and the coverage of both.
test-all: MEASURED := --cov --cov-report=
test-all: test
	$(BIN)/python -m pytest -m "slow and not nightly" $(PARALLEL_SLOW) --cov --cov-append --cov-report=term --cov-fail-under=90

lint: $(VENV)/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Licences, pins, withdrawn versions, known vulnerabilities; exit code 3 where the network was not there to ask.
audit: $(VENV)/installed-test
	$(BIN)/python .ci/audit.py

# The documentation as a site, in build/site.
docs: $(VENV)/installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

nightly: $(VENV)/installed-test
	$(BIN)/python -m pytest -m nightly $(PARALLEL)
	$(BIN)/python -m perf --loose --out build/perf
	$(BIN)/python perf/coverage.py
	$(BIN)/python perf/soak.py
	$(BIN)/python tests/survival.py --kills 800 --seed 1
	$(BIN)/python tests/survival.py --mode local --kills 100 --seeds 1 --seed 1
	$(BIN)/python tests/survival.py --mode aws --kills 100 --seeds 1 --seed 1
	$(BIN)/python tests/survival.py --mode local --named --seeds 1
	$(BIN)/python tests/survival.py --mode aws --named --seeds 1
	$(BIN)/python tests/full_disk.py
	$(BIN)/python tests/two_at_once.py --rounds 10
	$(BIN)/python tests/determinism.py
	$(BIN)/python tests/fuzz_yaml.py --texts 1000000 --seed 1
	$(INSTALL) '.[fuzz]'
	$(BIN)/python tests/fuzz_yaml_guided.py -max_total_time=3000
	$(BIN)/python tests/fuzz_images.py --mutations 100000 --seed 1
	$(BIN)/python perf/tracker.py

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(VENV)/installed-test: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[test,lint]'
	touch $@ $(VENV)/installed
