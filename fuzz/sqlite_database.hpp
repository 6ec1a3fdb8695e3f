// A database in memory with the extension, which the targets apply chunks to: tables with foreign
// keys, a unique column, policies and triggers that fire; some rows, some conflicts.
#pragma once

#include <memory>
#include <string>

#include "fuzz/chunk_maker.hpp"
#include "fuzz/require_that.hpp"
#include "support/sqlite_file.hpp"

namespace syncline::fuzz {

class Database {
 public:
  Database() : db_(":memory:") {
    REQUIRE_THAT(db_.ok());
    must(
        "PRAGMA foreign_keys = ON;"
        "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, code INTEGER UNIQUE, data BLOB);"
        "CREATE TABLE part(item_id INTEGER REFERENCES item, line TEXT, price NUMERIC,"
        "  PRIMARY KEY (item_id, line));"
        "CREATE TABLE noted(id INTEGER PRIMARY KEY, count INTEGER CHECK (count < 1000), tags TEXT,"
        "  doc TEXT, body TEXT NOT NULL DEFAULT 'x');"
        "CREATE TABLE seen(id, name);"
        "CREATE TRIGGER item_seen AFTER INSERT ON item BEGIN"
        "  INSERT INTO seen VALUES(NEW.id, NEW.name); END;"
        "SELECT sync_enable('item', '{\"triggers\": \"fire\"}');"
        "SELECT sync_enable('part'); SELECT sync_enable('noted');"
        "INSERT INTO item VALUES(1,'one',10,x'00ff'),(2,'two',20,NULL),(3,NULL,30,zeroblob(40));"
        "INSERT INTO part VALUES(1,'a',1.25),(2,'b','12.30');"
        "INSERT INTO noted VALUES(1,5,'[1,2]','{\"a\":1}','some text'),(2,0,NULL,NULL,'');"
        "SELECT sync_hello();"
        "UPDATE item SET name='here' WHERE id=1; DELETE FROM item WHERE id=3;"
        "UPDATE noted SET count=count+1, body='some other text' WHERE id=1;"
        "SELECT sync_hello();");
    // What a release does not know yet is left out.
    for (const char* policy :
         {"'count', 'counter'", "'tags', 'union'", "'doc', 'json'", "'body', 'text'"}) {
      db_.run("SELECT sync_policy('noted', " + std::string(policy) + ")");
    }
    before_ = content();
    REQUIRE_THAT(!before_.empty());
  }

  test::SqliteFile& sql() { return db_; }
  const std::string& before() const { return before_; }
  void must(const std::string& statements) {
    const bool done = db_.run(statements);
    if (!done) std::fprintf(stderr, "%s\n", db_.error().c_str());
    REQUIRE_THAT(done);
  }

  // Everything that applying may change.
  std::string content() {
    return db_
        .value(
            "SELECT (SELECT coalesce(group_concat(quote(id)||quote(name)||quote(code)||"
            "quote(data)),'') FROM item)||(SELECT coalesce(group_concat(quote(item_id)||"
            "quote(line)||quote(price)),'') FROM part)||(SELECT "
            "coalesce(group_concat(quote(id)||quote(count)||quote(tags)||quote(doc)||quote(body)),"
            "'') FROM noted)||(SELECT coalesce(group_concat(site||' '||seq||' '||hlc),'') FROM "
            "sync_vector)||(SELECT count(*)||' '||total(seq) FROM sync_state_1)||(SELECT "
            "count(*)||' '||total(seq) FROM sync_state_2)||(SELECT count(*)||' '||total(seq) FROM "
            "sync_state_3)||(SELECT count(*) FROM sync_relay)||(SELECT count(*) FROM sync_log)||"
            "(SELECT count(*) FROM sync_incoming)||(SELECT count(*) FROM sync_site)||(SELECT "
            "count(*) FROM sync_table)||(SELECT count(*) FROM sync_conflict)||(SELECT count(*) "
            "FROM "
            "seen)||(SELECT count(*) FROM sqlite_temp_schema)")
        .value_or("");
  }

  // Applies a chunk and takes it back.
  void apply(const std::string& chunk) {
    must("BEGIN");
    const bool accepted = db_.value("SELECT sync_apply(?1)", chunk).has_value();
    const std::string after = content();
    REQUIRE_THAT(!after.empty());
    if (!accepted) {
      REQUIRE_THAT(after == before_);
    } else {
      REQUIRE_THAT(!db_.value("PRAGMA foreign_key_check"));
      // A second time changes no row. It may be refused: as one that came out of order.
      const auto again = db_.value("SELECT json_extract(sync_apply(?1),'$.applied')", chunk);
      REQUIRE_THAT(!again || *again == "0");
      REQUIRE_THAT(again || content() == after);
    }
    must("ROLLBACK");
    if (++applied_ % 512 != 0) return;
    REQUIRE_THAT(content() == before_);
    REQUIRE_THAT(db_.value("PRAGMA integrity_check").value_or("") == "ok");
  }

 private:
  test::SqliteFile db_;
  std::string before_;
  uint64_t applied_ = 0;
};

}  // namespace syncline::fuzz
