# Every command of Fleetdesk. `make help` lists them; CI runs `make test` and nothing else.

# The runner reads these; `make up DETACH=1`, `make logs NAME=gateway`, `make clock ADVANCE=24h`.
DETACH ?=
NAME ?=
ADVANCE ?=
TENANT ?=
REMOVE ?=
ARGS ?=

PY := .venv/bin/python
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
LOCKED := uv.lock pyproject.toml $(wildcard services/*/pyproject.toml libs/*/pyproject.toml) \
	deploy/local/pyproject.toml
BUF := .venv/bin/buf
RELEASED := protos/released.binpb

# Where Python is told to keep no bytecode, every process and every test worker would compile anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.SUFFIXES:
.NOTPARALLEL:

##@ Use it

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

.PHONY: up
up: setup ## Install what is missing and bring the fleet up; DETACH=1 returns when it is ready
	@$(PY) -m fleetdesk_local up $(if $(DETACH),--detach)

.PHONY: down
down: .venv/.runtime ## Stop the fleet and keep its data
	@$(PY) -m fleetdesk_local down

.PHONY: reset
reset: .venv/.runtime ## Stop the fleet and delete its data
	@$(PY) -m fleetdesk_local reset

.PHONY: status
status: .venv/.runtime ## Say what runs
	@$(PY) -m fleetdesk_local status

.PHONY: logs
logs: .venv/.runtime ## Follow the logs; NAME=gateway for one process
	@$(PY) -m fleetdesk_local logs $(NAME)

.PHONY: psql
psql: .venv/.runtime ## Open the fleet's database as its administrator
	@$(PY) -m fleetdesk_local psql

.PHONY: clock
clock: .venv/.runtime ## Move the fleet clock forward: make clock ADVANCE=24h
	@$(PY) -m fleetdesk_local clock --advance $(or $(ADVANCE),24h)

.PHONY: integrator
integrator: .venv/.runtime ## Let a tenant's own program hear its events: TENANT=<id>, REMOVE=1 to shut it out
	@$(PY) -m fleetdesk_local integrator --tenant $(or $(TENANT),"") $(if $(REMOVE),--remove)

##@ Change it

.PHONY: dev
dev: .venv/.development protos assets ## Bring the fleet up, and restart a service when its code changes
	@$(PY) -m fleetdesk_local up --reload

.PHONY: setup
setup: .venv/.runtime protos assets ## Install what the fleet needs

.PHONY: protos
protos: .venv/.runtime ## Generate the Python of protos/
	@$(PY) deploy/local/gen_protos.py

.PHONY: assets
assets: .venv/.runtime ## Build the pages' scripts and styles
	@$(PY) -m fleetdesk_local assets

.PHONY: migrate
migrate: .venv/.runtime protos ## Bring the tables of a running fleet up to date
	@$(PY) -m fleetdesk_local migrate

.PHONY: docs
docs: .venv/.runtime protos ## Write what is generated of services/README.md and deploy/
	@$(PY) -m fleetdesk_local.docs
	@$(PY) -m fleetdesk_local.cluster generate

.PHONY: fmt
fmt: .venv/.development ## Format Python and protos
	@.venv/bin/ruff check --quiet --fix --exit-zero .
	@.venv/bin/ruff format --quiet .
	@$(BUF) format --write protos

.PHONY: release-protos
release-protos: .venv/.development ## Make the protos as they are now what later changes must stay compatible with
	@$(BUF) build protos --output $(RELEASED)
	@echo "$(RELEASED) is the released contract now: commit it"

##@ Deploy it

.PHONY: manifests
manifests: .venv/.development ## Render the manifests of base and overlays into .manifests/
	@mkdir -p .manifests
	@for name in base overlays/local overlays/staging overlays/production; do \
		.venv/bin/kubectl kustomize deploy/$$name > .manifests/$$(basename $$name).yaml || exit 1; \
		echo ".manifests/$$(basename $$name).yaml"; \
	done

.PHONY: images
images: .venv/.development protos ## Build the services' images with buildah, run them confined, print sizes and times
	@$(PY) -m tests.deploy.images $(ARGS)

##@ Check it

# Where tests keep databases, streams and files: in memory where there are 6 GB to spare.
TEST_TMP = $(shell df --output=avail /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 > 6000000 {print "/dev/shm"}' | \
	grep . || echo $${TMPDIR:-/tmp})

.PHONY: test
test: .venv/.development protos assets checks browser ## Run every check there is, as CI does
	TMPDIR=$(TEST_TMP) $(PY) -m pytest --numprocesses 5 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: checks
checks: .venv/.development protos assets ## Lint, check types, and see that every test can be collected
	@{ $(MAKE) --no-print-directory lint && $(MAKE) --no-print-directory collect; } & linted=$$!; \
		$(MAKE) --no-print-directory type; typed=$$?; wait $$linted && exit $$typed

# Compiles the tests once, which each of the workers would do for itself.
.PHONY: collect
collect: .venv/.development protos assets ## See that every test can be collected
	$(PY) -m pytest --collect-only --quiet --quiet --quiet

.PHONY: lint
lint: .venv/.development protos ## Check format, lint, import rules and protos
	.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	$(BUF) lint protos
	$(BUF) format --diff --exit-code protos
	$(BUF) breaking protos --against $(RELEASED)
	.venv/bin/lint-imports --no-logo
	$(PY) -m fleetdesk_local.docs --check
	$(PY) -m fleetdesk_local.cluster generate --check

.PHONY: type
type: .venv/.development protos ## Check types
	.venv/bin/basedpyright --level error

.PHONY: e2e
e2e: .venv/.development protos assets browser ## Run only the tests that drive a whole fleet with a browser
	@$(PY) -m pytest tests/e2e $(ARGS)

.PHONY: browser
browser: .venv/.development ## Install the browser that the tests drive, where that is possible
	@$(PY) -m fleetdesk_local browser

.PHONY: surface
surface: .venv/.development protos assets ## Try the fleet's surface with everything there is: ARGS="--examples 200" for more
	$(PY) -m pytest tests/contract/test_surface_rpc.py tests/gateway/test_surface_openapi.py \
		tests/gateway/test_surface_hostile.py --examples 40 -s $(ARGS)

.PHONY: load
load: .venv/.development protos assets ## Measure a fleet under load and print tables
	@$(PY) -m tests.load $(ARGS)

.PHONY: chaos
chaos: .venv/.development protos assets ## Kill, fill and cut for real under 20,000 events and print tables
	@$(PY) -m tests.chaos $(ARGS)

.PHONY: agreement
agreement: .venv/.development protos assets ## Break a model's provider and kill llm-gateway, and compare what all places say it cost
	@$(PY) -m tests.chaos.agreement $(ARGS)

.PHONY: gateways
gateways: .venv/.development protos ## Measure what llm-gateway adds to an answer beside other gateways: ARGS=--paced
	@$(PY) tests/load/bench_llm_gateway.py $(ARGS)

.PHONY: caching
caching: .venv/.development protos ## Send whole conversations through prompt caching and print what it brings
	@$(PY) -m tests.eval.caching $(ARGS)

.PHONY: bill
bill: .venv/.development protos ## Price 1,000 conversations: by one dear model without a cache, and by the defaults
	@$(PY) -m tests.eval.bill $(ARGS)

.PHONY: eval
eval: .venv/.development protos ## Measure how well search finds and answers cite
	@$(PY) -m tests.eval $(ARGS)

.PHONY: clean
clean: ## Delete what was installed and generated; the fleet's data stays
	rm -rf .venv .uv .manifests .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf libs/protos_py/src/fleetdesk/*/ libs/protos_py/.stamp
	rm -rf services/gateway/src/gateway/static services/gateway/web/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What is installed. --inexact: the tools of development stay when only the fleet is asked for.

.venv/.runtime: $(UV) $(LOCKED)
	@$(UV) sync --quiet --frozen --inexact --no-default-groups --group build --compile-bytecode
	@touch $@

.venv/.development: $(UV) $(LOCKED)
	@$(UV) sync --quiet --frozen --inexact --compile-bytecode
	@touch .venv/.runtime $@

.uv/bin/uv:
	@command -v python3 >/dev/null || { \
		echo "Python 3.11 or newer is missing: apt-get install python3 python3-venv" >&2; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed: python3 is $$(python3 --version)." >&2; exit 1; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@rm -rf .uv && python3 -m venv .uv && .uv/bin/pip install --quiet 'uv>=0.9,<1'
