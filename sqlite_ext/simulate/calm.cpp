// The end of every run: no more faults, everyone comes together, and everything is looked at.
#include <algorithm>

#include "sqlite_ext/simulate/world.h"

namespace syncline::simulate {

namespace {

// A ring brings news everywhere in two rounds; rows that wait for others may need one more.
constexpr int kRoundsMax = 6;

// A version whose writer did not know the column has no value where it is young, and the column's
// default where it was added later; so does the image of a delete in a column that was added. What
// an INSERT gave to a column that was dropped (`retired`) may not have left its site.
bool same_versions(const std::vector<SeenVersion>& a, const std::vector<SeenVersion>& b,
                   bool added, bool retired) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](const SeenVersion& x, const SeenVersion& y) {
                      const bool open =
                          retired || x.value.empty() || y.value.empty() || (added && x.dead);
                      return x.site == y.site && x.seq == y.seq && x.hlc == y.hlc &&
                             x.dead == y.dead && (open || x.value == y.value);
                    });
}

std::string first_difference(const std::map<std::string, std::string>& a,
                             const std::map<std::string, std::string>& b) {
  for (const auto& [id, words] : a) {
    if (b.count(id) == 0) return words;
  }
  return {};
}

}  // namespace

Failure World::pass_round(uint64_t* rows) {
  *rows = 0;
  for (size_t i = 0; i < members_.size(); ++i) {
    Member* to = &members_[(i + 1) % members_.size()];
    if (Failure broken = exchange(&members_[i], to, Transfer(), rows)) return broken;
  }
  return {};
}

Failure World::come_together() {
  tick(60'000);
  for (Member& member : members_) {
    if (Failure broken = settle(&member)) return broken;
  }
  Failure apart;
  for (int round = 0; round < kRoundsMax; ++round) {
    uint64_t rows = 0;
    if (Failure broken = pass_round(&rows)) return broken;
    if (round == 0 && members_.size() > 2) continue;
    apart = Failure();
    for (size_t i = 1; i < members_.size() && !apart; ++i)
      apart = compare(members_[0], members_[i]);
    if (!apart) return {};
  }
  return apart;
}

Failure World::meet() {
  melts_ = true;
  return come_together();
}

// Everyone forgets what all have seen, tells the others, and so on: what is left cannot melt.
Failure World::melt_all() {
  Action all;
  all.number = 29;
  for (int round = 0; round < 3; ++round) {
    uint64_t rows = 0;
    if (Failure broken = pass_round(&rows)) return broken;
    for (Member& member : members_) {
      for (int part = 0; part < 4; ++part) {
        if (Failure broken = maintain(&member, all)) return broken;
      }
    }
  }
  return {};
}

Failure World::compare(const Member& a, const Member& b) const {
  const std::string sites = "sites " + std::to_string(a.site->number()) + " and " +
                            std::to_string(b.site->number());
  for (const auto& [name, table] : a.mind.view.tables) {
    const auto other = b.mind.view.tables.find(name);
    if (other == b.mind.view.tables.end()) continue;
    for (const SeenTable* one : {&table, &other->second}) {
      for (const auto& [key, row] : one->rows) {
        const auto x = table.rows.find(key), y = other->second.rows.find(key);
        const std::string place =
            "table " + name + ", row " + row.pk + ": " + sites + " stay different: ";
        if (x == table.rows.end() || y == other->second.rows.end()) {
          if (melts_ && !row.stored && !row.held) continue;  // nothing is left of it there
          return {"convergence", place + "one of them does not know it"};
        }
        const SeenRow& here = x->second;
        const SeenRow& there = y->second;
        if (here.stored != there.stored || here.held != there.held || here.kept != there.kept ||
            here.adjusted != there.adjusted) {
          return {"convergence", place + "one has it in the table, or held, the other not"};
        }
        for (size_t cell = 0; cell < here.cells.size() && cell < there.cells.size(); ++cell) {
          const std::string column =
              cell == 0 ? "" : "column " + words_.cells.at(name)[cell] + ": ";
          const bool retired = oracle_.retired(name, cell);
          if (here.stored && !retired && here.base[cell] != there.base[cell]) {
            return {"convergence", place + column + here.base[cell] + " and " + there.base[cell]};
          }
          const bool added = blueprint_.adds(name, words_.cells.at(name)[cell]);
          if (melts_) continue;  // names may be gone at one of them
          if (!same_versions(here.cells[cell], there.cells[cell], added, retired)) {
            return {"convergence", place + column + "their versions differ: " +
                                       oracle_.listed(here.cells[cell]) + " and " +
                                       oracle_.listed(there.cells[cell])};
          }
        }
      }
    }
  }
  return {};
}

Failure World::calm() {
  note("From here on nothing goes wrong any more.");
  if (Failure broken = check_lost()) return broken;
  for (size_t i = 0; i < members_.size(); ++i) {
    while (members_[i].altered < blueprint_.alterations.size()) {
      if (Failure broken = alter(&members_[i])) return broken;
    }
  }
  if (Failure broken = come_together()) return broken;
  if (melts_) {
    if (Failure broken = melt_all()) return broken;
    if (Failure broken = come_together()) return broken;
  }
  if (Failure broken = check_lost()) return broken;
  // What is the same everywhere may not be known to be so yet.
  uint64_t rows = 1;
  for (int round = 0; round < kRoundsMax && rows != 0; ++round) {
    if (Failure broken = pass_round(&rows)) return broken;
  }
  if (rows != 0 && !ids_changed_) {
    return {"restless", "all sites have everything, and " + std::to_string(rows) +
                            " rows were sent again"};
  }
  for (Member& member : members_) {
    if (Failure broken = check_site(&member)) return broken;
    if (Failure broken = check_records(&member)) return broken;
    if (Failure broken = check_invariants(&member, "when all was done")) return broken;
  }
  return {};
}

Failure World::check_site(Member* member) {
  std::vector<std::pair<const char*, const char*>> queries = {
      {"PRAGMA integrity_check", "ok"},
      {"SELECT severity||': '||what FROM sync_check() WHERE severity='error'", ""}};
  if (member->site->connection().foreign_keys) {
    queries.push_back({"SELECT 'a row of '||\"table\"||' refers to no row of '||parent FROM "
                       "pragma_foreign_key_check",
                       ""});
  }
  for (const auto& [sql, expected] : queries) {
    std::string found;
    const Status status = member->site->value(sql, &found);
    if (!status.ok()) return failed(member, sql, status);
    if (found == expected) continue;
    return {"unsound", "site " + std::to_string(member->site->number()) + ": " + found};
  }
  return {};
}

// The conflicts on record are those that the rows show; what is held could not be stored.
Failure World::check_records(Member* member) {
  sqlite3* db = member->site->db();
  Records records;
  // A version from before a column was added has no value there, or the default: for a while that
  // may look like two values.
  const auto open = [this](const std::string& table, const std::string& column) {
    return blueprint_.adds(table, column);
  };
  const Status status = read_records(db, open, &records);
  if (!status.ok()) return failed(member, "reading conflicts", status);
  const std::string at = " at site " + std::to_string(member->site->number());
  const std::string missing = first_difference(records.expected, records.listed);
  if (!missing.empty()) return {"conflicts", "a conflict is not listed" + at + ": " + missing};
  const std::string extra = first_difference(records.listed, records.expected);
  if (!extra.empty()) {
    return {"conflicts", "a conflict is listed without reason" + at + ": " + extra};
  }
  for (const auto& [row, insert] : records.held) {
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    std::string faithful, dangling;
    bool stored = member->site->run("BEGIN;PRAGMA defer_foreign_keys=ON").ok() &&
                  member->site->value(insert, &faithful).ok() && faithful == "1";
    if (stored && member->site->connection().foreign_keys) {
      stored = member->site->value("SELECT 1 FROM pragma_foreign_key_check", &dangling).ok() &&
               dangling.empty();
    }
    const Status undone = member->site->run("ROLLBACK");
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, nullptr);
    if (!undone.ok()) return failed(member, "ROLLBACK", undone);
    if (stored) return {"held", "a row is held though nothing stands in its way" + at + ": " + row};
  }
  return {};
}

}  // namespace syncline::simulate
