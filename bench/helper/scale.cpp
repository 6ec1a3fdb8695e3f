// The same work at one size: bench/scaling.py runs it at several and fits the exponent.
#include <fstream>

#include "suites.hpp"
#include "workload.hpp"

namespace bench {

namespace {

// Exports into an applying database chunk by chunk, so that memory stays that of one chunk.
void transfer(Database& from, Database& to, Time* exporting, Time* applying) {
  sqlite3_stmt* s = from.prepare("SELECT changes FROM sync_changes_since('{}')");
  bool more = true;
  while (more) {
    std::vector<std::string> chunk(1);
    *exporting += timed([&] {
      more = sqlite3_step(s) == SQLITE_ROW;
      if (more) {
        chunk[0].assign(static_cast<const char*>(sqlite3_column_blob(s, 0)),
                        static_cast<size_t>(sqlite3_column_bytes(s, 0)));
      }
    });
    if (more) *applying += timed([&] { to.apply(chunk); });
  }
  if (sqlite3_finalize(s) != SQLITE_OK) die("export failed");
}

// The most that this process has had in memory. What wait4 tells of a child counts what it had of
// its parent's memory before it became another program.
double peak_memory_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

void start(Database& db, const std::string& sql) {
  db.run(sql);
  db.value("SELECT sync_enable('task')");
}

}  // namespace

void measure_scale(const Arguments& arguments) {
  const std::string at = "@" + std::to_string(arguments.rows);
  const size_t rows = arguments.rows;
  {
    Database plain(arguments.folder + "/plain.db", arguments.extension);
    plain.run(narrow().create);
    say("scale.sqlite.plain" + at, insert(plain, narrow(), 0, rows, 1000).wall);
  }
  Database source(arguments.folder + "/source.db", arguments.extension);
  start(source, narrow().create);
  say("scale.sqlite.insert" + at, insert(source, narrow(), 0, rows, 1000).wall);
  source.checkpoint();
  Database target(arguments.folder + "/target.db", arguments.extension);
  start(target, narrow().create);
  const std::string now = "SELECT sync_now('" + target.path() + "')";
  say("scale.sqlite.now" + at, timed([&] { source.value(now); }).wall);
  Database applied(arguments.folder + "/target.db", arguments.extension);
  start(applied, narrow().create);
  Time exporting, applying;
  transfer(source, applied, &exporting, &applying);
  say("scale.sqlite.export" + at, exporting.wall);
  say("scale.sqlite.apply" + at, applying.wall);
}

void measure_memory(const Arguments& arguments) {
  Database source(arguments.folder + "/source.db", arguments.extension, Database::Start::existing);
  Database target(arguments.folder + "/memory.db", arguments.extension);
  start(target, narrow().create);
  source.value("SELECT count(*) FROM task");
  const double before = peak_memory_mib();
  source.value("SELECT sync_now('" + target.path() + "')");
  say("sqlite.memory", peak_memory_mib() - before);
}

}  // namespace bench
