// See chunk_maker.hpp.
#include "fuzz/chunk_maker.hpp"

#include <algorithm>
#include <map>

#include "fuzz/feed.hpp"
#include "syncline/chunk.h"
#include "syncline/codec.h"

namespace syncline::fuzz {

namespace {

constexpr size_t kHashBytes = 16;
constexpr char kHead[] = {'S', 'Y', 'N', 'C'};

}  // namespace

std::string seal_body(std::string_view input) {
  std::string bytes(kHead, sizeof kHead);
  bytes.push_back(input.empty() ? '\3' : static_cast<char>(1 + input[0] % 3));  // the format
  bytes.push_back('\0');
  const std::string_view body = input.substr(std::min<size_t>(1, input.size()));
  append_varint(&bytes, body.size());
  bytes += body;
  return bytes + hash128(bytes);
}

std::string body_of(std::string_view chunk) {
  if (chunk.size() < sizeof kHead + 2 + kHashBytes || chunk[5] != 0) return {};
  const char format = static_cast<char>(chunk[4] - 1);
  ByteReader reader(chunk.substr(6, chunk.size() - 6 - kHashBytes));
  uint64_t size = 0;
  std::string_view body;
  if (!reader.varint(&size) || !reader.view(size, &body)) return {};
  return format + std::string(body);
}

namespace {

class Maker {
 public:
  explicit Maker(std::string_view recipe) : feed_(recipe) {
    for (uint8_t i = 1; i < 5; ++i)
      site(i);
  }

  std::string make() {
    ChunkWriter writer(&sites_);
    ChunkHeader header;
    header.sender = sites_.id(static_cast<SiteIndex>(feed_.below(sites_.size())));
    header.exchange = "exchange";
    header.number = feed_.number();
    if (feed_.byte() < 200) header.number = 0;
    header.last = feed_.byte() < 200;
    if (feed_.byte() < 40) header.since = vector();
    header.start = vector();
    header.start.merge(header.since);
    header.knowledge = vector();
    header.knowledge.merge(header.start);
    if (feed_.byte() < 60) header.predecessor = std::string(kHashBytes, 'p');
    header.token = feed_.bytes(40);
    settings(&header);
    melting(&header);
    contexts_ = {vector(), vector()};
    static constexpr std::string_view kNames[] = {
        "item", "part", "noted", "ITEM", "elsewhere", "sync_log", "a\"b';--", "sqlite_schema"};
    for (uint64_t i = 0, tables = feed_.below(4); i < tables; ++i) {
      std::string name(kNames[feed_.below(std::size(kNames))]);
      if (used_[name]++ > 0) continue;
      table(&writer, name);
    }
    Result<std::string> bytes = writer.finish(header, static_cast<Compression>(feed_.below(3)));
    return bytes.ok() ? std::move(bytes.value()) : std::string();
  }

 private:
  SiteIndex site(uint8_t number) {
    SiteId id;
    id.bytes.fill(number);
    return sites_.intern(id);
  }
  SiteIndex some_site() {
    return feed_.byte() < 230 ? static_cast<SiteIndex>(feed_.below(4)) : site(feed_.byte());
  }

  VersionVector vector() {
    VersionVector out;
    for (uint64_t i = 0, count = feed_.below(4); i < count; ++i) {
      out.set(some_site(),
              {feed_.byte() < 220 ? feed_.number() % 30 : feed_.number(), feed_.number()});
    }
    return out;
  }

  void settings(ChunkHeader* header) {
    static constexpr std::string_view kValues[] = {"",
                                                   "{}",
                                                   "{\"policy\":\"counter\"}",
                                                   "{\"policy\":\"sql:max(a,b)\"}",
                                                   "{\"policy\":\"text\",\"severity\":\"high\"}",
                                                   "[[[[1]]]]",
                                                   "{\"policy\":\"no such\"}",
                                                   "{\"name\":\"a\",\"joined_ms\":7}"};
    static constexpr std::string_view kKeys[] = {"policy/item", "policy/item/name",
                                                 "policy/noted/count", "policy", "x/y/z",
                                                 "site/01010101010101010101010101010101",
                                                 "retired/03030303030303030303030303030303",
                                                 "site/zz", "retired/"};
    if (feed_.byte() < 200) return;
    std::map<std::string, Setting> by_key;
    for (uint64_t i = 0, count = feed_.below(4); i < count; ++i) {
      Setting setting;
      setting.key = kKeys[feed_.below(std::size(kKeys))];
      setting.value = feed_.chance() ? kValues[feed_.below(std::size(kValues))] : feed_.bytes(30);
      setting.hlc = feed_.number();
      setting.site = sites_.id(some_site());
      by_key[setting.key] = setting;
    }
    for (const auto& [key, setting] : by_key)
      header->settings.push_back(setting);
  }

  // Mostly what a reader and an apply let pass, so that it gets to the rows.
  void melting(ChunkHeader* header) {
    if (feed_.byte() < 130) return;
    header->melted = vector();
    if (feed_.byte() < 220) header->knowledge.merge(header->melted);
    header->full = feed_.byte() < 200;
    if (!header->full && feed_.byte() < 200) header->since.merge(header->melted);
    for (const char* name : {"item", "part", "noted"}) {
      if (!header->full || feed_.byte() < 60) continue;
      KeyRange range{name, "", "", feed_.byte() < 150, {"integer"}};
      if (feed_.byte() < 100) range.after = encode_key(std::vector{Value::integer(2)});
      if (!range.to_end) range.upto = encode_key(std::vector{Value::integer(feed_.byte() % 9)});
      if (std::string_view(name) == "part") range.key_types.push_back("text");
      if (feed_.byte() < 10) range.key_types[0] = "text";
      header->ranges.push_back(range);
    }
    if (feed_.chance()) header->acknowledgements.emplace_back(some_site(), vector());
  }

  void table(ChunkWriter* writer, const std::string& name) {
    schema_ = TableSchema();
    schema_.name = name;
    if (name == "part") {
      schema_.columns = {{"item_id", "integer"}, {"line", "text"}, {"price", "numeric"}};
      schema_.key = {0, 1};
    } else if (name == "noted") {
      schema_.columns = {{"id", "integer"},
                         {"count", "integer"},
                         {"tags", "json"},
                         {"doc", "json"},
                         {"body", "text"}};
      schema_.key = {0};
    } else {
      schema_.columns = {
          {"id", "integer"}, {"name", "text"}, {"code", "integer"}, {"data", "bytes"}};
      schema_.key = {0};
    }
    if (feed_.byte() < 50) schema_.columns.push_back({"extra", std::string(feed_.bytes(9))});
    if (feed_.byte() < 10) schema_.columns[feed_.below(schema_.columns.size())].type = "uuid";
    if (feed_.byte() < 10) schema_.key.assign(1, static_cast<uint32_t>(feed_.below(2)));
    writer->begin_table(schema_);
    rows(writer);
  }

  void rows(ChunkWriter* writer) {
    std::vector<std::vector<Value>> keys(feed_.below(6));
    for (std::vector<Value>& key : keys) {
      for (size_t i = 0; i < schema_.key.size(); ++i) {
        Value value = Value::integer(static_cast<int64_t>(feed_.byte() % 8));
        if (schema_.columns[schema_.key[i]].type == "text") value = Value::text(feed_.bytes(2));
        if (feed_.byte() < 12) value = feed_.value();
        if (value.is(ValueKind::null)) value = Value::integer(0);
        key.push_back(value);
      }
    }
    const auto less = [](const auto& a, const auto& b) { return compare_keys(a, b) < 0; };
    const auto same = [](const auto& a, const auto& b) { return compare_keys(a, b) == 0; };
    std::sort(keys.begin(), keys.end(), less);
    keys.erase(std::unique(keys.begin(), keys.end(), same), keys.end());
    for (const std::vector<Value>& key : keys) {
      ChunkRow row;
      row.key = key;
      change(&row.change);
      if (feed_.byte() < 60) row.context = &contexts_[feed_.below(2)];
      writer->add_row(row);
    }
  }

  Version version() {
    Version out;
    out.site = some_site();
    out.seq = feed_.byte() < 230 ? 1 + feed_.below(30) : feed_.number();
    out.hlc = feed_.byte() < 230 ? feed_.below(1000) << 16 : feed_.number();
    out.dead = feed_.byte() < 60;
    if (feed_.byte() < 25) out = {0, 0, site(0), false};  // melted
    return out;
  }
  std::vector<Version> versions(uint64_t count_max) {
    std::vector<Version> out(feed_.below(count_max + 1));
    for (Version& v : out)
      v = version();
    std::sort(out.begin(), out.end(), [&](const Version& a, const Version& b) {
      return compare_versions(a, b, sites_) < 0;
    });
    return out;
  }
  Value cell_value() { return feed_.byte() < 30 ? Value() : feed_.value(); }

  void change(RowChange* out) {
    RowState& state = out->state;
    state.column_count = static_cast<ColumnNumber>(schema_.columns.size());
    out->whole = feed_.byte() < 180;
    if (out->whole) state.rest = versions(3);
    for (size_t i = 0; i < state.rest.size() * schema_.columns.size(); ++i) {
      state.rest_values.push_back(cell_value());
    }
    for (ColumnNumber column = 0; column < schema_.columns.size(); ++column) {
      if (std::count(schema_.key.begin(), schema_.key.end(), column) != 0) continue;
      if (feed_.byte() < 150) continue;
      for (const Version& v : versions(3)) {
        state.cells.push_back({column, v, cell_value()});
        if (feed_.byte() < 90) state.set_note(column, v, feed_.bytes(60));
      }
    }
    for (const Version& v : state.rest) {
      if (feed_.byte() < 30) state.set_note(kRowNote, v, feed_.bytes(60));
    }
  }

  Feed feed_;
  SiteTable sites_;
  TableSchema schema_;
  std::map<std::string, int> used_;
  std::vector<VersionVector> contexts_;
};

}  // namespace

std::string chunk_from(std::string_view recipe) {
  return Maker(recipe).make();
}

}  // namespace syncline::fuzz
