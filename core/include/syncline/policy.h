// Policies: how a column or a table makes one value out of concurrent versions.
//
// A policy is a function of the whole set of current versions, sorted, so it need not be
// associative; it never sees a clock, a random number or another row. docs/policies.md is the
// user's page. Settings under "policy/..." carry policies from site to site.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/cell_merge.h"
#include "syncline/settings.h"
#include "syncline/status.h"

namespace syncline {

class Expression;
struct TableInfo;

enum class PolicyKind : uint8_t {
  last_writer,    // the greatest version (hlc, site)
  first_writer,   // the least
  max, min,       // by value; NULL only if there is nothing else
  counter,        // concurrent increments add up
  union_set,      // JSON arrays as observed-remove sets; "union" in SQL
  concat,         // all values, in version order, joined by options "separator" (", ")
  site_priority,  // options "order": [site ids]; sites not listed come after, by version
  manual,         // the greatest version stands until someone decides
  json,           // three-way, path by path; options "array_key"
  text,           // three-way, by lines, then words
  sql,            // sql:<expression>
};

struct Policy {
  PolicyKind kind = PolicyKind::last_writer;
  std::string name = "last_writer";  // as it was set: "sql:max(a, b)"
  std::string separator = ", ";
  std::string array_key;
  std::vector<SiteId> order;
  std::string severity;  // of this column's conflicts; empty: the table's
  std::shared_ptr<const Expression> expression;

  // Its versions carry notes.
  bool needs_notes() const;
};

// How severe a kind of conflict is. `by_kind` has "default" and conflict kinds.
struct SeverityRules {
  std::vector<std::pair<std::string, std::string>> by_kind;
  std::string of(std::string_view kind) const;  // "normal" unless a rule says otherwise
};

// Checks and makes the setting for `column` of `table`, or for the whole table if `column` is
// empty: then `policy` is that of every column without one of its own, and options may also have
// "grain", "on_delete" and "severity". `policy` may be empty if there are options, for "as it is";
// "default" takes the setting back. Key, value and nothing else of *out are filled. Errors:
// invalid_argument, naming the policy, option or column and the nearest known one.
Status make_policy_setting(const TableInfo& table, std::string_view column, std::string_view policy,
                           std::string_view options_json, const Settings& current, Setting* out);

// Fills policies, grain, on_delete and severity of all tables from the settings. A policy that this
// release does not know counts as last_writer.
void apply_policies(const Settings& settings, std::vector<TableInfo>* tables);

// Policies go by name. What is set for a renamed column, or with an empty `column` for a renamed
// table and its columns, is set under the new name too, with its clock and site: every site that
// renames makes the same settings. What is set there already stays if it is later; the old settings
// stay, since others have not renamed yet. Returns those that are new, for the host to store.
std::vector<Setting> rename_policies(std::string_view table, std::string_view column,
                                     std::string_view new_name, Settings* settings);

// The table and column, lower case, that a setting's key speaks of; *column is empty for the whole
// table. False: the setting is no policy.
bool split_policy_key(std::string_view setting_key, std::string* table, std::string* column);

// What a column of `versions` (live, two or more, in version order) shows. Never fails.
void resolve_cell(const Policy& policy, const MergeInput& input, Arena* arena, MergeResult* out);

// The note for a version about to be written; empty for policies without.
void make_note(const Policy& policy, const NoteInput& input, std::string* note);

// What the writer of the note's version saw in the cell, for people and for `base` in expressions;
// absent if it is not known. Views point into the note.
Value note_base(const Policy& policy, std::string_view note);

// 0..1: how sure the merge is. 1 nothing was lost; 0.9 a rule the application chose decided;
// last_writer: from 0.5 (less than a second apart: a coin toss) to 0.8 (five minutes or more);
// manual: 0.
double merge_confidence(const Policy& policy, Hlc winner, Hlc loser);

}  // namespace syncline
