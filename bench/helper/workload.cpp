#include "workload.hpp"

#include <algorithm>
#include <cstdio>

namespace bench {

namespace {

constexpr size_t kBlockRows = 1000;

// splitmix64: the same rows on every machine.
uint64_t mix(uint64_t* state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::string uuid(uint64_t* state) {
  const unsigned long long a = mix(state), b = mix(state);
  char id[40];
  std::snprintf(id, sizeof id, "%08llx-%04llx-4%03llx-a%03llx-%012llx", a >> 32, (a >> 16) & 0xffff,
                a & 0xfff, b >> 52, b & 0xffffffffffffULL);
  return id;
}

std::string words(uint64_t* state, int count) {
  static const char* kWords[] = {"order",    "invoice",  "visit",  "pump", "valve",
                                 "clinic",   "north",    "repair", "late", "urgent",
                                 "customer", "delivery", "stock"};
  std::string out;
  for (int i = 0; i < count; ++i)
    out += std::string(i ? " " : "") + kWords[mix(state) % 13];
  return out;
}

Cell text(std::string value) {
  return {Cell::Kind::text, 0, 0, std::move(value)};
}
Cell integer(int64_t value) {
  return {Cell::Kind::integer, value, 0, {}};
}
Cell real(double value) {
  return {Cell::Kind::real, 0, value, {}};
}

void add_values(std::vector<Cell>* row, uint64_t* state) {
  row->push_back(text(words(state, 4)));
  row->push_back(text(words(state, 14)));
  row->push_back(integer(static_cast<int64_t>(mix(state) % 5)));
  row->push_back(real(static_cast<double>(mix(state) % 1000) / 8));
  row->push_back(integer(1700000000000 + static_cast<int64_t>(mix(state) % 100000000)));
}

std::vector<Cell> make_narrow(uint64_t number) {
  uint64_t state = number * 1000003;
  std::vector<Cell> row;
  row.push_back(text(uuid(&state)));
  add_values(&row, &state);
  return row;
}

constexpr int kWideColumns = 60;

std::vector<Cell> make_wide(uint64_t number) {
  uint64_t state = number * 1000003 + 1;
  std::vector<Cell> row;
  row.push_back(text(uuid(&state)));
  for (int i = 1; i < kWideColumns; ++i) {
    if (i % 3 == 0) row.push_back(text(words(&state, 2)));
    if (i % 3 == 1) row.push_back(integer(static_cast<int64_t>(mix(&state) % 10000)));
    if (i % 3 == 2) row.push_back(real(static_cast<double>(mix(&state) % 1000) / 8));
  }
  return row;
}

std::vector<Cell> make_composite(uint64_t number) {
  uint64_t state = (number / 5) * 1000003 + 2;
  std::vector<Cell> row;
  row.push_back(text(uuid(&state)));
  row.push_back(integer(static_cast<int64_t>(number % 5)));
  state += number;
  add_values(&row, &state);
  return row;
}

std::string wide_table() {
  static const char* kTypes[] = {"TEXT", "INTEGER", "REAL"};
  std::string sql = "CREATE TABLE task(id TEXT PRIMARY KEY";
  for (int i = 1; i < kWideColumns; ++i)
    sql += ", c" + std::to_string(i) + " " + kTypes[i % 3];
  return sql + ")";
}

void bind(sqlite3_stmt* s, int column, const Cell& cell) {
  switch (cell.kind) {
    case Cell::Kind::integer:
      sqlite3_bind_int64(s, column, cell.integer);
      break;
    case Cell::Kind::real:
      sqlite3_bind_double(s, column, cell.real);
      break;
    case Cell::Kind::text:
      sqlite3_bind_text(s, column, cell.text.data(), static_cast<int>(cell.text.size()),
                        SQLITE_STATIC);
      break;
  }
}

// Runs a prepared statement for `count` rows whose numbers `number_of` gives, binding the first
// `columns` cells; only that is timed.
template <typename NumberOf>
Time write(Database& db, const Workload& workload, sqlite3_stmt* s, int columns, size_t count,
           size_t per, NumberOf number_of) {
  Time time;
  std::vector<std::vector<Cell>> rows;
  for (size_t first = 0; first < count; first += kBlockRows) {
    const size_t end = std::min(first + kBlockRows, count);
    rows.clear();
    for (size_t i = first; i < end; ++i)
      rows.push_back(workload.make(number_of(i)));
    time += timed([&] {
      for (size_t i = first; i < end; ++i) {
        if (per > 1 && i % per == 0) db.run("BEGIN IMMEDIATE");
        for (int c = 0; c < columns; ++c)
          bind(s, c + 1, rows[i - first][static_cast<size_t>(c)]);
        db.step(s);
        if (per > 1 && (i % per == per - 1 || i + 1 == count)) db.run("COMMIT");
      }
    });
  }
  return time;
}

std::string where_key(const Workload& workload) {
  return workload.key_columns == 1 ? " WHERE id = ?" : " WHERE id = ? AND line = ?";
}

}  // namespace

const Workload& narrow() {
  static const Workload workload = {
      "narrow",
      "W1: six columns",
      "CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT, body TEXT, status INTEGER, "
      "priority REAL, updated_at INTEGER)",
      6,
      1,
      "UPDATE task SET status = status + 1 WHERE id = ?",
      "UPDATE task SET updated_at = updated_at + 1",
      make_narrow};
  return workload;
}

const Workload& wide() {
  static const Workload workload = {"wide",
                                    "60 columns",
                                    wide_table(),
                                    kWideColumns,
                                    1,
                                    "UPDATE task SET c40 = c40 + 1 WHERE id = ?",
                                    "UPDATE task SET c40 = c40 + 1",
                                    make_wide};
  return workload;
}

const Workload& composite() {
  static const Workload workload = {
      "composite",
      "a key of two columns",
      "CREATE TABLE task(id TEXT, line INTEGER, title TEXT, body TEXT, status INTEGER, "
      "priority REAL, updated_at INTEGER, PRIMARY KEY(id, line))",
      7,
      2,
      "UPDATE task SET status = status + 1 WHERE id = ? AND line = ?",
      "UPDATE task SET updated_at = updated_at + 1",
      make_composite};
  return workload;
}

std::string delete_by_key(const Workload& workload) {
  return "DELETE FROM task" + where_key(workload);
}

Time insert(Database& db, const Workload& workload, size_t begin, size_t end, size_t per) {
  std::string sql = "INSERT INTO task VALUES(?";
  for (int i = 1; i < workload.columns; ++i)
    sql += ",?";
  sqlite3_stmt* s = db.prepare(sql + ")");
  const Time time = write(db, workload, s, workload.columns, end - begin, per,
                          [&](size_t i) { return begin + i; });
  sqlite3_finalize(s);
  return time;
}

Time by_key(Database& db, const Workload& workload, const std::string& sql, size_t rows,
            size_t count) {
  sqlite3_stmt* s = db.prepare(sql);
  // 7919 is a prime, and no multiple of it is a row number twice before all are named
  const Time time = write(db, workload, s, workload.key_columns, count, 1000,
                          [&](size_t i) { return (i * 7919) % rows; });
  sqlite3_finalize(s);
  return time;
}

}  // namespace bench
