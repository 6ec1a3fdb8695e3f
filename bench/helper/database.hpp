// What every measurement on SQLite needs: a database, a clock, and a way to say a figure.
#pragma once

#include <sqlite3.h>

#include <functional>
#include <string>
#include <vector>

namespace bench {

// Ends the program with a message: a benchmark that goes wrong measures nothing.
[[noreturn]] void die(const std::string& what);

// Time on the wall and on the processor, in seconds.
struct Time {
  double wall = 0, cpu = 0;

  Time& operator+=(const Time& other);
};

Time timed(const std::function<void()>& work);

// Writes one line of JSON: a sample of a figure. A cpu of 0 means that there is none.
void say(const std::string& figure, double value, double cpu = 0);
// The ratio of two times.
void say_ratio(const std::string& figure, const Time& time, const Time& base);

double median(std::vector<double> values);

// A new, empty database file in WAL mode with synchronous=NORMAL, extension loaded, no tables.
class Database {
 public:
  enum class Start { fresh, existing };

  Database(const std::string& path, const std::string& extension, Start start = Start::fresh);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const std::string& sql);
  // The first column of the first row as text; empty for NULL or no row.
  std::string value(const std::string& sql);
  double number(const std::string& sql);
  sqlite3_stmt* prepare(const std::string& sql);
  // Runs a prepared statement that returns no row, and resets it.
  void step(sqlite3_stmt* statement);
  // What sync_changes_since returns for the holder of a vector, JSON.
  std::vector<std::string> changes_since(const std::string& vector);
  void apply(const std::vector<std::string>& chunks);
  // Moves everything from the WAL into the file, so that what was written before is not paid by
  // what is measured next.
  void checkpoint();

  sqlite3* handle() { return db_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  sqlite3* db_ = nullptr;
};

void write_file(const std::string& path, const std::string& content);
size_t total_size(const std::vector<std::string>& parts);

}  // namespace bench
