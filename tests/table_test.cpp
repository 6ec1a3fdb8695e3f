// Goal: names are found as people write them, and a slip is answered with the right name. Method:
// examples.
#include "support/catch.hpp"
#include "syncline/table.h"

namespace syncline::test {
namespace {

std::vector<TableInfo> tables(std::initializer_list<const char*> names) {
  std::vector<TableInfo> out;
  for (const char* name : names)
    out.emplace_back().name = name;
  return out;
}

TEST_CASE("table: a name is found exactly, else without regard to case", "[table][unit]") {
  CHECK(find_table(tables({"task", "Note"}), "task") == 0);
  CHECK(find_table(tables({"task", "Note"}), "NOTE") == 1);
  CHECK(find_table(tables({"task", "Note"}), "tas") == -1);
  CHECK(find_table(tables({"Task", "task"}), "task") == 1);
  CHECK(find_table(tables({"Task", "task"}), "TASK") == -1);  // which one?
  CHECK(find_table(tables({"größe"}), "GRöße") == 0);         // ASCII only
  CHECK(find_table(tables({"größe"}), "GRÖSSE") == -1);
  CHECK(find_table({}, "") == -1);
  std::vector<ColumnInfo> columns = {{"Id", "integer"}, {"id", "integer"}, {"V", "text"}};
  CHECK(find_column(columns, "v") == 2);
  CHECK(find_column(columns, "Id") == 0);
  CHECK(find_column(columns, "ID") == -1);
  columns[2].dropped = true;
  CHECK(find_column(columns, "V") == -1);
  columns.push_back({"V", "text"});  // added again
  CHECK(find_column(columns, "V") == 3);
}

TEST_CASE("table: the schema that travels leaves dropped columns out", "[table][unit]") {
  TableInfo table;
  table.name = "t";
  table.columns = {{"gone", "text", LogicalKind::text, false, true},
                   {"b", "integer", LogicalKind::integer},
                   {"parked", "text", LogicalKind::text, false, false},
                   {"a", "text", LogicalKind::text}};
  table.key = {3, 1};
  CHECK(table.is_key(1));
  CHECK(!table.is_key(0));
  const TableSchema schema = table.schema();
  CHECK(schema.name == "t");
  REQUIRE(schema.columns.size() == 3);
  CHECK(schema.columns[0].name == "b");
  CHECK(schema.columns[1].name == "parked");
  CHECK(schema.columns[2].name == "a");
  CHECK(schema.columns[2].type == "text");
  CHECK(schema.key == std::vector<uint32_t>{2, 0});
}

TEST_CASE("table: the nearest name is a slip away, or none", "[table][unit]") {
  const std::vector<std::string> names = {"task", "customer", "max_bytes", "compress"};
  CHECK(nearest_name("taks", names) == "task");
  CHECK(nearest_name("tusk", names) == "task");
  CHECK(nearest_name("tucks", names) == "");  // two letters of five
  CHECK(nearest_name("tasks", names) == "task");
  CHECK(nearest_name("Task", names) == "task");
  CHECK(nearest_name("costumer", names) == "customer");
  CHECK(nearest_name("maxbytes", names) == "max_bytes");
  CHECK(nearest_name("invoice", names) == "");
  CHECK(nearest_name("x", names) == "");
  CHECK(nearest_name("", names) == "");
  CHECK(nearest_name("x", {"y"}) == "");
}

}  // namespace
}  // namespace syncline::test
