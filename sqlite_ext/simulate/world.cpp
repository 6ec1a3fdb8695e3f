// See world.h: the sites, and everything that happens to one of them alone.
#include "sqlite_ext/simulate/world.h"

#include <algorithm>

namespace syncline::simulate {

World::World(const Blueprint& blueprint, Script* script)
    : blueprint_(blueprint), script_(script), oracle_(&words_) {
  members_.reserve(kSitesMax);
  for (const Alteration& alteration : blueprint.alterations) {
    if (!alteration.adds.empty() && !alteration.everywhere) {
      words_.cell(alteration.table, alteration.adds);
    }
  }
}

void World::tick(uint64_t ms) {
  now_ms_ += ms;
  for (Member& member : members_) {
    member.site->disk().set_clock(now_ms_ + static_cast<uint64_t>(member.skew_ms));
  }
}

void World::tell(Member* member, const std::string& sql) {
  ++operations_;
  if (script_ == nullptr) return;
  script_->at(member->site->number());
  script_->sql(sql);
}

void World::note(const std::string& text) {
  if (script_ != nullptr) script_->note(text);
}

Failure World::failed(Member* member, const std::string& doing, const Status& status) const {
  const std::string where = doing + " at site " + std::to_string(member->site->number());
  if (member->site->endless()) return {"endless", where + " does not come to an end"};
  return {"error", where + ": " + status.message()};
}

Failure World::look(Member* member, Cause cause, const std::string& doing) {
  const uint64_t changes = member->site->disk().changes();
  if (changes == member->looked_at && cause == Cause::arrival && !member->mind.unfolded) return {};
  member->looked_at = changes;
  View view;
  member->site->allow();
  const Status status = read_view(member->site->db(), &words_, &view);
  if (!status.ok()) return failed(member, "reading what stands there", status);
  Failure broken = oracle_.observe(&member->mind, std::move(view), cause);
  if (broken) {
    broken.text = "after " + doing + " at site " + std::to_string(member->site->number()) + ": " +
                  broken.text;
  }
  return broken;
}

Failure World::check_lost() {
  std::vector<const Oracle::Mind*> minds;
  for (const Member& member : members_)
    minds.push_back(&member.mind);
  return oracle_.check_lost(minds);
}

Failure World::add_site(const SiteSetup& setup, std::function<Failure(Member*)> before) {
  Member& member = members_.emplace_back();
  member.site = std::make_unique<Site>(static_cast<uint32_t>(members_.size()));
  member.skew_ms = setup.skew_ms;
  tick(7);
  Status status = member.site->open(setup.connection);
  if (!status.ok()) return failed(&member, "opening", status);
  if (script_ != nullptr) {
    script_->at(member.site->number());
    script_->sql(std::string("PRAGMA foreign_keys=") +
                 (setup.connection.foreign_keys ? "ON" : "OFF"));
    if (setup.skew_ms != 0) {
      note("its clock is " + std::to_string(setup.skew_ms) + " ms ahead of site 1's");
    }
  }
  for (const std::string& sql : blueprint_.schema) {
    tell(&member, sql);
    status = member.site->run(sql);
    if (!status.ok()) return failed(&member, sql, status);
  }
  for (const std::string& sql : blueprint_.others) {
    if (member.site->run(sql).ok()) tell(&member, sql);
  }
  if (Failure broken = before(&member)) return broken;
  for (const std::string& sql : tracking_calls(blueprint_)) {
    tell(&member, sql);
    status = member.site->run(sql);
    if (!status.ok()) return failed(&member, sql, status);
  }
  return look(&member, Cause::before, "sync_enable");
}

bool World::invariants_hold(Member* member, std::string* why) {
  for (const Invariant& invariant : blueprint_.invariants) {
    bool holds = false;
    const Status status = evaluate(member->site->db(), invariant, &holds, why);
    if (status.ok() && holds) continue;
    *why = "the invariant \"" + invariant.name + "\" does not hold: " + *why;
    return false;
  }
  return true;
}

Failure World::check_invariants(Member* member, const std::string& when) {
  std::string why;
  if (blueprint_.invariants.empty() || invariants_hold(member, &why)) return {};
  return {"invariant", when + " at site " + std::to_string(member->site->number()) + ", " + why};
}

Failure World::perform(const Action& action) {
  tick(1 + action.number % 40);
  if (++performed_ % 8 == 0) {
    if (Failure broken = check_lost()) return broken;
  }
  if (action.site >= members_.size() || action.other >= members_.size()) return {};
  Member* member = &members_[action.site];
  switch (action.step) {
    case Step::write: return write(member, action);
    case Step::exchange: {
      if (action.site == action.other) return {};
      uint64_t rows = 0;
      return exchange(member, &members_[action.other], action.transfer, &rows);
    }
    case Step::mail: return late_mail(member, action.number);
    case Step::save:
      if (Failure broken = settle(member)) return broken;
      if (script_ != nullptr) {
        script_->at(member->site->number());
        script_->shell(".backup saved" + std::to_string(member->site->number()) + ".db");
      }
      member->saved = Saved{member->site->disk().copy(), member->mind, member->altered};
      return {};
    case Step::restore: return restore(member);
    case Step::copy: return copy(member);
    case Step::kill: {
      note("site " + std::to_string(member->site->number()) + " is killed and started again");
      return after_kill(member, member->site->disk().copy(), Cause::arrival);
    }
    case Step::clock:
      member->skew_ms = static_cast<int64_t>(action.number % 240'000) - 120'000;
      note("the clock of site " + std::to_string(member->site->number()) + " is " +
           std::to_string(member->skew_ms) + " ms ahead from here on");
      tick(0);
      return {};
    case Step::decide: return run_each(member, action, Cause::decision);
    case Step::policy: return run_each(member, action, Cause::arrival);
    case Step::alter: return alter(member);
    case Step::rename: return rename();
    case Step::identity: {
      member->mind.unsettled = true;
      return settle(member);
    }
    case Step::maintain: return maintain(member, action);
  }
  return {};
}

// Statements that a constraint refuses change nothing. *broken: the transaction is gone.
Failure World::statements(Member* member, const Action& action, bool* broken) {
  for (const std::string& sql : action.sql) {
    tell(member, sql);
    const int changes = sqlite3_total_changes(member->site->db());
    const Status status = member->site->run(sql);
    if (status.ok()) {  // a savepoint is no write
      if (sqlite3_total_changes(member->site->db()) != changes) ++writes_done_;
    } else {
      last_refusal_ = sql + ": " + status.message();
      note("refused: " + status.message());
    }
    *broken = sqlite3_get_autocommit(member->site->db()) != 0;
    if (*broken) break;
  }
  return {};
}

Failure World::write(Member* member, const Action& action) {
  Site& site = *member->site;
  const std::string number = std::to_string(site.number());
  tell(member, "BEGIN");
  Status status = site.run("BEGIN");
  if (!status.ok()) return failed(member, "BEGIN", status);
  bool gone = false;
  if (Failure broken = statements(member, action, &gone)) return broken;
  std::string why;
  End end = action.end;
  const bool checked = !gone && end != End::kill && !blueprint_.invariants.empty();
  if (checked && !invariants_hold(member, &why)) {
    note("the application would not do this: " + why);
    end = End::rollback;
  }
  if (end == End::kill) {
    note("site " + number + " is killed before it commits");
    if (script_ != nullptr) script_->sql("ROLLBACK");
    return after_kill(member, site.disk().copy(), Cause::arrival);
  }
  if (gone) return look(member, Cause::local, "a transaction that was rolled back");
  if (end == End::kill_in_commit) site.disk().kill_at(1 + action.number % 12);
  const char* const last = end == End::rollback ? "ROLLBACK" : "COMMIT";
  tell(member, last);
  status = site.run(last);
  Files remains;
  if (end == End::kill_in_commit && site.disk().killed(&remains)) {
    note("site " + number + " is killed while it commits");
    return after_kill(member, remains, Cause::local);
  }
  if (!status.ok()) {
    note("refused: " + status.message());
    tell(member, "ROLLBACK");
    status = site.run("ROLLBACK");
    if (!status.ok()) return failed(member, "ROLLBACK", status);
  }
  return look(member, Cause::local, "a transaction");
}

// What was committed is there, and nothing else.
Failure World::after_kill(Member* member, const Files& files, Cause cause) {
  const Status status = member->site->reopen(files);
  if (!status.ok()) return failed(member, "opening after a kill", status);
  if (cause != Cause::arrival) return look(member, cause, "a kill");
  View view;
  const Status read = read_view(member->site->db(), &words_, &view);
  if (!read.ok()) return failed(member, "reading after a kill", read);
  if (same_rows(view, member->mind.view)) return {};
  return {"lost", "after a kill, site " + std::to_string(member->site->number()) +
                      " does not hold what it had committed"};
}

Failure World::restore(Member* member) {
  if (!member->saved.has_value()) return {};
  const std::string number = std::to_string(member->site->number());
  if (script_ != nullptr) {
    script_->at(member->site->number());
    script_->shell(".restore saved" + number + ".db");
    script_->note("site " + number + " is as it was when it was saved");
  }
  const Status status = member->site->reopen(member->saved->files);
  if (!status.ok()) return failed(member, "restoring", status);
  member->mind = member->saved->mind;
  member->mind.unsettled = true;
  member->altered = member->saved->altered;
  std::vector<const Oracle::Mind*> minds;
  for (const Member& other : members_)
    minds.push_back(&other.mind);
  oracle_.forget_lost(minds);
  return {};
}

Failure World::copy(Member* member) {
  if (members_.size() >= kSitesMax) return {};
  if (Failure broken = settle(member)) return broken;
  Member& made = members_.emplace_back();
  made.site = std::make_unique<Site>(static_cast<uint32_t>(members_.size()));
  made.mind = member->mind;
  made.mind.unsettled = true;
  made.altered = member->altered;
  made.skew_ms = member->skew_ms;
  if (script_ != nullptr) {
    const std::string file = "site" + std::to_string(made.site->number()) + ".db";
    script_->at(member->site->number());
    script_->shell(".backup " + file);
    script_->note("site " + std::to_string(made.site->number()) + " is a copy of site " +
                  std::to_string(member->site->number()));
  }
  tick(1);
  made.site->disk().put(member->site->disk().copy());
  const Status status = made.site->open(member->site->connection());
  return status.ok() ? Failure() : failed(&made, "opening a copy", status);
}

Failure World::settle(Member* member) {
  if (!member->mind.unsettled) return {};
  ids_changed_ = true;
  tell(member, "SELECT sync_new_identity()");
  const Status status = member->site->run("SELECT sync_new_identity()");
  if (!status.ok()) return failed(member, "sync_new_identity", status);
  return look(member, Cause::identity, "sync_new_identity");
}

Failure World::maintain(Member* member, const Action& action) {
  const std::string sql = "SELECT sync_maintain('{\"rows_max\": " +
                          std::to_string(1 + action.number % 30) + "}')";
  tell(member, sql);
  Site& site = *member->site;
  if (action.end == End::kill_in_commit) site.disk().kill_at(1 + action.number % 12);
  const Status status = site.run(sql);
  Files remains;
  if (action.end == End::kill_in_commit && site.disk().killed(&remains)) {
    note("site " + std::to_string(site.number()) + " is killed in sync_maintain");
    return after_kill(member, remains, Cause::melting);
  }
  if (!status.ok()) return failed(member, sql, status);
  return look(member, Cause::melting, "sync_maintain");
}

// What is refused (no such conflict, a constraint) changes nothing.
Failure World::run_each(Member* member, const Action& action, Cause cause) {
  for (const std::string& sql : action.sql) {
    tell(member, sql);
    const Status status = member->site->run(sql);
    if (!status.ok()) note("refused: " + status.message());
    if (Failure broken = look(member, cause, "a call")) return broken;
  }
  return {};
}

Failure World::alter(Member* member) {
  if (member->altered >= blueprint_.alterations.size()) return {};
  const Alteration& alteration = blueprint_.alterations[member->altered];
  if (alteration.everywhere) return rename();
  if (Failure broken = settle(member)) return broken;
  ++member->altered;
  if (!alteration.drops.empty()) oracle_.retire(alteration.table, alteration.drops);
  for (const std::string& sql : {alteration.sql, std::string("SELECT sync_hello() IS NOT NULL")}) {
    tell(member, sql);
    const Status status = member->site->run(sql);
    if (!status.ok()) return failed(member, sql, status);
  }
  return look(member, Cause::schema, "a change of the schema");
}

Failure World::rename() {
  size_t next = 0;
  while (next < blueprint_.alterations.size() && !blueprint_.alterations[next].everywhere)
    ++next;
  for (Member& member : members_) {
    if (member.altered > next) return {};  // it was done
  }
  if (next >= blueprint_.alterations.size()) return {};
  for (Member& member : members_) {
    while (member.altered < next) {
      if (Failure broken = alter(&member)) return broken;
    }
  }
  if (Failure broken = come_together()) return broken;
  const Alteration& alteration = blueprint_.alterations[next];
  std::vector<std::string>& names = words_.cells[alteration.table];
  std::replace(names.begin(), names.end(), alteration.drops, alteration.adds);
  mail_.clear();
  for (Member& member : members_) {
    member.saved.reset();
    member.altered = next + 1;
    tell(&member, alteration.sql);
    const Status status = member.site->run(alteration.sql);
    if (!status.ok()) return failed(&member, alteration.sql, status);
    if (Failure broken = look(&member, Cause::arrival, "a change of the schema")) return broken;
  }
  return {};
}

}  // namespace syncline::simulate
