// Cloning: making the tracked tables of another database here.
//
// A database describes its tables as JSON, the result of sync_schema() in SQL (clone.cpp has its
// form). From that, this plans the statements that make the same tables in an engine's dialect, and
// says what cannot be carried over. Whoever runs the plan then tracks the tables and fills them: a
// session like any other, see session.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "syncline/session.h"

namespace syncline {

enum class Dialect : uint8_t { sqlite, postgresql };

struct CloneOptions {
  std::vector<std::string> tables;  // empty: all that the peer tracks
  bool triggers = false;            // copy triggers, too, where the dialects are the same
  bool ddl_only = false;            // make the tables, and do not fill them
  SessionOptions session;
};

// Parses {"tables": [name...], "triggers": bool, "ddl_only": bool, "max_bytes": n,
// "compress": ...}. Errors: invalid_argument, naming an unknown key and the nearest known one.
Status clone_options_from_json(std::string_view json, CloneOptions* out);

struct PlannedColumn {
  std::string name;
  std::string type;  // logical type at the peer
};

struct PlannedTable {
  std::string name;       // as it travels
  std::string qualified;  // as SQL names it, quoted
  std::vector<PlannedColumn> columns;  // those that travel
  std::vector<std::string> key;
  std::vector<std::string> make;   // statements that make it
  std::vector<std::string> after;  // statements for when all tables are there
};

// Something of the peer's schema that the tables here do not have, or have otherwise.
struct LeftOut {
  std::string table, what, why;
};

struct ClonePlan {
  std::vector<PlannedTable> tables;
  std::vector<std::string> before;  // statements that make what the tables need
  std::vector<LeftOut> left_out;
};

// Plans the tables in `schema_json` that the options name, in the order in which they stand there.
// Errors: invalid_argument for a name that the peer does not track, with the nearest one; refused
// if it tracks none, or is of an engine whose tables this dialect cannot have; unsupported_version
// for a description of another form.
Status plan_clone(std::string_view schema_json, Dialect to, const CloneOptions& options,
                  ClonePlan* out);

// {"tables": [...], "before": [...]}: for hosts that run the plan elsewhere.
std::string plan_to_json(const ClonePlan& plan);

// What sync_clone returns. `session` is null where nothing was filled.
std::string clone_report_to_json(const ClonePlan& plan, const SessionReport* session,
                                 double duration_ms);

// What a default of PostgreSQL's becomes in SQLite; empty: nothing that means the same. Private to
// clone*.cpp, here for tests.
std::string default_in_sqlite(std::string_view expression, std::string_view logical_type);

}  // namespace syncline
