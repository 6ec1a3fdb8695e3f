// True causality, kept beside the sites: who wrote what, and what each writer had seen.
//
// After everything that happens to a site the oracle is shown the site's view. From a local
// transaction it learns new writes; from anything else none may come. It says what is wrong:
//
//   lost      a write that nobody has superseded stands on no site
//   claims    a site's knowledge covers a write that it does not hold
//   invented  a version that nobody wrote, or a value that its writer did not write
//   exactness a cell holds a version beside one that replaced it
//   half      a write that is held in some of its cells only
//   capture   a local transaction changed a row without a version of its own saying so, or with
//             one that disturbs another row
//   alive     a row is shown or hidden against its table's rule about deletes
//   shown     the base row does not show what its versions say
//
// The core's simulation in tests/support/truth.hpp follows the same idea over a port in memory.
#pragma once

#include <bitset>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "sqlite_ext/simulate/view.h"

namespace syncline::simulate {

struct Failure {
  std::string kind, text;
  explicit operator bool() const { return !kind.empty(); }
};

// Why a site's view may have changed.
enum class Cause {
  before,    // rows that stood there when tracking began
  local,     // a transaction of the application
  decision,  // sync_resolve and its like: writes, and stores what was held
  identity,  // a new id: own unsent writes are under it now
  schema,    // a column was added: writes that may have been of it count as such
  melting,   // what everyone has seen has lost its name
  arrival,   // anything that writes nothing new
};

class Oracle {
 public:
  static constexpr size_t kWritesMax = 256;  // of one row; a new id may write half of them again

  explicit Oracle(Words* words) : words_(*words) {}

  // What it keeps for one site. A copy of a database takes a copy of it.
  struct Mind {
    View view;
    std::map<std::tuple<const void*, SiteIndex, uint64_t>, size_t> own;  // row, site, seq -> write
    std::map<const void*, std::vector<std::bitset<kWritesMax>>> covered;  // row -> by cell
    // Rows that were held when the application wrote over them: it saw nothing of what is held, so
    // its writes stand beside that until they are folded.
    std::set<const void*> beside;
    // Row -> by cell: the writes that a version without a name stands for, or a row that left no
    // trace.
    std::map<const void*, std::vector<std::bitset<kWritesMax>>> melted;
    // A copy, or restored, that has no id of its own yet: its new writes are nobody else's.
    bool unsettled = false;
    bool unfolded = false;  // the application has written since the last call of the extension
  };

  Failure observe(Mind* mind, View view, Cause cause);
  // No write is lost. REQUIRES: the minds of all sites that are still there.
  Failure check_lost(const std::vector<const Mind*>& minds) const;
  // Writes that stand nowhere now (a site was thrown back to an older copy) are not missed.
  void forget_lost(const std::vector<const Mind*>& minds);
  // The column is gone at some site: its versions go on, their values are not compared any more.
  void retire(const std::string& table, const std::string& column);
  bool retired(const std::string& table, size_t cell) const;
  // Versions in words.
  std::string listed(const std::vector<SeenVersion>& all) const;
  // Some row has so many writes that no more should be made.
  bool full() const { return full_; }

 private:
  using Bits = std::bitset<kWritesMax>;
  struct Write {
    SiteIndex site = 0;
    uint64_t seq = 0;
    bool whole = false, dead = false;
    size_t cell = 0;          // if not whole
    Bits row_past;            // all that was here of the row
    std::vector<Bits> past;   // by cell: what it replaced, and what that had
    std::vector<Bits> cover;  // the same, with those that it says again under another id
    std::vector<std::string> values;
  };
  struct Row {
    std::string table, pk;
    std::vector<Write> writes;
    std::map<std::tuple<SiteIndex, uint64_t, Hlc>, size_t> dots;
    std::vector<Bits> wrote, lost;  // by cell
  };
  struct Look;  // one row of one view: oracle.cpp

  Row& row_of(const std::string& table, const std::string& key, const std::string& pk);
  int64_t find(const Mind& mind, const Row& row, const SeenVersion& version) const;
  size_t add(Mind* mind, Row* row, Write write, const std::set<Hlc>& clocks);
  // The writes that a version is, or stands for; none: nobody knows it.
  Bits writes_of(const Mind& mind, const Row& row, size_t cell, const SeenVersion& version) const;
  void melt(Mind* mind, const View& view);
  void relabel(Mind* mind, const View& view);
  Failure learn(Mind* mind, Look* look, Cause cause);
  Failure check_capture(const Mind& mind, const Look& look) const;
  static bool stays(const Mind& mind, const Look& look, size_t cell, const SeenVersion& version);
  static bool says_again(const Look& look, size_t cell, const SeenVersion& version);
  Failure check_row(Mind* mind, const Look& look);
  Failure check_claims(const Look& look, const std::vector<Bits>& covered,
                       const Mind& mind) const;
  Failure check_shown(const Look& look, const std::vector<Bits>& covered, bool beside) const;
  bool expect_alive(const Row& row, const Bits& here, OnDelete on_delete, bool otherwise) const;
  Failure wrong(const char* kind, const Look& look, size_t cell, const std::string& what) const;
  std::string named(const Write& write) const;

  Words& words_;
  std::map<std::pair<std::string, std::string>, Row> rows_;  // table, encode_key
  std::map<std::string, std::vector<bool>> retired_;
  bool full_ = false, overflowed_ = false;
};

}  // namespace syncline::simulate
