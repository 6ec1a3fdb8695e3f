// What must stand in the base tables and in the open conflicts, from the definitions: see
// simulation.hpp, check_quarantine and check_conflicts.
#include <algorithm>

#include "support/simulation.hpp"

namespace syncline::test {
namespace {

// The version of the value that a row claims, of all columns of the claim the greatest. None counts
// where a policy keeps notes.
Version claim_of(const MemoryTable& table, const std::vector<std::string>& unique,
                 const RowState& row, const SiteTable& sites) {
  ShownRow shown;
  show_row(row, table.info, sites, &shown);
  Version best;
  for (const std::string& name : unique) {
    const auto c = static_cast<size_t>(find_column(table.info.columns, name));
    const auto& policy = table.info.columns[c].policy;
    if (policy && policy->needs_notes()) return {};
    const Version& v = shown.versions[c];
    if (v.seq != 0 && (best.seq == 0 || compare_versions(best, v, sites) < 0)) best = v;
  }
  return best;
}

// Before tracking began, melted, and written since.
int age(const Version& v) {
  return v.seq == 0 ? 1 : v.hlc == 0 ? 0 : 2;
}

using Keys = std::map<std::string, std::set<std::string>>;  // of rows, by table

// A row as its versions say it is, and what its foreign keys make of it.
struct Candidate {
  std::string key;
  OwnedRow values;
  Version claim;
  // Rows of other tables, or its own, that must be stored or kept: restricting foreign keys.
  std::vector<std::pair<std::string, std::string>> needs;
};

// Which rows must stand in the base tables, from the definition: the greatest set in which parents
// are there, no CHECK is broken, and of rivals for a unique value the greatest claim stands.
class Quarantine {
 public:
  explicit Quarantine(const MemoryPort& port) : port_(port), sites_(port.data().sites) {}

  std::string check() {
    std::map<uint32_t, const MemoryTable*> by_rank;
    for (const auto& [number, table] : port_.data().tables)
      by_rank[table.info.rank] = &table;
    for (const auto& [rank, table] : by_rank)
      find_stored(*table);
    keep_parents();
    for (const auto& [rank, table] : by_rank) {
      for (const std::string& key : port_.keys(*table)) {
        const bool stored =
            stored_[table->info.name].count(key) + kept_[table->info.name].count(key);
        if (stored == (table->base.count(key) > 0)) continue;
        return "quarantine: table " + table->info.name + " row " + key +
               (stored ? " is held or gone" : " is stored");
      }
      const std::string broken = check_references(*table);
      if (!broken.empty()) return broken;
    }
    return {};
  }

 private:
  // The row, if its foreign keys and CHECKs let it in; `alive` or as a deleted row that is kept.
  bool candidate(const MemoryTable& table, const std::string& key, bool alive, Candidate* out) {
    Arena arena;
    const RowState row = port_.row(table, key, &arena);
    if (row.empty() || row_lives(row, sites_, table.info.on_delete) != alive) return false;
    ShownRow shown;
    show_row(row, table.info, sites_, &shown);
    out->needs.clear();
    for (const ForeignKeyRule& rule : table.rules.foreign_keys) {
      std::string parent;
      if (!parent_key(table, rule, shown.values, &parent)) continue;
      const bool stored = stored_[rule.parent].count(parent) > 0;
      if (rule.parent == table.info.name || rule.on_delete == ForeignAction::restrict) {
        out->needs.push_back({rule.parent, parent});
      } else if (!stored && (rule.on_delete == ForeignAction::cascade ||
                             !is_dead(*port_.table(rule.parent), parent))) {
        return false;  // a parent that is held is not deleted: SET NULL does not come into it
      }
    }
    int64_t sum = 0;
    for (const std::string& name : table.rules.sum_columns) {
      const Value& v = shown.values[static_cast<size_t>(find_column(table.info.columns, name))];
      if (v.is(ValueKind::integer)) sum += v.as_integer();
    }
    if (!table.rules.sum_columns.empty() && sum > table.rules.sum_max) return false;
    out->key = key;
    out->values = owned(shown.values);
    if (!table.rules.uniques.empty()) {
      out->claim = claim_of(table, table.rules.uniques[0], row, sites_);
    }
    return true;
  }

  static bool parent_key(const MemoryTable& table, const ForeignKeyRule& rule,
                         std::span<const Value> values, std::string* out) {
    std::vector<Value> parent;
    for (const std::string& name : rule.columns) {
      parent.push_back(values[static_cast<size_t>(find_column(table.info.columns, name))]);
      if (parent.back().kind() <= ValueKind::null) return false;
    }
    *out = encode_key(parent);
    return true;
  }

  bool is_dead(const MemoryTable& table, const std::string& key) const {
    Arena arena;
    const RowState row = port_.row(table, key, &arena);
    return !row.empty() && !row_lives(row, sites_, table.info.on_delete);
  }

  // Could this deleted row stand, were there a row that needs it? A circle can.
  bool keepable(const std::string& name, const std::string& key) {
    const MemoryTable& table = *port_.table(name);
    if (!asked_.insert({name, key}).second) return true;
    Candidate row;
    bool can = candidate(table, key, false, &row);
    for (const auto& [parent, parent_key] : row.needs) {
      can = can && (stored_[parent].count(parent_key) > 0 || keepable(parent, parent_key));
    }
    asked_.erase({name, key});
    return can;
  }

  void find_stored(const MemoryTable& table) {
    const std::string& name = table.info.name;
    std::vector<Candidate> rows;
    for (const std::string& key : port_.keys(table)) {
      Candidate row;
      if (!candidate(table, key, true, &row)) continue;
      const bool has_parents = std::all_of(row.needs.begin(), row.needs.end(), [&](const auto& p) {
        return p.first == name || stored_[p.first].count(p.second) > 0 ||
               keepable(p.first, p.second);
      });
      if (has_parents) rows.push_back(std::move(row));
    }
    std::sort(rows.begin(), rows.end(), [&](const Candidate& a, const Candidate& b) {
      const bool named = a.claim.seq != 0 && b.claim.seq != 0;  // not melted
      const int order = named ? compare_versions(a.claim, b.claim, sites_)
                              : age(a.claim) - age(b.claim);
      return order != 0 ? order > 0 : a.key < b.key;
    });
    std::vector<Candidate>& winners = winners_[name];
    for (const Candidate& row : rows) {
      const auto rivals = [&](const Candidate& other) { return claims_same(table, row, other); };
      if (std::none_of(winners.begin(), winners.end(), rivals)) winners.push_back(row);
    }
    std::set<std::string>& keys = stored_[name];
    for (const Candidate& row : winners)
      keys.insert(row.key);
    for (bool changed = true; changed;) {  // rows that refer to each other stand or fall together
      changed = false;
      for (const Candidate& row : winners) {
        for (const auto& [parent, key] : row.needs) {
          if (parent != name || keys.count(key) > 0 || keepable(name, key)) continue;
          changed = keys.erase(row.key) > 0 || changed;
        }
      }
    }
  }

  static bool claims_same(const MemoryTable& table, const Candidate& a, const Candidate& b) {
    if (table.rules.uniques.empty()) return false;
    for (const std::string& name : table.rules.uniques[0]) {
      const auto c = static_cast<size_t>(find_column(table.info.columns, name));
      if (a.values[c].kind() <= ValueKind::null || !(a.values[c] == b.values[c])) return false;
    }
    return true;
  }

  // Deleted rows that stored ones need, and those that they need in turn.
  void keep_parents() {
    std::vector<std::pair<std::string, std::string>> wanted;
    for (const auto& [name, winners] : winners_) {
      for (const Candidate& row : winners) {
        if (stored_[name].count(row.key) == 0) continue;
        wanted.insert(wanted.end(), row.needs.begin(), row.needs.end());
      }
    }
    while (!wanted.empty()) {
      const auto [name, key] = wanted.back();
      wanted.pop_back();
      if (stored_[name].count(key) > 0 || !kept_[name].insert(key).second) continue;
      Candidate row;
      if (candidate(*port_.table(name), key, false, &row)) {
        wanted.insert(wanted.end(), row.needs.begin(), row.needs.end());
      }
    }
  }

  // SET NULL: the base row shows NULL exactly where the parent is deleted and gone.
  std::string check_references(const MemoryTable& table) {
    for (const auto& [key, base] : table.base) {
      Arena arena;
      const RowState row = port_.row(table, key, &arena);
      ShownRow shown;
      show_row(row, table.info, sites_, &shown);
      for (const ForeignKeyRule& rule : table.rules.foreign_keys) {
        std::string parent;
        if (rule.on_delete != ForeignAction::set_null) continue;
        if (!parent_key(table, rule, shown.values, &parent)) continue;
        const bool there = stored_[rule.parent].count(parent) + kept_[rule.parent].count(parent);
        const auto c = static_cast<size_t>(find_column(table.info.columns, rule.columns[0]));
        const bool null = base.values[c].kind() == ValueKind::null;
        if (null != there) continue;
        return "foreign key: table " + table.info.name + " row " + key +
               (null ? " has lost its parent" : " refers to a deleted row");
      }
    }
    return {};
  }

  const MemoryPort& port_;
  const SiteTable& sites_;
  Keys stored_, kept_;
  std::map<std::string, std::vector<Candidate>> winners_;
  std::set<std::pair<std::string, std::string>> asked_;
};

}  // namespace

std::string check_quarantine(const MemoryPort& port) {
  return Quarantine(port).check();
}

std::string check_conflicts(const MemoryPort& port) {
  std::set<std::string> expected;
  for (const auto& [number, table] : port.data().tables) {
    for (const std::string& key : port.keys(table)) {
      Arena arena;
      const RowState row = port.row(table, key, &arena);
      std::vector<Value> values;
      if (!decode_key(key, &arena, &values).ok()) return "a key does not decode";
      std::vector<Conflict> found;
      find_conflicts(table.info, values, row, port.data().sites, &found);
      for (const Conflict& conflict : found)
        expected.insert(conflict.id);
      const bool deleted = !row_lives(row, port.data().sites, table.info.on_delete);
      if (row.held || (row.kept && deleted) || row.adjusted) {
        expected.insert(held_conflict_id(table.info, values));
      }
    }
  }
  for (const auto& [id, open] : port.data().conflicts) {
    if (expected.erase(id) > 0) continue;
    return "conflicts: " + std::string(conflict_kind_name(open.conflict.kind)) + " of table " +
           port.data().tables.at(open.table).info.name + " is open without cause";
  }
  return expected.empty() ? std::string() : "conflicts: one is not recorded";
}

}  // namespace syncline::test
