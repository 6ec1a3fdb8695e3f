// See disk.h. One connection at a time, so locks are not needed; WAL works with an exclusive lock.
#include "sqlite_ext/simulate/disk.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "sqlite_ext/randomness.h"

SQLITE_EXTENSION_INIT3

namespace syncline::simulate {

namespace {

constexpr double kEpochDays = 2440587.5;            // the Unix epoch as a Julian day
constexpr int64_t kEpochMs = 210'866'760'000'000;   // the same in milliseconds

struct OpenFile {
  sqlite3_file base;
  std::shared_ptr<Disk::Content> content;
  Disk* disk;
  std::string path;  // empty: a temporary file
  bool erase_at_end;
};

OpenFile* file_of(sqlite3_file* file) {
  return reinterpret_cast<OpenFile*>(file);
}
Disk* disk_of(sqlite3_vfs* vfs) {
  return static_cast<Disk*>(vfs->pAppData);
}

int close_file(sqlite3_file* base) {
  OpenFile* file = file_of(base);
  if (file->erase_at_end) file->disk->erase(file->path);
  file->~OpenFile();
  return SQLITE_OK;
}

int read_file(sqlite3_file* base, void* out, int size, sqlite3_int64 offset) {
  const std::string& bytes = file_of(base)->content->bytes;
  const auto from = std::min(static_cast<size_t>(offset), bytes.size());
  const size_t there = std::min(static_cast<size_t>(size), bytes.size() - from);
  std::memcpy(out, bytes.data() + from, there);
  if (there == static_cast<size_t>(size)) return SQLITE_OK;
  std::memset(static_cast<char*>(out) + there, 0, static_cast<size_t>(size) - there);
  return SQLITE_IOERR_SHORT_READ;
}

int write_file(sqlite3_file* base, const void* data, int size, sqlite3_int64 offset) try {
  OpenFile* file = file_of(base);
  if (!file->path.empty()) file->disk->about_to_write();
  std::string& bytes = file->content->bytes;
  const size_t end = static_cast<size_t>(offset) + static_cast<size_t>(size);
  if (bytes.size() < end) bytes.resize(end);
  std::memcpy(bytes.data() + offset, data, static_cast<size_t>(size));
  return SQLITE_OK;
} catch (const std::bad_alloc&) {
  return SQLITE_IOERR_NOMEM;
}

int truncate_file(sqlite3_file* base, sqlite3_int64 size) {
  OpenFile* file = file_of(base);
  if (!file->path.empty()) file->disk->about_to_write();
  file->content->bytes.resize(static_cast<size_t>(size));
  return SQLITE_OK;
}

int file_size(sqlite3_file* base, sqlite3_int64* out) {
  *out = static_cast<sqlite3_int64>(file_of(base)->content->bytes.size());
  return SQLITE_OK;
}

int sync_file(sqlite3_file*, int) {
  return SQLITE_OK;
}
int lock_file(sqlite3_file*, int) {
  return SQLITE_OK;
}
int check_lock(sqlite3_file*, int* out) {
  *out = 0;
  return SQLITE_OK;
}
int control_file(sqlite3_file*, int, void*) {
  return SQLITE_NOTFOUND;
}
int sector_size(sqlite3_file*) {
  return 512;
}
int characteristics(sqlite3_file*) {
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

const sqlite3_io_methods* methods() {
  static const sqlite3_io_methods methods = [] {
    sqlite3_io_methods m{};
    m.iVersion = 1;
    m.xClose = close_file;
    m.xRead = read_file;
    m.xWrite = write_file;
    m.xTruncate = truncate_file;
    m.xSync = sync_file;
    m.xFileSize = file_size;
    m.xLock = lock_file;
    m.xUnlock = lock_file;
    m.xCheckReservedLock = check_lock;
    m.xFileControl = control_file;
    m.xSectorSize = sector_size;
    m.xDeviceCharacteristics = characteristics;
    return m;
  }();
  return &methods;
}

int open_file(sqlite3_vfs* vfs, const char* path, sqlite3_file* base, int flags, int* out) try {
  base->pMethods = nullptr;
  const bool create = path == nullptr || (flags & SQLITE_OPEN_CREATE) != 0;
  auto content = disk_of(vfs)->open(path, create);
  if (content == nullptr) return SQLITE_CANTOPEN;
  new (base) OpenFile{{methods()},
                      std::move(content),
                      disk_of(vfs),
                      path == nullptr ? "" : path,
                      path != nullptr && (flags & SQLITE_OPEN_DELETEONCLOSE) != 0};
  if (out != nullptr) *out = flags;
  return SQLITE_OK;
} catch (const std::bad_alloc&) {
  return SQLITE_NOMEM;
}

int erase_file(sqlite3_vfs* vfs, const char* path, int) {
  if (!disk_of(vfs)->exists(path)) return SQLITE_IOERR_DELETE_NOENT;
  disk_of(vfs)->about_to_write();
  disk_of(vfs)->erase(path);
  return SQLITE_OK;
}

int access_file(sqlite3_vfs* vfs, const char* path, int, int* out) {
  *out = disk_of(vfs)->exists(path) ? 1 : 0;
  return SQLITE_OK;
}

int full_path(sqlite3_vfs*, const char* path, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", path);
  return SQLITE_OK;
}

int give_random(sqlite3_vfs*, int size, char* out) {
  fill_random(out, static_cast<size_t>(size));
  return size;
}
int sleep_some(sqlite3_vfs*, int microseconds) {
  return microseconds;
}
int last_error(sqlite3_vfs*, int, char*) {
  return 0;
}
int now_days(sqlite3_vfs* vfs, double* out) {
  *out = kEpochDays + static_cast<double>(disk_of(vfs)->clock_ms()) / 86'400'000.0;
  return SQLITE_OK;
}
int now_ms(sqlite3_vfs* vfs, sqlite3_int64* out) {
  *out = kEpochMs + static_cast<sqlite3_int64>(disk_of(vfs)->clock_ms());
  return SQLITE_OK;
}

}  // namespace

Disk::Disk() {
  uint64_t name[2];
  {
    name[0] = reinterpret_cast<uintptr_t>(this);
    sqlite3_randomness(sizeof name[1], &name[1]);
  }
  name_ = "syncline-simulation-" + std::to_string(name[0]) + "-" + std::to_string(name[1]);
  vfs_.iVersion = 2;
  vfs_.szOsFile = sizeof(OpenFile);
  vfs_.mxPathname = 512;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = open_file;
  vfs_.xDelete = erase_file;
  vfs_.xAccess = access_file;
  vfs_.xFullPathname = full_path;
  vfs_.xRandomness = give_random;
  vfs_.xSleep = sleep_some;
  vfs_.xCurrentTime = now_days;
  vfs_.xGetLastError = last_error;
  vfs_.xCurrentTimeInt64 = now_ms;
  registered_ = sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK;
}

Disk::~Disk() {
  if (registered_) sqlite3_vfs_unregister(&vfs_);
}

std::shared_ptr<Disk::Content> Disk::open(const char* path, bool create) {
  if (path == nullptr) return std::make_shared<Content>();
  const auto found = files_.find(path);
  if (found != files_.end()) return found->second;
  return create ? files_[path] = std::make_shared<Content>() : nullptr;
}

void Disk::erase(const std::string& path) {
  files_.erase(path);
}

Files Disk::copy() const {
  Files out;
  for (const auto& [path, content] : files_)
    out[path] = content->bytes;
  return out;
}

void Disk::put(const Files& files) {
  ++changes_;
  files_.clear();
  for (const auto& [path, bytes] : files)
    files_[path] = std::make_shared<Content>(Content{bytes});
}

void Disk::kill_at(uint64_t count) {
  writes_left_ = count;
  killed_ = false;
}

void Disk::about_to_write() {
  ++changes_;
  if (writes_left_ == 0 || --writes_left_ != 0) return;
  remains_ = copy();
  killed_ = true;
}

bool Disk::killed(Files* out) {
  writes_left_ = 0;
  if (!killed_) return false;
  killed_ = false;
  *out = std::move(remains_);
  return true;
}

}  // namespace syncline::simulate
