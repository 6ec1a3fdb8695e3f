// The scalar SQL functions. Each is one entry of one table; a single callback is the boundary that
// no exception leaves.
#pragma once

#include <string>
#include <string_view>

#include "sqlite_ext/statement.h"

namespace syncline {

struct KeptPeers;

// Registers all functions. Those with side effects are SQLITE_DIRECTONLY: no trigger, view or
// default of a stranger's schema can call them. *kept_peers, if it is asked for, are those of this
// connection. Returns SQLite's code.
int register_functions(sqlite3* db, KeptPeers** kept_peers = nullptr);

// One call of a function: its arguments and where its result goes.
class Call {
 public:
  Call(sqlite3_context* context, int count, sqlite3_value** values, KeptPeers* kept_peers)
      : context_(context), count_(count), values_(values), kept_peers_(kept_peers) {}

  sqlite3* db() const { return sqlite3_context_db_handle(context_); }
  // Those of this connection; they go when it is closed.
  KeptPeers* kept_peers() const { return kept_peers_; }
  bool given(int argument) const {
    return argument < count_ && sqlite3_value_type(values_[argument]) != SQLITE_NULL;
  }
  int count() const { return count_; }
  // An argument as a value; absent if it is missing. Views the argument.
  Value value(int argument) const;
  // The bytes of an argument; empty if it is missing or NULL.
  std::string bytes(int argument) const;
  // An argument that must be a non-empty text. `what` says what it is, in errors.
  Status text(int argument, const char* what, std::string* out) const;
  void give(std::string_view text) const;
  void give(int64_t number) const { sqlite3_result_int64(context_, number); }
  void give_null() const { sqlite3_result_null(context_); }

 private:
  sqlite3_context* context_;
  int count_;
  sqlite3_value** values_;
  KeptPeers* kept_peers_;
};

// sync_digest(table), sync_verify(peer [, options]), sync_repair(peer [, options])
Status call_sync_digest(Call* call);
Status call_sync_verify(Call* call);
Status call_sync_repair(Call* call);
// sync_invariant(name, sql [, options])
Status call_sync_invariant(Call* call);

// sync_maintain([options])
Status call_maintain(Call* call);
// sync_retire_site(id [, note])
Status call_retire_site(Call* call);

// policy_functions.cpp
Status call_set_policy(Call* call);
Status call_set_actor(Call* call);
Status call_set_context(Call* call);

// conflict_functions.cpp
Status call_resolve(Call* call);
Status call_resolve_all(Call* call);
Status call_undo(Call* call);
Status call_conflict_diff(Call* call);
Status call_conflict_purge(Call* call);

}  // namespace syncline
