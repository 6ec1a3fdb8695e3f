// Random tables, rows and writes. Keys and values are few, so that sites collide.
#pragma once

#include <string>
#include <vector>

#include "support/memory_port.hpp"

namespace syncline::test {

// A site id that is easy to recognise in messages.
inline SiteId site_id(uint64_t number) {
  SiteId id;
  // A hash of sorts: the order of ids is not the order in which sites are made.
  uint64_t mixed = Prng(number).next();
  for (size_t i = 0; i < 8; ++i)
    id.bytes[i] = static_cast<uint8_t>(mixed >> (8 * i));
  for (size_t i = 0; i < 8; ++i)
    id.bytes[8 + i] = static_cast<uint8_t>(number >> (8 * (7 - i)));
  return id;
}

// owner <- entry <- line by foreign keys, and badge refers to itself and to owner. Two have a
// unique column, one a CHECK over two columns that merging can break, and keys are of one and two
// columns.
inline std::vector<TableRules> simulation_tables(OnDelete on_delete) {
  TableRules owner{{"owner", {{"id", "integer"}, {"name", "text"}, {"code", "integer"}}, {0}},
                   {{"code"}},
                   {},
                   {},
                   0,
                   on_delete};
  TableRules entry{{"entry",
                    {{"a", "integer"},
                     {"x", "integer"},
                     {"b", "text"},
                     {"owner_id", "integer"},
                     {"y", "integer"},
                     {"note", "text"}},
                    {0, 2}},
                   {},
                   {{{"owner_id"}, "owner", ForeignAction::cascade}},
                   {"x", "y"},
                   12,
                   on_delete};
  TableRules line{
      {"line", {{"id", "integer"}, {"a", "integer"}, {"b", "text"}, {"place", "integer"}}, {0}},
      {{"place"}},
      {{{"a", "b"}, "entry", ForeignAction::restrict}},
      {},
      0,
      on_delete};
  // Parked it comes first by name, present it comes after its parent.
  TableRules badge{
      {"badge",
       {{"k", "text"}, {"v", "any"}, {"w", "any"}, {"up", "text"}, {"owner_id", "integer"}},
       {0}},
      {},
      {{{"up"}, "badge", ForeignAction::restrict},
       {{"owner_id"}, "owner", ForeignAction::set_null}},
      {},
      0,
      on_delete};
  return {owner, entry, line, badge};
}

// Columns and tables that a site may lack for a while.
inline TableRules without_column(TableRules rules, const std::string& column) {
  std::erase_if(rules.schema.columns, [&](const ColumnSchema& c) { return c.name == column; });
  return rules;  // none of them stands before a key column
}

class WriteGenerator {
 public:
  explicit WriteGenerator(Prng* prng) : prng_(*prng) {}

  // One statement of an application at `port`: an insert, an update of one or two columns, a
  // delete, a replacement or a change of key. False: there was nothing to do, or it was refused.
  bool write(MemoryPort* port) {
    std::vector<const MemoryTable*> present;
    for (const auto& [number, table] : port->data().tables) {
      if (table.info.present) present.push_back(&table);
    }
    const MemoryTable& table = *prng_.pick(present);
    const std::string name = table.info.name;
    const OwnedRow row = random_row(table);
    std::vector<Value> key;
    for (const ColumnNumber c : table.info.key)
      key.push_back(row[c].view());
    const auto base = table.base.find(encode_key(key));
    if (base == table.base.end()) return port->insert(name, visible(table, row));
    const uint64_t roll = prng_.below(100);
    if (roll < 60) return update(port, table, key, row);
    const BaseRow old = base->second;
    if (!port->erase(name, key)) return false;
    if (roll < 78) return true;
    if (roll < 90) return port->insert(name, visible(table, row));
    OwnedRow moved = old.values;  // another key, the same values
    const OwnedRow other = random_row(table);
    for (const ColumnNumber c : table.info.key)
      moved[c] = other[c];
    return port->insert(name, visible(table, moved));
  }

  // By column number; absent where the table lacks the column.
  OwnedRow random_row(const MemoryTable& table) {
    OwnedRow row;
    for (const ColumnInfo& column : table.info.columns) {
      row.push_back(column.present ? random_value(column.name) : OwnedValue());
    }
    return row;
  }

  OwnedValue random_value(const std::string& column) {
    static const std::vector<std::string> kTexts = {"", "p", "q", "a longer text, of two words"};
    const auto integer = [&](uint64_t bound) {
      return Value::integer(static_cast<int64_t>(prng_.below(bound)));
    };
    if (column == "id") return integer(5);
    if (column == "a") return integer(2);
    if (column == "b") return Value::text(prng_.chance(.5) ? "l" : std::string_view("r\0s", 3));
    if (column == "up" && prng_.chance(.6)) return Value::null();
    if (column == "k" || column == "up") return Value::text(kTexts[prng_.below(3)]);
    if (column == "owner_id") return prng_.chance(.2) ? Value::null() : integer(5);
    if (column == "code" || column == "place") return prng_.chance(.2) ? Value::null() : integer(4);
    if (column == "x" || column == "y") return integer(9);
    static const std::vector<std::string> kDocuments = {
        R"(["p"])", R"(["p","q"])",         R"(["q",1])",     R"({"p":1})",
        R"({})",    R"({"p":2,"q":["p"]})", "one two three\n", "one two\nthree four\n"};
    if (prng_.chance(.3)) return Value::text(prng_.pick(kDocuments));
    switch (prng_.below(5)) {
      case 0:
        return Value::null();
      case 1:
        return integer(100);
      case 2:
        return Value::real(static_cast<double>(prng_.below(8)) / 4);
      case 3:
        return Value::blob(std::string_view("\0\1", 2));
      default:
        return Value::text(prng_.pick(kTexts));
    }
  }

 private:
  static std::vector<Value> visible(const MemoryTable& table, const OwnedRow& row) {
    std::vector<Value> out;
    for (ColumnNumber c = 0; c < table.info.column_count(); ++c) {
      if (table.info.columns[c].present) out.push_back(row[c].view());
    }
    return out;
  }

  bool update(MemoryPort* port, const MemoryTable& table, RowKey key, const OwnedRow& row) {
    std::vector<ColumnNumber> columns;
    for (ColumnNumber c = 0; c < table.info.column_count(); ++c) {
      if (table.info.columns[c].present && !table.info.is_key(c)) columns.push_back(c);
    }
    if (columns.empty()) return false;
    std::vector<std::pair<std::string, Value>> values;
    for (uint64_t i = 0; i < 1 + prng_.below(2); ++i) {
      const ColumnNumber c = prng_.pick(columns);
      values.push_back({table.info.columns[c].name, row[c].view()});
    }
    return port->update(table.info.name, key, values);
  }

  Prng& prng_;
};

}  // namespace syncline::test
