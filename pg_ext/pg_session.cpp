// One session of sync_now: this database, a transaction a step, and a PostgreSQL peer.
//
// Runs in the background worker, outside of any transaction. Waiting for the peer goes through a
// leaf, so it can be interrupted.
#include <chrono>
#include <cstdlib>
#include <string>

#include "peers/peer_json.h"
#include "peers/postgres_peer.h"
#include "peers/sqlstate.h"
#include "pg_ext/pg_site.h"
#include "pg_ext/sl_session.h"
#include "syncline/clone.h"
#include "syncline/json.h"
#include "syncline/session.h"
#include "syncline/verify.h"

namespace syncline::pg {

namespace {

// What outlives slb_session: its results.
struct Results {
  std::string report, peer_site, peer_name, peer_vector;
};

Results& results() {
  static Results object;
  return object;
}

// A connection that slb_session_begin has begun, and what became of that.
struct Begun {
  Status status;
  std::unique_ptr<PostgresEndpoint> remote;
};

Begun& begun() {
  static Begun object;
  return object;
}

class LocalEndpoint final : public Endpoint {
 public:
  explicit LocalEndpoint(uint64_t drift_ms_max)
      : apply_options_("{\"drift_ms_max\": " + std::to_string(drift_ms_max) + "}") {}

  Status hello(Hello* out) override {
    SlStep step = {};
    SYNCLINE_TRY(run(sl_leaf_step_hello, &step));
    return hello_from_json(view(step.output), out);
  }

  Status produce(const std::string& vector_json, const std::string& resume_hex,
                 const ExportOptions& options, ExportedChunk* out) override {
    const std::string options_json = export_options_to_json(options, resume_hex);
    SlStep step = {};
    step.input = bytes(vector_json);
    step.options = bytes(options_json);
    SYNCLINE_TRY(run(sl_leaf_step_produce, &step));
    out->bytes = view(step.chunk.bytes);
    out->number = static_cast<uint64_t>(step.chunk.number);
    out->row_count = static_cast<uint64_t>(step.chunk.row_count);
    out->last = step.chunk.last;
    out->resume_hex = view(step.output);
    return {};
  }

  Status consume(const std::string& chunk, ApplyReport* out) override {
    SlStep step = {};
    step.input = bytes(chunk);
    step.options = bytes(apply_options_);
    SYNCLINE_TRY(run(sl_leaf_step_consume, &step));
    return report_from_json(view(step.output), out);
  }

  Status answer(const std::string& question, std::string* out) override {
    SlStep step = {};
    step.input = bytes(question);
    SYNCLINE_TRY(run(sl_leaf_step_answer, &step));
    *out = view(step.output);
    return {};
  }

  Status clone(const std::string& plan, const std::string& peer_site) {
    SlStep step = {};
    step.input = bytes(plan);
    step.options = bytes(peer_site);
    return run(sl_leaf_step_clone, &step);
  }

  Status set_clock(bool* stamped) {
    SlStep step = {};
    SYNCLINE_TRY(run(sl_leaf_step_set_clock, &step));
    *stamped = step.stamped;
    return {};
  }

  // What goes wrong with it takes nothing from the session, which is over.
  void maintain(SessionReport* report) {
    SlStep step = {};
    step.input = bytes(report->peer_vector);
    step.options = bytes(report->peer_site);
    step.clock_ahead_ms = report->peer_clock_ahead_ms;
    const Status done = run(sl_leaf_step_maintain, &step);
    if (done.ok())
      report->maintained = view(step.output);
    else
      report->warnings.push_back("sync_maintain: " + done.message());
  }

  // The SQLSTATE of the last error in this database, or empty.
  const std::string& sqlstate() const { return sqlstate_; }

 private:
  Status run(void (*leaf)(void*), SlStep* step) {
    sqlstate_.clear();
    SYNCLINE_TRY(guard(leaf, step));
    if (!step->failed) return {};
    sqlstate_ = step->sqlstate;
    const StatusCode code = code_of_sqlstate(sqlstate_);
    return Status(code == StatusCode::peer_failed ? StatusCode::internal : code, step->message,
                  step->hint);
  }

  std::string apply_options_;
  std::string sqlstate_;
};

Status wait_for(const SocketWait& wait, bool* ready) {
  SlWait leaf = {wait.socket, wait.read, wait.write, wait.timeout_ms, false};
  SYNCLINE_TRY(guard(sl_leaf_wait, &leaf));
  *ready = leaf.ready;
  return {};
}

// A version refused as too far ahead although the two clocks agree: where this database's own clock
// was ahead once, it stamps anew what nobody has accepted, and tries once more.
Status run_with_clock(const SessionOptions& options, LocalEndpoint* local, Endpoint* remote,
                      SessionReport* report) {
  Status done = run_session(local, remote, options, {}, report);
  const auto apart = static_cast<uint64_t>(std::llabs(report->peer_clock_ahead_ms));
  if (done.code() != StatusCode::clock_drift || apart > options.drift_ms_max) return done;
  bool stamped = false;
  SYNCLINE_TRY(local->set_clock(&stamped));
  return stamped ? run_session(local, remote, options, {}, report) : done;
}

Status synchronise(const SessionOptions& options, LocalEndpoint* local, Endpoint* remote,
                   SessionReport* report) {
  const auto start = std::chrono::steady_clock::now();
  SYNCLINE_TRY(run_with_clock(options, local, remote, report));
  if (options.maintain) local->maintain(report);
  const std::chrono::duration<double, std::milli> spent =
      std::chrono::steady_clock::now() - start;
  results().report = report_to_json(*report, spent.count());
  return {};
}

// Makes the peer's tables here, then fills them.
Status clone(const SlSession& session, LocalEndpoint* local, Endpoint* remote,
             SessionReport* report) {
  const auto start = std::chrono::steady_clock::now();
  CloneOptions options;
  SYNCLINE_TRY(clone_options_from_json(view(session.options), &options));
  std::string description;
  Hello theirs;
  SYNCLINE_TRY(remote->schema(&description));
  SYNCLINE_TRY(remote->hello(&theirs));
  ClonePlan plan;
  SYNCLINE_TRY(plan_clone(description, Dialect::postgresql, options, &plan));
  SYNCLINE_TRY(local->clone(plan_to_json(plan), theirs.site));
  if (!options.ddl_only) SYNCLINE_TRY(run_with_clock(options.session, local, remote, report));
  const std::chrono::duration<double, std::milli> spent =
      std::chrono::steady_clock::now() - start;
  results().report =
      clone_report_to_json(plan, options.ddl_only ? nullptr : report, spent.count());
  return {};
}

Status verify(const SlSession& session, Endpoint* local, Endpoint* remote) {
  const bool repair = session.task == SL_TASK_REPAIR;
  VerifyOptions options;
  SYNCLINE_TRY(verify_options_from_json(view(session.options), repair, &options));
  const auto start = std::chrono::steady_clock::now();
  VerifyReport report;
  if (repair) {
    SessionReport ignored;
    const auto exchange = [&] {
      return run_session(local, remote, SessionOptions(), {}, &ignored);
    };
    SYNCLINE_TRY(repair_peer(local, remote, options, exchange, &report));
  } else {
    SYNCLINE_TRY(verify_peer(local, remote, options, &report));
  }
  const std::chrono::duration<double, std::milli> spent =
      std::chrono::steady_clock::now() - start;
  results().report = verify_report_to_json(report, options, repair, spent.count());
  return {};
}

Status run(SlSession* session, SessionReport* report) {
  const bool sync = session->task == SL_TASK_SYNC;
  SessionOptions options;
  SYNCLINE_TRY(session_options_from_json(view(session->stored_options), &options));
  if (sync) SYNCLINE_TRY(session_options_from_json(view(session->options), &options));
  SYNCLINE_TRY(std::move(begun().status));
  const std::unique_ptr<PostgresEndpoint> remote = std::move(begun().remote);
  SYNCLINE_TRY(remote->finish_connecting());
  LocalEndpoint local(options.drift_ms_max);
  const bool clones = session->task == SL_TASK_CLONE;
  const Status status = sync     ? synchronise(options, &local, remote.get(), report)
                        : clones ? clone(*session, &local, remote.get(), report)
                                 : verify(*session, &local, remote.get());
  if (!status.ok()) local.sqlstate().copy(session->sqlstate, sizeof(session->sqlstate) - 1);
  return status;
}

}  // namespace

}  // namespace syncline::pg

using namespace syncline;
using namespace syncline::pg;

void slb_check_clone_options(SlBytes options, SlStatus* status) {
  bounded(status, [&] {
    CloneOptions parsed;
    return clone_options_from_json(view(options), &parsed);
  });
}

void slb_session_begin(const SlSession* session, SlStatus* status) {
  bounded(status, [&]() -> Status {
    PostgresPeerOptions options;
    options.wait = wait_for;
    options.password_required = session->password_required;
    begun().status = begin_connecting(std::string(view(session->url)), options, &begun().remote);
    const StatusCode code = begun().status.code();
    const bool interrupted = code == StatusCode::host_failed || code == StatusCode::cancelled;
    return interrupted ? std::move(begun().status) : Status();
  });
}

void slb_session(SlSession* session, SlStatus* status) {
  status->code = 0;
  status->message[0] = status->hint[0] = session->sqlstate[0] = '\0';
  try {
    SessionReport report;
    const Status done = run(session, &report);
    if (!done.ok()) fill(done, status);
    results().peer_site = report.peer_site;
    results().peer_name = report.peer_name;
    results().peer_vector = report.peer_vector;
    session->report = bytes(results().report);
    session->peer_site = bytes(results().peer_site);
    session->peer_name = bytes(results().peer_name);
    session->peer_vector = bytes(results().peer_vector);
    session->clock_ahead_ms = report.peer_clock_ahead_ms;
  } catch (...) {
    fill_exception(status);
  }
}

SlBytes slb_peer_report(SlBytes name, SlBytes report, SlBytes sqlstate, SlBytes error) {
  try {
    OrderedJson out = {{"peer", std::string(view(name))}};
    if (report.data != nullptr) {
      out.update(parse_json<OrderedJson>(view(report)));
    } else if (sqlstate.data == nullptr) {
      out["skipped"] = std::string(view(error));
    } else {
      out["error"] = std::string(view(error));
      const StatusCode code = code_of_sqlstate(view(sqlstate));
      out["code"] = std::string(status_code_name(code));
    }
    results().report = json_text(out);
    return bytes(results().report);
  } catch (...) {
    return bytes("{}");
  }
}
