// See random_blueprint.hpp.
#include "support/random_blueprint.hpp"

#include "sqlite_ext/simulate/random.h"

namespace syncline::test {
namespace {

using simulate::Alteration;
using simulate::Blueprint;
using simulate::Random;

struct Made {
  std::string name;
  std::vector<std::string> key, key_types;
  std::vector<std::string> columns, types;  // those without constraints
};

class Maker {
 public:
  Maker(uint64_t seed, Blueprint* out) : random_(seed), out_(*out) {}

  void make() {
    const uint64_t count = 2 + random_.below(3);
    for (uint64_t i = 0; i < count; ++i)
      make_table("t" + std::to_string(i + 1));
    if (random_.percent(25)) make_trigger();
    for (const Made& table : tables_)
      make_policies(table);
    if (random_.percent(40)) make_alterations();
  }

 private:
  void make_key(Made* table, std::string* body) {
    static const std::vector<std::string> kTypes = {
        "INTEGER", "INTEGER", "TEXT", "TEXT", "TEXT COLLATE NOCASE", "BLOB", "REAL", "UUID"};
    const uint64_t columns = random_.percent(25) ? 2 : 1;
    for (uint64_t i = 0; i < columns; ++i) {
      table->key.push_back(columns == 1 ? "id" : "k" + std::to_string(i + 1));
      table->key_types.push_back(random_.pick(kTypes));
      *body += table->key.back() + " " + table->key_types.back();
      *body += columns == 1 ? (table->key_types[0] == "INTEGER" ? " PRIMARY KEY"
                                                                : " NOT NULL PRIMARY KEY")
                            : " NOT NULL";
      *body += ", ";
    }
  }

  void make_column(Made* table, uint64_t number, std::string* body) {
    static const std::vector<std::string> kTypes = {"INTEGER", "INTEGER", "TEXT",    "TEXT", "REAL",
                                                    "NUMERIC", "BLOB",    "BOOLEAN", "JSON", "DATE",
                                                    "TIMESTAMP", ""};
    static const std::vector<std::string> kTextRules = {"CHECK (# <> 'v110')",
                                                        "CHECK (# IN ('a', 'b', 'it''s'))",
                                                        "CHECK (length(#) < 40)"};
    const std::string name = "c" + std::to_string(number);
    const std::string type = random_.pick(kTypes);
    std::string line = name + " " + type, rule;
    const bool text = type == "TEXT", number_type = type == "INTEGER";
    if (random_.percent(15)) {
      rule = number_type ? " NOT NULL DEFAULT 7" : text ? " NOT NULL DEFAULT 'none'" : "";
    } else if (random_.percent(15)) {
      rule = " UNIQUE";
    } else if (random_.percent(15) && (text || number_type)) {
      rule = text ? random_.pick(kTextRules) : std::string("CHECK (# BETWEEN 0 AND 100000)");
      const size_t at = rule.find('#');
      rule = " " + rule.replace(at, 1, name);
    } else {
      table->columns.push_back(name);
      table->types.push_back(type);
    }
    *body += line + rule + ", ";
  }

  // To an earlier table, or itself.
  std::string make_foreign_key(Made* table, std::string* body) {
    static const std::vector<std::string> kActions = {"", "", " ON DELETE RESTRICT",
                                                      " ON DELETE CASCADE", " ON DELETE CASCADE",
                                                      " ON DELETE SET NULL",
                                                      " ON DELETE SET DEFAULT"};
    if (random_.percent(35)) return {};
    const Made& parent = tables_.empty() || random_.percent(15) ? *table : random_.pick(tables_);
    // 'K1' for 'k1' in a row of the same table: docs/limitations.md, rows that wait in a circle.
    const auto loose = [](const std::string& type) { return type == "TEXT COLLATE NOCASE"; };
    if (&parent == table && std::any_of(table->key_types.begin(), table->key_types.end(), loose))
      return {};
    std::string from, to;
    for (size_t i = 0; i < parent.key.size(); ++i) {
      const std::string name = "r" + std::to_string(i + 1);
      *body += name + " " + parent.key_types[i] + ", ";
      from += (i > 0 ? ", " : "") + name;
      to += (i > 0 ? ", " : "") + parent.key[i];
    }
    return ", FOREIGN KEY(" + from + ") REFERENCES " + parent.name + "(" + to + ")" +
           random_.pick(kActions) + (random_.percent(40) ? " ON UPDATE CASCADE" : "") +
           (random_.percent(20) ? " DEFERRABLE INITIALLY DEFERRED" : "");
  }

  void make_table(const std::string& name) {
    static const std::vector<std::string> kRules = {"", "", "update_wins", "delete_wins",
                                                    "last_writer"};
    Made table;
    table.name = name;
    std::string body;
    make_key(&table, &body);
    const uint64_t columns = 1 + random_.below(4);
    for (uint64_t i = 0; i < columns; ++i)
      make_column(&table, i + 1, &body);
    const std::string foreign = make_foreign_key(&table, &body);
    body.resize(body.size() - 2);
    if (random_.percent(10)) body += ", twice GENERATED ALWAYS AS (c1 || c1)";
    if (table.key.size() > 1) body += ", PRIMARY KEY(" + table.key[0] + ", " + table.key[1] + ")";
    const bool rowid = table.key.size() == 1 || random_.percent(40);
    out_.schema.push_back("CREATE TABLE " + name + "(" + body + foreign + ")" +
                          (rowid || table.key_types[0] == "INTEGER" ? "" : " WITHOUT ROWID"));
    if (random_.percent(20) && table.columns.size() >= 2) {
      out_.schema.push_back("CREATE UNIQUE INDEX " + name + "_u ON " + name + "(" +
                            table.columns[0] + ", " + table.columns[1] + ")");
    } else if (random_.percent(15) && !table.columns.empty()) {
      out_.schema.push_back("CREATE UNIQUE INDEX " + name + "_p ON " + name + "(" +
                            table.columns[0] + ") WHERE c1 IS NOT NULL");
    }
    const std::string rule = random_.pick(kRules);
    out_.tables.push_back({name, rule.empty() ? "" : "{\"on_delete\": \"" + rule + "\"}"});
    tables_.push_back(table);
  }

  void make_trigger() {
    const Made& on = random_.pick(tables_);
    out_.schema.push_back("CREATE TABLE heard(id INTEGER PRIMARY KEY, what TEXT, n INTEGER)");
    out_.tables.push_back({"heard", ""});
    out_.others.push_back(
        "CREATE TRIGGER hear_insert AFTER INSERT ON " + on.name +
        " BEGIN INSERT INTO heard VALUES(1 + abs(random()) % 5, NEW." + on.key[0] +
        ", 1) ON CONFLICT(id) DO UPDATE SET n = n + 1; END");
    out_.others.push_back("CREATE TRIGGER hear_delete AFTER DELETE ON " + on.name +
                          " BEGIN DELETE FROM heard WHERE what = OLD." + on.key[0] + "; END");
  }

  void make_policies(const Made& table) {
    static const std::vector<std::string> kAny = {"first_writer", "max", "min", "manual",
                                                  "site_priority", "last_writer"};
    for (size_t c = 0; c < table.columns.size(); ++c) {
      if (random_.percent(45)) continue;
      const std::string& type = table.types[c];
      std::string policy = random_.pick(kAny);
      if ((type == "INTEGER" || type == "REAL") && random_.percent(60)) {
        policy = random_.percent(75) ? "counter" : "sql:max(a, b)";
      }
      static const std::vector<std::string> kTexts = {"union", "json", "text", "concat",
                                                      "sql:a || b"};
      static const std::vector<std::string> kJsons = {"union", "json", "json", "sql:a || b"};
      if (type == "TEXT" && random_.percent(60)) policy = random_.pick(kTexts);
      if (type == "JSON" && random_.percent(60)) policy = random_.pick(kJsons);
      const std::string options =
          policy == "site_priority"
              ? ", '{\"order\": [\"000102030405060708090a0b0c0d0e0f\"]}'" : "";
      out_.policies.push_back("SELECT sync_set_policy('" + table.name + "', '" + table.columns[c] +
                              "', '" + policy + "'" + options + ")");
    }
    if (random_.percent(10)) {
      out_.policies.push_back("SELECT sync_set_policy('" + table.name +
                              "', NULL, '', '{\"grain\": \"row\"}')");
    }
  }

  void make_alterations() {
    const Made& table = random_.pick(tables_);
    const std::string type = random_.percent(50) ? "x TEXT" : "x INTEGER NOT NULL DEFAULT 3";
    out_.alterations.push_back(
        {table.name, "ALTER TABLE " + table.name + " ADD COLUMN " + type, "x", "", false});
    const std::string plain = table.columns.empty() ? "" : table.columns.back();
    if (plain.empty() || !out_.others.empty()) return;
    if (random_.percent(40)) {
      out_.alterations.push_back({table.name,
                                  "ALTER TABLE " + table.name + " RENAME COLUMN x TO y", "y", "x",
                                  true});
    } else if (table.columns.size() > 2) {  // in no index
      out_.alterations.push_back({table.name,
                                  "SELECT sync_alter('" + table.name + "', 'ALTER TABLE " +
                                      table.name + " DROP COLUMN " + plain + "')",
                                  "", plain, false});
    }
  }

  Random random_;
  Blueprint& out_;
  std::vector<Made> tables_;
};

}  // namespace

simulate::Blueprint random_blueprint(uint64_t seed) {
  Blueprint out;
  Maker(seed, &out).make();
  return out;
}

}  // namespace syncline::test
