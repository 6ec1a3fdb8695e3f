// Which conflicts a row shows: a pure function of its current versions.
//
// A cell with several live versions whose values differ in meaning has one conflict for each
// version that is not shown. A cell that holds a tombstone beside a live version makes one
// `update_delete` for the row. The id is a hash of table, key, column and both dots: the same on
// every site that holds both versions, whatever the engine.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "syncline/row_state.h"

namespace syncline {

enum class ConflictKind : uint8_t {
  update_update, insert_insert, update_delete, unique, foreign_key, constraint, schema,
};
std::string_view conflict_kind_name(ConflictKind kind);

struct Conflict {
  std::string id;  // 32 hex digits
  ConflictKind kind = ConflictKind::update_update;
  int64_t column = -1;  // a ColumnNumber, or -1 for the row
  Version winner, loser;
  std::string winner_json, loser_json;  // JSON values; "null" for a deleted row
  std::string shown_json;  // what the policy made of it, where that is neither; else empty
  std::string base_json;   // what both were made from, where a policy had it noted; else empty
  std::string winner_actor, loser_actor;  // who wrote them, where they said; else empty
  std::string policy = "last_writer";
  std::string severity = "normal";
  double confidence = 1.0;
};

// How a conflict was settled, told by the version that replaced the ones in conflict.
struct ConflictEnd {
  std::string how;    // "decision", "write", "policy" (another one now), or "stored" (a held row)
  std::string by;     // who: the actor named, else the site's id
  std::string note;
  std::string choice;  // of a decision
  uint64_t at_ms = 0;  // when it was written; 0 unknown
};

// The same to people: kind, values, policy and severity.
bool same_conflict(const Conflict& a, const Conflict& b);
// Of a conflict that `before` showed and `after` does not: who settled it.
ConflictEnd conflict_end(const Conflict& conflict, const RowState& after, const SiteTable& sites);

// Replaces *out by the conflicts of `row`; `key` is its key. Values must be resolved. A merge that
// lost nothing (counter, union, concat, json and text without overlap) is no conflict. A version
// whose origin reopens a conflict (origin.h) shows it again. With row grain two versions make one
// conflict for the row.
void find_conflicts(const TableInfo& table, RowKey key, const RowState& row,
                    const SiteTable& sites, std::vector<Conflict>* out);

// The id of the conflict that keeps a row out of the base table: one a row, whatever the reason.
std::string held_conflict_id(const TableInfo& table, RowKey key);

// False for almost every row; cheap. If false, find_conflicts appends nothing.
bool may_conflict(const RowState& row);

// {"column": value, ...} of the key, for the pk column of the views.
std::string key_to_json(const TableInfo& table, RowKey key);
// {"column": value, ...} of every column that has a value.
std::string row_to_json(const TableInfo& table, RowKey key, std::span<const Value> values);

}  // namespace syncline
