// Checking one database: do its row state, its base tables and its bookkeeping agree?
//
// What the base table shows counts: a row that differs from its state was written while the
// triggers were off, and the repair logs it as a local write of now. With `prefer` "state" a row
// that its versions say was deleted is deleted; one that is missing can then only come from a peer.
#pragma once

#include <string>
#include <vector>

#include "syncline/verify.h"

namespace syncline {

struct CheckOptions {
  bool deep = false;  // every index, and every row against the stored digests
  bool repair = false;
  bool prefer_state = false;
};
// Parses {"deep": bool, "repair": bool, "prefer": "base"|"state"}. Errors: invalid_argument.
Status check_options_from_json(std::string_view json, CheckOptions* out);

// Parses the options of sync_invariant: {"expect": "true"|"none", "on_apply": "report"|"refuse"}.
// *expect is empty if it is not given. Errors: invalid_argument.
Status invariant_options_from_json(std::string_view json, std::string* expect, bool* refuse);

struct Finding {
  std::string severity;  // "error": data is or will be wrong; "warning": look at it; "repaired"
  std::string table;     // empty: the database
  std::string what;      // a sentence, without cell values
  std::string repair;    // SQL that mends it; empty: nothing simple does
};

// Rows against their state, held rows against their records, versions against the vector, exchanges
// that broke off, and, if deep, base rows against the digests stored for them. With `repair`, what
// can be mended is: in a write transaction. Cost: reads every row.
Status check_rows(VerifyHost* host, const CheckOptions& options, std::vector<Finding>* out);

}  // namespace syncline
