# make demo [IMAGE=path] [OUT=out] [SIDE=left]   predict on the shipped pictures, or on your own
# make test                                      set up and run the tests
# make test-avx2                                 those of networks, prediction and training, as on a CPU without AVX-512
# make lint | types                              ruff | mypy
# make wheels                                    ask the index for wheels of all pinned versions, for every Python (minutes)
#
# Everything is installed into VENV (default .venv) with the exact versions of constraints.txt, once: a stamp file in it
# says which extras are there, and is redone when pyproject.toml or constraints.txt is newer.

VENV  ?= .venv
OUT   ?= out
IMAGE ?= examples
SIDE  ?= auto
JOBS  ?= 2

# The first Python that really starts and is new enough. PYTHON=... on the command line overrides the search.
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python3.10 python
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

INSTALL = "$(VENV)/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-avx2 lint types wheels clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.stamp-run
	"$(VENV)/bin/phalanx" predict "$(IMAGE)" --out "$(OUT)" --side "$(SIDE)"

test: $(VENV)/.stamp-test
	OMP_NUM_THREADS=1 "$(VENV)/bin/python" -m pytest -n $(JOBS)

# what computes otherwise there
NETWORKS := tests/nets tests/methods tests/predict tests/train tests/adapt tests/test_readme.py

test-avx2: $(VENV)/.stamp-test
	ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1 "$(VENV)/bin/python" -m pytest -n $(JOBS) $(NETWORKS)

lint: $(VENV)/.stamp-dev
	"$(VENV)/bin/ruff" check .
	"$(VENV)/bin/ruff" format --check .

types: $(VENV)/.stamp-dev
	"$(VENV)/bin/mypy"

wheels: $(VENV)/.stamp-test
	"$(VENV)/bin/python" scripts/check_wheels.py

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "phalanx needs Python 3.10 or newer, and none of '$(CANDIDATES)' is one (found: $$(python3 --version 2>&1)). Install one, or say which with: make PYTHON=/path/to/python3" >&2; exit 2; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "phalanx needs Python 3.10 or newer; $(PYTHON) is $$("$(PYTHON)" --version 2>&1)." >&2; exit 2; }
	@"$(PYTHON)" -c 'import venv, ensurepip' || { \
		echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian and Ubuntu: python3-venv)." >&2; exit 2; }
	@echo "Making $(VENV) with $$("$(PYTHON)" --version)"
	@rm -rf "$(VENV)" && "$(PYTHON)" -m venv "$(VENV)"

$(VENV)/.stamp-run: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing phalanx"
	@$(INSTALL) --editable . && touch "$@"

$(VENV)/.stamp-test: $(VENV)/.stamp-run
	@echo "Installing what tests need (PyTorch is large: this takes a minute or more the first time)"
	@$(INSTALL) --editable ".[test]" && touch "$@"

$(VENV)/.stamp-dev: $(VENV)/.stamp-run
	@$(INSTALL) --editable ".[dev]" && touch "$@"

clean:
	rm -rf .venv out
