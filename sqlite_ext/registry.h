// The companions that describe this database: who it is, what it tracks, how far it has folded.
//
//   sync_meta(key, value)            format, name, schema_version, folded, shared, key_columns,
//                                    next_table; fire: numbers of tables whose triggers fire;
//                                    missing: see column_defaults.h
//   sync_clock(id, floor)            one row; every hlc written here is at least `floor`
//   sync_site(n, id)                 the numbering of sites: n is a SiteIndex
//   sync_incarnation(from_seq, site) log positions from `from_seq` on are dots of `site`; the last
//   is us sync_vector(site, seq, hlc)      what is known of other sites sync_table, sync_column
//   tracked and parked tables sync_log(seq, t, ver, mask, k1..kn)  local changes; seq is the dot.
//   Its last row is never deleted sync_relay(pos, t, k1..kn)       rows that came from others,
//   where exports find them sync_growth(begin, site, seq)    at relay position `begin` knowledge of
//   `site` began to grow to seq sync_context(id, begin, vector)  what is known of single rows
//   beyond our knowledge sync_incoming(sender, token, begin)  exchanges that have not ended
//   sync_setting(key, value, hlc, site)  what all sites share (core settings.h)
//   sync_origin(from_seq, origin)    who writes the log entries from `from_seq` on (core origin.h)
//   sync_ack(site, vector, heard_ms, ahead_ms)  what others are known to have; when they were
//                                    heard, how far their clocks were ahead
//   sync_melt                        what was dropped of metadata, and how far: see melting.h
//   sync_conflict, sync_event, sync_peer  see conflict_store.h and peer_store.h
//   sync_state_<n>                   packed row state, keyed like the table
//   sync_image_<n>                   last images of deleted rows that are not folded yet
//   sync_before_<n>(seq, n, v)       what an update that is not folded yet saw in column n; only of
//                                    tables with policies that need it (core policy.h)
#pragma once

#include <string>
#include <vector>

#include "sqlite_ext/statement.h"
#include "syncline/settings.h"
#include "syncline/table.h"
#include "syncline/types.h"
#include "syncline/version_vector.h"

namespace syncline {

inline constexpr int64_t kStoreFormat = 2;

// What the host keeps about a table beside TableInfo.
struct TableExtra {
  // By column: entries of the log up to here were written by triggers that did not know the column.
  std::vector<uint64_t> known_after;
  std::string suspect;     // why changes may have been missed; empty: none were
  std::string enabled_at;  // ISO timestamp
  bool fire = false;       // the application's triggers run on rows that arrive
  bool adopting = false;   // was parked until just now: held rows are to be tried again
  std::vector<std::string> local;  // columns that never leave this database: not in TableInfo
};

struct Incarnation {
  uint64_t from_seq = 0;
  SiteIndex site = 0;
};

// Who wrote the log entries from `from_seq` on, up to the next one's.
struct OriginSpan {
  uint64_t from_seq = 0;
  std::string origin;  // text; empty: nobody said
  bool decides = false;
};

struct Registry {
  bool exists = false;  // the companions are there
  SiteTable sites;
  std::vector<Incarnation> incarnations;  // ascending; the last is the current one
  std::string name;
  int64_t schema_version = -1;  // of the last check
  uint64_t folded = 0;          // log entries up to here are in row state
  uint64_t shared = 0;          // own dots up to here are known to have reached another site
  uint32_t key_columns = 1;     // k1..kn of sync_log and sync_relay
  uint32_t next_table = 1;
  std::vector<TableInfo> tables;
  std::vector<TableExtra> extras;  // parallel to tables
  Settings settings;
  std::vector<OriginSpan> origins;  // ascending

  // Of a log entry; null if nobody said anything.
  const OriginSpan* origin_of(uint64_t seq) const;
  SiteIndex self() const { return incarnations.empty() ? 0 : incarnations.back().site; }
  // Position in `tables` of the table with this number, or -1.
  int64_t position(uint32_t number) const;
};

// Whether this database has companions: whether it tracks, or has tracked, a table. Errors:
// unsupported_version if another release wrote them.
Status has_companions(sqlite3* db, bool* yes);
// Reads everything; `exists` is false on a database without companions. Errors: as has_companions.
Status load_registry(sqlite3* db, Registry* out);
// Creates the companions and an identity. REQUIRES: a write transaction.
Status create_registry(sqlite3* db, Registry* out);

Status save_meta(sqlite3* db, const char* key, const Value& value);
Status save_site(sqlite3* db, SiteIndex index, const SiteId& id);
// Writes a table's row and columns as `registry` has them.
Status save_table(sqlite3* db, const Registry& registry, size_t position);
// Writes which tables have `fire`.
Status save_fire(sqlite3* db, const Registry& registry);
// Stores a setting in place of what its key had.
Status save_setting(sqlite3* db, const Setting& setting);
// Writes which columns are local.
Status save_local(sqlite3* db, const Registry& registry);
// Brings what policies say of tables up to the settings.
void refresh_policies(Registry* registry);
Status load_origins(sqlite3* db, Registry* out);
// From log position `from_seq` on, `origin` is who writes.
Status save_origin(sqlite3* db, uint64_t from_seq, std::string_view origin);
// Forgets spans that no entry beyond `folded` needs; the last one stays.
Status trim_origins(sqlite3* db, uint64_t folded);
Status delete_table(sqlite3* db, uint32_t number);
// Creates sync_state_<n>, and makes the log wide enough for its key.
Status create_state(sqlite3* db, Registry* registry, const TableInfo& table);
// Creates sync_image_<n>, or adds the columns it lacks.
Status create_image(sqlite3* db, const TableInfo& table);
// Creates sync_before_<n> if there is none.
Status create_before(sqlite3* db, uint32_t table);

// The newest log position and its hlc; zeros on an empty log.
Status log_head(sqlite3* db, VectorEntry* out);
// Appends an entry without a key: a dot for a baseline. REQUIRES: a write transaction.
Status append_marker(sqlite3* db, uint32_t table, uint64_t* seq);
// Raises the clock's floor; repairs an empty clock table.
Status raise_floor(sqlite3* db, Hlc hlc);

// Milliseconds since the Unix epoch, from the same clock as capture.
Status clock_ms(sqlite3* db, uint64_t* out);
uint64_t random_bits();
SiteId random_site_id();

}  // namespace syncline
