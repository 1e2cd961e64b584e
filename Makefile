# `make demo` and `make test` set everything up by themselves; they need Python 3.11+ and make.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A name on PATH may be a shim that does not run, so each is tried.
PYTHON ?= $(shell for it in python3 python3.13 python3.12 python3.11; do \
	$$it -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$it && break; done)
STACK ?= aws-delegated mixed
INSTALL := --constraint constraints.txt --editable '.[dev]'

.DEFAULT_GOAL := help
.PHONY: help demo test check format docs bench clean

help: ## show what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/'

demo: $(READY) ## deploy stacks into the sandbox and show what was made and proved (STACK=azure: another one)
	@failed=0; for it in $(STACK); do $(BIN)/lightly-infra sandbox up --stack $$it || failed=$$?; done; exit $$failed

test: check ## every check: lint, types, imports, tests
	$(BIN)/pytest -n auto --cov --cov-report= --ignore=tests/e2e --ignore=tests/stateful
	$(BIN)/coverage report
	@# Whole programs, in processes of their own and without the tracer, which takes a third of their time.
	$(BIN)/pytest -n auto tests/e2e tests/stateful

check: $(READY) ## lint, types and which room imports which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## format and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(READY) ## write the pages of docs/ that follow from code
	$(BIN)/python -m docs.generate

bench: $(READY) ## speed, as ratios measured in one run
	$(BIN)/python -m benchmarks

clean: ## forget the set-up
	rm -rf $(VENV)

# uv takes 7 s where pip takes 43 s (two cores, packages cached nearby); where it cannot be had or cannot install,
# pip does it.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found on PATH." >&2; exit 1; }
	@echo "Setting up $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv \
		&& $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python $(INSTALL) 2>$(VENV)/uv.log \
		|| { echo "uv could not install (see $(VENV)/uv.log); pip does it, which takes longer."; \
			$(BIN)/python -m pip install --quiet --disable-pip-version-check $(INSTALL); }
	@# Where npm is out of reach, this says so, and all but Azure runs.
	@$(BIN)/python -m lightly_infra.sandbox.azure.azurite || true
	@touch $@
