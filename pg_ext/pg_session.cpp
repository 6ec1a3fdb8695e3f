// One session of sync_now: this database, a transaction a step, and a PostgreSQL peer. Of
// sync_start: many of them on one connection, and waiting for the peer in between.
//
// Runs in the background worker, outside of any transaction. Waiting for the peer goes through a
// leaf, so it can be interrupted.
#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>

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

// A connection that slb_session_begin has begun, and what became of that; or one that the last
// session has kept.
struct Begun {
  Status status;
  std::unique_ptr<PostgresEndpoint> remote;
  std::string url;
  bool password_required = false;
  bool connected = false;
  int64_t seen = -1;  // where the peer's numbering stood, as the last wait told it
};

// Never destroyed: at the process's exit the TLS library that the connection uses may be gone.
Begun& begun() {
  static Begun* object = new Begun;
  return *object;
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

bool is_interrupt(const Status& status) {
  return status.code() == StatusCode::host_failed || status.code() == StatusCode::cancelled;
}

// Does the connection of the last session serve for this one? If not, it is dropped.
Status renew(const SlSession& session) {
  const bool same = begun().url == view(session.url) &&
                    begun().password_required == session.password_required;
  if (begun().connected && same) {
    const Status renewed = begun().remote->renew();
    if (renewed.ok()) return {};
    if (is_interrupt(renewed)) return renewed;
  }
  begun() = {};
  return {};
}

Status begin(const SlSession& session) {
  SYNCLINE_TRY(renew(session));
  if (begun().connected) return {};
  PostgresPeerOptions options;
  options.wait = wait_for;
  options.password_required = session.password_required;
  begun().url = view(session.url);
  begun().password_required = session.password_required;
  begun().status = begin_connecting(begun().url, options, &begun().remote);
  return is_interrupt(begun().status) ? std::move(begun().status) : Status();
}

Status run(SlSession* session, SessionReport* report) {
  const bool sync = session->task == SL_TASK_SYNC;
  SessionOptions options;
  SYNCLINE_TRY(session_options_from_json(view(session->stored_options), &options));
  if (sync) SYNCLINE_TRY(session_options_from_json(view(session->options), &options));
  session->pulls = options.direction != Direction::push;
  session->pushes = options.direction != Direction::pull;
  const bool connected = std::exchange(begun().connected, false);
  SYNCLINE_TRY(std::move(begun().status));
  std::unique_ptr<PostgresEndpoint> remote = std::move(begun().remote);
  if (!connected) SYNCLINE_TRY(remote->finish_connecting());
  LocalEndpoint local(options.drift_ms_max);
  const bool clones = session->task == SL_TASK_CLONE;
  const Status status = sync     ? synchronise(options, &local, remote.get(), report)
                        : clones ? clone(*session, &local, remote.get(), report)
                                 : verify(*session, &local, remote.get());
  if (!status.ok()) local.sqlstate().copy(session->sqlstate, sizeof(session->sqlstate) - 1);
  if (status.ok() && session->keep) {
    begun().remote = std::move(remote);
    begun().connected = true;
  }
  return status;
}

// What stops the wait: the leaf says so, or fails.
Status await() {
  if (!begun().connected) return Status(StatusCode::refused, "there is no connection to wait at");
  Status looked;
  const auto stop = [&looked] {
    bool over = false;
    looked = guard(sl_leaf_background_look, &over);
    return over || !looked.ok();
  };
  bool news = false;
  const Status waited = begun().remote->await_change(&begun().seen, stop, &news);
  if (!waited.ok()) begun() = {};
  return looked.ok() ? waited : looked;
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

void slb_background_options(SlBytes options, int64_t* interval_ms, SlBytes* session,
                            SlStatus* status) {
  bounded(status, [&]() -> Status {
    BackgroundOptions parsed;
    SYNCLINE_TRY(background_options_from_json(view(options), &parsed));
    results().report = parsed.session;
    *session = bytes(results().report);
    *interval_ms = static_cast<int64_t>(parsed.interval_ms);
    return {};
  });
}

int64_t slb_background_rest_ms(int64_t failures, int64_t interval_ms) {
  return static_cast<int64_t>(background_rest_ms(static_cast<uint64_t>(failures),
                                                 static_cast<uint64_t>(interval_ms)));
}

void slb_session_begin(const SlSession* session, SlStatus* status) {
  bounded(status, [&] { return begin(*session); });
}

void slb_session_end() { begun() = {}; }

void slb_session_await(SlStatus* status) { bounded(status, await); }

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
