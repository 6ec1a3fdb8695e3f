// What passes between the core and a host through the port (port.h): a site's state, rows as they
// are stored and as they are to be stored, conflicts, and what an exchange leaves behind.
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
// nothing. Values are resolved from the base row, and absent ones filled in (fill_missing). Views
// point into `local` and `table`. Errors: corrupt_input.
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
  // With `forget`, an insert: nothing is known of the row here, so that there is no state to take
  // away. It gets no position: whoever knows its version knows all rows that have it. Sums and
  // plans that were made of the table say nothing any more.
  bool fresh = false;
};

// What became of a RowWrite. A refused one has changed nothing, state included.
struct StoreOutcome {
  bool stored = true;
  ConflictKind kind = ConflictKind::constraint;  // unique, foreign_key or constraint
  std::string reason;  // names the constraint or column; no values
  // unique: keys (encode_key) of the rows that stand in the way, and the columns of all unique keys
  // of the table; of its primary key if its index takes keys for equal that are not. Any two rows
  // are compared by the same columns, whichever key they meet in: else three could go in a circle.
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

}  // namespace syncline
