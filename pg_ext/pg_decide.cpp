// See pg_decide.h.
#include "pg_ext/pg_decide.h"

#include <algorithm>
#include <map>

#include "syncline/codec.h"
#include "syncline/conflicts.h"
#include "syncline/fold.h"
#include "syncline/limits.h"

namespace syncline::pg {

namespace {

static_assert(std::size(kConflictTexts) == SL_CONFLICT_TEXTS);

// Refusals that are about the row: of a constraint, of a type, or of a trigger that says so.
bool is_about_the_row(const SlFailure& failure) {
  const std::string_view state = failure.sqlstate;
  return state.substr(0, 2) == "23" || state.substr(0, 2) == "22" || state == "P0001";
}

ConflictKind kind_of(const SlFailure& failure) {
  const std::string_view state = failure.sqlstate;
  if (state == "23505" || state == "23P01") return ConflictKind::unique;
  return state == "23503" ? ConflictKind::foreign_key : ConflictKind::constraint;
}

std::string reason_of(const SlFailure& failure) {
  if (failure.constraint[0] != '\0') {
    return "constraint \"" + std::string(failure.constraint) + "\"";
  }
  if (failure.column[0] != '\0') {
    return "column \"" + std::string(failure.column) + "\": " + failure.message;
  }
  return failure.message;
}

}  // namespace

Status refused_write(const TableInfo& table, const StoreOutcome& outcome, const char* hint) {
  return Status(StatusCode::refused,
                "table \"" + table.name + "\" refuses what the decision writes: " + outcome.reason,
                hint);
}

Status load_conflict(std::string_view id, StoredConflict* out) {
  SlRecord record = {};
  record.id = bytes(id);
  SYNCLINE_TRY(guard(sl_leaf_load_record, &record));
  if (!record.found) return unknown_conflict(id);
  for (size_t i = 0; i < std::size(kConflictTexts); ++i)
    out->text.*kConflictTexts[i] = view(record.texts[i]);
  out->table = record.table;
  out->key = view(record.key);
  out->reopens = view(record.reopens);
  out->moved = view(record.moved);
  out->age_s = record.age_s;
  return {};
}

const TableInfo* Decider::table_by_number(uint32_t number) const {
  for (const TableInfo& table : tables_) {
    if (table.number == number) return &table;
  }
  return nullptr;
}

Status Decider::read_row(const TableInfo& table, std::string_view key, CurrentRow* out) {
  Arena arena;
  out->key.clear();
  SYNCLINE_TRY(decode_key(key, &arena, &out->key));
  const RowKey row_key(out->key);
  SYNCLINE_TRY(port_.fetch(table, std::span<const RowKey>(&row_key, 1), &out->batch));
  for (Value& value : out->key) value = out->batch.arena.copy(value);
  out->batch.rows.at(0).key = RowKey(out->key);
  return load_row(out->local(), table, &out->state);
}

Status Decider::load() {
  SYNCLINE_TRY(load_conflict(view(call_.id), &stored_));
  SYNCLINE_TRY(port_.load_site(&site_));
  SYNCLINE_TRY(port_.load_tables(&tables_));
  table_ = table_by_number(stored_.table);
  if (table_ == nullptr) {
    return Status(StatusCode::refused, "table \"" + stored_.text.table_name + "\" of conflict " +
                                           stored_.text.id + " is not tracked any more");
  }
  return read_row(*table_, stored_.key, &row_);
}

DecisionInput Decider::input() const {
  return {table_, row_.key, &row_.state, &site_.sites, row_.local().stored, &stored_.text};
}

Origin Decider::writer() const {
  Origin origin;
  origin.actor = view(call_.actor);
  origin.context = view(call_.context);
  return origin;
}

Status Decider::write(const TableInfo& table, std::string_view key, const LocalRow& local,
                      const Decision& plan, StoreOutcome* outcome) {
  *outcome = StoreOutcome();
  SlOrdinaryWrite write = {};
  write.table = table.number;
  write.key = bytes(key);
  write.values = values(plan.values.data());
  write.count = static_cast<uint32_t>(plan.values.size());
  if (!plan.exists && !local.stored) return {};
  write.action = !plan.exists ? SL_WRITE_ERASE : local.stored ? SL_WRITE_UPDATE : SL_WRITE_INSERT;
  SlFailure failure = {};
  bool failed = false;
  SYNCLINE_TRY(attempt(sl_leaf_ordinary_write, &write, &failure, &failed));
  if (failed && !is_about_the_row(failure)) {
    // A missing privilege, say: done again, so that the error is the server's own.
    SYNCLINE_TRY(guard(sl_leaf_ordinary_write, &write));
    failed = false;
  }
  if (failed) {
    outcome->stored = false;
    outcome->kind = kind_of(failure);
    outcome->reason = reason_of(failure);
  } else if (!write.written) {
    outcome->stored = false;
    outcome->reason = "a trigger ignores it";
  }
  return {};
}

Status Decider::log(const TableInfo& table, std::string_view key, int64_t mask,
                    std::span<const Value> image, const Origin& origin) {
  const std::string text = origin_to_text(origin);
  if (text.size() > limits::note_bytes_max) {
    return Status(StatusCode::refused, "what the decision has to say is too long to be sent");
  }
  std::string packed;
  for (ColumnNumber c = 0; c < image.size(); ++c) {
    if (image[c].is(ValueKind::absent) || table.is_key(c)) continue;
    append_varint(&packed, c);
    append_value(&packed, image[c]);
  }
  SlDecisionEntry entry = {};
  entry.table = table.number;
  entry.key = bytes(key);
  entry.erases = mask == kMaskAll;
  entry.mask = mask;
  if (!image.empty()) entry.image = bytes(packed);
  entry.origin = bytes(text);
  return guard(sl_leaf_decision_entry, &entry);
}

Status Decider::carry_out(const Decision& plan, const Origin& origin) {
  StoreOutcome outcome;
  SYNCLINE_TRY(write(*table_, stored_.key, row_.local(), plan, &outcome));
  if (!outcome.stored) {
    return refused_write(*table_, outcome, "nothing was written; choose another value");
  }
  const bool image = !plan.exists && !row_.local().stored;
  return log(*table_, stored_.key, plan.mask,
             image ? std::span<const Value>(plan.values) : std::span<const Value>(), origin);
}

Status Decider::fold_written(const char* wanted) {
  uint64_t rows = 0;
  SYNCLINE_TRY(port_.finish());
  SYNCLINE_TRY(guard(sl_leaf_new_snapshot, nullptr));
  SYNCLINE_TRY(fold_log(false, &rows));
  StoredConflict now;
  SYNCLINE_TRY(load_conflict(stored_.text.id, &now));
  if (now.text.status == wanted) return {};
  return Status(StatusCode::refused,
                "conflict " + stored_.text.id + " is still " + now.text.status +
                    " after this decision",
                "a trigger of the table may have changed what was written");
}

Status Decider::decide(std::string* json) {
  Choice choice;
  SYNCLINE_TRY(choice_from_name(view(call_.choice), &choice));
  if (!is_open()) return closed_conflict(stored_.text);
  const ConflictText& text = stored_.text;
  if (choice == Choice::skip) {
    SlRemark remark = {bytes(text.id), call_.note, {nullptr, 0}};
    if (call_.note.size > 0) SYNCLINE_TRY(guard(sl_leaf_remark, &remark));
    *json = decision_to_json(text, "skip", text.winner, "open");
    return port_.finish();
  }
  Decision plan;
  const Value& given = reinterpret_cast<const Value&>(call_.given);
  SYNCLINE_TRY(plan_decision(input(), choice, given, &arena_, &plan));
  Origin origin = writer();
  origin.conflict = text.id;
  origin.choice = choice_name(choice);
  origin.note = view(call_.note);
  if (plan.held) {
    SYNCLINE_TRY(write_held(choice, plan));
    const bool image = !plan.exists && !row_.local().stored;
    SYNCLINE_TRY(log(*table_, stored_.key, plan.mask,
                     image ? std::span<const Value>(plan.values) : std::span<const Value>(),
                     origin));
  } else {
    SYNCLINE_TRY(carry_out(plan, origin));
  }
  SYNCLINE_TRY(fold_written("closed"));
  SlRemark remark = {bytes(text.id), {nullptr, 0}, bytes(moved_)};
  SYNCLINE_TRY(guard(sl_leaf_remark, &remark));
  *json = decision_to_json(text, choice_name(choice), plan.shown_json, "closed");
  return {};
}

Status Decider::undo(std::string* json) {
  const ConflictText& text = stored_.text;
  if (is_open()) {
    return Status(StatusCode::refused,
                  "conflict " + text.id + " is open: there is nothing to undo");
  }
  if (text.how != "decision") {
    return Status(StatusCode::refused,
                  "conflict " + text.id + " was not settled by a decision, but by " +
                      (text.how.empty() || text.how == "write" ? "a later write" : text.how),
                  "write the value you want");
  }
  std::string shown;
  if (holds_row(text.kind)) {
    SYNCLINE_TRY(undo_held());
  } else {
    Decision plan;
    SYNCLINE_TRY(plan_undo(input(), &arena_, &plan));
    Origin origin = writer();
    origin.reopened = origin_from_text(stored_.reopens).reopened;
    SYNCLINE_TRY(carry_out(plan, origin));
    shown = plan.shown_json;
  }
  SYNCLINE_TRY(fold_written("open"));
  if (holds_row(text.kind)) SYNCLINE_TRY(settle_children());
  *json = decision_to_json(text, "", shown, "open");
  return {};
}

Status Decider::preview(std::vector<PreviewLine>* out) {
  if (!is_open()) return closed_conflict(stored_.text);
  preview_choices(input(), out);
  return port_.finish();
}

namespace {

template <int kUse>
std::string& buffer() {
  static std::string text;
  return text;
}

// A name of a site stands for its id; an unknown table is named.
Status check_filter(const std::vector<TableInfo>& tables, ConflictFilter* filter) {
  if (!filter->table.empty() && find_table(tables, filter->table) < 0) {
    std::vector<std::string> names;
    for (const TableInfo& table : tables) {
      if (table.present) names.push_back(table.name);
    }
    const std::string near = nearest_name(filter->table, names);
    return Status(StatusCode::invalid_argument,
                  "\"" + filter->table + "\" is not a tracked table",
                  near.empty() ? "" : "did you mean \"" + near + "\"?");
  }
  if (filter->site.empty() || site_id_from_hex(filter->site).ok()) return {};
  SlSiteNames names = {};
  SYNCLINE_TRY(guard(sl_leaf_site_names, &names));
  for (uint32_t i = 0; i < names.count; ++i) {
    if (view(names.names[i]) != filter->site) continue;
    filter->site = view(names.ids[i]);
    return {};
  }
  return Status(StatusCode::invalid_argument,
                "no site is known by the name \"" + filter->site + "\"",
                "give its id, see sync_conflicts.local_site and remote_site");
}

Status match(std::string_view json, std::vector<std::string>* out) {
  ConflictFilter filter;
  SYNCLINE_TRY(filter_from_json(json, &filter));
  SiteState site;
  std::vector<TableInfo> tables;
  SYNCLINE_TRY(load_site(&site));
  SYNCLINE_TRY(load_tables(site.settings, &tables));
  SYNCLINE_TRY(check_filter(tables, &filter));
  std::map<uint32_t, uint32_t> ranks;
  for (const TableInfo& table : tables) ranks[table.number] = table.rank;
  SlOpenIds open = {};
  SYNCLINE_TRY(guard(sl_leaf_open_ids, &open));
  std::vector<std::pair<uint32_t, std::string>> matched;
  for (uint32_t i = 0; i < open.count; ++i) {
    StoredConflict conflict;
    SYNCLINE_TRY(load_conflict(view(open.ids[i]), &conflict));
    if (!filter.matches(conflict.text, conflict.age_s)) continue;
    matched.emplace_back(ranks[open.tables[i]], view(open.ids[i]));
  }
  std::stable_sort(matched.begin(), matched.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  out->clear();
  for (auto& [rank, id] : matched) out->push_back(std::move(id));
  return {};
}

}  // namespace

}  // namespace syncline::pg

using namespace syncline;
using namespace syncline::pg;

SlBytes slb_decide(const SlDecide* call, SlStatus* status) {
  std::string& out = buffer<0>();
  out.clear();
  bounded(status, [&]() -> Status {
    Decider decider(*call);
    SYNCLINE_TRY(decider.load());
    if (call->only_open && !decider.is_open()) return {};
    return decider.decide(&out);
  });
  return bytes(out);
}

SlBytes slb_undo(const SlDecide* call, SlStatus* status) {
  std::string& out = buffer<1>();
  bounded(status, [&]() -> Status {
    Decider decider(*call);
    SYNCLINE_TRY(decider.load());
    return decider.undo(&out);
  });
  return bytes(out);
}

void slb_check_choice(SlBytes name, bool* takes_value, SlStatus* status) {
  bounded(status, [&]() -> Status {
    Choice choice;
    SYNCLINE_TRY(choice_from_name(view(name), &choice));
    *takes_value = choice == Choice::value;
    return {};
  });
}

void slb_match_conflicts(SlBytes filter, SlMatches* matches, SlStatus* status) {
  static std::vector<std::string>* ids = nullptr;
  static std::vector<SlBytes>* views = nullptr;
  matches->count = 0;
  bounded(status, [&]() -> Status {
    if (ids == nullptr) ids = new std::vector<std::string>();
    if (views == nullptr) views = new std::vector<SlBytes>();
    SYNCLINE_TRY(match(view(filter), ids));
    views->clear();
    for (const std::string& id : *ids) views->push_back(bytes(id));
    matches->ids = views->data();
    matches->count = static_cast<uint32_t>(views->size());
    return {};
  });
}

SlBytes slb_refusal(SlBytes id, SlBytes error) {
  try {
    buffer<2>() = "{\"id\": " + value_to_json(Value::text(view(id))) +
                  ", \"error\": " + value_to_json(Value::text(view(error))) + "}";
    return bytes(buffer<2>());
  } catch (...) {
    return {"{}", 2};
  }
}
