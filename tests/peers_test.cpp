// Goal: what peers say to each other survives the way, and no password is ever shown. Method: URLs
// of every shape, the SQLSTATE table in both directions, JSON there and back.
#include <set>
#include <string>

#include "peers/peer_json.h"
#include "peers/postgres_peer.h"
#include "peers/postgres_url.h"
#include "peers/sqlstate.h"
#include "support/catch.hpp"

using namespace syncline;

TEST_CASE("peers: a URL is shown without its password, however it is written", "[peers][unit]") {
  const std::pair<const char*, const char*> cases[] = {
      {"postgresql://u:p@h/d", "postgresql://u:***@h/d"},
      {"postgresql://u@h/d", "postgresql://u@h/d"},
      {"postgresql://u:p?w@x@h:1/d?a=b", "postgresql://u:***@h:1/d?a=b"},
      {"postgresql://h/d?password=x&sslmode=a", "postgresql://h/d?password=***&sslmode=a"},
      {"postgresql://h/d?p%61ssword=x", "postgresql://h/d?p%61ssword=***"},
      {"postgresql://u:p@h/d?sslpassword=z", "postgresql://u:***@h/d?sslpassword=***"},
      {"postgresql:///d?host=/tmp&password:secret", "postgresql:///d?host=/tmp&password=***"},
      {"host=x password=abc user=u", "host=x password=*** user=u"},
      {"host=x password = 'a b' user=u", "host=x password = *** user=u"},
      {"postgresq://u:p@h/d", "postgresq://u:***@h/d"},
      {"http://u:p@h/d?password=x", "http://u:***@h/d?password=***"},
      {"postgresql//u:p/w@h/d", "postgresql//u:***@h/d"},
      {"u:p@h/d", "u:***@h/d"},
      {"host=x password=a:b@c user=u", "host=x password=*** user=u"},
      {"file:x.db?mode=ro", "file:x.db?mode=ro"},
      {"file:///a/x.db?mode=ro", "file:///a/x.db?mode=ro"},
      {"other.db", "other.db"},
      {"", ""},
  };
  for (const auto& [url, shown] : cases)
    CHECK(mask_password(url) == shown);
}

TEST_CASE("peers: only postgresql: URLs are taken for servers", "[peers][unit]") {
  CHECK(is_postgres_url("postgresql://h/d"));
  CHECK(is_postgres_url("postgres://h/d"));
  CHECK(!is_postgres_url("postgres.db"));
  CHECK(!is_postgres_url("/var/postgresql:x"));
  CHECK(!is_postgres_url(""));
}

TEST_CASE("peers: keep=1 is taken out of a URL, and nothing else is", "[peers][unit]") {
  struct {
    const char *url, *plain;
    bool keep;
  } const cases[] = {
      {"postgresql://h/d", "postgresql://h/d", false},
      {"postgresql://h/d?keep=1", "postgresql://h/d", true},
      {"postgres://h/d?keep=0", "postgres://h/d", false},
      {"postgresql:///d?host=/tmp&keep=1", "postgresql:///d?host=/tmp", true},
      {"postgresql:///d?keep=1&host=/tmp", "postgresql:///d?host=/tmp", true},
      {"postgresql:///d?a=b&keep=1&c=d", "postgresql:///d?a=b&c=d", true},
      {"postgresql:///d?keep=2", "postgresql:///d?keep=2", false},
      {"postgresql:///d?xkeep=1&keep=11", "postgresql:///d?xkeep=1&keep=11", false},
      {"postgresql://keep=1@h/d", "postgresql://keep=1@h/d", false},
      {"postgresql://h/d?", "postgresql://h/d?", false},
      {"file:x?keep=1", "file:x?keep=1", false},
  };
  for (const auto& one : cases) {
    std::string url = one.url;
    CHECK(take_keep(&url) == one.keep);
    CHECK(url == one.plain);
  }
}

TEST_CASE("peers: status codes come back from their SQLSTATE", "[peers][unit]") {
  std::set<std::string> seen;
  for (const StatusCode code :
       {StatusCode::ok, StatusCode::invalid_argument, StatusCode::corrupt_input,
        StatusCode::unsupported_version, StatusCode::limit_exceeded, StatusCode::schema_mismatch,
        StatusCode::gap, StatusCode::clock_drift, StatusCode::identity, StatusCode::busy,
        StatusCode::refused, StatusCode::peer_failed}) {
    const std::string state = sqlstate_of(code);
    CHECK(state.size() == 5);
    CHECK(seen.insert(state).second);
    CHECK(code_of_sqlstate(state) == code);
  }
  CHECK(code_of_sqlstate("40P01") == StatusCode::busy);
  CHECK(code_of_sqlstate("40001") == StatusCode::busy);
  CHECK(code_of_sqlstate("28P01") == StatusCode::refused);
  CHECK(code_of_sqlstate("08001") == StatusCode::peer_failed);
  CHECK(code_of_sqlstate("57014") == StatusCode::peer_failed);
  CHECK(code_of_sqlstate("") == StatusCode::peer_failed);
}

TEST_CASE("peers: options and reports come back from their JSON", "[peers][unit]") {
  ExportOptions options;
  options.body_bytes_max = 4711;
  options.compression = Compression::lz4;
  ExportOptions read_options;
  std::string resume;
  REQUIRE(export_options_from_json(export_options_to_json(options, "00ff"), &read_options, &resume)
              .ok());
  CHECK(read_options.body_bytes_max == 4711);
  CHECK(read_options.compression == Compression::lz4);
  CHECK(resume == "00ff");

  ApplyReport report;
  report.applied = 3;
  report.quarantined = 2;
  report.conflicts = 1;
  report.resume = "abcd";
  ApplyReport read_report;
  REQUIRE(report_from_json(report_to_json(report), &read_report).ok());
  CHECK(read_report.applied == 3);
  CHECK(read_report.quarantined == 2);
  CHECK(read_report.conflicts == 1);
  CHECK(!read_report.complete);
  CHECK(read_report.resume == "abcd");
  for (const char* bad :
       {"", "[]", "{}", "{\"complete\": 1}", "{\"complete\": true, \"sender\": \"x\"}"}) {
    CHECK(report_from_json(bad, &read_report).code() == StatusCode::peer_failed);
  }
}

TEST_CASE(
    "peers: a server that is not there, and a URL that is none, are named without the password",
    "[peers][unit]") {
  PostgresPeerOptions options;
  options.wait = poll_wait({});
  options.connect_timeout_ms = 2000;
  std::unique_ptr<PostgresEndpoint> peer;
  const Status down = connect_postgres("postgresql://u:secret@127.0.0.1:1/x", options, &peer);
  if (down.code() == StatusCode::refused) return;  // libpq is not installed here
  CHECK(down.code() == StatusCode::peer_failed);
  CHECK(down.message().find("secret") == std::string::npos);
  const Status malformed = connect_postgres("postgresql://u:secret@[h/x", options, &peer);
  CHECK(malformed.code() == StatusCode::invalid_argument);
  CHECK(malformed.message().find("secret") == std::string::npos);
  options.password_required = true;
  CHECK(connect_postgres("postgresql://u@127.0.0.1:1/x", options, &peer).code() ==
        StatusCode::refused);
}

TEST_CASE("peers: a wait ends when it is interrupted", "[peers][unit]") {
  bool ready = true;
  SocketWait wait;
  wait.timeout_ms = 60'000;
  CHECK(poll_wait([] { return true; })(wait, &ready).code() == StatusCode::cancelled);
  wait.timeout_ms = 1;
  CHECK(poll_wait([] { return false; })(wait, &ready).ok());
  CHECK(!ready);
}
