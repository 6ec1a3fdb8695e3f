// The suites of measurements on SQLite. Each runs once and says its figures; bench/sqlite.py runs
// it again for the next repetition. Names and units of the figures are in bench/figures.py.
#pragma once

#include <string>

namespace bench {

struct Arguments {
  std::string extension;
  std::string folder;  // for the databases
  size_t rows = 0;
  size_t repetition = 0;  // from 0; even ones measure the untracked table first
  size_t repetitions = 1;  // suite `enable`
  size_t tables = 1;      // suite `idle`
  size_t peers = 1;       // suite `idle`
};

// Inserting, updating and deleting, tracked against untracked, for the three tables.
void measure_writes(const Arguments& arguments);
// The same writes recorded by SQLite's session extension, and its changesets made and applied.
void measure_session(const Arguments& arguments);
// Export, apply and sync_now, full and delta, and what travels and is kept.
void measure_exchange(const Arguments& arguments);
// The first fill of an empty database, by sync_now and by sync_clone.
void measure_fill(const Arguments& arguments);
// sync_enable and ADD COLUMN on the full table that measure_scale has left in folder/plain.db.
void measure_enable(const Arguments& arguments);
// sync_now with nothing to do, among many tables or knowing many sites.
void measure_idle(const Arguments& arguments);
// One row changed, then sync_now, again and again.
void measure_small_syncs(const Arguments& arguments);
// Seconds for insert, export, apply and sync_now at one size.
void measure_scale(const Arguments& arguments);
// What one sync_now of all the rows from folder/source.db, which measure_scale has left, into an
// empty file adds to the memory of a process that has both open.
void measure_memory(const Arguments& arguments);

}  // namespace bench
