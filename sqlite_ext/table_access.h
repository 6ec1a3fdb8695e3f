// Rows of one tracked table and of its companions, through prepared statements.
//
// Translates between the spelling that travels and what SQLite stores, and turns constraint errors
// into outcomes. An access lives within one operation. Keys are given and returned as they travel.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sqlite_ext/catalog.h"
#include "syncline/fold.h"
#include "syncline/port.h"

namespace syncline {

// A stored value as it travels; bytes go to `arena`.
Value value_to_wire(LogicalKind kind, const Value& value, Arena* arena);

class TableAccess {
 public:
  // `table` must outlive the access.
  static Status open(sqlite3* db, const TableInfo& table, std::unique_ptr<TableAccess>* out);

  const TableInfo& table() const { return table_; }
  const BaseTable& base() const { return base_; }
  const std::vector<CaptureIndex::Part>& key_parts() const { return key_parts_; }

  // Fill the state or the base part of `row`; bytes go to `arena`.
  Status read_state(RowKey key, Arena* arena, LocalRow* row);
  Status read_base(RowKey key, Arena* arena, LocalRow* row);
  Status exists(RowKey key, bool* yes);
  Status any_state(bool* yes) const;
  // Whether state or base table may have a row with a key from `first` to `last`. Two probes that
  // spare two for each row of a batch when a table is being filled.
  Status probe_range(RowKey first, RowKey last, bool* state, bool* base) const;
  // Has the log entry at `seq` an image of the row that it deleted?
  Status has_image(uint64_t seq, bool* yes);
  // Values by column that were deleted at the last of `seqs` that has an image; absent if none has,
  // and in columns that capture did not know then (`known_after`: TableExtra).
  Status read_image(RowKey key, std::span<const uint64_t> seqs,
                    std::span<const uint64_t> known_after, Arena* arena,
                    std::span<const Value>* image);

  // By column: what the first of the updates at `events` that changed it saw there; absent where
  // none did. REQUIRES: has_noted().
  Status read_before(std::span<const uint64_t> seqs, Arena* arena, std::span<const Value>* before);
  // Whether some column's policy wants to know what an update saw.
  bool has_noted() const { return noted_; }
  // Entries of the row that are not folded yet, in order: origins not filled in.
  Status read_events(RowKey key, uint64_t folded, std::vector<LogEvent>* events);
  // Appends an entry to the log, with an image if there is one.
  Status append_log(RowKey key, int64_t mask, std::span<const Value> image);

  // Keys and bytes of what is to be written are views that outlive the call.
  struct StateWrite {
    RowKey key;
    PackedRow state;
  };
  Status write_states(std::span<const StateWrite> writes);
  Status forget_states(std::span<const RowKey> keys);
  Status append_relay(std::span<const RowKey> keys);
  // Runs the base action of `write`. A refusal is an outcome; errors are everything else.
  Status write_base(const RowWrite& write, StoreOutcome* outcome);
  // How many of these writes, from the first on, one statement can insert; 1: one by one.
  size_t count_to_insert(std::span<const RowWrite> writes);
  // Inserts so many. Not *stored: a constraint refuses one of them, and nothing was written.
  Status insert_several(std::span<const RowWrite> writes, bool* stored);

  // Sets one column of a base row that exists, unless somebody wrote it since the column was added:
  // then it does not hold `default_sql` any more. REQUIRES: always the same column.
  Status fill_column(RowKey key, ColumnNumber column, const Value& value,
                     const std::string& default_sql);

  // Whether a base row that exists holds `value` in a column; absent or same: what the column's
  // DEFAULT says. False if the column cannot hold it.
  Status holds(RowKey key, ColumnNumber column, const Value& value, bool* yes);

  // Cursors in key order over rows after `start` (empty: all). Base columns: key, then present
  // columns (see read_base_row). State columns: key, then those of read_state_row.
  Status open_base_cursor(RowKey start, Statement* out) const;
  Status open_state_cursor(RowKey start, Statement* out) const;
  // The key in a cursor's first columns, as stored and as it travels.
  RowKey cursor_key(const Statement& cursor, std::vector<Value>* stored) const;
  RowKey key_to_wire(RowKey stored, Arena* arena) const;
  void read_base_row(const Statement& cursor, Arena* arena, LocalRow* row) const;
  void read_state_row(const Statement& cursor, Arena* arena, LocalRow* row) const;

  // What SQLite would store for a value that travelled. False: it cannot without loss, and `out` is
  // the value itself.
  bool to_local(ColumnNumber column, const Value& value, Value* out) const;
  Value to_wire(ColumnNumber column, const Value& value, Arena* arena) const;

 private:
  TableAccess(sqlite3* db, const TableInfo& table) : db_(db), table_(table) {}
  Status describe();
  Status prepare_read_state();
  Status prepare_read_base();
  Status prepare_read_image();
  Status prepare_by_key(const std::string& what, Statement* statement);
  // False: the key columns cannot hold the key ('01' in an INTEGER), so no base row has it, though
  // SQLite would find one that it takes for equal. Row state keeps it as it travels.
  bool bind_key(Statement* statement, int position, RowKey key) const;
  int bind_state(Statement* statement, int at, const StateWrite& write) const;
  Status insert_row(const RowWrite& write, Statement** statement, StoreOutcome* outcome);
  Status update_row(const RowWrite& write, Statement** statement, StoreOutcome* outcome);
  Status refusal(int rc, const RowWrite& write, StoreOutcome* outcome);
  Status find_rivals(const RowWrite& write, StoreOutcome* outcome);
  void claim(const std::vector<CaptureIndex::Part>& parts, StoreOutcome* outcome) const;
  Status satisfies(const std::string& predicate, const RowWrite& write, bool* yes);
  Status rivals_in(const std::vector<CaptureIndex::Part>& parts, const std::string& predicate,
                   const RowWrite& write, StoreOutcome* outcome);
  void refuse_value(ColumnNumber column, StoreOutcome* outcome) const;
  Value write_value(const RowWrite& write, ColumnNumber column) const;
  std::string column_name(ColumnNumber column) const {
    return quote_name(table_.columns[column].name);
  }

  sqlite3* db_;
  const TableInfo& table_;
  BaseTable base_;
  std::vector<Affinity> affinity_;          // by column
  std::vector<ColumnNumber> present_;       // columns of the base table
  std::vector<ColumnNumber> imaged_;        // present and not of the key
  std::vector<CaptureIndex::Part> key_parts_;  // of the base table's key
  std::string key_match_;                   // WHERE of one base row, by its binary key
  bool noted_ = false;
  Statement read_state_, read_base_, exists_, read_image_, read_before_, erase_, fill_;
  Statement write_state_, write_states_, relay_, relays_;  // one row, many rows
  Statement forget_state_, log_;
  std::map<std::vector<ColumnNumber>, Statement> inserts_, updates_;
  Statement insert_several_;
  std::optional<size_t> several_;  // rows that insert_several_ inserts, once it is known
  std::map<ColumnNumber, std::pair<Statement, Statement>> holds_;  // a value, the default
};

}  // namespace syncline
