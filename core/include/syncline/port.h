// The port: what a host (SQLite, PostgreSQL, or memory in tests) provides to the core.
//
// Verbs of our domain, batch-shaped. The core decides; a host reads and writes. All calls of one
// operation happen inside one transaction that the host has begun and will commit or roll back;
// an error from any call makes the core stop and return it, and the host roll back.
//
// Order of calls in an apply: load_site, load_tables, (park), fetch and store in turns,
// find_dangling, list_held, record_conflicts, save_exchange. In an export: load_site, load_tables,
// open_scan, scan.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "syncline/conflicts.h"
#include "syncline/row_state.h"
#include "syncline/settings.h"
#include "syncline/table.h"
#include "syncline/version_vector.h"

namespace syncline {

// What a site knows about itself and others, as one operation sees it.
struct SiteState {
  SiteTable sites;  // the core may intern more; save_exchange persists them
  SiteIndex self = 0;
  std::string name;
  VersionVector knowledge;  // own entry included
  uint64_t now_ms = 0;      // the host's clock
  uint64_t random = 0;      // 64 fresh random bits: names an exchange
  // Position in this database's change order after which everything is newer; save_exchange's
  // `begin` refers to it.
  uint64_t position = 0;
  // Contexts in use: id -> vector. Ids are never used again.
  std::map<ContextId, VersionVector> contexts;
  ContextId next_context = 1;
  Settings settings;
  // What melted versions here stand for (docs/merge_rules.md, "Melting"). Only grows.
  VersionVector melted;
};

// What another site is known to have: it said so in an exchange that ended, or someone relayed it.
// Never more than this site has itself.
struct Acknowledgement {
  SiteIndex site = 0;
  VersionVector vector;
  uint64_t heard_ms = 0;  // when, by this database's clock
};

// An exchange that began and has not ended: where it stands.
struct Incoming {
  bool open = false;
  std::string token;   // resume token of the last applied chunk
  uint64_t begin = 0;  // our position when the exchange began
};

// A row as stored: its state, if it has any, and its base row, if it exists.
struct LocalRow {
  std::span<const Value> key;
  bool has_state = false;
  PackedRow state;
  bool stored = false;            // the base table has it
  std::span<const Value> values;  // by column number, absent where the table lacks it; if stored
};

// Unpacks a stored row: its state, or its table's baseline if it only stands in the base table, or
// nothing. Values are resolved from the base row. Views point into `local`. Errors: corrupt_input.
Status load_row(const LocalRow& local, const TableInfo& table, RowState* out);

// A batch of rows whose bytes live in `arena`.
struct RowBatch {
  Arena arena;
  std::vector<LocalRow> rows;
  const TableInfo* table = nullptr;  // in scans: the table of all of `rows`
  void clear() { rows.clear(); arena.clear(); }
};

enum class BaseAction : uint8_t { none, insert, update, erase };

// One row to write: its new state, and what to do to the base row.
struct RowWrite {
  std::span<const Value> key;
  PackedRow state;                   // cells points to bytes that live until store returns
  BaseAction base = BaseAction::none;
  std::span<const Value> values;     // by column number; insert: absent ones take the default
  // Update: the columns to set; one whose value is absent is set to its default.
  std::vector<ColumnNumber> changed;
  // The row has news for other sites: note it at a new position, so that exports find it.
  bool relay = true;
  // Nothing needs to be known of the row: take its state away and write none.
  bool forget = false;
};

// What became of a RowWrite. A refused one has changed nothing, state included.
struct StoreOutcome {
  bool stored = true;
  ConflictKind kind = ConflictKind::constraint;  // unique, foreign_key or constraint
  std::string reason;  // names the constraint or column; no values
  // unique: keys (encode_key) of the rows that stand in the way, and the columns claimed.
  std::vector<std::string> rivals;
  std::vector<ColumnNumber> claimed;
};

// A row that is referred to from outside its batch: table number and encode_key of its key.
struct RowRef {
  uint32_t table = 0;
  std::string key;
  std::string reason;
  auto operator<=>(const RowRef& other) const = default;
};

struct ConflictRecord {
  const TableInfo* table = nullptr;
  std::string key;      // encode_key
  std::string pk_json;  // for people
  Conflict conflict;
  bool opened = true;  // false: close the open conflict of this id
  // Of the pair, the version that was here before, for the columns `local` and `remote`.
  bool winner_is_local = true;
  std::string reason;  // for held rows
  // With opened == false: how it was settled.
  ConflictEnd end;
};

// What an apply leaves behind beside rows.
struct ExchangeUpdate {
  SiteId sender;
  Incoming incoming;         // open: store; not open: forget
  bool knowledge_grew = false;
  VersionVector knowledge;   // of all foreign sites, after
  uint64_t begin = 0;        // with knowledge_grew: our position when the exchange began
  std::vector<std::pair<ContextId, VersionVector>> contexts_new;
  std::vector<ContextId> contexts_gone;
  Hlc hlc_max = 0;  // the clock must tick above it
  std::vector<Setting> settings_new;  // to be stored in place of what their keys had
  std::vector<Acknowledgement> acknowledgements;  // to be stored in place of what their sites had
  bool melted_changed = false;
  VersionVector melted;  // with melted_changed: after
};

// Where melting stands: a pass goes through all row state, some rows a call.
struct MeltingState {
  VersionVector under;  // SiteState::melted in the pass that is going on, or in the last one
  bool done = true;
  uint32_t table = 0;   // number of the table, and the key (encode_key), looked at last
  std::string key;
};

// Where a scan starts: after a row, or at the beginning.
struct ScanStart {
  uint32_t rank = 0;
  std::string table;  // empty: from the beginning
  std::string key;    // encode_key of the last row sent
  bool everything = false;  // every row, whatever `since` knows
};

class Port {
 public:
  virtual ~Port() = default;

  virtual Status load_site(SiteState* out) = 0;
  // Does our own history have this hlc at this seq? False: another database uses our identity, or
  // this one was rolled back.
  virtual Status recognises(const VectorEntry& own, bool* yes) = 0;
  // All tables, present and parked, with their policies (apply_policies).
  virtual Status load_tables(std::vector<TableInfo>* out) = 0;
  // Registers what a peer has and we lack: the whole table, or columns (appended to `table`, not
  // present). Rows and values for it are kept in row state until the schema has a place for them.
  // On return `tables` is as load_tables would give it.
  virtual Status park(const TableSchema& remote, std::vector<TableInfo>* tables) = 0;

  // Reads rows by key, one result row for each key, in order; keys are sorted by compare_keys. In a
  // host with concurrent writers the rows are locked first and their log entries folded.
  virtual Status fetch(const TableInfo& table, std::span<const RowKey> keys, RowBatch* out) = 0;
  // Writes rows; outcomes come one a write, in order. Never fails because of a constraint.
  // Capture, user triggers and foreign key actions do not run.
  virtual Status store(const TableInfo& table, std::span<const RowWrite> writes,
                       std::vector<StoreOutcome>* outcomes) = 0;
  // Rows whose foreign keys point to nothing: children among `written`, and children of rows among
  // `removed`. Empty where foreign keys are not enforced.
  virtual Status find_dangling(std::span<const RowRef> written, std::span<const RowRef> removed,
                               std::vector<RowRef>* out) = 0;

  // Rows kept out of present base tables (kinds unique, foreign_key, constraint), oldest first.
  virtual Status list_held(std::vector<RowRef>* out) = 0;
  virtual Status record_conflicts(std::span<const ConflictRecord> records) = 0;
  // Rows of the table, after the key `after` (encode_key; empty: from the first) and in key order,
  // that may hold several versions of a cell: all that may_conflict, and others if that is easier.
  // At most `count_max`; none: the end.
  virtual Status list_contested(const TableInfo& table, std::string_view after, size_t count_max,
                                RowBatch* out) = 0;

  // The keys of all rows of the table that are in the base table or have state, after the key
  // `after` (encode_key; empty: from the first), in key order. Only `key` of each row is filled in.
  virtual Status list_keys(const TableInfo& table, std::string_view after, size_t count_max,
                           RowBatch* out);
  // The same for rows with state, with their state; `stored` and `values` are not filled in.
  virtual Status list_states(const TableInfo& table, std::string_view after, size_t count_max,
                             RowBatch* out);
  // Takes the state of rows away. The base rows stay as they are.
  virtual Status forget(const TableInfo& table, std::span<const RowKey> keys);
  // A new dot of this site for a version that the core is about to store at this row: its hlc is
  // the core's affair. A log has an entry with kMaskNoted for it.
  virtual Status new_dot(const TableInfo& table, RowKey key, Version* out);
  // From now on rows without state have this version. Its site may be new: save_exchange or
  // save_melting follows.
  virtual Status set_baseline(const TableInfo& table, const Version& baseline);
  // What is known of `sites`; those of whom nothing was heard are left out. Empty: all of them.
  virtual Status load_acknowledgements(std::span<const SiteIndex> sites,
                                       std::vector<Acknowledgement>* out);
  // Where a pass of melt() stands.
  virtual Status load_melting(MeltingState* out);
  virtual Status save_melting(const SiteState& site, const MeltingState& state);
  // Drops what only holders of less than `site.melted` need: log entries, positions, growth.
  virtual Status prune(const SiteState& site);

  virtual Status load_incoming(const SiteId& sender, Incoming* out) = 0;
  // All exchanges that broke off here: sender and token.
  virtual Status list_incoming(std::vector<std::pair<SiteId, std::string>>* out) = 0;
  // Also persists sites interned since load_site.
  virtual Status save_exchange(const SiteState& site, const ExchangeUpdate& update) = 0;

  // Starts a scan over rows that may have news for a holder of `since`, in the order of table rank
  // and key. May give rows without news; never leaves one out.
  virtual Status open_scan(const VersionVector& since, const ScanStart& start) = 0;
  // The next rows, all of one table; none: the end. `out->table` points into load_tables' result of
  // this operation as the host keeps it, valid until the scan ends.
  virtual Status scan(size_t count_max, RowBatch* out) = 0;

  // Called every limits::rows_per_batch rows; an error stops the work.
  virtual Status check_interrupt() = 0;
};

}  // namespace syncline
