// See operation.h.
#include "sqlite_ext/operation.h"

#include <algorithm>
#include <chrono>

#include "sqlite_ext/conflict_store.h"
#include "sqlite_ext/identity.h"
#include "sqlite_ext/log_fold.h"
#include "syncline/apply.h"
#include "syncline/version_vector.h"

namespace syncline {

namespace {

// Log entries folded in one transaction: a tenth of a second, as long as a chunk takes. Parts four
// times as long cost 6 % less of a first sync_now of 100,000 rows, 25 % of 500,000.
constexpr uint64_t kEntriesPerPart = 25'000;

// The longest nap of SQLite's own busy handler: it takes shorter ones in the first 0.2 s.
constexpr int kPauseMsMax = 100;

// Columns that were parked have a place now: what peers wrote in them goes into the base rows.
Status restore_column(sqlite3* db, const Registry& registry, uint32_t number, ColumnNumber column) {
  AccessPool pool(db, registry);
  TableAccess* access = nullptr;
  SYNCLINE_TRY(pool.get(number, &access));
  const TableInfo& table = access->table();
  std::string default_sql;
  SYNCLINE_TRY(query_text(db,
                          "SELECT coalesce(dflt_value,'NULL') FROM pragma_table_info(" +
                              quote_text(table.name) +
                              ",'main') WHERE name=" + quote_text(table.columns[column].name),
                          &default_sql));
  Statement cursor;
  SYNCLINE_TRY(access->open_state_cursor({}, &cursor));
  for (bool row = true;;) {
    SYNCLINE_TRY(cursor.next(&row));
    if (!row) return {};
    std::vector<Value> stored;
    Arena arena;
    LocalRow local;
    local.key = access->key_to_wire(access->cursor_key(cursor, &stored), &arena);
    access->read_state_row(cursor, &arena, &local);
    if (local.state.cells.empty()) continue;
    SYNCLINE_TRY(access->read_base(local.key, &arena, &local));
    RowState state;
    SYNCLINE_TRY(load_row(local, table, &state));
    // Versions that did not know the column say something of it now: its default.
    SYNCLINE_TRY(settle_conflicts(db, access, registry, local, state, &arena));
    if (!local.stored) continue;
    ShownRow shown;
    show_row(state, table, registry.sites, &shown);
    const Value& value = shown.values[column];
    const bool unknown = value.is(ValueKind::absent) || value.is(ValueKind::same);
    if (unknown || value.identical(local.values[column])) continue;
    SYNCLINE_TRY(access->fill_column(local.key, column, value, default_sql));
  }
}

}  // namespace

Status read_version_vector(sqlite3* db, const char* what, std::string* json) {
  Operation operation;
  SYNCLINE_TRY(operation.begin_read(db, what));
  SiteState site;
  SYNCLINE_TRY(operation.port().load_site(&site));
  *json = vector_to_json(site.knowledge, site.sites);
  return {};
}

Status nothing_tracked(const char* what) {
  return {StatusCode::refused, std::string(what) + ": this database tracks no table yet",
          "SELECT sync_enable('your_table') first"};
}

Status Operation::begin_write_to_apply(sqlite3* db, const char* what) {
  SYNCLINE_TRY(refuse_read_only(db, what));
  SYNCLINE_TRY(refuse_inside_writing_statement(db, what));
  SYNCLINE_TRY(refuse_beside_running_statement(db, what));
  foreign_keys_ = enforces_foreign_keys(db);
  switches_.emplace(db);
  return begin_write(db, what);
}

Status Operation::begin_write(sqlite3* db, const char* what) {
  db_ = db;
  if (!switches_.has_value()) foreign_keys_ = enforces_foreign_keys(db);
  SYNCLINE_TRY(write_.begin(db, what));
  SYNCLINE_TRY(load_registry(db, &registry_));
  if (!registry_.exists) {
    SYNCLINE_TRY(create_registry(db, &registry_));
    SYNCLINE_TRY(remember_file(db, registry_));
    return note_schema_version(db, &registry_);
  }
  SYNCLINE_TRY(check_schema(db, true, &registry_, &changes_));
  int64_t clock = 0;
  SYNCLINE_TRY(query_integer(db, "SELECT count(*) FROM main.sync_clock", 0, &clock));
  if (clock != 0) return {};
  // Somebody emptied the clock. No version was later than the newest known.
  int64_t newest = 0;
  SYNCLINE_TRY(query_integer(db,
                             "SELECT max((SELECT max(hlc) FROM main.sync_vector),"
                             "(SELECT ver FROM main.sync_log ORDER BY seq DESC LIMIT 1))",
                             0, &newest));
  return raise_floor(db, static_cast<Hlc>(newest));
}

Status Operation::begin_read(sqlite3* db, const char* what) {
  SYNCLINE_TRY(read_.begin(db));
  return begin_in_snapshot(db, what);
}

Status Operation::begin_in_snapshot(sqlite3* db, const char* what) {
  db_ = db;
  foreign_keys_ = enforces_foreign_keys(db);
  SYNCLINE_TRY(load_registry(db, &registry_));
  if (!registry_.exists) return nothing_tracked(what);
  return check_schema(db, false, &registry_, &changes_);
}

Status Operation::fold() {
  bool copied = false;
  SYNCLINE_TRY(was_copied(db_, registry_, &copied));
  // The original folded these: they are in its row state, too.
  const uint64_t certain = registry_.folded;
  SYNCLINE_TRY(fold_log());
  return copied ? give_up_identity(db_, &registry_, certain, false) : remember_file(db_, registry_);
}

Status Operation::fold_log() {
  bool retry = !changes_.appeared.empty();
  if (retry) SYNCLINE_TRY(begin_apply("filling a column that was added"));
  const uint64_t folded_before = registry_.folded;
  SYNCLINE_TRY(mark_head(db_, registry_));
  SYNCLINE_TRY(fold_all(db_, &registry_));
  // Not before the fold: to entries of the log that are older than the column it would look as if
  // they had written it.
  for (const auto& [table, column] : changes_.appeared) {
    SYNCLINE_TRY(restore_column(db_, registry_, table, column));
  }
  changes_.appeared.clear();
  for (const TableExtra& extra : registry_.extras)
    retry = retry || extra.adopting;
  if (registry_.folded != folded_before && !retry) {
    // A local write may have freed a key, or brought a parent, that a held row waits for.
    std::vector<RowRef> held;
    SYNCLINE_TRY(list_held(db_, &held));
    retry = !held.empty();
  }
  if (!retry) return {};
  SYNCLINE_TRY(begin_apply("storing rows that were waiting"));
  ApplyReport report;
  SYNCLINE_TRY(retry_held(&port(), {}, &report));
  for (TableExtra& extra : registry_.extras)
    extra.adopting = false;
  return {};
}

Status Operation::may_fold_part(bool* may) {
  // What is in row state counts as written under the old id: a copy settles that first.
  bool copied = false;
  SYNCLINE_TRY(was_copied(db_, registry_, &copied));
  *may = !copied && changes_.appeared.empty();
  for (const TableExtra& extra : registry_.extras)
    *may = *may && !extra.adopting;
  for (const TableInfo& table : registry_.tables) {
    for (const ColumnInfo& column : table.columns) {
      *may = *may && column.present && !(column.policy && column.policy->needs_notes());
    }
  }
  if (!*may) return {};
  std::vector<RowRef> held;
  SYNCLINE_TRY(list_held(db_, &held));
  *may = held.empty();
  return {};
}

Status Operation::fold_part(bool* more) {
  VectorEntry head;
  SYNCLINE_TRY(log_head(db_, &head));
  const uint64_t last = registry_.folded + kEntriesPerPart;
  *more = false;
  if (head.seq > last) SYNCLINE_TRY(may_fold_part(more));
  return *more ? fold_up_to(db_, &registry_, last) : fold();
}

// A pause after each part, since a writer that waits for the lock looks for it only now and then.
Status fold_in_parts(sqlite3* db, const char* what) {
  for (bool more = true; more;) {
    const auto begin = std::chrono::steady_clock::now();
    Operation operation;
    SYNCLINE_TRY(operation.begin_write(db, what));
    SYNCLINE_TRY(operation.fold_part(&more));
    SYNCLINE_TRY(operation.commit());
    const std::chrono::duration<double, std::milli> held = std::chrono::steady_clock::now() - begin;
    if (more) sqlite3_sleep(std::clamp(static_cast<int>(held.count() / 2), 1, kPauseMsMax));
  }
  return {};
}

Status Operation::begin_apply(const char* what) {
  if (switches_.has_value()) return {};
  SYNCLINE_TRY(refuse_beside_running_statement(db_, what));
  switches_.emplace(db_);
  return write_.renew();
}

void Operation::end_apply() {
  port_.reset();
  switches_.reset();
}

Status Operation::check_schema_again() {
  registry_.schema_version = -1;
  return check_schema(db_, true, &registry_, &changes_);
}

Status Operation::commit() {
  if (!changes_.appeared.empty()) SYNCLINE_TRY(fold());
  port_.reset();
  SYNCLINE_TRY(note_schema_version(db_, &registry_));
  SYNCLINE_TRY(write_.commit());
  switches_.reset();
  return {};
}

// The switches come last: turning them spoils the prepared ROLLBACK.
Operation::~Operation() {
  port_.reset();
  write_.roll_back();
  switches_.reset();
}

SqlitePort& Operation::port() {
  if (port_ == nullptr) {
    port_ = std::make_unique<SqlitePort>(db_, &registry_, foreign_keys_, changes_kept_);
  }
  return *port_;
}

}  // namespace syncline
