// See capture.h.
#include "sqlite_ext/capture.h"

#include <algorithm>

#include "sqlite_ext/statement.h"
#include "syncline/fold.h"

namespace syncline {

// julianday's double has a resolution of 0.04 ms, so adding a half rounds to the true millisecond.
// An empty clock table must not silence capture: coalesce.
const char* const kClockSql =
    "max(coalesce((SELECT floor FROM sync_clock),0),"
    "CAST((julianday('now')-2440587.5)*86400000.0+0.5 AS INTEGER)<<16)";

namespace {

// Joins terms with a binary operator as a balanced, fully bracketed tree.
std::string balanced(const std::vector<std::string>& terms, size_t begin, size_t end,
                     const char* op) {
  if (end - begin == 1) return terms[begin];
  const size_t middle = begin + (end - begin) / 2;
  return "(" + balanced(terms, begin, middle, op) + op + balanced(terms, middle, end, op) + ")";
}

std::string differs(const CaptureColumn& column) {
  const std::string name = quote_name(column.name);
  std::string out = "(OLD." + name + " IS NOT NEW." + name + " COLLATE BINARY)";
  if (column.untyped) out = "(" + out + " OR typeof(OLD." + name + ")<>typeof(NEW." + name + "))";
  return out;
}

std::string mask_expression(const CapturePlan& plan) {
  std::vector<std::string> bits, many;
  for (const CaptureColumn& column : plan.columns) {
    if (column.number >= kMaskColumns) {
      many.push_back(differs(column));
    } else if (column.number == 0) {
      bits.push_back(differs(column));
    } else {
      bits.push_back("(" + differs(column) + "<<" + std::to_string(column.number) + ")");
    }
  }
  if (!many.empty()) {
    bits.push_back("(" + balanced(many, 0, many.size(), " OR ") + "<<" +
                   std::to_string(kMaskColumns) + ")");
  }
  return balanced(bits, 0, bits.size(), "|");
}

std::string key_of(const CapturePlan& plan, const std::string& row) {
  std::string out;
  for (const std::string& name : plan.key)
    out += "," + row + quote_name(name);
  return out;
}

std::string log_head(const CapturePlan& plan) {
  return " INSERT INTO sync_log(t,ver,mask," + key_list(plan.key.size()) + ")";
}

std::string log_values(const CapturePlan& plan, const std::string& mask, const std::string& row) {
  return std::to_string(plan.table) + "," + kClockSql + "," + mask + key_of(plan, row);
}

std::string append_log(const CapturePlan& plan, const std::string& mask, const std::string& row) {
  return log_head(plan) + " VALUES(" + log_values(plan, mask, row) + ");\n";
}

bool is_key(const CapturePlan& plan, const std::string& name) {
  for (const std::string& k : plan.key) {
    if (k == name) return true;
  }
  return false;
}

// The row's values beside its key, under the log position `seq`; empty if there are none.
std::string image_statement(const CapturePlan& plan, const std::string& seq, const std::string& row,
                            const std::string& from) {
  std::string columns, values;
  for (const CaptureColumn& column : plan.columns) {
    if (is_key(plan, column.name)) continue;
    columns += ",c" + std::to_string(column.number);
    values += "," + row + quote_name(column.name);
  }
  if (columns.empty()) return {};
  const std::string head =
      " INSERT INTO sync_image_" + std::to_string(plan.table) + "(seq" + columns + ")";
  if (from.empty()) return head + " VALUES(" + seq + values + ");\n";
  return head + " SELECT " + seq + values + from + ";\n";
}

// WITHOUT ROWID: last_insert_rowid() stays that of the log entry.
std::string before_statements(const CapturePlan& plan) {
  std::string out;
  for (const CaptureColumn& column : plan.columns) {
    if (!column.noted || is_key(plan, column.name)) continue;
    out += " INSERT INTO sync_before_" + std::to_string(plan.table) +
           " SELECT last_insert_rowid()," + std::to_string(column.number) + ",OLD." +
           quote_name(column.name) + " WHERE " + differs(column) + ";\n";
  }
  return out;
}

// A row that holds the values the new one claims, other than `self` unless that is empty. At most
// one: the index is unique.
std::string suspect_body(const CapturePlan& plan, const CaptureIndex& index,
                         const std::string& self) {
  std::string where;
  for (const CaptureIndex::Part& part : index.parts) {
    if (!where.empty()) where += " AND ";
    where += quote_name(part.column) + "=NEW." + quote_name(part.column) + " COLLATE " +
             quote_name(part.collation);
  }
  if (!index.predicate.empty()) where += " AND (" + index.predicate + ")";
  std::string same;
  for (const std::string& name : plan.key) {
    if (!same.empty()) same += " AND ";
    same += quote_name(name) + " IS " + self + "." + quote_name(name) + " COLLATE BINARY";
  }
  if (!self.empty()) where += " AND NOT (" + same + ")";
  const std::string from = " FROM " + quote_name(plan.name) + " WHERE " + where;
  return log_head(plan) + " SELECT " + log_values(plan, std::to_string(kMaskSuspect), "") + from +
         ";\n" + image_statement(plan, "(SELECT max(seq) FROM sync_log)", "", from);
}

// " OF ...": which columns an update must set to take another row away through the index. If none,
// any does: it may bring its row into a partial index, or change a generated column.
std::string of_columns(const CapturePlan& plan, const CaptureIndex& index) {
  std::string names;
  for (const CaptureIndex::Part& part : index.parts) {
    const bool written = std::any_of(plan.columns.begin(), plan.columns.end(),
                                     [&](const auto& c) { return c.name == part.column; });
    if (!written || !index.predicate.empty()) return {};
    names += (names.empty() ? " OF " : ",") + quote_name(part.column);
  }
  return names;
}

}  // namespace

std::string capture_prefix(uint32_t table) {
  return "sync_" + std::to_string(table) + "_";
}

bool is_binary(const std::string& collation) {
  return sqlite3_stricmp(collation.c_str(), "BINARY") == 0;
}

bool is_loose(const std::vector<CaptureIndex::Part>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [](const auto& part) { return !is_binary(part.collation); });
}

std::vector<std::string> capture_triggers(const CapturePlan& plan) {
  std::vector<std::string> out;
  const std::string all = std::to_string(kMaskAll);
  auto trigger = [&](const std::string& name, const std::string& event, const std::string& when,
                     const std::string& body) {
    out.push_back("CREATE TRIGGER main." + quote_name(capture_prefix(plan.table) + name) + " " +
                  event + " ON " + quote_name(plan.name) + when + " BEGIN\n" + body + "END");
  };
  const std::string image = image_statement(plan, "last_insert_rowid()", "OLD.", "");
  trigger("insert", "AFTER INSERT", "", append_log(plan, all, "NEW."));
  trigger("update", "AFTER UPDATE", "",
          append_log(plan, mask_expression(plan), "NEW.") + before_statements(plan));
  std::vector<std::string> moved;
  for (const std::string& name : plan.key) {
    moved.push_back("OLD." + quote_name(name) + " IS NOT NEW." + quote_name(name) +
                    " COLLATE BINARY");
  }
  // Not "UPDATE OF key": SQLite would not fire it for UPDATE ... SET rowid = ...
  trigger("rekey", "AFTER UPDATE", " WHEN " + balanced(moved, 0, moved.size(), " OR "),
          append_log(plan, all, "OLD.") + image + append_log(plan, all, "NEW."));
  trigger("delete", "AFTER DELETE", "", append_log(plan, all, "OLD.") + image);
  // An insert over a row of its own key says so itself, but not that the row was there before.
  if (plan.fills || is_loose(plan.primary.parts)) {
    trigger("replaced_insert", "BEFORE INSERT", "",
            suspect_body(plan, plan.primary, plan.fills ? "" : "NEW"));
  }
  // The row may go with the one whose key it takes, by ON DELETE CASCADE: nothing else says so.
  trigger("replaced_update", "BEFORE UPDATE" + of_columns(plan, plan.primary), "",
          suspect_body(plan, plan.primary, "OLD"));
  for (size_t i = 0; i < plan.indexes.size(); ++i) {
    const CaptureIndex& index = plan.indexes[i];
    trigger("suspect_insert_" + std::to_string(i), "BEFORE INSERT", "",
            suspect_body(plan, index, "NEW"));
    const std::string of = of_columns(plan, index);
    trigger("suspect_update_" + std::to_string(i), "BEFORE UPDATE" + of, "",
            suspect_body(plan, index, "OLD"));
  }
  return out;
}

}  // namespace syncline
