// See fault_trial.hpp.
#include "support/fault_trial.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <new>

#include "support/catch.hpp"

namespace syncline::test {

const FaultSetup kFaultSetups[] = {
    {"DELETE, synchronous=EXTRA", "DELETE", "EXTRA", true},
    {"WAL, synchronous=FULL", "WAL", "FULL", true},
    {"DELETE, synchronous=FULL", "DELETE", "FULL", false},  // the journal may be there again
    {"WAL, synchronous=NORMAL", "WAL", "NORMAL", false},
};

namespace {

bool write_note(SqliteFile* db, const std::string& id, int64_t n, Notes* acknowledged) {
  const std::string value = std::to_string(n);
  const bool done = db->run("INSERT INTO note VALUES('" + id + "'," + value +
                            ") ON CONFLICT(id) DO UPDATE SET n=excluded.n");
  if (done) (*acknowledged)[id] = n;
  return done;
}

bool sync(const FaultPair& pair, SqliteFile* here) {
  return here->value("SELECT sync_now('" + pair.there() + "','{\"max_bytes\": 400}')").has_value();
}

}  // namespace

const FaultWork kFaultWorks[] = {
    {"sync_now between writes", false,
     [](const FaultPair& pair, SqliteFile* here, Notes* acknowledged) {
       bool good = write_note(here, "h1", 1, acknowledged);
       good = sync(pair, here) && good;
       good = write_note(here, "h1", 2, acknowledged) && good;
       good = write_note(here, "h2", 1, acknowledged) && good;
       return sync(pair, here) && good;
     }},
    {"sync_apply", true,
     [](const FaultPair& pair, SqliteFile* here, Notes*) {
       return here->value("SELECT sync_apply(?1)", pair.chunk()).has_value();
     }},
    {"sync_hello, which folds", true,
     [](const FaultPair&, SqliteFile* here, Notes*) {
       return here->value("SELECT sync_hello()").has_value();
     }},
    {"sync_enable", true,
     [](const FaultPair&, SqliteFile* here, Notes*) {
       return here->run("SELECT sync_enable('later')");
     }},
    {"sync_alter", true,
     [](const FaultPair&, SqliteFile* here, Notes*) {
       return here->run("SELECT sync_alter('item','ALTER TABLE item ADD COLUMN extra DEFAULT 5')");
     }},
    {"sync_new_identity", true,
     [](const FaultPair&, SqliteFile* here, Notes*) {
       return here->run("SELECT sync_new_identity()");
     }},
    {"sync_now, then sync_maintain", false,
     [](const FaultPair& pair, SqliteFile* here, Notes*) {
       const bool good = sync(pair, here);
       return here->value("SELECT sync_maintain('{\"rows_max\": 20}')").has_value() &&
              here->value("SELECT sync_maintain()").has_value() && good;
     }},
    {"a write and sync_changes_since", false,
     [](const FaultPair&, SqliteFile* here, Notes* acknowledged) {
       const bool good = write_note(here, "h1", 1, acknowledged);
       return here->run("SELECT count(*) FROM sync_changes_since('{}','{\"max_bytes\": 400}')") &&
              good;
     }},
};

namespace {

// The connection that saw the trouble is as useful as before.
void check_connection(SqliteFile* here, const Trouble& trouble, Notes* acknowledged) {
  INFO("last error: " << here->error());
  CHECK(sqlite3_get_autocommit(here->db()) == 1);
  for (const int option : {SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_FKEY}) {
    int on = 0;
    sqlite3_db_config(here->db(), option, -1, &on);
    CHECK(on == 1);
  }
  CHECK(here->value("SELECT count(*) FROM sqlite_temp_schema").value_or("") == "0");
  const std::string cache = here->value("PRAGMA cache_size").value_or("");
  CHECK((cache == "-2000" || trouble.of_memory));  // without memory no PRAGMA can run
  CHECK(write_note(here, "h3", 1, acknowledged));
  CHECK(here->value("SELECT k1 FROM sync_log ORDER BY seq DESC LIMIT 1").value_or("") == "h3");
}

void settle(const FaultPair& pair, SqliteFile* here) {
  for (int round = 0; round < 3; ++round) {
    const auto report = here->value("SELECT sync_now('" + pair.there() + "')");
    INFO(here->error());
    REQUIRE(report.has_value());
    const auto moved =
        here->value("SELECT json_extract('" + *report + "','$.pulled.rows')+json_extract('" +
                    *report + "','$.pushed.rows')");
    if (moved.value_or("") == "0") return;
  }
  FAIL_CHECK("rows still move after three rounds");
}

// `wanted`: what must be there in the end.
void check_recovery(const FaultPair& pair, Notes wanted) {
  auto here = pair.open(), there = pair.open(pair.there());
  REQUIRE(here->ok());
  REQUIRE(there->ok());
  CHECK(damage_of(here.get()) == "");
  CHECK(damage_of(there.get()) == "");
  for (const auto& [id, n] : wanted) {
    INFO("note " << id);
    CHECK(notes_of(here.get())[id] >= n);
  }
  for (SqliteFile* db : {here.get(), there.get()}) {
    for (const auto& [id, n] : notes_of(db))
      wanted[id] = std::max(wanted[id], n);
  }
  CHECK(write_note(here.get(), "h-late", 7, &wanted));
  CHECK(write_note(there.get(), "t-late", 8, &wanted));
  settle(pair, here.get());
  CHECK(visible_of(here.get()) == visible_of(there.get()));
  Notes found = notes_of(here.get());
  for (const auto& [id, n] : wanted) {
    INFO("note " << id);
    CHECK(found[id] >= n);
  }
  CHECK(damage_of(here.get()) == "");
  CHECK(damage_of(there.get()) == "");
}

}  // namespace

std::string content_after(FaultPair* pair, const FaultWork& work,
                          const std::function<void()>& begin, const std::function<void()>& end) {
  pair->restore();
  auto here = pair->open();
  Notes ignored;
  begin();
  const bool good = work.run(*pair, here.get(), &ignored);
  end();
  INFO(work.name << ": " << here->error());
  REQUIRE(good);
  return content_of(here.get());
}

void run_trial(FaultPair* pair, const FaultSetup& setup, const FaultWork& work,
               const Trouble& trouble, const std::string& after) {
  INFO(setup.name << "; " << work.name << "; " << trouble.name);
  pair->restore();
  std::string before, now;
  Notes acknowledged;
  bool good = false;
  {
    auto here = pair->open();
    before = content_of(here.get());
    trouble.begin();
    try {
      good = work.run(*pair, here.get(), &acknowledged);
    } catch (const std::bad_alloc&) {
      good = false;  // of the test's own
    }
    if (!trouble.power_is_cut) {
      trouble.end();
      now = content_of(here.get());
      check_connection(here.get(), trouble, &acknowledged);
    }
  }
  if (!trouble.struck()) CHECK(good);
  if (trouble.power_is_cut) {
    trouble.power_is_cut();
    now = content_of(pair->open().get());
    if (!setup.durable) acknowledged.clear();
  }
  if (work.one_transaction) {
    const bool may_be_as_before = !good || (trouble.power_is_cut && !setup.durable);
    if (now != before || !may_be_as_before) CHECK(now == after);
  }
  check_recovery(*pair, acknowledged);
}

std::string scratch_folder() {
  const std::filesystem::path memory = "/dev/shm";  // syncs cost nothing there
  const auto base =
      std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
  return (base / ("syncline-faults-" + std::to_string(getpid()))).string();
}

}  // namespace syncline::test
