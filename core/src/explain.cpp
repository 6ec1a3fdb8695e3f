// See explain.h.
#include "syncline/explain.h"

#include <algorithm>

#include "decision_value.h"
#include "syncline/conflict_text.h"
#include "syncline/decision.h"
#include "syncline/json.h"
#include "syncline/origin.h"

namespace syncline {
namespace {

class Explainer {
 public:
  Explainer(const TableInfo& table, const RowState& row, const SiteTable& sites)
      : table_(table), row_(row), sites_(sites) {}

  void run(std::vector<ExplainedCell>* out) {
    out->clear();
    if (row_.empty()) return;
    show_row(row_, table_, sites_, &shown_);
    out->push_back(explain_existence());
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      if (table_.is_key(c) || table_.columns[c].dropped) continue;
      out->push_back(explain_cell(c));
    }
  }

 private:
  std::string actor_of(const Version& version) const {
    const std::string_view text = row_.note(kRowNote, version);
    return text.empty() ? std::string() : origin_from_text(text).actor;
  }

  void name_version(const Version& version, ExplainedCell* out) const {
    if (version.seq == 0) return;
    out->site = to_hex(sites_.id(version.site));
    out->seq = version.seq;
    out->hlc = version.hlc;
    out->actor = actor_of(version);
  }

  // Every version of the row once, in version order.
  std::vector<Version> all_versions() const {
    std::vector<Version> all = row_.rest;
    for (const CellVersion& c : row_.cells) all.push_back(c.version);
    std::sort(all.begin(), all.end(), [&](const Version& a, const Version& b) {
      return compare_versions(a, b, sites_) < 0;
    });
    all.erase(std::unique(all.begin(), all.end(),
                          [](const Version& a, const Version& b) { return a.same_dot(b); }),
              all.end());
    return all;
  }

  ExplainedCell explain_existence() const {
    ExplainedCell out;
    const std::vector<Version> all = all_versions();
    const Version* shown = nullptr;
    bool any_dead = false, any_live = false;
    std::string lost;
    for (const Version& v : all) {
      any_dead = any_dead || v.dead;
      any_live = any_live || !v.dead;
      if (v.dead != shown_.alive) shown = &v;
    }
    for (const Version& v : all) {
      if (v.dead == shown_.alive) append_lost(v, v.dead ? "\"deleted\"" : "\"live\"", &lost);
    }
    if (shown != nullptr) name_version(*shown, &out);
    out.value = !shown_.alive ? "\"deleted\"" : row_.held ? "\"held\"" : "\"live\"";
    if (any_dead && any_live) {
      out.rule = deletion_rule();
      out.lost = "[" + lost + "]";
    } else {
      out.rule = any_dead ? "it was deleted" : "nobody deleted it";
    }
    if (row_.held) out.rule += "; a constraint, or a missing table, keeps it out of the table";
    return out;
  }

  std::string deletion_rule() const {
    switch (table_.on_delete) {
      case OnDelete::update_wins: return "update_wins: a change beside the deletion keeps the row";
      case OnDelete::delete_wins: return "delete_wins: a deletion beside a change takes the row";
      case OnDelete::last_writer: break;
    }
    return "last_writer: the later one of change and deletion";
  }

  ExplainedCell explain_cell(ColumnNumber column) {
    ExplainedCell out;
    out.column = table_.columns[column].name;
    const Value& shown = shown_.values[column];
    if (!shown.is(ValueKind::absent)) out.value = value_to_json(shown);
    std::vector<NotedVersion> versions;
    row_.cell(column, &versions);
    const auto dead = [](const NotedVersion& v) { return v.version.dead; };
    const auto deletions =
        static_cast<size_t>(std::count_if(versions.begin(), versions.end(), dead));
    if (deletions == versions.size()) {
      if (!versions.empty()) name_version(versions.back().version, &out);
      out.rule = "the last image of a deleted row";
      return out;
    }
    std::erase_if(versions, dead);
    if (versions.size() == 1) {
      name_version(versions[0].version, &out);
      out.rule = versions[0].version.hlc == 0 ? "written before tracking began"
                                              : "the only current version";
      if (deletions > 0) out.rule += " beside a deletion";
      return out;
    }
    explain_merge(column, versions, &out);
    return out;
  }

  void explain_merge(ColumnNumber column, const std::vector<NotedVersion>& versions,
                     ExplainedCell* out) {
    static const Policy last_writer;
    const auto& own = table_.columns[column].policy;
    const Policy& policy = own ? *own : last_writer;
    MergeInput input;
    input.kind = table_.columns[column].kind;
    input.versions = versions;
    input.sites = &sites_;
    input.array_key = policy.array_key;
    Arena arena;
    MergeResult merged;
    resolve_cell(policy, input, &arena, &merged);
    // Of those whose value is shown, the greatest; if it is none's, the greatest of all.
    size_t winner = versions.size() - 1;
    for (size_t i = 0; i < versions.size(); ++i) {
      if (!merged.lost[i]) winner = i;
    }
    name_version(versions[winner].version, out);
    std::string lost;
    for (size_t i = 0; i < versions.size(); ++i) {
      if (merged.lost[i]) append_lost(versions[i].version, value_to_json(versions[i].value), &lost);
    }
    out->lost = "[" + lost + "]";
    out->rule = lost.empty() && !combines(policy.kind) ? "all versions agree"
                                                       : rule_of(policy, versions.size());
  }

  static bool combines(PolicyKind kind) {
    return kind == PolicyKind::counter || kind == PolicyKind::union_set ||
           kind == PolicyKind::concat || kind == PolicyKind::json || kind == PolicyKind::text;
  }

  static std::string rule_of(const Policy& policy, size_t count) {
    const std::string of = " of " + std::to_string(count) + " versions";
    switch (policy.kind) {
      case PolicyKind::last_writer: return "last_writer: the latest" + of;
      case PolicyKind::first_writer: return "first_writer: the earliest" + of;
      case PolicyKind::max: return "max: the greatest value" + of;
      case PolicyKind::min: return "min: the least value" + of;
      case PolicyKind::counter: return "counter: the increments" + of + " added up";
      case PolicyKind::union_set: return "union: the elements" + of;
      case PolicyKind::concat: return "concat: the values" + of + " joined";
      case PolicyKind::site_priority: return "site_priority: the first site in the order" + of;
      case PolicyKind::manual: return "manual: the latest" + of + " stands until somebody decides";
      case PolicyKind::json: return "json: the changes" + of + " merged path by path";
      case PolicyKind::text: return "text: the edits" + of + " merged";
      case PolicyKind::sql: break;
    }
    return policy.name + of;
  }

  void append_lost(const Version& version, const std::string& value, std::string* out) const {
    if (!out->empty()) *out += ", ";
    const std::string at = time_text(hlc_to_ms(version.hlc)), actor = actor_of(version);
    *out += "{\"value\": " + value + ", \"site\": \"" + to_hex(sites_.id(version.site)) +
            "\", \"seq\": " + std::to_string(version.seq) + ", \"at\": " +
            (at.empty() ? std::string("null") : "\"" + at + "\"");
    if (!actor.empty()) *out += ", \"actor\": " + value_to_json(Value::text(actor));
    *out += "}";
  }

  const TableInfo& table_;
  const RowState& row_;
  const SiteTable& sites_;
  ShownRow shown_;
};

}  // namespace

void explain_row(const TableInfo& table, const RowState& row, const SiteTable& sites,
                 std::vector<ExplainedCell>* out) {
  Explainer(table, row, sites).run(out);
}

Status key_from_argument(const TableInfo& table, const Value& given, Arena* arena,
                         std::vector<Value>* key) {
  key->clear();
  SortedJson object;
  if (given.is(ValueKind::text) && !given.bytes().empty() && given.bytes()[0] == '{') {
    object = parse_json<SortedJson>(given.bytes());
  }
  for (const ColumnNumber part : table.key) {
    const ColumnInfo& column = table.columns[part];
    Value value = given;
    if (object.is_object()) {
      const auto member = object.find(column.name);
      if (member == object.end() || member->is_null()) {
        return Status(StatusCode::invalid_argument,
                      "the key of " + table.name + " has column \"" + column.name +
                          "\", which is missing",
                      "pass something like '{\"" + column.name + "\": ...}'");
      }
      value = value_from_json(column.kind, json_text(*member), arena);
    } else if (given.is(ValueKind::null) || given.is(ValueKind::absent)) {
      return Status(StatusCode::invalid_argument,
                    "the key of " + table.name + " is missing or NULL",
                    "pass its value, or something like '{\"" + column.name + "\": ...}'");
    } else if (table.key.size() > 1) {
      return Status(StatusCode::invalid_argument,
                    "the key of " + table.name + " is to be a JSON object of its columns",
                    "pass something like '{\"" + column.name + "\": ...}'");
    }
    Value fitted;
    SYNCLINE_TRY(fit_value(table, part, value, arena, &fitted));
    key->push_back(fitted);
  }
  return {};
}

}  // namespace syncline
