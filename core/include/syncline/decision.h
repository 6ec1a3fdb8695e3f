// Deciding a conflict: what a choice writes, what it would give, and how it is taken back.
//
// A decision is an ordinary write of the base row. The core says what to write; the host writes it
// through the application's table, then appends one log entry with the decision's origin, so that
// what was decided is a new version even where no value changed.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/conflict_text.h"
#include "syncline/conflicts.h"
#include "syncline/origin.h"
#include "syncline/row_state.h"

namespace syncline {

enum class Choice : uint8_t { local, remote, base, merged, value, skip };
// Errors: invalid_argument, naming the nearest known one.
Status choice_from_name(std::string_view name, Choice* out);
std::string_view choice_name(Choice choice);

// A conflict as it stands on record, and the row it is about.
struct DecisionInput {
  const TableInfo* table = nullptr;
  RowKey key;
  const RowState* row = nullptr;  // values resolved (no Value::same())
  const SiteTable* sites = nullptr;
  bool stored = false;  // the base table has the row
  const ConflictText* conflict = nullptr;
  std::span<const Value> base = {};  // by column: the base row, if it is stored
};

// What the row is to be. If it is stored and is to exist: UPDATE of the columns that have a value
// in `values`. Not stored, to exist: INSERT of all values. Stored, not to exist: DELETE.
struct Decision {
  bool exists = false;
  std::vector<Value> values;  // by column, absent ones are left alone
  int64_t mask = 0;           // of the log entry (fold.h)
  bool held = false;          // the row is held: rows in its place are to go, parents to come
  std::string shown_json;     // what the place of the conflict shows then
};

// What `choice` writes; `given` is the value of Choice::value, as the host got it: for a conflict
// of one column any value, else the JSON object {"column": value, ...}. REQUIRES: not Choice::skip.
// Errors: invalid_argument or refused, in words for whoever decides. Bytes live in `arena`.
Status plan_decision(const DecisionInput& input, Choice choice, const Value& given, Arena* arena,
                     Decision* out);

// Rows that had to move so that a held row could be stored, as they stand with its conflict: a line
// each, table number, key in hex, "deleted" (a rival) or "restored" (a parent).
struct MovedRow {
  uint32_t table = 0;
  std::string key;  // encode_key
  bool deleted = false;
};
void append_moved_row(const MovedRow& row, std::string* text);
std::vector<MovedRow> moved_rows(std::string_view text);

// What writes back what was shown before the conflict was settled. Of a held row (`held`): what the
// host is to hold again, where now something else is stored, or it itself. Errors: refused if
// somebody has written there since.
Status plan_undo(const DecisionInput& input, Arena* arena, Decision* out);

// Rows of sync_preview: every choice that is possible, what its place would show, what it does.
struct PreviewLine {
  std::string choice, value, note;  // value: JSON; empty: it depends on what is given
};
void preview_choices(const DecisionInput& input, std::vector<PreviewLine>* out);

// What the origin of a decision taken back says (origin.h).
Origin::Reopened reopened_of(const Conflict& conflict, const TableInfo& table,
                             const SiteTable& sites);

// {"id", "table_name", "pk", "column_name", "choice", "value", "status"}: what sync_resolve and,
// without a choice, sync_undo return.
std::string decision_to_json(const ConflictText& conflict, std::string_view choice,
                             std::string_view value_json, std::string_view status);

Status unknown_conflict(std::string_view id);
// The error of a conflict that is closed already.
Status closed_conflict(const ConflictText& conflict);
// A held row is to be stored, and so is, in this table, the row it refers to.
Status held_parent(std::string_view table);

// A row whose kind keeps it out of its table.
bool holds_row(std::string_view kind);

// The filter of sync_resolve_all: {"table", "column", "kind", "severity", "site", "min_age_s"}.
struct ConflictFilter {
  std::string table, column, kind, severity, site;
  int64_t min_age_s = 0;
  // Of open conflicts; names ignore ASCII case, `site` is one of the two.
  bool matches(const ConflictText& conflict, int64_t age_s) const;
};
// Errors: invalid_argument, naming an unknown key, kind or severity and the nearest known one.
Status filter_from_json(std::string_view json, ConflictFilter* out);

// Brings a value that somebody gave to a column's type. Errors: invalid_argument, naming column
// and type.
Status fit_value(const TableInfo& table, ColumnNumber column, const Value& given, Arena* arena,
                 Value* out);

}  // namespace syncline
