# Needs Python 3.11 or newer, git and make; everything else is installed into $(VENV).
.DEFAULT_GOAL := help
.PHONY: help venv demo test check lint types mypy pyright imports style bench soak clean

VENV ?= .venv
# Many tests wait for servers and processes: more workers than the two cores that CI has.
WORKERS ?= 4
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
CODE := sharedstate adapters cli tests $(wildcard examples)

# Named by the user, only that one; else `python3`, else the newest of the others.
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

help: ## Show this list
	@echo "make demo    watch a fleet work through real tasks, and a reviewer who is obeyed (about a minute)"
	@echo "make test    run all tests"
	@echo "make check   formatting, lint, types, direction of imports, house style"
	@echo "make bench   print the benchmark table; ARGS=--quick for a short run"
	@echo "make soak    run the long tests"
	@echo "make venv    only build the virtual environment"
	@echo "make clean   remove what these commands have built"
	@echo "Variables: PYTHON=python3.12 (which Python), VENV=$(VENV) (where it goes), WORKERS=$(WORKERS) (test workers)"

venv: $(STAMP)

# Written last: an interrupted installation is taken up again. Runs anew only when pyproject.toml has changed.
$(STAMP): pyproject.toml
	@set -e; found=; \
	for candidate in $(CANDIDATES); do \
	    if "$$candidate" -c '$(SUITABLE)' >/dev/null 2>&1; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "No Python 3.11 or newer with the modules venv and ensurepip among: $(CANDIDATES)." >&2; \
	    echo "Install one (Debian, Ubuntu: the packages python3 and python3-venv), or name it: make PYTHON=python3.12 ..." >&2; \
	    exit 1; \
	fi; \
	echo "Building $(VENV) with $$("$$found" --version)" >&2; \
	if "$(PY)" -c '' 2>/dev/null; then clear=; else clear=--clear; fi; \
	"$$found" -m venv $$clear "$(VENV)"; \
	"$(PY)" -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; \
	"$(PY)" -c 'import sys; open(sys.argv[1], "w").close()' "$@"

demo: $(STAMP) ## A fleet on real tasks, then a reviewer on GitHub
	@$(PY) examples/fleet.py $(ARGS)
	@printf '\nThe board: agents and a reviewer, on a GitHub that runs on this machine\n'
	@KANBAN_REPO= no_proxy=127.0.0.1 $(PY) examples/kanban_reviewer.py

test: $(STAMP) ## All tests but the soak
	@$(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: lint types imports style ## All static checks

lint: $(STAMP)
	@$(PY) -m ruff check $(CODE)
	@$(PY) -m ruff format --check $(CODE)

types: mypy pyright

mypy: $(STAMP)
	@$(PY) -m mypy $(CODE)

pyright: $(STAMP)
	@$(PY) -m pyright --pythonpath $(PY)

imports: $(STAMP)
	@$(PY) $(VENV)/bin/lint-imports

style: $(STAMP)
	@$(PY) -m pytest -q tests/style

bench: $(STAMP) ## The benchmark table
	@$(PY) -m tests.benchmarks.run $(ARGS)

soak: $(STAMP) ## The long tests
	@$(PY) -m pytest -m soak --timeout 3600 $(ARGS)

CLEANED := build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
clean: ## Remove what was built
	@rm -rf $(VENV) $(CLEANED)
