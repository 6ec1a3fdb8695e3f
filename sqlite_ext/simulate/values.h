// Values that fit a column, as SQL literals. Keys and unique values come from few, so that sites
// meet; all others are written once only, so that it can be told who wrote what.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "sqlite_ext/catalog.h"
#include "sqlite_ext/simulate/random.h"
#include "sqlite_ext/simulate/view.h"

namespace syncline::simulate {

// What is known of a table for writing into it.
struct Shape {
  BaseTable base;
  std::vector<ForeignKey> foreign;
  std::set<std::string> unique;       // columns of secondary unique indexes
  std::vector<std::string> literals;  // constants of its CREATE TABLE: what CHECKs compare with
  std::vector<LogicalKind> kinds;     // by position in base.columns
};

// The literals in a CREATE TABLE statement that a CHECK may ask for.
std::vector<std::string> literals_of(const std::string& sql);
Status read_shape(sqlite3* db, const std::string& table, Shape* out);

class Values {
 public:
  explicit Values(Random* random) : random_(*random) {}

  std::string of(const Shape& shape, size_t column, PolicyKind policy);
  // What stands after "column =" in an UPDATE.
  std::string change(const Shape& shape, size_t column, PolicyKind policy);
  std::string key(LogicalKind kind);

 private:
  std::string fresh(LogicalKind kind);
  std::string shaped(PolicyKind policy);

  Random& random_;
  uint64_t serial_ = 100;
};

}  // namespace syncline::simulate
