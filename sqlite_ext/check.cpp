// See check.h. Everything is looked at when the first row is asked for; with "repair" in one write
// transaction.
#include "sqlite_ext/check.h"

#include <map>
#include <set>

#include "sqlite_ext/invariant.h"
#include "sqlite_ext/table_function.h"
#include "sqlite_ext/verify_host.h"

namespace syncline {

namespace {

const char* const kRepair = "SELECT * FROM sync_check('{\"repair\": true}')";
constexpr int kProblemsMax = 20;  // of integrity_check

class Checker {
 public:
  Checker(sqlite3* db, const CheckOptions& options, std::vector<Finding>* out)
      : db_(db), options_(options), out_(*out) {}

  // Before anything is restored by looking at it.
  Status look() {
    Operation operation;
    SYNCLINE_TRY(operation.begin_in_snapshot(db_, "sync_check"));
    SYNCLINE_TRY(check_companions(operation.registry()));
    if (damaged_) return {};
    SYNCLINE_TRY(check_triggers(operation.registry()));
    SYNCLINE_TRY(check_bookkeeping(operation.registry()));
    for (const TableInfo& table : operation.registry().tables) {
      if (table.present) SYNCLINE_TRY(check_foreign_keys(table));
    }
    if (options_.deep) SYNCLINE_TRY(check_pages());
    if (options_.repair) return report_invariants(db_, &out_);
    std::vector<DigestRecord> records;
    SqliteVerifyHost host(&operation, &records);
    SYNCLINE_TRY(check_rows(&host, options_, &out_));
    return report_invariants(db_, &out_);
  }

  // Restores the triggers, as every call that writes does, and what check_rows can mend.
  Status mend() {
    if (damaged_) return {};
    Operation operation;
    SYNCLINE_TRY(operation.begin_write(db_, "sync_check"));
    for (const TableInfo& table : operation.registry().tables) {
      if (retrigger_.count(table.number) == 0) continue;
      CapturePlan plan;
      SYNCLINE_TRY(plan_of_capture(table, &plan));
      SYNCLINE_TRY(make_triggers(db_, plan));
    }
    SYNCLINE_TRY(operation.fold());
    if (options_.prefer_state) SYNCLINE_TRY(operation.begin_apply("sync_check"));
    {
      std::vector<DigestRecord> records;
      SqliteVerifyHost host(&operation, &records);
      SYNCLINE_TRY(check_rows(&host, options_, &out_));
    }
    SYNCLINE_TRY(operation.fold());
    return operation.commit();
  }

 private:
  void add(std::string severity, std::string table, std::string what, std::string repair) {
    out_.push_back({std::move(severity), std::move(table), std::move(what), std::move(repair)});
  }
  const char* mended() const { return options_.repair ? "repaired" : "error"; }

  Status exists(const std::string& name, bool* yes) {
    int64_t there = 0;
    SYNCLINE_TRY(query_integer(
        db_, "SELECT 1 FROM main.sqlite_schema WHERE type='table' AND name=" + quote_text(name), 0,
        &there));
    *yes = there != 0;
    return {};
  }

  Status check_companions(const Registry& registry) {
    for (const TableInfo& table : registry.tables) {
      bool there = false;
      SYNCLINE_TRY(exists("sync_state_" + std::to_string(table.number), &there));
      if (there) continue;
      damaged_ = true;
      add("error", table.name,
          "the table sync_state_" + std::to_string(table.number) +
              " that holds its row state is gone",
          "SELECT sync_disable(" + quote_text(table.name) + "), then sync_enable it again");
    }
    int64_t clock = 0;
    SYNCLINE_TRY(query_integer(db_, "SELECT count(*) FROM main.sync_clock", 0, &clock));
    if (clock == 0) {
      add(mended(), "", "the clock is empty, so no write of a program is logged", kRepair);
    }
    return {};
  }

  Status plan_of_capture(const TableInfo& table, CapturePlan* plan) {
    BaseTable base;
    SYNCLINE_TRY(describe_table(db_, table.name, &base));
    return plan_capture(db_, table, base, plan);
  }

  Status check_triggers(const Registry& registry) {
    int on = 1;
    sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, -1, &on);
    if (on == 0) {
      add("error", "", "triggers are switched off on this connection: what it writes is not logged",
          "");
    }
    for (size_t i = 0; i < registry.tables.size(); ++i) {
      const TableInfo& table = registry.tables[i];
      if (!table.present) continue;
      SYNCLINE_TRY(check_triggers_of(table));
      if (registry.extras[i].suspect.empty()) continue;
      add("warning", table.name, registry.extras[i].suspect, "");
    }
    return {};
  }

  Status check_triggers_of(const TableInfo& table) {
    CapturePlan plan;
    SYNCLINE_TRY(plan_of_capture(table, &plan));
    std::map<std::string, std::string> found;
    Statement s;
    SYNCLINE_TRY(s.prepare(db_,
                           "SELECT name,sql FROM main.sqlite_schema WHERE type='trigger' AND name "
                           "GLOB " +
                               quote_text(capture_prefix(table.number) + "*")));
    for (bool row = true;;) {
      SYNCLINE_TRY(s.next(&row));
      if (!row) break;
      found[s.text(0)] = s.text(1);
    }
    size_t missing = 0, altered = 0;
    for (std::string sql : capture_triggers(plan)) {
      const std::string head = "CREATE TRIGGER main.";
      if (sql.compare(0, head.size(), head) == 0) sql.replace(0, head.size(), "CREATE TRIGGER ");
      const std::string name = sql.substr(0, sql.find(' ', 15));
      const auto at = std::find_if(found.begin(), found.end(), [&](const auto& trigger) {
        return trigger.second.compare(0, name.size(), name) == 0;
      });
      if (at == found.end()) {
        ++missing;
      } else if (at->second != sql) {
        ++altered;
      }
    }
    if (missing + altered == 0) return {};
    retrigger_.insert(table.number);
    add(mended(), table.name,
        std::to_string(missing) + " triggers that log its changes are missing, " +
            std::to_string(altered) + " are not as they should be",
        kRepair);
    return {};
  }

  Status check_bookkeeping(const Registry& registry) {
    VectorEntry head;
    SYNCLINE_TRY(log_head(db_, &head));
    if (registry.folded > head.seq) {
      add("error", "",
          "the end of the log is gone: it ends at " + std::to_string(head.seq) +
              ", and was taken up to " + std::to_string(registry.folded) + " already",
          "SELECT sync_new_identity()");
    }
    for (const TableInfo& table : registry.tables) {
      int64_t null_keys = 0;
      SYNCLINE_TRY(query_integer(db_,
                                 "SELECT count(*) FROM main.sync_conflict WHERE status='open' AND "
                                 "kind='constraint' AND pk LIKE '%null%' AND t=" +
                                     std::to_string(table.number),
                                 0, &null_keys));
      if (null_keys == 0) continue;
      add("warning", table.name,
          std::to_string(null_keys) + " rows with NULL in their key do not travel",
          "give them a key; sync_conflicts lists them");
    }
    return {};
  }

  Status check_foreign_keys(const TableInfo& table) {
    Statement s;
    SYNCLINE_TRY(s.prepare(db_,
                           "SELECT parent,count(*) FROM pragma_foreign_key_check(?1,'main') GROUP "
                           "BY parent"));
    s.bind(1, std::string_view(table.name));
    for (bool row = true;;) {
      const Status next = s.next(&row);
      if (!next.ok()) {  // a parent without the key that is referred to
        add("error", table.name, "its foreign keys cannot be checked: " + next.message(), "");
        return {};
      }
      if (!row) return {};
      add("warning", table.name,
          std::to_string(s.integer(1)) + " rows refer to rows of \"" + s.text(0) +
              "\" that do not exist",
          "SELECT * FROM pragma_foreign_key_check(" + quote_text(table.name) + ")");
    }
  }

  Status check_pages() {
    Statement s;
    SYNCLINE_TRY(
        s.prepare(db_, "PRAGMA main.integrity_check(" + std::to_string(kProblemsMax) + ")"));
    for (bool row = true;;) {
      SYNCLINE_TRY(s.next(&row));
      if (!row) return {};
      if (s.text(0) == "ok") continue;
      const bool index = s.text(0).find("index") != std::string::npos;
      add("error", "", "SQLite's integrity check says: " + s.text(0), index ? "REINDEX" : "");
    }
  }

  sqlite3* db_;
  const CheckOptions& options_;
  std::vector<Finding>& out_;
  std::set<uint32_t> retrigger_;
  bool damaged_ = false;
};

class CheckSource : public RowSource {
 public:
  Status open(sqlite3* db, const Arguments& arguments) {
    CheckOptions options;
    SYNCLINE_TRY(check_options_from_json(arguments[0].bytes, &options));
    Checker checker(db, options, &findings_);
    SYNCLINE_TRY(checker.look());
    return options.repair ? checker.mend() : Status();
  }
  Status next(bool* row) override {
    *row = ++at_ < findings_.size();
    return {};
  }
  void column(int column, sqlite3_context* context) override {
    const Finding& finding = findings_[at_];
    const std::string* const texts[] = {&finding.severity, &finding.table, &finding.what,
                                        &finding.repair};
    if (!texts[column]->empty()) give_text(context, *texts[column]);
  }

 private:
  std::vector<Finding> findings_;
  size_t at_ = static_cast<size_t>(-1);
};

Status open_check(sqlite3* db, Arguments arguments, std::unique_ptr<RowSource>* out) {
  Registry registry;
  SYNCLINE_TRY(load_registry(db, &registry));
  if (!registry.exists) return nothing_tracked("sync_check");
  auto source = std::make_unique<CheckSource>();
  SYNCLINE_TRY(source->open(db, arguments));
  *out = std::move(source);
  return {};
}

const TableFunction kCheck = {"sync_check", "severity, table_name, what, repair", "options", 4, 1,
                              open_check};

}  // namespace

int register_check(sqlite3* db) {
  return register_table_function(db, &kCheck);
}

}  // namespace syncline
