// The text of the triggers that append to the change log. Pure functions; nothing is executed.
//
// The triggers use built-in functions of SQLite only, so a program that has not loaded the
// extension writes tracked changes all the same.
//
// | trigger            | appends                                                             |
// |--------------------|---------------------------------------------------------------------|
// | insert             | the key, mask "all"                                                 |
// | update             | the new key, the mask of changed columns (also if none seems changed); |
// |                    | to sync_before_<n>, what noted columns that changed held before     |
// | rekey              | the old key with its image, mask "all"; the new key, mask "all"      |
// | delete             | the key, mask "all", and the row's image                            |
// | suspect, per       | the key and image of another row that holds the new values: REPLACE |
// | secondary unique index | removes it without telling any trigger                           |
// | replaced           | the same for the primary key, where such a row says nothing itself   |
#pragma once

#include <string>
#include <vector>

#include "syncline/types.h"

namespace syncline {

// Mask of a suspect: a delete if the row is gone, else nothing. (fold.h has the other masks.)
inline constexpr int64_t kMaskSuspect = -2;

// The hlc of a write: SQL text, usable inside a trigger.
extern const char* const kClockSql;

struct CaptureColumn {
  ColumnNumber number = 0;
  std::string name;
  bool untyped = false;  // no affinity: 1 and 1.0 differ there, and IS NOT cannot tell
  bool noted = false;    // its policy wants to know what an update saw
};

struct CaptureIndex {
  struct Part {
    std::string column, collation;
  };
  std::vector<Part> parts;
  std::string predicate;  // of a partial index, as written; else empty
};

struct CapturePlan {
  uint32_t table = 0;
  std::string name;
  std::vector<CaptureColumn> columns;  // key columns included, generated ones not
  std::vector<std::string> key;        // names, in key order
  std::vector<CaptureIndex> indexes;   // unique ones through which REPLACE takes other rows away
  CaptureIndex primary;  // the key
  bool fills = false;    // rows without state come, and not all are here: sync_table.base_context
};

// Whether a collation takes only what is the same, byte by byte, for equal; and whether some part
// of an index has one that does not.
bool is_binary(const std::string& collation);
bool is_loose(const std::vector<CaptureIndex::Part>& parts);

// CREATE TRIGGER statements. Cost: linear in columns; expressions are balanced trees, since SQLite
// bounds their depth at 1,000.
std::vector<std::string> capture_triggers(const CapturePlan& plan);

// How the names of a table's triggers begin: "sync_7_".
std::string capture_prefix(uint32_t table);

}  // namespace syncline
