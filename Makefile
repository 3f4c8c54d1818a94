# `make demo` shows the loop, `make test` proves it. Both need Python 3.11+ and nothing else.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
LABEL_STUDIO := .label-studio/.ready
# Where `make label-studio` listens, and whose images it may show: a name of the command line,
# for PORT stands in many an environment.
PORT = 8080
FILES = .label-studio/files
SEEDS ?= 0,1,2,3,4
# Trust the certificates the machine trusts, as behind a company's proxy.
export UV_SYSTEM_CERTS ?= 1
# Containers often forbid bytecode, and then every process compiles torch, Avalanche and Prefect
# anew: 19 s of work to import them instead of 8. It lies in .venv and in ignored folders.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint bench label-studio setup lock clean

demo: $(READY)
	@$(BIN)/python -m benchmarks.demo

# One worker a core, and a file at a time for each: the tests of a file share what they start.
# A worker and its servers may hold 3 GB, hence the limit.
test: lint $(LABEL_STUDIO)
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 \
		--dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
# flows/ is the package holdfast.flows: both linters need to see it in its place.
	@rm -rf .lint && mkdir -p .lint/holdfast
	@ln -s $(CURDIR)/platform/holdfast/* $(CURDIR)/flows .lint/holdfast/
	$(BIN)/mypy
	PYTHONPATH=.lint $(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks.closed_loop --data digits --seeds $(SEEDS) --json benchmarks/out/digits.json

label-studio: $(LABEL_STUDIO)
	@exec $(BIN)/python -m deployments.label_studio --port $(PORT) --files "$(FILES)"

setup: $(READY)

# uv installs what the lock names in seconds, where pip takes minutes.
$(READY): requirements.lock pyproject.toml
	@echo "Installing into .venv (about half a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Holdfast needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip sync --quiet requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $@

# It pins other versions than Holdfast, so it has an environment of its own.
$(LABEL_STUDIO): deployments/label_studio/requirements.lock | $(READY)
	@echo "Installing Label Studio into .label-studio (about a minute)"
	@$(BIN)/python -m deployments.label_studio.install
	@touch $@

lock:
	$(BIN)/uv pip compile --universal --python-version 3.11 --group dev --extra bench --no-header --quiet \
		--output-file requirements.lock pyproject.toml
	cd deployments/label_studio && ../../$(BIN)/uv pip compile --universal --python-version 3.11 \
		--no-header --quiet --output-file requirements.lock requirements.in

# What people said in Label Studio stays: .label-studio/data.
clean:
	rm -rf .venv build dist *.egg-info benchmarks/out
	rm -rf .label-studio/env .label-studio/empty.sqlite3 $(LABEL_STUDIO)
