// The site, the registry, and what an exchange leaves behind. See pg_port.h.
#include "pg_ext/pg_port.h"

#include <algorithm>

namespace syncline::pg {

Status attempt(void (*leaf)(void*), void* argument, SlFailure* failure, bool* failed) {
  const int result = sl_try(leaf, argument, failure);
  *failed = result == 1;
  if (result <= 1) return {};
  return Status(StatusCode::host_failed, "the server reported an error");
}

Status PgPort::load_site(SiteState* out) {
  SYNCLINE_TRY(pg::load_site(out));
  sites_ = &out->sites;
  settings_ = &out->settings;
  sites_known_ = out->sites.size();
  self_ = out->self;
  now_ms_ = out->now_ms;
  random_ = out->random;
  melted_ = out->melted;
  return {};
}

Status PgPort::finish() {
  SYNCLINE_TRY(note_dots());
  return base_.close();
}

Status PgPort::save_new_sites(const SiteTable& sites) {
  SYNCLINE_TRY(save_sites(sites, sites_known_));
  sites_known_ = sites.size();
  return {};
}

Status PgPort::recognises(const VectorEntry& own, bool* yes) {
  SlRecognise recognise{static_cast<int64_t>(own.seq), static_cast<int64_t>(own.hlc), false};
  SYNCLINE_TRY(guard(sl_leaf_recognise, &recognise));
  *yes = recognise.yes;
  return {};
}

// As pg_constraint.confdeltype has it.
static ForeignAction foreign_action(char action) {
  switch (action) {
    case 'c': return ForeignAction::cascade;
    case 'n': return ForeignAction::set_null;
    case 'd': return ForeignAction::set_default;
    default: return ForeignAction::restrict;
  }
}

Status PgPort::load_tables(std::vector<TableInfo>* out) {
  SYNCLINE_TRY(pg::load_tables(*settings_, out));
  SlReferences references = {};
  SYNCLINE_TRY(guard(sl_leaf_references, &references));
  for (uint32_t i = 0; i < references.count; ++i) {
    const SlReference& reference = references.list[i];
    for (TableInfo& table : *out) {
      if (table.number != reference.number) continue;
      table.refers = reference.refers;
      table.referred = reference.referred;
      table.referred_columns.assign(reference.columns, reference.columns + reference.column_count);
    }
  }
  for (TableInfo& table : *out) {
    table.foreign_keys.clear();
    for (uint32_t i = 0; i < references.key_count; ++i) {
      const SlForeignKey& key = references.keys[i];
      if (key.child != table.number) continue;
      table.foreign_keys.push_back({{key.columns, key.columns + key.column_count},
                                    key.parent,
                                    foreign_action(key.action)});
    }
  }
  tables_ = *out;
  return {};
}

Status PgPort::park(const TableSchema& remote, std::vector<TableInfo>* tables) {
  const int64_t at = find_table(*tables, remote.name);
  const TableInfo* ours = at < 0 ? nullptr : &(*tables)[static_cast<size_t>(at)];
  std::vector<SlColumnDef> columns;
  for (size_t i = 0; i < remote.columns.size(); ++i) {
    const ColumnSchema& column = remote.columns[i];
    if (ours != nullptr && find_column(ours->columns, column.name) >= 0) continue;
    SlColumnDef def = {};
    def.name = bytes(column.name);
    def.type = bytes(column.type);
    def.key_position = -1;
    const auto key = std::find(remote.key.begin(), remote.key.end(), i);
    if (ours == nullptr && key != remote.key.end()) {
      def.key_position = static_cast<int32_t>(key - remote.key.begin());
    }
    columns.push_back(def);
  }
  SlPark park = {};
  park.number = ours == nullptr ? 0 : ours->number;
  park.name = bytes(remote.name);
  park.columns = columns.data();
  park.column_count = static_cast<uint32_t>(columns.size());
  SYNCLINE_TRY(base_.close());  // what it knows of the table is out of date
  SYNCLINE_TRY(guard(sl_leaf_park, &park));
  return load_tables(tables);
}

Status PgPort::find_dangling(std::span<const RowRef> written, std::span<const RowRef> removed,
                             std::vector<RowRef>* out) {
  const auto refs_of = [](std::span<const RowRef> from) {
    std::vector<SlRef> refs;
    refs.reserve(from.size());
    for (const RowRef& ref : from) refs.push_back({ref.table, bytes(ref.key), {nullptr, 0}});
    return refs;
  };
  const std::vector<SlRef> written_refs = refs_of(written), removed_refs = refs_of(removed);
  bool changed = false;
  SYNCLINE_TRY(see_everything(&changed));
  SlDangling dangling = {};
  dangling.written = written_refs.data();
  dangling.written_count = static_cast<uint32_t>(written_refs.size());
  dangling.removed = removed_refs.data();
  dangling.removed_count = static_cast<uint32_t>(removed_refs.size());
  SYNCLINE_TRY(guard(sl_leaf_find_dangling, &dangling));
  out->clear();
  for (uint32_t i = 0; i < dangling.found_count; ++i) {
    const SlRef& ref = dangling.found[i];
    out->push_back({ref.table, std::string(view(ref.key)), std::string(view(ref.reason))});
  }
  return {};
}

Status PgPort::list_held(std::vector<RowRef>* out) {
  SlRefs refs = {};
  SYNCLINE_TRY(guard(sl_leaf_list_held, &refs));
  out->clear();
  for (uint32_t i = 0; i < refs.count; ++i) {
    const SlRef& ref = refs.refs[i];
    out->push_back({ref.table, std::string(view(ref.key)), std::string(view(ref.reason))});
  }
  return {};
}

Status PgPort::record_conflicts(std::span<const ConflictRecord> records) {
  return pg::record_conflicts(records, *sites_);
}

Status PgPort::load_incoming(const SiteId& sender, Incoming* out) {
  *out = Incoming();
  const int64_t site = sites_->find(sender);
  if (site < 0) return {};
  SlIncoming incoming = {};
  incoming.site = static_cast<int32_t>(site);
  SYNCLINE_TRY(guard(sl_leaf_load_incoming, &incoming));
  out->open = incoming.open;
  if (!incoming.open) return {};
  out->token = incoming_token_ = view(incoming.token);
  out->begin = static_cast<uint64_t>(incoming.begin);
  return {};
}

Status PgPort::list_incoming(std::vector<std::pair<SiteId, std::string>>* out) {
  SlIncomings incomings = {};
  SYNCLINE_TRY(guard(sl_leaf_list_incoming, &incomings));
  for (uint32_t i = 0; i < incomings.count; ++i) {
    const SlIncoming& incoming = incomings.list[i];
    out->emplace_back(sites_->id(static_cast<SiteIndex>(incoming.site)),
                      std::string(view(incoming.token)));
  }
  return {};
}

Status PgPort::save_knowledge(const SiteState& site, const ExchangeUpdate& update) {
  std::vector<SlVectorRow> vector;
  for (SiteIndex s = 0; update.knowledge_grew && s < update.knowledge.size(); ++s) {
    const VectorEntry entry = update.knowledge.entry(s);
    if (s == site.self || entry.seq <= site.knowledge.seq(s)) continue;
    vector.push_back({static_cast<int32_t>(s), static_cast<int64_t>(entry.seq),
                      static_cast<int64_t>(entry.hlc)});
    SlGrowth growth = {};
    growth.site = static_cast<int32_t>(s);
    growth.seq = static_cast<int64_t>(entry.seq);
    growth.begin = static_cast<int64_t>(update.begin);
    SYNCLINE_TRY(guard(sl_leaf_add_growth, &growth));
  }
  std::vector<std::string> packed(update.contexts_new.size());
  std::vector<SlContextRow> contexts;
  for (size_t i = 0; i < update.contexts_new.size(); ++i) {
    append_vector(&packed[i], update.contexts_new[i].second, site.sites);
    contexts.push_back({static_cast<int64_t>(update.contexts_new[i].first), bytes(packed[i]),
                        static_cast<int64_t>(update.begin)});
  }
  std::vector<int64_t> gone(update.contexts_gone.begin(), update.contexts_gone.end());
  SlKnowledge knowledge = {vector.data(),   static_cast<uint32_t>(vector.size()),
                           contexts.data(), static_cast<uint32_t>(contexts.size()),
                           gone.data(),     static_cast<uint32_t>(gone.size())};
  return guard(sl_leaf_save_knowledge, &knowledge);
}

Status PgPort::save_exchange(const SiteState& site, const ExchangeUpdate& update) {
  SYNCLINE_TRY(save_new_sites(site.sites));
  SYNCLINE_TRY(save_knowledge(site, update));
  SYNCLINE_TRY(save_acknowledgements(site, update));
  const int64_t sender = site.sites.find(update.sender);
  if (sender < 0) return Status(StatusCode::internal, "the sender of a chunk has no number");
  SlIncoming incoming = {};
  incoming.site = static_cast<int32_t>(sender);
  incoming.open = update.incoming.open;
  incoming.token = bytes(update.incoming.token);
  if (incoming.open) incoming_next_ = update.incoming.token;
  incoming.begin = static_cast<int64_t>(update.incoming.begin);
  SYNCLINE_TRY(guard(sl_leaf_save_incoming, &incoming));
  SYNCLINE_TRY(save_settings(update.settings_new));
  SlCounters& counters = *sl_counters();
  counters.next_context = static_cast<int64_t>(site.next_context);
  counters.floor = std::max(counters.floor, static_cast<int64_t>(update.hlc_max));
  return {};
}

Status PgPort::check_interrupt() { return guard(sl_leaf_check_interrupt, nullptr); }

}  // namespace syncline::pg
