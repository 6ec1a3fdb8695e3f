// The contract of the port on SQLite: the extension's own sources, linked to the library, on a
// database in memory. See port_conformance.hpp.
#include "port_melting.hpp"

#include "sqlite_ext/operation.h"

using namespace syncline;
using namespace syncline::test;

extern "C" int sqlite3_syncline_init(sqlite3* db, char** error,
                                     const sqlite3_api_routines* routines);

namespace {

class SqliteHost {
 public:
  SqliteHost() {
    REQUIRE(sqlite3_open(":memory:", &db_) == SQLITE_OK);
    REQUIRE(sqlite3_syncline_init(db_, nullptr, nullptr) == SQLITE_OK_LOAD_PERMANENTLY);
    run("PRAGMA foreign_keys = ON;"
        "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, code INTEGER UNIQUE,"
        "  n INTEGER CHECK (n <= 100));"
        "CREATE TABLE part(item_id INTEGER REFERENCES item, line TEXT, label TEXT,"
        "  PRIMARY KEY (item_id, line));"
        "SELECT sync_enable('item'); SELECT sync_enable('part');");
  }
  ~SqliteHost() {
    operation_.reset();
    sqlite3_close(db_);
  }
  SqliteHost(const SqliteHost&) = delete;
  SqliteHost& operator=(const SqliteHost&) = delete;

  Port& port() { return port_; }
  Status transaction(const std::function<Status()>& body) {
    operation_ = std::make_unique<Operation>();
    Status status = operation_->begin_write(db_, "a test");
    if (status.ok()) status = operation_->fold();
    if (status.ok()) status = operation_->begin_apply("a test");
    if (status.ok()) status = body();
    if (status.ok()) status = operation_->commit();
    operation_.reset();
    return status;
  }
  void insert_item(int64_t id, std::string_view name, int64_t code) {
    run("INSERT INTO item VALUES(" + std::to_string(id) + ",'" + std::string(name) + "'," +
        std::to_string(code) + ",0)");
  }
  void rename_item(int64_t id, std::string_view name) {
    run("UPDATE item SET name='" + std::string(name) + "' WHERE id=" + std::to_string(id));
  }
  void erase_item(int64_t id) { run("DELETE FROM item WHERE id=" + std::to_string(id)); }
  void insert_part(int64_t item, std::string_view line) {
    run("INSERT INTO part VALUES(" + std::to_string(item) + ",'" + std::string(line) + "','l')");
  }
  bool has_item(int64_t id) {
    int64_t count = 0;
    REQUIRE(
        query_integer(db_, "SELECT count(*) FROM item WHERE id=" + std::to_string(id), 0, &count)
            .ok());
    return count > 0;
  }

 private:
  // A port lives within one operation; the checks want one for all of theirs.
  class Current final : public Port {
   public:
    explicit Current(SqliteHost* host) : host_(*host) {}
    Status load_site(SiteState* out) override { return now().load_site(out); }
    Status recognises(const VectorEntry& own, bool* yes) override {
      return now().recognises(own, yes);
    }
    Status load_tables(std::vector<TableInfo>* out) override { return now().load_tables(out); }
    Status park(const TableSchema& remote, std::vector<TableInfo>* tables) override {
      return now().park(remote, tables);
    }
    Status fetch(const TableInfo& table, std::span<const RowKey> keys, RowBatch* out) override {
      return now().fetch(table, keys, out);
    }
    Status store(const TableInfo& table, std::span<const RowWrite> writes,
                 std::vector<StoreOutcome>* outcomes) override {
      return now().store(table, writes, outcomes);
    }
    Status find_dangling(std::span<const RowRef> written, std::span<const RowRef> removed,
                         std::vector<RowRef>* out) override {
      return now().find_dangling(written, removed, out);
    }
    Status list_held(std::vector<RowRef>* out) override { return now().list_held(out); }
    Status record_conflicts(std::span<const ConflictRecord> records) override {
      return now().record_conflicts(records);
    }
    Status list_contested(const TableInfo& table, std::string_view after, size_t count_max,
                          RowBatch* out) override {
      return now().list_contested(table, after, count_max, out);
    }
    Status load_incoming(const SiteId& sender, Incoming* out) override {
      return now().load_incoming(sender, out);
    }
    Status list_incoming(std::vector<std::pair<SiteId, std::string>>* out) override {
      return now().list_incoming(out);
    }
    Status save_exchange(const SiteState& site, const ExchangeUpdate& update) override {
      return now().save_exchange(site, update);
    }
    Status open_scan(const VersionVector& since, const ScanStart& start) override {
      return now().open_scan(since, start);
    }
    Status scan(size_t count_max, RowBatch* out) override { return now().scan(count_max, out); }
    Status check_interrupt() override { return now().check_interrupt(); }
    Status list_keys(const TableInfo& table, std::string_view after, size_t count_max,
                     RowBatch* out) override {
      return now().list_keys(table, after, count_max, out);
    }
    Status list_states(const TableInfo& table, std::string_view after, size_t count_max,
                       RowBatch* out) override {
      return now().list_states(table, after, count_max, out);
    }
    Status forget(const TableInfo& table, std::span<const RowKey> keys) override {
      return now().forget(table, keys);
    }
    Status new_dot(const TableInfo& table, RowKey key, Version* out) override {
      return now().new_dot(table, key, out);
    }
    Status set_baseline(const TableInfo& table, const Version& baseline) override {
      return now().set_baseline(table, baseline);
    }
    Status load_acknowledgements(std::span<const SiteIndex> sites,
                                 std::vector<Acknowledgement>* out) override {
      return now().load_acknowledgements(sites, out);
    }
    Status load_melting(MeltingState* out) override { return now().load_melting(out); }
    Status save_melting(const SiteState& site, const MeltingState& state) override {
      return now().save_melting(site, state);
    }
    Status prune(const SiteState& site) override { return now().prune(site); }

   private:
    Port& now() { return host_.operation_->port(); }
    SqliteHost& host_;
  };

  void run(const std::string& sql) {
    char* error = nullptr;
    const int rc = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &error);
    INFO(sql << ": " << (error != nullptr ? error : ""));
    REQUIRE(rc == SQLITE_OK);
    sqlite3_free(error);
  }

  sqlite3* db_ = nullptr;
  std::unique_ptr<Operation> operation_;
  Current port_{this};
};

}  // namespace

TEST_CASE("port: SQLite keeps the contract", "[port][sqlite]") {
  check_port<SqliteHost>();
}

TEST_CASE("port: SQLite keeps the contract of melting", "[port][sqlite]") {
  check_melting_port<SqliteHost>();
}
