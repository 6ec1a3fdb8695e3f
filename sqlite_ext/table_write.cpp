// See table_access.h: writing rows, and what a constraint that refuses one tells.
#include <algorithm>

#include "sqlite_ext/table_access.h"

namespace syncline {
namespace {

// Marks a column of an update that gets no value.
constexpr ColumnNumber kTakesDefault = ColumnNumber{1} << 31;

// Rows written by one statement. Beginning and ending one costs as much as such a row: one by one,
// state took 1.6 times and sync_relay 2.3 times the instructions. SQLite before 3.32 allows 999
// parameters.
size_t rows_per_statement(size_t columns) {
  return std::clamp<size_t>(900 / columns, 1, 64);
}

// Does SQLite refuse a row, rather than fail?
bool is_refusal(int rc) {
  const int code = rc & 0xff;
  return code == SQLITE_CONSTRAINT || code == SQLITE_MISMATCH || code == SQLITE_TOOBIG;
}

// "(?,?),(?,?)"
std::string tuples(const std::string& first, size_t marks, size_t rows) {
  std::string one = "(" + first;
  for (size_t i = 0; i < marks; ++i)
    one += i > 0 ? ",?" : "?";
  one += ")";
  std::string out = one;
  for (size_t i = 1; i < rows; ++i)
    out += "," + one;
  return out;
}

// "VALUES(first,?,?)"
std::string tuples_head(const std::string& first, size_t marks) {
  return "VALUES" + tuples(first + ",", marks, 1);
}

}  // namespace

int TableAccess::bind_state(Statement* statement, int at, const StateWrite& write) const {
  const PackedRow& packed = write.state;
  bind_key(statement, at, write.key);
  at += static_cast<int>(write.key.size());
  statement->bind(at, int64_t{packed.site});
  statement->bind(at + 1, packed.seq);
  statement->bind(at + 2, packed.hlc);
  statement->bind(at + 3, int64_t{packed.flags});
  statement->bind(at + 4, packed.context);
  if (packed.cells.empty()) {
    statement->bind_null(at + 5);
  } else {
    statement->bind_blob(at + 5, packed.cells);
  }
  return at + 6;
}

Status TableAccess::write_states(std::span<const StateWrite> writes) {
  const size_t columns = table_.key.size() + 6, many = rows_per_statement(columns);
  while (!writes.empty()) {
    const size_t count = writes.size() >= many ? many : 1;
    Statement& statement = count > 1 ? write_states_ : write_state_;
    if (!statement.prepared()) {
      SYNCLINE_TRY(statement.prepare(db_, "INSERT OR REPLACE INTO main.sync_state_" +
                                              std::to_string(table_.number) + " VALUES" +
                                              tuples("", columns, count)));
    }
    int at = 1;
    for (const StateWrite& write : writes.first(count))
      at = bind_state(&statement, at, write);
    SYNCLINE_TRY(statement.run());
    writes = writes.subspan(count);
  }
  return {};
}

Status TableAccess::forget_states(std::span<const RowKey> keys) {
  if (!keys.empty() && !forget_state_.prepared()) {
    std::string match;
    for (size_t i = 1; i <= table_.key.size(); ++i) {
      const std::string k = std::to_string(i);
      match += (i > 1 ? " AND k" : "k") + k + "=?" + k;
    }
    SYNCLINE_TRY(forget_state_.prepare(
        db_, "DELETE FROM main.sync_state_" + std::to_string(table_.number) + " WHERE " + match));
  }
  for (const RowKey& key : keys) {
    bind_key(&forget_state_, 1, key);
    SYNCLINE_TRY(forget_state_.run());
  }
  return {};
}

Status TableAccess::append_relay(std::span<const RowKey> keys) {
  const size_t columns = table_.key.size(), many = rows_per_statement(columns);
  while (!keys.empty()) {
    const size_t count = keys.size() >= many ? many : 1;
    Statement& statement = count > 1 ? relays_ : relay_;
    if (!statement.prepared()) {
      SYNCLINE_TRY(
          statement.prepare(db_, "INSERT INTO main.sync_relay(t," + key_list(columns) + ") VALUES" +
                                     tuples(std::to_string(table_.number) + ",", columns, count)));
    }
    int at = 1;
    for (const RowKey& key : keys.first(count)) {
      bind_key(&statement, at, key);
      at += static_cast<int>(columns);
    }
    SYNCLINE_TRY(statement.run());
    keys = keys.subspan(count);
  }
  return {};
}

Status TableAccess::append_log(RowKey key, int64_t mask, std::span<const Value> image) {
  const std::string n = std::to_string(table_.number);
  if (!log_.prepared()) {
    SYNCLINE_TRY(log_.prepare(
        db_, "INSERT INTO main.sync_log(t,ver," + key_list(key.size()) + ",mask) " +
                 tuples_head(n + "," + kClockSql, key.size() + 1)));
  }
  bind_key(&log_, 1, key);
  log_.bind(static_cast<int>(key.size()) + 1, mask);
  SYNCLINE_TRY(log_.run());
  if (image.empty() || imaged_.empty()) return {};
  std::string columns, marks;
  for (ColumnNumber c : imaged_) {
    columns += ",c" + std::to_string(c);
    marks += ",?";
  }
  Statement keep;
  SYNCLINE_TRY(keep.prepare(db_, "INSERT INTO main.sync_image_" + n + "(seq" + columns +
                                     ") VALUES(last_insert_rowid()" + marks + ")"));
  for (size_t i = 0; i < imaged_.size(); ++i) {
    Value local;
    to_local(imaged_[i], image[imaged_[i]], &local);
    keep.bind(static_cast<int>(i) + 1, local);
  }
  return keep.run();
}

void TableAccess::refuse_value(ColumnNumber column, StoreOutcome* outcome) const {
  outcome->stored = false;
  outcome->kind = ConflictKind::constraint;
  outcome->reason = "column \"" + table_.columns[column].name +
                    "\" cannot hold this number without losing digits: declare it TEXT";
}

// Key columns are what the row is found by, whatever `values` says.
Value TableAccess::write_value(const RowWrite& write, ColumnNumber column) const {
  for (size_t i = 0; i < table_.key.size(); ++i) {
    if (table_.key[i] == column) return write.key[i];
  }
  return column < write.values.size() ? write.values[column] : Value();
}

Status TableAccess::insert_row(const RowWrite& write, Statement** statement,
                               StoreOutcome* outcome) {
  std::vector<ColumnNumber> columns;
  columns.reserve(present_.size());
  for (ColumnNumber c : present_) {
    if (!write_value(write, c).is(ValueKind::absent)) columns.push_back(c);
  }
  Statement& insert = inserts_[columns];
  if (!insert.prepared()) {
    std::string names, marks;
    for (ColumnNumber c : columns) {
      names += (names.empty() ? "" : ",") + column_name(c);
      marks += marks.empty() ? "?" : ",?";
    }
    // ABORT: a table that says ON CONFLICT REPLACE must not remove another row in silence.
    SYNCLINE_TRY(insert.prepare(db_, "INSERT OR ABORT INTO main." + quote_name(base_.name) + "(" +
                                         names + ") VALUES(" + marks + ")"));
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    Value local;
    if (!to_local(columns[i], write_value(write, columns[i]), &local)) {
      refuse_value(columns[i], outcome);
      return {};
    }
    insert.bind(static_cast<int>(i) + 1, local);
  }
  *statement = &insert;
  return {};
}

// With 64 rows a statement, inserting 100,000 rows in key order took 0.62 of the processor time.
// But such a statement keeps the pages that it changes, to undo all of it: where rows go to as many
// pages of another index, it took 1.9 times as long.
size_t TableAccess::count_to_insert(std::span<const RowWrite> writes) {
  if (present_.empty()) return 1;  // the table was dropped: its rows are parked
  if (!several_) {
    int64_t others = 1;
    const Status counted = query_integer(db_,
                                         "SELECT count(*) FROM pragma_index_list(" +
                                             quote_text(base_.name) + ",'main') WHERE origin<>'pk'",
                                         1, &others);
    several_ = counted.ok() && others == 0 ? rows_per_statement(present_.size()) : 1;
  }
  if (*several_ == 1 || writes.size() < *several_) return 1;
  for (const RowWrite& write : writes.first(*several_)) {
    if (write.base != BaseAction::insert) return 1;
    for (const ColumnNumber c : present_) {
      if (write_value(write, c).is(ValueKind::absent)) return 1;  // it takes its default
    }
  }
  return *several_;
}

Status TableAccess::insert_several(std::span<const RowWrite> writes, bool* stored) {
  *stored = false;
  if (!insert_several_.prepared()) {
    std::string names;
    for (const ColumnNumber c : present_)
      names += (names.empty() ? "" : ",") + column_name(c);
    SYNCLINE_TRY(insert_several_.prepare(
        db_, "INSERT OR ABORT INTO main." + quote_name(base_.name) + "(" + names + ") VALUES" +
                 tuples("", present_.size(), writes.size())));
  }
  int at = 0;
  for (const RowWrite& write : writes) {
    for (const ColumnNumber c : present_) {
      Value local;
      if (!to_local(c, write_value(write, c), &local)) return {};
      insert_several_.bind(++at, local);
    }
  }
  const int rc = insert_several_.step();
  *stored = rc == SQLITE_DONE;
  Status failed;
  if (!*stored && !is_refusal(rc)) {
    failed = status_of(db_, rc, "writing table \"" + table_.name + "\"");
  }
  insert_several_.reset();
  return failed;
}

Status TableAccess::update_row(const RowWrite& write, Statement** statement,
                               StoreOutcome* outcome) {
  const auto keys = static_cast<int>(table_.key.size());
  // A column without a value takes its default; the statement differs by which those are.
  std::vector<ColumnNumber> shape = write.changed;
  for (ColumnNumber& c : shape) {
    if (write.values[c].is(ValueKind::absent)) c |= kTakesDefault;
  }
  Statement& update = updates_[shape];
  if (!update.prepared()) {
    std::string set;
    int at = keys;
    for (ColumnNumber c : shape) {
      const ColumnNumber column = c & ~kTakesDefault;
      set += (set.empty() ? "" : ",") + column_name(column) + "=";
      if (c == column) {
        set += "?" + std::to_string(++at);
        continue;
      }
      const BaseColumn* base = base_.find(table_.columns[column].name);
      set += "(" + (base != nullptr ? base->default_sql : "NULL") + ")";
    }
    SYNCLINE_TRY(update.prepare(db_, "UPDATE OR ABORT main." + quote_name(base_.name) + " SET " +
                                         set + " WHERE " + key_match_));
  }
  bind_key(&update, 1, write.key);
  int at = keys;
  for (ColumnNumber c : write.changed) {
    if (write.values[c].is(ValueKind::absent)) continue;
    Value local;
    if (!to_local(c, write.values[c], &local)) {
      refuse_value(c, outcome);
      return {};
    }
    update.bind(++at, local);
  }
  *statement = &update;
  return {};
}

Status TableAccess::write_base(const RowWrite& write, StoreOutcome* outcome) {
  Statement* statement = nullptr;
  switch (write.base) {
    case BaseAction::none:
      return {};
    case BaseAction::erase:
      SYNCLINE_TRY(prepare_by_key("DELETE", &erase_));
      bind_key(&erase_, 1, write.key);
      return erase_.run();
    case BaseAction::insert:
      SYNCLINE_TRY(insert_row(write, &statement, outcome));
      break;
    case BaseAction::update:
      SYNCLINE_TRY(update_row(write, &statement, outcome));
      break;
  }
  if (statement == nullptr) return {};
  const int rc = statement->step();
  Status failed;
  if (rc != SQLITE_DONE) failed = refusal(rc, write, outcome);
  statement->reset();
  return failed;
}

Status TableAccess::fill_column(RowKey key, ColumnNumber column, const Value& value,
                                const std::string& default_sql) {
  const auto keys = static_cast<int>(table_.key.size());
  const std::string name = column_name(column);
  if (!fill_.prepared()) {
    SYNCLINE_TRY(fill_.prepare(db_, "UPDATE OR IGNORE main." + quote_name(base_.name) + " SET " +
                                        name + "=?" + std::to_string(keys + 1) + " WHERE " +
                                        key_match_ + " AND " + name + " IS (" + default_sql + ")"));
  }
  Value local;
  if (!to_local(column, value, &local)) return {};
  bind_key(&fill_, 1, key);
  fill_.bind(keys + 1, local);
  return fill_.run();
}

Status TableAccess::holds(RowKey key, ColumnNumber column, const Value& value, bool* yes) {
  *yes = false;
  const bool by_default = value.is(ValueKind::absent) || value.is(ValueKind::same);
  const auto keys = static_cast<int>(table_.key.size());
  Value local;
  if (!by_default && !to_local(column, value, &local)) return {};
  auto& [one, other] = holds_[column];
  Statement& statement = by_default ? other : one;
  if (!statement.prepared()) {
    const std::string name = column_name(column);
    const BaseColumn* base = base_.find(table_.columns[column].name);
    if (base == nullptr) return {};
    const std::string what = by_default ? "(" + base->default_sql + ")"
                                        : "?" + std::to_string(keys + 1);
    SYNCLINE_TRY(statement.prepare(db_, "SELECT 1 FROM main." + quote_name(base_.name) +
                                            " WHERE " + key_match_ + " AND " + name + " IS " +
                                            what + " COLLATE BINARY"));
  }
  if (!bind_key(&statement, 1, key)) return {};
  if (!by_default) statement.bind(keys + 1, local);
  SYNCLINE_TRY(statement.next(yes));
  statement.reset();
  return {};
}

// Tells a constraint from an error. The message of a constraint names table and columns, no values.
Status TableAccess::refusal(int rc, const RowWrite& write, StoreOutcome* outcome) {
  const int extended = sqlite3_extended_errcode(db_);
  if (!is_refusal(rc)) {
    return status_of(db_, extended, "writing table \"" + table_.name + "\"");
  }
  outcome->stored = false;
  outcome->reason = sqlite3_errmsg(db_);
  outcome->kind = ConflictKind::constraint;
  if ((rc & 0xff) == SQLITE_MISMATCH) {
    outcome->reason = "the key of table \"" + table_.name + "\" holds integers only";
  }
  const bool unique = extended == SQLITE_CONSTRAINT_UNIQUE ||
                      extended == SQLITE_CONSTRAINT_PRIMARYKEY ||
                      extended == SQLITE_CONSTRAINT_ROWID;
  if ((rc & 0xff) != SQLITE_CONSTRAINT || !unique) return {};
  outcome->kind = ConflictKind::unique;
  return find_rivals(write, outcome);
}

// All rows that hold a unique key the refused row claims, and the columns of all unique keys: which
// of two rows is stored is asked in one way, whichever of them they meet in.
Status TableAccess::find_rivals(const RowWrite& write, StoreOutcome* outcome) {
  SYNCLINE_TRY(rivals_in(key_parts_, {}, write, outcome));
  if (is_loose(key_parts_) || !outcome->rivals.empty()) claim(key_parts_, outcome);
  std::vector<UniqueIndex> indexes;
  SYNCLINE_TRY(unique_indexes(db_, base_.name, &indexes));
  std::erase_if(indexes, [](const UniqueIndex& index) { return index.expression; });
  for (const UniqueIndex& index : indexes) {
    bool covered = true;
    SYNCLINE_TRY(satisfies(index.key.predicate, write, &covered));
    if (covered) SYNCLINE_TRY(rivals_in(index.key.parts, index.key.predicate, write, outcome));
    claim(index.key.parts, outcome);
  }
  // Something refused the row: if nothing was found, a predicate says something else there.
  for (size_t i = 0; i < indexes.size() && outcome->rivals.empty(); ++i) {
    SYNCLINE_TRY(rivals_in(indexes[i].key.parts, indexes[i].key.predicate, write, outcome));
  }
  return {};
}

// Is the row to be written one that a partial index holds? Columns are there under their names, but
// without affinity. Of one that names what we do not write, a generated column, it is taken to be.
Status TableAccess::satisfies(const std::string& predicate, const RowWrite& write, bool* yes) {
  *yes = true;
  if (predicate.empty()) return {};
  std::string row;
  std::vector<Value> values;
  for (ColumnNumber c = 0; c < table_.column_count(); ++c) {
    if (!table_.columns[c].present) continue;
    Value local = Value::null();
    const Value value = write_value(write, c);
    if (!value.is(ValueKind::absent) && !to_local(c, value, &local)) return {};
    values.push_back(local);
    row += (row.empty() ? "?" : ",?") + std::to_string(values.size()) + " AS " + column_name(c);
  }
  Statement s;
  const Status prepared = s.prepare(db_, "SELECT 1 FROM (SELECT " + row + ") AS " +
                                             quote_name(base_.name) + " WHERE " + predicate);
  if (!prepared.ok()) return {};
  for (size_t i = 0; i < values.size(); ++i)
    s.bind(1 + static_cast<int>(i), values[i]);
  return s.next(yes);
}

void TableAccess::claim(const std::vector<CaptureIndex::Part>& parts, StoreOutcome* outcome) const {
  std::vector<ColumnNumber>& claimed = outcome->claimed;
  for (const CaptureIndex::Part& part : parts) {
    const int64_t c = find_column(table_.columns, part.column);
    const auto column = static_cast<ColumnNumber>(std::max<int64_t>(c, 0));
    const bool known = std::find(claimed.begin(), claimed.end(), column) != claimed.end();
    if (c >= 0 && !known) claimed.push_back(column);
  }
}

Status TableAccess::rivals_in(const std::vector<CaptureIndex::Part>& parts,
                              const std::string& predicate, const RowWrite& write,
                              StoreOutcome* outcome) {
  std::string keys, where, same;
  const int key_count = static_cast<int>(table_.key.size());
  for (int i = 0; i < key_count; ++i) {
    const std::string name = column_name(table_.key[static_cast<size_t>(i)]);
    keys += (i > 0 ? "," : "") + name;
    same += (i > 0 ? " AND " : "") + name + " IS ?" + std::to_string(i + 1) + " COLLATE BINARY";
  }
  std::vector<Value> values;
  for (const CaptureIndex::Part& part : parts) {
    const int64_t c = find_column(table_.columns, part.column);
    if (c < 0) return {};
    const auto column = static_cast<ColumnNumber>(c);
    const Value value = write_value(write, column);
    Value local;
    if (value.is(ValueKind::absent) || !to_local(column, value, &local)) return {};
    values.push_back(local);
    where += quote_name(part.column) + "=?" + std::to_string(key_count + values.size()) +
             " COLLATE " + quote_name(part.collation) + " AND ";
  }
  if (!predicate.empty()) where += "(" + predicate + ") AND ";
  Statement s;
  SYNCLINE_TRY(s.prepare(db_, "SELECT " + keys + " FROM main." + quote_name(base_.name) +
                                  " WHERE " + where + "NOT (" + same + ")"));
  bind_key(&s, 1, write.key);
  for (size_t i = 0; i < values.size(); ++i)
    s.bind(key_count + 1 + static_cast<int>(i), values[i]);
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    std::vector<Value> stored;
    Arena arena;
    const std::string key = encode_key(key_to_wire(cursor_key(s, &stored), &arena));
    if (std::find(outcome->rivals.begin(), outcome->rivals.end(), key) == outcome->rivals.end()) {
      outcome->rivals.push_back(key);
    }
  }
}

}  // namespace syncline
