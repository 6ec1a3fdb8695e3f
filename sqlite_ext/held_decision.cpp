// Decisions about rows that a constraint keeps out of their table.
//
// `places` of a conflict lists the rows that had to move, a line each: table number, tab, the key
// in hex, tab, "deleted" (a rival) or "restored" (a parent). It is this database's own: only where
// it was decided can such a decision be taken back in full.
#include <algorithm>
#include <charconv>

#include "sqlite_ext/conflict_store.h"
#include "sqlite_ext/decide.h"
#include "sqlite_ext/log_fold.h"
#include "syncline/apply.h"
#include "syncline/conflicts.h"

namespace syncline {

namespace {

constexpr int kObstaclesMax = 100;

// One row of some table, to be moved.
class Mover {
 public:
  Mover(DecisionWriter* writer, const Registry& registry) : writer_(*writer), registry_(registry) {}

  // Deletes a row, or brings a deleted one back as it was.
  Status move(uint32_t number, const std::string& encoded, bool exists, StoreOutcome* outcome) {
    TableAccess* access = nullptr;
    SYNCLINE_TRY(writer_.pool().get(number, &access));
    Arena arena;
    std::vector<Value> key;
    SYNCLINE_TRY(decode_key(encoded, &arena, &key));
    LocalRow local;
    RowState row;
    SYNCLINE_TRY(read_current_row(access, registry_, key, &arena, &local, &row));
    *outcome = StoreOutcome();
    if (local.stored == exists) return {};
    Decision plan;
    plan.exists = exists;
    plan.values = last_image(access->table(), row, key);
    return writer_.write(access, local, plan, outcome);
  }

  // Makes a stored row a new version, as it is.
  Status touch(uint32_t number, const std::string& encoded) {
    TableAccess* access = nullptr;
    SYNCLINE_TRY(writer_.pool().get(number, &access));
    Arena arena;
    std::vector<Value> key;
    SYNCLINE_TRY(decode_key(encoded, &arena, &key));
    return writer_.log(access, key, kMaskEvery, {}, writer_.writer());
  }

  // What a row shows, or did before it was deleted.
  std::vector<Value> last_image(const TableInfo& table, const RowState& row, RowKey key) const {
    ShownRow shown;
    if (!row.empty()) show_row(row, table, registry_.sites, &shown);
    std::vector<Value> values(table.column_count());
    for (ColumnNumber c = 0; c < shown.values.size() && c < values.size(); ++c)
      values[c] = table.columns[c].present ? shown.values[c] : Value();
    for (size_t i = 0; i < key.size(); ++i) values[table.key[i]] = key[i];
    return values;
  }

  // Brings back the deleted rows that foreign keys of `values` name. *any: there was one.
  Status restore_parents(const TableInfo& child, std::span<const Value> values, bool* any,
                         std::string* places) {
    std::vector<ForeignKey> keys;
    SYNCLINE_TRY(foreign_keys(writer_.db(), child.name, &keys));
    *any = false;
    for (const ForeignKey& foreign : keys) {
      const int64_t at = find_table(registry_.tables, foreign.parent);
      if (at < 0) continue;
      const TableInfo& parent = registry_.tables[static_cast<size_t>(at)];
      std::vector<Value> key;
      if (!parent_key(child, values, foreign, parent, &key)) continue;
      TableAccess* access = nullptr;
      SYNCLINE_TRY(writer_.pool().get(parent.number, &access));
      bool exists = false;
      SYNCLINE_TRY(access->exists(key, &exists));
      Arena arena;
      LocalRow known;
      if (!exists) SYNCLINE_TRY(access->read_state(key, &arena, &known));
      if (exists || !known.has_state) continue;
      if ((known.state.flags & kPackedHeld) != 0) return held_parent(parent.name);
      StoreOutcome outcome;
      SYNCLINE_TRY(move(parent.number, encode_key(key), true, &outcome));
      if (!outcome.stored) return refused_write(parent, outcome, "bring the row back by hand");
      append_moved_row({parent.number, encode_key(key), false}, places);
      *any = true;
    }
    return {};
  }

 private:
  static bool parent_key(const TableInfo& child, std::span<const Value> values,
                         const ForeignKey& foreign, const TableInfo& parent,
                         std::vector<Value>* key) {
    if (foreign.to.size() != parent.key.size() || foreign.from.size() != foreign.to.size()) {
      return false;
    }
    for (const ColumnNumber part : parent.key) {
      const auto to = std::find_if(foreign.to.begin(), foreign.to.end(), [&](const auto& name) {
        return find_column(parent.columns, name) == int64_t{part};
      });
      if (to == foreign.to.end()) return false;
      const int64_t from =
          find_column(child.columns, foreign.from[static_cast<size_t>(to - foreign.to.begin())]);
      if (from < 0) return false;
      const Value& value = values[static_cast<size_t>(from)];
      if (value.is(ValueKind::null) || value.is(ValueKind::absent)) return false;
      key->push_back(value);
    }
    return true;
  }

  DecisionWriter& writer_;
  const Registry& registry_;
};

}  // namespace

Status write_held(DecisionWriter* writer, const Registry& registry, TableAccess* access,
                  const DecisionScene& scene, Choice choice, const Decision& plan,
                  std::string* places) {
  if (!plan.exists) return {};  // given up: the log entry says so
  const TableInfo& table = access->table();
  Mover mover(writer, registry);
  // With deferred keys SQLite says nothing until COMMIT: parents first.
  bool any = false;
  if (choice == Choice::remote) {
    SYNCLINE_TRY(mover.restore_parents(table, plan.values, &any, places));
  }
  for (int obstacle = 0; obstacle < kObstaclesMax; ++obstacle) {
    StoreOutcome outcome;
    SYNCLINE_TRY(writer->write(access, scene.local, plan, &outcome));
    if (outcome.stored) return {};
    const bool rivals = outcome.kind == ConflictKind::unique && !outcome.rivals.empty();
    if (choice != Choice::remote || !rivals) {
      return refused_write(table, outcome,
                           "nothing was written; choose value with other columns, or local");
    }
    for (const std::string& key : outcome.rivals) {
      StoreOutcome removed;
      SYNCLINE_TRY(mover.move(table.number, key, false, &removed));
      if (!removed.stored) {
        return refused_write(table, removed, "a row in its place cannot be deleted");
      }
      append_moved_row({table.number, key, true}, places);
    }
  }
  return {StatusCode::refused, "the row cannot be stored: too many rows stand in its place"};
}

namespace {

// The row leaves the table, in which capture sees nothing, and becomes held anew: a version of its
// own, which the fold is not asked about.
Status hold_again(Operation* operation, DecisionWriter* writer, TableAccess* access,
                  const DecisionScene& scene, std::span<const Value> values) {
  sqlite3* db = operation->db();
  Registry& registry = operation->registry();
  if (scene.local.stored) {
    SYNCLINE_TRY(operation->begin_apply("sync_undo"));
    RowWrite erase;
    erase.key = scene.key;
    erase.base = BaseAction::erase;
    StoreOutcome outcome;
    SYNCLINE_TRY(access->write_base(erase, &outcome));
    operation->end_apply();
  }
  SYNCLINE_TRY(writer->log(access, scene.key, kMaskEvery, {}, writer->writer()));
  VectorEntry head;
  SYNCLINE_TRY(log_head(db, &head));
  Version version{head.seq, head.hlc, registry.self(), false};
  for (const Version& v : scene.row.rest) version.hlc = std::max(version.hlc, v.hlc);
  for (const CellVersion& c : scene.row.cells) version.hlc = std::max(version.hlc, c.version.hlc);
  RowState row;
  row.column_count = access->table().column_count();
  row.context = scene.row.context;
  row.write_all(version, values);
  const std::string origin = origin_to_text(writer->writer());
  row.set_note(kRowNote, version, origin);
  row.held = true;
  std::string packed;
  ShownRow shown;
  show_row(row, access->table(), registry.sites, &shown);
  const TableAccess::StateWrite write = {
      scene.key, pack_row(row, access->table(), &shown, false, &packed)};
  SYNCLINE_TRY(access->write_states({&write, 1}));
  // Whatever else was in conflict here, it has replaced.
  SYNCLINE_TRY(close_superseded(db, access->table(), scene.stored.key, {scene.stored.text.id}, row,
                                registry.sites));
  registry.folded = head.seq;
  SYNCLINE_TRY(save_meta(db, "folded", Value::integer(static_cast<int64_t>(head.seq))));
  return raise_floor(db, version.hlc + 1);
}

// Who stands in the place of the row as it was held: they are to stay.
Status find_rivals(Operation* operation, TableAccess* access, const DecisionScene& scene,
                   std::span<const Value> values, std::vector<std::string>* rivals) {
  sqlite3* db = operation->db();
  SYNCLINE_TRY(operation->begin_apply("sync_undo"));
  SYNCLINE_TRY(execute(db, "SAVEPOINT sync_probe"));
  RowWrite write;
  write.key = scene.key;
  write.values = values;
  write.base = BaseAction::erase;
  StoreOutcome outcome;
  Status probed = access->write_base(write, &outcome);
  write.base = BaseAction::insert;
  if (probed.ok()) probed = access->write_base(write, &outcome);
  SYNCLINE_TRY(execute(db, "ROLLBACK TO sync_probe; RELEASE sync_probe"));
  operation->end_apply();
  *rivals = outcome.rivals;
  return probed;
}

Status record_held(Operation* operation, const DecisionScene& scene,
                   std::span<const Value> values) {
  const Registry& registry = operation->registry();
  ConflictRecord record;
  record.table = &registry.tables[scene.position];
  record.key = scene.stored.key;
  record.pk_json = scene.stored.text.pk;
  record.winner_is_local = false;
  record.reason = "the decision about it was taken back";
  Conflict& c = record.conflict;
  c.id = scene.stored.text.id;
  for (const ConflictKind kind :
       {ConflictKind::unique, ConflictKind::foreign_key, ConflictKind::constraint}) {
    if (conflict_kind_name(kind) == scene.stored.text.kind) c.kind = kind;
  }
  c.winner_json = row_to_json(*record.table, scene.key, values);
  c.policy = scene.stored.text.policy;
  c.severity = scene.stored.text.severity;
  return record_conflicts(operation->db(), registry.sites, {&record, 1});
}

}  // namespace

Status undo_held(Operation* operation, DecisionWriter* writer, DecisionScene* scene) {
  Registry& registry = operation->registry();
  const TableInfo table = registry.tables[scene->position];
  TableAccess* access = nullptr;
  SYNCLINE_TRY(writer->pool().get(table.number, &access));
  const std::vector<MovedRow> places = moved_rows(scene->stored.places);
  if (scene->stored.text.kind == "foreign_key" && scene->local.stored && places.empty()) {
    return {StatusCode::refused,
            "what the foreign key of conflict " + scene->stored.text.id +
                " did is not known here, so it is not taken back",
            "undo it where it was decided, or write the rows as they should be"};
  }
  Mover mover(writer, registry);
  Decision before;
  SYNCLINE_TRY(plan_undo(scene->input(registry), &scene->arena, &before));
  const std::vector<Value>& values = before.values;
  std::vector<std::string> rivals;
  SYNCLINE_TRY(find_rivals(operation, access, *scene, values, &rivals));
  SYNCLINE_TRY(hold_again(operation, writer, access, *scene, values));
  SYNCLINE_TRY(record_held(operation, *scene, values));
  // Later versions than the held row's: they keep its place, here and elsewhere.
  for (const std::string& key : rivals) SYNCLINE_TRY(mover.touch(table.number, key));
  for (const MovedRow& place : places) {
    StoreOutcome outcome;
    SYNCLINE_TRY(mover.move(place.table, place.key, place.deleted, &outcome));
    if (!outcome.stored) {
      const int64_t at = registry.position(place.table);
      return refused_write(registry.tables[static_cast<size_t>(std::max<int64_t>(at, 0))], outcome,
                           "what the decision had moved cannot go back");
    }
  }
  writer->pool().clear();
  SYNCLINE_TRY(load_origins(operation->db(), &registry));
  SYNCLINE_TRY(operation->fold());
  // Rows may refer to the one that left its table.
  const RowRef gone{table.number, scene->stored.key, {}};
  ApplyReport report;
  SYNCLINE_TRY(operation->begin_apply("sync_undo"));
  SYNCLINE_TRY(retry_held(&operation->port(), {&gone, 1}, &report));
  operation->end_apply();
  return {};
}

}  // namespace syncline
