// What SQLite's own catalog says about a table of the user's: columns, key, indexes, foreign keys.
#pragma once

#include <string>
#include <vector>

#include "sqlite_ext/capture.h"
#include "sqlite_ext/statement.h"

namespace syncline {

// How a column converts what is stored into it (sqlite.org/datatype3.html, section 3).
enum class Affinity : uint8_t { blob, text, numeric, integer, real };
Affinity affinity_of(std::string_view declared);

struct BaseColumn {
  std::string name;
  std::string declared;
  Affinity affinity = Affinity::blob;
  std::string default_sql = "NULL";  // the expression after DEFAULT
};

struct ForeignKey {
  std::string parent;
  std::vector<std::string> from, to;  // `to` is resolved: never empty if the parent exists
  std::string on_delete;              // as the catalog has it: "CASCADE", "NO ACTION", ...
};

struct UniqueIndex {
  std::string name;
  CaptureIndex key;         // parts and predicate
  bool expression = false;  // some part is an expression: `key.parts` is not complete
};

struct BaseTable {
  bool exists = false;
  std::string name;  // as the catalog spells it
  std::string type;  // "table", "view", "virtual table", "temporary table"
  std::string sql;
  std::vector<BaseColumn> columns;  // generated ones left out
  std::vector<std::string> key;     // in key order; empty without a primary key
  bool rowid_alias = false;         // the key is an INTEGER PRIMARY KEY
  bool nullable_key = false;        // SQLite lets NULL into the key

  const BaseColumn* find(std::string_view column) const;
};

// Describes main's table `name` (exactly, else ignoring ASCII case). Not an error if there is none.
Status describe_table(sqlite3* db, std::string_view name, BaseTable* out);
// The columns of the primary key, in key order, with the collations of its index.
Status describe_key(sqlite3* db, const BaseTable& base, std::vector<CaptureIndex::Part>* out);
// Secondary unique indexes, partial and expression ones included.
Status unique_indexes(sqlite3* db, const std::string& table, std::vector<UniqueIndex>* out);
Status foreign_keys(sqlite3* db, const std::string& table, std::vector<ForeignKey>* out);
// Names of all tables of main.
Status table_names(sqlite3* db, std::vector<std::string>* out);

// True for SQLite's own tables and our companions, which nobody tracks.
bool is_companion(std::string_view name);

// A DEFAULT that is one literal, as an expression; empty if it is anything else, say a function.
std::string literal_default(std::string_view default_sql);

// What stands after WHERE in a CREATE INDEX statement; empty if there is none.
std::string index_predicate(std::string_view sql);

}  // namespace syncline
