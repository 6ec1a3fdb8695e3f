// Transactions of the application: statements that fit the schema, found by trying.
#include <algorithm>

#include "sqlite_ext/simulate/planner.h"

namespace syncline::simulate {

namespace {

constexpr int kTries = 4;

std::string joined(const std::vector<std::string>& parts, const char* between) {
  std::string out;
  for (const std::string& part : parts)
    out += (out.empty() ? "" : between) + part;
  return out;
}

bool is_key(const Shape& shape, const std::string& column) {
  const auto& key = shape.base.key;
  return std::find(key.begin(), key.end(), column) != key.end();
}

// SQLite leaves a reference to a row that is gone where an update replaces the one its own row
// refers to: what ON DELETE SET NULL wrote, the update writes over (docs/limitations.md).
bool may_replace(const Shape& shaped) {
  return std::none_of(shaped.foreign.begin(), shaped.foreign.end(), [&](const ForeignKey& key) {
    return key.on_delete.starts_with("SET") && key.parent == shaped.base.name;
  });
}

}  // namespace

const Shape& Planner::shape(World::Member* member, const std::string& table) {
  const auto [found, fresh] =
      shapes_.try_emplace({{member->site->number(), member->altered}, table});
  if (fresh) (void)read_shape(member->site->db(), table, &found->second).ok();
  return found->second;
}

PolicyKind Planner::policy_of(const World& world, World::Member* member, const std::string& table,
                              const std::string& column) {
  const auto words = world.words().cells.find(table);
  const auto seen = member->mind.view.tables.find(table);
  if (words == world.words().cells.end() || seen == member->mind.view.tables.end()) return {};
  const auto at = std::find(words->second.begin(), words->second.end(), column);
  const auto cell = static_cast<size_t>(at - words->second.begin());
  return cell < seen->second.policies.size() ? seen->second.policies[cell] : PolicyKind();
}

Failure Planner::before(World::Member* member, SiteSetup* setup) {
  if (!random_.percent(member->site->number() == 1 ? 40 : 15)) return {};
  for (const Blueprint::Table& table : blueprint_.tables) {
    for (uint64_t i = random_.below(4); i > 0; --i) {
      const Shape& shaped = shape(member, table.name);
      std::vector<std::string> names, values;
      for (size_t c = 0; c < shaped.base.columns.size(); ++c) {
        names.push_back(quote_name(shaped.base.columns[c].name));
        values.push_back(values_.of(shaped, c, PolicyKind::last_writer));
      }
      const std::string sql = "INSERT INTO " + quote_name(table.name) + "(" + joined(names, ", ") +
                              ") VALUES(" + joined(values, ", ") + ")";
      if (member->site->run(sql).ok()) setup->before.push_back(sql);
    }
  }
  return {};
}

const SeenRow* Planner::some_stored(World::Member* member, const std::string& table) {
  const auto found = member->mind.view.tables.find(table);
  if (found == member->mind.view.tables.end()) return nullptr;
  std::vector<const SeenRow*> rows;
  for (const auto& [key, row] : found->second.rows) {
    if (row.stored) rows.push_back(&row);
  }
  return rows.empty() ? nullptr : random_.pick(rows);
}

std::map<std::string, std::string> Planner::parents(World* world, World::Member* member,
                                                    const Shape& shaped) {
  std::map<std::string, std::string> out;
  for (const ForeignKey& key : shaped.foreign) {
    const uint64_t roll = random_.below(100);
    if (roll < 8) continue;  // whatever value
    const SeenRow* parent = some_stored(member, key.parent);
    const auto words = world->words().cells.find(key.parent);
    for (size_t i = 0; i < key.from.size(); ++i) {
      std::string value = "NULL";
      if (parent != nullptr && words != world->words().cells.end() && roll >= 18 &&
          i < key.to.size()) {
        const auto at = std::find(words->second.begin(), words->second.end(), key.to[i]);
        const auto cell = static_cast<size_t>(at - words->second.begin());
        if (cell < parent->base.size() && !parent->base[cell].empty()) value = parent->base[cell];
      }
      if (value != "NULL" || !is_key(shaped, key.from[i])) out[key.from[i]] = value;
    }
  }
  return out;
}

std::string Planner::insert(World* world, World::Member* member, const Shape& shaped,
                            const char* verb) {
  std::vector<size_t> columns;
  for (size_t c = 0; c < shaped.base.columns.size(); ++c) {
    if (is_key(shaped, shaped.base.columns[c].name) || !random_.percent(10)) columns.push_back(c);
  }
  std::vector<std::string> names, rows;
  for (const size_t c : columns)
    names.push_back(quote_name(shaped.base.columns[c].name));
  for (uint64_t left = random_.percent(15) ? 1 + random_.below(3) : 1; left > 0; --left) {
    const auto given = parents(world, member, shaped);
    std::vector<std::string> values;
    for (const size_t c : columns) {
      const std::string& name = shaped.base.columns[c].name;
      const auto parent = given.find(name);
      values.push_back(
          parent != given.end()
              ? parent->second
              : values_.of(shaped, c, policy_of(*world, member, shaped.base.name, name)));
    }
    rows.push_back("(" + joined(values, ", ") + ")");
  }
  return std::string(verb) + " INTO " + quote_name(shaped.base.name) + "(" + joined(names, ", ") +
         ") VALUES" + joined(rows, ", ");
}

std::string Planner::upsert(World* world, World::Member* member, const Shape& shaped) {
  std::vector<std::string> key, sets;
  for (const std::string& name : shaped.base.key)
    key.push_back(quote_name(name));
  for (const BaseColumn& column : shaped.base.columns) {
    if (is_key(shaped, column.name) || !random_.percent(60)) continue;
    sets.push_back(quote_name(column.name) + " = excluded." + quote_name(column.name));
  }
  return insert(world, member, shaped, "INSERT") + " ON CONFLICT(" + joined(key, ", ") + ") DO " +
         (sets.empty() ? "NOTHING" : "UPDATE SET " + joined(sets, ", "));
}

// " WHERE ...": one row, or a few.
std::string Planner::some_rows(World* world, World::Member* member, const Shape& shaped) {
  std::string where = one_row(world, member, shaped);
  for (uint64_t more = random_.percent(12) ? 1 + random_.below(2) : 0; more > 0; --more) {
    if (!where.empty()) where += " OR " + one_row(world, member, shaped);
  }
  return where.empty() ? where : " WHERE " + where;
}

std::string Planner::one_row(World* world, World::Member* member, const Shape& shaped) {
  const SeenRow* row = some_stored(member, shaped.base.name);
  if (row == nullptr) return {};
  const std::vector<std::string>& words = world->words().cells.at(shaped.base.name);
  std::vector<std::string> terms;
  for (const std::string& name : shaped.base.key) {
    const auto cell =
        static_cast<size_t>(std::find(words.begin(), words.end(), name) - words.begin());
    if (cell >= row->base.size()) return {};
    terms.push_back(quote_name(name) + " = " + row->base[cell]);
  }
  return joined(terms, " AND ");
}

std::string Planner::update(World* world, World::Member* member, const Shape& shaped) {
  const std::string where = random_.percent(6) ? std::string() : some_rows(world, member, shaped);
  if (where.empty() && some_stored(member, shaped.base.name) == nullptr) return {};
  const auto given = parents(world, member, shaped);
  std::vector<size_t> open;
  for (size_t c = 0; c < shaped.base.columns.size(); ++c) {
    if (!is_key(shaped, shaped.base.columns[c].name)) open.push_back(c);
  }
  if (open.empty()) return {};
  random_.shuffle(&open);
  open.resize(std::min<size_t>(open.size(), 1 + random_.below(2)));
  std::vector<std::string> sets;
  for (const size_t c : open) {
    const std::string& name = shaped.base.columns[c].name;
    const auto parent = given.find(name);
    std::string value =
        parent != given.end()
            ? parent->second
            : values_.change(shaped, c, policy_of(*world, member, shaped.base.name, name));
    if (random_.percent(4)) value = quote_name(name);  // what stands there already
    sets.push_back(quote_name(name) + " = " + value);
  }
  return verb_of_update(shaped) + quote_name(shaped.base.name) + " SET " + joined(sets, ", ") +
         where;
}

std::string Planner::verb_of_update(const Shape& shaped) {
  const uint64_t roll = random_.below(100);
  if (roll < 18) return may_replace(shaped) ? "UPDATE OR REPLACE " : "UPDATE ";
  if (roll < 26) return "UPDATE OR IGNORE ";
  if (roll < 32) return "UPDATE OR FAIL ";
  return roll < 33 ? "UPDATE OR ROLLBACK " : "UPDATE ";
}

std::string Planner::key_change(World* world, World::Member* member, const Shape& shaped) {
  const std::string where = some_rows(world, member, shaped);
  if (where.empty()) return {};
  const std::string& name = random_.pick(shaped.base.key);
  size_t c = 0;
  while (shaped.base.columns[c].name != name)
    ++c;
  return verb_of_update(shaped) + quote_name(shaped.base.name) + " SET " + quote_name(name) +
         " = " + values_.key(shaped.kinds[c]) + where;
}

std::string Planner::statement(World* world, World::Member* member) {
  const std::string& table = random_.pick(blueprint_.tables).name;
  const Shape& shaped = shape(member, table);
  if (shaped.base.columns.empty()) return {};
  const uint64_t roll = random_.below(100);
  if (roll < 31) return insert(world, member, shaped, "INSERT");
  if (roll < 34) return insert(world, member, shaped, "INSERT OR FAIL");
  if (roll < 40) return insert(world, member, shaped, "INSERT OR REPLACE");
  if (roll < 43) return insert(world, member, shaped, "INSERT OR IGNORE");
  if (roll < 51) return upsert(world, member, shaped);
  if (roll < 79) return update(world, member, shaped);
  if (roll < 85) return key_change(world, member, shaped);
  if (random_.percent(2)) return "DELETE FROM " + quote_name(table);
  const std::string where = some_rows(world, member, shaped);
  return where.empty() ? "" : "DELETE FROM " + quote_name(table) + where;
}

// What works is found on the site itself, and taken back: a plan must run the same each time.
void Planner::write(World* world, World::Member* member, Action* action) {
  Site& site = *member->site;
  if (!site.run("SAVEPOINT trial").ok()) return;
  const uint64_t count = random_.percent(50) ? 1 : 1 + random_.below(4);
  bool alive = true;
  for (uint64_t i = 0; i < count && alive; ++i) {
    for (int attempt = 0; attempt < kTries && alive; ++attempt) {
      const std::string sql = statement(world, member);
      if (sql.empty()) continue;
      const int changes = sqlite3_total_changes(site.db());
      // OR FAIL leaves what it did before it failed.
      const bool works = site.run(sql).ok() || sqlite3_total_changes(site.db()) != changes;
      if (works || random_.percent(8) || attempt + 1 == kTries) action->sql.push_back(sql);
      alive = sqlite3_get_autocommit(site.db()) == 0;
      if (works) break;
    }
  }
  if (alive) (void)site.run("ROLLBACK TO trial;RELEASE trial").ok();
  if (action->sql.size() > 1 && random_.percent(15)) {
    auto at = action->sql.begin() + static_cast<std::ptrdiff_t>(random_.below(action->sql.size()));
    action->sql.insert(at, "SAVEPOINT inner");
    action->sql.push_back(random_.percent(70) ? "ROLLBACK TO inner" : "RELEASE inner");
  }
  const uint64_t roll = random_.below(100);
  if (roll < 5) action->end = End::rollback;
  if (!options_.faults || weights_[static_cast<size_t>(Step::kill)] == 0) return;
  if (roll >= 5 && roll < 9) action->end = End::kill;
  if (roll >= 9 && roll < 16) action->end = End::kill_in_commit;
}

}  // namespace syncline::simulate
