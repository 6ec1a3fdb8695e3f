// The files and the clock of one simulated site: a SQLite VFS whose files are strings.
//
// Copying, restoring and killing a database are copies of strings then, the clock is a number, and
// nothing of a simulation touches the machine's disk. The VFS has a name nobody can guess, and is
// gone with the object.
#pragma once

#include <sqlite3ext.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace syncline::simulate {

// What a machine's files hold at one moment: the database, and its journal or log.
using Files = std::map<std::string, std::string>;

class Disk {
 public:
  Disk();
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  // Its name, for sqlite3_open_v2. Null if it could not be registered.
  const char* vfs() const { return registered_ ? name_.c_str() : nullptr; }
  void set_clock(uint64_t unix_ms) { clock_ms_ = unix_ms; }
  uint64_t clock_ms() const { return clock_ms_; }

  Files copy() const;
  // REQUIRES: no connection is open.
  void put(const Files& files);

  // The process will be killed before its `count`-th write from now on: what the files hold then is
  // kept aside, while SQLite goes on unaware. 0: it will not.
  void kill_at(uint64_t count);
  // Whether that has happened; if so *out are the files it left behind.
  bool killed(Files* out);

  // Grows with each change of any file.
  uint64_t changes() const { return changes_; }

  // For the VFS.
  struct Content {
    std::string bytes;
  };
  std::shared_ptr<Content> open(const char* path, bool create);
  void erase(const std::string& path);
  bool exists(const std::string& path) const { return files_.count(path) != 0; }
  void about_to_write();

 private:
  sqlite3_vfs vfs_{};
  std::string name_;
  bool registered_ = false;
  uint64_t clock_ms_ = 0;
  std::map<std::string, std::shared_ptr<Content>> files_;
  uint64_t changes_ = 0;
  uint64_t writes_left_ = 0;  // 0: no kill is planned
  bool killed_ = false;
  Files remains_;
};

}  // namespace syncline::simulate
