// Fills the function table of libpq.h with dlopen and dlsym.
//
// The library is never closed: it registers handlers of TLS libraries that outlive every
// connection.
#include "peers/libpq.h"

#include <dlfcn.h>

#include <string>

namespace syncline {
namespace {

#ifdef __APPLE__
constexpr const char* kLibrary = "libpq.5.dylib";
#else
constexpr const char* kLibrary = "libpq.so.5";
#endif

struct Loaded {
  LibPq functions;
  Status status;
};

template <typename Function>
bool find(void* library, const char* name, Function* slot) {
  *slot = reinterpret_cast<Function>(dlsym(library, name));
  return *slot != nullptr;
}

Loaded load() {
  Loaded out;
  const char* hint =
      "install libpq version 12 or later (package libpq5 on Debian and Ubuntu, libpq or "
      "postgresql-libs elsewhere)";
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    out.status = Status(StatusCode::refused,
                        std::string("a postgresql: URL needs the library ") + kLibrary +
                            ", which could not be opened",
                        hint);
    return out;
  }
  LibPq& f = out.functions;
  const char* missing = nullptr;
  auto need = [&](const char* name, auto* slot) {
    if (!find(library, name, slot)) missing = name;
  };
  need("PQconnectStartParams", &f.connect_start_params);
  need("PQconnectPoll", &f.connect_poll);
  need("PQconninfoParse", &f.conninfo_parse);
  need("PQconninfoFree", &f.conninfo_free);
  need("PQfreemem", &f.freemem);
  need("PQfinish", &f.finish);
  need("PQstatus", &f.status);
  need("PQsocket", &f.socket);
  need("PQhost", &f.host);
  need("PQport", &f.port);
  need("PQdb", &f.db);
  need("PQerrorMessage", &f.error_message);
  need("PQsetErrorVerbosity", &f.set_error_verbosity);
  need("PQsetNoticeProcessor", &f.set_notice_processor);
  need("PQconnectionUsedPassword", &f.connection_used_password);
  need("PQconnectionNeedsPassword", &f.connection_needs_password);
  need("PQsetnonblocking", &f.setnonblocking);
  need("PQsendQuery", &f.send_query);
  need("PQsendQueryParams", &f.send_query_params);
  need("PQflush", &f.flush);
  need("PQconsumeInput", &f.consume_input);
  need("PQisBusy", &f.is_busy);
  need("PQgetResult", &f.get_result);
  need("PQresultStatus", &f.result_status);
  need("PQresultErrorField", &f.result_error_field);
  need("PQclear", &f.clear);
  need("PQntuples", &f.ntuples);
  need("PQnfields", &f.nfields);
  need("PQgetisnull", &f.getisnull);
  need("PQgetlength", &f.getlength);
  need("PQgetvalue", &f.getvalue);
  need("PQescapeIdentifier", &f.escape_identifier);
  need("PQgetCancel", &f.get_cancel);
  need("PQcancel", &f.cancel);
  need("PQfreeCancel", &f.free_cancel);
  if (missing != nullptr) {
    out.status = Status(StatusCode::refused,
                        std::string("the library ") + kLibrary + " lacks " + missing, hint);
  }
  return out;
}

}  // namespace

Status load_libpq(const LibPq** out) {
  static const Loaded loaded = load();
  *out = &loaded.functions;
  return loaded.status;
}

}  // namespace syncline
