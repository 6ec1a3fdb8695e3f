// See faulty_vfs.hpp.
#include "support/faulty_vfs.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <set>

namespace syncline::test {

namespace {

constexpr size_t kSectorBytes = 512;

sqlite3_vfs* real_vfs = nullptr;

// What SQLite gets for an open file; the real one's follows in the same memory.
struct OpenFile {
  sqlite3_file base;
  std::shared_ptr<FaultyVfs::File> content;  // null: a temporary file, about which nobody asks
  std::string path;
  bool erase_at_end;
  sqlite3_file* real() {
    const size_t size = (sizeof(OpenFile) + 15) / 16 * 16;
    return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(this) + size);
  }
};

OpenFile* open_file(sqlite3_file* file) {
  return reinterpret_cast<OpenFile*>(file);
}
sqlite3_file* real(sqlite3_file* file) {
  return open_file(file)->real();
}
FaultyVfs& disk() {
  return FaultyVfs::instance();
}
using Operation = FaultyVfs::Operation;

int error_of(int io_error) {
  return disk().fault() == Fault::full ? SQLITE_FULL : io_error;
}

int close_file(sqlite3_file* file) {
  OpenFile* open = open_file(file);
  const int rc = open->real()->pMethods->xClose(open->real());
  if (open->erase_at_end && open->content != nullptr) disk().erased(open->path, false);
  open->~OpenFile();
  return rc;
}

int read_file(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
  if (open_file(file)->content != nullptr && disk().strikes(Operation::read)) {
    return SQLITE_IOERR_READ;
  }
  return real(file)->pMethods->xRead(real(file), out, size, offset);
}

int write_file(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  OpenFile* open = open_file(file);
  if (open->content == nullptr) {
    return open->real()->pMethods->xWrite(open->real(), bytes, size, offset);
  }
  const bool was_dead = disk().dead();
  const bool bad = disk().strikes(Operation::write);
  // Power fails in the middle of the write: some of it may have reached the disk.
  const bool reaches = !bad || (disk().fault() == Fault::power_cut && !was_dead);
  const int stored =
      reaches ? size : (disk().fault() == Fault::cut_short ? size / 2 / 512 * 512 : 0);
  if (stored > 0) {
    const std::string copy(static_cast<const char*>(bytes), static_cast<size_t>(stored));
    open->content->pending.push_back({static_cast<uint64_t>(offset), copy, std::nullopt});
    const int rc = open->real()->pMethods->xWrite(open->real(), bytes, stored, offset);
    if (rc != SQLITE_OK) return rc;
  }
  return bad ? error_of(SQLITE_IOERR_WRITE) : SQLITE_OK;
}

int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  OpenFile* open = open_file(file);
  if (open->content != nullptr) {
    if (disk().strikes(Operation::truncate)) return SQLITE_IOERR_TRUNCATE;
    open->content->pending.push_back({0, {}, static_cast<uint64_t>(size)});
  }
  return open->real()->pMethods->xTruncate(open->real(), size);
}

int sync_file(sqlite3_file* file, int) {
  OpenFile* open = open_file(file);
  if (open->content == nullptr) return SQLITE_OK;
  if (disk().strikes(Operation::sync)) return SQLITE_IOERR_FSYNC;
  disk().synced(open->path, open->content.get());
  return SQLITE_OK;
}

int file_size(sqlite3_file* file, sqlite3_int64* out) {
  return real(file)->pMethods->xFileSize(real(file), out);
}
int lock_file(sqlite3_file* file, int level) {
  return real(file)->pMethods->xLock(real(file), level);
}
int unlock_file(sqlite3_file* file, int level) {
  return real(file)->pMethods->xUnlock(real(file), level);
}
int check_lock(sqlite3_file* file, int* out) {
  return real(file)->pMethods->xCheckReservedLock(real(file), out);
}
int control_file(sqlite3_file* file, int operation, void* argument) {
  // A growth in advance is no write that anybody counts on.
  if (operation == SQLITE_FCNTL_SIZE_HINT) return SQLITE_OK;
  return real(file)->pMethods->xFileControl(real(file), operation, argument);
}
int sector_size(sqlite3_file*) {
  return kSectorBytes;
}
int characteristics(sqlite3_file*) {
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}
int map_shared(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
  return real(file)->pMethods->xShmMap(real(file), region, size, extend, out);
}
int lock_shared(sqlite3_file* file, int offset, int count, int flags) {
  return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}
void shared_barrier(sqlite3_file* file) {
  real(file)->pMethods->xShmBarrier(real(file));
}
int unmap_shared(sqlite3_file* file, int erase) {
  return real(file)->pMethods->xShmUnmap(real(file), erase);
}

const sqlite3_io_methods kMethods = {2,
                                     close_file,
                                     read_file,
                                     write_file,
                                     truncate_file,
                                     sync_file,
                                     file_size,
                                     lock_file,
                                     unlock_file,
                                     check_lock,
                                     control_file,
                                     sector_size,
                                     characteristics,
                                     map_shared,
                                     lock_shared,
                                     shared_barrier,
                                     unmap_shared,
                                     nullptr,
                                     nullptr};

int open_path(sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* out_flags) {
  OpenFile* open = new (file) OpenFile();
  open->base.pMethods = nullptr;
  if (path != nullptr && disk().strikes(Operation::open)) {
    open->~OpenFile();
    open->base.pMethods = nullptr;
    return disk().fault() == Fault::full ? SQLITE_FULL : SQLITE_CANTOPEN;
  }
  if (path != nullptr) {
    open->path = path;
    open->content = disk().opened(path);
    open->erase_at_end = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
  }
  open->real()->pMethods = nullptr;
  const int rc = real_vfs->xOpen(real_vfs, path, open->real(), flags, out_flags);
  if (rc == SQLITE_OK) {
    open->base.pMethods = &kMethods;
    return rc;
  }
  open->~OpenFile();
  open->base.pMethods = nullptr;
  return rc;
}

int erase_path(sqlite3_vfs*, const char* path, int sync_folder) {
  if (!std::filesystem::exists(path)) return SQLITE_IOERR_DELETE_NOENT;
  if (disk().strikes(Operation::erase)) return SQLITE_IOERR_DELETE;
  disk().erased(path, sync_folder != 0);
  return real_vfs->xDelete(real_vfs, path, 0);
}

std::string bytes_on_disk(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void apply_change(const FaultyVfs::Change& change, std::string* content) {
  if (change.truncate_to) {
    content->resize(*change.truncate_to);
    return;
  }
  const size_t end = change.offset + change.bytes.size();
  if (content->size() < end) content->resize(end);
  content->replace(change.offset, change.bytes.size(), change.bytes);
}

}  // namespace

const char* fault_name(Fault fault) {
  static const char* const kNames[] = {"none", "fail",       "fail_on",  "cut_short",
                                       "full", "unreadable", "power_cut"};
  return kNames[static_cast<size_t>(fault)];
}

FaultyVfs& FaultyVfs::instance() {
  static FaultyVfs* only = [] {
    real_vfs = sqlite3_vfs_find(nullptr);
    static sqlite3_vfs vfs = *real_vfs;  // what is not replaced below works as it is
    vfs.zName = "faulty";
    vfs.pNext = nullptr;
    vfs.szOsFile = static_cast<int>((sizeof(OpenFile) + 15) / 16 * 16) + real_vfs->szOsFile;
    vfs.xOpen = open_path;
    vfs.xDelete = erase_path;
    static FaultyVfs made;
    sqlite3_vfs_register(&vfs, 1);
    return &made;
  }();
  return *only;
}

void FaultyVfs::arm(Fault fault, uint64_t at) {
  fault_ = fault;
  at_ = at;
  operations_ = 0;
  struck_ = false;
}

bool FaultyVfs::strikes(Operation operation) {
  if (fault_ == Fault::none) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool read = operation == Operation::read;
  if (dead()) return true;
  if (read != (fault_ == Fault::unreadable)) return false;
  const bool takes_space = operation == Operation::write || operation == Operation::open;
  if (fault_ == Fault::full && !takes_space) return false;
  ++operations_;
  const bool lasting = fault_ == Fault::fail_on || fault_ == Fault::full;
  const bool now = lasting ? operations_ >= at_ : operations_ == at_;
  struck_ = struck_ || now;
  return now;
}

std::shared_ptr<FaultyVfs::File> FaultyVfs::opened(const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::shared_ptr<File>& file = names_[path];
  if (file != nullptr) return file;
  file = std::make_shared<File>();
  if (std::filesystem::exists(path)) {
    file->synced = bytes_on_disk(path);
    synced_names_[path] = file;
  }
  return file;
}

// The first sync of a file syncs its folder, too.
void FaultyVfs::synced(const std::string& path, File* file) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Change& change : file->pending)
    apply_change(change, &file->synced);
  file->pending.clear();
  const auto at = names_.find(path);
  if (at != names_.end() && synced_names_[path] != at->second) synced_names_ = names_;
}

void FaultyVfs::erased(const std::string& path, bool folder_synced) {
  const std::lock_guard<std::mutex> lock(mutex_);
  names_.erase(path);
  if (folder_synced) synced_names_ = names_;
}

std::string FaultyVfs::left_of(const File& file, Prng* prng) const {
  std::string content = file.synced;
  const uint64_t kind = prng->below(4);
  const size_t kept = kind == 1 ? file.pending.size() : prng->below(file.pending.size() + 1);
  if (kind == 0) return content;
  for (size_t i = 0; i < file.pending.size(); ++i) {
    const bool last = i + 1 == kept;
    if (kind == 3 ? prng->chance(.5) : i >= kept) continue;
    Change change = file.pending[i];
    if (kind >= 2 && (last || kind == 3) && !change.truncate_to && prng->chance(.5)) {
      const size_t sectors = change.bytes.size() / kSectorBytes;
      change.bytes.resize(prng->below(sectors + 1) * kSectorBytes);
    }
    apply_change(change, &content);
  }
  return content;
}

void FaultyVfs::cut_power(uint64_t seed, const std::function<bool(const std::string& path)>& lose) {
  Prng prng(seed);
  std::set<std::string> paths;
  for (const auto& [path, file] : names_)
    paths.insert(path);
  for (const auto& [path, file] : synced_names_)
    paths.insert(path);
  for (const std::string& path : paths) {
    if (!lose(path)) continue;
    const auto now = names_.find(path), before = synced_names_.find(path);
    std::shared_ptr<File> file = now == names_.end() ? nullptr : now->second;
    const std::shared_ptr<File> old = before == synced_names_.end() ? nullptr : before->second;
    if (file != old && prng.chance(.5)) file = old;
    std::filesystem::remove(path);
    std::filesystem::remove(path + "-shm");
    if (file == nullptr) continue;
    std::ofstream(path, std::ios::binary) << left_of(*file, &prng);
  }
  settle();
}

void FaultyVfs::settle() {
  fault_ = Fault::none;
  names_.clear();
  synced_names_.clear();
}

}  // namespace syncline::test
