// What tracking costs a writer.
#include <algorithm>

#include "suites.hpp"
#include "workload.hpp"

namespace bench {

namespace {

struct WriteTimes {
  Time insert, update, erase, update_all, delete_all, one_transaction, in_memory, single;
};

Time run_timed(Database& db, const std::string& sql) {
  return timed([&] { db.run(sql); });
}

WriteTimes write_all(const Arguments& arguments, const Workload& workload, size_t rows,
                     bool tracked) {
  const std::string path = arguments.folder + (tracked ? "/tracked.db" : "/plain.db");
  WriteTimes t;
  {
    Database db(path, arguments.extension);
    db.run(workload.create);
    if (tracked) db.value("SELECT sync_enable('task')");
    t.insert = insert(db, workload, 0, rows, 1000);
    t.update = by_key(db, workload, workload.update, rows, rows / 5);
    t.erase = by_key(db, workload, delete_by_key(workload), rows, rows / 20);
    t.update_all = run_timed(db, workload.update_all);
    t.delete_all = run_timed(db, "DELETE FROM task WHERE id >= ''");
  }
  const size_t single = std::min<size_t>(5000, rows / 10);
  for (const bool in_memory : {true, false}) {
    Database db(path, arguments.extension);
    db.run(workload.create);
    if (tracked) db.value("SELECT sync_enable('task')");
    if (in_memory) db.run("PRAGMA temp_store=MEMORY");
    (in_memory ? t.in_memory : t.one_transaction) = insert(db, workload, single, rows, rows);
    if (!in_memory) t.single = insert(db, workload, 0, single, 1);
  }
  return t;
}

void compare(const Arguments& arguments, const Workload& workload, size_t rows) {
  WriteTimes plain, tracked;
  if (arguments.repetition % 2 == 0) plain = write_all(arguments, workload, rows, false);
  tracked = write_all(arguments, workload, rows, true);
  if (arguments.repetition % 2 == 1) plain = write_all(arguments, workload, rows, false);
  const std::string prefix = std::string("sqlite.write.") + workload.name + ".";
  say_ratio(prefix + "insert", tracked.insert, plain.insert);
  say_ratio(prefix + "update", tracked.update, plain.update);
  say_ratio(prefix + "delete", tracked.erase, plain.erase);
  say_ratio(prefix + "update_all", tracked.update_all, plain.update_all);
  say_ratio(prefix + "delete_all", tracked.delete_all, plain.delete_all);
  say_ratio(prefix + "one_transaction", tracked.one_transaction, plain.one_transaction);
  say_ratio(prefix + "in_memory", tracked.in_memory, plain.in_memory);
  say_ratio(prefix + "single", tracked.single, plain.single);
}

}  // namespace

void measure_writes(const Arguments& arguments) {
  compare(arguments, narrow(), arguments.rows);
  compare(arguments, wide(), arguments.rows / 5);
  compare(arguments, composite(), arguments.rows);
}

}  // namespace bench
