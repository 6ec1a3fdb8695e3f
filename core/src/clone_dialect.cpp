// Tables of one engine in the dialect of another. See clone_dialect.h; what becomes of a type is in
// docs/sql_reference.md, "Types".
#include "clone_dialect.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "syncline/logical_type.h"

namespace syncline {
namespace {

constexpr const char* kNotTravelling = "generated columns do not travel";

std::string quote_name(const std::string& name) {
  std::string out = "\"";
  for (const char c : name) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

std::string literal(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

std::string text_of(const SortedJson& object, const char* member) {
  const auto at = object.find(member);
  return at == object.end() || at->is_null() ? std::string() : at->get<std::string>();
}

bool flag_of(const SortedJson& object, const char* member) {
  const auto at = object.find(member);
  return at != object.end() && at->is_boolean() && at->get<bool>();
}

std::string list_of(const SortedJson& names) {
  std::string out;
  for (const SortedJson& name : names)
    out += (out.empty() ? "" : ", ") + quote_name(name.get<std::string>());
  return out;
}

bool among(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void describe(const SortedJson& table, PlannedTable* out) {
  out->name = table.at("name").get<std::string>();
  for (const SortedJson& column : table.at("columns")) {
    const std::string type = text_of(column, "type");
    if (!type.empty()) out->columns.push_back({column.at("name").get<std::string>(), type});
  }
  for (const SortedJson& part : table.at("key")) out->key.push_back(part.get<std::string>());
}

// "numeric(12,2)" -> 12; 0: without a limit.
int precision_of(const std::string& declared) {
  const size_t open = declared.find('(');
  return open == std::string::npos ? 0 : std::atoi(declared.c_str() + open + 1);
}

// The declaration in SQLite of a column of PostgreSQL's.
std::string sqlite_type(const std::string& logical, const std::string& declared) {
  switch (logical_kind(logical)) {
    case LogicalKind::boolean: return "BOOLEAN";
    case LogicalKind::integer: return "INTEGER";
    case LogicalKind::floating: return "DOUBLE PRECISION";
    // SQLite keeps 15 digits of a number.
    case LogicalKind::numeric: {
      const int precision = precision_of(declared);
      const bool fits = precision > 0 && precision <= 15;
      std::string upper = declared;
      for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      return fits && upper.starts_with("NUMERIC(") ? upper : fits ? "NUMERIC" : "TEXT";
    }
    case LogicalKind::bytes: return "BLOB";
    case LogicalKind::date: return "DATE";
    case LogicalKind::time: return "TIME";
    case LogicalKind::timestamp: return "TIMESTAMP";
    case LogicalKind::timestamptz: return "TIMESTAMPTZ";
    case LogicalKind::interval: return "INTERVAL";
    case LogicalKind::uuid: return "UUID";
    case LogicalKind::json: return "JSON";
    default: break;
  }
  // Arrays keep their name, "integer[]"; what else PostgreSQL has is text.
  const bool array = logical.starts_with("pg:") && logical.ends_with("[]");
  return array ? quote_name(logical.substr(3)) : "TEXT";
}

// What a declaration says that SQLite does not keep.
void note_type(const std::string& table, const std::string& column, const std::string& logical,
               const std::string& declared, std::vector<LeftOut>* left_out) {
  const LogicalKind kind = logical_kind(logical);
  if (kind == LogicalKind::numeric && sqlite_type(logical, declared) == "TEXT") {
    left_out->push_back({table, "type " + declared + " of column \"" + column + "\"",
                         "it is TEXT here: a number of SQLite's keeps 15 digits"});
  } else if (kind == LogicalKind::text && declared.find('(') != std::string::npos) {
    left_out->push_back({table, "length limit " + declared + " of column \"" + column + "\"",
                         "SQLite keeps text of any length"});
  } else if (kind == LogicalKind::other && !logical.ends_with("[]")) {
    left_out->push_back({table, "type " + declared + " of column \"" + column + "\"",
                         "it is TEXT here, and anything can be written into it"});
  }
}

class Translation {
 public:
  Translation(const SortedJson& table, const std::vector<std::string>& names, PlannedTable* out,
              std::vector<LeftOut>* left_out)
      : table_(table), names_(names), out_(*out), left_out_(*left_out) {}

  void run() {
    describe(table_, &out_);
    out_.qualified = quote_name(out_.name);
    for (const SortedJson& column : table_.at("columns")) add_column(column);
    add("PRIMARY KEY (" + list_of(table_.at("key")) + ")");
    for (const SortedJson& constraint : table_.at("constraints")) add_constraint(constraint);
    out_.make.push_back("CREATE TABLE " + out_.qualified + " (\n  " + parts_ + "\n)");
    for (const SortedJson& index : table_.at("indexes")) add_index(index);
    for (const SortedJson& trigger : table_.at("triggers")) {
      leave("trigger \"" + trigger.at("name").get<std::string>() + "\"",
            "it is written in PostgreSQL's language");
    }
  }

 private:
  void add(const std::string& part) { parts_ += (parts_.empty() ? "" : ",\n  ") + part; }
  void leave(const std::string& what, const std::string& why) {
    left_out_.push_back({out_.name, what, why});
  }

  void add_column(const SortedJson& column) {
    const std::string name = column.at("name").get<std::string>();
    const std::string type = text_of(column, "type"), declared = text_of(column, "declared");
    if (type.empty()) {
      leave("column \"" + name + "\"", text_of(column, "generated").empty()
                                           ? "it stays in the peer's database"
                                           : kNotTravelling);
      dropped_.insert(name);
      return;
    }
    std::string part = quote_name(name) + " " + sqlite_type(type, declared);
    note_type(out_.name, name, type, declared, &left_out_);
    if (flag_of(column, "not_null")) part += " NOT NULL";
    const std::string expression = text_of(column, "default");
    if (!expression.empty()) {
      const std::string here = default_in_sqlite(expression, type);
      if (!here.empty()) part += " DEFAULT " + here;
      else leave("default " + expression + " of column \"" + name + "\"",
                 "SQLite has nothing that means the same");
    }
    if (flag_of(column, "identity")) {
      leave("identity of column \"" + name + "\"",
            "two databases that count would give the same number to different rows");
    }
    add(part);
  }

  bool has_all(const SortedJson& columns) const {
    return columns.is_array() && std::none_of(columns.begin(), columns.end(), [&](const auto& c) {
             return dropped_.count(c.template get<std::string>()) > 0;
           });
  }

  void add_constraint(const SortedJson& constraint) {
    const std::string kind = constraint.at("kind").get<std::string>();
    const std::string name = constraint.at("name").get<std::string>();
    const std::string sql = constraint.at("sql").get<std::string>();
    if (kind == "p") return;
    if (kind == "u" && has_all(constraint.at("columns")) &&
        sql.find("NULLS NOT DISTINCT") == std::string::npos) {
      return add("UNIQUE (" + list_of(constraint.at("columns")) + ")");
    }
    if (kind == "f") {
      const std::string parent = text_of(constraint, "parent");
      if (among(names_, parent) && has_all(constraint.at("columns"))) {
        return add(foreign_key(constraint, parent));
      }
      return leave("foreign key \"" + name + "\": " + sql, "its parent is not cloned with it");
    }
    leave((kind == "c" ? "check \"" : "constraint \"") + name + "\": " + sql,
          "it is written in PostgreSQL's language");
  }

  static std::string foreign_key(const SortedJson& constraint, const std::string& parent) {
    std::string part = "FOREIGN KEY (" + list_of(constraint.at("columns")) + ") REFERENCES " +
                       quote_name(parent) + " (" + list_of(constraint.at("parent_columns")) + ")";
    for (const char* event : {"on_delete", "on_update"}) {
      const std::string action = text_of(constraint, event);
      if (action.empty() || action == "NO ACTION") continue;
      part += std::string(event) == "on_delete" ? " ON DELETE " : " ON UPDATE ";
      part += action;
    }
    return part + " DEFERRABLE INITIALLY DEFERRED";
  }

  void add_index(const SortedJson& index) {
    const std::string name = index.at("name").get<std::string>();
    const bool unique = flag_of(index, "unique");
    if (!has_all(index.at("columns"))) {
      return leave("index \"" + name + "\": " + text_of(index, "sql"),
                   "it is not on plain columns");
    }
    out_.after.push_back(std::string("CREATE ") + (unique ? "UNIQUE " : "") + "INDEX " +
                         quote_name(name) + " ON " + quote_name(out_.name) + " (" +
                         list_of(index.at("columns")) + ")");
  }

  const SortedJson& table_;
  const std::vector<std::string>& names_;
  PlannedTable& out_;
  std::vector<LeftOut>& left_out_;
  std::string parts_;
  std::set<std::string> dropped_;  // columns that are not there
};

// One column of PostgreSQL's, in PostgreSQL.
std::string postgres_column(const SortedJson& column, const std::string& table,
                            std::vector<LeftOut>* left_out) {
  const std::string name = column.at("name").get<std::string>();
  std::string part = quote_name(name) + " " + column.at("declared").get<std::string>();
  const std::string generated = text_of(column, "generated");
  const std::string expression = text_of(column, "default");
  if (!generated.empty()) part += " GENERATED ALWAYS AS (" + generated + ") STORED";
  if (flag_of(column, "not_null")) part += " NOT NULL";
  // A sequence is another database's.
  if (expression.find("nextval(") != std::string::npos || flag_of(column, "identity")) {
    left_out->push_back({table, "the sequence of column \"" + name + "\"",
                         "two databases that count would give the same number to different rows"});
  } else if (!expression.empty()) {
    part += " DEFAULT " + expression;
  }
  return part;
}

}  // namespace

std::string default_in_sqlite(std::string_view expression, std::string_view logical_type) {
  std::string text(expression);
  while (text.size() > 2 && text.front() == '(' && text.back() == ')') {
    text = text.substr(1, text.size() - 2);
  }
  const auto is_number = [](const std::string& s) {
    size_t at = s.starts_with('-') ? 1 : 0;
    const bool digits = at < s.size() && std::isdigit(static_cast<unsigned char>(s[at]));
    return digits && s.find_first_not_of("0123456789.", at) == std::string::npos &&
           std::count(s.begin(), s.end(), '.') <= 1;
  };
  if (text == "true" || text == "false") return text == "true" ? "1" : "0";
  if (is_number(text)) return text;
  // 'literal', or 'literal'::type
  std::string value;
  size_t at = 1;
  if (text.empty() || text[0] != '\'') {
    return text == "CURRENT_TIMESTAMP" && logical_type == "timestamp" ? text : std::string();
  }
  for (; at < text.size(); ++at) {
    if (text[at] != '\'') value += text[at];
    else if (at + 1 < text.size() && text[at + 1] == '\'') value += text[at++];
    else break;
  }
  const std::string cast = at < text.size() ? text.substr(at + 1) : "?";
  const bool plain = cast.empty() ||
                     (cast.starts_with("::") &&
                      cast.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                             "0123456789_:.,()[]\" ") == std::string::npos);
  if (!plain) return {};
  const LogicalKind kind = logical_kind(logical_type);
  const bool number = kind == LogicalKind::integer || kind == LogicalKind::floating;
  if (number) return is_number(value) ? value : std::string();
  // A moment, not a value: 'now'::timestamp.
  const bool moment = kind == LogicalKind::date || kind == LogicalKind::time ||
                      kind == LogicalKind::timestamp || kind == LogicalKind::timestamptz;
  if (moment && (value.empty() || !std::isdigit(static_cast<unsigned char>(value[0])))) return {};
  return literal(value);
}

void copy_sqlite_table(const SortedJson& table, const CloneOptions& options,
                       const std::vector<std::string>& names, PlannedTable* out,
                       std::vector<LeftOut>* left_out) {
  describe(table, out);
  out->qualified = quote_name(out->name);
  out->make.push_back(table.at("sql").get<std::string>());
  for (const SortedJson& index : table.at("indexes"))
    out->after.push_back(index.at("sql").get<std::string>());
  for (const SortedJson& parent : table.at("parents")) {
    const std::string name = parent.get<std::string>();
    if (among(names, name)) continue;
    left_out->push_back({out->name, "table \"" + name + "\", to which a foreign key refers",
                         "it is not cloned with it: rows that refer to it are held"});
  }
  for (const SortedJson& trigger : table.at("triggers")) {
    if (options.triggers) {
      out->after.push_back(trigger.at("sql").get<std::string>());
    } else {
      left_out->push_back({out->name, "trigger \"" + trigger.at("name").get<std::string>() + "\"",
                           "the option \"triggers\" takes them along"});
    }
  }
}

void copy_postgres_table(const SortedJson& table, const std::vector<std::string>& names,
                         PlannedTable* out, std::vector<LeftOut>* left_out) {
  describe(table, out);
  out->qualified = quote_name(table.at("schema").get<std::string>()) + "." + quote_name(out->name);
  std::string parts;
  const auto add = [&](const std::string& part) { parts += (parts.empty() ? "" : ",\n  ") + part; };
  for (const SortedJson& column : table.at("columns"))
    add(postgres_column(column, out->name, left_out));
  for (const SortedJson& constraint : table.at("constraints")) {
    const std::string part = "CONSTRAINT " + quote_name(constraint.at("name").get<std::string>()) +
                             " " + constraint.at("sql").get<std::string>();
    if (constraint.at("kind").get<std::string>() != "f") {
      add(part);
    } else if (among(names, text_of(constraint, "parent"))) {
      out->after.push_back("ALTER TABLE " + out->qualified + " ADD " + part);
    } else {
      left_out->push_back({out->name, "foreign key " + part, "its parent is not cloned with it"});
    }
  }
  out->make.push_back("CREATE TABLE " + out->qualified + " (\n  " + parts + "\n)");
  // Unique ones first: foreign keys may refer to them.
  std::vector<std::string> indexes;
  for (const SortedJson& index : table.at("indexes"))
    indexes.push_back(index.at("sql").get<std::string>());
  out->make.insert(out->make.end(), indexes.begin(), indexes.end());
  for (const SortedJson& trigger : table.at("triggers")) {
    left_out->push_back({out->name, "trigger \"" + trigger.at("name").get<std::string>() + "\"",
                         "it calls a function of the peer's database"});
  }
}

void translate_table(const SortedJson& table, const std::vector<std::string>& names,
                     PlannedTable* out, std::vector<LeftOut>* left_out) {
  Translation(table, names, out, left_out).run();
}

void plan_types(const SortedJson& schema, const ClonePlan& plan, std::vector<std::string>* out) {
  std::set<std::string> schemas, chosen;
  std::vector<std::string> declared, types;
  for (const PlannedTable& table : plan.tables) chosen.insert(table.name);
  for (const SortedJson& table : schema.at("tables")) {
    if (chosen.count(table.at("name").get<std::string>()) == 0) continue;
    schemas.insert(table.at("schema").get<std::string>());
    for (const SortedJson& column : table.at("columns"))
      declared.push_back(column.at("declared").get<std::string>());
  }
  for (const SortedJson& type : schema.at("types")) {
    const std::string name = type.at("name").get<std::string>();
    const auto is_it = [&](const std::string& text) { return text.starts_with(name); };
    if (std::none_of(declared.begin(), declared.end(), is_it)) continue;
    schemas.insert(type.at("schema").get<std::string>());
    types.push_back("DO $clone$ BEGIN IF pg_catalog.to_regtype(" + literal(name) +
                    ") IS NULL THEN " + type.at("sql").get<std::string>() +
                    "; END IF; END $clone$");
  }
  schemas.erase("public");
  for (const std::string& name : schemas)
    out->push_back("CREATE SCHEMA IF NOT EXISTS " + quote_name(name));
  out->insert(out->end(), types.begin(), types.end());
}

}  // namespace syncline
