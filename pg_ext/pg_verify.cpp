// Answering the questions of a verification (syncline/verify.h). Nothing here throws into C.
#include <memory>
#include <string>

#include "pg_ext/pg_port.h"
#include "pg_ext/sl_check.h"
#include "pg_ext/sl_verify.h"
#include "syncline/check.h"
#include "syncline/fold.h"
#include "syncline/verify.h"

namespace syncline::pg {

namespace {

static_assert(SL_ASKS_SUMS == static_cast<int>(Question::sums));
static_assert(SL_ASKS_ROWS == static_cast<int>(Question::rows));
static_assert(SL_ASKS_REWRITE == static_cast<int>(Question::rewrite));

// What outlives a call: its result, and what the session's questions build on.
struct Kept {
  std::string answer, digest;
  KeptSums sums;
};
Kept& kept() {
  static Kept object;
  return object;
}

class PgVerifyHost final : public VerifyHost {
 public:
  explicit PgVerifyHost(bool write = false) : port_(write) {}
  Status finish() { return port_.finish(); }

  Port& port() override { return port_; }

  Status check_access(const TableInfo& table) override {
    SlRows rows = {};
    rows.number = table.number;
    return guard(sl_leaf_rows_check, &rows);
  }

  Status scan_base(const TableInfo& table, const KeyFilter& wants,
                   const RowVisitor& visit) override {
    std::vector<Value> row(table.column_count());
    SlRows rows = {};
    rows.number = table.number;
    rows.values = reinterpret_cast<SlValue*>(row.data());
    SYNCLINE_TRY(guard(sl_leaf_rows_open, &rows));
    for (;;) {
      SYNCLINE_TRY(guard(sl_leaf_rows_next, &rows));
      if (!rows.found) break;
      const RowKey key(reinterpret_cast<const Value*>(rows.key), table.key.size());
      if (wants && !wants(key)) continue;
      SYNCLINE_TRY(guard(sl_leaf_rows_values, &rows));
      SYNCLINE_TRY(visit(key, row));
    }
    return guard(sl_leaf_rows_close, &rows);
  }

  Status load_sums(const TableInfo& table, const std::string& plan, StoredSums* out) override {
    SlDigest digest = {};
    digest.table = table.number;
    digest.plan = bytes(plan);
    SYNCLINE_TRY(guard(sl_leaf_digest_load, &digest));
    *out = StoredSums();
    if (digest.sums.data == nullptr) return {};
    out->packed = view(digest.sums);
    for (uint32_t i = 0; i < digest.changed_count; ++i) {
      out->changed.emplace_back(view(digest.changed[i]));
    }
    return {};
  }

  Status save_sums(const TableInfo& table, const std::string& plan,
                   const std::string& packed) override {
    SlDigest digest = {};
    digest.table = table.number;
    digest.plan = bytes(plan);
    digest.sums = bytes(packed);
    return guard(sl_leaf_digest_save, &digest);
  }

  Status list_plans(const TableInfo& table, std::vector<std::string>* out) override {
    SlPlans plans = {};
    plans.table = table.number;
    SYNCLINE_TRY(guard(sl_leaf_digest_plans, &plans));
    for (uint32_t i = 0; i < plans.count; ++i)
      out->emplace_back(view(plans.plans[i]));
    return {};
  }

  Status forget_sums(const TableInfo& table) override {
    SlDigest digest = {};
    digest.table = table.number;
    return guard(sl_leaf_digest_forget, &digest);
  }

  Status rewrite_rows(const TableInfo& table, std::span<const Rewrite> rows) override {
    std::vector<std::string> keys;
    std::vector<SlRewriteRow> writes;
    keys.reserve(rows.size());
    for (const Rewrite& row : rows) {
      int64_t mask = 0;
      for (const ColumnNumber c : row.columns) {
        mask |= c < kMaskColumns ? int64_t{1} << c : kMaskMany;
      }
      keys.push_back(encode_key(row.key));
      writes.push_back({bytes(keys.back()), row.columns.empty() ? kMaskAll : mask, false});
    }
    std::vector<SlBytes> encoded;
    for (const SlRewriteRow& row : writes)
      encoded.push_back(row.key);
    const auto exists = std::make_unique<bool[]>(writes.size());
    SlProbe probe = {};
    probe.table = table.number;
    probe.count = static_cast<uint32_t>(encoded.size());
    probe.keys = encoded.data();
    probe.exists = exists.get();
    SYNCLINE_TRY(guard(sl_leaf_probe, &probe));
    for (size_t i = 0; i < writes.size(); ++i)
      writes[i].exists = exists[i];
    SlRewrite rewrite = {table.number, writes.data(), static_cast<uint32_t>(writes.size())};
    return guard(sl_leaf_rewrite, &rewrite);
  }

 private:
  PgPort port_;
};

}  // namespace

}  // namespace syncline::pg

using namespace syncline;
using namespace syncline::pg;

int slb_question(SlBytes question, SlStatus* status) {
  Question kind = Question::sums;
  bounded(status, [&] { return question_of(view(question), &kind); });
  return static_cast<int>(kind);
}

SlBytes slb_answer(SlBytes question, SlStatus* status) {
  bounded(status, [&]() -> Status {
    PgVerifyHost host;
    SYNCLINE_TRY(answer_question(&host, &kept().sums, view(question), &kept().answer));
    return host.finish();
  });
  return bytes(kept().answer);
}

SlBytes slb_digest(SlBytes table, SlStatus* status) {
  bounded(status, [&]() -> Status {
    PgVerifyHost host;
    SYNCLINE_TRY(digest_table(&host, std::string(view(table)), &kept().digest));
    return host.finish();
  });
  return bytes(kept().digest);
}

void slb_check_options(SlBytes json, SlCheckOptions* options, SlStatus* status) {
  bounded(status, [&]() -> Status {
    CheckOptions parsed;
    SYNCLINE_TRY(check_options_from_json(view(json), &parsed));
    *options = {parsed.deep, parsed.repair, parsed.prefer_state};
    return {};
  });
}

void slb_check(const SlCheckOptions* options, void* target, SlStatus* status) {
  bounded(status, [&]() -> Status {
    const CheckOptions wanted = {options->deep, options->repair, options->prefer_state};
    PgVerifyHost host(options->repair && options->prefer_state);
    std::vector<Finding> findings;
    SYNCLINE_TRY(check_rows(&host, wanted, &findings));
    SYNCLINE_TRY(host.finish());
    for (const Finding& finding : findings) {
      SlFinding line = {target, bytes(finding.severity), bytes(finding.table), bytes(finding.what),
                        bytes(finding.repair)};
      SYNCLINE_TRY(guard(sl_leaf_put_finding, &line));
    }
    return {};
  });
}

void slb_invariant_options(SlBytes json, char* expect, bool* refuse, SlStatus* status) {
  bounded(status, [&]() -> Status {
    std::string expected;
    SYNCLINE_TRY(invariant_options_from_json(view(json), &expected, refuse));
    *expect = expected.empty() ? '\0' : expected[0];
    return {};
  });
}

void slb_check_verify_options(SlBytes options, bool repair, SlStatus* status) {
  bounded(status, [&] {
    VerifyOptions parsed;
    return verify_options_from_json(view(options), repair, &parsed);
  });
}
