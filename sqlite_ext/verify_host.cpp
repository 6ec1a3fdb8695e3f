// See verify_host.h.
#include "sqlite_ext/verify_host.h"

#include "sqlite_ext/capture.h"
#include "syncline/fold.h"

namespace syncline {

namespace {

// All base rows as they lie in the file: the key columns, then those that `access` reads.
Status open_rows(sqlite3* db, const TableAccess& access, Statement* out) {
  const TableInfo& table = access.table();
  std::string keys, columns, not_null;
  for (const ColumnNumber c : table.key) {
    const std::string name = quote_name(table.columns[c].name);
    keys += (keys.empty() ? "" : ",") + name;
    if (access.base().nullable_key) {
      not_null += (not_null.empty() ? " WHERE " : " AND ") + name + " IS NOT NULL";
    }
  }
  for (const ColumnInfo& column : table.columns) {
    if (column.present && access.base().find(column.name) != nullptr) {
      columns += "," + quote_name(column.name);
    }
  }
  return out->prepare(
      db, "SELECT " + keys + columns + " FROM main." + quote_name(access.base().name) + not_null);
}

// The schema is as it was when the registry last looked at it: no column waits to be filled.
Status is_settled(sqlite3* db, const Registry& registry, bool* yes) {
  int64_t version = 0;
  SYNCLINE_TRY(query_integer(db, "PRAGMA main.schema_version", 0, &version));
  *yes = version == registry.schema_version;
  return {};
}

int64_t mask_of(const std::vector<ColumnNumber>& columns) {
  int64_t mask = 0;
  for (const ColumnNumber c : columns)
    mask |= c < kMaskColumns ? int64_t{1} << c : kMaskMany;
  return columns.empty() ? kMaskAll : mask;
}

// Stores what an answer has computed. What does not work out is computed again next time.
void store_records(sqlite3* db, const std::vector<DigestRecord>& records) {
  if (records.empty() || sqlite3_db_readonly(db, "main") == 1) return;
  Operation operation;
  if (!operation.begin_write(db, "sync_verify").ok()) return;
  bool stored = true;
  for (const DigestRecord& record : records)
    stored = stored && save_digest(db, record).ok();
  if (stored) (void)operation.commit().ok();
}

Status answer_reading(sqlite3* db, KeptSums* kept, const std::string& question,
                      std::string* answer) {
  std::vector<DigestRecord> records;
  {
    Operation operation;
    SYNCLINE_TRY(operation.begin_read(db, "sync_verify"));
    SqliteVerifyHost host(&operation, &records);
    SYNCLINE_TRY(answer_question(&host, kept, question, answer));
  }
  store_records(db, records);
  return {};
}

// Versions have to be in step with the rows: the log is folded first.
Status answer_folded(sqlite3* db, KeptSums* kept, const std::string& question,
                     std::string* answer) {
  std::vector<DigestRecord> records;
  Operation operation;
  if (sqlite3_db_readonly(db, "main") == 1) {
    SYNCLINE_TRY(operation.begin_read(db, "sync_verify"));
    ChangePosition position;
    SYNCLINE_TRY(change_position(db, &position));
    if (position.log > operation.registry().folded) {
      return {StatusCode::refused,
              "this database is read-only, and its last writes have not been taken up yet: which "
              "rows are in flight cannot be told",
              "open it for writing once, or synchronise it"};
    }
    SqliteVerifyHost host(&operation, &records);
    return answer_question(&host, kept, question, answer);
  }
  SYNCLINE_TRY(operation.begin_write(db, "sync_verify"));
  SYNCLINE_TRY(operation.fold());
  {
    SqliteVerifyHost host(&operation, &records);
    SYNCLINE_TRY(answer_question(&host, kept, question, answer));
  }
  return operation.commit();
}

}  // namespace

Status SqliteVerifyHost::access(const TableInfo& table, TableAccess** out) {
  std::unique_ptr<TableAccess>& access = accesses_[table.number];
  if (access == nullptr) {
    std::unique_ptr<TableInfo>& kept = tables_[table.number];
    kept = std::make_unique<TableInfo>(table);
    SYNCLINE_TRY(TableAccess::open(db_, *kept, &access));
  }
  *out = access.get();
  return {};
}

Status SqliteVerifyHost::scan_base(const TableInfo& table, const KeyFilter& wants,
                                   const RowVisitor& visit) {
  TableAccess* rows = nullptr;
  SYNCLINE_TRY(access(table, &rows));
  Statement cursor;
  SYNCLINE_TRY(open_rows(db_, *rows, &cursor));
  Arena arena;
  std::vector<Value> stored;
  for (bool row = true;;) {
    SYNCLINE_TRY(cursor.next(&row));
    if (!row) return {};
    arena.clear();
    const RowKey key = rows->key_to_wire(rows->cursor_key(cursor, &stored), &arena);
    if (wants && !wants(key)) continue;
    LocalRow local;
    rows->read_base_row(cursor, &arena, &local);
    SYNCLINE_TRY(visit(key, local.values));
  }
}

Status SqliteVerifyHost::load_sums(const TableInfo& table, const std::string& plan,
                                   StoredSums* out) {
  TableAccess* rows = nullptr;
  SYNCLINE_TRY(access(table, &rows));
  ChangePosition now;
  SYNCLINE_TRY(change_position(db_, &now));
  return load_digest(db_, rows, plan, now, out);
}

Status SqliteVerifyHost::save_sums(const TableInfo& table, const std::string& plan,
                                   const std::string& packed) {
  bool settled = false;
  SYNCLINE_TRY(is_settled(db_, operation_.registry(), &settled));
  if (!settled) return {};
  DigestRecord record{table.number, plan, packed, {}};
  SYNCLINE_TRY(change_position(db_, &record.position));
  records_.push_back(std::move(record));
  return {};
}

Status SqliteVerifyHost::list_plans(const TableInfo& table, std::vector<std::string>* out) {
  return list_digest_plans(db_, table.number, out);
}

Status SqliteVerifyHost::forget_sums(const TableInfo& table) {
  return forget_digests(db_, table.number);
}

Status SqliteVerifyHost::rewrite_rows(const TableInfo& table, std::span<const Rewrite> rows) {
  TableAccess* base = nullptr;
  SYNCLINE_TRY(access(table, &base));
  const size_t keys = table.key.size();
  std::string marks;
  for (size_t i = 0; i < keys; ++i)
    marks += ",?" + std::to_string(i + 2);
  Statement log;
  SYNCLINE_TRY(log.prepare(db_, "INSERT INTO main.sync_log(t,ver,mask," + key_list(keys) +
                                    ") VALUES(" + std::to_string(table.number) + "," + kClockSql +
                                    ",?1" + marks + ")"));
  for (const Rewrite& row : rows) {
    bool exists = false;
    SYNCLINE_TRY(base->exists(row.key, &exists));
    log.bind(1, exists ? mask_of(row.columns) : kMaskAll);
    for (size_t i = 0; i < keys; ++i) {
      Value local;
      base->to_local(table.key[i], row.key[i], &local);
      log.bind(static_cast<int>(i) + 2, local);
    }
    SYNCLINE_TRY(log.run());
  }
  return {};
}

Status answer_in(sqlite3* db, KeptSums* kept, const std::string& question, std::string* answer) {
  Question kind{};
  SYNCLINE_TRY(question_of(question, &kind));
  switch (kind) {
    case Question::rows:
    case Question::rewrite:
      return answer_folded(db, kept, question, answer);
    default:
      return answer_reading(db, kept, question, answer);
  }
}

Status digest_of(sqlite3* db, const std::string& table, std::string* out) {
  Operation operation;
  SYNCLINE_TRY(operation.begin_read(db, "sync_digest"));
  std::vector<DigestRecord> records;
  SqliteVerifyHost host(&operation, &records);
  return digest_table(&host, table, out);
}

}  // namespace syncline
