// See decision.h. Values on record are JSON; the row's own versions have them exactly.
#include "syncline/decision.h"

#include <algorithm>
#include <charconv>

#include "decision_value.h"
#include "syncline/fold.h"
#include "syncline/json.h"
#include "token.h"

namespace syncline {
namespace {

using Json = SortedJson;

constexpr const char* kChoices[] = {"local", "remote", "base", "merged", "value", "skip"};

Status refused(std::string message, std::string hint = {}) {
  return Status(StatusCode::refused, std::move(message), std::move(hint));
}

class Planner {
 public:
  Planner(const DecisionInput& input, Arena* arena, Decision* out)
      : table_(*input.table), row_(*input.row), sites_(*input.sites), stored_(input.stored),
        conflict_(*input.conflict), key_(input.key), base_(input.base), arena_(*arena),
        out_(*out) {}

  Status decide(Choice choice, const Value& given) {
    clear();
    if (!table_.present) {
      return refused("table \"" + table_.name + "\" is not in this database",
                     "decide where the table is");
    }
    if (holds_row(conflict_.kind)) return decide_held(choice, given);
    if (!conflict_.column_name.empty()) return decide_cell(choice, given);
    return decide_row(choice, given);
  }

  Status undo() {
    clear();
    if (!decision_stands()) {
      return refused("what was decided about conflict " + conflict_.id + " has been changed since",
                     "write the value you want");
    }
    if (holds_row(conflict_.kind)) {
      out_.held = true;
      return keep(conflict_.remote);  // what was held
    }
    if (!conflict_.column_name.empty()) {
      ColumnNumber column = 0;
      SYNCLINE_TRY(find_cell(&column));
      return write_cell(column, side(column, conflict_.winner));
    }
    return conflict_.winner == "null" ? erase() : keep(conflict_.winner);
  }

 private:
  // Some version that the decision made is still there: where it was decided, or for the row.
  bool decision_stands() const {
    const int64_t column = conflict_.column_name.empty()
                               ? -1
                               : find_column(table_.columns, conflict_.column_name);
    const ColumnNumber cell = column < 0 ? kRowNote : static_cast<ColumnNumber>(column);
    return std::any_of(row_.notes.begin(), row_.notes.end(), [&](const VersionNote& note) {
      return note.column == kRowNote && row_.holds(cell, note.site, note.seq) &&
             origin_from_text(note.bytes).conflict == conflict_.id;
    });
  }

  void clear() {
    out_ = Decision();
    out_.values.resize(table_.column_count());
  }

  // --- one column

  Status find_cell(ColumnNumber* out) const {
    const int64_t column = find_column(table_.columns, conflict_.column_name);
    if (column < 0 || !table_.columns[static_cast<size_t>(column)].present) {
      return refused("column \"" + conflict_.column_name + "\" of " + table_.name +
                         " is not in this database",
                     "decide where the column is");
    }
    *out = static_cast<ColumnNumber>(column);
    if (stored_) return {};
    return refused("the row of conflict " + conflict_.id + " is not in table " + table_.name,
                   "decide the conflict of the row first: see sync_conflicts");
  }

  Status decide_cell(Choice choice, const Value& given) {
    ColumnNumber column = 0;
    SYNCLINE_TRY(find_cell(&column));
    Value value;
    if (choice == Choice::value) {
      SYNCLINE_TRY(fit_value(table_, column, given, &arena_, &value));
    } else {
      std::string json;
      SYNCLINE_TRY(chosen_json(choice, &json));
      value = side(column, json);
    }
    return write_cell(column, value);
  }

  Status write_cell(ColumnNumber column, const Value& value) {
    out_.exists = true;
    out_.values[column] = value.is(ValueKind::absent) ? Value::null() : value;
    out_.mask = column < kMaskColumns ? int64_t{1} << column : kMaskMany;
    out_.shown_json = value_to_json(out_.values[column]);
    return {};
  }

  Status chosen_json(Choice choice, std::string* out) const {
    switch (choice) {
      case Choice::local: *out = conflict_.local; break;
      case Choice::remote: *out = conflict_.remote; break;
      case Choice::base: *out = conflict_.base; break;
      default: *out = conflict_.winner; break;
    }
    if (!out->empty()) return {};
    if (choice == Choice::base) {
      return refused("conflict " + conflict_.id + " has no base: its policy keeps none",
                     "choose local, remote, merged or value");
    }
    return refused("conflict " + conflict_.id + " has no " + std::string(choice_name(choice)) +
                   " value");
  }

  // The value that stands on record as `json`, exactly if some version has it still.
  Value side(ColumnNumber column, const std::string& json) {
    std::vector<NotedVersion> versions;
    row_.cell(column, &versions);
    for (const NotedVersion& v : versions) {
      if (!v.version.dead && value_to_json(v.value) == json) return arena_.copy(v.value);
    }
    return value_from_json(table_.columns[column].kind, json, &arena_);
  }

  // --- a whole row

  Status decide_row(Choice choice, const Value& given) {
    if (choice == Choice::value) {
      SYNCLINE_TRY(keep({}));
      return override_with(given);
    }
    std::string json;
    SYNCLINE_TRY(chosen_json(choice, &json));
    return json == "null" ? erase() : keep(json);
  }

  // The row as it is, or would be if it lived, and in it what `json` names.
  Status keep(const std::string& json) {
    out_.exists = true;
    out_.mask = kMaskEvery;
    out_.values = living_values();
    const Json object = json.empty() ? Json() : parse_json<Json>(json);
    for (ColumnNumber c = 0; object.is_object() && c < table_.column_count(); ++c) {
      const auto member = object.find(table_.columns[c].name);
      if (member == object.end() || !writable(c)) continue;
      out_.values[c] = side(c, json_text(*member));
    }
    describe();
    return {};
  }

  std::vector<Value> living_values() {
    TableInfo table = table_;
    table.on_delete = OnDelete::update_wins;
    ShownRow shown;
    show_row(row_, table, sites_, &shown);
    std::vector<Value> values = shown.values;
    values.resize(table_.column_count());
    for (ColumnNumber c = 0; c < values.size(); ++c) {
      values[c] = table_.columns[c].present ? arena_.copy(values[c]) : Value();
    }
    for (size_t i = 0; i < table_.key.size(); ++i) values[table_.key[i]] = key_[i];
    return values;
  }

  bool writable(ColumnNumber column) const {
    return table_.columns[column].present && !table_.is_key(column);
  }

  Status erase() {
    out_.exists = false;
    out_.mask = kMaskAll;
    out_.values = living_values();  // the image of the tombstone
    out_.shown_json = "null";
    return {};
  }

  Status override_with(const Value& given) {
    Json object;
    if (given.is(ValueKind::text)) object = parse_json<Json>(given.bytes());
    if (!object.is_object()) {
      return Status(StatusCode::invalid_argument,
                    "conflict " + conflict_.id + " is about a row: its value is a JSON object",
                    "pass something like '{\"column\": \"value\"}'");
    }
    for (const auto& member : object.items()) {
      const int64_t found = find_column(table_.columns, member.key());
      if (found < 0) return unknown_column(member.key());
      const auto column = static_cast<ColumnNumber>(found);
      if (!writable(column)) {
        return refused("column \"" + member.key() + "\" of " + table_.name +
                       " cannot be set by a decision: it is part of the key, or not here");
      }
      const Value value =
          value_from_json(table_.columns[column].kind, json_text(member.value()), &arena_);
      SYNCLINE_TRY(fit_value(table_, column, value, &arena_, &out_.values[column]));
    }
    describe();
    return {};
  }

  Status unknown_column(const std::string& name) const {
    std::vector<std::string> names;
    for (const ColumnInfo& c : table_.columns) names.push_back(c.name);
    const std::string near = nearest_name(name, names);
    return Status(StatusCode::invalid_argument,
                  "table " + table_.name + " has no column \"" + name + "\"",
                  near.empty() ? "" : "did you mean \"" + near + "\"?");
  }

  void describe() { out_.shown_json = row_to_json(table_, key_, out_.values); }

  // --- a row that a constraint keeps out

  Status decide_held(Choice choice, const Value& given) {
    if (key_.empty()) {
      return refused("a row whose key holds NULL is not to be decided",
                     "give its key a value, or delete it");
    }
    if (row_.kept || row_.adjusted) return decide_stored(choice, given);
    if (choice == Choice::base || choice == Choice::merged) {
      return refused("conflict " + conflict_.id + " is about a held row: there is nothing " +
                         (choice == Choice::base ? "it was made from" : "merged"),
                     "choose local, remote or value");
    }
    if (choice == Choice::local) {
      SYNCLINE_TRY(erase());
    } else {
      SYNCLINE_TRY(keep({}));
      if (choice == Choice::value) SYNCLINE_TRY(override_with(given));
    }
    out_.held = true;
    return {};
  }

  // A foreign key keeps a deleted row in its table, or shows no reference to one that is gone.
  Status decide_stored(Choice choice, const Value& given) {
    if (choice == Choice::base) {
      return refused("conflict " + conflict_.id + " has no base", "choose local, remote or value");
    }
    if (choice == Choice::remote && row_.kept) return erase();
    SYNCLINE_TRY(keep({}));
    if (choice == Choice::remote) {
      out_.held = true;  // what it refers to is to come back first
      return {};
    }
    for (ColumnNumber c = 0; c < base_.size() && c < out_.values.size(); ++c) {
      if (writable(c)) out_.values[c] = base_[c];
    }
    describe();
    return choice == Choice::value ? override_with(given) : Status();
  }

  const TableInfo& table_;
  const RowState& row_;
  const SiteTable& sites_;
  const bool stored_;
  const ConflictText& conflict_;
  RowKey key_;
  std::span<const Value> base_;
  Arena& arena_;
  Decision& out_;
};

std::string note_of(const DecisionInput& input, Choice choice, const Decision& plan) {
  const ConflictText& c = *input.conflict;
  if (input.row->kept || input.row->adjusted) {
    if (choice == Choice::value) return "the row stays, with the columns given";
    if (choice != Choice::remote) return "the row stays as it stands in the table";
    return input.row->kept ? "the row is deleted, if no row refers to it any more"
                           : "the row gets its reference back; the row it refers to comes first";
  }
  if (holds_row(c.kind)) {
    if (choice == Choice::local) return "what is stored stays; the row held is given up";
    if (choice == Choice::remote) {
      return c.kind == "unique" ? "the row held is stored; rows in its place are deleted"
             : c.kind == "foreign_key"
                 ? "the row held is stored; the row it refers to comes back first"
                 : "the row held is stored as it is, if the table takes it now";
    }
    return "the row held is stored with the columns given: {\"column\": value, ...}";
  }
  if (c.column_name.empty()) {
    if (choice == Choice::value) return "the row stays, with the columns given";
    return plan.exists ? "the row stays; every column is written" : "the row is deleted";
  }
  switch (choice) {
    case Choice::local: return "the local value is written";
    case Choice::remote: return "the remote value is written";
    case Choice::base: return "the value both were made from is written";
    case Choice::merged: return "what is shown now is written";
    default: return "the value given is written";
  }
}

}  // namespace

Status choice_from_name(std::string_view name, Choice* out) {
  const auto at = std::find(std::begin(kChoices), std::end(kChoices), name);
  if (at != std::end(kChoices)) {
    *out = static_cast<Choice>(at - std::begin(kChoices));
    return {};
  }
  const std::vector<std::string> names(std::begin(kChoices), std::end(kChoices));
  const std::string near = nearest_name(name, names);
  return Status(StatusCode::invalid_argument, "there is no choice \"" + std::string(name) + "\"",
                near.empty() ? "one of local, remote, base, merged, value, skip"
                             : "did you mean \"" + near + "\"?");
}

std::string_view choice_name(Choice choice) { return kChoices[static_cast<size_t>(choice)]; }

bool holds_row(std::string_view kind) {
  return kind == "unique" || kind == "foreign_key" || kind == "constraint";
}

Status plan_decision(const DecisionInput& input, Choice choice, const Value& given, Arena* arena,
                     Decision* out) {
  return Planner(input, arena, out).decide(choice, given);
}

Status plan_undo(const DecisionInput& input, Arena* arena, Decision* out) {
  return Planner(input, arena, out).undo();
}

void preview_choices(const DecisionInput& input, std::vector<PreviewLine>* out) {
  out->clear();
  for (const Choice choice : {Choice::local, Choice::remote, Choice::base, Choice::merged}) {
    Arena arena;
    Decision plan;
    if (!plan_decision(input, choice, Value(), &arena, &plan).ok()) continue;
    out->push_back({std::string(choice_name(choice)), plan.shown_json,
                    note_of(input, choice, plan)});
  }
  out->push_back({"value", "", note_of(input, Choice::value, Decision())});
  out->push_back({"skip", input.conflict->winner, "nothing is written; the conflict stays open"});
}

Origin::Reopened reopened_of(const Conflict& conflict, const TableInfo& table,
                             const SiteTable& sites) {
  Origin::Reopened out;
  out.id = conflict.id;
  out.kind = conflict_kind_name(conflict.kind);
  if (conflict.column >= 0) out.column = table.columns[static_cast<size_t>(conflict.column)].name;
  out.winner = conflict.shown_json.empty() ? conflict.winner_json : conflict.shown_json;
  out.loser = conflict.loser_json;
  const auto id = [&](const Version& v) {
    return v.site < sites.size() ? sites.id(v.site) : SiteId();
  };
  out.winner_site = id(conflict.winner);
  out.loser_site = id(conflict.loser);
  out.winner_seq = conflict.winner.seq;
  out.loser_seq = conflict.loser.seq;
  out.winner_hlc = conflict.winner.hlc;
  out.loser_hlc = conflict.loser.hlc;
  return out;
}

Status unknown_conflict(std::string_view id) {
  return Status(StatusCode::invalid_argument, "there is no conflict \"" + std::string(id) + "\"",
                "sync_conflicts lists them");
}

Status closed_conflict(const ConflictText& conflict) {
  std::string how = conflict.how.empty() ? std::string("a later write") : conflict.how;
  if (how == "write") how = "a later write";
  return refused("conflict " + conflict.id + " is closed: it was settled by " + how,
                 conflict.how == "decision" ? "sync_undo takes the decision back"
                                            : "write the value you want");
}

Status held_parent(std::string_view table) {
  return refused(
      "the row refers to one of table " + std::string(table) + " that is not in its table either",
      "decide the conflict of that row first: see sync_conflicts");
}

void append_moved_row(const MovedRow& row, std::string* text) {
  *text += std::to_string(row.table) + "\t" + bytes_to_hex(row.key) + "\t" +
           (row.deleted ? "deleted" : "restored") + "\n";
}

std::vector<MovedRow> moved_rows(std::string_view text) {
  std::vector<MovedRow> out;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    const std::string_view line = text.substr(0, end);
    const size_t first = line.find('\t'), second = line.rfind('\t');
    if (first == std::string_view::npos || second <= first) continue;
    MovedRow row;
    std::from_chars(line.data(), line.data() + first, row.table);
    if (!hex_to_bytes(line.substr(first + 1, second - first - 1), &row.key).ok()) continue;
    row.deleted = line.substr(second + 1) == "deleted";
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace syncline
