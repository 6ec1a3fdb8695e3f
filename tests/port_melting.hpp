// The contract of the verbs of port.h that melt: see port_conformance.hpp. Call
// check_melting_port<Host>() from one TEST_CASE.
#pragma once

#include "port_conformance.hpp"
#include "syncline/horizon.h"

namespace syncline::test {

template <typename Host>
class MeltingCheck : public PortCheck<Host> {
 public:
  // Rows of the base table, rows with state alone, rows with both: each once, in order.
  void keys() {
    for (int64_t id : {5, 3, 1}) host.insert_item(id, "row", id * 10);
    host.erase_item(3);
    in_transaction([&] {
      load();
      forget(1);
      CHECK(list(&Port::list_keys, {}, 10) == std::vector<int64_t>{1, 3, 5});
      CHECK(list(&Port::list_keys, {}, 2) == std::vector<int64_t>{1, 3});
      CHECK(list(&Port::list_keys, item_key(1), 10) == std::vector<int64_t>{3, 5});
      CHECK(list(&Port::list_keys, item_key(4), 10) == std::vector<int64_t>{5});
      CHECK(list(&Port::list_keys, item_key(5), 10).empty());
    });
  }

  void states() {
    for (int64_t id : {5, 3, 1}) host.insert_item(id, "row", id * 10);
    in_transaction([&] {
      load();
      CHECK(list(&Port::list_states, {}, 10) == std::vector<int64_t>{1, 3, 5});
      CHECK(list(&Port::list_states, item_key(1), 1) == std::vector<int64_t>{3});
      REQUIRE(port.list_states(table("item"), {}, 1, &batch).ok());
      REQUIRE(batch.rows.size() == 1);
      CHECK(batch.rows[0].has_state);
      CHECK_FALSE(batch.rows[0].stored);
      CHECK(batch.rows[0].state.seq > 0);
      forget(3);
      CHECK(list(&Port::list_states, {}, 10) == std::vector<int64_t>{1, 5});
      CHECK(item(3).stored);
      CHECK_FALSE(item(3).has_state);
    });
    CHECK(host.has_item(3));
  }

  void store_forgetting() {
    in_transaction([&] {
      load();
      put(1, "one", 10, BaseAction::insert);
      REQUIRE(item(1).has_state);
      forgetting = true;
      CHECK(put(1, "uno", 10, BaseAction::update, {1}).stored);
      CHECK(item(1).values[1].identical(Value::text("uno")));
      CHECK_FALSE(item(1).has_state);
      CHECK(put(2, "two", 20, BaseAction::insert).stored);
      CHECK(item(2).stored);
      CHECK_FALSE(item(2).has_state);
      CHECK_FALSE(put(3, "three", 20, BaseAction::insert).stored);
      CHECK(put(1, "uno", 10, BaseAction::erase).stored);
      CHECK_FALSE(item(1).has_state);
      forgetting = false;
    });
    CHECK(host.has_item(2));
  }

  // A dot that the core asked for is known, is found by exports, and folds to nothing.
  void noted_dots() {
    VersionVector known;
    host.insert_item(1, "one", 10);
    Version dot;
    in_transaction([&] {
      load();
      known = site_state.knowledge;
      const std::vector<Value> key = {Value::integer(1)};
      REQUIRE(port.new_dot(table("item"), key, &dot).ok());
      CHECK(dot.seq > known.seq(site_state.self));
      CHECK(dot.site == site_state.self);
      CHECK(dot.hlc > 0);
      CHECK_FALSE(dot.dead);
      put(1, "uno", 10, BaseAction::update, {1});
    });
    in_transaction([&] {
      load();
      CHECK(site_state.knowledge.seq(site_state.self) >= dot.seq);
      CHECK(item(1).state.seq == 5);  // as `put` wrote it
      CHECK(item(1).state.hlc == 77);
      bool found = false;
      REQUIRE(port.open_scan(known, {}).ok());
      for (RowBatch rows;;) {
        REQUIRE(port.scan(2, &rows).ok());
        if (rows.rows.empty()) break;
        for (const LocalRow& row : rows.rows) found = found || encode_key(row.key) == item_key(1);
      }
      CHECK(found);
    });
  }

  // From then on a row without state is read as melted, and only a scan for everything gives it.
  void baseline() {
    host.insert_item(1, "one", 10);
    host.insert_item(2, "two", 20);
    in_transaction([&] {
      load();
      forget(1);
      const Version melted = melted_version(&site_state.sites);
      REQUIRE(port.set_baseline(table("item"), melted).ok());
      REQUIRE(port.set_baseline(table("part"), melted).ok());
      REQUIRE(port.save_melting(site_state, {}).ok());
    });
    in_transaction([&] {
      load();
      CHECK(table("item").baseline.melted());
      CHECK(site_state.sites.id(table("item").baseline.site) == kNobody);
      RowState row;
      const LocalRow local = item(1);
      REQUIRE(load_row(local, table("item"), &row).ok());
      REQUIRE(row.rest.size() == 1);
      CHECK(row.rest[0].melted());
      CHECK(scan({}, {}) == std::vector<std::string>{"item" + item_key(2)});
      ScanStart everything;
      everything.everything = true;
      CHECK(scan_keys(everything) ==
            std::vector<std::string>{"item" + item_key(1), "item" + item_key(2)});
      const ScanStart rest{table("item").rank, "item", item_key(1), true};
      CHECK(scan_keys(rest) == std::vector<std::string>{"item" + item_key(2)});
    });
  }

  void acknowledgements() {
    in_transaction([&] {
      load();
      CHECK(acknowledged({}).empty());
      ExchangeUpdate update;
      update.sender = site_state.sites.id(other);
      Acknowledgement ack{other, {}, 1234};
      ack.vector.set(other, {7, 70});
      update.acknowledgements = {ack};
      update.melted_changed = true;
      update.melted.set(other, {3, 30});
      REQUIRE(port.save_exchange(site_state, update).ok());
    });
    in_transaction([&] {
      load();
      CHECK(site_state.melted.entry(other).seq == 3);
      CHECK(site_state.melted.entry(other).hlc == 30);
      const std::vector<Acknowledgement> all = acknowledged({});
      REQUIRE(all.size() == 1);
      CHECK(all[0].site == other);
      CHECK(all[0].vector.entry(other).hlc == 70);
      CHECK(all[0].heard_ms == 1234);
      CHECK(acknowledged({other}).size() == 1);
      CHECK(acknowledged({site_state.self}).empty());
      ExchangeUpdate update;
      update.sender = site_state.sites.id(other);
      Acknowledgement ack{other, {}, 1300};
      ack.vector.set(other, {8, 80});
      update.acknowledgements = {ack};
      REQUIRE(port.save_exchange(site_state, update).ok());
      CHECK(acknowledged({})[0].vector.seq(other) == 8);  // in place of what was there
    });
    in_transaction([&] {
      load();
      CHECK(site_state.melted.seq(other) == 3);
    });
  }

  void melting_state() {
    in_transaction([&] {
      load();
      MeltingState state;
      REQUIRE(port.load_melting(&state).ok());
      CHECK(state.done);
      CHECK(state.under.empty());
      site_state.melted.set(other, {9, 90});
      state = {site_state.melted, false, 2, item_key(7)};
      REQUIRE(port.save_melting(site_state, state).ok());
    });
    in_transaction([&] {
      load();
      MeltingState state;
      REQUIRE(port.load_melting(&state).ok());
      CHECK_FALSE(state.done);
      CHECK(state.under == site_state.melted);
      CHECK(state.under.seq(other) == 9);
      CHECK(state.table == 2);
      CHECK(state.key == item_key(7));
    });
  }

  // What is pruned is not found any more, what came since is; the site still knows its own.
  void prune() {
    host.insert_item(1, "one", 10);
    host.insert_item(2, "two", 20);
    VersionVector melted;
    VectorEntry first;
    in_transaction([&] {
      load();
      const uint64_t begin = site_state.position;
      put(3, "three", 30, BaseAction::insert);
      ExchangeUpdate update;
      update.sender = site_state.sites.id(other);
      update.knowledge_grew = true;
      update.knowledge.set(other, {5, 77});
      update.begin = begin;
      REQUIRE(port.save_exchange(site_state, update).ok());
    });
    host.insert_item(4, "four", 40);
    in_transaction([&] {
      load();
      site_state.melted = site_state.knowledge;
      melted = site_state.melted;
      first = melted.entry(site_state.self);
      for (int64_t id : {1, 2, 3, 4}) forget(id);
      const Version none = melted_version(&site_state.sites);
      REQUIRE(port.set_baseline(table("item"), none).ok());
      REQUIRE(port.set_baseline(table("part"), none).ok());
      REQUIRE(port.prune(site_state).ok());
      REQUIRE(port.save_melting(site_state, {}).ok());
    });
    host.rename_item(2, "zwei");
    in_transaction([&] {
      load();
      // A fold may add an entry of its own, where the clock stands behind the floor.
      CHECK(site_state.knowledge.seq(site_state.self) > first.seq);
      CHECK(site_state.knowledge.seq(other) == 5);
      CHECK(scan(melted, {}) == std::vector<std::string>{"item" + item_key(2)});
      bool yes = false;
      REQUIRE(port.recognises(first, &yes).ok());
      CHECK(yes);
      REQUIRE(port.recognises({first.seq - 1, 1}, &yes).ok());
      CHECK(yes);  // all have seen it, nobody can tell any more
      REQUIRE(port.recognises({first.seq + 1, 1}, &yes).ok());
      CHECK_FALSE(yes);
      const uint64_t begin = site_state.position;
      put(5, "five", 50, BaseAction::insert);
      ExchangeUpdate update;
      update.sender = site_state.sites.id(other);
      update.knowledge_grew = true;
      update.knowledge.set(other, {6, 78});
      update.begin = begin;
      REQUIRE(port.save_exchange(site_state, update).ok());
    });
    in_transaction([&] {
      load();
      // `put` writes as (other, 5), which holders of `melted` know: the row is found all the same.
      bool found = false;
      REQUIRE(port.open_scan(melted, {}).ok());
      for (RowBatch rows;;) {
        REQUIRE(port.scan(2, &rows).ok());
        if (rows.rows.empty()) break;
        for (const LocalRow& row : rows.rows) found = found || encode_key(row.key) == item_key(5);
      }
      CHECK(found);
    });
  }

 private:
  using Base = PortCheck<Host>;
  using Base::all_tables, Base::batch, Base::forgetting, Base::host, Base::in_transaction;
  using Base::item, Base::item_key, Base::load, Base::other, Base::port, Base::put, Base::scan;
  using Base::site_state, Base::table;

  using Lister = Status (Port::*)(const TableInfo&, std::string_view, size_t, RowBatch*);
  // Ids of items.
  std::vector<int64_t> list(Lister lister, const std::string& after, size_t count) {
    REQUIRE((port.*lister)(table("item"), after, count, &batch).ok());
    std::vector<int64_t> out;
    for (const LocalRow& row : batch.rows) out.push_back(row.key[0].as_integer());
    return out;
  }

  void forget(int64_t id) {
    const std::vector<Value> key = {Value::integer(id)};
    const std::vector<RowKey> forgotten = {key};
    REQUIRE(port.forget(table("item"), forgotten).ok());
  }

  std::vector<Acknowledgement> acknowledged(std::vector<SiteIndex> sites) {
    std::vector<Acknowledgement> out;
    REQUIRE(port.load_acknowledgements(sites, &out).ok());
    return out;
  }

  std::vector<std::string> scan_keys(const ScanStart& start) {
    std::vector<std::string> out;
    REQUIRE(port.open_scan(site_state.knowledge, start).ok());
    for (RowBatch rows;;) {
      REQUIRE(port.scan(2, &rows).ok());
      if (rows.rows.empty()) return out;
      for (const LocalRow& row : rows.rows)
        out.push_back(rows.table->name + encode_key(row.key));
    }
  }
};

template <typename Host>
void check_melting_port() {
  using Check = MeltingCheck<Host>;
  static const std::pair<const char*, void (Check::*)()> kCases[] = {
      {"keys of base rows and of state are listed in one order", &Check::keys},
      {"state is listed in the order of keys, and can be forgotten", &Check::states},
      {"a row can be stored without state", &Check::store_forgetting},
      {"a dot of the core's is known, and folds to nothing", &Check::noted_dots},
      {"a melted baseline is nobody's, and only a scan for everything gives it", &Check::baseline},
      {"acknowledgements take the place of older ones", &Check::acknowledgements},
      {"where melting stands is kept", &Check::melting_state},
      {"what all have is pruned, and what came since is found", &Check::prune},
  };
  for (const auto& [name, run] : kCases) {
    SECTION(name) {
      Check check;
      (check.*run)();
    }
  }
}

}  // namespace syncline::test
