// How the core sees a tracked table.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/logical_type.h"
#include "syncline/policy.h"
#include "syncline/types.h"

namespace syncline {

// What a table looks like from outside: what travels in a chunk and in a handshake.
struct ColumnSchema {
  std::string name;
  std::string type;  // logical type name
};
struct TableSchema {
  std::string name;
  std::vector<ColumnSchema> columns;  // in the sender's order; key columns included
  std::vector<uint32_t> key;          // positions in `columns`, in key order
};

// One column of the local registry. Its ColumnNumber is its position in TableInfo::columns.
struct ColumnInfo {
  std::string name;
  std::string type;
  LogicalKind kind = LogicalKind::any;
  bool present = true;   // false: parked (a peer has it, this database does not) or dropped
  bool dropped = false;  // false and not present: parked
  std::shared_ptr<const Policy> policy = nullptr;  // null: last_writer
  // What a version that did not know the column holds there: the column's default. Absent: that is
  // no constant, and nobody knows which value was taken.
  Value missing = Value::null();
  std::shared_ptr<const std::string> missing_bytes = nullptr;  // what `missing` views

  void set_missing(const Value& value);  // copies its bytes
  PolicyKind policy_kind() const { return policy ? policy->kind : PolicyKind::last_writer; }
};

// What happens to a row that one site deleted while another changed it (docs/merge_rules.md).
enum class OnDelete : uint8_t { update_wins, delete_wins, last_writer };

// What a foreign key does about a row that refers to a deleted one.
enum class ForeignAction : uint8_t { restrict, cascade, set_null, set_default };

// A foreign key that refers to the primary key of a tracked table.
struct ForeignKeyInfo {
  std::vector<ColumnNumber> columns;  // in the order of the parent's key
  uint32_t parent = 0;                // number of the parent table
  ForeignAction on_delete = ForeignAction::restrict;  // also for NO ACTION
};

struct TableInfo {
  uint32_t number = 0;  // this database's own number for it, never used again
  std::string name;     // the name that travels
  bool present = true;  // false: parked, known from a peer only
  std::vector<ColumnInfo> columns;
  std::vector<ColumnNumber> key;
  // The version of every row that has no state: one dot of the site that enabled the table, with
  // hlc 0, so that any tracked write is later; once every site has seen that, the melted version.
  Version baseline;
  // What is known of rows without state beyond the site's knowledge, while the exchange that
  // brought them goes on: see RowState::context.
  ContextId baseline_context = 0;
  OnDelete on_delete = OnDelete::update_wins;
  OnDelete default_on_delete = OnDelete::update_wins;  // where no setting says anything
  // Concurrent writes of different columns of one row are a conflict, too.
  bool row_grain = false;
  SeverityRules severity;
  // Position in the order in which tables travel: parents before children, then by name.
  uint32_t rank = 0;
  bool refers = false;    // has foreign keys to tracked or untracked tables
  std::vector<ForeignKeyInfo> foreign_keys;  // those that the core can act upon
  bool referred = false;  // some table has a foreign key to it
  // Columns beside the primary key that foreign keys of other tables refer to.
  std::vector<ColumnNumber> referred_columns;

  ColumnNumber column_count() const { return static_cast<ColumnNumber>(columns.size()); }
  bool is_key(ColumnNumber column) const;
  TableSchema schema() const;  // present and parked columns; dropped ones do not travel
  TableSchema schema_here() const;  // what has values here: present columns alone
};

// Finds by exact name, else by ASCII case-insensitive name if that is unique. -1: none. A dropped
// column is not found: what a peer sends for it is parked under a number of its own.
int64_t find_table(const std::vector<TableInfo>& tables, std::string_view name);
int64_t find_column(const std::vector<ColumnInfo>& columns, std::string_view name);

// ASCII letters in lower case: table and column names that differ in nothing else are one name.
std::string lower_name(std::string_view name);

// The name in `names` nearest to `name` by edit distance, for "did you mean"; empty if none is
// near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& names);

}  // namespace syncline
