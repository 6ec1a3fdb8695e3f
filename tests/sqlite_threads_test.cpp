// Goal: several threads of one program may synchronise at once, each on connections of its own,
// over the same files: each call succeeds or says it is busy, and in the end all rows are
// everywhere. Method: threads write and synchronise two files in both directions; run under the
// thread sanitizer by `make tsan`, where also state shared by accident would be seen.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/prng.hpp"
#include "support/sqlite_file.hpp"

namespace syncline::test {
namespace {

constexpr int kThreads = 4;

struct Folder {
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  const std::string path =
      (std::filesystem::temp_directory_path() / ("syncline-threads-" + std::to_string(getpid())))
          .string();
};

struct Worker {
  int number = 0;
  uint64_t rounds = 0;
  std::string files[2];
  uint64_t written = 0, synced = 0, busy = 0;
  std::string wrong;  // an error that is none of the expected

  bool fails(SqliteFile* db) {
    if (db->error().find("locked") != std::string::npos ||
        db->error().find("busy") != std::string::npos) {
      ++busy;
    } else {
      wrong = db->error();
    }
    return false;
  }

  void run() {
    Prng prng(static_cast<uint64_t>(number));
    for (uint64_t round = 0; round < rounds && wrong.empty(); ++round) {
      const size_t side = prng.below(2);
      SqliteFile db(files[side]);
      if (!db.ok()) {
        wrong = "cannot be opened";
        return;
      }
      const std::string id = std::to_string(number) + "-" + std::to_string(round);
      if (db.run("INSERT INTO note VALUES('" + id + "', 1)")) {
        ++written;
      } else {
        fails(&db);
      }
      const std::string call = "SELECT sync_now('" + files[1 - side] + "', '{\"max_bytes\": 500}')";
      if (db.value(call).has_value()) {
        ++synced;
      } else {
        fails(&db);
      }
    }
  }
};

std::string count(const std::string& file) {
  return SqliteFile(file).value("SELECT count(*) FROM note").value_or("");
}

void race(const char* journal) {
  const Folder folder;
  std::string files[2] = {folder.path + "/a.db", folder.path + "/b.db"};
  for (const std::string& file : files) {
    std::filesystem::remove(file);
    SqliteFile db(file);
    REQUIRE(db.run(std::string("PRAGMA journal_mode=") + journal +
                   "; CREATE TABLE note(id TEXT PRIMARY KEY, n INTEGER);"
                   "SELECT sync_enable('note')"));
  }
  std::vector<Worker> workers(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    workers[i].number = i;
    workers[i].rounds = number_from_env("SYNCLINE_ROUNDS", 12);
    workers[i].files[0] = files[0];
    workers[i].files[1] = files[1];
    threads.emplace_back([&, i] { workers[i].run(); });
  }
  for (std::thread& thread : threads)
    thread.join();
  uint64_t written = 0, synced = 0;
  for (const Worker& worker : workers) {
    CHECK(worker.wrong == "");
    written += worker.written;
    synced += worker.synced;
  }
  CHECK(written > 0);
  CHECK(synced > 0);
  SqliteFile db(files[0]);
  REQUIRE(db.value("SELECT sync_now('" + files[1] + "')").has_value());
  CHECK(count(files[0]) == std::to_string(written));
  CHECK(count(files[1]) == std::to_string(written));
  CHECK(db.value("PRAGMA integrity_check").value_or("") == "ok");
}

TEST_CASE("threads: several synchronise the same files, in WAL", "[threads]") {
  race("WAL");
}
TEST_CASE("threads: several synchronise the same files, with a rollback journal", "[threads]") {
  race("DELETE");
}


// Two files that synchronise with each other in the background, while threads write both, look at
// what runs, and start and stop it.
TEST_CASE("threads: background synchronisation beside writers, started and stopped", "[threads]") {
  const Folder folder;
  const std::string files[2] = {folder.path + "/a.db", folder.path + "/b.db"};
  for (int i = 0; i < 2; ++i) {
    SqliteFile db(files[i]);
    REQUIRE(db.run("PRAGMA journal_mode=WAL; CREATE TABLE note(id TEXT PRIMARY KEY, n INTEGER);"
                   "SELECT sync_enable('note');"
                   "SELECT sync_add_peer('other', '" + files[1 - i] + "')"));
  }
  const uint64_t rounds = number_from_env("SYNCLINE_ROUNDS", 12);
  std::vector<std::thread> threads;
  std::atomic<uint64_t> written = 0, wrong = 0;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      for (uint64_t round = 0; round < rounds; ++round) {
        SqliteFile db(files[i]);  // closing it stops what it has started
        if (!db.run("SELECT sync_start('other', '{\"interval_ms\": 100}')")) ++wrong;
        const std::string id = std::to_string(i) + "-" + std::to_string(round);
        if (db.run("INSERT INTO note VALUES('" + id + "', 1)")) ++written;
        if (db.value("SELECT background FROM sync_peers").value_or("") != "running") ++wrong;
        std::this_thread::sleep_for(std::chrono::milliseconds(5 * (round % 3)));
        if (round % 2 == 0 && !db.run("SELECT sync_stop()")) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  CHECK(wrong == 0);
  CHECK(written > 0);
  SqliteFile db(files[0]);
  CHECK(db.value("SELECT background FROM sync_peers").value_or("none") == "");
  REQUIRE(db.value("SELECT sync_now('other')").has_value());
  CHECK(count(files[0]) == std::to_string(written));
  CHECK(count(files[1]) == std::to_string(written));
  CHECK(db.value("PRAGMA integrity_check").value_or("") == "ok");
}

}  // namespace
}  // namespace syncline::test
