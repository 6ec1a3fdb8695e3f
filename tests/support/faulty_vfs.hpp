// A disk for SQLite that fails on order: a VFS over the usual one, whose k-th operation goes wrong.
//
//   FaultyVfs& disk = FaultyVfs::instance();   // from now on all databases are on it
//   disk.arm(Fault::power_cut, 17);
//   ... use databases; close them ...
//   disk.cut_power(seed, [](const std::string& path) { return true; });  // what is left of them
//
// Operations are those that change the disk: write, sync, truncate, the opening of a file, delete;
// for Fault::unreadable, reads. The disk remembers what has been synced. What has not may be lost
// in a power cut, whole or in part, in any order; a file that was deleted without a sync of its
// folder may be there again. Real syncs are not done, so that thousands of trials are quick.
// Several databases may be used at once, each on a thread of its own: a sync does so. Arming and
// what ends a trial are for when none is.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "support/prng.hpp"

namespace syncline::test {

enum class Fault {
  none,
  fail,        // the operation does nothing and reports an I/O error
  fail_on,     // so do all that follow
  cut_short,   // a write stores a part of its bytes and reports an I/O error; others: as fail
  full,        // from here on the disk is full: writes and new files fail
  unreadable,  // a read fails
  power_cut,   // this operation and all that follow fail; then see cut_power
};
const char* fault_name(Fault fault);

class FaultyVfs {
 public:
  // The only one; registered with SQLite as the default.
  static FaultyVfs& instance();

  // The `at`-th operation from now on, counted from 1, goes wrong.
  void arm(Fault fault, uint64_t at);
  // From here on all is well; operations are no longer counted.
  void disarm() { fault_ = Fault::none; }
  uint64_t operations() const { return operations_; }  // since arm
  bool struck() const { return struck_; }

  // Ends a power cut: files for which `lose` says so become what a disk may hold after it. All
  // connections must have been closed.
  void cut_power(uint64_t seed, const std::function<bool(const std::string& path)>& lose);
  // Takes everything that is on the disk now as synced.
  void settle();

  // What the callbacks of the VFS ask. Not for tests.
  enum class Operation { read, write, sync, truncate, open, erase };
  bool strikes(Operation operation);
  Fault fault() const { return fault_; }
  bool dead() const { return fault_ == Fault::power_cut && struck_; }

  struct Change {
    uint64_t offset = 0;
    std::string bytes;
    std::optional<uint64_t> truncate_to;
  };
  // A file by identity, not by name.
  struct File {
    std::string synced;
    std::vector<Change> pending;
  };
  std::shared_ptr<File> opened(const std::string& path);
  void synced(const std::string& path, File* file);
  void erased(const std::string& path, bool folder_synced);

 private:
  FaultyVfs() = default;
  std::string left_of(const File& file, Prng* prng) const;

  Fault fault_ = Fault::none;
  uint64_t at_ = 0;
  std::atomic<bool> struck_ = false;
  std::mutex mutex_;  // of what follows
  uint64_t operations_ = 0;
  std::map<std::string, std::shared_ptr<File>> names_, synced_names_;
};

}  // namespace syncline::test
