// What a decision writes, whatever the conflict and the choice, and what it refuses
// (decision_value.cpp reads what people give); policies as they are listed and suggested
// (policy_report.cpp, policy_suggestion.cpp); what a version says of its writer (origin.cpp).
#include "support/catch.hpp"
#include "syncline/decision.h"
#include "syncline/explain.h"
#include "syncline/fold.h"
#include "syncline/policy_report.h"
#include "syncline/policy_suggestion.h"

using namespace syncline;

namespace {

// task(id, title text, qty integer, raw bytes): one version wrote it, then two changed the title.
struct Fixture {
  Fixture() {
    for (const uint8_t n : {1, 2}) {
      SiteId id;
      id.bytes[0] = n;
      sites.intern(id);
    }
    table.name = "task";
    table.columns = {{"id", "integer", LogicalKind::integer, true, false},
                     {"title", "text", LogicalKind::text, true, false},
                     {"qty", "integer", LogicalKind::integer, true, false},
                     {"raw", "bytes", LogicalKind::bytes, true, false}};
    table.key = {0};
    row.column_count = 4;
    const std::vector<Value> values = {Value(), Value::text("old"), Value::integer(5),
                                       Value::blob(std::string_view("\0\1", 2))};
    row.write_all({1, hlc_from_ms(1), 0, false}, values);
    row.cells = {{1, {2, hlc_from_ms(2), 0, false}, Value::text("mine")},
                 {1, {3, hlc_from_ms(3), 1, false}, Value::text("theirs")}};
    conflict.id = "ab";
    conflict.kind = "update_update";
    conflict.table_name = "task";
    conflict.pk = "{\"id\": 1}";
    conflict.column_name = "title";
    conflict.local = "\"mine\"";
    conflict.remote = conflict.winner = "\"theirs\"";
  }
  DecisionInput input() const {
    return {&table, key, &row, &sites, stored, &conflict};
  }
  Status plan(Choice choice, const Value& given = Value()) {
    return plan_decision(input(), choice, given, &arena, &out);
  }
  void row_conflict(const char* kind) {
    row.cells = {{1, {2, hlc_from_ms(2), 0, false}, Value::text("mine")},
                 {1, {9, hlc_from_ms(9), 1, true}, Value::text("old")},
                 {2, {9, hlc_from_ms(9), 1, true}, Value::integer(5)},
                 {3, {9, hlc_from_ms(9), 1, true}, Value::null()}};
    row.rest = {{9, hlc_from_ms(9), 1, true}};
    conflict.kind = kind;
    conflict.column_name.clear();
    conflict.local = conflict.winner = "{\"title\": \"mine\"}";
    conflict.remote = "null";
  }

  SiteTable sites;
  TableInfo table;
  RowState row;
  std::vector<Value> key = {Value::integer(1)};
  ConflictText conflict;
  bool stored = true;
  Arena arena;
  Decision out;
};

TEST_CASE("decision: rows that moved come back from their text, damaged lines aside",
          "[decision][unit]") {
  std::string text;
  append_moved_row({7, std::string("k\0\xff", 3), true}, &text);
  append_moved_row({12, "p", false}, &text);
  const std::vector<MovedRow> rows = moved_rows(text + "no line\n9\tzz\tdeleted\n5\tcut");
  REQUIRE(rows.size() == 2);
  CHECK((rows[0].table == 7 && rows[0].key == std::string("k\0\xff", 3) && rows[0].deleted));
  CHECK((rows[1].table == 12 && rows[1].key == "p" && !rows[1].deleted));
}

}  // namespace

TEST_CASE("decision: a column takes the value of the side chosen", "[decision][unit]") {
  Fixture f;
  REQUIRE(f.plan(Choice::local).ok());
  CHECK(f.out.exists);
  CHECK(f.out.values[1].identical(Value::text("mine")));
  CHECK(f.out.values[2].is(ValueKind::absent));
  CHECK(f.out.mask == 2);
  CHECK(f.out.shown_json == "\"mine\"");
  REQUIRE(f.plan(Choice::merged).ok());
  CHECK(f.out.values[1].identical(Value::text("theirs")));
  const Status base = f.plan(Choice::base);
  CHECK(base.code() == StatusCode::refused);
  CHECK(base.message().find("has no base") != std::string::npos);
  f.conflict.base = "\"old\"";
  REQUIRE(f.plan(Choice::base).ok());
  CHECK(f.out.values[1].identical(Value::text("old")));
}

TEST_CASE("decision: a value given is brought to the type, or refused", "[decision][unit]") {
  Fixture f;
  f.conflict.column_name = "qty";
  REQUIRE(f.plan(Choice::value, Value::text("42")).ok());
  CHECK(f.out.values[2].identical(Value::integer(42)));
  REQUIRE(f.plan(Choice::value, Value::null()).ok());
  CHECK(f.out.values[2].is(ValueKind::null));
  for (const Value& wrong : {Value::text("many"), Value::real(1.5), Value::blob("42")}) {
    const Status status = f.plan(Choice::value, wrong);
    CHECK(status.code() == StatusCode::invalid_argument);
    CHECK(status.message() ==
          "column \"qty\" of task has type integer and cannot hold this value");
  }
  f.conflict.column_name = "raw";
  REQUIRE(f.plan(Choice::value, Value::text("\\x00ff")).ok());
  CHECK(f.out.values[3].identical(Value::blob(std::string_view("\0\xff", 2))));
  CHECK_FALSE(f.plan(Choice::value, Value::text("\\x0")).ok());
}

TEST_CASE("decision: bytes come from the row's version, or from JSON", "[decision][unit]") {
  Fixture f;
  f.conflict.column_name = "raw";
  f.conflict.local = "\"\\\\x0001\"";
  REQUIRE(f.plan(Choice::local).ok());
  CHECK(f.out.values[3].identical(Value::blob(std::string_view("\0\1", 2))));
  f.conflict.local = "\"\\\\xff\"";
  REQUIRE(f.plan(Choice::local).ok());
  CHECK(f.out.values[3].identical(Value::blob("\xff")));
}

TEST_CASE("decision: a deleted row stays or goes as a whole", "[decision][unit]") {
  Fixture f;
  f.row_conflict("update_delete");
  REQUIRE(f.plan(Choice::local).ok());
  CHECK(f.out.exists);
  CHECK(f.out.mask == kMaskEvery);
  CHECK(f.out.values[0].identical(Value::integer(1)));
  CHECK(f.out.values[1].identical(Value::text("mine")));
  CHECK(f.out.values[2].identical(Value::integer(5)));
  REQUIRE(f.plan(Choice::remote).ok());
  CHECK_FALSE(f.out.exists);
  CHECK(f.out.mask == kMaskAll);
  REQUIRE(f.plan(Choice::value, Value::text("{\"qty\": 6}")).ok());
  CHECK(f.out.values[2].identical(Value::integer(6)));
  CHECK(f.plan(Choice::value, Value::text("[1]")).code() == StatusCode::invalid_argument);
  CHECK(f.plan(Choice::value, Value::text("{\"titel\": 6}")).hint() == "did you mean \"title\"?");
  CHECK(f.plan(Choice::value, Value::text("{\"id\": 6}")).code() == StatusCode::refused);
  CHECK(f.plan(Choice::value, Value::text("{\"qty\": \"x\"}")).code() ==
        StatusCode::invalid_argument);
}

TEST_CASE("decision: a held row is stored, stored changed, or given up", "[decision][unit]") {
  Fixture f;
  f.row_conflict("unique");
  f.stored = false;
  REQUIRE(f.plan(Choice::local).ok());
  CHECK_FALSE(f.out.exists);
  CHECK(f.out.held);
  REQUIRE(f.plan(Choice::remote).ok());
  CHECK(f.out.exists);
  REQUIRE(f.plan(Choice::value, Value::text("{\"title\": \"other\"}")).ok());
  CHECK(f.out.values[1].identical(Value::text("other")));
  CHECK(f.plan(Choice::merged).code() == StatusCode::refused);
}

TEST_CASE("decision: a row that a foreign key keeps or adjusts", "[decision][unit]") {
  Fixture f;
  f.row_conflict("foreign_key");
  f.row.kept = true;
  const std::vector<Value> base = {Value::integer(1), Value::text("shown"), Value::null(),
                                   Value::null()};
  DecisionInput input = f.input();
  input.base = base;
  const auto plan = [&](Choice choice) {
    return plan_decision(input, choice, Value(), &f.arena, &f.out);
  };
  REQUIRE(plan(Choice::local).ok());
  CHECK(f.out.exists);
  CHECK(f.out.values[1].identical(Value::text("shown")));
  REQUIRE(plan(Choice::remote).ok());
  CHECK_FALSE(f.out.exists);
  CHECK_FALSE(plan(Choice::base).ok());
  f.row.kept = false;
  f.row.adjusted = true;
  REQUIRE(plan(Choice::merged).ok());
  CHECK(f.out.values[2].is(ValueKind::null));
  REQUIRE(plan(Choice::remote).ok());
  CHECK(f.out.held);
  CHECK(f.out.values[2].identical(Value::integer(5)));
}

TEST_CASE("decision: undoing writes what was shown before", "[decision][unit]") {
  Fixture f;
  const Version decided{20, hlc_from_ms(20), 0, false};
  f.row.cells = {{1, decided, Value::text("decided")}};  // it has replaced both versions
  Arena arena;
  Decision out;
  CHECK(plan_undo(f.input(), &arena, &out).code() == StatusCode::refused);  // by no decision
  f.row.set_note(kRowNote, decided, "{\"conflict\": \"ab\"}");
  REQUIRE(plan_undo(f.input(), &arena, &out).ok());
  CHECK(out.values[1].identical(Value::text("theirs")));
  f.row_conflict("update_delete");
  f.row.set_note(kRowNote, f.row.rest[0], "{\"conflict\": \"ab\"}");
  REQUIRE(plan_undo(f.input(), &arena, &out).ok());
  CHECK(out.exists);
  f.conflict.winner = "null";
  REQUIRE(plan_undo(f.input(), &arena, &out).ok());
  CHECK_FALSE(out.exists);
}

TEST_CASE("decision: previews name every choice that is possible", "[decision][unit]") {
  Fixture f;
  std::vector<PreviewLine> lines;
  preview_choices(f.input(), &lines);
  std::string choices;
  for (const PreviewLine& line : lines) choices += line.choice + " ";
  CHECK(choices == "local remote merged value skip ");
  CHECK(lines[0].value == "\"mine\"");
  CHECK(lines[0].note == "the local value is written");
  f.stored = false;
  preview_choices(f.input(), &lines);
  CHECK(lines.size() == 2);
}

TEST_CASE("decision: choices and filters are checked by name", "[decision][unit]") {
  Choice choice = Choice::skip;
  CHECK(choice_from_name("local", &choice).ok());
  CHECK(choice == Choice::local);
  CHECK(choice_from_name("locl", &choice).hint() == "did you mean \"local\"?");
  ConflictFilter filter;
  REQUIRE(filter_from_json("{\"table\": \"Task\", \"kind\": \"update_update\", \"min_age_s\": 10}",
                           &filter).ok());
  Fixture f;
  CHECK(filter.matches(f.conflict, 10));
  CHECK_FALSE(filter.matches(f.conflict, 9));
  f.conflict.table_name = "other";
  CHECK_FALSE(filter.matches(f.conflict, 10));
  CHECK(filter_from_json("{\"tabel\": \"x\"}", &filter).hint() == "did you mean \"table\"?");
  CHECK(filter_from_json("{\"kind\": \"update_updat\"}", &filter).hint() ==
        "did you mean \"update_update\"?");
  CHECK_FALSE(filter_from_json("[]", &filter).ok());
  CHECK_FALSE(filter_from_json("{\"min_age_s\": -1}", &filter).ok());
  CHECK_FALSE(filter_from_json("{\"table\": 1}", &filter).ok());
  CHECK(filter_from_json("", &filter).ok());
}

TEST_CASE("policies: names and types suggest them", "[decision][unit]") {
  TableInfo table;
  table.name = "item";
  const auto add = [&](const char* name, const char* type) {
    table.columns.push_back({name, type, logical_kind(type), true, false});
  };
  add("id", "integer");
  add("stockCount", "integer");
  add("updated_at", "timestamptz");
  add("tags", "json");
  add("body", "text");
  add("status", "text");
  add("sku", "text");
  add("score", "integer");
  table.key = {0};
  const std::vector<ColumnNumber> unique = {6, 7};
  std::string found;
  for (const auto& s : suggest_policies(table, unique)) found += s.column + "=" + s.policy + " ";
  CHECK(found == "stockCount=counter updated_at=max tags=union body=text status=manual "
                 "sku=last_writer score=last_writer ");
}

TEST_CASE("policies: settings are listed with their tables' names", "[decision][unit]") {
  Fixture f;
  f.table.name = "Task/1";
  Settings settings;
  Setting made;
  made.hlc = hlc_from_ms(5);
  made.site = f.sites.id(1);
  const char* separator = "{\"separator\": \"; \"}";
  REQUIRE(make_policy_setting(f.table, "Title", "concat", separator, settings, &made).ok());
  settings.merge(made);
  CHECK(policy_to_json(f.table, "TITLE", made, 3) ==
        "{\"table\": \"Task/1\", \"column\": \"title\", \"policy\": \"concat\", "
        "\"options\": {\"separator\":\"; \"}, \"rows\": 3}");
  REQUIRE(make_policy_setting(f.table, "", "", "{\"on_delete\": \"delete_wins\"}", settings, &made)
              .ok());
  settings.merge(made);
  const std::vector<PolicyLine> lines = policy_lines(settings, {f.table});
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].table_name == "Task/1");
  CHECK(lines[0].column_name.empty());
  CHECK(lines[0].policy.empty());
  CHECK(lines[0].options == "{\"on_delete\":\"delete_wins\"}");
  CHECK(lines[0].source == "table");
  CHECK(lines[1].column_name == "title");
  CHECK(lines[1].policy == "concat");
  CHECK(lines[1].set_by_site == to_hex(f.sites.id(1)));
  made.value.clear();
  CHECK(policy_to_json(f.table, "", made, 0).find("\"default\"") != std::string::npos);
}

TEST_CASE("policies: an order may name sites", "[decision][unit]") {
  const auto find = [](const std::string& name) -> std::optional<SiteId> {
    if (name != "hub") return std::nullopt;
    return SiteId{{7}};
  };
  CHECK(translate_site_names("{\"order\": [\"hub\", \"x\", 3]}", find) ==
        "{\"order\":[\"07" + std::string(30, '0') + "\",\"x\",3]}");
  CHECK(translate_site_names("nonsense", find) == "nonsense");
}

TEST_CASE("explain: a key is named by an object, or by its value", "[explain][unit]") {
  Fixture f;
  std::vector<Value> key;
  REQUIRE(key_from_argument(f.table, Value::text("12"), &f.arena, &key).ok());
  CHECK(key[0].identical(Value::integer(12)));
  REQUIRE(key_from_argument(f.table, Value::text("{\"id\": 12}"), &f.arena, &key).ok());
  CHECK(key[0].identical(Value::integer(12)));
  CHECK_FALSE(key_from_argument(f.table, Value::text("x"), &f.arena, &key).ok());
  CHECK_FALSE(key_from_argument(f.table, Value::null(), &f.arena, &key).ok());
  CHECK_FALSE(key_from_argument(f.table, Value::text("{\"no\": 1}"), &f.arena, &key).ok());
  f.table.key = {0, 1};
  CHECK_FALSE(key_from_argument(f.table, Value::text("12"), &f.arena, &key).ok());
  REQUIRE(key_from_argument(f.table, Value::text("{\"title\": \"a\", \"id\": 1}"), &f.arena, &key)
              .ok());
  CHECK(key[1].identical(Value::text("a")));
}

TEST_CASE("origin: text that comes back as it went, and strangers' text as nothing",
          "[decision][unit]") {
  Origin origin;
  CHECK(origin_to_text(origin).empty());
  origin.actor = "ann \"a\"";
  origin.context = "{\"ticket\": 7}";
  origin.conflict = "ab";
  origin.choice = "local";
  origin.note = "as\nsaid";
  const Origin back = origin_from_text(origin_to_text(origin));
  CHECK(back.actor == origin.actor);
  CHECK(back.context == origin.context);
  CHECK(back.choice == "local");
  CHECK(back.note == origin.note);
  CHECK(back.decides());
  CHECK_FALSE(may_reopen(origin_to_text(origin)));
  Fixture f;
  Conflict conflict;
  conflict.id = "cd";
  conflict.column = 1;
  conflict.winner = f.row.cells[1].version;
  conflict.loser = f.row.cells[0].version;
  conflict.winner_json = "\"theirs\"";
  conflict.loser_json = "\"mine\"";
  Origin taken_back;
  taken_back.reopened = reopened_of(conflict, f.table, f.sites);
  CHECK(may_reopen(origin_to_text(taken_back)));
  const Origin::Reopened r = origin_from_text(origin_to_text(taken_back)).reopened;
  CHECK(r.id == "cd");
  CHECK(r.column == "title");
  CHECK(r.winner_seq == 3);
  CHECK(r.loser_site == f.sites.id(0));
  taken_back.reopened.winner = "no JSON";
  CHECK_FALSE(origin_from_text(origin_to_text(taken_back)).reopens());
  taken_back.reopened.winner = std::string(100'000, '[') + std::string(100'000, ']');
  CHECK_FALSE(origin_from_text(origin_to_text(taken_back)).reopens());
  for (const char* text : {"", "[]", "{\"actor\": 5}", "{\"reopens\": {\"id\": \"x\"}}", "{"}) {
    CHECK(origin_from_text(text).empty());
  }
}
