// Applying chunks (apply.cpp, apply_rows.cpp, apply_held.cpp, apply_foreign.cpp,
// apply_settings.cpp): what is refused, what is kept out by constraints and let in again, what is
// parked, what policies show anew, and that a failure at any call of the host changes nothing.
#include <algorithm>

#include "support/two_sites.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

using Kinds = std::vector<std::string>;

}  // namespace

TEST_CASE("apply: rows arrive, and a second time change nothing", "[apply][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  a.add_item(2, "two", 20);
  const ExportedChunk chunk = a.export_for(b.vector());
  ApplyReport report;
  REQUIRE(b.apply(chunk.bytes, &report).ok());
  CHECK(report.applied == 2);
  CHECK(report.complete);
  CHECK(report.sender == a.port.id());
  CHECK(b.shown(2, "name") == OwnedValue(text("two")));
  REQUIRE(b.apply(chunk.bytes, &report).ok());
  CHECK(report.applied == 0);
  CHECK(report.unchanged == 2);
  CHECK(a.export_for(b.vector()).row_count == 0);
  CHECK(b.export_for(a.vector()).row_count == 0);
}

TEST_CASE("apply: different columns of one row are both kept", "[apply][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  b.pull(&a);
  a.set(1, "name", text("uno"));
  b.set(1, "n", integer(7));
  a.swap_with(&b);
  for (Database* d : {&a, &b}) {
    CHECK(d->shown(1, "name") == OwnedValue(text("uno")));
    CHECK(d->shown(1, "n") == OwnedValue(integer(7)));
    CHECK(d->conflicts().empty());
  }
}

TEST_CASE("apply: one cell changed on both sides is a conflict, which a later write closes",
          "[apply][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  b.pull(&a);
  a.set(1, "name", text("uno"));
  b.port.set_clock(b.port.now_ms() + 1000);
  b.set(1, "name", text("eins"));
  a.swap_with(&b);
  for (Database* d : {&a, &b}) {
    CHECK(d->shown(1, "name") == OwnedValue(text("eins")));
    CHECK(d->conflicts() == Kinds{"update_update"});
  }
  CHECK(a.port.data().conflicts.begin()->first == b.port.data().conflicts.begin()->first);
  a.set(1, "name", text("un"));
  b.pull(&a);
  CHECK(a.conflicts().empty());
  CHECK(b.conflicts().empty());
  CHECK(b.shown(1, "name") == OwnedValue(text("un")));
}

TEST_CASE("apply: an update beats a delete, and the row comes back whole", "[apply][unit]") {
  Database a(1), b(2), c(3);
  a.add_item(1, "one", 10);
  b.pull(&a);
  c.pull(&a);
  a.erase_item(1);
  b.set(1, "n", integer(5));
  c.pull(&a);
  CHECK_FALSE(c.has_item(1));
  c.pull(&b);
  CHECK(c.shown(1, "name") == OwnedValue(text("one")));
  CHECK(c.shown(1, "n") == OwnedValue(integer(5)));
  CHECK(c.conflicts() == Kinds{"update_delete"});
}

TEST_CASE("apply: of two rows that claim one unique value the greater version is stored",
          "[apply][unit]") {
  Database a(1), b(2);
  a.add_item(1, "first", 10);
  b.port.set_clock(b.port.now_ms() + 1000);
  b.add_item(2, "second", 10);
  a.swap_with(&b);
  for (Database* d : {&a, &b}) {
    CHECK(d->has_item(2));
    CHECK_FALSE(d->has_item(1));
    CHECK(d->conflicts() == Kinds{"unique"});
  }
  b.set(2, "code", integer(11));  // the value is free again
  a.pull(&b);
  CHECK(a.has_item(1));
  CHECK(a.conflicts().empty());
  b.pull(&a);
  CHECK(b.has_item(1));
}

TEST_CASE("apply: a row that is held already is no change where an exchange begins anew",
          "[apply][unit]") {
  Database a(1), b(2);
  a.add_item(1, "first", 10);
  for (int64_t id = 2; id < 40; ++id)
    a.add_item(id, "more", 100 + id);
  b.port.set_clock(b.port.now_ms() + 1000);
  b.add_item(50, "second", 10);
  ApplyReport first, again;
  REQUIRE(b.apply(a.export_for(b.vector(), {}, 200).bytes, &first).ok());
  REQUIRE(b.apply(a.export_for(b.vector(), {}, 150).bytes, &again).ok());
  REQUIRE_FALSE(again.complete);
  CHECK(first.applied > again.unchanged);
  CHECK(again.unchanged > 1);
  CHECK(again.applied == 0);
  CHECK(again.quarantined == 1);
}

TEST_CASE("apply: two rows swap their unique values", "[apply][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  a.add_item(2, "two", 20);
  b.pull(&a);
  a.set(1, "code", integer(99));
  a.set(2, "code", integer(10));
  a.set(1, "code", integer(20));
  const ApplyReport report = b.pull(&a);
  CHECK(b.shown(1, "code") == OwnedValue(integer(20)));
  CHECK(b.shown(2, "code") == OwnedValue(integer(10)));
  CHECK(report.quarantined == 0);
  CHECK(b.conflicts().empty());
}

TEST_CASE("apply: a child whose parent is deleted waits until there is one", "[apply][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  b.pull(&a);
  a.erase_item(1);
  b.add_part(1, "x");
  a.swap_with(&b);
  for (Database* d : {&a, &b}) {
    CHECK_FALSE(d->has_item(1));
    CHECK_FALSE(d->has_part(1, "x"));
    CHECK(d->conflicts() == Kinds{"foreign_key"});
  }
  a.add_item(1, "again", 11);
  b.pull(&a);
  CHECK(b.has_part(1, "x"));
  CHECK(b.conflicts().empty());
}

TEST_CASE("apply: rows that refer to each other in a circle fit together", "[apply][unit]") {
  const TableRules node{{"node", {{"id", "integer"}, {"up", "integer"}}, {0}},
                        {},
                        {{{"up"}, "node", ForeignAction::restrict}},
                        {},
                        0,
                        OnDelete::update_wins};
  Database a(1, false), b(2, false);
  a.port.enable(node);
  b.port.enable(node);
  const std::vector<Value> one = {integer(1)};
  a.port.insert("node", std::vector<Value>{integer(1), Value::null()});
  a.port.insert("node", std::vector<Value>{integer(2), integer(1)});
  REQUIRE(a.port.update("node", one, {{"up", integer(2)}}));
  const ApplyReport report = b.pull(&a, 1);  // a row a chunk: each alone has no parent
  CHECK(b.port.table("node")->base.size() == 2);
  CHECK(report.quarantined == 0);
  CHECK(b.conflicts().empty());
}

TEST_CASE("apply: a merged row that a CHECK refuses is held, others are not", "[apply][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  b.pull(&a);
  TableRules looser = item_rules();
  looser.sum_max = 10'000;
  Database c(3, false);
  c.port.enable(looser);
  c.pull(&a);
  c.set(1, "n", integer(500));
  c.add_item(2, "two", 20);
  const ApplyReport report = b.pull(&c);
  CHECK(report.quarantined == 1);
  CHECK_FALSE(b.has_item(1));
  CHECK(b.has_item(2));
  CHECK(b.conflicts() == Kinds{"constraint"});
  c.set(1, "n", integer(50));
  b.pull(&c);
  CHECK(b.shown(1, "n") == OwnedValue(integer(50)));
  CHECK(b.conflicts().empty());
}

TEST_CASE("apply: a table that is not here is parked, relayed, and filled when it comes",
          "[apply][unit]") {
  Database a(1), b(2, false), c(3);
  a.add_item(1, "one", 10);
  a.add_part(1, "x");
  const ApplyReport report = b.pull(&a);
  CHECK(report.parked == 2);
  CHECK(b.port.table("item")->base.empty());
  c.pull(&b);
  CHECK(c.has_part(1, "x"));
  b.port.enable(item_rules());
  b.port.enable(part_rules());
  ApplyReport retried;
  REQUIRE(b.port.transaction([&] { return retry_held(&b.port, {}, &retried); }).ok());
  CHECK(retried.applied == 2);
  CHECK(b.has_item(1));
  CHECK(b.has_part(1, "x"));
}

TEST_CASE("apply: a column without a value goes back to its default", "[apply][unit]") {
  Database a(1), b(2, false);
  b.port.enable(without_column(item_rules(), "n"));
  a.add_item(1, "one", 10);
  a.set(1, "n", integer(7));
  b.pull(&a);
  b.erase_item(1);
  b.port.insert("item", std::vector<Value>{integer(1), text("new"), integer(10)});
  a.pull(&b);
  CHECK(a.shown(1, "name") == OwnedValue(text("new")));
  CHECK(a.shown(1, "n") == OwnedValue(Value::null()));
}

TEST_CASE("apply: a chunk out of order is refused with what is missing", "[apply][unit]") {
  Database a(1), b(2);
  for (int64_t id = 0; id < 4; ++id)
    a.add_item(id, "item", id);
  const ExportedChunk first = a.export_for(b.vector(), {}, 1);
  const ExportedChunk second = a.export_for(b.vector(), first.resume_hex, 1);
  const ExportedChunk third = a.export_for(b.vector(), second.resume_hex, 1);
  const Status early = b.apply(second.bytes);
  CHECK(early.code() == StatusCode::gap);
  CHECK_FALSE(b.has_item(1));
  REQUIRE(b.apply(first.bytes).ok());
  CHECK(b.apply(third.bytes).code() == StatusCode::gap);
  REQUIRE(b.apply(second.bytes).ok());
  ApplyReport report;
  REQUIRE(b.apply(first.bytes, &report).ok());  // a repeat is no gap
  CHECK(report.applied == 0);
  REQUIRE(b.apply(third.bytes).ok());
  CHECK(b.has_item(2));
}

TEST_CASE("apply: a chunk of the same number from another exchange does not follow",
          "[apply][unit]") {
  Database a(1), b(2);
  for (int64_t id = 0; id < 3; ++id)
    a.add_item(id, "item", id);
  const ExportedChunk one = a.export_for(b.vector(), {}, 1);
  const ExportedChunk other = a.export_for(b.vector(), {}, 1);
  const ExportedChunk after_other = a.export_for(b.vector(), other.resume_hex, 1);
  REQUIRE(b.apply(one.bytes).ok());
  CHECK(b.apply(after_other.bytes).code() == StatusCode::gap);
}

TEST_CASE("apply: a chunk made for a database that knows more is a gap", "[apply][unit]") {
  Database a(1), b(2), c(3);
  a.add_item(1, "one", 10);
  b.pull(&a);
  a.set(1, "n", integer(5));
  const ExportedChunk chunk = a.export_for(b.vector());
  CHECK(c.apply(chunk.bytes).code() == StatusCode::gap);
  CHECK(c.apply(chunk.bytes).message().find(to_hex(a.port.id())) != std::string::npos);
}

TEST_CASE("apply: a later chunk of an exchange is also held against what is known",
          "[apply][unit]") {
  Database a(1), b(2), c(3);
  for (int64_t id = 0; id < 3; ++id) {
    a.add_item(id, "item", id);
  }
  c.add_item(9, "nine", 9);
  a.pull(&c);
  const ExportedChunk first = a.export_for(b.vector(), {}, 1);
  REQUIRE(b.apply(first.bytes).ok());
  Database restored = b;  // it stands where b stood, and knows less than b will
  restored.port.take_identity(site_id(8));
  b.pull(&c);
  const ExportedChunk rest = a.export_for(b.vector(), first.resume_hex);  // without row 9
  CHECK(restored.apply(rest.bytes).code() == StatusCode::gap);
  CHECK(b.apply(rest.bytes).ok());
  CHECK(b.has_item(9));
  restored.pull(&a);
  CHECK(restored.has_item(9));
}

TEST_CASE("apply: nothing is known before the last chunk", "[apply][unit]") {
  Database a(1), b(2);
  for (int64_t id = 0; id < 3; ++id)
    a.add_item(id, "item", id);
  const std::string before = b.vector();
  REQUIRE(b.apply(a.export_for(b.vector(), {}, 1).bytes).ok());
  CHECK(b.has_item(0));
  CHECK(b.vector() == before);
  CHECK_FALSE(b.port.data().contexts.empty());
  b.pull(&a);
  CHECK(b.vector() != before);
  CHECK(b.port.data().contexts.empty());
}

TEST_CASE("apply: a chunk that knows changes we never made says that we are a copy",
          "[apply][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  Database restored = a;
  a.add_item(2, "two", 20);
  b.pull(&a);
  CHECK(restored.apply(b.export_for(restored.vector()).bytes).code() == StatusCode::identity);
  Database wrote = restored;  // the same number, another change
  wrote.port.set_clock(wrote.port.now_ms() + 5);
  wrote.add_item(3, "three", 30);
  CHECK(wrote.apply(b.export_for("{}").bytes).code() == StatusCode::identity);
  restored.port.take_identity(site_id(9));
  restored.add_item(3, "three", 30);
  restored.swap_with(&b);
  CHECK(restored.has_item(2));
  CHECK(b.has_item(3));
}

TEST_CASE("apply: a version from the future is refused", "[apply][unit]") {
  Database a(1), b(2);
  a.port.set_clock(a.port.now_ms() + limits::drift_ms_max_default + 1000);
  a.add_item(1, "one", 10);
  const ExportedChunk chunk = a.export_for(b.vector());
  CHECK(b.apply(chunk.bytes).code() == StatusCode::clock_drift);
  CHECK_FALSE(b.has_item(1));
  b.port.set_clock(b.port.now_ms() + 2000);
  CHECK(b.apply(chunk.bytes).ok());
}

TEST_CASE("apply: a version that its sender does not claim to know is refused", "[apply][unit]") {
  Database b(2);
  SiteTable sites;
  const SiteIndex liar = sites.intern(site_id(7));
  ChunkHeader header;
  header.sender = site_id(7);
  header.exchange = "exchange";
  header.last = true;
  header.start.set(liar, {3, hlc_from_ms(1000)});
  header.knowledge = header.start;
  header.row_count = 1;
  for (const uint64_t seq : {3, 4}) {
    ChunkWriter writer(&sites);
    writer.begin_table(item_rules().schema);
    ChunkRow row;
    const std::vector<Value> key = {integer(1)};
    row.key = key;
    row.change.state.column_count = 4;
    row.change.state.write_all({seq, hlc_from_ms(1000), liar, false},
                               std::vector<Value>{Value(), text("x"), integer(1), integer(1)});
    writer.add_row(row);
    Result<std::string> chunk = writer.finish(header, Compression::none);
    REQUIRE(chunk.ok());
    CHECK(b.apply(chunk.value()).code() == (seq == 3 ? StatusCode::ok : StatusCode::corrupt_input));
  }
}

TEST_CASE("apply: another primary key is a schema mismatch, by name", "[apply][unit]") {
  Database a(1), b(2, false);
  TableRules other = item_rules();
  other.schema.key = {1};
  b.port.enable(other);
  a.add_item(1, "one", 10);
  const Status status = b.apply(a.export_for(b.vector()).bytes);
  CHECK(status.code() == StatusCode::schema_mismatch);
  CHECK(status.message().find("item") != std::string::npos);
}

TEST_CASE("apply: a failure at any call of the host changes nothing", "[apply][faults]") {
  Database a(1);
  Database b(2);
  b.add_item(3, "rival", 30);
  b.add_part(3, "x");
  a.port.set_clock(a.port.now_ms() + 10);
  a.add_item(1, "one", 10);
  a.add_item(2, "two", 30);
  a.add_part(1, "x");
  const ExportedChunk chunk = a.export_for(b.vector());
  uint64_t calls = 0;
  for (bool done = false; !done; ++calls) {
    REQUIRE(calls < 200);
    Database copy = b;
    copy.port.fold();
    const MemoryData before = copy.port.data();
    copy.port.fail_at(calls + 1);
    const Status status = copy.apply(chunk.bytes);
    done = status.ok();
    if (done) continue;
    CHECK(status.code() == StatusCode::host_failed);
    const MemoryData& after = copy.port.data();
    CHECK(after.relay.size() == before.relay.size());
    CHECK(after.knowledge == before.knowledge);
    CHECK(after.conflicts.size() == before.conflicts.size());
    CHECK(after.contexts.size() == before.contexts.size());
    CHECK(copy.has_item(3));
    CHECK_FALSE(copy.has_item(1));
    copy.port.fail_at(0);
    copy.pull(&a);
    CHECK(copy.has_item(2));
    CHECK_FALSE(copy.has_item(3));
  }
  CHECK(calls > 8);
}

TEST_CASE("apply: a policy that arrives shows rows anew, before the chunk's own rows", "[apply]") {
  Database a(1), b(2), c(3);
  a.add_item(1, "x", 1);
  b.pull(&a), c.pull(&a);
  a.set(1, "n", integer(9));
  b.set(1, "n", integer(4));
  a.swap_with(&b);
  CHECK(a.shown(1, "n") == OwnedValue(integer(4)));
  CHECK(a.conflicts() == std::vector<std::string>{"update_update"});
  REQUIRE(a.port.set_policy("item", "n", "max").ok());
  CHECK(a.shown(1, "n") == OwnedValue(integer(9)));
  CHECK(a.conflicts() == std::vector<std::string>{"update_update"});
  a.add_item(2, "y", 2);  // news, so that a chunk travels
  b.pull(&a), c.pull(&a);
  CHECK(b.shown(1, "n") == OwnedValue(integer(9)));
  CHECK(c.shown(1, "n") == OwnedValue(integer(9)));
  a.set(1, "n", integer(10));
  b.pull(&a), c.pull(&a);
  // Under a policy that loses nothing there is no conflict, and the one on record is closed.
  a.set(1, "name", text("p"));
  b.set(1, "name", text("q"));
  a.swap_with(&b), c.pull(&a);
  CHECK(c.conflicts().size() == 1);
  REQUIRE(c.port.set_policy("item", "name", "concat").ok());
  CHECK(c.conflicts().empty());
  CHECK(c.shown(1, "name") == OwnedValue(text("p, q")));
  c.add_item(3, "z", 3);
  b.pull(&c), a.pull(&c);
  CHECK(a.shown(1, "name") == OwnedValue(text("p, q")));
  CHECK(a.conflicts().empty());
  CHECK(b.conflicts().empty());
}

TEST_CASE("apply: a value that a policy shows again takes no place of a later one that has melted",
          "[apply][unit]") {
  Database a(1), b(2);
  for (Database* db : {&a, &b}) db->port.join_members();
  a.add_item(1, "one", 10);
  for (int i = 0; i < 2; ++i) a.swap_with(&b);
  a.set(1, "code", integer(30));
  b.port.set_clock(a.port.now_ms() + 1000);
  b.set(1, "code", Value::null());  // later
  a.swap_with(&b);
  a.port.set_clock(b.port.now_ms() + 1000);
  REQUIRE(a.add_item(2, "two", 30));
  for (int i = 0; i < 2; ++i) a.swap_with(&b);
  MeltReport report;
  REQUIRE(b.port.maintain(1000, &report).ok());
  REQUIRE(report.melted == 1);  // a knows the version of the second row
  REQUIRE(b.port.set_policy("item", "code", "first_writer").ok());
  for (int i = 0; i < 2; ++i) {
    b.set(2, "n", integer(i));
    a.swap_with(&b);
    CHECK(a.shown(2, "code") == OwnedValue(integer(30)));
    CHECK(b.shown(2, "code") == OwnedValue(integer(30)));
    CHECK_FALSE(a.has_item(1));
    CHECK_FALSE(b.has_item(1));
  }
}

TEST_CASE("apply: a row that waits for its parent drives its rival out once, not for ever",
          "[apply][unit]") {
  const TableRules tickets = {
      {"ticket", {{"id", "integer"}, {"item_id", "integer"}, {"label", "text"}}, {0}},
      {{"label"}},
      {{{"item_id"}, "item", ForeignAction::cascade}},
      {},
      0,
      OnDelete::update_wins};
  Database a(1), b(2);
  for (Database* db : {&a, &b}) db->port.enable(tickets);
  a.add_item(1, "one", 10);
  a.add_item(2, "two", 20);
  a.add_item(3, "three", 30);
  b.pull(&a);
  a.erase_item(1);
  REQUIRE(a.port.insert("ticket", std::vector<Value>{integer(2), integer(2), text("x")}));
  b.port.set_clock(a.port.now_ms() + 1000);
  REQUIRE(b.port.insert("ticket", std::vector<Value>{integer(1), integer(1), text("x")}));
  // A swap, of which one row comes in only at the end: so there is a second round.
  REQUIRE(b.set(2, "code", integer(0)));
  REQUIRE(b.set(3, "code", integer(20)));
  REQUIRE(b.set(2, "code", integer(30)));
  a.port.set_clock(b.port.now_ms());
  a.port.fail_at(500);  // some sixty calls of the port are needed
  a.pull(&b);
  a.port.fail_at(0);
  const auto& stored = a.port.table("ticket")->base;
  CHECK(stored.size() == 1);
  CHECK(stored.count(encode_key(std::vector<Value>{integer(2)})) == 1);
}

TEST_CASE("apply: a parent that one child keeps is there for the others", "[apply][unit]") {
  const auto rules = [](const char* name, ForeignAction action) {
    return TableRules{{name, {{"id", "integer"}, {"item_id", "integer"}}, {0}},
                      {},
                      {{{"item_id"}, "item", action}},
                      {},
                      0,
                      OnDelete::update_wins};
  };
  Database a(1), b(2), c(3);
  for (Database* db : {&a, &b, &c}) {
    db->port.enable(rules("mention", ForeignAction::set_null));
    db->port.enable(rules("ticket", ForeignAction::restrict));
  }
  const auto mentioned = [](const Database& db) {
    return db.port.table("mention")->base.begin()->second.values[1];
  };
  a.add_item(1, "one", 10);
  b.pull(&a), c.pull(&a);
  a.erase_item(1);
  REQUIRE(b.port.insert("mention", std::vector<Value>{integer(1), integer(1)}));
  REQUIRE(c.port.insert("ticket", std::vector<Value>{integer(1), integer(1)}));
  Database later = a;
  CHECK(a.pull(&b).conflicts == 1);  // of the mention
  CHECK(mentioned(a).kind() == ValueKind::null);
  CHECK(a.pull(&c).conflicts == 1);  // now the ticket keeps the item
  b.add_item(2, "two", 10);
  CHECK(a.pull(&b).conflicts == 0);  // nothing new about either
  later.pull(&c), later.pull(&b);
  b.pull(&c), b.pull(&later);  // both at once
  for (const Database* db : {&a, &b, &later}) {
    CHECK(db->has_item(1));
    CHECK(mentioned(*db) == OwnedValue(integer(1)));
    CHECK(db->conflicts() == std::vector<std::string>{"foreign_key"});
  }
}

TEST_CASE("apply: the report is JSON with every count", "[apply][unit]") {
  ApplyReport report;
  report.applied = 3;
  report.complete = true;
  const std::string json = report_to_json(report);
  CHECK(json.find("\"applied\": 3") != std::string::npos);
  CHECK(json.find("\"complete\": true") != std::string::npos);
  CHECK(json.find("\"resume\": null") != std::string::npos);
}
