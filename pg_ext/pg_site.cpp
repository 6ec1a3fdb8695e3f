// The site and the registry as the core sees them, from what the leaves read.
#include "pg_ext/pg_site.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>

#include "pg_ext/sl_decide.h"
#include "syncline/conflicts.h"
#include "syncline/decision.h"

namespace syncline::pg {

namespace {

SiteId site_id(const SlSiteRow& row) {
  SiteId id;
  std::copy(std::begin(row.id), std::end(row.id), id.bytes.begin());
  return id;
}

}  // namespace

TableInfo table_info(const SlTableDef& def) {
  TableInfo table;
  table.number = def.number;
  table.name = view(def.name);
  table.present = def.present;
  table.baseline.site = static_cast<SiteIndex>(def.baseline_site);
  table.baseline.seq = static_cast<uint64_t>(def.baseline_seq);
  table.baseline_context = static_cast<ContextId>(def.baseline_context);
  std::map<int32_t, ColumnNumber> key;
  for (uint32_t i = 0; i < def.column_count; ++i) {
    const SlColumnDef& from = def.columns[i];
    ColumnInfo column;
    column.name = view(from.name);
    column.type = view(from.type);
    column.kind = logical_kind(column.type);
    column.present = from.present;
    column.dropped = from.dropped;
    std::string_view missing = view(from.missing);
    Value value;
    if (!missing.empty() && read_value(&missing, &value).ok()) column.set_missing(value);
    table.columns.push_back(std::move(column));
    if (from.key_position >= 0) key[from.key_position] = i;
  }
  for (const auto& [position, number] : key) table.key.push_back(number);
  return table;
}

namespace {

// Kahn's algorithm; of those that may come next, and of a cycle, the first name comes first. The
// SQLite host ranks in the same way.
void rank_tables(const SlTables& defs, std::vector<TableInfo>* tables) {
  std::map<uint32_t, std::string> names;
  for (const TableInfo& table : *tables) names[table.number] = table.name;
  std::map<std::string, std::set<std::string>> waits;
  for (uint32_t i = 0; i < defs.count; ++i) {
    const SlTableDef& def = defs.tables[i];
    std::set<std::string>& parents = waits[names[def.number]];
    for (uint32_t p = 0; p < def.parent_count; ++p) parents.insert(names[def.parents[p]]);
  }
  std::map<std::string, uint32_t> rank;
  while (!waits.empty()) {
    auto ready = std::find_if(waits.begin(), waits.end(),
                              [](const auto& entry) { return entry.second.empty(); });
    if (ready == waits.end()) ready = waits.begin();
    const std::string name = ready->first;
    rank[name] = static_cast<uint32_t>(rank.size()) + 1;
    waits.erase(ready);
    for (auto& [other, parents] : waits) parents.erase(name);
  }
  for (TableInfo& table : *tables) table.rank = rank[table.name];
  std::sort(tables->begin(), tables->end(),
            [](const TableInfo& a, const TableInfo& b) { return a.rank < b.rank; });
}

}  // namespace

PackedRow packed_row(const SlStateRow& row) {
  PackedRow packed;
  packed.site = static_cast<SiteIndex>(row.site);
  packed.seq = static_cast<uint64_t>(row.seq);
  packed.hlc = static_cast<Hlc>(row.hlc);
  packed.flags = static_cast<uint32_t>(row.flags);
  packed.context = static_cast<ContextId>(row.context);
  packed.cells = view(row.cells);
  return packed;
}

Status unpack_vector(SlBytes packed, SiteTable* sites, VersionVector* out) {
  std::string_view rest = view(packed);
  *out = VersionVector();
  return rest.empty() ? Status() : read_vector(&rest, sites, out);
}

Status load_site(SiteState* out) {
  SlSite site;
  SYNCLINE_TRY(guard(sl_leaf_load_site, &site));
  for (uint32_t i = 0; i < site.site_count; ++i) out->sites.intern(site_id(site.sites[i]));
  out->self = static_cast<SiteIndex>(site.self);
  out->name = view(site.name);
  for (uint32_t i = 0; i < site.vector_count; ++i) {
    const SlVectorRow& row = site.vector[i];
    out->knowledge.set(static_cast<SiteIndex>(row.site),
                       {static_cast<uint64_t>(row.seq), static_cast<Hlc>(row.hlc)});
  }
  if (site.counters.next_seq > 1) {
    out->knowledge.set(out->self, {static_cast<uint64_t>(site.counters.next_seq - 1),
                                   static_cast<Hlc>(site.counters.own_hlc)});
  }
  out->now_ms = static_cast<uint64_t>(site.now_ms);
  out->random = static_cast<uint64_t>(site.random);
  out->position = static_cast<uint64_t>(site.counters.position);
  out->next_context = static_cast<ContextId>(site.counters.next_context);
  for (uint32_t i = 0; i < site.context_count; ++i) {
    VersionVector vector;
    SYNCLINE_TRY(unpack_vector(site.contexts[i].vector, &out->sites, &vector));
    out->contexts[static_cast<ContextId>(site.contexts[i].id)] = vector;
  }
  for (uint32_t i = 0; i < site.setting_count; ++i) {
    out->settings.merge(setting_of(site.settings[i]));
  }
  return unpack_vector(site.melted, &out->sites, &out->melted);
}

Status put_row(void* target, const std::vector<std::string>& row) {
  std::vector<SlBytes> texts;
  for (const std::string& text : row) {
    texts.push_back(text.empty() ? SlBytes{nullptr, 0} : bytes(text));
  }
  SlPutRow line = {target, texts.data(), static_cast<uint32_t>(texts.size())};
  return guard(sl_leaf_put_row, &line);
}

Setting setting_of(const SlSettingRow& row) {
  Setting setting;
  setting.key = view(row.key);
  setting.value = view(row.value);
  setting.hlc = static_cast<Hlc>(row.hlc);
  std::copy(std::begin(row.site), std::end(row.site), setting.site.bytes.begin());
  return setting;
}

Status save_settings(std::span<const Setting> settings) {
  std::vector<SlSettingRow> rows;
  for (const Setting& setting : settings) {
    SlSettingRow row = {};
    row.key = bytes(setting.key);
    row.value = bytes(setting.value);
    row.hlc = static_cast<int64_t>(setting.hlc);
    std::copy(setting.site.bytes.begin(), setting.site.bytes.end(), std::begin(row.site));
    rows.push_back(row);
  }
  if (rows.empty()) return {};
  SlSettings all = {rows.data(), static_cast<uint32_t>(rows.size())};
  return guard(sl_leaf_save_settings, &all);
}

Status save_sites(const SiteTable& sites, SiteIndex known) {
  std::vector<SlSiteRow> rows;
  for (SiteIndex i = known; i < sites.size(); ++i) {
    SlSiteRow row;
    std::copy(sites.id(i).bytes.begin(), sites.id(i).bytes.end(), std::begin(row.id));
    rows.push_back(row);
  }
  if (rows.empty()) return {};
  SlAddSites add{static_cast<int32_t>(known), rows.data(), static_cast<uint32_t>(rows.size())};
  return guard(sl_leaf_add_sites, &add);
}

Status load_tables(const Settings& settings, std::vector<TableInfo>* out) {
  SlTables defs;
  SYNCLINE_TRY(guard(sl_leaf_load_tables, &defs));
  out->clear();
  for (uint32_t i = 0; i < defs.count; ++i) out->push_back(table_info(defs.tables[i]));
  rank_tables(defs, out);
  apply_policies(settings, out);
  return {};
}

Hlc next_hlc(int64_t now_ms) {
  const Hlc floor = static_cast<Hlc>(sl_counters()->floor);
  return std::max(hlc_from_ms(static_cast<uint64_t>(now_ms)), floor + 1);
}

Status record_conflicts(std::span<const ConflictRecord> records, const SiteTable& sites) {
  std::vector<SlConflict> rows;
  std::vector<std::array<std::string, 3>> texts;  // the two sites; what undoing it says
  texts.reserve(records.size());
  for (const ConflictRecord& record : records) {
    const Conflict& conflict = record.conflict;
    const bool held = holds_row(conflict_kind_name(conflict.kind));
    Origin origin;
    if (record.opened && !held) origin.reopened = reopened_of(conflict, *record.table, sites);
    const auto site_of = [&](const Version& v) {
      return v.seq > 0 ? to_hex(sites.id(v.site)) : std::string();
    };
    const auto& names = texts.emplace_back(std::array{
        site_of(conflict.winner), site_of(conflict.loser), origin_to_text(origin)});
    SlConflict row = {};
    row.opened = record.opened;
    row.winner_is_local = record.winner_is_local;
    row.table = record.table->number;
    row.table_name = bytes(record.table->name);
    row.id = bytes(conflict.id);
    row.key = bytes(record.key);
    row.pk_json = bytes(record.pk_json);
    if (conflict.column >= 0) {
      row.column = bytes(record.table->columns[static_cast<size_t>(conflict.column)].name);
    }
    row.kind = bytes(conflict_kind_name(conflict.kind));
    row.winner_json = bytes(conflict.winner_json);
    row.loser_json = bytes(conflict.loser_json);
    row.winner_site = bytes(names[0]);
    row.loser_site = bytes(names[1]);
    row.winner_ms = static_cast<int64_t>(hlc_to_ms(conflict.winner.hlc));
    row.loser_ms = static_cast<int64_t>(hlc_to_ms(conflict.loser.hlc));
    row.shown_json = bytes(conflict.shown_json);
    row.base_json = bytes(conflict.base_json);
    row.policy = bytes(conflict.policy);
    row.severity = bytes(conflict.severity);
    row.confidence = conflict.confidence;
    row.winner_actor = bytes(conflict.winner_actor);
    row.loser_actor = bytes(conflict.loser_actor);
    row.reopens = bytes(names[2]);
    const std::string& note = record.opened ? record.reason : record.end.note;
    if (!note.empty()) row.note = bytes(note);
    row.how = bytes(record.end.how);
    row.by = bytes(record.end.by);
    row.choice = bytes(record.end.choice);
    row.settled_ms = static_cast<int64_t>(record.end.at_ms);
    rows.push_back(row);
  }
  if (rows.empty()) return {};
  SlConflicts batch{rows.data(), static_cast<uint32_t>(rows.size())};
  return guard(sl_leaf_record_conflicts, &batch);
}

}  // namespace syncline::pg

using namespace syncline;
using namespace syncline::pg;

SlBytes slb_version_vector(SlStatus* status) {
  status->code = 0;
  try {
    static std::string text;
    SiteState site;
    const Status loaded = load_site(&site);
    fill(loaded, status);
    if (loaded.ok()) text = vector_to_json(site.knowledge, site.sites);
    return bytes(text);
  } catch (...) {
    fill_exception(status);
    return {"", 0};
  }
}
