// Rows that come without state into a table where nothing is (apply_fill.cpp): they get none here,
// whatever else happens while the exchange that brings them goes on.
#include "support/two_sites.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

using Kinds = std::vector<std::string>;

constexpr int64_t kRows = 10;
constexpr uint64_t kChunkBytes = 160;  // some rows, not all

// Tracked when it had rows already: they have no state.
Database old_database(uint64_t number) {
  Database out(number, false);
  std::vector<OwnedRow> rows;
  for (int64_t id = 0; id < kRows; ++id)
    rows.push_back({integer(id), text("old"), integer(100 + id), integer(0)});
  out.port.enable(item_rules(), rows);
  out.port.enable(part_rules());
  return out;
}

size_t states(const Database& database) {
  return database.port.table("item")->state.size();
}

// Applies the next chunk, of few rows. Returns where to go on; empty: it was the last.
std::string step(Database* from, Database* to, const std::string& resume) {
  to->port.fold();
  const ExportedChunk chunk = from->export_for(to->vector(), resume, kChunkBytes);
  ApplyReport report;
  const Status status = to->apply(chunk.bytes, &report);
  INFO(status.message());
  REQUIRE(status.ok());
  return chunk.last ? std::string() : report.resume;
}

void finish(Database* from, Database* to, std::string resume) {
  do resume = step(from, to, resume);
  while (!resume.empty());
}

void check_same(const Database& a, const Database& b) {
  const auto &ours = a.port.table("item")->base, &theirs = b.port.table("item")->base;
  REQUIRE(ours.size() == theirs.size());
  for (const auto& [key, row] : ours) {
    const auto found = theirs.find(key);
    REQUIRE(found != theirs.end());
    CHECK(row.values == found->second.values);
  }
}

}  // namespace

TEST_CASE("fill: rows without state get none here, in one chunk or in many", "[fill][unit]") {
  for (const uint64_t bytes : {64, 1 << 20}) {
    Database a = old_database(1), b(2);
    a.set(3, "name", text("new"));
    b.pull(&a, bytes);
    check_same(a, b);
    CHECK(states(b) == 1);
    CHECK(b.port.data().contexts.empty());
    CHECK(b.conflicts().empty());
    CHECK(b.export_for(a.vector()).row_count == 0);
    CHECK(a.export_for(b.vector()).row_count == 0);
  }
}

TEST_CASE("fill: what is filled can be changed, deleted and passed on", "[fill][unit]") {
  Database a = old_database(1), b(2), c(3);
  b.pull(&a, 64);
  b.set(1, "name", text("from b"));
  b.erase_item(2);
  c.pull(&b, 64);
  CHECK(states(c) <= 2);
  a.swap_with(&b);
  a.swap_with(&c);
  for (const Database* database : {&b, &c})
    check_same(a, *database);
  CHECK(a.shown(1, "name") == OwnedValue(text("from b")));
  CHECK_FALSE(a.has_item(2));
  CHECK(a.conflicts().empty());
}

TEST_CASE("fill: a relay in the middle of it passes on what it has", "[fill][unit]") {
  Database a = old_database(1), b(2), c(3);
  const std::string resume = step(&a, &b, "");
  REQUIRE_FALSE(resume.empty());
  REQUIRE(b.has_item(0));
  REQUIRE_FALSE(b.has_item(kRows - 1));
  c.pull(&b);
  CHECK(c.has_item(0));
  a.set(0, "name", text("new"));
  finish(&a, &b, resume);
  c.pull(&b);
  c.pull(&a);
  b.pull(&a);
  for (const Database* database : {&b, &c}) {
    check_same(a, *database);
    CHECK(database->conflicts().empty());
  }
}

TEST_CASE("fill: of a third site's rows what that site knew counts as known", "[fill][unit]") {
  Database a = old_database(1), b(2), c(3);
  c.pull(&a);
  a.set(kRows - 1, "name", text("new"));  // c does not know
  const std::string resume = step(&a, &b, "");
  REQUIRE_FALSE(b.has_item(kRows - 1));
  b.pull(&c);
  REQUIRE(b.has_item(kRows - 1));
  finish(&a, &b, resume);
  check_same(a, b);
}

TEST_CASE("fill: what the sender heard of in the middle of it has a context", "[fill][unit]") {
  Database a(1), b(2), c(3, false), d(4);
  for (int64_t id = 0; id < kRows; ++id)
    a.add_item(id, "item", 100 + id);
  c.port.enable(item_rules());
  std::vector<OwnedRow> parts;
  for (int64_t line = 0; line < 2 * kRows; ++line)
    parts.push_back({integer(0), text("line " + std::to_string(line)), text("old")});
  c.port.enable(part_rules(), parts);

  std::string resume = step(&a, &b, "");
  REQUIRE_FALSE(resume.empty());
  a.pull(&c);  // rows without state, of a site that a did not know when it began with b
  while (!b.has_part(0, "line 0"))
    resume = step(&a, &b, resume);
  REQUIRE_FALSE(resume.empty());
  d.pull(&b);
  CHECK(d.has_part(0, "line 0"));
  finish(&a, &b, resume);
  d.pull(&b);
  CHECK(d.has_part(0, "line 19"));
  CHECK(d.conflicts().empty());
}

namespace {

// An exchange breaks off, rows are written here, and one that begins anew ends: they stand.
void edit_between_exchanges(Database* a, Database* b) {
  REQUIRE_FALSE(step(a, b, "").empty());
  REQUIRE(b->has_item(1));
  b->set(0, "name", text("here"));
  b->erase_item(1);
  finish(a, b, "");
  CHECK(b->shown(0, "name") == OwnedValue(text("here")));
  CHECK_FALSE(b->has_item(1));
}

}  // namespace

TEST_CASE("fill: local writes in between stand when the exchange begins anew", "[fill][unit]") {
  Database a = old_database(1), b(2);
  edit_between_exchanges(&a, &b);
  CHECK(states(b) == 2);
  CHECK(b.conflicts().empty());
  a.pull(&b);
  check_same(a, b);
  CHECK(a.conflicts().empty());
}

TEST_CASE("fill: a row made here before the sender's comes is beside it", "[fill][unit]") {
  Database a = old_database(1), b(2);
  const std::string resume = step(&a, &b, "");
  REQUIRE_FALSE(b.has_item(9));
  REQUIRE(b.add_item(9, "mine", 109));
  finish(&a, &b, resume);
  CHECK(b.shown(9, "name") == OwnedValue(text("mine")));
  CHECK(b.conflicts() == Kinds{"insert_insert"});
  a.pull(&b);
  check_same(a, b);
  CHECK(a.conflicts() == Kinds{"insert_insert"});
}

TEST_CASE("fill: a key that was used here and is free again is not taken for known",
          "[fill][unit]") {
  Database a = old_database(1), b(2);
  const std::string resume = step(&a, &b, "");
  REQUIRE(b.add_item(9, "mine", 109));
  REQUIRE(b.erase_item(9));
  finish(&a, &b, resume);
  CHECK(b.shown(9, "name") == OwnedValue(text("old")));
}

TEST_CASE("fill: two sites that had the same rows keep them, and name what differs",
          "[fill][unit]") {
  Database a = old_database(1), b = old_database(2);
  b.set(4, "name", text("changed"));
  a.swap_with(&b);
  check_same(a, b);
  CHECK(a.conflicts() == Kinds{"update_update"});
  CHECK(a.shown(4, "name") == OwnedValue(text("changed")));
}

TEST_CASE("fill: a row that a constraint refuses is held, and let in later", "[fill][unit]") {
  Database a = old_database(1), b(2);
  REQUIRE(b.add_item(50, "in the way", 105));  // the code of item 5
  const auto held = [](const Database& d) { return d.conflicts() == Kinds{"unique"}; };
  b.pull(&a, 64);
  CHECK(held(b));
  CHECK(b.has_item(50));
  CHECK_FALSE(b.has_item(5));
  REQUIRE(b.set(50, "code", integer(999)));
  a.pull(&b);
  b.pull(&a);
  CHECK(b.has_item(5));
  CHECK(b.conflicts().empty());
  check_same(a, b);
}

TEST_CASE("fill: melted rows come without state, too", "[fill][unit]") {
  Database a = old_database(1), b(2);
  a.port.join_members();
  a.set(3, "name", text("new"));
  a.erase_item(4);
  MeltReport melted;
  do REQUIRE(a.port.maintain(1000, &melted).ok());
  while (!melted.done);
  REQUIRE(states(a) == 1);  // the tombstone waits for another site
  b.pull(&a, 64);
  check_same(a, b);
  CHECK(states(b) == 1);
  CHECK(b.port.data().contexts.empty());
  b.erase_item(5);
  b.set(6, "name", text("from b"));
  a.pull(&b);
  check_same(a, b);
  CHECK(a.conflicts().empty());
}

TEST_CASE("fill: a melted table comes in an exchange that breaks off", "[fill][unit]") {
  Database a = old_database(1), b(2);
  a.port.join_members();
  MeltReport melted;
  do REQUIRE(a.port.maintain(1000, &melted).ok());
  while (!melted.done);
  edit_between_exchanges(&a, &b);
  a.pull(&b);
  check_same(a, b);
}
