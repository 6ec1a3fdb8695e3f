// See invariant.h. The table sync_invariant is made when the first one is stored.
#include "sqlite_ext/invariant.h"

#include <algorithm>
#include <set>

#include "sqlite_ext/functions.h"
#include "sqlite_ext/operation.h"
#include "syncline/json.h"

namespace syncline {

namespace {

using Json = OrderedJson;

constexpr int kDirectOnly = 0x80000, kInnocuous = 0x200000;  // SQLITE_DIRECTONLY, _INNOCUOUS

Status has_table(sqlite3* db, bool* yes) {
  int64_t there = 0;
  SYNCLINE_TRY(
      query_integer(db, "SELECT 1 FROM main.sqlite_schema WHERE name='sync_invariant'", 0, &there));
  *yes = there != 0;
  return {};
}

// "abs(1)", as a program lists a function that it calls: its name; else empty.
std::string function_name(std::string_view operand) {
  const size_t open = operand.find('(');
  if (open == std::string_view::npos || open == 0 || !operand.ends_with(")")) return {};
  const std::string_view count = operand.substr(open + 1, operand.size() - open - 2);
  if (count.empty() || count.find_first_not_of("-0123456789") != std::string_view::npos) return {};
  return std::string(operand.substr(0, open));
}

// Functions that a view of a stranger's database may not call either.
Status unsafe_functions(sqlite3* db, std::set<std::string>* out) {
  int trusted = 1;
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, -1, &trusted);
  std::vector<std::string> names;
  const std::string flags = trusted != 0 ? "flags&" + std::to_string(kDirectOnly)
                                         : "NOT flags&" + std::to_string(kInnocuous);
  SYNCLINE_TRY(query_texts(db, "SELECT name FROM pragma_function_list WHERE " + flags, &names));
  out->insert(names.begin(), names.end());
  return {};
}

Status refuse_unsafe(sqlite3* db, const std::string& sql) {
  std::set<std::string> unsafe;
  SYNCLINE_TRY(unsafe_functions(db, &unsafe));
  Statement program;
  SYNCLINE_TRY(program.prepare(db, "EXPLAIN " + sql));
  for (bool row = true;;) {
    SYNCLINE_TRY(program.next(&row));
    if (!row) return {};
    const std::string name = function_name(program.bytes(5));  // p4
    if (name.empty() || unsafe.count(name) == 0) continue;
    return {StatusCode::refused, "an invariant may not call the function " + name,
            "use functions without side effects"};
  }
}

// One SELECT that writes nothing.
Status prepare(sqlite3* db, const std::string& sql, Statement* out) {
  SYNCLINE_TRY(out->prepare(db, sql));
  if (!out->prepared() || sqlite3_stmt_readonly(out->raw()) == 0 || out->column_count() == 0) {
    return {StatusCode::invalid_argument, "an invariant must be a query that writes nothing",
            "give one SELECT"};
  }
  if (sqlite3_stmt_isexplain(out->raw()) != 0 || sqlite3_bind_parameter_count(out->raw()) != 0) {
    return {StatusCode::invalid_argument, "an invariant must be a plain query without parameters",
            "give one SELECT"};
  }
  // What follows a first statement would be dropped in silence.
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  const int rc = sqlite3_prepare_v2(db, sql.c_str(), -1, &raw, &tail);
  sqlite3_finalize(raw);
  if (rc != SQLITE_OK) return status_of(db, rc, "the invariant");
  if (std::string_view(tail).find_first_not_of(" \t\r\n;") != std::string_view::npos) {
    return {StatusCode::invalid_argument, "an invariant must be one statement", "give one SELECT"};
  }
  return refuse_unsafe(db, sql);
}

// A single expression that is 0, 1 or NULL now is a condition; all else lists what is wrong.
Status looks_true(sqlite3* db, const std::string& sql, bool* yes) {
  *yes = false;
  Statement s;
  SYNCLINE_TRY(prepare(db, sql, &s));
  if (s.column_count() != 1 || sqlite3_column_decltype(s.raw(), 0) != nullptr) return {};
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  if (!row) return {};
  const Value value = s.value(0);
  const bool boolean =
      value.is(ValueKind::null) || (value.is(ValueKind::integer) && (value.as_integer() | 1) == 1);
  SYNCLINE_TRY(s.next(&row));
  *yes = boolean && !row;
  return {};
}

bool is_true(const Value& value) {
  if (value.is(ValueKind::null)) return true;  // unknown, as in a CHECK constraint
  if (value.is(ValueKind::integer)) return value.as_integer() != 0;
  return value.is(ValueKind::real) && value.as_real() != 0;
}

Status evaluate_query(sqlite3* db, const Invariant& invariant, bool* holds, std::string* why) {
  Statement s;
  SYNCLINE_TRY(prepare(db, invariant.sql, &s));
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  *holds = invariant.expects_true ? !row || is_true(s.value(0)) : !row;
  if (invariant.expects_true && row && *holds) {
    SYNCLINE_TRY(s.next(&row));
    *holds = !row;
  }
  if (!*holds) *why = invariant.expects_true ? "its query is not true" : "its query returns rows";
  return {};
}

Status save_invariant(sqlite3* db, const Invariant& invariant) {
  SYNCLINE_TRY(execute(db,
                       "CREATE TABLE IF NOT EXISTS main.sync_invariant(name TEXT PRIMARY KEY, "
                       "sql TEXT NOT NULL, expects_true INTEGER NOT NULL, refuse INTEGER NOT "
                       "NULL, broken_at TEXT) WITHOUT ROWID"));
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "INSERT OR REPLACE INTO main.sync_invariant VALUES(?1,?2,?3,?4,"
                         "nullif(?5,''))"));
  s.bind(1, std::string_view(invariant.name));
  s.bind(2, std::string_view(invariant.sql));
  s.bind(3, int64_t{invariant.expects_true});
  s.bind(4, int64_t{invariant.refuse});
  s.bind(5, std::string_view(invariant.broken_at));
  return s.run();
}

Status remove_invariant(sqlite3* db, const std::string& name, bool* removed) {
  std::vector<Invariant> all;
  SYNCLINE_TRY(load_invariants(db, &all));
  *removed =
      std::any_of(all.begin(), all.end(), [&](const Invariant& i) { return i.name == name; });
  return *removed ? execute(db, "DELETE FROM main.sync_invariant WHERE name=" + quote_text(name))
                  : Status();
}

Status now_text(sqlite3* db, std::string* out) {
  return query_text(db, "SELECT strftime('%Y-%m-%dT%H:%M:%fZ','now')", out);
}

}  // namespace

Status load_invariants(sqlite3* db, std::vector<Invariant>* out) {
  bool there = false;
  SYNCLINE_TRY(has_table(db, &there));
  if (!there) return {};
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT name,sql,expects_true,refuse,broken_at FROM "
                         "main.sync_invariant ORDER BY name"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    out->push_back({s.text(0), s.text(1), s.integer(2) != 0, s.integer(3) != 0, s.text(4)});
  }
}

Status evaluate(sqlite3* db, const Invariant& invariant, bool* holds, std::string* why) {
  *holds = false;
  const Status done = evaluate_query(db, invariant, holds, why);
  if (done.ok() || done.code() == StatusCode::cancelled) return done;
  *why = done.message();
  return {};
}

Status check_invariants_after_apply(sqlite3* db) {
  std::vector<Invariant> invariants;
  SYNCLINE_TRY(load_invariants(db, &invariants));
  for (Invariant& invariant : invariants) {
    bool holds = false;
    std::string why;
    SYNCLINE_TRY(evaluate(db, invariant, &holds, &why));
    const bool held = invariant.broken_at.empty();
    if (!holds && held && invariant.refuse) {
      return {StatusCode::refused,
              "what arrived would break the invariant \"" + invariant.name + "\": " + why,
              "mend the data at the sender, or let it in with sync_invariant(..., "
              "'{\"on_apply\": \"report\"}')"};
    }
    if (holds == held) continue;
    invariant.broken_at.clear();
    if (!holds) SYNCLINE_TRY(now_text(db, &invariant.broken_at));
    SYNCLINE_TRY(save_invariant(db, invariant));
  }
  return {};
}

Status report_invariants(sqlite3* db, std::vector<Finding>* out) {
  std::vector<Invariant> invariants;
  SYNCLINE_TRY(load_invariants(db, &invariants));
  for (const Invariant& invariant : invariants) {
    bool holds = false;
    std::string why;
    SYNCLINE_TRY(evaluate(db, invariant, &holds, &why));
    if (holds) continue;
    std::string what = "the invariant \"" + invariant.name + "\" does not hold: " + why;
    if (!invariant.broken_at.empty()) what += ", since " + invariant.broken_at;
    out->push_back({"error", "", what, ""});
  }
  return {};
}

Status call_sync_invariant(Call* call) {
  sqlite3* db = call->db();
  Invariant invariant;
  std::string expect;
  SYNCLINE_TRY(call->text(0, "the name of the invariant", &invariant.name));
  SYNCLINE_TRY(invariant_options_from_json(call->bytes(2), &expect, &invariant.refuse));
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(db, "sync_invariant"));
  if (!call->given(1)) {
    bool removed = false;
    SYNCLINE_TRY(remove_invariant(db, invariant.name, &removed));
    SYNCLINE_TRY(operation.commit());
    call->give(json_text(Json{{"name", invariant.name}, {"removed", removed}}));
    return {};
  }
  SYNCLINE_TRY(call->text(1, "the query of the invariant", &invariant.sql));
  bool looks = false, holds = false;
  std::string why;
  SYNCLINE_TRY(looks_true(db, invariant.sql, &looks));
  invariant.expects_true = expect.empty() ? looks : expect == "true";
  SYNCLINE_TRY(evaluate_query(db, invariant, &holds, &why));
  if (!holds) SYNCLINE_TRY(now_text(db, &invariant.broken_at));
  SYNCLINE_TRY(save_invariant(db, invariant));
  SYNCLINE_TRY(operation.commit());
  const Json out = {{"name", invariant.name},
                    {"expect", invariant.expects_true ? "true" : "none"},
                    {"on_apply", invariant.refuse ? "refuse" : "report"},
                    {"holds", holds}};
  call->give(json_text(out));
  return {};
}

}  // namespace syncline
