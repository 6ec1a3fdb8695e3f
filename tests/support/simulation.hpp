// N sites in memory on the real core, random writes and exchanges, and every fault we know of:
// chunks lost, late, repeated and out of order; an apply that fails at any call of the port; writes
// between chunks; sites restored from older copies; tables and columns that some sites lack for a
// while; clocks that differ. One seed, one run. After every step the sites touched are held against
// true causality; then a calm phase must bring all sites together, and a second one move nothing.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "support/generators.hpp"
#include "support/memory_endpoint.hpp"
#include "support/truth.hpp"

namespace syncline::test {

inline std::string problem(const std::string& doing, const Status& status) {
  return doing + ": " + std::string(status_code_name(status.code())) + ": " + status.message();
}

// A site that is between two states answers so: whoever asked comes again.
inline const char* const kRefused = "refused";

class Simulation {
 public:
  explicit Simulation(uint64_t seed);

  // Runs to the end; empty if everything held, else what did not, and at which step.
  std::string run(int steps);
  uint64_t operations() const { return operations_; }

 private:
  struct Site {
    std::unique_ptr<MemoryPort> port;
    std::unique_ptr<MemoryPort> saved;  // a backup of it
    int64_t skew_ms = 0;
    bool lacks_column = false, lacks_table = false;
  };
  struct Mail {
    std::string chunk;
    size_t receiver;
    SiteId sender;
  };

  // Each returns what is wrong, or nothing.
  std::string step();
  std::string write_some(size_t site);
  std::string deliver_old();
  std::string restore(size_t site);
  std::string maintain(size_t site, uint64_t rows_max);
  std::string change_members(size_t site);
  std::string melt_all();
  std::string catch_up(size_t site);
  std::string carry_files(size_t a, size_t b);
  std::string exchange(size_t a, size_t b);
  std::string session(size_t a, size_t b);
  std::string whole_session(size_t a, size_t b);
  std::string calm();
  std::string pull_all(size_t a, size_t b, uint64_t* rows);
  std::string check_calm() const;
  std::set<std::string> rows_half_melted() const;
  bool contexts_left() const;
  void trace_sites() const;

  void add_site();
  std::string produce(size_t a, size_t b, const std::string& resume, ExportedChunk* out);
  std::string consume(size_t b, const std::string& chunk, bool fault, bool* accepted = nullptr);
  std::string token(size_t b, const SiteId& sender) const;
  std::string check(size_t site) const;
  std::string check_safety();
  void tick();
  std::string set_policy(size_t site);
  std::pair<size_t, size_t> pick_pair();
  std::vector<const MemoryPort*> ports() const;
  ExportOptions export_options();

  Prng prng_;
  WriteGenerator generator_;
  std::vector<TableRules> tables_;
  Truth truth_;
  std::vector<Site> sites_;
  std::vector<Mail> bag_;
  uint64_t now_ms_ = 1'700'000'000'000;
  uint64_t next_site_ = 1;
  uint64_t operations_ = 0, steps_ = 0;
  // What may melt: nothing; what all have seen, of sites that stay (true causality holds to the
  // version); anything, with sites that come, go and are restored (all come together again).
  enum class Melting { none, exact, loose };
  const Melting melting_;
  const bool with_policies_;  // else every column is decided by its last writer
  const bool trace_ = number_from_env("SYNCLINE_TRACE", 0) != 0;  // tells what it does
};

// What must be stored, straight from the rules: rows that live, whose foreign keys name stored or
// kept rows, that no CHECK refuses, and that have the greatest claim on their unique value; deleted
// rows that such rows need are kept. Returns a row for which the site disagrees, or nothing.
// REQUIRES: everything is folded.
std::string check_quarantine(const MemoryPort& port);

// The open conflicts are those that the rows show. Returns what differs, or nothing.
std::string check_conflicts(const MemoryPort& port);

}  // namespace syncline::test
