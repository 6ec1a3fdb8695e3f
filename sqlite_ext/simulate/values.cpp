// See values.h.
#include "sqlite_ext/simulate/values.h"

#include <algorithm>
#include <cctype>

namespace syncline::simulate {

namespace {

std::string padded(uint64_t number, size_t width) {
  std::string text = std::to_string(number);
  return text.size() < width ? std::string(width - text.size(), '0') + text : text;
}

std::string date(uint64_t n) {
  return "20" + padded(10 + n / 336 % 80, 2) + "-" + padded(1 + n / 28 % 12, 2) + "-" +
         padded(1 + n % 28, 2);
}

std::string time_of(uint64_t n) {
  return padded(n / 3600 % 24, 2) + ":" + padded(n / 60 % 60, 2) + ":" + padded(n % 60, 2);
}

}  // namespace

std::vector<std::string> literals_of(const std::string& sql) {
  std::vector<std::string> out;
  size_t at = 0;
  const auto upper = [](char c) { return std::toupper(static_cast<unsigned char>(c)); };
  const std::string check = "CHECK";
  at = static_cast<size_t>(
      std::search(sql.begin(), sql.end(), check.begin(), check.end(),
                  [&](char a, char b) { return upper(a) == upper(b); }) -
      sql.begin());
  while (at < sql.size()) {
    const char c = sql[at];
    if (c == '\'') {
      size_t end = at + 1;
      while (end < sql.size() &&
             (sql[end] != '\'' || (end + 1 < sql.size() && sql[end + 1] == '\'')))
        end += sql[end] == '\'' ? 2 : 1;
      out.push_back(sql.substr(at, end + 1 - at));
      at = end + 1;
    } else if (std::isdigit(static_cast<unsigned char>(c)) != 0 &&
               (at == 0 || (std::isalnum(static_cast<unsigned char>(sql[at - 1])) == 0 &&
                            sql[at - 1] != '_' && sql[at - 1] != '"'))) {
      size_t end = at;
      while (end < sql.size() &&
             (std::isdigit(static_cast<unsigned char>(sql[end])) != 0 || sql[end] == '.'))
        ++end;
      const std::string number = sql.substr(at, end - at);
      out.push_back(number);
      if (number.find('.') == std::string::npos && number.size() < 15) {
        out.push_back(std::to_string(std::stoll(number) + 1));
        out.push_back(std::to_string(std::stoll(number) - 1));
      }
      at = end;
    } else {
      ++at;
    }
  }
  return out;
}

Status read_shape(sqlite3* db, const std::string& table, Shape* out) {
  SYNCLINE_TRY(describe_table(db, table, &out->base));
  SYNCLINE_TRY(foreign_keys(db, table, &out->foreign));
  std::vector<UniqueIndex> indexes;
  SYNCLINE_TRY(unique_indexes(db, table, &indexes));
  for (const UniqueIndex& index : indexes) {
    for (const CaptureIndex::Part& part : index.key.parts)
      out->unique.insert(part.column);
  }
  out->literals = literals_of(out->base.sql);
  for (const BaseColumn& column : out->base.columns) {
    out->kinds.push_back(logical_kind(logical_type_of_declaration(column.declared)));
  }
  return {};
}

std::string Values::key(LogicalKind kind) {
  const uint64_t n = 1 + random_.below(7);
  switch (kind) {
    case LogicalKind::any:
      return random_.percent(50) ? std::to_string(n) : "'k" + std::to_string(n) + "'";
    case LogicalKind::boolean: return std::to_string(n % 2);
    case LogicalKind::integer: return std::to_string(n);
    case LogicalKind::floating: return std::to_string(n) + ".5";
    case LogicalKind::numeric: return std::to_string(n);
    case LogicalKind::bytes: return "x'0" + std::to_string(n) + "'";
    case LogicalKind::date: return "'" + date(n) + "'";
    case LogicalKind::time: return "'" + time_of(n) + "'";
    case LogicalKind::timestamp:
    case LogicalKind::timestamptz: return "'" + date(n) + " " + time_of(n) + "'";
    case LogicalKind::uuid:
      return "'00000000-0000-4000-8000-" + padded(n, 12) + "'";
    case LogicalKind::json: return "'[" + std::to_string(n) + "]'";
    default: return (random_.percent(85) ? "'k" : "'K") + std::to_string(n) + "'";
  }
}

std::string Values::fresh(LogicalKind kind) {
  const uint64_t n = ++serial_;
  switch (kind) {
    case LogicalKind::any:
      if (random_.percent(30)) return std::to_string(n);
      if (random_.percent(30)) return std::to_string(n) + ".25";
      if (random_.percent(20)) return "x'" + padded(n, n > 999'999 ? 8 : 6) + "'";
      return "'v" + std::to_string(n) + "'";
    case LogicalKind::boolean: return std::to_string(n % 2);
    case LogicalKind::integer: return std::to_string(n);
    case LogicalKind::floating: return std::to_string(n) + ".25";
    case LogicalKind::numeric: return std::to_string(n) + ".75";
    case LogicalKind::bytes: return "x'" + padded(n, n > 999'999 ? 8 : 6) + "'";
    case LogicalKind::date: return "'" + date(n) + "'";
    case LogicalKind::time: return "'" + time_of(n) + "'";
    case LogicalKind::timestamp:
    case LogicalKind::timestamptz: return "'" + date(n) + " " + time_of(n) + "'";
    case LogicalKind::uuid: return "'00000000-0000-4000-9000-" + padded(n, 12) + "'";
    case LogicalKind::json: return "'{\"n\":" + std::to_string(n) + "}'";
    default: return "'v" + std::to_string(n) + "'";
  }
}

std::string Values::shaped(PolicyKind policy) {
  const auto element = [&] {
    return "\"" + std::string(1, static_cast<char>('a' + random_.below(6))) + "\"";
  };
  switch (policy) {
    case PolicyKind::counter: return std::to_string(random_.below(100));
    case PolicyKind::union_set: return "'[" + element() + "," + element() + "]'";
    case PolicyKind::json:
      return "'{" + element() + ":" + std::to_string(++serial_) + "," + element() + ":[1," +
             std::to_string(random_.below(9)) + "]}'";
    case PolicyKind::text:
      return "'one fine line\ntwo fine lines\nand word" + std::to_string(++serial_) + "'";
    default: return {};
  }
}

std::string Values::of(const Shape& shape, size_t column, PolicyKind policy) {
  const std::string& name = shape.base.columns[column].name;
  const auto& keys = shape.base.key;
  if (std::find(keys.begin(), keys.end(), name) != keys.end() || shape.unique.count(name) != 0) {
    if (shape.unique.count(name) != 0 && random_.percent(15)) return "NULL";
    return key(shape.kinds[column]);
  }
  if (random_.percent(7)) return "NULL";
  if (!shape.literals.empty() && random_.percent(45)) return random_.pick(shape.literals);
  const std::string text = shaped(policy);
  return text.empty() || random_.percent(4) ? fresh(shape.kinds[column]) : text;
}

std::string Values::change(const Shape& shape, size_t column, PolicyKind policy) {
  const std::string name = quote_name(shape.base.columns[column].name);
  const std::string number = std::to_string(++serial_);
  if (policy == PolicyKind::counter && random_.percent(85)) {
    return name + (random_.percent(60) ? " + " : " - ") + std::to_string(1 + random_.below(9));
  }
  if (policy == PolicyKind::text && random_.percent(70)) {
    if (random_.percent(50)) return name + " || char(10) || 'line " + number + "'";
    return "replace(" + name + ", 'fine', 'word" + number + "')";
  }
  if (policy == PolicyKind::json && random_.percent(70)) {
    return "CASE WHEN json_valid(" + name + ") THEN json_set(" + name + ", '$." +
           static_cast<char>('a' + random_.below(6)) + "', " + number + ") ELSE " + name + " END";
  }
  return of(shape, column, policy);
}

}  // namespace syncline::simulate
