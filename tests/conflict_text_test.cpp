// A conflict in words, and why a row shows what it shows (explain.cpp).
#include "support/catch.hpp"
#include "syncline/conflict_text.h"
#include "syncline/explain.h"

using namespace syncline;

namespace {

ConflictText sample() {
  ConflictText c;
  c.id = "00ff";
  c.kind = "update_update";
  c.table_name = "task";
  c.pk = "{\"id\": \"t1\"}";
  c.column_name = "title";
  c.status = "open";
  c.severity = "normal";
  c.policy = "last_writer";
  c.local = "\"Order white paint\"";
  c.remote = "\"Order blue paint\"";
  c.local_actor = "ann";
  return c;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

SiteId site(uint8_t n) {
  SiteId id;
  id.bytes[3] = n;
  return id;
}

}  // namespace

TEST_CASE("conflict_text: text marks what differs in a line", "[conflict_text][unit]") {
  const std::string text = conflict_diff(sample(), DiffFormat::text);
  CHECK(contains(text, "update_update in task {\"id\": \"t1\"}, column title\n"));
  CHECK(contains(text, "--- local by ann\n"));
  CHECK(contains(text, "- Order [whit]e paint\n+ Order [blu]e paint\n"));
}

TEST_CASE("conflict_text: equal lines stand once, others are paired", "[conflict_text][unit]") {
  ConflictText c = sample();
  c.local = "\"one\\ntwo\\nthree\\nfour\"";
  c.remote = "\"one\\nthree\\nthree and a half\\nfour\"";
  const std::string text = conflict_diff(c, DiffFormat::text);
  CHECK(contains(text, "  one\n- two\n  three\n+ three and a half\n  four\n"));
  const std::string columns = conflict_diff(c, DiffFormat::side_by_side);
  CHECK(contains(columns, "two" + std::string(57, ' ') + " <\n"));
  CHECK(contains(columns, std::string(60, ' ') + " > three and a half\n"));
}

TEST_CASE("conflict_text: HTML escapes whatever a value holds", "[conflict_text][unit]") {
  ConflictText c = sample();
  c.pk = "{\"id\": \"<script>\"}";
  c.local = "\"a<b>&'x'\"";
  c.remote = "\"a<i>&'x'\"";
  c.note = "\"><img src=x onerror=alert(1)>";
  const std::string html = conflict_diff(c, DiffFormat::html);
  CHECK(contains(html, "a&lt;<del>b</del>&gt;&amp;&#39;x&#39;"));
  CHECK(contains(html, "<ins>i</ins>"));
  CHECK_FALSE(contains(html, "<script>"));
  CHECK_FALSE(contains(html, "<img"));
}

TEST_CASE("conflict_text: a mark never splits a character", "[conflict_text][unit]") {
  ConflictText c = sample();
  c.local = "\"\xc3\xa4\"";   // two characters that share their first byte
  c.remote = "\"\xc3\xb6\"";
  CHECK(contains(conflict_diff(c, DiffFormat::text), "- [\xc3\xa4]\n+ [\xc3\xb6]\n"));
  c.local = "\"x\xc3\xa4\"";
  c.remote = "\"x\xe2\x82\xa4\"";  // they end in one byte
  CHECK(contains(conflict_diff(c, DiffFormat::text), "- x[\xc3\xa4]\n+ x[\xe2\x82\xa4]\n"));
}

TEST_CASE("conflict_text: one side only, objects, numbers, many lines", "[conflict_text][unit]") {
  ConflictText c = sample();
  c.local.clear();
  c.remote = "{\"id\": 1, \"email\": \"a@b\"}";
  CHECK(contains(conflict_diff(c, DiffFormat::text), "+ id: 1\n+ email: \"a@b\"\n"));
  c.local = "12";
  c.remote = "13";
  CHECK(contains(conflict_diff(c, DiffFormat::text), "- 1[2]\n+ 1[3]\n"));
  c.local = c.remote = "\"";
  for (int i = 0; i < 3000; ++i) {
    c.local += "l" + std::to_string(i) + "\\n";
    c.remote += "r" + std::to_string(i) + "\\n";
  }
  c.local += "\"";
  c.remote += "\"";
  CHECK(contains(conflict_diff(c, DiffFormat::text), "- [l]2999\n+ [r]2999\n"));
}

TEST_CASE("conflict_text: formats have names, times are ISO", "[conflict_text][unit]") {
  DiffFormat format = DiffFormat::html;
  CHECK(diff_format_from_name("", &format).ok());
  CHECK(format == DiffFormat::text);
  CHECK(diff_format_from_name("side_by_side", &format).ok());
  CHECK(format == DiffFormat::side_by_side);
  const Status wrong = diff_format_from_name("htm", &format);
  CHECK(wrong.code() == StatusCode::invalid_argument);
  CHECK(wrong.hint() == "did you mean \"html\"?");
  CHECK(time_text(0).empty());
  CHECK(time_text(1709208000123) == "2024-02-29T12:00:00.123Z");
  CHECK(time_text(1735689599999) == "2024-12-31T23:59:59.999Z");
  CHECK(time_text(1) == "1970-01-01T00:00:00.001Z");
}

TEST_CASE("explain: the version, the rule and what lost, column by column", "[explain][unit]") {
  SiteTable sites;
  sites.intern(site(1));
  sites.intern(site(2));
  TableInfo table;
  table.name = "task";
  for (const char* name : {"id", "title", "done"}) {
    table.columns.push_back({name, "any", LogicalKind::any, true, false});
  }
  table.key = {0};
  RowState row;
  row.column_count = 3;
  const std::vector<Value> values = {Value(), Value::text("old"), Value::integer(0)};
  row.write_all({1, hlc_from_ms(1000), 0, false}, values);
  row.cells = {{1, {2, hlc_from_ms(2000), 0, false}, Value::text("mine")},
               {1, {7, hlc_from_ms(3000), 1, false}, Value::text("theirs")}};
  row.set_note(kRowNote, row.cells[1].version, "{\"actor\": \"ann\"}");
  std::vector<ExplainedCell> cells;
  explain_row(table, row, sites, &cells);
  REQUIRE(cells.size() == 3);
  CHECK(cells[0].column.empty());
  CHECK(cells[0].value == "\"live\"");
  CHECK(cells[1].column == "title");
  CHECK(cells[1].value == "\"theirs\"");
  CHECK(cells[1].seq == 7);
  CHECK(cells[1].actor == "ann");
  CHECK(cells[1].rule == "last_writer: the latest of 2 versions");
  CHECK(cells[1].lost == "[{\"value\": \"mine\", \"site\": \"" + to_hex(site(1)) +
                             "\", \"seq\": 2, \"at\": \"1970-01-01T00:00:02.000Z\"}]");
  CHECK(cells[2].rule == "the only current version");
  CHECK(cells[2].lost == "[]");

  row.cells.push_back({2, {9, hlc_from_ms(4000), 1, true}, Value::integer(1)});
  explain_row(table, row, sites, &cells);
  CHECK(cells[0].rule == "update_wins: a change beside the deletion keeps the row");
  CHECK(contains(cells[0].lost, "\"deleted\""));
  CHECK(cells[2].rule == "the last image of a deleted row");
}
