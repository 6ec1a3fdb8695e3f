// Conflicts as a function of a row's current versions. See conflicts.h.
#include "syncline/conflicts.h"

#include <algorithm>

#include "syncline/codec.h"
#include "token.h"

namespace syncline {
namespace {

void append_dot(std::string* out, const Version& v, const SiteTable& sites) {
  const SiteId& id = sites.id(v.site);
  out->append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
  append_fixed64(out, v.seq);
}


// Table names differ in case between engines; their conflicts do not.
std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
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
  append_bytes(&text, lower(table.name));
  append_bytes(&text, key_text(key));
  append_bytes(&text, column < 0 ? std::string() : lower(table.columns[column].name));
  return bytes_to_hex(hash128(text + dots[0] + dots[1]));
}

std::string quote(std::string_view name) { return value_to_json(Value::text(name)); }

class Finder {
 public:
  Finder(const TableInfo& table, RowKey key, const RowState& row, const SiteTable& sites,
         std::vector<Conflict>* out)
      : table_(table), key_(key), row_(row), sites_(sites), out_(*out) {}

  void run() {
    bool rest_done = false;
    std::vector<const Version*> versions;
    std::vector<const Value*> values;
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      if (table_.is_key(c)) continue;
      versions.clear();
      values.clear();
      const auto exceptions = row_.exceptions(c);
      for (const CellVersion& e : exceptions) {
        versions.push_back(&e.version);
        values.push_back(&e.value);
      }
      for (size_t i = 0; exceptions.empty() && i < row_.rest.size(); ++i) {
        versions.push_back(&row_.rest[i]);
        values.push_back(&row_.rest_values[i * row_.column_count + c]);
      }
      rest_done = rest_done || exceptions.empty();
      cell(c, exceptions.empty(), versions, values);
    }
    if (!rest_done) rest_alone(&versions);
    deletions();
  }

 private:
  struct Deletion {
    Version dead, live;
    std::vector<std::pair<ColumnNumber, Value>> live_values;
  };

  // Every column has an exception: the existence cell is still one.
  void rest_alone(std::vector<const Version*>* versions) {
    versions->clear();
    for (const Version& v : row_.rest) versions->push_back(&v);
    note_deletions(-1, *versions, {});
  }

  void cell(ColumnNumber column, bool by_rest, const std::vector<const Version*>& versions,
            const std::vector<const Value*>& values) {
    if (versions.size() < 2) return;
    size_t best = versions.size();
    for (size_t i = 0; i < versions.size(); ++i) {
      if (versions[i]->dead) continue;
      if (best == versions.size() || compare_versions(*versions[best], *versions[i], sites_) < 0) {
        best = i;
      }
    }
    if (best == versions.size()) return;  // deleted everywhere
    note_deletions(column, versions, values);
    for (size_t i = 0; i < versions.size(); ++i) {
      if (i == best || versions[i]->dead) continue;
      if (alike(table_.columns[column].kind, *values[best], *values[i])) continue;
      Conflict conflict;
      conflict.kind = by_rest ? ConflictKind::insert_insert : ConflictKind::update_update;
      conflict.column = column;
      conflict.winner = *versions[best];
      conflict.loser = *versions[i];
      conflict.id = conflict_id(table_, key_, column, conflict.winner, conflict.loser, sites_);
      conflict.winner_json = value_to_json(*values[best]);
      conflict.loser_json = value_to_json(*values[i]);
      out_.push_back(std::move(conflict));
    }
  }

  // A version that did not know the column holds NULL there: it is what the column shows.
  static bool alike(LogicalKind kind, const Value& a, const Value& b) {
    const auto nothing = [](const Value& v) {
      return v.is(ValueKind::absent) || v.is(ValueKind::null);
    };
    return (nothing(a) && nothing(b)) || equal_in_meaning(kind, a, b);
  }

  void note_deletions(int64_t column, const std::vector<const Version*>& versions,
                      const std::vector<const Value*>& values) {
    size_t best = versions.size();
    for (size_t i = 0; i < versions.size(); ++i) {
      if (versions[i]->dead) continue;
      const bool better = best == versions.size() ||
                          compare_versions(*versions[best], *versions[i], sites_) < 0;
      if (better) best = i;
    }
    if (best == versions.size()) return;
    for (const Version* dead : versions) {
      if (!dead->dead) continue;
      Deletion& d = deletion(*dead, *versions[best]);
      if (compare_versions(d.live, *versions[best], sites_) < 0) d.live = *versions[best];
      if (column >= 0) d.live_values.push_back({static_cast<ColumnNumber>(column), *values[best]});
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
    show_row(row_, sites_, table_.on_delete, &shown);
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
      out_.push_back(std::move(conflict));
    }
  }

  const TableInfo& table_;
  RowKey key_;
  const RowState& row_;
  const SiteTable& sites_;
  std::vector<Conflict>& out_;
  std::vector<Deletion> deletions_;
};

}  // namespace

std::string_view conflict_kind_name(ConflictKind kind) {
  switch (kind) {
    case ConflictKind::update_update: return "update_update";
    case ConflictKind::insert_insert: return "insert_insert";
    case ConflictKind::update_delete: return "update_delete";
    case ConflictKind::unique: return "unique";
    case ConflictKind::foreign_key: return "foreign_key";
    case ConflictKind::constraint: return "constraint";
    case ConflictKind::schema: return "schema";
  }
  return "unknown";
}

bool may_conflict(const RowState& row) {
  if (row.rest.size() > 1) return true;
  for (size_t i = 1; i < row.cells.size(); ++i) {
    if (row.cells[i].column == row.cells[i - 1].column) return true;
  }
  return false;
}

void find_conflicts(const TableInfo& table, RowKey key, const RowState& row,
                    const SiteTable& sites, std::vector<Conflict>* out) {
  if (may_conflict(row)) Finder(table, key, row, sites, out).run();
}

std::string held_conflict_id(const TableInfo& table, RowKey key) {
  std::string text = "held";
  append_bytes(&text, lower(table.name));
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
