// Private: a comparison under way. verify.cpp finds the rows that differ, repair.cpp acts on them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "verify_messages.h"

namespace syncline {

// A row that may differ: how each side spells its key. One of the two may be empty.
struct Suspect {
  std::string here, there;
  const std::string& local() const { return here.empty() ? there : here; }
  const std::string& remote() const { return there.empty() ? here : there; }
};

// What both sides say about one row that differs.
struct Difference {
  Suspect suspect;
  RowVerdict verdict = RowVerdict::different;
  RowFacts here, there;
};

class VerifyRun {
 public:
  VerifyRun(Endpoint* local, Endpoint* remote, const VerifyOptions& options, VerifyReport* report)
      : local_(*local), remote_(*remote), options_(options), report_(*report) {}

  using Visitor = std::function<Status(const DigestPlan& plan, Difference difference)>;
  // Compares everything; `visit` gets each row that differs.
  Status run(const Visitor& visit);
  // Looks at single rows again: `visit` gets those that differ now.
  Status examine(const DigestPlan& plan, const std::vector<Suspect>& suspects,
                 const Visitor& visit);
  // Has one side write rows anew.
  Status rewrite(bool here, const RowsQuestion& question);

  const SiteTable& sites() const { return sites_; }
  std::string pk_json(const DigestPlan& plan, const std::string& key) const;

 private:
  struct Range {
    unsigned bits = 0;
    uint64_t prefix = 0, here = 0, there = 0;  // rows
  };
  Status meet();
  Status plan_tables(std::vector<DigestPlan>* plans, std::vector<size_t>* places);
  Status refuse_unknown_table() const;
  Status compare_tables(const std::vector<DigestPlan>& plans, const std::vector<size_t>& places,
                        const Visitor& visit);
  Status compare_table(const DigestPlan& plan, Range whole, const Visitor& visit);
  Status split(const DigestPlan& plan, const std::vector<Range>& ranges, std::vector<Range>* out);
  Status split_some(const DigestPlan& plan, std::span<const Range> ranges, std::vector<Range>* out);
  Status compare_leaves(const DigestPlan& plan, const std::vector<Range>& leaves,
                        const Visitor& visit);
  Status compare_rows(const DigestPlan& plan, std::span<const Range> leaves,
                      std::vector<Suspect>* out);
  Status examine_some(const DigestPlan& plan, std::span<const Suspect> suspects,
                      const Visitor& visit);
  Status ask(const std::string& question, std::string* answer);
  Status ask_both(const std::string& question, std::string* here, std::string* there);

  Endpoint& local_;
  Endpoint& remote_;
  const VerifyOptions& options_;
  VerifyReport& report_;
  Hello mine_, theirs_;
  SiteTable sites_;
};

}  // namespace syncline
