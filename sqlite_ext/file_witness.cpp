// See file_witness.h.
#include "sqlite_ext/file_witness.h"

#include <cinttypes>
#include <cstdio>

#ifdef __linux__
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#endif

SQLITE_EXTENSION_INIT3

namespace syncline {

namespace {

// Null for a database in memory, and for a temporary one.
const char* file_name(sqlite3* db) {
  const char* name = sqlite3_db_filename(db, "main");
  return name == nullptr || name[0] == '\0' ? nullptr : name;
}

#ifdef __linux__
constexpr char kAttribute[] = "user.syncline";

// "<site> <seq> <hlc>"; false: there is none, or it is not ours.
bool read_attribute(const char* name, std::string* site_hex, VectorEntry* last) {
  char text[128];
  const ssize_t size = getxattr(name, kAttribute, text, sizeof text - 1);
  if (size <= 0) return false;
  text[size] = '\0';
  char site[33];
  if (std::sscanf(text, "%32[0-9a-f] %" SCNu64 " %" SCNu64, site, &last->seq, &last->hlc) != 3) {
    return false;
  }
  *site_hex = site;
  return true;
}
#endif

}  // namespace

int64_t file_birth(sqlite3* db) {
#if defined(__linux__) && defined(STATX_BTIME)
  const char* name = file_name(db);
  struct statx file;
  if (name == nullptr || statx(AT_FDCWD, name, AT_STATX_SYNC_AS_STAT, STATX_BTIME, &file) != 0 ||
      (file.stx_mask & STATX_BTIME) == 0) {
    return 0;
  }
  return file.stx_btime.tv_sec * INT64_C(1000000000) + file.stx_btime.tv_nsec;
#else
  (void)db;
  return 0;
#endif
}

bool read_departure(sqlite3* db, std::string* site_hex, VectorEntry* last) {
#ifdef __linux__
  const char* name = file_name(db);
  return name != nullptr && read_attribute(name, site_hex, last);
#else
  (void)db, (void)site_hex, (void)last;
  return false;
#endif
}

void note_departure(sqlite3* db, const SiteId& site, const VectorEntry& last) {
#ifdef __linux__
  const char* name = file_name(db);
  if (name == nullptr) return;
  const std::string hex = to_hex(site);
  std::string noted_site;
  VectorEntry noted;
  if (read_attribute(name, &noted_site, &noted) && noted_site == hex && noted.seq >= last.seq) {
    return;
  }
  char text[128];
  const int size = std::snprintf(text, sizeof text, "%s %" PRIu64 " %" PRIu64, hex.c_str(),
                                 last.seq, last.hlc);
  // A file that may not be changed, or a file system without attributes: there is no hint then.
  (void)setxattr(name, kAttribute, text, static_cast<size_t>(size), 0);
#else
  (void)db, (void)site, (void)last;
#endif
}

}  // namespace syncline
