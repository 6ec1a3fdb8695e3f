// See sqlite_endpoint.h.
#include "sqlite_ext/sqlite_endpoint.h"

#include "sqlite_ext/identity.h"
#include "sqlite_ext/invariant.h"
#include "sqlite_ext/operation.h"
#include "sqlite_ext/schema_description.h"
#include "sqlite_ext/verify_host.h"

namespace syncline {

namespace {

Status apply_once(sqlite3* db, const std::string& chunk, const ApplyOptions& options,
                  ApplyReport* report) {
  Operation operation;
  SYNCLINE_TRY(operation.begin_write_to_apply(db, "sync_apply"));
  SYNCLINE_TRY(operation.fold());
  SYNCLINE_TRY(apply_chunk(&operation.port(), chunk, options, report));
  if (report->complete) SYNCLINE_TRY(check_invariants_after_apply(db));
  SYNCLINE_TRY(note_shared(db, &operation.registry(), operation.port().shared_seen()));
  return operation.commit();
}

}  // namespace

Status apply_to(sqlite3* db, const std::string& chunk, const ApplyOptions& options,
                ApplyReport* report) {
  Status applied = apply_once(db, chunk, options, report);
  if (applied.code() != StatusCode::identity) return applied;
  SYNCLINE_TRY(take_new_identity(db));
  return apply_once(db, chunk, options, report);
}

std::string engine_name() {
  return std::string("sqlite ") + sqlite3_libversion();
}

Status SqliteEndpoint::fold_if_needed() {
  if (sqlite3_db_readonly(db_, "main") == 1) return {};
  int64_t unfolded = 0, schema_moved = 0;
  SYNCLINE_TRY(query_integer(db_,
                             "SELECT coalesce((SELECT max(seq) FROM main.sync_log),0)>"
                             "coalesce((SELECT value FROM main.sync_meta WHERE "
                             "key='folded'),0)",
                             0, &unfolded));
  int64_t version = 0;
  SYNCLINE_TRY(query_integer(db_, "PRAGMA main.schema_version", 0, &version));
  SYNCLINE_TRY(query_integer(db_,
                             "SELECT value<>" + std::to_string(version) +
                                 " FROM main.sync_meta WHERE key='schema_version'",
                             1, &schema_moved));
  Registry lives;
  bool copied = false;
  SYNCLINE_TRY(load_lives(db_, &lives));
  SYNCLINE_TRY(was_copied(db_, lives, &copied));
  if (unfolded == 0 && schema_moved == 0 && !copied) return {};
  SYNCLINE_TRY(cache_.enlarge(db_));
  return fold_in_parts(db_, "sync_now");
}

Status SqliteEndpoint::labelled(Status status) const {
  if (status.ok() || label_.empty()) return status;
  return {status.code(), label_ + ": " + status.message(), status.hint()};
}

Status SqliteEndpoint::hello(Hello* out) {
  return labelled(introduce(out));
}

Status SqliteEndpoint::introduce(Hello* out) {
  {
    ReadTransaction snapshot;
    SYNCLINE_TRY(snapshot.begin(db_));
    bool tracks = false;
    SYNCLINE_TRY(has_companions(db_, &tracks));
    if (!tracks) return nothing_tracked("sync_now");
  }
  SYNCLINE_TRY(fold_if_needed());
  Operation operation;
  SYNCLINE_TRY(operation.begin_read(db_, "sync_now"));
  SYNCLINE_TRY(make_hello(&operation.port(), out));
  out->engine = engine_name();
  out->version = SYNCLINE_VERSION;
  return {};
}

Status SqliteEndpoint::produce_once(const std::string& vector_json, const std::string& resume_hex,
                                    const ExportOptions& options, ExportedChunk* out) {
  if (resume_hex.empty()) SYNCLINE_TRY(fold_if_needed());
  Operation operation;
  operation.share_changes(&changes_);
  SYNCLINE_TRY(cache_.enlarge(db_));
  SYNCLINE_TRY(operation.begin_read(db_, "sync_now"));
  SYNCLINE_TRY(export_chunk(&operation.port(), vector_json, options, resume_hex, out));
  VectorEntry head;
  SYNCLINE_TRY(log_head(db_, &head));
  if (out->row_count == 0 && operation.port().shared_seen() >= head.seq) return {};
  SYNCLINE_TRY(make_durable(db_));
  return note_what_leaves(db_, operation.registry());
}

Status SqliteEndpoint::produce(const std::string& vector_json, const std::string& resume_hex,
                               const ExportOptions& options, ExportedChunk* out) {
  Status produced = produce_once(vector_json, resume_hex, options, out);
  if (produced.code() != StatusCode::identity) return labelled(produced);
  SYNCLINE_TRY(take_new_identity(db_));
  return labelled(produce_once(vector_json, resume_hex, options, out));
}

Status SqliteEndpoint::schema(std::string* json) {
  Operation operation;
  Status read = operation.begin_read(db_, "sync_schema");
  if (read.ok()) read = describe_tables(db_, operation.registry(), json);
  return labelled(std::move(read));
}

Status SqliteEndpoint::answer(const std::string& question, std::string* out) {
  return labelled(answer_in(db_, &kept_sums_, question, out));
}

Status SqliteEndpoint::consume(const std::string& chunk, ApplyReport* out) {
  SYNCLINE_TRY(cache_.enlarge(db_));
  return labelled(apply_to(db_, chunk, apply_options_, out));
}

}  // namespace syncline
