// Two or three databases in memory with an item table (unique code, a CHECK) and parts that refer
// to it, and the calls that move chunks between them.
#pragma once

#include "support/catch.hpp"
#include "support/generators.hpp"
#include "support/memory_endpoint.hpp"

namespace syncline::test {

inline TableRules item_rules() {
  return {
      {"item", {{"id", "integer"}, {"name", "text"}, {"code", "integer"}, {"n", "integer"}}, {0}},
      {{"code"}},
      {},
      {"n"},
      100,
      OnDelete::update_wins};
}
inline TableRules part_rules() {
  return {{"part", {{"item_id", "integer"}, {"line", "text"}, {"label", "text"}}, {0, 1}},
          {},
          {{{"item_id"}, "item", ForeignAction::cascade}},
          {},
          0,
          OnDelete::update_wins};
}

inline Value integer(int64_t v) {
  return Value::integer(v);
}
inline Value text(std::string_view v) {
  return Value::text(v);
}

class Database {
 public:
  explicit Database(uint64_t number, bool tables = true)
      : port(site_id(number), "db" + std::to_string(number), number) {
    if (!tables) return;
    port.enable(item_rules());
    port.enable(part_rules());
  }

  bool add_item(int64_t id, std::string_view name, int64_t code) {
    return port.insert("item",
                       std::vector<Value>{integer(id), text(name), integer(code), integer(0)});
  }
  bool set(int64_t id, const std::string& column, const Value& value) {
    return port.update("item", std::vector<Value>{integer(id)}, {{column, value}});
  }
  bool erase_item(int64_t id) { return port.erase("item", std::vector<Value>{integer(id)}); }
  bool add_part(int64_t item, std::string_view line) {
    return port.insert("part", std::vector<Value>{integer(item), text(line), text("label")});
  }

  // The value in the base table; absent if there is no such row.
  OwnedValue shown(int64_t id, const std::string& column) const {
    const MemoryTable* table = port.table("item");
    const auto row = table->base.find(encode_key(std::vector<Value>{integer(id)}));
    if (row == table->base.end()) return {};
    return row->second.values[static_cast<size_t>(find_column(table->info.columns, column))];
  }
  bool has_item(int64_t id) const { return shown(id, "id").kind() != ValueKind::absent; }
  bool has_part(int64_t item, std::string_view line) const {
    const std::string key = encode_key(std::vector<Value>{integer(item), text(line)});
    return port.table("part")->base.count(key) > 0;
  }
  // Kinds of the open conflicts, sorted.
  std::vector<std::string> conflicts() const {
    std::vector<std::string> out;
    for (const auto& [id, open] : port.data().conflicts) {
      out.emplace_back(conflict_kind_name(open.conflict.kind));
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  std::string vector() const { return vector_to_json(port.knowledge(), port.data().sites); }

  // One chunk for a holder of `vector`.
  ExportedChunk export_for(const std::string& vector, const std::string& resume = {},
                           uint64_t body_bytes_max = 1 << 20) {
    ExportedChunk chunk;
    ExportOptions options;
    options.body_bytes_max = body_bytes_max;
    const Status status =
        port.reading([&] { return export_chunk(&port, vector, options, resume, &chunk); });
    INFO(status.message());
    REQUIRE(status.ok());
    return chunk;
  }
  Status apply(const std::string& chunk, ApplyReport* report = nullptr) {
    ApplyReport ignored;
    ApplyReport* out = report != nullptr ? report : &ignored;
    return port.transaction([&] { return apply_chunk(&port, chunk, ApplyOptions(), out); });
  }
  // Takes over everything that `other` has.
  ApplyReport pull(Database* other, uint64_t body_bytes_max = 1 << 20) {
    ApplyReport report;
    std::string resume;
    for (;;) {
      port.fold();
      const ExportedChunk chunk = other->export_for(vector(), resume, body_bytes_max);
      const Status status = apply(chunk.bytes, &report);
      INFO(status.message());
      REQUIRE(status.ok());
      if (chunk.last) return report;
      resume = report.resume;
    }
  }
  void swap_with(Database* other) {
    pull(other);
    other->pull(this);
  }

  MemoryPort port;
};

}  // namespace syncline::test
