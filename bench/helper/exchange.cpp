// What exporting, applying and sync_now cost, what travels, and what is kept.
#include <algorithm>

#include "suites.hpp"
#include "workload.hpp"

namespace bench {

namespace {

// A tracked, empty database.
void start(Database& db) {
  db.run(narrow().create);
  db.value("SELECT sync_enable('task')");
}

double bytes_of(Database& db, const std::string& names) {
  return db.number("SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE aggregate = 1 AND (" + names +
                   ")");
}

void say_metadata(Database& written, Database& received, size_t rows) {
  const auto count = static_cast<double>(rows);
  const char* state = "name GLOB 'sync_state_*' OR name GLOB 'sqlite_autoindex_sync_state_*'";
  const char* log = "name = 'sync_log'";
  say("sqlite.metadata.log", bytes_of(written, log) / count);
  const double kept = bytes_of(received, state) / count;
  say("sqlite.metadata.state", kept);
  const double key = written.number("SELECT avg(length(id)) FROM task");
  say("sqlite.metadata.beyond_key", kept - key);
}

// What is left when both have everything and have dropped what nobody needs.
void say_metadata_after_horizon(Database& a, Database& b, size_t rows) {
  for (Database* db : {&a, &b}) {
    while (db->number("SELECT sync_maintain() ->> 'done'") == 0) {
    }
  }
  say("sqlite.metadata.after_horizon",
      bytes_of(a,
               "name GLOB 'sync_state_*' OR name GLOB 'sqlite_autoindex_sync_state_*' OR "
               "name = 'sync_log'") /
          static_cast<double>(rows));
}

// The keys that by_key has updated, and their rows as CSV of key and new value, in key order.
void write_updates(const Arguments& arguments, Database& db) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < arguments.rows / 5; ++i) {
    keys.push_back(narrow().make((i * 7919) % arguments.rows)[0].text);
  }
  std::sort(keys.begin(), keys.end());
  std::string key_lines, value_lines;
  for (const std::string& key : keys) {
    key_lines += key + "\n";
    value_lines += db.value("SELECT id || ',' || status FROM task WHERE id = '" + key + "'") + "\n";
  }
  write_file(arguments.folder + "/delta.keys", key_lines);
  write_file(arguments.folder + "/delta.csv", value_lines);
}

struct Bases {
  Time insert, update;  // of the same rows into an untracked table
};

void measure_full(const Arguments& arguments, Database& a, const Bases& base, std::string* vector) {
  std::vector<std::string> chunks;
  say_ratio("sqlite.export.unfolded", timed([&] { chunks = a.changes_since("{}"); }), base.insert);
  const auto rows = static_cast<double>(arguments.rows);
  say("wire.full.syncline", static_cast<double>(total_size(chunks)) / rows);
  Database c(arguments.folder + "/applied.db", arguments.extension);
  start(c);
  say_ratio("sqlite.apply.full", timed([&] { c.apply(chunks); }), base.insert);
  *vector = c.value("SELECT sync_version_vector()");
}

void measure_delta(const Arguments& arguments, Database& a, const Bases& base,
                   const std::string& vector) {
  std::vector<std::string> chunks;
  say_ratio("sqlite.export.delta", timed([&] { chunks = a.changes_since(vector); }), base.update);
  const auto updates = static_cast<double>(arguments.rows / 5);
  say("wire.delta.syncline", static_cast<double>(total_size(chunks)) / updates);
  Database c(arguments.folder + "/applied.db", arguments.extension, Database::Start::existing);
  say_ratio("sqlite.apply.delta", timed([&] { c.apply(chunks); }), base.update);
}

}  // namespace

void measure_exchange(const Arguments& arguments) {
  const size_t rows = arguments.rows;
  Bases base;
  Database plain(arguments.folder + "/plain.db", arguments.extension);
  plain.run(narrow().create);
  base.insert = insert(plain, narrow(), 0, rows, 1000);
  base.update = by_key(plain, narrow(), narrow().update, rows, rows / 5);

  Database a(arguments.folder + "/a.db", arguments.extension);
  start(a);
  insert(a, narrow(), 0, rows, 1000);
  std::string vector;
  measure_full(arguments, a, base, &vector);

  Database b(arguments.folder + "/b.db", arguments.extension);
  start(b);
  const std::string now = "SELECT sync_now('" + b.path() + "')";
  a.checkpoint();
  say_ratio("sqlite.now.full", timed([&] { a.value(now); }), base.insert);
  say_metadata(a, b, rows);
  say_ratio("sqlite.export.folded", timed([&] { a.changes_since("{}"); }), base.insert);

  by_key(a, narrow(), narrow().update, rows, rows / 5);
  measure_delta(arguments, a, base, vector);
  write_updates(arguments, a);
  a.checkpoint();
  say_ratio("sqlite.now.delta", timed([&] { a.value(now); }), base.update);
  say_metadata_after_horizon(a, b, rows);
}

// The first fill of an empty database from one that was full when it began to track, beside
// SQLite's own INSERT ... SELECT in the order of the key.
void measure_fill(const Arguments& arguments) {
  Database full(arguments.folder + "/full.db", arguments.extension);
  full.run(narrow().create);
  insert(full, narrow(), 0, arguments.rows, 1000);
  full.value("SELECT sync_enable('task')");
  full.checkpoint();
  Database own(arguments.folder + "/own.db", arguments.extension);
  own.run(narrow().create);
  own.run("ATTACH '" + full.path() + "' AS source");
  const Time base =
      timed([&] { own.run("INSERT INTO task SELECT * FROM source.task ORDER BY id"); });
  Database filled(arguments.folder + "/filled.db", arguments.extension);
  start(filled);
  const std::string from = "('" + full.path() + "')";
  say_ratio("sqlite.fill.now", timed([&] { filled.value("SELECT sync_now" + from); }), base);
  Database clone(arguments.folder + "/clone.db", arguments.extension);
  say_ratio("sqlite.fill.clone", timed([&] { clone.value("SELECT sync_clone" + from); }), base);
}

}  // namespace bench
