// libpq, opened at run time: a database that never talks to PostgreSQL does not need it installed.
#pragma once

#include <libpq-fe.h>

#include "syncline/status.h"

namespace syncline {

// The functions we call, under their own names.
struct LibPq {
  decltype(&::PQconnectStartParams) connect_start_params = nullptr;
  decltype(&::PQconnectPoll) connect_poll = nullptr;
  decltype(&::PQconninfoParse) conninfo_parse = nullptr;
  decltype(&::PQconninfoFree) conninfo_free = nullptr;
  decltype(&::PQfreemem) freemem = nullptr;
  decltype(&::PQfinish) finish = nullptr;
  decltype(&::PQstatus) status = nullptr;
  decltype(&::PQsocket) socket = nullptr;
  decltype(&::PQhost) host = nullptr;
  decltype(&::PQport) port = nullptr;
  decltype(&::PQdb) db = nullptr;
  decltype(&::PQerrorMessage) error_message = nullptr;
  decltype(&::PQsetErrorVerbosity) set_error_verbosity = nullptr;
  decltype(&::PQsetNoticeProcessor) set_notice_processor = nullptr;
  decltype(&::PQconnectionUsedPassword) connection_used_password = nullptr;
  decltype(&::PQconnectionNeedsPassword) connection_needs_password = nullptr;
  decltype(&::PQsetnonblocking) setnonblocking = nullptr;
  decltype(&::PQsendQuery) send_query = nullptr;
  decltype(&::PQsendQueryParams) send_query_params = nullptr;
  decltype(&::PQflush) flush = nullptr;
  decltype(&::PQconsumeInput) consume_input = nullptr;
  decltype(&::PQisBusy) is_busy = nullptr;
  decltype(&::PQgetResult) get_result = nullptr;
  decltype(&::PQresultStatus) result_status = nullptr;
  decltype(&::PQresultErrorField) result_error_field = nullptr;
  decltype(&::PQclear) clear = nullptr;
  decltype(&::PQntuples) ntuples = nullptr;
  decltype(&::PQnfields) nfields = nullptr;
  decltype(&::PQgetisnull) getisnull = nullptr;
  decltype(&::PQgetlength) getlength = nullptr;
  decltype(&::PQgetvalue) getvalue = nullptr;
  decltype(&::PQescapeIdentifier) escape_identifier = nullptr;
  decltype(&::PQgetCancel) get_cancel = nullptr;
  decltype(&::PQcancel) cancel = nullptr;
  decltype(&::PQfreeCancel) free_cancel = nullptr;
};

// Opens libpq.so.5 on the first call and keeps it until the process ends. Errors: refused, naming
// the package to install. Safe to call from several threads.
Status load_libpq(const LibPq** out);

}  // namespace syncline
