// Private to clone*.cpp: one table of a description, as statements. Each throws what the JSON
// library throws where the description lacks something.
#pragma once

#include <string>
#include <vector>

#include "syncline/clone.h"
#include "syncline/json.h"

namespace syncline {

// `names`: all tables that are cloned together.
void copy_sqlite_table(const SortedJson& table, const CloneOptions& options,
                       const std::vector<std::string>& names, PlannedTable* out,
                       std::vector<LeftOut>* left_out);
void copy_postgres_table(const SortedJson& table, const std::vector<std::string>& names,
                         PlannedTable* out, std::vector<LeftOut>* left_out);
// A table of PostgreSQL's as SQLite has it.
void translate_table(const SortedJson& table, const std::vector<std::string>& names,
                     PlannedTable* out, std::vector<LeftOut>* left_out);
// Statements for schemas and types that the planned tables of PostgreSQL need.
void plan_types(const SortedJson& schema, const ClonePlan& plan, std::vector<std::string>* out);

}  // namespace syncline
