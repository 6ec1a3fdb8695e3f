// See decide.h.
#include "sqlite_ext/decide.h"

#include <algorithm>

#include "sqlite_ext/log_fold.h"
#include "syncline/limits.h"

namespace syncline {

namespace {

Status save_places(sqlite3* db, std::string_view id, std::string_view places) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "UPDATE main.sync_conflict SET places=nullif(?2,'') WHERE id=?1"));
  s.bind(1, id);
  s.bind(2, places);
  return s.run();
}

Status status_now(sqlite3* db, std::string_view id, std::string* out) {
  return query_text(
      db, "SELECT status FROM main.sync_conflict WHERE id=" + quote_text(id), out);
}

// Folds what was written. The conflict closes, or opens again, by what the row then holds.
Status fold_written(Operation* operation, std::string_view id, const char* wanted) {
  SYNCLINE_TRY(load_origins(operation->db(), &operation->registry()));
  SYNCLINE_TRY(operation->fold());
  operation->end_apply();
  std::string status;
  SYNCLINE_TRY(status_now(operation->db(), id, &status));
  if (status == wanted) return {};
  return {StatusCode::refused,
          "conflict " + std::string(id) + " is still " + status + " after this decision",
          "a trigger of the table may have changed what was written"};
}

// "nothing was written" is part of the promise: see the caller's roll back.
Status check_wrote(const TableInfo& table, const StoreOutcome& outcome) {
  if (outcome.stored) return {};
  return refused_write(table, outcome, "nothing was written; choose another value");
}

}  // namespace

Status refused_write(const TableInfo& table, const StoreOutcome& outcome, const char* hint) {
  return {StatusCode::refused,
          "table \"" + table.name + "\" refuses what the decision writes: " + outcome.reason, hint};
}

DecisionInput DecisionScene::input(const Registry& registry) const {
  return {&registry.tables[position], key, &row, &registry.sites, local.stored, &stored.text,
          local.values};
}

Status load_scene(sqlite3* db, const Registry& registry, AccessPool* pool, std::string_view id,
                  DecisionScene* out) {
  SYNCLINE_TRY(load_conflict(db, id, &out->stored));
  const int64_t at = registry.position(out->stored.table);
  if (at < 0) {
    return {StatusCode::refused, "table \"" + out->stored.text.table_name + "\" of conflict " +
                                     std::string(id) + " is not tracked any more"};
  }
  out->position = static_cast<size_t>(at);
  if (out->stored.key.empty()) return {};  // a row without identity
  SYNCLINE_TRY(decode_key(out->stored.key, &out->arena, &out->key));
  TableAccess* access = nullptr;
  SYNCLINE_TRY(pool->get(out->stored.table, &access));
  return read_current_row(access, registry, out->key, &out->arena, &out->local, &out->row);
}

Origin DecisionWriter::writer() const {
  const std::vector<OriginSpan>& spans = operation_.registry().origins;
  Origin origin = spans.empty() ? Origin() : origin_from_text(spans.back().origin);
  origin.conflict.clear();
  origin.choice.clear();
  origin.note.clear();
  origin.reopened = {};
  return origin;
}

Status DecisionWriter::write(TableAccess* access, const LocalRow& local, const Decision& plan,
                             StoreOutcome* outcome) {
  const TableInfo& table = access->table();
  RowWrite write;
  write.key = local.key;
  write.values = plan.values;
  write.base = !plan.exists  ? (local.stored ? BaseAction::erase : BaseAction::none)
               : local.stored ? BaseAction::update
                              : BaseAction::insert;
  for (ColumnNumber c = 0; write.base == BaseAction::update && c < table.column_count(); ++c) {
    if (!table.columns[c].present || table.is_key(c)) continue;
    if (!plan.values[c].is(ValueKind::absent)) write.changed.push_back(c);
  }
  *outcome = StoreOutcome();
  if (write.base == BaseAction::update && write.changed.empty()) write.base = BaseAction::none;
  if (write.base == BaseAction::none) return {};
  Status written = access->write_base(write, outcome);
  if (written.ok()) {
    if (!outcome->stored || sqlite3_changes(db()) > 0) return {};
    outcome->stored = false;
    outcome->reason = "a trigger ignores it";
    return {};
  }
  // Of a DELETE that a constraint or trigger refuses, the access does not make an outcome.
  if ((sqlite3_extended_errcode(db()) & 0xff) != SQLITE_CONSTRAINT) return written;
  outcome->stored = false;
  outcome->reason = sqlite3_errmsg(db());
  return {};
}

Status DecisionWriter::log(TableAccess* access, RowKey key, int64_t mask,
                           std::span<const Value> image, const Origin& origin) {
  const std::string text = origin_to_text(origin), after = origin_to_text(writer());
  if (text.size() > limits::note_bytes_max) {
    return {StatusCode::refused, "what the decision has to say is too long to be sent"};
  }
  VectorEntry head;
  SYNCLINE_TRY(log_head(db(), &head));
  SYNCLINE_TRY(save_origin(db(), head.seq + 1, text));
  SYNCLINE_TRY(save_origin(db(), head.seq + 2, after));
  return access->append_log(key, mask, image);
}

Status decide(Operation* operation, std::string_view id, Choice choice, const Value& given,
              std::string_view note, std::string* json) {
  sqlite3* db = operation->db();
  const Registry& registry = operation->registry();
  DecisionWriter writer(operation);
  DecisionScene scene;
  SYNCLINE_TRY(load_scene(db, registry, &writer.pool(), id, &scene));
  const ConflictText& text = scene.stored.text;
  if (text.status != "open") return closed_conflict(text);
  if (choice == Choice::skip) {
    if (!note.empty()) SYNCLINE_TRY(save_note(db, id, note));
    *json = decision_to_json(text, "skip", text.winner, "open");
    return {};
  }
  Decision plan;
  SYNCLINE_TRY(plan_decision(scene.input(registry), choice, given, &scene.arena, &plan));
  const TableInfo table = registry.tables[scene.position];
  TableAccess* access = nullptr;
  SYNCLINE_TRY(writer.pool().get(table.number, &access));
  std::string places;
  if (plan.held) {
    SYNCLINE_TRY(write_held(&writer, registry, access, scene, choice, plan, &places));
  } else {
    StoreOutcome outcome;
    SYNCLINE_TRY(writer.write(access, scene.local, plan, &outcome));
    SYNCLINE_TRY(check_wrote(table, outcome));
  }
  Origin origin = writer.writer();
  origin.conflict = std::string(id);
  origin.choice = choice_name(choice);
  origin.note = note;
  const bool image = !plan.exists && !scene.local.stored;
  SYNCLINE_TRY(writer.log(access, scene.key, plan.mask,
                          image ? std::span<const Value>(plan.values) : std::span<const Value>(),
                          origin));
  writer.pool().clear();
  SYNCLINE_TRY(fold_written(operation, id, "closed"));
  SYNCLINE_TRY(save_places(db, id, places));
  *json = decision_to_json(text, choice_name(choice), plan.shown_json, "closed");
  return {};
}

Status undo(Operation* operation, std::string_view id, std::string* json) {
  sqlite3* db = operation->db();
  const Registry& registry = operation->registry();
  DecisionWriter writer(operation);
  DecisionScene scene;
  SYNCLINE_TRY(load_scene(db, registry, &writer.pool(), id, &scene));
  const ConflictText& text = scene.stored.text;
  if (text.status == "open") {
    return {StatusCode::refused,
            "conflict " + std::string(id) + " is open: there is nothing to undo"};
  }
  if (text.how != "decision") {
    return {StatusCode::refused,
            "conflict " + std::string(id) + " was not settled by a decision, but by " +
                (text.how.empty() || text.how == "write" ? "a later write" : text.how),
            "write the value you want"};
  }
  if (holds_row(text.kind)) {
    SYNCLINE_TRY(undo_held(operation, &writer, &scene));
    *json = decision_to_json(text, "", "", "open");
    return {};
  }
  Decision plan;
  SYNCLINE_TRY(plan_undo(scene.input(registry), &scene.arena, &plan));
  const TableInfo table = registry.tables[scene.position];
  TableAccess* access = nullptr;
  SYNCLINE_TRY(writer.pool().get(table.number, &access));
  StoreOutcome outcome;
  SYNCLINE_TRY(writer.write(access, scene.local, plan, &outcome));
  SYNCLINE_TRY(check_wrote(table, outcome));
  Origin origin = writer.writer();
  origin.reopened = origin_from_text(scene.stored.reopens).reopened;
  const bool image = !plan.exists && !scene.local.stored;
  SYNCLINE_TRY(writer.log(access, scene.key, plan.mask,
                          image ? std::span<const Value>(plan.values) : std::span<const Value>(),
                          origin));
  writer.pool().clear();
  SYNCLINE_TRY(fold_written(operation, id, "open"));
  *json = decision_to_json(text, "", plan.shown_json, "open");
  return {};
}

}  // namespace syncline
