// Goal: policies make of concurrent versions what their names say, whatever the order in which the
// versions came; settings are registers that the latest wins; a bad setting is refused by name; and
// the fold gives versions the notes that policies need (policy.cpp, policy_setting.cpp,
// settings.cpp, fold.cpp).
// Method: cells by hand; every permutation; a row through fold, join and show.
#include <algorithm>

#include "support/catch.hpp"
#include "syncline/conflicts.h"
#include "syncline/fold.h"
#include "syncline/merge.h"
#include "syncline/origin.h"
#include "syncline/policy.h"
#include "syncline/table.h"

namespace syncline::test {
namespace {

using Catch::Matchers::Contains;

SiteId site(uint8_t n) {
  SiteId id;
  id.bytes.fill(n);
  return id;
}

struct Fixture {
  Fixture() {
    for (uint8_t n : {1, 2, 3})
      sites.intern(site(n));
    table.number = 1;
    table.name = "Item";
    for (const auto& [name, type] : std::vector<std::pair<const char*, const char*>>{
             {"id", "integer"}, {"n", "integer"}, {"t", "text"}, {"j", "json"}}) {
      table.columns.push_back({name, type, logical_kind(type), true, false});
    }
    table.key = {0};
  }

  // What a column of the kind shows of these values, written by sites 0, 1, 2 at 10 ms distance.
  std::string shown(const std::string& policy, LogicalKind kind, const std::vector<Value>& values,
                    const std::string& options = {}) {
    Setting setting;
    const Status status = make_policy_setting(table, kind == LogicalKind::integer ? "n" : "t",
                                              policy, options, settings, &setting);
    INFO(status.message());
    REQUIRE(status.ok());
    setting.hlc = hlc_from_ms(++clock);
    settings.merge(setting);
    std::vector<TableInfo> tables{table};
    apply_policies(settings, &tables);
    const Policy& made = *tables[0].columns[kind == LogicalKind::integer ? 1 : 2].policy;
    std::vector<NotedVersion> versions;
    for (size_t i = 0; i < values.size(); ++i) {
      versions.push_back(
          {{i + 1, hlc_from_ms(1000 + 10 * i), static_cast<SiteIndex>(i), false}, values[i], {}});
    }
    MergeInput input;
    input.kind = kind;
    input.versions = versions;
    input.sites = &sites;
    Arena arena;
    MergeResult result;
    resolve_cell(made, input, &arena, &result);
    lost = static_cast<size_t>(std::count(result.lost.begin(), result.lost.end(), true));
    return value_to_json(result.value);
  }
  std::string numbers(const std::string& policy, const std::vector<int64_t>& values) {
    std::vector<Value> list;
    for (int64_t v : values)
      list.push_back(Value::integer(v));
    return shown(policy, LogicalKind::integer, list);
  }

  Status set(const std::string& column, const std::string& policy,
             const std::string& options = {}) {
    Setting setting;
    const Status status = make_policy_setting(table, column, policy, options, settings, &setting);
    if (!status.ok()) return status;
    setting.hlc = hlc_from_ms(++clock);
    setting.site = site(1);
    settings.merge(setting);
    std::vector<TableInfo> tables{table};
    apply_policies(settings, &tables);
    table = tables[0];
    return status;
  }

  SiteTable sites;
  TableInfo table;
  Settings settings;
  uint64_t clock = 1;
  size_t lost = 0;
};

TEST_CASE("policy: each makes of three versions what its name says", "[policy][unit]") {
  Fixture f;
  CHECK(f.numbers("last_writer", {5, 9, 7}) == "7");
  CHECK(f.lost == 2);
  CHECK(f.numbers("first_writer", {5, 9, 7}) == "5");
  CHECK(f.numbers("max", {5, 9, 7}) == "9");
  CHECK(f.numbers("min", {5, 9, 7}) == "5");
  CHECK(f.numbers("manual", {5, 9, 7}) == "7");
  CHECK(f.numbers("max", {7, 7, 7}) == "7");
  CHECK(f.lost == 0);
  CHECK(f.numbers("sql:max(a, b) + 1", {5, 9, 7}) == "11");  // max(max(5, 9) + 1, 7) + 1
  CHECK(f.lost == 3);
  CHECK(f.shown("max", LogicalKind::integer, {Value::null(), Value::integer(-3)}) == "-3");
  CHECK(f.shown("min", LogicalKind::integer, {Value::integer(2), Value::null()}) == "2");
  CHECK(f.shown("max", LogicalKind::integer, {Value::null(), Value::null()}) == "null");
  const std::vector<Value> texts{Value::text("b"), Value::text("a"), Value::text("b")};
  CHECK(f.shown("concat", LogicalKind::text, texts) == "\"b, a\"");
  CHECK(f.lost == 0);
  CHECK(f.shown("concat", LogicalKind::text, texts, R"({"separator": "/"})") == "\"b/a\"");
  const std::string order =
      R"({"order": [")" + to_hex(site(3)) + R"(", ")" + to_hex(site(2)) + R"("]})";
  CHECK(f.shown("site_priority", LogicalKind::text, {Value::text("x"), Value::text("y")}, order) ==
        "\"y\"");
}

TEST_CASE("policy: a bad setting is refused and says what to do", "[policy][unit]") {
  Fixture f;
  CHECK_THAT(f.set("n", "countr").message(), Contains("no policy \"countr\""));
  CHECK_THAT(f.set("n", "countr").hint(), Contains("counter"));
  CHECK_THAT(f.set("m", "max").message(), Contains("no column \"m\""));
  CHECK_THAT(f.set("id", "max").message(), Contains("primary key"));
  CHECK_THAT(f.set("t", "counter").message(), Contains("a counter adds numbers"));
  CHECK_THAT(f.set("n", "text").message(), Contains("type integer"));
  CHECK_THAT(f.set("n", "max", R"({"separator": ","})").message(), Contains("separator"));
  CHECK_THAT(f.set("n", "max", R"({"seperator": ","})").hint(), Contains("separator"));
  CHECK_THAT(f.set("n", "max", R"({"grain": "row"})").message(), Contains("for a column"));
  CHECK_THAT(f.set("n", "max", "[1]").message(), Contains("not a JSON object"));
  CHECK_THAT(f.set("n", "site_priority").message(), Contains("order of sites"));
  CHECK_THAT(f.set("n", "site_priority", R"({"order": ["me"]})").message(), Contains("no site id"));
  CHECK_THAT(f.set("n", "sql:pg_sleep(1)").message(), Contains("pg_sleep"));
  CHECK_THAT(f.set("", "", R"({"grain": "cell"})").message(), Contains("grain cannot be"));
  CHECK_THAT(f.set("", "", R"({"on_delete": "never"})").message(), Contains("on_delete cannot be"));
  CHECK_THAT(f.set("", "", R"({"severity": "huge"})").message(), Contains("no severity"));
  CHECK_THAT(f.set("n", "").message(), Contains("needs a policy"));
  CHECK(f.settings.empty());
}

TEST_CASE("policy: a table's is that of columns without one of their own", "[policy][unit]") {
  Fixture f;
  REQUIRE(
      f.set("", "max", R"({"grain": "row", "on_delete": "delete_wins", "severity": "high"})").ok());
  CHECK(f.table.columns[1].policy_kind() == PolicyKind::max);
  CHECK(f.table.row_grain);
  CHECK(f.table.on_delete == OnDelete::delete_wins);
  CHECK(f.table.severity.of("unique") == "high");
  REQUIRE(f.set("N", "counter").ok());  // names go without regard to case
  CHECK(f.table.columns[1].policy_kind() == PolicyKind::counter);
  CHECK(f.table.columns[2].policy_kind() == PolicyKind::max);
  REQUIRE(f.set("", "min").ok());  // leaves the rules for rows alone
  CHECK(f.table.row_grain);
  REQUIRE(f.set("n", "default").ok());
  CHECK(f.table.columns[1].policy_kind() == PolicyKind::min);
  REQUIRE(f.set("", "", R"({"severity": {"unique": "critical", "default": "low"}})").ok());
  CHECK(f.table.severity.of("unique") == "critical");
  CHECK(f.table.severity.of("update_update") == "low");
  // A counter for a whole table is one only for its numbers.
  REQUIRE(f.set("", "counter").ok());
  CHECK(f.table.columns[1].policy_kind() == PolicyKind::counter);
  CHECK(f.table.columns[2].policy_kind() == PolicyKind::last_writer);
}

TEST_CASE("policy: of two settings the later wins, in either order", "[policy][unit]") {
  const Setting early{"policy/t", "{}", 5, site(9)}, late{"policy/t", "", 6, site(1)};
  const Setting tie{"policy/t", "{\"policy\": \"max\"}", 6, site(2)};
  for (const auto& order :
       {std::vector{early, late, tie}, {tie, late, early}, {late, tie, early}}) {
    Settings settings;
    for (const Setting& s : order)
      settings.merge(s);
    REQUIRE(settings.find("policy/t") != nullptr);
    CHECK(*settings.find("policy/t") == tie.value);
    CHECK(settings.next_hlc("policy/t", 1) == 7);
    CHECK_FALSE(settings.merge(early));
  }
}

TEST_CASE("policy: settings follow a rename, with their clocks, unless a later one is there",
          "[policy][unit]") {
  Settings settings;
  for (const Setting& s : {Setting{"policy/t", "{}", 5, site(1)}, {"policy/t/a", "{}", 6, site(2)},
                           {"policy/t/b%2f", "", 7, site(1)}, {"policy/tt/a", "{}", 8, site(1)},
                           {"policy/u/a", "{\"policy\": \"max\"}", 9, site(1)}}) {
    settings.merge(s);
  }
  const auto keys = [](const std::vector<Setting>& made) {
    std::vector<std::string> out;
    for (const Setting& s : made)
      out.push_back(s.key + "@" + std::to_string(s.hlc));
    return out;
  };
  using Keys = std::vector<std::string>;
  CHECK(keys(rename_policies("T", "B/", "New/", &settings)) == Keys{"policy/t/new%2f@7"});
  CHECK(settings.find_setting("policy/t/new%2f")->site == site(1));
  CHECK(settings.find("policy/t/new%2f") == nullptr);  // taken back, as the old one
  CHECK(rename_policies("T", "b/", "NEW/", &settings).empty());
  CHECK(rename_policies("t", "a", "A", &settings).empty());
  CHECK(rename_policies("t", "none", "a", &settings).empty());
  // u had one for its column a: the later stays.
  CHECK(keys(rename_policies("t", "", "U", &settings)) ==
        Keys{"policy/u@5", "policy/u/b%2f@7", "policy/u/new%2f@7"});
  CHECK(*settings.find("policy/u/a") == "{\"policy\": \"max\"}");
  CHECK(settings.find("policy/t/a") != nullptr);
}

TEST_CASE("policy: confidence is certain, a rule, a coin toss or nothing", "[policy][unit]") {
  Policy policy;
  CHECK(merge_confidence(policy, hlc_from_ms(5000), hlc_from_ms(5500)) == 0.5);
  CHECK(merge_confidence(policy, hlc_from_ms(900'000), hlc_from_ms(5000)) == 0.8);
  policy.kind = PolicyKind::max;
  CHECK(merge_confidence(policy, hlc_from_ms(5000), hlc_from_ms(5500)) == 0.9);
  policy.kind = PolicyKind::manual;
  CHECK(merge_confidence(policy, hlc_from_ms(5000), hlc_from_ms(9500)) == 0);
}

// One row at one site: folds local updates of column `n`, joins with others.
struct Replica {
  Replica(Fixture* fixture, SiteIndex index) : f(*fixture), self(index) {
    row.column_count = f.table.column_count();
  }
  void write(int64_t value, bool insert = false) {
    const LogEvent event{++seq, hlc_from_ms(++f.clock), insert ? kMaskAll : 2, 4, {}, false};
    const std::vector<Value> before = base;
    base = {Value::integer(1), Value::integer(value), Value::null(), Value::null()};
    FoldInput input;
    input.self = self;
    input.events = {&event, 1};
    input.exists = true;
    input.image = base;
    if (!insert) input.before = before;
    fold_row(input, f.table, f.sites, &arena, &row);
    resolve_same(base, &row);
    known.set(self, {seq, event.hlc});
  }
  void join(const Replica& other) {
    RowState joined;
    join_rows(row, {&known, nullptr}, {other.row, true}, {&other.known, nullptr}, f.sites, &joined);
    row = joined;
    known.merge(other.known);
    ShownRow shown;
    show_row(row, f.table, f.sites, &shown);
    base.clear();
    for (const Value& v : shown.values)
      base.push_back(arena.copy(v));
  }
  int64_t n() const { return base[1].as_integer(); }

  Fixture& f;
  SiteIndex self;
  RowState row;
  VersionVector known;
  std::vector<Value> base;
  Arena arena;
  uint64_t seq = 0;
};

TEST_CASE("policy: a counter counts each increment once, through relays", "[policy][unit]") {
  Fixture f;
  REQUIRE(f.set("n", "counter").ok());
  Replica a(&f, 0), b(&f, 1), c(&f, 2);
  a.write(10, true);
  b.join(a), c.join(b);
  a.write(13), b.write(11), b.write(12), c.write(5);  // +3, +2, -5
  b.join(a), c.join(b), a.join(c), b.join(c), a.join(b);
  CHECK(a.n() == 10);
  CHECK(b.n() == 10);
  CHECK(c.n() == 10);
  b.join(a);
  CHECK(b.n() == 10);
  // It goes on from there, and the state survives packing.
  std::string buffer;
  const PackedRow packed = pack_row(a.row, f.table, nullptr, true, &buffer);
  RowState back;
  REQUIRE(unpack_row(packed, a.row.column_count, &back).ok());
  CHECK(back.notes.size() == a.row.notes.size());
  a.write(11), b.write(14);
  a.join(b), b.join(a);
  CHECK(a.n() == 15);
  CHECK(b.n() == 15);
  std::vector<Conflict> conflicts;
  find_conflicts(f.table, std::vector<Value>{Value::integer(1)}, a.row, f.sites, &conflicts);
  CHECK(conflicts.empty());  // nothing was lost
}

TEST_CASE("policy: row grain makes edits of different columns a conflict", "[policy][unit]") {
  Fixture f;
  REQUIRE(f.set("", "", R"({"grain": "row"})").ok());
  Replica a(&f, 0), b(&f, 1);
  a.write(1, true);
  b.join(a);
  a.write(2), b.write(3);
  a.join(b);
  CHECK(a.n() == 3);
  CHECK(a.row.rest.size() == 2);
  std::vector<Conflict> conflicts;
  find_conflicts(f.table, std::vector<Value>{Value::integer(1)}, a.row, f.sites, &conflicts);
  REQUIRE(conflicts.size() == 1);
  CHECK(conflicts[0].column == -1);
  CHECK_THAT(conflicts[0].loser_json, Contains("\"n\": 2"));
}

TEST_CASE("policy: a decision closes a conflict and its undoing reopens it", "[policy][unit]") {
  Fixture f;
  Replica a(&f, 0), b(&f, 1);
  a.write(1, true);
  b.join(a);
  a.write(2), b.write(3);
  a.join(b);
  const std::vector<Value> key{Value::integer(1)};
  std::vector<Conflict> conflicts;
  find_conflicts(f.table, key, a.row, f.sites, &conflicts);
  REQUIRE(conflicts.size() == 1);
  const Conflict open = conflicts[0];

  Origin origin;
  origin.actor = "Ann";
  origin.conflict = open.id;
  origin.choice = "local";
  origin.note = "she is right";
  a.write(2);
  const std::string decided = origin_to_text(origin);
  a.row.set_note(kRowNote, a.row.cells.at(0).version, decided);
  find_conflicts(f.table, key, a.row, f.sites, &conflicts);
  CHECK(conflicts.empty());
  const ConflictEnd end = conflict_end(open, a.row, f.sites);
  CHECK(end.how == "decision");
  CHECK(end.by == "Ann");
  CHECK(end.choice == "local");
  CHECK(end.note == "she is right");

  Origin undo;
  undo.reopened = {open.id,         "update_update", "n",           open.winner_json,
                   open.loser_json, site(2),         site(1),       open.winner.seq,
                   open.loser.seq,  open.winner.hlc, open.loser.hlc};
  a.write(3);
  const std::string undone = origin_to_text(undo);
  a.row.set_note(kRowNote, a.row.cells.at(0).version, undone);
  b.join(a);
  find_conflicts(f.table, key, b.row, f.sites, &conflicts);
  REQUIRE(conflicts.size() == 1);
  CHECK(conflicts[0].id == open.id);
  CHECK(conflicts[0].winner_json == "3");
  CHECK(conflicts[0].loser_json == "2");
  b.write(9);
  find_conflicts(f.table, key, b.row, f.sites, &conflicts);
  CHECK(conflicts.empty());
}

}  // namespace
}  // namespace syncline::test
