// The contract of port.h as test cases, run on every host that is linked into a test program.
//
// A Host is a fresh database with two tracked tables,
//   item(id integer primary key, name text, code integer unique, n integer check (n <= 100))
//   part(item_id integer references item, line text, label text, primary key (item_id, line))
// and offers
//   Port& port();
//   Status transaction(const std::function<Status()>&);  // commits, or rolls back on an error
//   void insert_item(int64_t id, std::string_view name, int64_t code);  // as an application does
//   void rename_item(int64_t id, std::string_view name);
//   void erase_item(int64_t id);
//   void insert_part(int64_t item, std::string_view line);
//   bool has_item(int64_t id);
// Call check_port<Host>() from one TEST_CASE: each SECTION gets a Host of its own. The verbs that
// melt are in port_melting.hpp.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "syncline/merge.h"
#include "syncline/port.h"

namespace syncline::test {

template <typename Host>
class PortCheck {
 public:
  void site() {
    host.insert_item(1, "one", 10);
    in_transaction([&] {
      SiteState s;
      REQUIRE(port.load_site(&s).ok());
      const VectorEntry own = s.knowledge.entry(s.self);
      CHECK(own.seq > 0);
      CHECK(own.hlc > 0);
      bool yes = false;
      REQUIRE(port.recognises(own, &yes).ok());
      CHECK(yes);
      REQUIRE(port.recognises({own.seq, own.hlc + 1}, &yes).ok());
      CHECK_FALSE(yes);
      REQUIRE(port.recognises({own.seq + 1000, own.hlc}, &yes).ok());
      CHECK_FALSE(yes);
    });
  }

  void tables() {
    in_transaction([&] {
      load();
      REQUIRE(all_tables.size() == 2);
      const TableInfo &item = table("item"), &part = table("part");
      CHECK(item.present);
      CHECK(item.columns.size() == 4);
      CHECK(item.key == std::vector<ColumnNumber>{0});
      CHECK(part.key == std::vector<ColumnNumber>{0, 1});
      CHECK(item.baseline.seq > 0);
      CHECK(item.baseline.hlc == 0);
      CHECK(item.rank < part.rank);
      CHECK(item.referred);
      CHECK(part.refers);
    });
  }

  void fetch() {
    host.insert_item(2, "two", 20);
    host.insert_part(2, "a");
    in_transaction([&] {
      load();
      RowBatch batch;
      const std::vector<Value> one = {Value::integer(1)}, two = {Value::integer(2)};
      const std::vector<RowKey> keys = {one, two};
      REQUIRE(port.fetch(table("item"), keys, &batch).ok());
      REQUIRE(batch.rows.size() == 2);
      CHECK_FALSE(batch.rows[0].stored);
      CHECK_FALSE(batch.rows[0].has_state);
      CHECK(identical_keys(batch.rows[1].key, two));
      REQUIRE(batch.rows[1].stored);
      CHECK(batch.rows[1].values[1].identical(Value::text("two")));
      RowState row;
      REQUIRE(load_row(batch.rows[1], table("item"), &row).ok());
      REQUIRE(row.rest.size() == 1);
      CHECK(row.rest[0].site == site_state.self);
      CHECK(row.rest[0].hlc > 0);
      const std::vector<Value> part = {Value::integer(2), Value::text("a")};
      const std::vector<RowKey> parts = {part};
      REQUIRE(port.fetch(table("part"), parts, &batch).ok());
      CHECK(batch.rows[0].stored);
    });
  }

  void store_and_read_back() {
    in_transaction([&] {
      load();
      CHECK(put(1, "one", 10, BaseAction::insert).stored);
      CHECK(put(1, "uno", 10, BaseAction::update, {1}).stored);
      const LocalRow row = item(1);
      REQUIRE(row.stored);
      REQUIRE(row.has_state);
      CHECK(row.values[1].identical(Value::text("uno")));
      CHECK(row.state.seq == 5);
      CHECK(row.state.hlc == 77);
      CHECK(put(1, std::nullopt, 10, BaseAction::update, {1}).stored);  // back to its default
      CHECK(item(1).values[1].is(ValueKind::null));
      CHECK(put(1, "uno", 10, BaseAction::erase).stored);
      CHECK_FALSE(item(1).stored);
      CHECK(item(1).has_state);
    });
    CHECK_FALSE(host.has_item(1));
  }

  void captured_nothing() {
    VectorEntry before, after;
    in_transaction([&] {
      load();
      before = site_state.knowledge.entry(site_state.self);
      put(1, "one", 10, BaseAction::insert);
    });
    in_transaction([&] {
      load();
      after = site_state.knowledge.entry(site_state.self);
    });
    CHECK(before.seq == after.seq);
    CHECK(host.has_item(1));
  }

  void rolled_back() {
    const Status status = host.transaction([&]() -> Status {
      load();
      put(1, "one", 10, BaseAction::insert);
      return Status(StatusCode::cancelled, "on purpose");
    });
    CHECK(status.code() == StatusCode::cancelled);
    CHECK_FALSE(host.has_item(1));
  }

  void refused_by_unique() {
    host.insert_item(1, "one", 10);
    in_transaction([&] {
      load();
      const StoreOutcome outcome = put(2, "two", 10, BaseAction::insert);
      CHECK_FALSE(outcome.stored);
      CHECK(outcome.kind == ConflictKind::unique);
      REQUIRE(outcome.rivals.size() == 1);
      CHECK(outcome.rivals[0] == item_key(1));
      CHECK(outcome.claimed == std::vector<ColumnNumber>{2});
      CHECK_FALSE(item(2).stored);
      CHECK_FALSE(item(2).has_state);
    });
  }

  void refused_by_check() {
    in_transaction([&] {
      load();
      const StoreOutcome outcome = put(2, "two", 10, BaseAction::insert, {}, 500);
      CHECK_FALSE(outcome.stored);
      CHECK(outcome.kind == ConflictKind::constraint);
      CHECK_FALSE(outcome.reason.empty());
      CHECK_FALSE(item(2).has_state);
    });
  }

  void dangling() {
    host.insert_item(1, "one", 10);
    host.insert_part(1, "a");
    in_transaction([&] {
      load();
      const RowRef parent{table("item").number, item_key(1), {}};
      std::vector<RowRef> found;
      REQUIRE(port.find_dangling({}, std::span<const RowRef>(&parent, 1), &found).ok());
      CHECK(found.empty());  // it is still there
      put(1, "one", 10, BaseAction::erase);
      REQUIRE(port.find_dangling({}, std::span<const RowRef>(&parent, 1), &found).ok());
      REQUIRE(found.size() == 1);
      CHECK(found[0].table == table("part").number);
      RowRef child = found[0];
      REQUIRE(port.find_dangling(std::span<const RowRef>(&child, 1), {}, &found).ok());
      CHECK(found.size() == 1);
      put(1, "one", 10, BaseAction::insert);
      REQUIRE(port.find_dangling(std::span<const RowRef>(&child, 1), {}, &found).ok());
      CHECK(found.empty());
    });
  }

  void scan_order() {
    host.insert_item(3, "three", 30);
    host.insert_item(1, "one", 10);
    host.insert_part(1, "b");
    host.insert_part(1, "a");
    host.rename_item(3, "drei");
    in_transaction([&] {
      load();
      const std::vector<std::string> rows = scan({}, {});
      REQUIRE(rows.size() == 4);
      CHECK(rows[0] == "item" + item_key(1));
      CHECK(rows[1] == "item" + item_key(3));
      CHECK(rows[2].substr(0, 4) == "part");
      CHECK(rows[2] < rows[3]);
      const ScanStart after_first{table("item").rank, "item", item_key(1)};
      CHECK(scan({}, after_first) == std::vector<std::string>(rows.begin() + 1, rows.end()));
      const ScanStart after_last{table("part").rank, "part", rows[3].substr(4)};
      CHECK(scan({}, after_last).empty());
    });
  }

  void scan_news() {
    VersionVector known;
    host.insert_item(1, "one", 10);
    host.insert_item(2, "two", 20);
    in_transaction([&] {
      load();
      known = site_state.knowledge;
      CHECK(scan(known, {}).empty());
    });
    host.rename_item(2, "zwei");
    host.erase_item(1);
    in_transaction([&] {
      load();
      CHECK(scan(known, {}).size() == 2);  // a deleted row has news too
    });
  }

  void scan_relayed() {
    VersionVector known, foreign;
    in_transaction([&] {
      load();
      known = site_state.knowledge;
      const uint64_t begin = site_state.position;
      put(1, "one", 10, BaseAction::insert);
      foreign.set(other, {5, 77});
      ExchangeUpdate update;
      update.sender = site_state.sites.id(other);
      update.knowledge_grew = true;
      update.knowledge = foreign;
      update.begin = begin;
      REQUIRE(port.save_exchange(site_state, update).ok());
    });
    in_transaction([&] {
      load();
      CHECK(site_state.knowledge.seq(other) == 5);
      CHECK(site_state.knowledge.entry(other).hlc == 77);
      CHECK(scan(known, {}).size() == 1);
      CHECK(scan(site_state.knowledge, {}).empty());
    });
  }

  // Two exchanges at once: the one that began earlier may end later, and know more of a site.
  void scan_overlapping() {
    VersionVector known;
    uint64_t early = 0;
    in_transaction([&] {
      load();
      known = site_state.knowledge;
      early = site_state.position;
      put(1, "one", 10, BaseAction::insert);
      ExchangeUpdate open;
      open.sender = site_state.sites.id(other);
      open.incoming = {true, "token", early};
      REQUIRE(port.save_exchange(site_state, open).ok());
    });
    for (const auto& [seq, late] : {std::pair<uint64_t, bool>{4, true}, {5, false}}) {
      in_transaction([&, seq = seq, late = late] {
        load();
        ExchangeUpdate update;
        update.sender = site_state.sites.id(other);
        update.knowledge_grew = true;
        update.knowledge = site_state.knowledge;
        update.knowledge.set(site_state.self, {});
        update.knowledge.set(other, {seq, 70 + seq});
        update.begin = late ? site_state.position : early;
        REQUIRE(port.save_exchange(site_state, update).ok());
      });
    }
    in_transaction([&] {
      load();
      CHECK(scan(known, {}).size() == 1);
    });
  }

  void scan_contexts() {
    VersionVector all;
    in_transaction([&] {
      load();
      context = site_state.next_context++;
      const uint64_t begin = site_state.position;
      put(1, "one", 10, BaseAction::insert);
      ExchangeUpdate update;
      update.sender = site_state.sites.id(other);
      update.begin = begin;
      update.contexts_new.emplace_back(context, VersionVector());
      update.contexts_new[0].second.set(other, {9, 99});
      update.incoming = {true, "token", begin};
      REQUIRE(port.save_exchange(site_state, update).ok());
    });
    in_transaction([&] {
      load();
      REQUIRE(site_state.contexts.count(context) == 1);
      CHECK(site_state.contexts.at(context).seq(other) == 9);
      CHECK(site_state.next_context > context);
      CHECK(item(1).state.context == context);
      CHECK(scan(site_state.knowledge, {}).size() == 1);
      Incoming incoming;
      REQUIRE(port.load_incoming(site_state.sites.id(other), &incoming).ok());
      CHECK(incoming.open);
      CHECK(incoming.token == "token");
      std::vector<std::pair<SiteId, std::string>> unfinished;
      REQUIRE(port.list_incoming(&unfinished).ok());
      REQUIRE(unfinished.size() == 1);
      CHECK(unfinished[0].second == "token");
      ExchangeUpdate update;
      update.sender = site_state.sites.id(other);
      update.contexts_gone = {context};
      REQUIRE(port.save_exchange(site_state, update).ok());
    });
    in_transaction([&] {
      load();
      CHECK(site_state.contexts.empty());
      Incoming incoming;
      REQUIRE(port.load_incoming(site_state.sites.id(other), &incoming).ok());
      CHECK_FALSE(incoming.open);
    });
  }

  void parked() {
    in_transaction([&] {
      load();
      const TableSchema remote{"elsewhere", {{"a", "text"}, {"b", "integer"}}, {1}};
      REQUIRE(port.park(remote, &all_tables).ok());
      const TableInfo& parked = table("elsewhere");
      CHECK_FALSE(parked.present);
      CHECK(parked.key == std::vector<ColumnNumber>{1});
      TableSchema more = table("item").schema();
      more.columns.push_back({"extra", "text"});
      REQUIRE(port.park(more, &all_tables).ok());
      REQUIRE(table("item").columns.size() == 5);
      CHECK(table("item").columns[4].name == "extra");
      CHECK_FALSE(table("item").columns[4].present);
    });
    in_transaction([&] {
      load();
      CHECK(all_tables.size() == 3);
      CHECK(table("item").columns.size() == 5);
    });
  }

  void held() {
    in_transaction([&] {
      load();
      put(1, "one", 10, BaseAction::none, {}, 0, true);
      ConflictRecord record;
      record.table = &table("item");
      record.key = item_key(1);
      record.pk_json = "{\"id\": 1}";
      const std::vector<Value> key = {Value::integer(1)};
      record.conflict.id = held_conflict_id(table("item"), key);
      record.conflict.kind = ConflictKind::unique;
      record.reason = "because";
      REQUIRE(port.record_conflicts(std::span<const ConflictRecord>(&record, 1)).ok());
    });
    in_transaction([&] {
      load();
      std::vector<RowRef> rows;
      REQUIRE(port.list_held(&rows).ok());
      REQUIRE(rows.size() == 1);
      CHECK(rows[0].table == table("item").number);
      CHECK(rows[0].key == item_key(1));
      CHECK_FALSE(item(1).stored);
      CHECK((item(1).state.flags & kPackedHeld) != 0);
      put(1, "one", 10, BaseAction::insert);
      ConflictRecord record;
      record.table = &table("item");
      record.key = item_key(1);
      const std::vector<Value> key = {Value::integer(1)};
      record.conflict.id = held_conflict_id(table("item"), key);
      record.conflict.kind = ConflictKind::unique;
      record.opened = false;
      REQUIRE(port.record_conflicts(std::span<const ConflictRecord>(&record, 1)).ok());
      rows.clear();
      REQUIRE(port.list_held(&rows).ok());
      CHECK(rows.empty());
    });
  }

 protected:
  void in_transaction(const std::function<void()>& body) {
    const Status status = host.transaction([&]() -> Status {
      body();
      return {};
    });
    INFO(status.message());
    CHECK(status.ok());
  }

  void load() {
    site_state = SiteState();
    all_tables.clear();
    REQUIRE(port.load_site(&site_state).ok());
    REQUIRE(port.load_tables(&all_tables).ok());
    SiteId id;
    id.bytes.fill(0x5a);
    other = site_state.sites.intern(id);
  }

  const TableInfo& table(const std::string& name) const {
    const int64_t at = find_table(all_tables, name);
    REQUIRE(at >= 0);
    return all_tables[static_cast<size_t>(at)];
  }

  static std::string item_key(int64_t id) {
    return encode_key(std::vector<Value>{Value::integer(id)});
  }

  LocalRow item(int64_t id) {
    const std::vector<Value> key = {Value::integer(id)};
    const std::vector<RowKey> keys = {key};
    REQUIRE(port.fetch(table("item"), keys, &batch).ok());
    return batch.rows.at(0);
  }

  // Writes an item as version (other, 5) with hlc 77.
  StoreOutcome put(int64_t id, std::optional<std::string_view> name, int64_t code, BaseAction base,
                   std::vector<ColumnNumber> changed = {}, int64_t n = 0, bool held = false) {
    const std::vector<Value> key = {Value::integer(id)};
    const std::vector<Value> values = {Value::integer(id), name ? Value::text(*name) : Value(),
                                       Value::integer(code), Value::integer(n)};
    RowState row;
    row.column_count = 4;
    row.write_all({5, 77, other, base == BaseAction::erase}, values);
    row.context = context;
    row.held = held;
    ShownRow shown;
    show_row(row, table("item"), site_state.sites, &shown);
    std::string buffer;
    const bool stored = base == BaseAction::insert || base == BaseAction::update;
    RowWrite write;
    write.key = key;
    write.state = pack_row(row, table("item"), &shown, stored, &buffer);
    write.base = base;
    write.values = values;
    write.changed = std::move(changed);
    write.forget = forgetting;
    write.relay = !forgetting;
    std::vector<StoreOutcome> outcomes;
    REQUIRE(port.store(table("item"), std::span<const RowWrite>(&write, 1), &outcomes).ok());
    REQUIRE(outcomes.size() == 1);
    return outcomes[0];
  }

  // Rows with news, as the exporter takes them: "<table><encoded key>".
  std::vector<std::string> scan(const VersionVector& since, const ScanStart& start) {
    std::vector<std::string> out;
    REQUIRE(port.open_scan(since, start).ok());
    RowBatch rows;
    for (;;) {
      rows.clear();
      REQUIRE(port.scan(2, &rows).ok());
      if (rows.rows.empty()) return out;
      for (const LocalRow& local : rows.rows) {
        RowState row;
        REQUIRE(load_row(local, *rows.table, &row).ok());
        const bool in_context = site_state.contexts.count(row.context) > 0;
        if (!has_news(row, since) && !in_context) continue;
        out.push_back(rows.table->name + encode_key(local.key));
      }
    }
  }

  Host host;
  Port& port = host.port();
  SiteState site_state;
  std::vector<TableInfo> all_tables;
  RowBatch batch;
  SiteIndex other = 0;
  ContextId context = 0;
  bool forgetting = false;  // what `put` writes leaves no state
};

template <typename Host>
void check_port() {
  using Check = PortCheck<Host>;
  static const std::pair<const char*, void (Check::*)()> kCases[] = {
      {"a site knows itself and its own changes", &Check::site},
      {"tables come with keys, baseline and rank", &Check::tables},
      {"fetch answers each key in order", &Check::fetch},
      {"store writes rows and state, fetch reads them back", &Check::store_and_read_back},
      {"what store writes is not captured", &Check::captured_nothing},
      {"an error rolls everything back", &Check::rolled_back},
      {"a unique constraint refuses and names the rivals", &Check::refused_by_unique},
      {"a CHECK refuses and changes nothing", &Check::refused_by_check},
      {"dangling children are found from both ends", &Check::dangling},
      {"a scan goes by rank and key, and goes on after a row", &Check::scan_order},
      {"a scan gives what is new, deleted rows too", &Check::scan_news},
      {"a scan gives what others brought", &Check::scan_relayed},
      {"a scan looks back to the earliest of overlapping exchanges", &Check::scan_overlapping},
      {"a scan always looks at rows with a context", &Check::scan_contexts},
      {"tables and columns that are not here are parked", &Check::parked},
      {"held rows are listed until they are stored", &Check::held},
  };
  for (const auto& [name, run] : kCases) {
    SECTION(name) {
      Check check;
      (check.*run)();
    }
  }
}

}  // namespace syncline::test
