// See table_access.h: opening, translating values, reading.
#include "sqlite_ext/table_access.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace syncline {

Value value_to_wire(LogicalKind kind, const Value& value, Arena* arena) {
  // Text stays as it was written: every spelling that SQLite holds can be read by the other side.
  if (value.is(ValueKind::text)) return arena->copy(value);
  // As the text 'Infinity' it would come back as text.
  if (value.is(ValueKind::real) && std::isinf(value.as_real())) return value;
  switch (kind) {
    case LogicalKind::any:
    case LogicalKind::text:
    case LogicalKind::bytes:
      return arena->copy(value);
    default:
      break;
  }
  const Value canonical = canonical_value(kind, value, arena);
  return canonical.is_bytes() && canonical.bytes().data() == value.bytes().data()
             ? arena->copy(canonical)
             : canonical;
}

Status TableAccess::open(sqlite3* db, const TableInfo& table, std::unique_ptr<TableAccess>* out) {
  std::unique_ptr<TableAccess> access(new TableAccess(db, table));
  SYNCLINE_TRY(access->describe());
  *out = std::move(access);
  return {};
}

namespace {

// (a,b)>(?1,?2), or a>?1 for one column.
std::string after_start(const std::string& columns, size_t count) {
  std::string marks;
  for (size_t i = 1; i <= count; ++i)
    marks += (i > 1 ? ",?" : "?") + std::to_string(i);
  return count == 1 ? columns + ">" + marks : "(" + columns + ")>(" + marks + ")";
}

}  // namespace

// Statements are prepared when they are first needed: an exchange that carries one row, or none,
// spent a third of its time on preparing what it did not run.
Status TableAccess::describe() {
  affinity_.assign(table_.column_count(), Affinity::blob);
  if (!table_.present) return {};
  for (const ColumnInfo& column : table_.columns)
    noted_ = noted_ || (column.present && column.policy && column.policy->needs_notes());

  SYNCLINE_TRY(describe_table(db_, table_.name, &base_));
  if (!base_.exists) {
    return {StatusCode::internal, "table \"" + table_.name + "\" went away during the operation"};
  }
  SYNCLINE_TRY(describe_key(db_, base_, &key_parts_));
  for (ColumnNumber c = 0; c < table_.column_count(); ++c) {
    const BaseColumn* column =
        table_.columns[c].present ? base_.find(table_.columns[c].name) : nullptr;
    if (column == nullptr) continue;
    affinity_[c] = column->affinity;
    present_.push_back(c);
    if (!table_.is_key(c)) imaged_.push_back(c);
  }
  for (size_t i = 0; i < table_.key.size(); ++i) {
    const std::string name = column_name(table_.key[i]), k = "?" + std::to_string(i + 1);
    key_match_ += (i > 0 ? " AND " : "") + name + "=" + k;
    // The index finds what is equal under the key's collation; identity is binary.
    if (is_binary(key_parts_[i].collation)) continue;
    key_match_ += " AND " + name + "=" + k + " COLLATE BINARY";
  }
  return {};
}

Status TableAccess::prepare_read_state() {
  if (read_state_.prepared()) return {};
  std::string match;
  for (size_t i = 1; i <= table_.key.size(); ++i) {
    const std::string k = std::to_string(i);
    match += (i > 1 ? " AND k" : "k") + k + "=?" + k;
  }
  return read_state_.prepare(db_, "SELECT site,seq,hlc,flags,context,cells FROM main.sync_state_" +
                                      std::to_string(table_.number) + " WHERE " + match);
}

// `what` of one base row, by its key: "DELETE", "SELECT 1".
Status TableAccess::prepare_by_key(const std::string& what, Statement* statement) {
  if (statement->prepared()) return {};
  return statement->prepare(db_,
                            what + " FROM main." + quote_name(base_.name) + " WHERE " + key_match_);
}

Status TableAccess::prepare_read_base() {
  if (read_base_.prepared()) return {};
  std::string columns;
  for (const ColumnNumber c : present_)
    columns += (columns.empty() ? "" : ",") + column_name(c);
  return prepare_by_key("SELECT " + columns, &read_base_);
}

// REQUIRES: imaged_ is not empty.
Status TableAccess::prepare_read_image() {
  if (read_image_.prepared()) return {};
  // A reader may be the first to see a column: its images have no place for it yet.
  const std::string images = "sync_image_" + std::to_string(table_.number);
  std::vector<std::string> kept;
  SYNCLINE_TRY(query_texts(
      db_, "SELECT name FROM pragma_table_info(" + quote_text(images) + ",'main')", &kept));
  std::string columns;
  for (const ColumnNumber c : imaged_) {
    const std::string name = "c" + std::to_string(c);
    const bool has_place = std::find(kept.begin(), kept.end(), name) != kept.end();
    columns += (columns.empty() ? "" : ",") + (has_place ? name : "NULL");
  }
  return read_image_.prepare(db_,
                             "SELECT " + columns + " FROM main." + images + " WHERE seq=?1");
}

bool TableAccess::to_local(ColumnNumber column, const Value& value, Value* out) const {
  *out = value;
  const Affinity affinity = affinity_[column];
  if (affinity == Affinity::blob || affinity == Affinity::text) return true;
  if (!value.is(ValueKind::text)) return true;
  // SQLite would make a number of text that looks like one, keeping 15 digits. Do it exactly, and
  // refuse what a number cannot give back: '01', ' 1', '+1'.
  static constexpr std::string_view kBlanks = " \t\n\v\f\r";
  std::string_view text = value.bytes();
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return true;
  text = text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
  const bool plus = text[0] == '+';
  if (plus) text.remove_prefix(1);
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  const char first = digits.empty() ? 'x' : digits[0];  // "-infinity" stays text
  if (first != '.' && (first < '0' || first > '9')) return true;
  const char* end = text.data() + text.size();
  const bool exact = !plus && text.size() == value.bytes().size();
  int64_t integer = 0;
  if (auto [at, error] = std::from_chars(text.data(), end, integer);
      error == std::errc() && at == end) {
    if (!exact || std::to_string(integer) != text) return false;
    *out = Value::integer(integer);
    return true;
  }
  double real = 0;
  auto [at, error] = std::from_chars(text.data(), end, real);
  if (at != end || error == std::errc::invalid_argument) return true;
  if (error != std::errc() || !std::isfinite(real)) return false;
  if (!exact || !equal_in_meaning(LogicalKind::numeric, Value::real(real), value)) return false;
  *out = Value::real(real);
  return true;
}

Value TableAccess::to_wire(ColumnNumber column, const Value& value, Arena* arena) const {
  return value_to_wire(table_.columns[column].kind, value, arena);
}

bool TableAccess::bind_key(Statement* statement, int position, RowKey key) const {
  bool fits = true;
  for (size_t i = 0; i < key.size(); ++i) {
    Value local;
    fits = to_local(table_.key[i], key[i], &local) && fits;
    statement->bind(position + static_cast<int>(i), local);
  }
  return fits;
}

Status TableAccess::read_state(RowKey key, Arena* arena, LocalRow* row) {
  SYNCLINE_TRY(prepare_read_state());
  bind_key(&read_state_, 1, key);
  bool found = false;
  SYNCLINE_TRY(read_state_.next(&found));
  row->has_state = found;
  if (found) {
    PackedRow& state = row->state;
    state.site = static_cast<SiteIndex>(read_state_.integer(0));
    state.seq = static_cast<uint64_t>(read_state_.integer(1));
    state.hlc = static_cast<Hlc>(read_state_.integer(2));
    state.flags = static_cast<uint32_t>(read_state_.integer(3));
    state.context = static_cast<ContextId>(read_state_.integer(4));
    state.cells = read_state_.is_null(5) ? std::string_view() : arena->copy(read_state_.bytes(5));
  }
  read_state_.reset();
  return {};
}

void TableAccess::read_state_row(const Statement& cursor, Arena* arena, LocalRow* row) const {
  const int at = static_cast<int>(table_.key.size());
  row->has_state = true;
  row->state.site = static_cast<SiteIndex>(cursor.integer(at));
  row->state.seq = static_cast<uint64_t>(cursor.integer(at + 1));
  row->state.hlc = static_cast<Hlc>(cursor.integer(at + 2));
  row->state.flags = static_cast<uint32_t>(cursor.integer(at + 3));
  row->state.context = static_cast<ContextId>(cursor.integer(at + 4));
  row->state.cells =
      cursor.is_null(at + 5) ? std::string_view() : arena->copy(cursor.bytes(at + 5));
}

Status TableAccess::read_base(RowKey key, Arena* arena, LocalRow* row) {
  row->stored = false;
  if (!table_.present) return {};
  SYNCLINE_TRY(prepare_read_base());
  if (!bind_key(&read_base_, 1, key)) return {};
  bool found = false;
  SYNCLINE_TRY(read_base_.next(&found));
  if (found) {
    row->stored = true;
    const std::span<Value> values = arena->values(table_.column_count());
    for (size_t i = 0; i < present_.size(); ++i) {
      values[present_[i]] = to_wire(present_[i], read_base_.value(static_cast<int>(i)), arena);
    }
    row->values = values;
  }
  read_base_.reset();
  return {};
}

void TableAccess::read_base_row(const Statement& cursor, Arena* arena, LocalRow* row) const {
  row->stored = true;
  const std::span<Value> values = arena->values(table_.column_count());
  const size_t keys = table_.key.size();
  for (size_t i = 0; i < present_.size(); ++i) {
    values[present_[i]] = to_wire(present_[i], cursor.value(static_cast<int>(keys + i)), arena);
  }
  row->values = values;
}

Status TableAccess::exists(RowKey key, bool* yes) {
  *yes = false;
  if (!table_.present) return {};
  SYNCLINE_TRY(prepare_by_key("SELECT 1", &exists_));
  if (!bind_key(&exists_, 1, key)) return {};
  SYNCLINE_TRY(exists_.next(yes));
  exists_.reset();
  return {};
}

Status TableAccess::any_state(bool* yes) const {
  Statement s;
  SYNCLINE_TRY(s.prepare(
      db_, "SELECT 1 FROM main.sync_state_" + std::to_string(table_.number) + " LIMIT 1"));
  return s.next(yes);
}

Status TableAccess::probe_range(RowKey first, RowKey last, bool* state, bool* base) const {
  const size_t count = first.size();
  std::string low, high, columns;
  bool binary = true;
  for (size_t i = 0; i < count; ++i) {
    low += (i > 0 ? ",?" : "?") + std::to_string(i + 1);
    high += (i > 0 ? ",?" : "?") + std::to_string(count + i + 1);
    columns += (i > 0 ? "," : "") + column_name(table_.key[i]);
    binary = binary && (!table_.present || is_binary(key_parts_[i].collation));
  }
  auto probe = [&](const std::string& from, const std::string& key, bool* found) -> Status {
    Statement s;
    SYNCLINE_TRY(s.prepare(db_, "SELECT 1 FROM main." + from + " WHERE (" + key + ")>=(" + low +
                                    ") AND (" + key + ")<=(" + high + ") LIMIT 1"));
    bind_key(&s, 1, first);
    bind_key(&s, static_cast<int>(count) + 1, last);
    return s.next(found);
  };
  *base = table_.present;
  SYNCLINE_TRY(probe("sync_state_" + std::to_string(table_.number), key_list(count), state));
  if (!table_.present || !binary) return {};
  return probe(quote_name(base_.name), columns, base);
}

Status TableAccess::read_image(RowKey key, std::span<const uint64_t> seqs,
                               std::span<const uint64_t> known_after, Arena* arena,
                               std::span<const Value>* image) {
  *image = {};
  const std::span<Value> values = arena->values(table_.column_count());
  for (size_t i = 0; i < table_.key.size(); ++i)
    values[table_.key[i]] = key[i];
  if (!seqs.empty() && !imaged_.empty()) SYNCLINE_TRY(prepare_read_image());
  for (size_t i = seqs.size(); i-- > 0 && !imaged_.empty();) {
    read_image_.bind(1, seqs[i]);
    bool found = false;
    SYNCLINE_TRY(read_image_.next(&found));
    if (found) {
      for (size_t at = 0; at < imaged_.size(); ++at) {
        const ColumnNumber c = imaged_[at];
        if (c < known_after.size() && known_after[c] >= seqs[i]) continue;
        values[c] = to_wire(c, read_image_.value(static_cast<int>(at)), arena);
      }
    }
    read_image_.reset();
    if (found) break;
  }
  *image = values;
  return {};
}

Status TableAccess::has_image(uint64_t seq, bool* yes) {
  *yes = false;
  if (imaged_.empty()) return {};
  SYNCLINE_TRY(prepare_read_image());
  read_image_.bind(1, seq);
  SYNCLINE_TRY(read_image_.next(yes));
  read_image_.reset();
  return {};
}

Status TableAccess::read_before(std::span<const uint64_t> seqs, Arena* arena,
                                std::span<const Value>* before) {
  if (!read_before_.prepared()) {
    SYNCLINE_TRY(read_before_.prepare(
        db_, "SELECT n,v FROM main.sync_before_" + std::to_string(table_.number) +
                 " WHERE seq=?1"));
  }
  const std::span<Value> values = arena->values(table_.column_count());
  for (const uint64_t seq : seqs) {
    read_before_.bind(1, seq);
    for (bool row = true;;) {
      SYNCLINE_TRY(read_before_.next(&row));
      if (!row) break;
      const auto column = static_cast<size_t>(read_before_.integer(0));
      if (column >= values.size() || !values[column].is(ValueKind::absent)) continue;
      values[column] = to_wire(static_cast<ColumnNumber>(column), read_before_.value(1), arena);
    }
    read_before_.reset();
  }
  *before = values;
  return {};
}

Status TableAccess::read_events(RowKey key, uint64_t folded, std::vector<LogEvent>* events) {
  std::string match;
  for (size_t i = 1; i <= key.size(); ++i)
    match += " AND k" + std::to_string(i) + "=?" + std::to_string(i);
  Statement s;
  SYNCLINE_TRY(s.prepare(db_, "SELECT seq,ver,mask FROM main.sync_log WHERE seq>" +
                                  std::to_string(folded) + " AND t=" +
                                  std::to_string(table_.number) + match + " ORDER BY seq"));
  bind_key(&s, 1, key);
  events->clear();
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    LogEvent event;
    event.seq = static_cast<uint64_t>(s.integer(0));
    event.hlc = static_cast<Hlc>(s.integer(1));
    event.mask = s.integer(2);
    events->push_back(event);
  }
}

Status TableAccess::open_base_cursor(RowKey start, Statement* out) const {
  std::string keys, order, not_null;
  for (size_t i = 0; i < table_.key.size(); ++i) {
    const std::string name = column_name(table_.key[i]);
    const std::string sorted = is_binary(key_parts_[i].collation) ? name : name + " COLLATE BINARY";
    keys += (i > 0 ? "," : "") + name;
    order += (i > 0 ? "," : "") + sorted;
    if (base_.nullable_key) not_null += " AND " + name + " IS NOT NULL";
  }
  std::string columns;
  for (ColumnNumber c : present_)
    columns += "," + column_name(c);
  std::string sql = "SELECT " + keys + columns + " FROM main." + quote_name(base_.name) +
                    " WHERE " + (start.empty() ? "1" : after_start(order, start.size()));
  SYNCLINE_TRY(out->prepare(db_, sql + not_null + " ORDER BY " + order));
  bind_key(out, 1, start);
  return {};
}

Status TableAccess::open_state_cursor(RowKey start, Statement* out) const {
  const std::string keys = key_list(table_.key.size());
  const std::string where = start.empty() ? "" : " WHERE " + after_start(keys, start.size());
  SYNCLINE_TRY(out->prepare(db_, "SELECT " + keys +
                                     ",site,seq,hlc,flags,context,cells FROM "
                                     "main.sync_state_" +
                                     std::to_string(table_.number) + where + " ORDER BY " + keys));
  bind_key(out, 1, start);
  return {};
}

RowKey TableAccess::cursor_key(const Statement& cursor, std::vector<Value>* stored) const {
  stored->resize(table_.key.size());
  for (size_t i = 0; i < stored->size(); ++i)
    (*stored)[i] = cursor.value(static_cast<int>(i));
  return *stored;
}

RowKey TableAccess::key_to_wire(RowKey stored, Arena* arena) const {
  const std::span<Value> out = arena->values(stored.size());
  for (size_t i = 0; i < stored.size(); ++i)
    out[i] = to_wire(table_.key[i], stored[i], arena);
  return out;
}

}  // namespace syncline
