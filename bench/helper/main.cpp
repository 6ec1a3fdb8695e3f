// Measures SQLite: one suite, once.
//
//   bench_sqlite SUITE EXTENSION FOLDER ROWS REPETITION [TABLES PEERS]
//   bench_sqlite enable EXTENSION FOLDER ROWS REPETITIONS
//
// One line of JSON a figure goes to standard output. bench/sqlite.py starts it: per-row cost of a
// scripting language would drown what is measured.
#include <cstdio>
#include <cstdlib>
#include <map>

#include "database.hpp"
#include "suites.hpp"

int main(int argc, char** argv) {
  using namespace bench;
  static const std::map<std::string, void (*)(const Arguments&)> kSuites = {
      {"writes", measure_writes}, {"session", measure_session}, {"exchange", measure_exchange},
      {"enable", measure_enable}, {"idle", measure_idle},       {"small", measure_small_syncs},
      {"scale", measure_scale},   {"memory", measure_memory},   {"fill", measure_fill},
  };
  if (argc < 6) die("usage: bench_sqlite SUITE EXTENSION FOLDER ROWS REPETITION [TABLES PEERS]");
  const auto suite = kSuites.find(argv[1]);
  if (suite == kSuites.end()) die(std::string("no suite ") + argv[1]);
  Arguments arguments;
  arguments.extension = argv[2];
  arguments.folder = argv[3];
  arguments.rows = std::strtoull(argv[4], nullptr, 10);
  arguments.repetition = arguments.repetitions = std::strtoull(argv[5], nullptr, 10);
  if (argc > 6) arguments.tables = std::strtoull(argv[6], nullptr, 10);
  if (argc > 7) arguments.peers = std::strtoull(argv[7], nullptr, 10);
  suite->second(arguments);
  return 0;
}
