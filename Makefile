# Everything below works in a fresh clone with nothing but Python 3.11 or later.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$p" && break; done)
PROTOS := $(shell find protos -name '*.proto' 2>/dev/null)
ONLY ?=
QUICK ?=
PARALLEL ?= -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
LIVES ?= 500
FIRST ?= 1000000
IMAGES ?= 50000
SEED ?= 0
ROUNDS ?= 40
SEED ?= 1
SECONDS ?= 600
SEEDS ?= 0
INSTALLED := $(VENV)/.installed
BENCHED := $(VENV)/.benched
GENERATED := $(VENV)/.generated

.DEFAULT_GOAL := help
.PHONY: help dev protos demo test walks crash-images sim sim-sweep sim-long sim-mutants crash-long model check format \
	bench constraints clean

help:  ## show this list
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

dev: $(INSTALLED) $(GENERATED)  ## make .venv with hpcsched and the tools in it

$(INSTALLED): pyproject.toml constraints.txt protos/build_hook.py
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or later is needed; \
	say where it is: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		--editable . --group dev
	@touch $@ $(GENERATED)

$(GENERATED): $(PROTOS) | $(INSTALLED)
	$(BIN)/python protos/build_hook.py
	@touch $@

protos: $(INSTALLED)  ## generate the Python modules of the protos
	$(BIN)/python protos/build_hook.py
	@touch $(GENERATED)

demo: dev  ## a cluster on this machine, a sweep on it, its results
	$(BIN)/hpc demo

test: dev  ## all tests, two or more at once; make test ARGS='-n 0 -k sweep'
	$(BIN)/python -m pytest $(PARALLEL) --durations=10 $(ARGS)

walks: dev  ## long random lives of jobs; make walks LIVES=1000 FIRST=5000
	HPCSCHED_LIVES=$(LIVES) HPCSCHED_FIRST_LIFE=$(FIRST) \
		$(BIN)/python -m pytest -p no:randomly tests/core/test_random_walks.py

crash-long: dev  ## daemons killed under load; make crash-long ROUNDS=500 SEED=9 SECONDS=7200
	$(BIN)/python -m tests.support.crash --rounds $(ROUNDS) --seed $(SEED) --seconds $(SECONDS)
	for hazard in network disk fsync clock; do \
		$(BIN)/python -m tests.support.crash --hazard $$hazard --if-possible \
			--rounds $(ROUNDS) --seed $(SEED) --seconds $$(($(SECONDS) / 5)) || exit; \
	done
	$(BIN)/python -m tests.support.crash.syscalls --seconds $$(($(SECONDS) / 2))

sim: SECONDS = 60
sim: dev  ## hundreds of simulated clusters under faults in a minute; make sim SEED=18 ARGS=--trace
	$(BIN)/python -m tests.support.sim \
		$(if $(filter command environment,$(origin SEED)),--seed $(SEED),\
		--first $(FIRST) --seconds $(SECONDS)) $(ARGS)

sim-sweep: dev  ## programs die at every moment of a simulated working day
	$(BIN)/python -m tests.support.sim.sweep $(ARGS)

sim-mutants: dev  ## does the simulation find defects that are planted in the product?
	$(BIN)/python -m tests.support.sim.mutate $(ARGS)

sim-long: SECONDS = 7200
sim-long: dev  ## larger ones, for hours; make sim-long SECONDS=36000
	$(BIN)/python -m tests.support.sim.sweep --first $(FIRST) --seeds 1000 \
		--seconds $$(($(SECONDS) / 10))
	$(BIN)/python -m tests.support.sim --first $(FIRST) --seeds $(SEEDS) \
		--seconds $(SECONDS) --size whole $(ARGS)

.PHONY: fuzz soak
fuzz: SECONDS = 60
fuzz: dev  ## wild input, SECONDS per target; make fuzz SECONDS=600 ARGS='-k agent'
	HPCSCHED_FUZZ_SECONDS=$(SECONDS) $(BIN)/python -m pytest -s tests/fuzz $(ARGS)

model: dev  ## search the protocol of head and agent; make model LONG=1 (minutes)
	$(BIN)/python -m tests.support.model $(if $(LONG),long,full)

soak: JOBS = 20000
soak: SECONDS = 300
soak: dev  ## jobs and clients come and go, nothing grows; make soak JOBS=50000 SECONDS=900
	$(BIN)/python -m bench.soak --jobs $(JOBS) --seconds $(SECONDS) $(ARGS)

crash-images: dev  ## power cuts: make crash-images IMAGES=5000000 SEED=7
	$(BIN)/python -m tests.support.crash_images --images $(IMAGES) --seed $(SEED)

check: dev  ## format, lint, types, import contracts, protos
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check-breaking

format: dev  ## put the code in its canonical form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: dev $(BENCHED)  ## P1 to P12 of docs/performance.md; make bench ONLY=P1,P7 QUICK=1
	$(BIN)/python -m bench --only "$(ONLY)" $(if $(QUICK),--quick) $(ARGS)

$(BENCHED): pyproject.toml constraints.txt | $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	@touch $@

constraints: $(INSTALLED)  ## write the versions that .venv has into constraints.txt
	$(BIN)/python scripts/freeze.py > constraints.new
	mv constraints.new constraints.txt

clean:  ## remove what the tools have made, .venv too
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .grimp_cache
	find hpcsched -name '*_pb2*.py*' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
