// Sessions between two databases in memory (session.cpp, and the names of status.cpp): both
// directions, breaking off and going on, and what is refused before anything moves.
#include <algorithm>

#include "support/two_sites.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

Status sync(Database* local, Database* remote, SessionReport* report,
            const SessionOptions& options = {},
            const std::function<Status(const SessionReport&)>& progress = {}) {
  MemoryEndpoint here(&local->port), there(&remote->port);
  return run_session(&here, &there, options, progress, report);
}

}  // namespace

TEST_CASE("session: one call brings both sides together", "[session][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  b.add_item(2, "two", 20);
  SessionReport report;
  REQUIRE(sync(&a, &b, &report).ok());
  CHECK(a.has_item(2));
  CHECK(b.has_item(1));
  CHECK(report.pulled.rows == 1);
  CHECK(report.pushed.rows == 1);
  CHECK(report.applied_here == 1);
  CHECK(report.applied_there == 1);
  CHECK(report.peer_site == to_hex(b.port.id()));
  CHECK(report.peer_vector == b.vector());
}

TEST_CASE("session: a second call moves no rows", "[session][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  b.add_item(2, "two", 20);
  SessionReport report;
  REQUIRE(sync(&a, &b, &report).ok());
  REQUIRE(sync(&a, &b, &report).ok());
  CHECK(report.pulled.rows == 0);
  CHECK(report.pushed.rows == 0);
}

TEST_CASE("session: pull and push move one way", "[session][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  b.add_item(2, "two", 20);
  SessionOptions options;
  options.direction = Direction::pull;
  SessionReport report;
  REQUIRE(sync(&a, &b, &report, options).ok());
  CHECK(a.has_item(2));
  CHECK_FALSE(b.has_item(1));
  options.direction = Direction::push;
  REQUIRE(sync(&a, &b, &report, options).ok());
  CHECK(b.has_item(1));
}

TEST_CASE("session: what broke off goes on where it stopped", "[session][unit]") {
  Database a(1), b(2);
  for (int64_t id = 0; id < 10; ++id)
    a.add_item(id, "item", id);
  SessionOptions options;
  options.export_options.body_bytes_max = 1;
  SessionReport report;
  const Status broken = sync(&b, &a, &report, options, [](const SessionReport& so_far) {
    return so_far.pulled.chunks < 4 ? Status() : Status(StatusCode::peer_failed, "gone");
  });
  CHECK(broken.code() == StatusCode::peer_failed);
  CHECK(b.has_item(3));
  CHECK_FALSE(b.has_item(4));
  REQUIRE(sync(&b, &a, &report, options).ok());
  CHECK(report.pulled.rows == 6);
  CHECK(b.has_item(9));
  CHECK(b.port.data().incoming.empty());
}

TEST_CASE("session: a token that means nothing any more starts the exchange anew",
          "[session][unit]") {
  Database a(1), b(2);
  for (int64_t id = 0; id < 4; ++id)
    a.add_item(id, "item", id);
  REQUIRE(b.apply(a.export_for(b.vector(), {}, 1).bytes).ok());
  a.port.enable({{"apple", {{"id", "integer"}}, {0}}, {}, {}, {}, 0, {}});
  SessionReport report;
  REQUIRE(sync(&b, &a, &report).ok());
  CHECK(b.has_item(3));
  CHECK(b.port.data().incoming.empty());
}

TEST_CASE("session: a database does not synchronise with itself or its copy", "[session][unit]") {
  Database a(1);
  Database copy = a;
  SessionReport report;
  CHECK(sync(&a, &copy, &report).code() == StatusCode::identity);
}

TEST_CASE("session: clocks too far apart are refused, whichever is ahead", "[session][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  b.port.set_clock(b.port.now_ms() + limits::drift_ms_max_default + 1000);
  SessionReport report;
  CHECK(sync(&a, &b, &report).code() == StatusCode::clock_drift);
  CHECK(sync(&b, &a, &report).code() == StatusCode::clock_drift);
  CHECK(report.peer_clock_ahead_ms < 0);
  CHECK_FALSE(b.has_item(1));
}

TEST_CASE("session: differences of schema are told in advance", "[session][unit]") {
  Database a(1), b(2, false);
  TableRules other = without_column(item_rules(), "n");
  other.schema.columns[1].type = "integer";
  b.port.enable(other);
  SessionReport report;
  REQUIRE(sync(&a, &b, &report).ok());
  const auto mentions = [&](const std::string& what) {
    return std::any_of(report.warnings.begin(), report.warnings.end(), [&](const auto& warning) {
      return warning.find(what) != std::string::npos;
    });
  };
  CHECK(mentions("item.n"));
  CHECK(mentions("item.name"));
}

TEST_CASE("session: a hello comes back from its JSON", "[session][unit]") {
  Database a(1), b(2);
  for (int64_t id = 0; id < 3; ++id)
    a.add_item(id, "item \"quoted\"", id);
  REQUIRE(b.apply(a.export_for(b.vector(), {}, 1).bytes).ok());
  Hello hello, back;
  MemoryEndpoint there(&b.port);
  REQUIRE(there.hello(&hello).ok());
  REQUIRE(hello_from_json(hello_to_json(hello), &back).ok());
  CHECK(back.site == to_hex(b.port.id()));
  CHECK(back.engine == "memory");
  CHECK(back.now_ms == hello.now_ms);
  REQUIRE(back.tables.size() == 2);
  CHECK(back.tables[1].key == std::vector<uint32_t>{0, 1});
  CHECK(back.tables[0].columns[1].type == "text");
  CHECK(back.unfinished == hello.unfinished);
  CHECK(back.unfinished.size() == 1);
}

TEST_CASE("session: a malformed hello is the peer's fault", "[session][unit]") {
  Hello hello;
  for (const char* json : {"", "[]", "{}", "{\"protocol\": \"one\"}", "not json"}) {
    CHECK(hello_from_json(json, &hello).code() == StatusCode::peer_failed);
  }
  const auto with = [&](const std::string& what) {
    const std::string json = R"({"site": "x", "tables": [], "unfinished": {}, )" + what + "}";
    return hello_from_json(json, &hello);
  };
  CHECK(with(R"("protocol": 1, "now_ms": 5, "vector": {"x": [1, 2]})").ok());
  CHECK_FALSE(with(R"("protocol": 1e300, "now_ms": 5, "vector": {})").ok());
  CHECK_FALSE(with(R"("protocol": 1, "now_ms": -1, "vector": {})").ok());
  CHECK_FALSE(with(R"("protocol": 1, "now_ms": 5, "vector": {"x": [[1]]})").ok());
  // What walks a document calls itself for every level: a million of them end a program.
  const std::string deep = std::string(1000000, '[') + std::string(1000000, ']');
  CHECK_FALSE(with(R"("protocol": 1, "now_ms": 5, "vector": )" + deep).ok());
  CHECK_FALSE(with(R"("protocol": 1, "now_ms": 5, "vector": {}, "more": )" + deep).ok());
  SessionOptions options;
  CHECK_FALSE(session_options_from_json(R"({"direction": )" + deep + "}", &options).ok());
}

TEST_CASE("session: options name what is wrong", "[session][unit]") {
  SessionOptions options;
  CHECK(session_options_from_json(R"({"direction": "push", "max_bytes": 4096})", &options).ok());
  CHECK(options.direction == Direction::push);
  CHECK(options.export_options.body_bytes_max == 4096);
  CHECK_FALSE(session_options_from_json(R"({"direction": "up"})", &options).ok());
  const Status unknown = session_options_from_json(R"({"directon": "up"})", &options);
  CHECK(unknown.hint().find("direction") != std::string::npos);
}

TEST_CASE("session: options of sync_start are an interval and those of its sessions",
          "[session][unit]") {
  BackgroundOptions options;
  CHECK(background_options_from_json("", &options).ok());
  CHECK(options.interval_ms == 30'000);
  CHECK(options.session == "{}");
  CHECK(options.direction == Direction::both);
  CHECK(background_options_from_json(
            R"({"direction": "pull", "interval_ms": 100, "max_bytes": 4096})", &options)
            .ok());
  CHECK(options.interval_ms == 100);
  CHECK(options.session == R"({"direction":"pull","max_bytes":4096})");
  CHECK(options.direction == Direction::pull);
  SessionOptions session;
  CHECK(session_options_from_json(options.session, &session).ok());
  for (const char* wrong : {R"({"interval_ms": 99})", R"({"interval_ms": 86400001})",
                            R"({"interval_ms": "1000"})", R"({"interval_ms": -1})",
                            R"({"interval_ms": 1e3})", R"({"direction": "up"})", "[]", "7"}) {
    INFO(wrong);
    const Status status = background_options_from_json(wrong, &options);
    CHECK_FALSE(status.ok());
    CHECK(status.message().find("sync_start") != std::string::npos);
  }
  const Status unknown = background_options_from_json(R"({"intervall_ms": 1})", &options);
  CHECK(unknown.hint().find("interval_ms") != std::string::npos);
}

TEST_CASE("session: after failures in a row sync_start rests longer and longer",
          "[session][unit]") {
  std::vector<uint64_t> rests;
  for (uint64_t failures = 1; failures <= 8; ++failures)
    rests.push_back(background_rest_ms(failures, 600'000));
  CHECK(rests == std::vector<uint64_t>{1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000});
  CHECK(background_rest_ms(1'000'000'000, 600'000) == 60'000);
  CHECK(background_rest_ms(6, 5'000) == 5'000);
  CHECK(background_rest_ms(6, 100) == 1'000);
}

TEST_CASE("session: its report is JSON", "[session][unit]") {
  SessionReport report;
  report.peer_name = "hub";
  report.pulled = {3, 400, 1};
  const std::string json = report_to_json(report, 1.26);
  CHECK(json.find("\"pulled\":{\"rows\":3,\"bytes\":400,\"chunks\":1}") != std::string::npos);
  CHECK(json.find("\"duration_ms\":1.3") != std::string::npos);
}

TEST_CASE("status: every code has a name of its own", "[status][unit]") {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(StatusCode::internal); ++code) {
    names.insert(status_code_name(static_cast<StatusCode>(code)));
  }
  CHECK(names.size() == static_cast<size_t>(StatusCode::internal) + 1);
  CHECK(status_code_name(StatusCode::gap) == "gap");
}
