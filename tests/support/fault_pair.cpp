// See fault_pair.hpp.
#include "support/fault_pair.hpp"

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

namespace syncline::test {

namespace {

const char* const kSchema =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, code INTEGER UNIQUE, data BLOB);"
    "CREATE TABLE part(item_id INTEGER REFERENCES item, line TEXT, price NUMERIC,"
    "  PRIMARY KEY (item_id, line));"
    "CREATE TABLE note(id TEXT PRIMARY KEY, n INTEGER);"
    "CREATE TABLE later(id INTEGER PRIMARY KEY, v); INSERT INTO later VALUES(1,'x'),(2,NULL);"
    "SELECT sync_enable('item'); SELECT sync_enable('part'); SELECT sync_enable('note');";
const char* const kRows =
    "INSERT INTO item VALUES(1,'one',10,x'00ff'),(2,'two',20,NULL),(3,'three',30,zeroblob(40)),"
    "  (4,'four',40,1.5),(5,'five',50,NULL);"
    "INSERT INTO part VALUES(1,'a',1.25),(2,'b','12.30'),(5,'c',3);";
// Both change a cell of row 1, both claim code 70, and the row that one deletes gets a part.
const char* const kHere =
    "PRAGMA foreign_keys = ON; UPDATE item SET name='here' WHERE id=1; DELETE FROM item WHERE id=3;"
    "INSERT INTO item VALUES(7,'seven',70,NULL); INSERT INTO part VALUES(4,'d',4);"
    "INSERT INTO note VALUES('h0',1); UPDATE item SET id=15 WHERE id=4 AND 0;";
const char* const kThere =
    "PRAGMA foreign_keys = ON; UPDATE item SET name='there', data=x'77' WHERE id=1;"
    "INSERT INTO item VALUES(8,'eight',70,zeroblob(3000)); INSERT INTO part VALUES(3,'e',5);"
    "UPDATE item SET code=21 WHERE id=2; DELETE FROM part WHERE line='b';"
    "INSERT INTO note VALUES('t0',1);";

void need(bool ok, const SqliteFile& db) {
  if (!ok) throw std::runtime_error("setting up: " + db.error());
}

const char* const kFiles[] = {"", "-wal", "-journal", "-shm"};

void remove_database(const std::string& path) {
  for (const char* suffix : kFiles)
    std::filesystem::remove(path + suffix);
}

}  // namespace

FaultPair::FaultPair(const FaultSetup& setup, const std::string& folder,
                     std::function<void()> replaced)
    : setup_(setup),
      folder_(folder),
      here_(folder + "/here.db"),
      there_(folder + "/there.db"),
      replaced_(std::move(replaced)) {
  std::filesystem::create_directories(folder);
  make();
}

FaultPair::~FaultPair() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::unique_ptr<SqliteFile> FaultPair::open(const std::string& path) const {
  auto db = std::make_unique<SqliteFile>(path);
  if (db->ok()) db->run(std::string("PRAGMA synchronous=") + setup_.synchronous);
  if (db->ok()) db->run("PRAGMA foreign_keys=ON");
  return db;
}

void FaultPair::make() {
  {
    SqliteFile here(here_), there(there_);
    for (SqliteFile* db : {&here, &there}) {
      const std::string mode = std::string("PRAGMA journal_mode=") + setup_.journal;
      need(db->run(mode), *db);
      need(db->run(kSchema), *db);
    }
    need(here.run(kRows), here);
    need(here.run("SELECT sync_now('" + there_ + "')"), here);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    need(here.run(kHere), here);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    need(there.run(kThere), there);
    const auto vector = here.value("SELECT sync_version_vector()");
    const auto chunk =
        there.value("SELECT changes FROM sync_changes_since('" + vector.value_or("") + "')");
    need(chunk.has_value(), there);
    chunk_ = *chunk;
    // What is put back for each trial is meant to be the same file, not a copy that takes a new id.
    for (SqliteFile* db : {&here, &there})
      need(db->run("DELETE FROM sync_meta WHERE key='file'"), *db);
  }
  for (const std::string& path : {here_, there_}) {
    std::filesystem::copy_file(path, path + ".kept",
                               std::filesystem::copy_options::overwrite_existing);
  }
}

void FaultPair::restore() {
  for (const std::string& path : {here_, there_}) {
    remove_database(path);
    std::filesystem::copy_file(path + ".kept", path);
  }
  replaced_();
}

Notes notes_of(SqliteFile* db) {
  Notes notes;
  const auto add = [](void* out, int, char** values, char**) {
    (*static_cast<Notes*>(out))[values[0]] = std::atoll(values[1]);
    return 0;
  };
  sqlite3_exec(db->db(), "SELECT id, n FROM note", add, &notes, nullptr);
  return notes;
}

namespace {

const char* const kVisible =
    "coalesce((SELECT "
    "group_concat(quote(id)||quote(name)||quote(code)||quote(substr(data,1,8))||coalesce(length("
    "data),'')) FROM item"
    " ORDER BY id),'')||'/'||coalesce((SELECT group_concat(r) FROM (SELECT "
    "quote(item_id)||quote(line)||quote(price) AS r FROM part ORDER BY item_id, line)),'')||'/'||"
    "coalesce((SELECT group_concat(r) FROM (SELECT quote(id)||quote(n) AS r FROM note ORDER BY "
    "id)),'')||'/'||coalesce((SELECT group_concat(r) FROM (SELECT id||kind AS r FROM sync_conflict "
    "WHERE status='open' ORDER BY id)),'')";

}  // namespace

std::string visible_of(SqliteFile* db) {
  return db->value(std::string("SELECT ") + kVisible).value_or("cannot be read: " + db->error());
}

std::string content_of(SqliteFile* db) {
  const std::string counts =
      "||(SELECT coalesce(group_concat(site||' '||seq),'') FROM sync_vector)||'/'||"
      "(SELECT count(*)||' '||total(seq) FROM sync_state_1)||'/'||"
      "(SELECT count(*)||' '||total(seq) FROM sync_state_2)||'/'||"
      "(SELECT coalesce(value,0) FROM sync_meta WHERE key='folded')||'/'||"
      "(SELECT count(*) FROM sync_relay)||'/'||(SELECT count(*)||' '||max(seq) FROM "
      "sync_log)||'/'||"
      "(SELECT count(*) FROM sync_incoming)||'/'||(SELECT count(*) FROM sync_context)||'/'||"
      "(SELECT count(*) FROM sync_site)||'/'||(SELECT count(*) FROM sync_incarnation)||'/'||"
      "(SELECT group_concat(name||present) FROM sync_table)||'/'||(SELECT count(*) FROM "
      "sync_column)||'/'||(SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema ORDER BY "
      "name))";
  return db->value(std::string("SELECT ") + kVisible + counts)
      .value_or("cannot be read: " + db->error());
}

std::string damage_of(SqliteFile* db) {
  if (db->value("PRAGMA integrity_check").value_or(db->error()) != "ok") return "integrity_check";
  if (db->value("PRAGMA foreign_key_check")) return "foreign_key_check";
  const std::pair<const char*, const char*> questions[] = {
      {"a tracked table is suspect",
       "SELECT count(*) FROM sync_tables WHERE status NOT IN ('tracked', 'parked')"},
      {"more is folded than was logged",
       "SELECT (SELECT value FROM sync_meta WHERE key='folded')>coalesce((SELECT max(seq) FROM "
       "sync_log),0)"},
      {"an image is left of an entry that is folded",
       "SELECT count(*) FROM sync_image_1 WHERE seq<=(SELECT value FROM sync_meta WHERE "
       "key='folded')"},
      {"a state is of an unknown site",
       "SELECT count(*) FROM sync_state_1 WHERE site NOT IN (SELECT n FROM sync_site)"},
      {"a version without context is beyond what is known",
       "SELECT count(*) FROM sync_state_1 s WHERE flags&4=0 AND context NOT IN (SELECT id FROM "
       "sync_context) AND seq>coalesce((SELECT "
       "max(seq) FROM sync_vector v WHERE v.site=s.site),0) AND site NOT IN (SELECT site FROM "
       "sync_incarnation)"},
      {"an own version is beyond the log",
       "SELECT count(*) FROM sync_state_1 WHERE flags&4=0 AND seq>coalesce((SELECT max(seq) FROM "
       "sync_log),0) AND site=(SELECT site FROM sync_incarnation ORDER BY from_seq DESC LIMIT 1)"},
  };
  for (const auto& [name, sql] : questions) {
    const auto found = db->value(sql);
    if (!found) return std::string(name) + ": " + db->error();
    if (*found != "0") return std::string(name) + ": " + *found;
  }
  return {};
}

}  // namespace syncline::test
