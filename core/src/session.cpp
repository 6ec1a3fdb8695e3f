// One sync conversation. See session.h; the order of steps is the order of the functions below.
#include "syncline/session.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "json_options.h"
#include "syncline/chunk.h"
#include "syncline/codec.h"
#include "syncline/json.h"
#include "syncline/membership.h"
#include "token.h"

namespace syncline {
namespace {

using Json = OrderedJson;

class Session {
 public:
  Session(Endpoint* local, Endpoint* remote, const SessionOptions& options,
          const std::function<Status(const SessionReport&)>& progress, SessionReport* report)
      : local_(*local), remote_(*remote), options_(options), progress_(progress), report_(*report) {
    std::optional<Compression>& compression = options_.export_options.compression;
    compression = compression.value_or(remote_.compression());
  }

  Status run() {
    SYNCLINE_TRY(meet());
    if (options_.direction == Direction::both) {
      SYNCLINE_TRY(pull_from_behind());
    } else if (options_.direction == Direction::pull) {
      SYNCLINE_TRY(pull());
    }
    if (options_.direction != Direction::pull) SYNCLINE_TRY(push());
    return conclude();
  }

 private:
  Status meet() {
    SYNCLINE_TRY(ask_both());
    report_.peer_site = theirs_.site;
    report_.peer_name = theirs_.name;
    report_.peer_engine = theirs_.engine;
    if (theirs_.protocol != mine_.protocol) {
      return Status(StatusCode::unsupported_version,
                    "the peer speaks protocol " + std::to_string(theirs_.protocol) +
                        ", this database " + std::to_string(mine_.protocol),
                    "install the same release of syncline on both sides");
    }
    if (theirs_.site == mine_.site) {
      return Status(StatusCode::identity,
                    "the peer has this database's own site id: it is this database, or a copy",
                    "if it is a copy, call sync_new_identity() in one of the two");
    }
    SYNCLINE_TRY(check_members());
    SYNCLINE_TRY(compare_clocks());
    report_.warnings = compare_schemas(mine_.tables, theirs_.tables);
    return {};
  }

  // Both bring their logs up to date before they answer: they do at once.
  Status ask_both() {
    remote_.begin_hello();
    SYNCLINE_TRY(local_.hello(&mine_));
    return remote_.hello(&theirs_);
  }

  Status check_members() const {
    const auto retired = [](const Hello& by, const Hello& who) {
      return std::find(by.retired.begin(), by.retired.end(), who.site) != by.retired.end();
    };
    if (retired(theirs_, mine_) || retired(mine_, mine_)) {
      return Status(StatusCode::refused,
                    "this database (site " + mine_.site + ") was retired with sync_retire_site()",
                    "call sync_new_identity() here, then synchronise again: changes made here "
                    "are kept");
    }
    if (retired(mine_, theirs_) || retired(theirs_, theirs_)) {
      return Status(StatusCode::refused,
                    "the peer (site " + theirs_.site + ") was retired with sync_retire_site()",
                    "call sync_new_identity() there, then synchronise again: its changes are kept");
    }
    return {};
  }

  Status compare_clocks() {
    const auto ahead = static_cast<int64_t>(theirs_.now_ms) - static_cast<int64_t>(mine_.now_ms);
    report_.peer_clock_ahead_ms = ahead;
    if (static_cast<uint64_t>(std::llabs(ahead)) <= options_.drift_ms_max) return {};
    return Status(StatusCode::clock_drift,
                  "the clocks of the two databases differ: the peer's is " +
                      std::to_string(std::llabs(ahead) / 1000) + " s " +
                      (ahead > 0 ? "ahead" : "behind"),
                  "set both clocks; at most " + std::to_string(options_.drift_ms_max / 1000) +
                      " s are accepted");
  }

  Status pull() {
    bool needed = true;
    SYNCLINE_TRY(needs(mine_, theirs_, &needed));
    if (!needed) return {};
    return transfer(&remote_, &local_, mine_, theirs_, &report_.pulled, &report_.applied_here);
  }

  // A peer that has not seen all that melted here is refused until it has: it gets that first.
  Status pull_from_behind() {
    const Status pulled = pull();
    if (pulled.code() != StatusCode::refused || report_.pulled.chunks > 0) return pulled;
    SYNCLINE_TRY(push());
    if (report_.pushed.chunks == 0) return pulled;
    SYNCLINE_TRY(ask_both());
    return pull();
  }

  Status push() {
    // What the pull brought must not go back: the peer's vector is asked for again.
    if (report_.pulled.rows > 0) {
      SYNCLINE_TRY(ask_both());
    } else if (report_.pulled.chunks > 0) {
      SYNCLINE_TRY(local_.hello(&mine_));
    }
    bool needed = true;
    SYNCLINE_TRY(needs(theirs_, mine_, &needed));
    if (!needed && report_.pulled.chunks > 0) acknowledge();
    if (!needed) return {};
    return transfer(&local_, &remote_, theirs_, mine_, &report_.pushed, &report_.applied_there);
  }

  // Tells the peer that what it gave has arrived: an empty chunk. Without it the peer would keep
  // the metadata of it for longer, nothing else, so that its failure is none of ours.
  void acknowledge() {
    ExportedChunk chunk;
    ApplyReport ignored;
    Status status = local_.produce(theirs_.vector, "", options_.export_options, &chunk);
    if (status.ok()) status = remote_.consume(chunk.bytes, &ignored);
  }

  // Whether `from` has, or may have, anything for `to`.
  static Status needs(const Hello& to, const Hello& from, bool* out) {
    SiteTable sites;
    VersionVector has, gives;
    SYNCLINE_TRY(vector_from_json(to.vector, &sites, &has));
    SYNCLINE_TRY(vector_from_json(from.vector, &sites, &gives));
    *out = !gives.covered_by(has) || !from.unfinished.empty() || !to.unfinished.empty() ||
           to.joining || (!from.melted.empty() && from.melted != to.melted);
    // One dot, two clocks: somebody was copied or restored. The exchange finds out who.
    for (SiteIndex s = 0; s < has.size(); ++s) {
      const VectorEntry a = has.entry(s), b = gives.entry(s);
      *out = *out || (a.seq == b.seq && a.hlc != b.hlc);
    }
    return {};
  }

  // The chunk after the one that the receiver is at, made while it works.
  struct Ahead {
    bool made = false;
    std::string resume;  // what it goes on from
    Status status;
    ExportedChunk chunk;
  };

  Status next_chunk(Endpoint* from, const std::string& vector, const std::string& resume,
                    Ahead* ahead, ExportedChunk* out) {
    if (std::exchange(ahead->made, false) && ahead->resume == resume) {
      *out = std::move(ahead->chunk);
      return std::move(ahead->status);
    }
    return from->produce(vector, resume, options_.export_options, out);
  }

  // The receiver will most likely go on from the token in the chunk: the sender may begin.
  void make_ahead(Endpoint* from, Endpoint* to, const std::string& vector,
                  const ExportedChunk& chunk, Ahead* ahead) {
    if (chunk.last) return;
    ahead->resume = chunk.resume_hex;
    if (ahead->resume.empty()) {
      SiteTable sites;
      std::unique_ptr<ChunkReader> reader;
      if (!ChunkReader::open(chunk.bytes, &sites, &reader).ok()) return;
      ahead->resume = bytes_to_hex(reader->header().token);
    }
    from->begin_produce(vector, ahead->resume, options_.export_options);
    if (!to->begin_consume(chunk.bytes)) return;
    ahead->made = true;
    ahead->chunk = ExportedChunk();
    ahead->status =
        from->produce(vector, ahead->resume, options_.export_options, &ahead->chunk);
  }

  Status transfer(Endpoint* from, Endpoint* to, const Hello& receiver,
                  const Hello& sender, SessionCounts* counts, uint64_t* applied) {
    std::string resume, vector = receiver.vector;
    for (const auto& [site, token] : receiver.unfinished) {
      if (site == sender.site) resume = token;
    }
    if (receiver.joining && resume.empty()) vector = "{}";
    // An exchange that broke off earlier ends with what the sender knew when it began: what it
    // wrote since, behind the place where it went on, takes another one.
    bool resumed = !resume.empty();
    bool restarted = false;
    uint64_t opened = 0;
    Ahead ahead;
    for (;;) {
      ExportedChunk chunk;
      SYNCLINE_TRY(next_chunk(from, vector, resume, &ahead, &chunk));
      make_ahead(from, to, vector, chunk, &ahead);
      ApplyReport applied_now;
      const Status status = to->consume(chunk.bytes, &applied_now);
      const bool moved_on = status.code() == StatusCode::gap;
      const bool is_copy = status.code() == StatusCode::identity;
      if ((moved_on || is_copy) && !restarted) {
        restarted = true;
        resume.clear();
        if (is_copy) SYNCLINE_TRY(show(sender.vector, to));
        Hello now;  // it may know less than it said: a new identity gives up dots
        SYNCLINE_TRY(to->hello(&now));
        vector = now.vector;
        continue;
      }
      if (!status.ok()) return status;
      counts->rows += chunk.row_count;
      counts->bytes += chunk.bytes.size();
      ++counts->chunks;
      *applied += applied_now.applied;
      opened += applied_now.conflicts;
      report_.conflicts = std::max(report_.conflicts, opened);  // both sides find the same ones
      if (progress_) SYNCLINE_TRY(progress_(report_));
      resume = applied_now.resume;  // the receiver knows where it stands
      if (!chunk.last && !applied_now.complete) continue;
      report_.quarantined += applied_now.quarantined;  // what waited for later chunks is in by now
      if (!resumed) return {};
      resumed = false;
      resume.clear();
      SYNCLINE_TRY(ask_vector(to, &vector));
    }
  }

  static Status ask_vector(Endpoint* endpoint, std::string* vector) {
    Hello now;
    SYNCLINE_TRY(endpoint->hello(&now));
    *vector = now.vector;
    return {};
  }

  // Shows a database changes under its id that it has not made: it takes a new id while it answers.
  // Refusing a chunk, it cannot: what an error rolls back is not kept.
  Status show(const std::string& vector, Endpoint* to) {
    ExportedChunk ignored;
    return to->produce(vector, "", options_.export_options, &ignored);
  }

  // What the peer has now: what it said, and after a complete push all that we had before it.
  Status conclude() {
    SiteTable sites;
    VersionVector peer, ours;
    SYNCLINE_TRY(vector_from_json(theirs_.vector, &sites, &peer));
    SYNCLINE_TRY(vector_from_json(mine_.vector, &sites, &ours));
    if (options_.direction != Direction::pull) peer.merge(ours);
    report_.peer_vector = vector_to_json(peer, sites);
    return {};
  }

  Endpoint& local_;
  Endpoint& remote_;
  SessionOptions options_;
  const std::function<Status(const SessionReport&)>& progress_;
  SessionReport& report_;
  Hello mine_, theirs_;
};

Json counts_to_json(const SessionCounts& counts) {
  return {{"rows", counts.rows}, {"bytes", counts.bytes}, {"chunks", counts.chunks}};
}

Status bad_hello(const std::string& what) {
  return Status(StatusCode::peer_failed, "the peer's greeting is malformed: " + what,
                "install the same release of syncline on both sides");
}

Status read_schema(const SortedJson& in, TableSchema* out) {
  out->name = in.at("name").get<std::string>();
  for (const auto& column : in.at("columns")) {
    out->columns.push_back({column.at("name").get<std::string>(),
                            column.at("type").get<std::string>()});
  }
  for (const auto& position : in.at("key")) {
    if (!position.is_number_unsigned() || position.get<uint64_t>() >= out->columns.size()) {
      return bad_hello("the key of table " + out->name);
    }
    out->key.push_back(position.get<uint32_t>());
  }
  return {};
}

// Looked at before it is written out again: that recurses as deep as the document is.
bool is_vector(const SortedJson& in) {
  if (!in.is_object()) return false;
  for (const auto& entry : in) {
    if (!entry.is_array()) return false;
    for (const auto& number : entry) {
      if (number.is_structured()) return false;
    }
  }
  return true;
}

}  // namespace

void Endpoint::begin_hello() {}

void Endpoint::begin_produce(const std::string&, const std::string&, const ExportOptions&) {}

bool Endpoint::begin_consume(const std::string&) { return false; }

Status Endpoint::schema(std::string*) {
  return Status(StatusCode::unsupported_version, "this database cannot describe its tables",
                "install the same release of syncline on both sides");
}

Status Endpoint::answer(const std::string&, std::string*) {
  return Status(StatusCode::unsupported_version, "this database cannot be verified",
                "install the same release of syncline on both sides");
}

std::string hello_to_json(const Hello& hello) {
  Json tables = Json::array();
  for (const TableSchema& table : hello.tables) {
    Json columns = Json::array();
    for (const ColumnSchema& c : table.columns) {
      columns.push_back({{"name", c.name}, {"type", c.type}});
    }
    tables.push_back({{"name", table.name}, {"key", table.key}, {"columns", columns}});
  }
  Json unfinished = Json::object();
  for (const auto& [site, token] : hello.unfinished) unfinished[site] = token;
  const Json out = {{"protocol", hello.protocol}, {"site", hello.site},
                    {"name", hello.name},         {"engine", hello.engine},
                    {"version", hello.version},   {"vector", parse_json<Json>(hello.vector)},
                    {"now_ms", hello.now_ms},     {"tables", tables},
                    {"unfinished", unfinished},   {"retired", hello.retired},
                    {"melted", hello.melted},     {"joining", hello.joining}};
  return json_text(out);
}

Status hello_from_json(std::string_view json, Hello* out) {
  *out = Hello();
  const SortedJson in = parse_json<SortedJson>(json);
  if (!in.is_object()) return bad_hello("it is not a JSON object");
  try {
    // A real number could be beyond what an integer holds.
    for (const char* name : {"protocol", "now_ms"}) {
      if (!in.at(name).is_number_unsigned()) return bad_hello(std::string("its ") + name);
    }
    if (!is_vector(in.at("vector"))) return bad_hello("its vector");
    out->protocol = in.at("protocol").get<int>();
    out->site = in.at("site").get<std::string>();
    out->name = in.value("name", "");
    out->engine = in.value("engine", "");
    out->version = in.value("version", "");
    out->vector = json_text(in.at("vector"));
    out->now_ms = in.at("now_ms").get<uint64_t>();
    for (const auto& table : in.at("tables")) {
      TableSchema schema;
      SYNCLINE_TRY(read_schema(table, &schema));
      out->tables.push_back(std::move(schema));
    }
    for (const auto& item : in.at("unfinished").items()) {
      out->unfinished.emplace_back(item.key(), item.value().get<std::string>());
    }
    out->melted = in.value("melted", "");
    out->joining = in.value("joining", false);
    for (const auto& site : in.value("retired", SortedJson::array())) {
      out->retired.push_back(site.get<std::string>());
    }
  } catch (const SortedJson::exception& error) {
    return bad_hello(error.what());
  }
  return {};
}

Status make_hello(Port* port, Hello* out) {
  SiteState site;
  std::vector<TableInfo> tables;
  SYNCLINE_TRY(port->load_site(&site));
  SYNCLINE_TRY(port->load_tables(&tables));
  out->site = to_hex(site.sites.id(site.self));
  out->name = site.name;
  out->vector = vector_to_json(site.knowledge, site.sites);
  out->now_ms = site.now_ms;
  for (const TableInfo& table : tables) {
    if (table.present) out->tables.push_back(table.schema_here());
  }
  std::vector<std::pair<SiteId, std::string>> unfinished;
  SYNCLINE_TRY(port->list_incoming(&unfinished));
  for (const auto& [sender, token] : unfinished) {
    out->unfinished.emplace_back(to_hex(sender), bytes_to_hex(token));
  }
  if (!site.melted.empty()) {
    std::string bytes;
    append_vector(&bytes, site.melted, site.sites);
    out->melted = bytes_to_hex(hash128(bytes));
  }
  out->joining = !site.melted.covered_by(site.knowledge);
  for (const SiteId& id : retired_ids(site.settings)) out->retired.push_back(to_hex(id));
  return {};
}

Status run_session(Endpoint* local, Endpoint* remote, const SessionOptions& options,
                   const std::function<Status(const SessionReport&)>& progress,
                   SessionReport* report) {
  *report = SessionReport();
  return Session(local, remote, options, progress, report).run();
}

std::string report_to_json(const SessionReport& report, double duration_ms) {
  Json out = {{"peer", report.peer_name},
              {"site", report.peer_site},
              {"engine", report.peer_engine},
              {"pulled", counts_to_json(report.pulled)},
              {"pushed", counts_to_json(report.pushed)},
              {"applied_here", report.applied_here},
              {"applied_there", report.applied_there},
              {"conflicts", report.conflicts},
              {"quarantined", report.quarantined},
              {"warnings", report.warnings},
              {"duration_ms", std::llround(duration_ms * 10) / 10.0}};
  if (!report.maintained.empty()) out["maintained"] = parse_json<Json>(report.maintained);
  return json_text(out);
}

std::vector<std::string> compare_schemas(const std::vector<TableSchema>& ours,
                                         const std::vector<TableSchema>& theirs) {
  std::vector<std::string> warnings;
  std::vector<TableInfo> others(theirs.size());
  for (size_t i = 0; i < theirs.size(); ++i) others[i].name = theirs[i].name;
  for (const TableSchema& mine : ours) {
    const int64_t at = find_table(others, mine.name);
    if (at < 0) continue;
    const TableSchema& other = theirs[static_cast<size_t>(at)];
    std::vector<ColumnInfo> columns(other.columns.size());
    for (size_t i = 0; i < columns.size(); ++i) columns[i].name = other.columns[i].name;
    for (const ColumnSchema& column : mine.columns) {
      const int64_t c = find_column(columns, column.name);
      if (c < 0) {
        warnings.push_back("column " + mine.name + "." + column.name +
                           " is missing at the peer: its values are kept there until it is added");
        continue;
      }
      const std::string& type = other.columns[static_cast<size_t>(c)].type;
      for (const std::string& loss : {type_loss(column.type, type), type_loss(type, column.type)}) {
        if (!loss.empty()) warnings.push_back(mine.name + "." + column.name + ": " + loss);
      }
    }
    for (const ColumnSchema& column : other.columns) {
      std::vector<ColumnInfo> here(mine.columns.size());
      for (size_t i = 0; i < here.size(); ++i) here[i].name = mine.columns[i].name;
      if (find_column(here, column.name) >= 0) continue;
      warnings.push_back("column " + mine.name + "." + column.name +
                         " is missing here: its values are kept until it is added");
    }
  }
  return warnings;
}

namespace {

Status read_session_options(const char* function, JsonOptions* in, SessionOptions* out) {
  SYNCLINE_TRY(in->read_export(&out->export_options));
  SYNCLINE_TRY(in->boolean("maintain", &out->maintain));
  std::string direction;
  SYNCLINE_TRY(in->text("direction", &direction));
  if (direction == "pull") out->direction = Direction::pull;
  else if (direction == "push") out->direction = Direction::push;
  else if (!direction.empty() && direction != "both") {
    return Status(StatusCode::invalid_argument,
                  std::string("option \"direction\" of ") + function + " is \"" + direction + "\"",
                  "use \"both\", \"pull\" or \"push\"");
  }
  return {};
}

}  // namespace

Status session_options_from_json(std::string_view json, SessionOptions* out) {
  JsonOptions in("sync_now");
  SYNCLINE_TRY(in.parse(json));
  SYNCLINE_TRY(read_session_options("sync_now", &in, out));
  return in.finish();
}

Status background_options_from_json(std::string_view json, BackgroundOptions* out) {
  constexpr uint64_t kIntervalMsMin = 100, kIntervalMsMax = 86'400'000;
  constexpr const char* kInterval = "interval_ms";
  JsonOptions in("sync_start");
  SYNCLINE_TRY(in.parse(json));
  SYNCLINE_TRY(in.number(kInterval, kIntervalMsMin, kIntervalMsMax, &out->interval_ms));
  SessionOptions session;
  SYNCLINE_TRY(read_session_options("sync_start", &in, &session));
  SYNCLINE_TRY(in.finish());
  out->direction = session.direction;
  OrderedJson rest = OrderedJson::object();
  if (!json.empty() && json != "null") rest = parse_json<OrderedJson>(json);
  rest.erase(kInterval);
  out->session = json_text(rest);
  return {};
}

uint64_t background_rest_ms(uint64_t failures, uint64_t interval_ms) {
  constexpr uint64_t kFirstMs = 1'000, kLongestMs = 60'000;
  uint64_t rest = kFirstMs;
  for (uint64_t i = 1; i < failures && rest < kLongestMs; ++i)
    rest *= 2;
  return std::max(kFirstMs, std::min({rest, kLongestMs, interval_ms}));
}

}  // namespace syncline
