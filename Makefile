# make reproduce and make test are all a newcomer needs; both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PINS := envs/requirements.txt envs/yolo.txt envs/constraints.txt pyproject.toml
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SCALE ?=
# By the shell, when it is wanted: Snakemake has then said of a misspelt scale what is wrong.
RESULTS = $$($(BIN)/python -c "from mkd.experiment import config; print(config.load($(if $(SCALE),{'scale': '$(SCALE)'})).results)")
WORKFLOW_REPORT ?= $(RESULTS)/report/workflow.html
# One more than there are cores: a few tests mostly wait, for Slurm or a browser. Eight at most, as each
# takes one or two GB. A worker that dies is one failure: given another, pytest-xdist would wait for ever
# for what the dead one held.
WORKERS = $(shell $(BIN)/python -c "import os; print(min(os.cpu_count() or 1, 7) + 1)")
# Behind the target: Snakemake takes all that follows --config for it.
CONFIG = $(if $(SCALE),--config scale=$(SCALE))

.PHONY: help reproduce test test-quick lint format bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

reproduce: $(VENV)/.installed ## run everything of a scale and render its report (SCALE=smoke, desk, …)
	$(BIN)/snakemake reproduce $(CONFIG)
	@$(BIN)/snakemake reproduce --quiet all --report "$(WORKFLOW_REPORT)" $(CONFIG)

test: $(VENV)/.installed-dev ## run all tests, the slow ones too
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test-quick: $(VENV)/.installed-dev ## run the tests that take seconds
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/.installed-dev ## ruff, mypy, import-linter, codespell, snakefmt and snakemake --lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: $(VENV)/.installed-dev ## let ruff and snakefmt format the code
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

bench: $(VENV)/.installed-dev ## time distillation steps and training side by side
	$(BIN)/python benchmarks/distill_step.py
	$(BIN)/python benchmarks/training.py

clean: ## remove the environment (results and data stay)
	rm -rf $(VENV)

$(VENV)/.installed: $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "mkd: Python 3.11 or newer is needed, $(PYTHON) is %s.%s: make PYTHON=python3.11 …" % sys.version_info[:2])'
	@echo "making $(VENV) from the pins in envs/ (about 7 GB with CUDA wheels) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -r envs/requirements.txt -r envs/yolo.txt -c envs/constraints.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed envs/dev.txt
	@$(PIP) -r envs/dev.txt -c envs/constraints.txt
	@touch $@
