// Goal: whatever sync_apply is given, it applies whole or changes nothing, and says which. Method:
// a real chunk, cut short, with bits flipped and bytes replaced, its checksum made right again, is
// applied to a database in memory; run under the sanitizers by `make asan`.
#include <sqlite3.h>

#include <random>

#include "support/catch.hpp"
#include "syncline/codec.h"

extern "C" int sqlite3_syncline_init(sqlite3* db, char** error,
                                     const sqlite3_api_routines* routines);

namespace syncline::test {
namespace {

class Database {
 public:
  Database() {
    REQUIRE(sqlite3_open(":memory:", &db_) == SQLITE_OK);
    REQUIRE(sqlite3_syncline_init(db_, nullptr, nullptr) == SQLITE_OK_LOAD_PERMANENTLY);
    run("PRAGMA foreign_keys = ON;"
        "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, code INTEGER UNIQUE, data BLOB);"
        "CREATE TABLE part(item_id INTEGER REFERENCES item, line TEXT, price NUMERIC,"
        "  PRIMARY KEY (item_id, line));"
        "SELECT sync_enable('item', '{\"triggers\": \"fire\"}'); SELECT sync_enable('part');");
  }
  ~Database() { sqlite3_close(db_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const std::string& sql) {
    char* error = nullptr;
    const int rc = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &error);
    INFO(sql << ": " << (error != nullptr ? error : ""));
    REQUIRE(rc == SQLITE_OK);
    sqlite3_free(error);
  }
  // The first value; `blob` is ?1. *ok false: an error, whose message is returned.
  std::string value(const std::string& sql, const std::string& blob = {}, bool* ok = nullptr) {
    sqlite3_stmt* s = nullptr;
    REQUIRE(sqlite3_prepare_v2(db_, sql.c_str(), -1, &s, nullptr) == SQLITE_OK);
    if (sqlite3_bind_parameter_count(s) > 0) {
      sqlite3_bind_blob64(s, 1, blob.data(), blob.size(), SQLITE_STATIC);
    }
    const bool row = sqlite3_step(s) == SQLITE_ROW;
    if (ok != nullptr) *ok = row;
    std::string out;
    if (row && sqlite3_column_blob(s, 0) != nullptr) {
      out.assign(static_cast<const char*>(sqlite3_column_blob(s, 0)),
                 static_cast<size_t>(sqlite3_column_bytes(s, 0)));
    } else if (!row) {
      out = sqlite3_errmsg(db_);
    }
    sqlite3_finalize(s);
    return out;
  }
  // Everything that applying may change.
  std::string content() {
    return value(
        "SELECT (SELECT group_concat(quote(id)||quote(name)||quote(code)||quote(data)) FROM item)"
        "||(SELECT coalesce(group_concat(quote(item_id)||quote(line)||quote(price)),'') FROM part)"
        "||(SELECT group_concat(site||' '||seq||' '||hlc) FROM sync_vector)"
        "||(SELECT count(*)||' '||total(seq) FROM sync_state_1)"
        "||(SELECT count(*) FROM sync_relay)||(SELECT count(*) FROM sync_log)"
        "||(SELECT count(*) FROM sync_incoming)||(SELECT count(*) FROM sync_site)"
        "||(SELECT count(*) FROM sync_table)||(SELECT count(*) FROM sync_conflict)");
  }

 private:
  sqlite3* db_ = nullptr;
};

class Attack {
 public:
  Attack() {
    sender_.run(
        "INSERT INTO item VALUES(1,'one',10,x'00ff'),(2,'two',20,NULL),(3,NULL,30,zeroblob(40)),"
        "(4,'four',-40,1.5); INSERT INTO part VALUES(1,'a',1.25),(2,'b','12.30');");
    receiver_.value("SELECT sync_apply(?1)", chunk());
    receiver_.run(
        "UPDATE item SET name='here' WHERE id=1; DELETE FROM item WHERE id=4;"
        "INSERT INTO item VALUES(6,'six',60,NULL)");
    sender_.run(
        "PRAGMA foreign_keys = OFF; UPDATE item SET name='there', code=60 WHERE id=1; DELETE FROM "
        "part WHERE line='a';"
        "UPDATE item SET data=x'01' WHERE id=4; INSERT INTO item VALUES(5,'five',50,'t');"
        "INSERT INTO part VALUES(9,'no parent',NULL)");
    receiver_.value("SELECT sync_hello()");  // folds
    good_ = chunk();
    before_ = receiver_.content();
    REQUIRE(good_.size() > 100);
    REQUIRE_FALSE(before_.empty());
  }
  const std::string& good() const { return good_; }

  // Applies the chunk and takes it back. Returns whether it was accepted.
  bool apply(const std::string& bytes) {
    receiver_.run("BEGIN");
    bool ok = false;
    const std::string said = receiver_.value("SELECT sync_apply(?1)", bytes, &ok);
    CHECK_FALSE(said.empty());
    if (!ok) CHECK(receiver_.content() == before_);
    receiver_.run("ROLLBACK");
    return ok;
  }
  // With a checksum that is right.
  bool apply_sealed(std::string bytes) {
    if (bytes.size() < 16) return apply(bytes);
    bytes.resize(bytes.size() - 16);
    return apply(bytes + hash128(bytes));
  }
  void check_alive() {
    CHECK(apply(good_));
    CHECK(receiver_.value("PRAGMA integrity_check") == "ok");
    CHECK(receiver_.content() == before_);
  }

 private:
  std::string chunk() {
    return sender_.value("SELECT changes FROM sync_changes_since('{}','{\"compress\":\"none\"}')");
  }

  Database sender_, receiver_;
  std::string good_, before_;
};

}  // namespace

TEST_CASE("sync_apply: a chunk cut short changes nothing", "[sqlite][hostile]") {
  Attack attack;
  for (size_t size = 0; size < attack.good().size(); ++size) {
    INFO("cut to " << size);
    CHECK_FALSE(attack.apply(attack.good().substr(0, size)));
    attack.apply_sealed(attack.good().substr(0, size));
  }
  attack.check_alive();
}

TEST_CASE("sync_apply: flipped bits change nothing, or apply whole", "[sqlite][hostile]") {
  Attack attack;
  std::mt19937 random(1);
  for (size_t at = 0; at < attack.good().size(); ++at) {
    INFO("byte " << at);
    std::string bytes = attack.good();
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    CHECK_FALSE(attack.apply(bytes));
    attack.apply_sealed(bytes);
  }
  attack.check_alive();
}

TEST_CASE("sync_apply: hostile bytes change nothing, or apply whole", "[sqlite][hostile]") {
  Attack attack;
  std::mt19937 random(2);
  for (int trial = 0; trial < 1500; ++trial) {
    INFO("trial " << trial);
    std::string bytes = attack.good();
    for (unsigned i = 0; i <= random() % 4; ++i) {
      const size_t at = random() % (bytes.size() - 16);
      const size_t count = std::min<size_t>(random() % 4, bytes.size() - 16 - at);
      const char fill = static_cast<char>(random() % 3 == 0 ? 0xff : random());
      bytes.replace(at, count, std::string(random() % 6, fill));
    }
    attack.apply_sealed(bytes);
  }
  attack.check_alive();
}

}  // namespace syncline::test
