// See check.h.
#include "syncline/check.h"

#include <algorithm>
#include <map>
#include <set>

#include "json_options.h"
#include "syncline/codec.h"
#include "syncline/conflicts.h"
#include "syncline/limits.h"
#include "token.h"

namespace syncline {
namespace {

constexpr size_t kKeysShown = 3;
const char* const kRepair = "SELECT * FROM sync_check('{\"repair\": true}')";
const char* const kDropDeleted =
    "SELECT * FROM sync_check('{\"repair\": true, \"prefer\": \"state\"}')";
const char* const kFromPeer = "SELECT sync_repair('<peer>')";

enum class Fault : uint8_t {
  missing,     // alive by its versions, not in the base table
  undead,      // in the base table, deleted by its versions
  held_there,  // held, and in the base table all the same
  unrecorded,  // held, and no open conflict says so
  own_beyond,  // has a version of ours beyond what we have numbered
  beyond,      // has a version that the vector does not cover
};

// Rows of one table with one fault.
struct Faulty {
  uint64_t count = 0;
  std::vector<std::string> shown;  // pk as JSON
  std::vector<std::string> keys;   // encode_key
};

class RowCheck {
 public:
  RowCheck(VerifyHost* host, const CheckOptions& options, std::vector<Finding>* out)
      : host_(*host), port_(host->port()), options_(options), out_(*out) {}

  Status run() {
    SYNCLINE_TRY(port_.load_site(&site_));
    SYNCLINE_TRY(port_.load_tables(&tables_));
    SYNCLINE_TRY(load_held());
    SYNCLINE_TRY(scan());
    SYNCLINE_TRY(report());
    SYNCLINE_TRY(check_incoming());
    return options_.deep ? check_digests() : Status();
  }

 private:
  Status load_held() {
    std::vector<RowRef> held;
    SYNCLINE_TRY(port_.list_held(&held));
    for (const RowRef& row : held)
      recorded_.emplace(row.table, row.key);
    return {};
  }

  Status scan() {
    ScanStart start;
    start.everything = true;  // the log does not name all rows with state
    SYNCLINE_TRY(port_.open_scan(VersionVector(), start));
    for (RowBatch batch;;) {
      SYNCLINE_TRY(port_.check_interrupt());
      SYNCLINE_TRY(port_.scan(limits::rows_per_batch, &batch));
      if (batch.rows.empty()) return {};
      for (const LocalRow& local : batch.rows) {
        if (local.has_state) SYNCLINE_TRY(check_row(*batch.table, local));
      }
    }
  }

  Status check_row(const TableInfo& table, const LocalRow& local) {
    RowState row;
    const Status loaded = load_row(local, table, &row);
    if (!loaded.ok()) {
      add("error", table.name, "the row state of " + key_to_json(table, local.key) + " is damaged",
          kFromPeer);
      return {};
    }
    check_versions(table, local, row);
    if (!table.present) return {};
    if (row.held && local.stored) note(Fault::held_there, table, local);
    if (row.held && !local.stored && recorded_.count({table.number, encode_key(local.key)}) == 0) {
      note(Fault::unrecorded, table, local);
    }
    if (row.held) return {};
    const bool lives = row_lives(row, site_.sites, table.on_delete);
    if (lives && !local.stored) note(Fault::missing, table, local);
    if (!lives && local.stored && !row.kept) note(Fault::undead, table, local);
    return {};
  }

  void check_versions(const TableInfo& table, const LocalRow& local, const RowState& row) {
    const auto context = site_.contexts.find(row.context);
    bool own = false, other = false;
    const auto see = [&](const Version& v) {
      if (site_.knowledge.knows(v)) return;
      if (context != site_.contexts.end() && context->second.knows(v)) return;
      (v.site == site_.self ? own : other) = true;
    };
    for (const Version& v : row.rest)
      see(v);
    for (const CellVersion& c : row.cells)
      see(c.version);
    if (own) note(Fault::own_beyond, table, local);
    if (other) note(Fault::beyond, table, local);
  }

  void note(Fault fault, const TableInfo& table, const LocalRow& local) {
    Faulty& faulty = faults_[{table.number, fault}];
    ++faulty.count;
    if (faulty.shown.size() < kKeysShown) faulty.shown.push_back(key_to_json(table, local.key));
    const bool mends =
        fault == Fault::missing || fault == Fault::undead || fault == Fault::held_there;
    if (options_.repair && mends) faulty.keys.push_back(encode_key(local.key));
  }

  void add(std::string severity, std::string table, std::string what, std::string repair) {
    out_.push_back({std::move(severity), std::move(table), std::move(what), std::move(repair)});
  }

  Status report() {
    for (const auto& [place, faulty] : faults_) {
      const uint32_t number = place.first;
      const auto table = std::find_if(tables_.begin(), tables_.end(),
                                      [&](const TableInfo& t) { return t.number == number; });
      if (table != tables_.end()) SYNCLINE_TRY(report_one(*table, place.second, faulty));
    }
    return {};
  }

  Status report_one(const TableInfo& table, Fault fault, const Faulty& faulty) {
    std::string rows = std::to_string(faulty.count) + (faulty.count == 1 ? " row (" : " rows (");
    for (const std::string& key : faulty.shown) {
      rows += (&key == faulty.shown.data() ? "" : ", ") + key;
    }
    rows += faulty.count > faulty.shown.size() ? ", ...)" : ")";
    switch (fault) {
      case Fault::missing:
        if (options_.prefer_state) {
          add("error", table.name, rows + " missing although their versions say that they exist",
              kFromPeer);
          return {};
        }
        return mend(table, faulty, false,
                    rows +
                        " missing although their versions say that they "
                        "exist: deleted while the triggers were off");
      case Fault::undead:
        return mend(table, faulty, options_.prefer_state,
                    rows +
                        " in the table although their versions say that they were deleted: "
                        "inserted while the triggers were off");
      case Fault::held_there:
        return mend(table, faulty, false,
                    rows + " in the table although recorded as kept out by a constraint");
      case Fault::unrecorded:
        add("warning", table.name, rows + " kept out of the table without a conflict that says so",
            "SELECT sync_now('<peer>')");
        return {};
      case Fault::own_beyond:
        add("error", table.name,
            rows +
                " with changes of this site that its log does not have: "
                "the database was restored or its log damaged",
            "SELECT sync_new_identity()");
        return {};
      case Fault::beyond:
        add("error", table.name, rows + " with versions that the version vector does not cover",
            "SELECT sync_now('<peer>')");
        return {};
    }
    return {};
  }

  // Logs the rows as written now, or with `erase` takes them out of the base table.
  Status mend(const TableInfo& table, const Faulty& faulty, bool erase, const std::string& what) {
    if (!options_.repair) {
      add("error", table.name, what, erase ? kDropDeleted : kRepair);
      return {};
    }
    Arena arena;
    std::vector<std::vector<Value>> keys(faulty.keys.size());
    std::vector<RowKey> views;
    for (size_t i = 0; i < keys.size(); ++i) {
      SYNCLINE_TRY(decode_key(faulty.keys[i], &arena, &keys[i]));
      views.emplace_back(keys[i]);
    }
    std::sort(views.begin(), views.end(),
              [](RowKey a, RowKey b) { return compare_keys(a, b) < 0; });
    if (erase) SYNCLINE_TRY(erase_rows(table, views));
    std::vector<Rewrite> rows;
    for (const RowKey key : views)
      rows.push_back({key, {}});
    if (!erase) SYNCLINE_TRY(host_.rewrite_rows(table, rows));
    add("repaired", table.name, what, erase ? kDropDeleted : kRepair);
    return {};
  }

  Status erase_rows(const TableInfo& table, std::span<const RowKey> keys) {
    for (size_t at = 0; at < keys.size(); at += limits::rows_per_batch) {
      const size_t count = std::min(limits::rows_per_batch, keys.size() - at);
      RowBatch batch;
      SYNCLINE_TRY(port_.fetch(table, keys.subspan(at, count), &batch));
      std::vector<RowWrite> writes;
      for (const LocalRow& local : batch.rows) {
        if (!local.has_state || !local.stored) continue;
        RowWrite write;
        write.key = local.key;
        write.state = local.state;
        write.base = BaseAction::erase;
        write.values = local.values;
        writes.push_back(std::move(write));
      }
      std::vector<StoreOutcome> outcomes;
      SYNCLINE_TRY(port_.store(table, writes, &outcomes));
    }
    return {};
  }

  // Tokens of our own making in another's hands need no look; those we keep are bytes of the
  // sender, which only has to recognise them. One that does not decode restarts the exchange.
  Status check_incoming() {
    std::vector<std::pair<SiteId, std::string>> unfinished;
    SYNCLINE_TRY(port_.list_incoming(&unfinished));
    for (const auto& [sender, bytes] : unfinished) {
      SiteTable sites = site_.sites;
      Token token;
      if (read_token(bytes, &sites, &token).ok()) continue;
      const std::string what = "the exchange with site " + to_hex(sender) +
                               " that broke off cannot be resumed: its token is damaged";
      if (options_.repair) {
        ExchangeUpdate update;
        update.sender = sender;
        SYNCLINE_TRY(port_.save_exchange(site_, update));
      }
      add(options_.repair ? "repaired" : "error", "", what, kRepair);
    }
    return {};
  }

  Status check_digests() {
    for (const TableInfo& table : tables_) {
      if (!table.present) continue;
      std::vector<std::string> plans;
      SYNCLINE_TRY(host_.list_plans(table, &plans));
      uint64_t buckets = 0, rows = 0;
      for (const std::string& bytes : plans) {
        DigestPlan plan;
        ByteReader in(bytes);
        KeptSums::Table sums;
        if (!read_plan(&in, &plan).ok()) continue;
        if (!current_sums(&host_, table, plan, true, &sums).ok()) continue;  // an older schema
        buckets = std::max<uint64_t>(buckets, sums.unlogged.size());
        for (const uint64_t b : sums.unlogged) {
          const unsigned bits = std::min(sums.unlogged_bits, sums.sums.bits());
          rows += sums.sums.total(b >> (sums.unlogged_bits - bits), bits).count;
        }
        if (buckets > 0) break;
      }
      if (buckets == 0) continue;
      add("error", table.name,
          "rows were changed without being logged: since it was last verified, " +
              std::to_string(buckets) + " of the groups that its rows are summed up in, of " +
              std::to_string(rows) + " rows together, have changed with no entry in the log",
          kFromPeer);
    }
    return {};
  }

  VerifyHost& host_;
  Port& port_;
  const CheckOptions& options_;
  std::vector<Finding>& out_;
  SiteState site_;
  std::vector<TableInfo> tables_;
  std::set<std::pair<uint32_t, std::string>> recorded_;
  std::map<std::pair<uint32_t, Fault>, Faulty> faults_;
};

}  // namespace

Status check_options_from_json(std::string_view json, CheckOptions* out) {
  JsonOptions in("sync_check");
  std::string prefer;
  SYNCLINE_TRY(in.parse(json));
  SYNCLINE_TRY(in.boolean("deep", &out->deep));
  SYNCLINE_TRY(in.boolean("repair", &out->repair));
  SYNCLINE_TRY(in.text("prefer", &prefer));
  if (!prefer.empty() && prefer != "base" && prefer != "state") {
    return {StatusCode::invalid_argument, "option \"prefer\" of sync_check is \"" + prefer + "\"",
            "use \"base\" or \"state\""};
  }
  out->prefer_state = prefer == "state";
  return in.finish();
}

Status invariant_options_from_json(std::string_view json, std::string* expect, bool* refuse) {
  JsonOptions in("sync_invariant");
  std::string on_apply;
  SYNCLINE_TRY(in.parse(json));
  SYNCLINE_TRY(in.text("expect", expect));
  SYNCLINE_TRY(in.text("on_apply", &on_apply));
  if (!expect->empty() && *expect != "true" && *expect != "none") {
    return {StatusCode::invalid_argument,
            "option \"expect\" of sync_invariant is \"" + *expect + "\"",
            "use \"true\" or \"none\""};
  }
  if (!on_apply.empty() && on_apply != "report" && on_apply != "refuse") {
    return {StatusCode::invalid_argument,
            "option \"on_apply\" of sync_invariant is \"" + on_apply + "\"",
            "use \"report\" or \"refuse\""};
  }
  *refuse = on_apply == "refuse";
  return in.finish();
}

Status check_rows(VerifyHost* host, const CheckOptions& options, std::vector<Finding>* out) {
  return RowCheck(host, options, out).run();
}

}  // namespace syncline
