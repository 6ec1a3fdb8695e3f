# Syncline. "make help" lists the targets.
PG_CONFIG ?= $(or $(lastword $(shell ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | \
               sort -t/ -k5n)),$(shell command -v pg_config))
BUILD ?= build
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
CMAKE_FLAGS ?=
PG_INCLUDE := $(if $(PG_CONFIG),$(shell $(PG_CONFIG) --includedir-server 2>/dev/null))
PG_READY := $(and $(PG_INCLUDE),$(wildcard $(PG_INCLUDE)/postgres.h))
export PG_CONFIG BUILD

.PHONY: all sqlite pg units install demo test check sim \
        bench bench-full format clean help

all: sqlite pg  ## build both extensions

sqlite: $(BUILD)/Makefile  ## build the SQLite extension: build/syncline.so
	@cmake --build $(BUILD) --target syncline -j$(JOBS)

ifneq ($(PG_READY),)
PGXS_MAKE = $(MAKE) --no-print-directory -C pg_ext PG_CONFIG=$(PG_CONFIG) with_llvm=no \
  CORE_LIBS="$(abspath $(BUILD)/peers/libsyncline_peers.a $(BUILD)/core/libsyncline_core.a)"

pg: $(BUILD)/Makefile  ## build the PostgreSQL extension against PG_CONFIG
	@cmake --build $(BUILD) --target syncline_peers -j$(JOBS)
	@$(PGXS_MAKE) -j$(JOBS) all

install: pg  ## install the PostgreSQL extension
	@$(PGXS_MAKE) install
else
pg install:
	@echo "No PostgreSQL server headers (PG_CONFIG=$(PG_CONFIG)): PostgreSQL extension skipped"
endif

$(BUILD)/Makefile:
	@cmake -S . -B $(BUILD) $(CMAKE_FLAGS) >/dev/null

units:  ## build the unit tests
	@cmake -S . -B $(BUILD) -DSYNCLINE_TESTS=ON $(CMAKE_FLAGS) >/dev/null
	@cmake --build $(BUILD) -j$(JOBS)

demo:  ## the PROJ database on two SQLite devices and a PostgreSQL hub
	@scripts/setup.sh demo
	@$(MAKE) --no-print-directory all
	@scripts/demo.sh

test:  ## every test; the last line is "N passed, M failed"
	@scripts/setup.sh test
	@tests/run_all.sh

check:  ## quick tier, under two minutes
	@scripts/setup.sh test
	@tests/run_all.sh --quick

sim: units  ## seeded simulations, in memory and over SQLite; SEED=n, or SEEDS=n from FIRST=n
	@for each in simulation_test sqlite_simulation_test; do \
	  SYNCLINE_SEED=$(SEED) SYNCLINE_SEEDS=$(SEEDS) SYNCLINE_FIRST=$(FIRST) \
	  $(BUILD)/tests/$$each || exit 1; done

bench:  ## build/bench/report.md in some ten minutes; BENCH: options of bench/bench.py
	@scripts/setup.sh bench && $(MAKE) --no-print-directory all
	@! scripts/pg_cluster.sh bindir >/dev/null 2>&1 || scripts/pg_cluster.sh install >/dev/null
	@/usr/bin/python3 bench/bench.py $(BENCH)

bench-full:  ## the same with 10,000,000 rows and more repetitions: an hour or two
	@$(MAKE) --no-print-directory bench BENCH=--full

include scripts/checks.mk

format:  ## clang-format over the C++ files (C in pg_ext follows PostgreSQL)
	@git ls-files '*.cpp' '*.hpp' 'core/*.h' 'peers/*.h' 'sqlite_ext/*.h' | xargs clang-format -i

clean:  ## remove everything that was built
	@rm -rf build build-asan build-fuzz build-tsan
	@test ! -f pg_ext/Makefile || test -z "$(PG_READY)" || \
	  $(MAKE) -s -C pg_ext PG_CONFIG=$(PG_CONFIG) with_llvm=no clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
