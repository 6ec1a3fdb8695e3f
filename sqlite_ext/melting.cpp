// See melting.h.
#include "sqlite_ext/melting.h"

#include <algorithm>

#include "sqlite_ext/sqlite_port.h"

namespace syncline {

namespace {

// Positions that one DELETE goes over: a statement of bounded length.
constexpr uint64_t kStep = 10'000;

std::string vector_bytes(const VersionVector& vector, const SiteTable& sites) {
  std::string bytes;
  append_vector(&bytes, vector, sites);
  return bytes;
}

// Deletes rows of `table` with from <= position < upto, at most *budget positions of them.
Status delete_range(sqlite3* db, const char* table, const char* position, uint64_t from,
                    uint64_t upto, uint64_t* budget, uint64_t* deleted) {
  const std::string name(position);
  const std::string range =
      " FROM main." + std::string(table) + " WHERE " + name + ">=?1 AND " + name + "<?2";
  Statement first, erase;
  SYNCLINE_TRY(first.prepare(db, "SELECT min(" + name + ")" + range));
  SYNCLINE_TRY(erase.prepare(db, "DELETE" + range));
  while (*budget > 0 && from < upto) {
    first.bind(1, from);
    first.bind(2, upto);
    bool row = false;
    SYNCLINE_TRY(first.next(&row));
    if (!row || first.is_null(0)) return {};
    from = static_cast<uint64_t>(first.integer(0));
    first.reset();
    const uint64_t end = std::min(upto, from + std::min(kStep, *budget));
    erase.bind(1, from);
    erase.bind(2, end);
    SYNCLINE_TRY(erase.run());
    const auto count = static_cast<uint64_t>(sqlite3_changes(db));
    *deleted += count;
    *budget -= std::min(*budget, count);
    from = end;
  }
  return {};
}

// Up to where nobody reads sync_relay any more.
Status relay_bound(sqlite3* db, uint64_t* out) {
  int64_t bound = 0;
  SYNCLINE_TRY(query_integer(db,
                             "SELECT min(coalesce((SELECT min(begin) FROM main.sync_growth),p),"
                             "coalesce((SELECT min(begin) FROM main.sync_incoming),p),"
                             "coalesce((SELECT min(begin) FROM main.sync_context),p),p-1) FROM "
                             "(SELECT coalesce(max(pos),0) AS p FROM main.sync_relay)",
                             0, &bound));
  *out = bound < 0 ? 0 : static_cast<uint64_t>(bound);
  return {};
}

// What deletes and updates kept for a fold that has been.
Status drop_images(sqlite3* db, uint64_t folded) {
  std::vector<std::string> names;
  SYNCLINE_TRY(query_texts(db,
                           "SELECT name FROM main.sqlite_schema WHERE type='table' AND (name GLOB "
                           "'sync_image_[0-9]*' OR name GLOB 'sync_before_[0-9]*')",
                           &names));
  for (const std::string& name : names) {
    SYNCLINE_TRY(execute(
        db, "DELETE FROM main." + quote_name(name) + " WHERE seq<=" + std::to_string(folded)));
  }
  return {};
}

}  // namespace

Status load_melted(sqlite3* db, SiteTable* sites, VersionVector* out) {
  *out = VersionVector();
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT melted FROM main.sync_melt"));
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  if (!row) return {};
  std::string_view bytes = s.bytes(0);
  return read_vector(&bytes, sites, out);
}

Status save_melted(sqlite3* db, const SiteTable& sites, const VersionVector& melted) {
  const std::string bytes = vector_bytes(melted, sites), none = vector_bytes({}, sites);
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "INSERT INTO main.sync_melt VALUES(0,?1,?2,1,0,x'') ON CONFLICT(id) DO "
                         "UPDATE SET melted=excluded.melted"));
  s.bind_blob(1, bytes);
  s.bind_blob(2, none);
  return s.run();
}

Status save_acknowledgements(sqlite3* db, const SiteTable& sites,
                             std::span<const Acknowledgement> acknowledgements) {
  if (acknowledgements.empty()) return {};
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "INSERT INTO main.sync_ack(site,vector,heard_ms) VALUES(?1,?2,?3) ON "
                         "CONFLICT(site) DO UPDATE SET vector=excluded.vector,"
                         "heard_ms=excluded.heard_ms"));
  for (const Acknowledgement& ack : acknowledgements) {
    const std::string bytes = vector_bytes(ack.vector, sites);
    s.bind(1, int64_t{ack.site});
    s.bind_blob(2, bytes);
    s.bind(3, ack.heard_ms);
    SYNCLINE_TRY(s.run());
  }
  return {};
}

// The entry that the melt vector names stays, so that it can be compared; older ones go.
Status is_pruned(sqlite3* db, const Registry& registry, uint64_t seq, bool* yes) {
  const uint64_t from = registry.incarnations.back().from_seq;
  int64_t first = 0;
  SYNCLINE_TRY(query_integer(
      db, "SELECT min(seq) FROM main.sync_log WHERE seq>=" + std::to_string(from), 0, &first));
  *yes = seq == 0 || (seq >= from && seq < static_cast<uint64_t>(first));
  return {};
}

Status SqlitePort::list_keys(const TableInfo& table, std::string_view after, size_t count_max,
                             RowBatch* out) {
  out->clear();
  out->table = &table;
  TableAccess* access = nullptr;
  SYNCLINE_TRY(pool_.get(table.number, &access));
  std::vector<Value> start, local;
  if (!after.empty()) SYNCLINE_TRY(decode_key(after, &out->arena, &start));
  for (size_t i = 0; i < start.size(); ++i) {
    local.emplace_back();
    access->to_local(table.key[i], start[i], &local[i]);
  }
  struct Side {
    Statement cursor;
    std::vector<Value> key;
    bool live = false;
  } base, state;
  // A key that the column cannot hold may be taken for another where the cursor begins.
  const auto step = [&](Side* side) -> Status {
    do {
      SYNCLINE_TRY(side->cursor.next(&side->live));
      if (side->live) access->cursor_key(side->cursor, &side->key);
    } while (side->live && !local.empty() && compare_keys(side->key, local) <= 0);
    return {};
  };
  if (table.present) {
    SYNCLINE_TRY(access->open_base_cursor(start, &base.cursor));
    SYNCLINE_TRY(step(&base));
  }
  SYNCLINE_TRY(access->open_state_cursor(start, &state.cursor));
  SYNCLINE_TRY(step(&state));
  while (out->rows.size() < count_max && (base.live || state.live)) {
    const int order = !base.live ? 1 : !state.live ? -1 : compare_keys(base.key, state.key);
    LocalRow row;
    row.key = access->key_to_wire(order <= 0 ? base.key : state.key, &out->arena);
    out->rows.push_back(row);
    if (order <= 0) SYNCLINE_TRY(step(&base));
    if (order >= 0) SYNCLINE_TRY(step(&state));
  }
  return {};
}

Status SqlitePort::forget(const TableInfo& table, std::span<const RowKey> keys) {
  TableAccess* access = nullptr;
  SYNCLINE_TRY(pool_.get(table.number, &access));
  return access->forget_states(keys);
}

Status SqlitePort::new_dot(const TableInfo& table, RowKey key, Version* out) {
  TableAccess* access = nullptr;
  SYNCLINE_TRY(pool_.get(table.number, &access));
  SYNCLINE_TRY(access->append_log(key, kMaskNoted, {}));
  VectorEntry head;
  SYNCLINE_TRY(log_head(db_, &head));
  *out = {head.seq, head.hlc, registry_.self(), false};
  return {};
}

Status SqlitePort::set_baseline(const TableInfo& table, const Version& baseline) {
  const int64_t at = registry_.position(table.number);
  if (at < 0) return {StatusCode::internal, "no table has number " + std::to_string(table.number)};
  SYNCLINE_TRY(save_sites(*sites_));  // it may name a site that is new
  registry_.tables[static_cast<size_t>(at)].baseline = baseline;
  registry_.tables[static_cast<size_t>(at)].baseline_context = table.baseline_context;
  return save_table(db_, registry_, static_cast<size_t>(at));
}

Status SqlitePort::load_acknowledgements(std::span<const SiteIndex> sites,
                                         std::vector<Acknowledgement>* out) {
  out->clear();
  std::string where;
  for (const SiteIndex site : sites) where += (where.empty() ? "" : ",") + std::to_string(site);
  if (!where.empty()) where = " WHERE site IN (" + where + ")";
  Statement s;
  SYNCLINE_TRY(s.prepare(db_, "SELECT site,vector,heard_ms FROM main.sync_ack" + where));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    Acknowledgement ack;
    ack.site = static_cast<SiteIndex>(s.integer(0));
    ack.heard_ms = static_cast<uint64_t>(s.integer(2));
    std::string_view bytes = s.bytes(1);
    SYNCLINE_TRY(read_vector(&bytes, sites_, &ack.vector));
    out->push_back(std::move(ack));
  }
}

Status SqlitePort::load_melting(MeltingState* out) {
  *out = MeltingState();
  Statement s;
  SYNCLINE_TRY(s.prepare(db_, "SELECT under,done,t,key FROM main.sync_melt"));
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  if (!row) return {};
  std::string_view bytes = s.bytes(0);
  SYNCLINE_TRY(read_vector(&bytes, sites_, &out->under));
  out->done = s.integer(1) != 0;
  out->table = static_cast<uint32_t>(s.integer(2));
  out->key = s.text(3);
  return {};
}

Status SqlitePort::save_melting(const SiteState& site, const MeltingState& state) {
  SYNCLINE_TRY(save_sites(site.sites));
  const std::string melted = vector_bytes(site.melted, site.sites);
  const std::string under = vector_bytes(state.under, site.sites);
  Statement s;
  SYNCLINE_TRY(s.prepare(db_, "INSERT OR REPLACE INTO main.sync_melt VALUES(0,?1,?2,?3,?4,?5)"));
  s.bind_blob(1, melted);
  s.bind_blob(2, under);
  s.bind(3, int64_t{state.done});
  s.bind(4, int64_t{state.table});
  s.bind_blob(5, state.key);
  return s.run();
}

Status SqlitePort::prune(const SiteState& site) {
  uint64_t budget = prune_limit_;
  VectorEntry head;
  SYNCLINE_TRY(log_head(db_, &head));
  const uint64_t log_end = std::min(registry_.folded + 1, head.seq);  // the last one stays
  for (size_t i = 0; i < registry_.incarnations.size(); ++i) {
    const Incarnation& own = registry_.incarnations[i];
    const bool last = i + 1 == registry_.incarnations.size();
    const uint64_t end = last ? log_end : registry_.incarnations[i + 1].from_seq;
    const uint64_t upto = std::min({site.melted.seq(own.site), end, log_end});
    SYNCLINE_TRY(
        delete_range(db_, "sync_log", "seq", own.from_seq, upto, &budget, &log_dropped_));
  }
  SYNCLINE_TRY(drop_images(db_, registry_.folded));
  Statement growth;
  SYNCLINE_TRY(growth.prepare(db_, "DELETE FROM main.sync_growth WHERE site=?1 AND seq<=?2"));
  for (SiteIndex s = 0; s < site.melted.size(); ++s) {
    growth.bind(1, int64_t{s});
    growth.bind(2, site.melted.seq(s));
    SYNCLINE_TRY(growth.run());
  }
  uint64_t bound = 0, relays = 0;
  SYNCLINE_TRY(relay_bound(db_, &bound));
  SYNCLINE_TRY(delete_range(db_, "sync_relay", "pos", 0, bound + 1, &budget, &relays));
  prune_left_ = budget == 0;
  return {};
}

}  // namespace syncline
