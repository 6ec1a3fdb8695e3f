// Planning a clone (clone.cpp, clone_dialect.cpp): what becomes of a table of one engine in the
// other, what is left out and told, and descriptions that nobody should trust.
#include "support/catch.hpp"
#include "syncline/clone.h"

using namespace syncline;

namespace {

// A table of PostgreSQL's with everything that SQLite has otherwise.
const char* const kPostgres = R"j({"format": 1, "engine": "postgresql 15.4",
  "types": [{"name": "public.mood", "schema": "moods",
             "sql": "CREATE TYPE public.mood AS ENUM ('ok')"}],
  "tables": [{"name": "a \"b\"", "schema": "odd", "key": ["id"],
    "columns": [
      {"name": "id", "type": "uuid", "declared": "uuid", "not_null": true,
       "default": "gen_random_uuid()"},
      {"name": "n", "type": "numeric", "declared": "numeric(12,2)", "default": "0"},
      {"name": "big", "type": "numeric", "declared": "numeric"},
      {"name": "t", "type": "text", "declared": "character varying(20)",
       "default": "'it''s'::character varying"},
      {"name": "tags", "type": "pg:text[]", "declared": "text[]"},
      {"name": "m", "type": "pg:mood", "declared": "public.mood"},
      {"name": "g", "type": null, "declared": "integer", "generated": "(1 + 1)"},
      {"name": "up", "type": "uuid", "declared": "uuid"}],
    "constraints": [
      {"name": "p", "kind": "p", "sql": "PRIMARY KEY (id)", "columns": ["id"]},
      {"name": "c", "kind": "c", "sql": "CHECK ((n > 0))", "columns": ["n"]},
      {"name": "u", "kind": "u", "sql": "UNIQUE (t, n)", "columns": ["t", "n"]},
      {"name": "f", "kind": "f", "sql": "FOREIGN KEY (up) REFERENCES ...", "columns": ["up"],
       "parent": "a \"b\"", "parent_columns": ["id"], "on_delete": "CASCADE"},
      {"name": "o", "kind": "f", "sql": "FOREIGN KEY (up) REFERENCES other", "columns": ["up"],
       "parent": null}],
    "indexes": [{"name": "i", "sql": "CREATE INDEX i ...", "unique": false, "columns": ["t"]},
                {"name": "e", "sql": "CREATE INDEX e ... lower(t)", "unique": false,
                 "columns": null}],
    "triggers": [{"name": "tr"}]}]})j";

const char* const kSqlite = R"j({"format": 1, "engine": "sqlite 3.40.1", "tables": [
  {"name": "t", "columns": [{"name": "id", "type": "integer"}], "key": ["id"],
   "sql": "CREATE TABLE t(id INTEGER PRIMARY KEY, p REFERENCES q)", "parents": ["q"],
   "indexes": [{"name": "i", "sql": "CREATE INDEX i ON t(p)"}],
   "triggers": [{"name": "tr", "sql": "CREATE TRIGGER tr ..."}]}]})j";

bool leaves_out(const ClonePlan& plan, const std::string& what) {
  for (const LeftOut& entry : plan.left_out) {
    if (entry.what.find(what) != std::string::npos && !entry.why.empty()) return true;
  }
  return false;
}

ClonePlan planned(const char* schema, Dialect to, const CloneOptions& options = {}) {
  ClonePlan plan;
  const Status status = plan_clone(schema, to, options, &plan);
  INFO(status.message());
  REQUIRE(status.ok());
  return plan;
}

}  // namespace

TEST_CASE("clone: a table of PostgreSQL's in SQLite's words", "[clone][unit]") {
  const ClonePlan plan = planned(kPostgres, Dialect::sqlite);
  REQUIRE(plan.tables.size() == 1);
  const PlannedTable& table = plan.tables[0];
  CHECK(table.make == std::vector<std::string>{
                          "CREATE TABLE \"a \"\"b\"\"\" (\n"
                          "  \"id\" UUID NOT NULL,\n"
                          "  \"n\" NUMERIC(12,2) DEFAULT 0,\n"
                          "  \"big\" TEXT,\n"
                          "  \"t\" TEXT DEFAULT 'it''s',\n"
                          "  \"tags\" \"text[]\",\n"
                          "  \"m\" TEXT,\n"
                          "  \"up\" UUID,\n"
                          "  PRIMARY KEY (\"id\"),\n"
                          "  UNIQUE (\"t\", \"n\"),\n"
                          "  FOREIGN KEY (\"up\") REFERENCES \"a \"\"b\"\"\" (\"id\") "
                          "ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED\n)"});
  CHECK(table.after == std::vector<std::string>{"CREATE INDEX \"i\" ON \"a \"\"b\"\"\" (\"t\")"});
  CHECK(plan.before.empty());
  for (const char* what : {"default gen_random_uuid()", "numeric of column \"big\"", "limit",
                           "\"m\"", "column \"g\"", "CHECK ((n > 0))", "REFERENCES other",
                           "lower(t)", "trigger \"tr\""}) {
    INFO(what);
    CHECK(leaves_out(plan, what));
  }
  CHECK(plan.left_out.size() == 9);
  CHECK(table.columns.size() == 7);  // those that travel
}

TEST_CASE("clone: a table of PostgreSQL's in PostgreSQL", "[clone][unit]") {
  const ClonePlan plan = planned(kPostgres, Dialect::postgresql);
  const PlannedTable& table = plan.tables[0];
  CHECK(table.qualified == "\"odd\".\"a \"\"b\"\"\"");
  CHECK(table.make[0].find("\"g\" integer GENERATED ALWAYS AS ((1 + 1)) STORED") !=
        std::string::npos);
  CHECK(table.make[0].find("CONSTRAINT \"c\" CHECK ((n > 0))") != std::string::npos);
  CHECK(table.make.size() == 3);   // and both indexes
  CHECK(table.after.size() == 1);  // the foreign key to itself
  CHECK(plan.before.size() == 3);  // schemas and type
  CHECK(leaves_out(plan, "REFERENCES other"));
  CHECK(leaves_out(plan, "trigger \"tr\""));
  CHECK(plan.left_out.size() == 2);
}

TEST_CASE("clone: a table of SQLite's in its own words", "[clone][unit]") {
  CloneOptions options;
  ClonePlan plan = planned(kSqlite, Dialect::sqlite, options);
  CHECK(plan.tables[0].make[0].starts_with("CREATE TABLE t("));
  CHECK(plan.tables[0].after.size() == 1);
  CHECK(leaves_out(plan, "trigger \"tr\""));
  CHECK(leaves_out(plan, "table \"q\""));
  options.triggers = true;
  plan = planned(kSqlite, Dialect::sqlite, options);
  CHECK(plan.tables[0].after.size() == 2);
  CHECK_FALSE(leaves_out(plan, "trigger"));
  CHECK(plan_clone(kSqlite, Dialect::postgresql, options, &plan).code() == StatusCode::refused);
}

TEST_CASE("clone: defaults that mean the same, and those that do not", "[clone][unit]") {
  CHECK(default_in_sqlite("(-1)", "integer") == "-1");
  CHECK(default_in_sqlite("'-1'::integer", "integer") == "-1");
  CHECK(default_in_sqlite("1.50", "numeric") == "1.50");
  CHECK(default_in_sqlite("true", "boolean") == "1");
  CHECK(default_in_sqlite("'a::b'::text", "text") == "'a::b'");
  CHECK(default_in_sqlite("'{}'::jsonb", "json") == "'{}'");
  CHECK(default_in_sqlite("'2024-01-01'::date", "date") == "'2024-01-01'");
  CHECK(default_in_sqlite("''::text", "text") == "''");
  for (const char* sql : {"now()", "nextval('s'::regclass)", "'now'::timestamp without time zone",
                          "('a'::text || 'b'::text)", "CURRENT_DATE", "1.2.3", "'x", "",
                          "ARRAY[1]", "E'\\n'::text"}) {
    INFO(sql);
    CHECK(default_in_sqlite(sql, "timestamp").empty());
  }
}

TEST_CASE("clone: options and tables that are not there are named", "[clone][unit]") {
  CloneOptions options;
  Status status = clone_options_from_json(R"({"table": ["x"]})", &options);
  CHECK(status.code() == StatusCode::invalid_argument);
  CHECK(status.hint() == "did you mean \"tables\"?");
  CHECK(clone_options_from_json(R"({"tables": "x"})", &options).code() ==
        StatusCode::invalid_argument);
  REQUIRE(clone_options_from_json(R"({"tables": ["tt"], "max_bytes": 4096})", &options).ok());
  ClonePlan plan;
  status = plan_clone(kSqlite, Dialect::sqlite, options, &plan);
  CHECK(status.message() == "the peer does not track a table \"tt\"");
  CHECK(status.hint() == "did you mean \"t\"?");
}

TEST_CASE("clone: a description of another form is refused, never trusted", "[clone][unit]") {
  ClonePlan plan;
  for (const char* schema :
       {"", "[]", "{}", R"({"format": 2, "engine": "sqlite", "tables": []})",
        R"({"format": 1, "engine": "sqlite", "tables": [{"name": 7}]})",
        R"({"format": 1, "engine": "postgresql", "tables": [{"name": "t"}]})"}) {
    INFO(schema);
    CHECK(plan_clone(schema, Dialect::sqlite, {}, &plan).code() ==
          StatusCode::unsupported_version);
  }
  CHECK(plan_clone(R"({"format": 1, "engine": "sqlite", "tables": []})", Dialect::sqlite, {},
                   &plan)
            .code() == StatusCode::refused);
}
