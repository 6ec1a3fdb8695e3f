// Comparing and repairing two databases in memory, and answers to damaged questions: verify.cpp,
// verify_answer.cpp, verify_messages.cpp, repair.cpp and check.cpp.
#include "syncline/verify.h"

#include "support/two_sites.hpp"
#include "syncline/check.h"

using namespace syncline;
using namespace syncline::test;

namespace {

// A database in memory as one that answers. Sums are kept as a host keeps them, and every row that
// was written since counts as changed.
class MemoryHost final : public VerifyHost {
 public:
  explicit MemoryHost(MemoryPort* port) : port_(*port) {}
  Port& port() override { return port_; }

  Status scan_base(const TableInfo& table, const KeyFilter& wants,
                   const RowVisitor& visit) override {
    ++scans;
    for (const auto& [bytes, row] : port_.table(table.name)->base) {
      std::vector<Value> key, values;
      for (const OwnedValue& v : row.key)
        key.push_back(v.view());
      for (const OwnedValue& v : row.values)
        values.push_back(v.view());
      values.resize(table.columns.size());
      if (!wants || wants(key)) SYNCLINE_TRY(visit(key, values));
    }
    return {};
  }
  Status load_sums(const TableInfo& table, const std::string& plan, StoredSums* out) override {
    const auto stored = sums.find({table.number, plan});
    if (stored == sums.end()) return {};
    out->packed = stored->second.first;
    const MemoryData& data = port_.data();
    for (size_t i = stored->second.second.first; i < data.log.size(); ++i) {
      if (data.log[i].table == table.number) out->changed.push_back(data.log[i].key);
    }
    for (size_t i = stored->second.second.second; i < data.relay.size(); ++i) {
      if (data.relay[i].first == table.number) out->changed.push_back(data.relay[i].second);
    }
    return {};
  }
  Status save_sums(const TableInfo& table, const std::string& plan,
                   const std::string& packed) override {
    sums[{table.number, plan}] = {packed, {port_.data().log.size(), port_.data().relay.size()}};
    return {};
  }
  Status forget_sums(const TableInfo&) override {
    sums.clear();
    return {};
  }
  Status list_plans(const TableInfo& table, std::vector<std::string>* out) override {
    for (const auto& [place, stored] : sums) {
      if (place.first == table.number) out->push_back(place.second);
    }
    return {};
  }
  Status rewrite_rows(const TableInfo& table, std::span<const Rewrite> rows) override {
    for (const Rewrite& row : rows) {
      std::vector<std::pair<std::string, Value>> values;
      const BaseRow& base = port_.table(table.name)->base.at(encode_key(row.key));
      for (ColumnNumber c = 0; c < table.column_count(); ++c) {
        const auto& wanted = row.columns;
        const bool named =
            wanted.empty() || std::find(wanted.begin(), wanted.end(), c) != wanted.end();
        if (named && !table.is_key(c)) {
          values.emplace_back(table.columns[c].name, base.values[c].view());
        }
      }
      port_.update(table.name, row.key, values);
    }
    return {};
  }

  uint64_t scans = 0;

 private:
  MemoryPort& port_;
  std::map<std::pair<uint32_t, std::string>, std::pair<std::string, std::pair<size_t, size_t>>>
      sums;
};

class Answering final : public Endpoint {
 public:
  explicit Answering(MemoryPort* port) : port_(*port), endpoint_(port), host(port) {}
  Status hello(Hello* out) override { return endpoint_.hello(out); }
  Status produce(const std::string& vector, const std::string& resume, const ExportOptions& options,
                 ExportedChunk* out) override {
    return endpoint_.produce(vector, resume, options, out);
  }
  Status consume(const std::string& chunk, ApplyReport* out) override {
    return endpoint_.consume(chunk, out);
  }
  Status answer(const std::string& question, std::string* out) override {
    Question kind{};
    SYNCLINE_TRY(question_of(question, &kind));
    port_.fold();
    questions.push_back(question);
    return answer_question(&host, &kept_, question, out);
  }

  std::vector<std::string> questions;

 private:
  MemoryPort& port_;
  MemoryEndpoint endpoint_;
  KeptSums kept_;

 public:
  MemoryHost host;
};

struct Pair {
  Database here{1}, there{2};
  Answering left{&here.port}, right{&there.port};

  explicit Pair(int64_t rows) {
    for (int64_t i = 0; i < rows; ++i)
      here.add_item(i, "name" + std::to_string(i), i);
    here.swap_with(&there);
  }
  VerifyReport verify(const VerifyOptions& options = {}) {
    VerifyReport report;
    const Status status = verify_peer(&left, &right, options, &report);
    INFO(status.message());
    REQUIRE(status.ok());
    return report;
  }
  const TableVerdict& item(const VerifyReport& report) const {
    for (const TableVerdict& table : report.tables) {
      if (table.table == "item") return table;
    }
    throw std::runtime_error("no verdict");
  }
};

}  // namespace

TEST_CASE("verify: equal databases take two rounds, whatever their size", "[verify]") {
  Pair small(3), large(3000);
  const VerifyReport a = small.verify(), b = large.verify();
  CHECK(a.same());
  CHECK(b.same());
  CHECK(b.score() == 1.0);
  CHECK(b.rounds == 2);
  CHECK(b.bytes < a.bytes + 16);  // the counts are longer
  CHECK(large.item(b).same == 3000);
}

TEST_CASE("verify: what is written since is in flight, whoever wrote it", "[verify]") {
  Pair pair(2000);
  pair.here.set(7, "name", text("x"));
  pair.here.erase_item(8);
  pair.there.set(9, "name", text("y"));
  pair.there.add_item(5000, "new", 5000);
  const VerifyReport report = pair.verify();
  CHECK_FALSE(report.same());
  CHECK(report.consistent());
  CHECK_FALSE(report.equal_knowledge);
  CHECK(pair.item(report).in_flight == 4);
  CHECK(pair.item(report).same == 1997);
  pair.here.swap_with(&pair.there);
  CHECK(pair.verify().same());
}

TEST_CASE("verify: rows are read once, and again only where something was written", "[verify]") {
  Pair pair(2000);
  pair.verify();
  const uint64_t first = pair.left.host.scans;
  pair.verify();
  CHECK(pair.left.host.scans == first);
  pair.here.set(7, "name", text("x"));
  pair.here.swap_with(&pair.there);
  CHECK(pair.verify().same());
  CHECK(pair.left.host.scans == first + 1);
  VerifyOptions deep;
  deep.deep = true;
  CHECK(pair.verify(deep).same());
  CHECK(pair.left.host.scans == first + 3);  // both tables
}

TEST_CASE("verify: questions and answers that are cut are refused", "[verify]") {
  Pair pair(500);
  pair.here.set(7, "name", text("x"));
  pair.verify();
  for (const std::string& question : pair.right.questions) {
    for (size_t size = 0; size < question.size(); size += 1 + size / 16) {
      std::string answer;
      KeptSums kept;
      const Status status =
          answer_question(&pair.right.host, &kept, question.substr(0, size), &answer);
      CHECK_FALSE(status.ok());
    }
    for (size_t at = 0; at < question.size(); at += 1 + at / 16) {
      std::string altered = question;
      altered[at] = static_cast<char>(altered[at] ^ 0x55);
      std::string answer;
      KeptSums kept;
      (void)answer_question(&pair.right.host, &kept, altered, &answer).ok();  // must not crash
    }
  }
}

TEST_CASE("verify: options are checked", "[verify]") {
  VerifyOptions options;
  CHECK(verify_options_from_json("{\"deep\": true}", false, &options).ok());
  CHECK(options.deep);
  CHECK_FALSE(verify_options_from_json("{\"deeep\": true}", false, &options).ok());
  CHECK_FALSE(verify_options_from_json("{\"from\": \"local\"}", false, &options).ok());
  CHECK(verify_options_from_json("{\"from\": \"local\"}", true, &options).ok());
  CHECK_FALSE(verify_options_from_json("{\"from\": \"here\"}", true, &options).ok());
  CHECK_FALSE(verify_options_from_json("{\"from\": \"\"}", true, &options).ok());
  CHECK_FALSE(verify_options_from_json("{\"table\": \"\"}", false, &options).ok());
  CheckOptions check;
  CHECK(check_options_from_json("{\"prefer\": \"state\"}", &check).ok());
  CHECK(check.prefer_state);
  CHECK_FALSE(check_options_from_json("{\"prefer\": \"mine\"}", &check).ok());
}
