// What one site holds at a moment: base rows, and the versions of every cell of every row.
//
// Read through the port, from the same bytes that an export reads. Cells are numbered alike for all
// sites: cell 0 is the existence of the row, the others are columns in the order of their first
// appearance anywhere.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sqlite_ext/statement.h"
#include "syncline/policy.h"
#include "syncline/table.h"

namespace syncline::simulate {

// The numbering of sites, tables and cells of a whole simulation.
struct Words {
  SiteTable sites;
  std::map<std::string, std::vector<std::string>> cells;  // by table; cells[0] is ""
  size_t cell(const std::string& table, const std::string& column);
};

struct SeenVersion {
  SiteIndex site = 0;  // of Words
  uint64_t seq = 0;
  Hlc hlc = 0;
  bool dead = false;
  std::string value;  // SQL literal; empty: the writer did not know the column
  bool operator==(const SeenVersion&) const = default;
};

struct SeenRow {
  std::string pk;  // JSON, for people
  bool stored = false, held = false, kept = false, adjusted = false;
  ContextId context = 0;
  std::vector<std::string> base;  // by cell, SQL literals; empty: no such column here
  std::vector<std::vector<SeenVersion>> cells;
  bool operator==(const SeenRow&) const = default;
};

struct SeenTable {
  bool present = false;
  OnDelete on_delete = OnDelete::update_wins;
  std::vector<PolicyKind> policies;  // by cell
  std::vector<LogicalKind> kinds;    // by cell
  std::vector<bool> columns;         // by cell: the base table has it
  std::vector<size_t> key;           // cells
  std::map<std::string, SeenRow> rows;  // by encode_key
};

using Known = std::map<SiteIndex, uint64_t>;

struct View {
  SiteIndex self = 0;
  uint64_t shared = 0;  // own changes up to here keep the id they were made under
  uint64_t folded = 0;  // so much of the log is in row state
  Known knowledge;
  std::map<ContextId, Known> contexts;
  std::map<std::string, SeenTable> tables;
};

Status read_view(sqlite3* db, Words* words, View* out);

// What follows from the rows of a site where nothing is under way.
struct Records {
  std::map<std::string, std::string> listed, expected;  // open conflicts: id -> in words
  std::map<std::string, std::string> held;  // rows: in words -> the INSERT that would store it, and
                                            // returns 1 if no value of it would be another
};
// Conflicts in a column that is `open` are left out, also where a table's grain is the row.
using IsOpen = std::function<bool(const std::string& table, const std::string& column)>;
Status read_records(sqlite3* db, const IsOpen& open, Records* out);

// The value as SQL text: 7, 'it''s', x'00ff', NULL.
std::string literal(const Value& value);

// Whether two views show the same rows, versions and held rows.
bool same_rows(const View& a, const View& b);

}  // namespace syncline::simulate
