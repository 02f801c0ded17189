# Everything lives in .venv and contracts/node_modules; nothing outside this folder is touched.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
FORGE := cd contracts && node_modules/.bin/forge
PIP := $(PY) -m pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --no-annotate

.PHONY: help
help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/\1|\2/p' $(MAKEFILE_LIST) \
		| while IFS='|' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

# ------------------------------------------------------------------------------------------ set-up

.PHONY: setup
setup: .venv/.editable contracts/node_modules/.installed ## Install all that the rest needs, as pinned

.venv/.packages: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "setup: needs Python 3.11 or newer as python3 (or say make PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { echo "setup: Python cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
	@echo "setup: Python packages into .venv"
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

.venv/.editable: .venv/.packages pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

contracts/node_modules/.installed: contracts/package.json contracts/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null \
		|| { echo "setup: node or npm is missing: apt-get install nodejs npm" >&2; exit 1; }
	@node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' \
		|| { echo "setup: node $$(node --version) is too old: 18 or newer is needed" >&2; exit 1; }
	@echo "setup: contract tools into contracts/node_modules"
	@cd contracts && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@

# --------------------------------------------------------------------------------------- every day

.PHONY: demo
demo: setup ## Tell the whole lives of leases, on a real chain (ARGS=--json for one object at the end)
	@$(PY) -m chainwatch.demo $(ARGS)

.PHONY: test
test: setup ## Run the tests, in as many processes as there are cores (ARGS="tests/unit -k lease" for some)
	@$(if $(ARGS),,$(FORGE) test --gas-snapshot-emit=false)
	@$(PY) -m pytest --quiet --numprocesses=auto --maxprocesses=4 --dist=loadscope $(ARGS)

.PHONY: check
check: setup ## Format, lint, types, import rules, dependencies, compiled contracts and their gas
	@$(BIN)/ruff format --quiet --check . || { echo "check: run .venv/bin/ruff format ." >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --strict chainwatch provisioner tests
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/deptry .
	@node contracts/build.mjs --check
	@$(FORGE) test --match-path test/Gas.t.sol --gas-snapshot-check=true --gas-snapshot-emit=false

.PHONY: bench
bench: setup ## Measure how soon a purchase is a machine, and for how many calls
	@$(PY) -m tests.bench $(ARGS)

.PHONY: bench-chain
bench-chain: setup ## Measure how fast a chain is read (ARGS=--json for one object at the end)
	@$(PY) -m tests.bench.chain $(ARGS)

.PHONY: bench-simulator
bench-simulator: setup ## Measure how many API calls a second the stand-in answers
	@$(PY) -m tests.bench.simulator $(ARGS)

.PHONY: bench-machines
bench-machines: setup ## Measure a thousand purchases at once, and what ten thousand machines cost (ARGS=--json)
	@$(PY) -m tests.bench.machines $(ARGS)

SOAKED := $(addprefix tests/,acceptance/test_kill_reading.py acceptance/test_kill.py \
	acceptance/test_kill_containers.py property/test_vmids.py property/test_machines.py \
	acceptance/test_kill_sending.py property/test_sender.py property/test_sender_reorgs.py \
	integration/test_sender_crashes.py \
	integration/test_contract_fold.py \
	integration/test_schedules.py integration/test_modes.py integration/test_modes_copied.py \
	integration/test_every_lease_ends.py integration/test_dealing_crashes.py \
	integration/test_commands_doubles.py \
	integration/test_commands_modes.py integration/test_adopt_modes.py \
	integration/test_hands_modes.py)

.PHONY: soak
soak: setup ## Let N new histories happen to a few machines, 200 N to their VMIDs, kill a daemon 2 N times, and at each fault point of every act (N=500, ARGS=tests/… for some)
	@CHAINWATCH_SOAK=$(or $(N),500) $(PY) -m pytest --verbose --numprocesses=auto --maxprocesses=4 \
		--dist=load --maxschedchunk=1 $(or $(ARGS),$(SOAKED))

.PHONY: test-contracts
test-contracts: setup ## Run the tests of the lease contract, by forge and on a chain
	@$(FORGE) test --gas-snapshot-emit=false
	@$(PY) -m pytest --quiet tests/integration/test_contract.py tests/integration/test_contract_life.py \
		tests/integration/test_contract_fold.py

.PHONY: test-system
test-system: setup ## Build a template for real and boot two clones of it (root; installs packages of Debian)
	@tests/system/prepare
	@timeout --kill-after=30 20m $(PY) -m pytest --verbose tests/system

# --------------------------------------------------------------------------------------- now and then

.PHONY: requirements
requirements: setup ## Pin the newest releases, with their hashes
	@$(COMPILE) --upgrade --extra dev --output-file requirements/dev.txt pyproject.toml
	@$(COMPILE) --upgrade --constraint requirements/dev.txt --output-file requirements/run.txt pyproject.toml

.PHONY: clean
clean: ## Remove what the other targets made
	@rm -rf .venv build dist *.egg-info contracts/node_modules contracts/out contracts/cache \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
