# make demo: harden a bundled backdoored model; make test: the tests; make check: style and types.
# Each sets up .venv first, from nothing but Python (3.11 or newer) and pip.

PYTHON ?= python3
VENV ?= .venv
READY := $(VENV)/.ready

.PHONY: demo test test-gpu check table1 clean

demo: $(READY)
	$(VENV)/bin/harden demo -o demo

test: $(READY)
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-gpu: $(READY)
	$(VENV)/bin/python -m pytest -m gpu

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

table1: $(READY)
	$(VENV)/bin/python -m benchmarks.table1

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) demo
