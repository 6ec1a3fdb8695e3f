// What foreign keys do about rows whose parents are gone: what they would have done had the delete
// and the write been run in order.
//
//   CASCADE      the child is held: it is not in the base table, and comes back with its parent
//   SET NULL,    the child stays; its base row shows NULL or the default while the parent is gone,
//   SET DEFAULT  its versions keep what was written
//   otherwise    the parent stays in the base table, with its last image, while a row refers to it
//
// All three are views of the versions known, written nowhere as versions: every site that knows the
// same shows the same. An open conflict of kind foreign_key says so. A parent that is held
// or unknown is not deleted: its children are held. docs/merge_rules.md, "Foreign keys".
#include <algorithm>

#include "apply_run.h"
#include "syncline/horizon.h"

namespace syncline {

Status ApplyRun::settle_foreign_keys() {
  while (!written_.empty() || !removed_.empty()) {
    std::vector<RowRef> written, removed, dangling;
    written.swap(written_);
    removed.swap(removed_);
    SYNCLINE_TRY(port_.find_dangling(written, removed, &dangling));
    SYNCLINE_TRY(settle_children(std::move(dangling)));
  }
  return {};
}

// Those that keep their parent come first: then it is there for its other children, which would
// else be reset or held by the order in which they are looked at.
Status ApplyRun::settle_children(std::vector<RowRef> children) {
  std::sort(children.begin(), children.end());
  const auto same = [](const RowRef& a, const RowRef& b) {
    return a.table == b.table && a.key == b.key;
  };
  children.erase(std::unique(children.begin(), children.end(), same), children.end());
  for (const bool only_keepers : {true, false}) {
    for (const RowRef& child : children)
      SYNCLINE_TRY(settle_child(child, only_keepers));
  }
  return {};
}

Status ApplyRun::settle_child(const RowRef& child, bool only_keepers) {
  const TableInfo* table = table_by_number(child.table);
  if (table == nullptr) return {};
  RowBatch batch;
  Work work;
  SYNCLINE_TRY(fetch_one(*table, child.key, &batch, &work));
  if (!work.local->stored) return {};
  ChildFate fate;
  for (const ForeignKeyInfo& key : table->foreign_keys) {
    SYNCLINE_TRY(judge(*table, work, key, &fate));
  }
  if (only_keepers && fate.parents.empty()) return {};
  if (!fate.explained) {  // its parent may have been kept for a sibling meanwhile
    std::vector<RowRef> dangling;
    SYNCLINE_TRY(port_.find_dangling(std::span<const RowRef>(&child, 1), {}, &dangling));
    if (dangling.empty()) return {};
  }
  bool stays = fate.explained && !fate.hold;
  for (size_t i = 0; stays && i < fate.parents.size(); ++i) {
    SYNCLINE_TRY(keep_parent(fate.parents[i], child, &stays));
  }
  for (size_t i = 0; stays && i < fate.missed.size(); ++i) {
    SYNCLINE_TRY(delete_anew(fate.missed[i], child));
  }
  if (stays && !(fate.nulls.empty() && fate.defaults.empty())) {
    work.nulls = fate.nulls;
    work.defaults = fate.defaults;
    SYNCLINE_TRY(adjust(*table, &work, child.reason, &stays));
  }
  return stays ? Status() : hold(*table, &work, ConflictKind::foreign_key, child.reason);
}

// The key of the row that a stored row refers to, by the parent's primary key; false: it refers to
// nothing, or in another way.
bool ApplyRun::parent_key(const TableInfo& parent, const TableInfo& table, const Work& child,
                          const ForeignKeyInfo& key, std::string* out) {
  if (parent.key.size() != key.columns.size()) return false;
  Arena arena;
  std::vector<Value> values;
  for (size_t i = 0; i < key.columns.size(); ++i) {
    const ColumnNumber c = key.columns[i];
    const Value& value =
        table.is_key(c) || c < child.local->values.size() ? child.local->values[c] : Value();
    if (value.is(ValueKind::null) || value.is(ValueKind::absent)) return false;
    values.push_back(canonical_value(parent.columns[parent.key[i]].kind, value, &arena));
  }
  *out = encode_key(values);
  return true;
}

// What one foreign key of a stored row says about it.
Status ApplyRun::judge(const TableInfo& table, const Work& child, const ForeignKeyInfo& key,
                       ChildFate* fate) {
  const TableInfo* parent = table_by_number(key.parent);
  std::string encoded;
  if (parent == nullptr || !parent_key(*parent, table, child, key, &encoded)) return {};
  RowBatch batch;
  Work work;
  SYNCLINE_TRY(fetch_one(*parent, encoded, &batch, &work));
  if (work.local->stored) return {};
  fate->explained = true;
  const bool deleted = parent->present && !work.before.empty() &&
                       !row_lives(work.before, site_.sites, parent->on_delete);
  if (!deleted || key.on_delete == ForeignAction::cascade) {
    fate->hold = true;
  } else if (key.on_delete == ForeignAction::restrict) {
    fate->parents.push_back({parent->number, encoded, {}});
  } else {
    auto& columns = key.on_delete == ForeignAction::set_null ? fate->nulls : fate->defaults;
    columns.insert(columns.end(), key.columns.begin(), key.columns.end());
    fate->missed.push_back({parent->number, encoded, {}});
    for (const ColumnNumber c : key.columns)
      fate->hold = fate->hold || table.is_key(c);
  }
  return {};
}

Status ApplyRun::store_one(const TableInfo& table, Work* work, RowWrite* write,
                           StoreOutcome* outcome) {
  *write = plan_write(table, work);
  write->relay = work->news;  // else the versions are as they were
  std::vector<StoreOutcome> outcomes;
  SYNCLINE_TRY(port_.store(table, std::span<const RowWrite>(write, 1), &outcomes));
  *outcome = outcomes.at(0);
  wrote_ = true;
  return {};
}

// A row refers to a deleted one whose delete is under a melt vector, ours or the sender's: some
// site may have forgotten it. Of a site that was waited for, and a melt vector names those, the row
// is known wherever the delete is forgotten. If it is of a site that came later or was retired, the
// tombstone gets a dot of ours, so that others too do what the foreign key says.
Status ApplyRun::renew_tombstone(const TableInfo& table, const RowRef& child, Work* parent) {
  const RowState& row = parent->before;
  std::vector<const VersionVector*> forgetful;  // melt vectors that the delete is under
  const auto look = [&](const VersionVector& melted) {
    const auto beyond = [&](const Version& v) { return !melted.knows(v); };
    if (!row.empty() && !any_version(row, beyond)) forgetful.push_back(&melted);
  };
  look(header_ == nullptr ? site_.melted : update_.melted);
  if (header_ != nullptr) look(header_->melted);
  if (forgetful.empty()) return {};
  RowBatch batch;
  Work work;
  SYNCLINE_TRY(fetch_one(*table_by_number(child.table), child.key, &batch, &work));
  const std::vector<SiteIndex> members = active_sites(&site_);
  const auto waited_for = [&](SiteIndex s, const VersionVector& melted) {
    const bool member = s == site_.self || std::binary_search(members.begin(), members.end(), s);
    return member && melted.seq(s) > 0;
  };
  const bool late = std::any_of(forgetful.begin(), forgetful.end(), [&](const auto* melted) {
    return any_version(work.before, [&](const Version& v) {
      return !melted->knows(v) && !waited_for(v.site, *melted);
    });
  });
  if (!late) return {};
  ShownRow image;
  show_row(row, table, site_.sites, &image);
  Hlc latest = 0;
  for (const Version& v : row.rest)
    latest = std::max(latest, v.hlc);
  for (const CellVersion& c : row.cells)
    latest = std::max(latest, c.version.hlc);
  Version dead;
  SYNCLINE_TRY(new_tombstone(table, parent->local->key, latest, &dead));
  parent->after.write_all(dead, converted_.copy(std::span<const Value>(image.values)));
  parent->after.context = 0;
  parent->news = true;
  return {};
}

Status ApplyRun::delete_anew(const RowRef& parent, const RowRef& child) {
  const TableInfo* table = table_by_number(parent.table);
  RowBatch batch;
  Work work;
  SYNCLINE_TRY(fetch_one(*table, parent.key, &batch, &work));
  SYNCLINE_TRY(renew_tombstone(*table, child, &work));
  RowWrite write;
  StoreOutcome outcome;
  return work.news ? store_one(*table, &work, &write, &outcome) : Status();
}

// Puts a deleted row back into the base table, as it was last seen.
Status ApplyRun::keep_parent(const RowRef& parent, const RowRef& child, bool* kept) {
  *kept = false;
  const TableInfo* table = table_by_number(parent.table);
  if (given_up_.count({parent.table, parent.key}) > 0) return {};
  RowBatch batch;
  Work work;
  SYNCLINE_TRY(fetch_one(*table, parent.key, &batch, &work));
  *kept = work.local->stored;  // for another child, just now
  if (work.before.kept || !*kept) SYNCLINE_TRY(renew_tombstone(*table, child, &work));
  if (*kept && !work.news) return {};
  work.after.kept = true;
  work.after.held = false;
  RowWrite write;
  StoreOutcome outcome;
  SYNCLINE_TRY(store_one(*table, &work, &write, &outcome));
  *kept = outcome.stored;
  if (!*kept) {
    given_up_.insert({parent.table, parent.key});
    return note_in_the_way(*table, outcome, child);
  }
  put_back_ = true;
  if (table->refers) written_.push_back({table->number, parent.key, {}});
  note_kept(*table, write.key, work.shown);
  return {};
}

// What keeps a deleted row out may itself be held in the end, or be a deleted row, too.
Status ApplyRun::note_in_the_way(const TableInfo& table, const StoreOutcome& outcome,
                                 const RowRef& child) {
  for (const std::string& key : outcome.rivals) {
    RowBatch batch;
    Work rival;
    SYNCLINE_TRY(fetch_one(table, key, &batch, &rival));
    contenders_.insert({table.number, key});
    if (rival.before.kept) contenders_.insert({child.table, child.key});
  }
  return {};
}

void ApplyRun::note_kept(const TableInfo& table, RowKey key, const ShownRow& shown) {
  note_held(table, key, true, ConflictKind::foreign_key, "deleted, but kept while rows refer to it",
            &shown);
  held_here_.erase({table.number, encode_key(key)});
  views_.insert({table.number, encode_key(key)});
}

// Lets the base row show NULL or defaults instead of references to deleted rows.
Status ApplyRun::adjust(const TableInfo& table, Work* work, const std::string& reason,
                        bool* adjusted) {
  // A default that points to nothing, either.
  *adjusted = !(work->before.adjusted && !work->defaults.empty());
  if (!*adjusted) return {};
  RowWrite write;
  StoreOutcome outcome;
  SYNCLINE_TRY(store_one(table, work, &write, &outcome));
  *adjusted = outcome.stored;
  if (!*adjusted) return {};
  if (!work->defaults.empty()) written_.push_back({table.number, encode_key(write.key), {}});
  ShownRow written;
  show_row(work->after, table, site_.sites, &written);
  note_held(table, write.key, true, ConflictKind::foreign_key,
            reason + ": the row it refers to was deleted, so the reference was reset", &written);
  held_here_.erase({table.number, encode_key(write.key)});
  views_.insert({table.number, encode_key(write.key)});
  return {};
}

// A stored row that a foreign key has kept or adjusted: is there still a reason?
Status ApplyRun::reconsider(const TableInfo& table, Work* work, bool* stored) {
  *stored = true;
  if (!work->local->stored) {  // its table has changed hands
    work->after.kept = work->after.adjusted = false;
    return {};
  }
  if (work->before.kept) return reconsider_kept(table, work);
  RowWrite write;
  StoreOutcome outcome;
  SYNCLINE_TRY(store_one(table, work, &write, &outcome));
  if (!outcome.stored) {  // what it shows clashes with another row: like any row that arrives
    *stored = false;
    return hold(table, work, outcome.kind, outcome.reason);
  }
  const RowRef row{table.number, encode_key(write.key), {}};
  std::vector<RowRef> dangling;
  SYNCLINE_TRY(port_.find_dangling(std::span<const RowRef>(&row, 1), {}, &dangling));
  if (!dangling.empty()) return settle_child(dangling[0]);
  note_free(table, write.key, work->after);
  return {};
}

Status ApplyRun::reconsider_kept(const TableInfo& table, Work* work) {
  RowWrite write;
  StoreOutcome outcome;
  work->after.kept = false;
  SYNCLINE_TRY(store_one(table, work, &write, &outcome));  // takes it out, if it is still deleted
  if (write.base == BaseAction::erase) {
    const RowRef row{table.number, encode_key(write.key), {}};
    std::vector<RowRef> dangling;
    SYNCLINE_TRY(port_.find_dangling({}, std::span<const RowRef>(&row, 1), &dangling));
    // Each by its own foreign key: not all want it back.
    SYNCLINE_TRY(settle_children(std::move(dangling)));
    RowBatch batch;
    Work again;
    SYNCLINE_TRY(fetch_one(table, row.key, &batch, &again));
    if (again.local->stored) return {};
  }
  note_free(table, write.key, work->after);
  return {};
}

// A row that wants the place of a kept one drives it out, and does not stay itself if it refers to
// it. Then others keep it anew: what was looked at in between, and reset, has its parent back.
Status ApplyRun::reconsider_adjusted() {
  if (!put_back_) return {};
  for (const RowName& name : std::set<RowName>(views_)) {
    const TableInfo* table = table_by_number(name.first);
    if (table == nullptr) continue;
    RowBatch batch;
    Work work;
    bool stored = false;
    SYNCLINE_TRY(fetch_one(*table, name.second, &batch, &work));
    if (work.before.adjusted) SYNCLINE_TRY(reconsider(*table, &work, &stored));
  }
  return settle_foreign_keys();
}

// Kept rows that are needed by kept rows and need others, in a circle or between two of them.
Status ApplyRun::find_kept_circles(std::set<RowName>* out) {
  std::map<RowName, std::vector<RowName>> needs;
  for (const RowName& name : std::set<RowName>(views_)) {
    const TableInfo* table = table_by_number(name.first);
    if (table == nullptr || !table->refers || !table->referred) continue;
    RowBatch batch;
    Work work;
    SYNCLINE_TRY(fetch_one(*table, name.second, &batch, &work));
    if (!work.before.kept || !work.local->stored) continue;
    for (const ForeignKeyInfo& key : table->foreign_keys) {
      const TableInfo* parent = table_by_number(key.parent);
      std::string encoded;
      if (parent == nullptr || key.on_delete != ForeignAction::restrict) continue;
      if (!parent_key(*parent, *table, work, key, &encoded)) continue;
      const RowName needed{key.parent, encoded};
      if (needed != name && views_.count(needed) > 0) needs[name].push_back(needed);
    }
  }
  for (bool changed = true; changed;) {
    std::set<RowName> needed;
    for (const auto& [name, parents] : needs)
      needed.insert(parents.begin(), parents.end());
    const size_t before = needs.size();
    std::erase_if(needs, [&](const auto& row) { return needed.count(row.first) == 0; });
    const std::map<RowName, std::vector<RowName>> left = needs;
    std::erase_if(needs, [&](const auto& row) {
      return std::none_of(row.second.begin(), row.second.end(),
                          [&](const RowName& parent) { return left.count(parent) > 0; });
    });
    changed = needs.size() != before;
  }
  for (const auto& row : needs)
    out->insert(row.first);
  return {};
}

// Looked at one by one, deleted rows that refer to each other would keep one another for ever. So
// all of a circle are taken out, and those come back that something else needs.
Status ApplyRun::reconsider_kept_circles() {
  std::set<RowName> circles;
  SYNCLINE_TRY(find_kept_circles(&circles));
  std::vector<RowRef> removed, children;
  for (const RowName& name : circles) {
    RowBatch batch;
    Work work;
    RowWrite write;
    StoreOutcome outcome;
    const TableInfo* table = table_by_number(name.first);
    SYNCLINE_TRY(fetch_one(*table, name.second, &batch, &work));
    work.after.kept = false;
    SYNCLINE_TRY(store_one(*table, &work, &write, &outcome));
    removed.push_back({name.first, name.second, {}});
  }
  if (removed.empty()) return {};
  SYNCLINE_TRY(port_.find_dangling({}, removed, &children));
  // First what is kept, one for another; then references to the others are reset.
  for (const RowRef& child : children)
    SYNCLINE_TRY(settle_child(child, true));
  SYNCLINE_TRY(settle_foreign_keys());
  SYNCLINE_TRY(settle_children(std::move(children)));
  for (const RowName& name : circles) {
    RowBatch batch;
    Work work;
    const TableInfo* table = table_by_number(name.first);
    SYNCLINE_TRY(fetch_one(*table, name.second, &batch, &work));
    if (!work.local->stored) note_free(*table, work.local->key, work.before);
  }
  return settle_foreign_keys();
}

}  // namespace syncline
