# The front door: people, CI and .drone.yml use these targets and nothing else.
# Each target does all its own set-up. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENGINE ?=
IMAGE ?= hola:dev
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DEFAULT_GOAL := help
.PHONY: help run demo test check format bench bench-plot dashboards pictures image audit sbom promote prometheusrule lab-setup lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

run: $(VENV)/run ## set everything up and serve on port 5000 with the sample document in config/
	@HOLA_COMMIT=$(COMMIT) HOLA_CONFIG_DIR=$${HOLA_CONFIG_DIR:-config} exec ./entrypoint.sh serve

demo: $(VENV)/run ## show what hola promises, on one of its own; COMPOSE=1: on compose.yaml; URL=…: on one that runs behind a Consul
	@$(BIN)/python -m demo $(if $(COMPOSE),--compose) $(if $(URL),--url $(URL)) $(ARGS)

test: $(VENV)/dev ## all tests that this machine can run; says what it skipped
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/dev ## format, lint, types, layers, shell, YAML, Dockerfile
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/shellcheck entrypoint.sh .ci/run .ci/promote $(wildcard tests/lab/*.sh)
	$(BIN)/yamllint --strict .
	$(BIN)/hadolint Dockerfile tests/lab/confd/Dockerfile

format: $(VENV)/dev ## format the code and mend what can be mended without thought
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev ## the performance table: bare Flask, the usual assembly and hola in one run
	$(BIN)/python -m tests.bench $(ARGS)

bench-plot: $(VENV)/dev ## draw docs/pictures/performance.svg from what the last bench measured
	PYTHONPATH=. $$($(BIN)/python -m tests.bench.packages tests/bench/requirements-plot.txt) \
		-m tests.bench.plot docs/pictures/performance.svg

dashboards: $(VENV)/dev ## write the dashboards and the rules anew from dashboards/source
	$(BIN)/python -m dashboards.source

pictures: $(VENV)/dev ## take the pictures in docs/pictures anew: the live page after three minutes of traffic
	$(BIN)/python -m tests.lab.pictures

image: ## build the container image (ENGINE=docker or podman to choose)
	ENGINE=$(ENGINE) tests/lab/container.sh build $(IMAGE)

audit: .venv-audit/ready ## known vulnerabilities of what the image contains; asks osv.dev
	.venv-audit/bin/pip-audit --strict --vulnerability-service osv --progress-spinner off \
		--disable-pip --require-hashes -r requirements.txt $(ARGS)

sbom: .venv-audit/ready ## build/sbom.json: what the image contains (CycloneDX)
	@mkdir -p build
	.venv-audit/bin/cyclonedx-py requirements --output-reproducible -o build/sbom.json requirements.txt

promote: ## commit the image TAG, and its DIGEST if given, for TARGET (staging or production) and push it
	@.ci/promote "$$TARGET" "$$TAG" $${DIGEST:+"$$DIGEST"}

prometheusrule: ## write the rules of dashboards/ into k8s/components/monitoring
	@rule=k8s/components/monitoring/prometheusrule.yaml; head=$$(sed '/^spec:/q' $$rule); \
	{ echo "$$head"; sed -n '/^groups:/,$$ s/./  &/p' dashboards/rules.yaml; } >$$rule

lab-setup: ## install what tests/lab needs (root on Debian)
	tests/lab/setup.sh

lock: $(VENV)/dev ## pin and hash the dependencies anew
	$(BIN)/pip-compile $(COMPILE) -o requirements.txt requirements.in
	$(BIN)/pip-compile $(COMPILE) -o requirements-dev.txt requirements-dev.in
	$(BIN)/pip-compile $(COMPILE) -o tests/bench/requirements-peer.txt tests/bench/requirements-peer.in
	$(BIN)/pip-compile $(COMPILE) -o tests/bench/requirements-plot.txt tests/bench/requirements-plot.in
	$(BIN)/pip-compile $(COMPILE) -o tests/lab/requirements-moto.txt tests/lab/requirements-moto.in
	$(BIN)/pip-compile $(COMPILE) -o .ci/supply-chain.txt .ci/supply-chain.in
	$(BIN)/pip-compile $(COMPILE) -o tests/lab/requirements-checkov.txt tests/lab/requirements-checkov.in

COMPILE := --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

clean: ## remove what the other targets made
	rm -rf $(VENV) .venv-audit .venv-bench build .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The virtual environment: one for running, more in the same place for checks and tests.
$(VENV)/run: requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or newer (Debian: apt install python3)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$($(PYTHON) --version) is too old: install Python 3.11 or newer, or run make PYTHON=/path/to/it"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python has no venv module: install it (Debian: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --only-binary=:all: -r requirements.txt
	@touch $@

$(VENV)/dev: $(VENV)/run requirements-dev.txt
	$(BIN)/pip install --quiet --require-hashes --only-binary=:all: -r requirements-dev.txt
	@touch $@

# The tools of audit and sbom, apart: they share nothing with the service.
.venv-audit/ready: .ci/supply-chain.txt
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet --require-hashes --only-binary=:all: -r .ci/supply-chain.txt
	@touch $@
