# `make all` and `make test` need Python 3.11 or later and nothing else: the first call sets up .venv. A .venv
# that was made by hand is left alone: nothing is installed into it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup all results dvc.yaml params.schema.json test test-wheel test-slow test-slurm test-faults lint bench evidence-gpu docs lock clean

READY := .venv/.ready
OURS := .venv/.made-by-make
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Two one-thread processes are faster than one with two threads, and waiting threads must not spin.
ONE_THREAD := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## set up .venv from requirements.lock; the other targets do so by themselves

all: $(READY)  ## make every table and figure (SCALE=smoke, demo, open or paper; params.yaml's own without it)
	@snakemake all $(if $(SCALE),--config scale=$(SCALE))

results: $(READY)  ## take over results that were shared: fetch the checkpoints; neither engine makes anything again
	@[ -f dvc.lock ] || { echo "There is no dvc.lock here: this branch shares no results (docs/reproduce.md)." >&2; exit 1; }
	@[ -e .git ] || grep -qs 'no_scm = true' .dvc/config.local .dvc/config || { \
	  echo "This is no git repository, which DVC expects: type \`dvc config --local core.no_scm true\` (docs/reproduce.md)." >&2; exit 1; }
	@dvc pull
	@changed=$$(dvc status | awk '/^[^[:space:]]/ {stage = substr($$1, 1, length($$1) - 1)} \
	  /\t\t|changed command/ && !/deleted: +data\// && !seen[stage]++ {printf " %s", stage}'); \
	if [ -n "$$changed" ]; then \
	  echo "The shared results were not made with this params.yaml; these stages differ:$$changed" >&2; exit 1; \
	fi
	@snakemake all --touch --forceall --quiet all
	@echo "results/ and checkpoints/ are complete: snakemake and dvc repro --allow-missing find nothing to do."

params.schema.json: $(READY)  ## write workflow/params.schema.json again: editors complete params.yaml by it
	@python -m dejavu.config.json_schema > workflow/$@

dvc.yaml: $(READY)  ## write it again, after a change of params.yaml's tables: the pipeline for `dvc repro`
	@dejavu dvc

test: $(READY)  ## run the tests (ARGS=... goes to pytest)
	@$(ONE_THREAD) python -m pytest -n 2 $(ARGS)

test-wheel: $(READY)  ## build the wheel and try it beside torch and numpy alone (`make test` does, too)
	@$(ONE_THREAD) python -m pytest tests/docs/test_wheel.py $(ARGS)

test-slow: $(READY)  ## run the tests that take minutes each
	@$(ONE_THREAD) python -m pytest -n 2 -m slow tests $(ARGS)

test-slurm: $(READY)  ## run the pipeline on a Slurm that this starts here and stops again (root on Debian)
	@$(ONE_THREAD) python -m pytest -m slurm tests/engines/slurm $(ARGS)

test-faults: $(READY)  ## kill runs at random moments until they end right (DEJAVU_FAULTS_SEED=... repeats the draws)
	@$(ONE_THREAD) python -m pytest -n 2 --dist loadfile -m "not slurm" \
	  tests/engines/faults tests/bad_input tests/engines/test_concurrency.py $(ARGS)

lint: $(READY)  ## check format, types and the workflow
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-logo
	snakefmt --check workflow
	snakemake --lint

bench: $(READY)  ## measure what the speed depends on (benchmarks/)
	@for file in benchmarks/*.py; do echo "== $$file"; $(ONE_THREAD) python $$file; done

evidence-gpu: $(READY)  ## train ten pairs side by side on one large GPU (MINUTES=12, PARALLEL=10; studies/gpu)
	@$(ONE_THREAD) studies/gpu/run.sh

docs: $(READY)  ## build the pages of docs/ into build/site
	@NO_MKDOCS_2_WARNING=1 python -W error -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

lock: $(READY)  ## write the versions in .venv to requirements.lock, and their licences to docs/licences.md
	pip list --format freeze --exclude pip --exclude-editable | sed 's/+.*//' | LC_ALL=C sort -f > requirements.lock
	python docs/tools/licences.py

clean:  ## remove what the small scales made, and caches; real data, open and paper stay
	rm -rf $(foreach folder,data checkpoints runs logs results,$(folder)/smoke $(folder)/demo)
	rm -rf dvc_plots .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build
	find dejavu tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2> /dev/null || true

# Two files: one says that this Makefile made .venv, and is written first; the other says that .venv is complete,
# and is written last: it is older than what it was made from when that changes.
$(READY): requirements.lock pyproject.toml
	@[ ! -e .venv ] || [ -e $(OURS) ] || [ -e $(READY) ] || { \
	  echo "This Makefile did not make .venv and installs nothing into it: call the tools themselves in it" \
	    "(snakemake, dejavu, pytest), or move it away." >&2; exit 1; }
	@echo "Setting up .venv from requirements.lock: about 3 minutes and 6 GB the first time."
	@for python in python3.11 python3; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then break; fi; \
	  python=; \
	done; \
	if [ -z "$$python" ]; then echo "Python 3.11 or later is needed, as python3.11 or python3 on PATH." >&2; exit 1; fi; \
	mkdir -p .venv && touch $(OURS); \
	[ -x .venv/bin/pip ] || $$python -m venv .venv || { \
	  rm -rf .venv; echo "$$python cannot make virtual environments: install its venv module (Debian: python3-venv)." >&2; exit 1; }
	@pip install --no-deps --requirement requirements.lock | awk -v all=$$(grep -c == requirements.lock) \
	  '/^Collecting|^Requirement already/ && ++n % 25 == 0 {print "  " n " of " all " packages"; fflush()} \
	   /^Installing collected/ {print "  installing them, which takes a minute or two"; fflush()}'
	@pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@
