# `make` lists the targets. All of them work in .venv, which is made on first use.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

# Override with e.g. `make test PYTHON=/path/to/python3.12`.
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# One thread a worker: two workers with torch's default thread count fight for the cores.
WORKERS ?= 2
PYTEST_ARGS ?=

LOWEST := build/lowest

DEMO := runs/demo
DEMO_EPOCHS ?= 200

.DEFAULT_GOAL := help
.PHONY: help install demo test coverage test-slow test-lowest lint format constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## make .venv and install the library with all extras, at the pinned versions

# The build backend comes first, so that it is pinned too, whatever pip's version.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo 'No Python 3.11 or newer was found; name one: make PYTHON=/path/to/python3.11' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo '$(PYTHON) is not Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11' >&2; exit 2; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --disable-pip-version-check -c constraints.txt hatchling
	$(PY) -m pip install --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[all,test]'
	@touch $@

demo: $(STAMP) ## train two discrete autoencoders on real digits, choose pixels, audit gradients, infer causes (about 3 minutes)
	rm -rf $(DEMO)
	$(PY) -m hotgrad train --data digits --latent categorical --epochs $(DEMO_EPOCHS) --out $(DEMO)/categorical
	$(PY) -m hotgrad evaluate $(DEMO)/categorical
	$(PY) -m hotgrad train --data digits --latent bernoulli --num-latents 64 --epochs $(DEMO_EPOCHS) --out $(DEMO)/bernoulli
	$(PY) -m hotgrad evaluate $(DEMO)/bernoulli
	$(PY) -m hotgrad select digits --target digit --k 12 --out $(DEMO)/columns
	$(PY) -m hotgrad audit vae --out $(DEMO)/gradients
	$(PY) -m hotgrad infer noisy-or --out $(DEMO)/causes
	@echo
	@echo 'Done. Each folder holds its pictures and figures, and a run its model:'
	@ls -1 $(DEMO)/*/*.png $(DEMO)/*/*.csv $(DEMO)/*/*.safetensors

lint: $(STAMP) ## check style, format and types
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

format: $(STAMP) ## rewrite the sources in the project's format
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

test: lint ## lint, then run every test (PYTEST_ARGS adds options)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

# Of its own: counting the lines makes the tests take a third longer.
coverage: $(STAMP) ## run every test and show which lines none of them reaches
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal --cov=hotgrad $(PYTEST_ARGS)

test-slow: $(STAMP) ## give every command and every function bad input: more than a thousand cases
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal tests/sweep $(PYTEST_ARGS)

test-lowest: $(LOWEST)/.installed ## run every test with the lowest versions that pyproject.toml admits
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

# The pins are pyproject.toml's own lower bounds: two of one package would leave pip nothing.
$(LOWEST)/.installed: pyproject.toml
	$(PYTHON) -m venv --clear $(LOWEST)
	grep -oE '"[A-Za-z][A-Za-z0-9._-]*>=[0-9.]+' $< | sed 's/"//; s/>=/==/' | sort -u > $(LOWEST).txt
	$(LOWEST)/bin/python -m pip install --disable-pip-version-check -c $(LOWEST).txt hatchling
	$(LOWEST)/bin/python -m pip install --disable-pip-version-check -c $(LOWEST).txt --no-build-isolation -e '.[all,test]'
	@touch $@

TORCH ?= 2.13.0
constraints: ## write constraints.txt anew: the newest versions that fit torch 2.13.0 (TORCH=)
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --disable-pip-version-check 'torch==$(TORCH)' '.[all,test]'
	{ echo '# Every version that `make install` uses, on Python 3.11. Written by `make constraints`; do not edit.'; \
	  echo '# The GPU libraries that some builds of torch bring are not listed: torch pins them itself.'; \
	  build/constraints/bin/python -m pip freeze --all --exclude hotgrad --exclude pip | sed -E 's/\+[[:alnum:].]+$$//'; \
	} > build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/constraints

clean: ## remove .venv and all that checks and builds have written; trained runs stay
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
