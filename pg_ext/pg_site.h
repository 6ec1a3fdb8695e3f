// What the C++ side of the PostgreSQL host shares: the site, the tables, the fold.
//
// All of it works inside an operation begun by sl_merge_begin (sl_host.h), except where it says
// that it only reads.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pg_ext/sl_bridge.h"
#include "syncline/port.h"
#include "syncline/value.h"

namespace syncline::pg {

static_assert(sizeof(SlValue) == sizeof(Value));

inline std::string_view view(SlBytes bytes) { return {bytes.data, bytes.size}; }
inline SlBytes bytes(std::string_view view) { return {view.data(), view.size()}; }
inline Value* values(SlValue* values) { return reinterpret_cast<Value*>(values); }
inline const SlValue* values(const Value* values) {
  return reinterpret_cast<const SlValue*>(values);
}

// Describes the exception being handled. Call it in a catch block.
void fill_exception(SlStatus* out) noexcept;
// Calls a leaf through sl_guard. Errors: host_failed; the error is parked.
Status guard(void (*leaf)(void*), void* argument);
// Copies a status into fixed space; allocates nothing.
void fill(const Status& status, SlStatus* out) noexcept;
// Runs `body`, and brings its status, or what it throws, into *status.
template <typename Body>
void bounded(SlStatus* status, Body body) noexcept {
  status->code = 0;
  status->message[0] = status->hint[0] = '\0';
  try {
    const Status done = body();
    if (!done.ok()) fill(done, status);
  } catch (...) {
    fill_exception(status);
  }
}

// A table of the registry, without rank and policies.
TableInfo table_info(const SlTableDef& def);
// The core's view of a state row, which it points into.
PackedRow packed_row(const SlStateRow& row);

// A vector as append_vector has it; no bytes: an empty one.
Status unpack_vector(SlBytes packed, SiteTable* sites, VersionVector* out);
// Reads the site: sites, knowledge with our own entry, counters, contexts, settings. Only reads.
Status load_site(SiteState* out);
// Stores the sites of `sites` from index `known` on.
Status save_sites(const SiteTable& sites, SiteIndex known);
// Reads the registry, ranked by foreign keys, with the policies that `settings` gives. Only reads.
Status load_tables(const Settings& settings, std::vector<TableInfo>* out);

// Our clock for new versions: now, or just above everything seen, whichever is later.
Hlc next_hlc(int64_t now_ms);

// Brings what the active snapshot sees of the log into row state, each row under a new seq and
// position. Errors: refused (with refuse_own, if this very transaction wrote entries), host_failed.
// Cost: linear in the log, memory bounded by work_mem and one batch.
Status fold_log(bool refuse_own, uint64_t* row_count);

// Notes that our own history has grown to the last seq given, by rows beyond position `begin`.
Status add_own_growth(const SiteState& site, int64_t begin);

// A row of an SQL function that returns rows; empty texts are NULL.
Status put_row(void* target, const std::vector<std::string>& row);

Setting setting_of(const SlSettingRow& row);
// Stores settings in place of what their keys had.
Status save_settings(std::span<const Setting> settings);

Status record_conflicts(std::span<const ConflictRecord> records, const SiteTable& sites);

}  // namespace syncline::pg
