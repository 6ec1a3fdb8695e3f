// Conflicts as a function of a row's current versions. See conflicts.h.
#include "syncline/conflicts.h"

#include <algorithm>

#include "syncline/codec.h"
#include "syncline/origin.h"
#include "token.h"

namespace syncline {
namespace {

void append_dot(std::string* out, const Version& v, const SiteTable& sites) {
  const SiteId& id = sites.id(v.site);
  out->append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
  append_fixed64(out, v.seq);
}

// A key as text, whatever the class of its values: one engine's 4326 is the other's '4326'.
std::string key_text(RowKey key) {
  std::string out;
  for (const Value& value : key) {
    append_bytes(&out, value.is_bytes() ? std::string(value.bytes()) : value_to_json(value));
  }
  return out;
}

std::string conflict_id(const TableInfo& table, RowKey key, int64_t column, const Version& a,
                        const Version& b, const SiteTable& sites) {
  std::string dots[2];
  append_dot(&dots[0], a, sites);
  append_dot(&dots[1], b, sites);
  std::sort(std::begin(dots), std::end(dots));
  std::string text;
  append_bytes(&text, lower_name(table.name));
  append_bytes(&text, key_text(key));
  append_bytes(&text, column < 0 ? std::string() : lower_name(table.columns[column].name));
  return bytes_to_hex(hash128(text + dots[0] + dots[1]));
}

std::string quote(std::string_view name) {
  return value_to_json(Value::text(name));
}

constexpr double kRuleConfidence = 0.9;

const char* on_delete_name(OnDelete on_delete) {
  switch (on_delete) {
    case OnDelete::update_wins:
      return "update_wins";
    case OnDelete::delete_wins:
      return "delete_wins";
    case OnDelete::last_writer:
      return "last_writer";
  }
  return "update_wins";
}

bool conflict_kind_from(std::string_view name, ConflictKind* out) {
  for (int k = 0; k <= static_cast<int>(ConflictKind::schema); ++k) {
    if (conflict_kind_name(static_cast<ConflictKind>(k)) != name) continue;
    *out = static_cast<ConflictKind>(k);
    return true;
  }
  return false;
}

class Finder {
 public:
  Finder(const TableInfo& table, RowKey key, const RowState& row, const SiteTable& sites,
         std::vector<Conflict>* out)
      : table_(table), key_(key), row_(row), sites_(sites), out_(*out) {}

  void run() {
    bool rest_done = false;
    std::vector<NotedVersion> versions;
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      if (table_.is_key(c)) continue;
      const bool by_rest = row_.exceptions(c).empty();
      rest_done = rest_done || by_rest;
      row_.cell(c, &versions);
      cell(c, by_rest, versions);
    }
    if (!rest_done) rest_alone();
    if (table_.row_grain) join_cells();
    deletions();
    reopened();
  }

 private:
  struct Deletion {
    Version dead, live;
    std::vector<std::pair<ColumnNumber, Value>> live_values;
  };

  const Policy& policy(ColumnNumber column) const {
    static const Policy last_writer;
    const auto& own = table_.columns[column].policy;
    return own ? *own : last_writer;
  }

  // Every column has an exception: the existence cell is still one.
  void rest_alone() {
    std::vector<NotedVersion> versions;
    for (const Version& v : row_.rest)
      versions.push_back({v, Value(), {}});
    note_deletions(-1, versions);
  }

  void cell(ColumnNumber column, bool by_rest, std::vector<NotedVersion>& versions) {
    if (versions.size() < 2) return;
    note_deletions(column, versions);
    const ColumnInfo& info = table_.columns[column];
    // What a version says of a column that neither its writer had nor is here, only its default
    // tells: whoever has the column finds the conflict, if it is one.
    std::erase_if(versions, [&](const NotedVersion& v) {
      return v.version.dead || (!info.present && v.value.is(ValueKind::absent));
    });
    if (versions.size() < 2) return;
    MergeInput input;
    input.kind = info.kind;
    input.versions = versions;
    input.sites = &sites_;
    input.array_key = policy(column).array_key;
    MergeResult merged;
    resolve_cell(policy(column), input, &arena_, &merged);
    if (std::none_of(merged.lost.begin(), merged.lost.end(), [](bool lost) { return lost; }))
      return;
    // The winner is the greatest version of which nothing was lost; if the policy made a value of
    // its own, the greatest of all.
    size_t winner = versions.size() - 1;
    for (size_t i = 0; i < versions.size(); ++i) {
      if (!merged.lost[i]) winner = i;
    }
    for (size_t i = 0; i < versions.size(); ++i) {
      if (i != winner && merged.lost[i])
        clash(column, by_rest, versions[winner], versions[i], merged.value);
    }
  }

  void clash(ColumnNumber column, bool by_rest, const NotedVersion& winner,
             const NotedVersion& loser, const Value& shown) {
    const Policy& rule = policy(column);
    Conflict conflict;
    conflict.kind =
        by_rest && !table_.row_grain ? ConflictKind::insert_insert : ConflictKind::update_update;
    conflict.column = column;
    conflict.winner = winner.version;
    conflict.loser = loser.version;
    conflict.id = conflict_id(table_, key_, column, winner.version, loser.version, sites_);
    conflict.winner_json = value_to_json(winner.value);
    conflict.loser_json = value_to_json(loser.value);
    if (!shown.identical(winner.value)) conflict.shown_json = value_to_json(shown);
    Value base = note_base(rule, loser.note);
    if (base.is(ValueKind::absent)) base = note_base(rule, winner.note);
    if (!base.is(ValueKind::absent)) conflict.base_json = value_to_json(base);
    conflict.policy = rule.name;
    conflict.confidence = merge_confidence(rule, winner.version.hlc, loser.version.hlc);
    conflict.severity = rule.severity;
    describe(&conflict);
    out_.push_back(std::move(conflict));
  }

  // What the versions' origins say, and the table's severity where the column has none.
  void describe(Conflict* conflict) const {
    conflict->winner_actor = actor(conflict->winner);
    conflict->loser_actor = actor(conflict->loser);
    if (conflict->severity.empty()) {
      conflict->severity = table_.severity.of(conflict_kind_name(conflict->kind));
    }
  }

  std::string actor(const Version& version) const {
    const std::string_view text = row_.note(kRowNote, version);
    return text.empty() ? std::string() : origin_from_text(text).actor;
  }

  // With row grain two versions make one conflict, whatever columns they differ in.
  void join_cells() {
    std::vector<Conflict> joined;
    for (const Conflict& c : out_) {
      const auto same = [&](const Conflict& j) {
        return j.winner.same_dot(c.winner) && j.loser.same_dot(c.loser);
      };
      if (std::any_of(joined.begin(), joined.end(), same)) continue;
      Conflict row = c;
      row.column = -1;
      row.id = conflict_id(table_, key_, -1, c.winner, c.loser, sites_);
      row.winner_json = row_of(c.winner);
      row.loser_json = row_of(c.loser);
      row.shown_json.clear();
      row.base_json.clear();
      joined.push_back(std::move(row));
    }
    out_ = std::move(joined);
  }

  // {"column": value, ...} of the cells in which a version stands.
  std::string row_of(const Version& version) const {
    std::string json = "{";
    std::vector<NotedVersion> versions;
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      if (table_.is_key(c)) continue;
      row_.cell(c, &versions);
      for (const NotedVersion& v : versions) {
        if (!v.version.same_dot(version)) continue;
        if (json.size() > 1) json += ", ";
        json += quote(table_.columns[c].name) + ": " + value_to_json(v.value);
      }
    }
    return json + "}";
  }

  void note_deletions(int64_t column, const std::vector<NotedVersion>& versions) {
    size_t best = versions.size();
    for (size_t i = 0; i < versions.size(); ++i) {
      if (!versions[i].version.dead) best = i;  // in version order: the greatest comes last
    }
    if (best == versions.size()) return;  // deleted everywhere
    const Version& live = versions[best].version;
    for (const NotedVersion& dead : versions) {
      if (!dead.version.dead) continue;
      Deletion& d = deletion(dead.version, live);
      if (compare_versions(d.live, live, sites_) < 0) d.live = live;
      if (column >= 0) {
        d.live_values.push_back({static_cast<ColumnNumber>(column), versions[best].value});
      }
    }
  }

  Deletion& deletion(const Version& dead, const Version& live) {
    for (Deletion& d : deletions_) {
      if (d.dead.same_dot(dead)) return d;
    }
    deletions_.push_back({dead, live, {}});
    return deletions_.back();
  }

  void deletions() {
    if (deletions_.empty()) return;
    ShownRow shown;
    show_row(row_, table_, sites_, &shown);
    for (const Deletion& d : deletions_) {
      Conflict conflict;
      conflict.kind = ConflictKind::update_delete;
      conflict.winner = shown.alive ? d.live : d.dead;
      conflict.loser = shown.alive ? d.dead : d.live;
      conflict.id = conflict_id(table_, key_, -1, d.dead, d.live, sites_);
      std::string live = "{";
      for (const auto& [column, value] : d.live_values) {
        if (live.size() > 1) live += ", ";
        live += quote(table_.columns[column].name) + ": " + value_to_json(value);
      }
      live += "}";
      conflict.winner_json = shown.alive ? live : "null";
      conflict.loser_json = shown.alive ? "null" : live;
      conflict.policy = on_delete_name(table_.on_delete);
      const Policy by_time;
      conflict.confidence = table_.on_delete == OnDelete::last_writer
                                ? merge_confidence(by_time, d.live.hlc, d.dead.hlc)
                                : kRuleConfidence;
      conflict.severity.clear();
      describe(&conflict);
      out_.push_back(std::move(conflict));
    }
  }

  // A decision that was taken back: the conflict stands again as it was, until the next write.
  void reopened() {
    for (const VersionNote& note : row_.notes) {
      if (note.column != kRowNote || !may_reopen(note.bytes)) continue;
      const Origin::Reopened r = origin_from_text(note.bytes).reopened;
      const auto same = [&](const Conflict& c) { return c.id == r.id; };
      if (r.id.empty() || std::any_of(out_.begin(), out_.end(), same)) continue;
      Conflict conflict;
      if (!reopened_one(r, note, &conflict)) continue;
      describe(&conflict);
      out_.push_back(std::move(conflict));
    }
  }

  bool reopened_one(const Origin::Reopened& r, const VersionNote& note, Conflict* out) const {
    const Version maker{note.seq, 0, note.site, false};
    if (!r.column.empty()) {
      out->column = find_column(table_.columns, r.column);
      // The column has been written since: settled again.
      if (out->column < 0 ||
          !row_.holds(static_cast<ColumnNumber>(out->column), maker.site, maker.seq)) {
        return false;
      }
      out->policy = policy(static_cast<ColumnNumber>(out->column)).name;
    }
    if (!conflict_kind_from(r.kind, &out->kind)) return false;
    const int64_t winner = sites_.find(r.winner_site), loser = sites_.find(r.loser_site);
    if (winner >= 0)
      out->winner = {r.winner_seq, r.winner_hlc, static_cast<SiteIndex>(winner), false};
    if (loser >= 0) out->loser = {r.loser_seq, r.loser_hlc, static_cast<SiteIndex>(loser), false};
    out->id = r.id;
    out->winner_json = r.winner;
    out->loser_json = r.loser;
    out->confidence = 0;  // somebody decided, and took it back: nothing is sure
    out->severity.clear();
    return true;
  }

  const TableInfo& table_;
  RowKey key_;
  const RowState& row_;
  const SiteTable& sites_;
  std::vector<Conflict>& out_;
  std::vector<Deletion> deletions_;
  Arena arena_;
};

}  // namespace

std::string_view conflict_kind_name(ConflictKind kind) {
  switch (kind) {
    case ConflictKind::update_update:
      return "update_update";
    case ConflictKind::insert_insert:
      return "insert_insert";
    case ConflictKind::update_delete:
      return "update_delete";
    case ConflictKind::unique:
      return "unique";
    case ConflictKind::foreign_key:
      return "foreign_key";
    case ConflictKind::constraint:
      return "constraint";
    case ConflictKind::schema:
      return "schema";
  }
  return "unknown";
}

bool may_conflict(const RowState& row) {
  if (row.rest.size() > 1) return true;
  for (size_t i = 1; i < row.cells.size(); ++i) {
    if (row.cells[i].column == row.cells[i - 1].column) return true;
  }
  return std::any_of(row.notes.begin(), row.notes.end(), [](const VersionNote& n) {
    return n.column == kRowNote && may_reopen(n.bytes);
  });
}

ConflictEnd conflict_end(const Conflict& conflict, const RowState& after, const SiteTable& sites) {
  ConflictEnd end;
  // The version that replaced them: the greatest of the cell, or of the row.
  const Version* best = nullptr;
  const auto see = [&](const Version& v) {
    if (best == nullptr || compare_versions(*best, v, sites) < 0) best = &v;
  };
  const auto column = static_cast<ColumnNumber>(std::max<int64_t>(conflict.column, 0));
  const auto own = conflict.column < 0 ? std::span<const CellVersion>() : after.exceptions(column);
  for (const CellVersion& c : own)
    see(c.version);
  if (own.empty()) {
    for (const Version& v : after.rest)
      see(v);
  }
  if (conflict.column < 0) {
    for (const CellVersion& c : after.cells)
      see(c.version);
  }
  if (best == nullptr) return end;
  const Origin origin = origin_from_text(after.note(kRowNote, *best));
  // Both still there: the policy has another view of them now.
  const bool still = best->same_dot(conflict.winner) || best->same_dot(conflict.loser);
  end.how = still ? "policy" : origin.decides() ? "decision" : "write";
  end.by = origin.actor.empty() ? to_hex(sites.id(best->site)) : origin.actor;
  end.note = origin.note;
  end.choice = origin.choice;
  end.at_ms = hlc_to_ms(best->hlc);
  return end;
}

bool same_conflict(const Conflict& a, const Conflict& b) {
  return a.kind == b.kind && a.winner_json == b.winner_json && a.loser_json == b.loser_json &&
         a.shown_json == b.shown_json && a.policy == b.policy && a.severity == b.severity;
}

void find_conflicts(const TableInfo& table, RowKey key, const RowState& row, const SiteTable& sites,
                    std::vector<Conflict>* out) {
  out->clear();
  if (may_conflict(row)) Finder(table, key, row, sites, out).run();
}

std::string held_conflict_id(const TableInfo& table, RowKey key) {
  std::string text = "held";
  append_bytes(&text, lower_name(table.name));
  append_bytes(&text, key_text(key));
  return bytes_to_hex(hash128(text));
}

std::string key_to_json(const TableInfo& table, RowKey key) {
  std::string out = "{";
  for (size_t i = 0; i < key.size() && i < table.key.size(); ++i) {
    if (i > 0) out += ", ";
    out += quote(table.columns[table.key[i]].name) + ": " + value_to_json(key[i]);
  }
  return out + "}";
}

std::string row_to_json(const TableInfo& table, RowKey key, std::span<const Value> values) {
  std::string out = key_to_json(table, key);
  out.pop_back();
  for (ColumnNumber c = 0; c < values.size() && c < table.column_count(); ++c) {
    if (table.is_key(c) || values[c].is(ValueKind::absent)) continue;
    if (out.size() > 1) out += ", ";
    out += quote(table.columns[c].name) + ": " + value_to_json(values[c]);
  }
  return out + "}";
}

}  // namespace syncline
