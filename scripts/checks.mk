# Long tests; docs/testing.md tells of them. Part of the Makefile.
.PHONY: mutate fuzz crash asan tsan valgrind

mutate:  ## break each rule of the merge once, to see that a test notices (half an hour)
	@scripts/mutate.py $(RULES)

fuzz:  ## all fuzz targets under ASan and UBSan, SECONDS (60) in total; needs clang
	@scripts/fuzz.sh $(or $(SECONDS),60)

crash: all units  ## faulty disks, no memory, kill -9: SECONDS (60) for each of four suites
	@scripts/crash.sh $(or $(SECONDS),60)

asan:  ## C++ tests and the SQLite suites under the address and undefined-behaviour sanitizers
	@scripts/sanitize.sh address

tsan:  ## threads that synchronise the same files, under the thread sanitizer
	@scripts/sanitize.sh thread

valgrind:  ## regress tests (TESTS="apply types") in a PostgreSQL server under valgrind
	@scripts/valgrind.sh $(TESTS)
