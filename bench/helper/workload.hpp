// The tables that are measured, and the ways of writing them.
//
// Rows are made from their number alone, a block at a time and outside of what is timed: memory
// does not grow with the number of rows, and making a row costs the figures nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "database.hpp"

namespace bench {

struct Cell {
  enum class Kind { integer, real, text } kind = Kind::integer;
  int64_t integer = 0;
  double real = 0;
  std::string text;
};

// A table and how its rows are made.
struct Workload {
  const char* name;
  const char* description;
  std::string create;  // CREATE TABLE task...
  int columns;         // all of them
  int key_columns;     // the first ones
  std::string update;  // of one column of one row, key bound
  std::string update_all;
  std::vector<Cell> (*make)(uint64_t number);  // the row with this number
};

// W1: task(id TEXT PRIMARY KEY, title, body, status, priority, updated_at), random UUID keys.
const Workload& narrow();
// 60 columns, one of them the key.
const Workload& wide();
// A key of a UUID and a line number.
const Workload& composite();

// Inserts rows `begin` to `end`, `per` of them a transaction.
Time insert(Database& db, const Workload& workload, size_t begin, size_t end, size_t per);
// Runs a statement whose parameters are a key, for `count` rows out of `rows`, 1,000 a transaction,
// spread over all of the table.
Time by_key(Database& db, const Workload& workload, const std::string& sql, size_t rows,
            size_t count);
std::string delete_by_key(const Workload& workload);

}  // namespace bench
