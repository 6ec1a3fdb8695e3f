// All sites of one simulation, and what is done to them. One plan, one run, always the same.
//
// Errors of SQLite or of the extension that nobody may get are failures like any other. What a
// script is given to tell is told as it happens.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sqlite_ext/simulate/blueprint.h"
#include "sqlite_ext/simulate/oracle.h"
#include "sqlite_ext/simulate/random.h"
#include "sqlite_ext/simulate/schedule.h"
#include "sqlite_ext/simulate/script.h"

namespace syncline::simulate {

class World {
 public:
  static constexpr size_t kSitesMax = 8;

  struct Saved {
    Files files;
    Oracle::Mind mind;
    size_t altered = 0;
  };
  struct Member {
    std::unique_ptr<Site> site;
    Oracle::Mind mind;
    int64_t skew_ms = 0;
    size_t altered = 0;  // so many of the blueprint's alterations are made here
    std::optional<Saved> saved;
    uint64_t looked_at = 0;  // changes of its disk when its view was read
  };

  // Both must outlive it; `script` may be null.
  World(const Blueprint& blueprint, Script* script);

  // Makes the site; its rows from before tracking began are written by `before`.
  Failure add_site(const SiteSetup& setup, std::function<Failure(Member*)> before);
  // After the last of them, for a plan in which metadata melts: everyone gets to know everyone.
  Failure meet();
  Failure perform(const Action& action);
  // Faults end; everyone must come together, and every check must hold.
  Failure calm();

  std::vector<Member>& members() { return members_; }
  const Blueprint& blueprint() const { return blueprint_; }
  const Words& words() const { return words_; }
  bool full() const { return oracle_.full(); }
  // Statements, chunks made and chunks applied.
  uint64_t operations() const { return operations_; }
  uint64_t writes_done() const { return writes_done_; }
  const std::string& last_refusal() const { return last_refusal_; }

 private:
  struct Mail {
    std::string chunk, name;
    SiteIndex sender;
  };
  struct Chunk {
    std::string bytes;
    uint64_t number = 0, rows = 0;
    bool last = false;
  };

  // world.cpp
  Failure write(Member* member, const Action& action);
  Failure statements(Member* member, const Action& action, bool* broken);
  Failure after_kill(Member* member, const Files& files, Cause cause);
  Failure restore(Member* member);
  Failure copy(Member* member);
  Failure run_each(Member* member, const Action& action, Cause cause);
  Failure alter(Member* member);
  Failure rename();
  Failure settle(Member* member);
  Failure maintain(Member* member, const Action& action);
  Failure look(Member* member, Cause cause, const std::string& doing);
  Failure check_lost();
  Failure check_invariants(Member* member, const std::string& when);
  bool invariants_hold(Member* member, std::string* why);
  Failure failed(Member* member, const std::string& doing, const Status& status) const;
  void tick(uint64_t ms);
  void tell(Member* member, const std::string& sql);
  void note(const std::string& text);

  // exchange.cpp
  Failure exchange(Member* from, Member* to, const Transfer& given, uint64_t* rows);
  Failure greet(Member* to, std::string* hello);
  Failure produce(Member* from, const std::string& hello, const Transfer& transfer, bool first_only,
                  std::vector<Chunk>* out);
  Failure deliver(Member* to, const std::string& bytes, const std::string& name, bool damaged,
                  bool* taken);
  Failure deliver_killed(Member* to, const std::string& bytes, uint64_t at);
  Failure late_mail(Member* to, uint64_t which);
  static std::string damage(std::string bytes, Random* random);

  // calm.cpp
  Failure come_together();
  Failure pass_round(uint64_t* rows);
  Failure melt_all();
  Failure check_site(Member* member);
  Failure check_records(Member* member);
  Failure compare(const Member& a, const Member& b) const;

  const Blueprint& blueprint_;
  Script* script_;
  Words words_;
  Oracle oracle_;
  std::vector<Member> members_;
  std::vector<Mail> mail_;
  uint64_t now_ms_ = 1'760'000'000'000;
  uint64_t operations_ = 0, writes_done_ = 0, chunks_told_ = 0, performed_ = 0;
  bool ids_changed_ = false, melts_ = false;
  std::string last_refusal_;
};

}  // namespace syncline::simulate
