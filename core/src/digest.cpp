// Digests of rows. See digest.h.
//
//   row    := head key-value* value*        each by append_value, in the order of the plan
//   head   := for each column beside the key: bytes name (lower case)
//   long   := a text or blob beyond kLongBytes: kind byte | 0x80, then XXH3-128 of its bytes
#include "syncline/digest.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>

#include "syncline/codec.h"
#include "syncline/limits.h"

namespace syncline {
namespace {

constexpr size_t kLongBytes = 1024;  // longer values are hashed where they lie
constexpr uint8_t kSumsFormat = 1;

std::string lower_case(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool by_name(const ColumnSchema& a, const ColumnSchema& b) {
  const std::string x = lower_case(a.name), y = lower_case(b.name);
  return x != y ? x < y : a.name < b.name;
}

// The type under which values of two columns are compared: that of the two which says more.
std::string common_type(const std::string& a, const std::string& b) {
  constexpr LogicalKind kOrder[] = {
      LogicalKind::any,       LogicalKind::text,        LogicalKind::bytes,   LogicalKind::boolean,
      LogicalKind::integer,   LogicalKind::floating,    LogicalKind::numeric, LogicalKind::other,
      LogicalKind::json,      LogicalKind::interval,    LogicalKind::date,    LogicalKind::time,
      LogicalKind::timestamp, LogicalKind::timestamptz, LogicalKind::uuid};
  const auto rank = [&](const std::string& type) {
    return std::find(std::begin(kOrder), std::end(kOrder), logical_kind(type)) - kOrder;
  };
  return rank(a) >= rank(b) ? a : b;
}

std::string_view strip_zeros(std::string_view decimal) {
  if (decimal.find('.') == std::string_view::npos) return decimal;
  decimal = decimal.substr(0, decimal.find_last_not_of('0') + 1);
  if (decimal.ends_with('.')) decimal.remove_suffix(1);
  return decimal;
}

bool is_decimal(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos;
}

const ColumnInfo* find_present(const TableInfo& table, const std::string& name,
                               ColumnNumber* number) {
  const int64_t at = find_column(table.columns, name);
  if (at < 0) return nullptr;
  *number = static_cast<ColumnNumber>(at);
  const ColumnInfo& column = table.columns[*number];
  return column.present ? &column : nullptr;
}

Status lacks(const TableInfo& table, const std::string& column) {
  return {StatusCode::schema_mismatch,
          "table " + table.name + " has no column \"" + column + "\" of that place",
          "the schema changed meanwhile: try again"};
}

}  // namespace

std::string to_hex(const Digest& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const uint64_t half : {digest.high, digest.low}) {
    for (int shift = 60; shift >= 0; shift -= 4)
      out += kDigits[half >> shift & 15];
  }
  return out;
}

bool DigestPlan::operator==(const DigestPlan& other) const {
  std::string a, b;
  append_plan(&a, *this);
  append_plan(&b, other);
  return a == b;
}

DigestPlan plan_of(const TableSchema& table) {
  DigestPlan plan;
  plan.table = table.name;
  std::vector<bool> is_key(table.columns.size());
  for (const uint32_t position : table.key) {
    plan.key.push_back(table.columns[position]);
    is_key[position] = true;
  }
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (!is_key[i]) plan.columns.push_back(table.columns[i]);
  }
  std::sort(plan.columns.begin(), plan.columns.end(), by_name);
  return plan;
}

Status common_plan(const TableSchema& ours, const TableSchema& theirs, DigestPlan* out,
                   std::vector<std::string>* left_out) {
  const auto infos = [](const std::vector<ColumnSchema>& columns) {
    std::vector<ColumnInfo> result(columns.size());
    for (size_t i = 0; i < columns.size(); ++i)
      result[i].name = columns[i].name;
    return result;
  };
  DigestPlan mine = plan_of(ours);
  const DigestPlan other = plan_of(theirs);
  bool same_key = mine.key.size() == other.key.size();
  for (size_t i = 0; same_key && i < mine.key.size(); ++i) {
    same_key = lower_case(mine.key[i].name) == lower_case(other.key[i].name);
  }
  if (!same_key) {
    return {StatusCode::schema_mismatch,
            "table " + ours.name + " has another primary key at the peer",
            "give both the same primary key, column by column"};
  }
  for (size_t i = 0; i < mine.key.size(); ++i) {
    mine.key[i].type = common_type(mine.key[i].type, other.key[i].type);
  }
  const std::vector<ColumnInfo> here = infos(mine.columns), there = infos(other.columns);
  *out = mine;
  out->columns.clear();
  for (const ColumnSchema& column : mine.columns) {
    const int64_t at = find_column(there, column.name);
    if (at < 0) {
      left_out->push_back(column.name);
      continue;
    }
    const std::string& type = other.columns[static_cast<size_t>(at)].type;
    out->columns.push_back({column.name, common_type(column.type, type)});
  }
  for (const ColumnSchema& column : other.columns) {
    if (find_column(here, column.name) < 0) left_out->push_back(column.name);
  }
  return {};
}

void append_plan(std::string* out, const DigestPlan& plan) {
  append_bytes(out, plan.table);
  for (const std::vector<ColumnSchema>* columns : {&plan.key, &plan.columns}) {
    append_varint(out, columns->size());
    for (const ColumnSchema& column : *columns) {
      append_bytes(out, column.name);
      append_bytes(out, column.type);
    }
  }
}

Status read_plan(ByteReader* in, DigestPlan* out) {
  const Status damaged(StatusCode::corrupt_input, "the list of columns to compare is damaged");
  std::string_view text;
  if (!in->bytes(limits::name_bytes_max, &text)) return damaged;
  out->table = text;
  for (std::vector<ColumnSchema>* columns : {&out->key, &out->columns}) {
    const bool keys = columns == &out->key;
    uint64_t count = 0;
    if (!in->varint(&count)) return damaged;
    if (count > (keys ? limits::key_columns_max : limits::columns_max)) return damaged;
    if (keys && count == 0) return damaged;
    columns->clear();
    for (uint64_t i = 0; i < count; ++i) {
      std::string_view name, type;
      if (!in->bytes(limits::name_bytes_max, &name)) return damaged;
      if (!in->bytes(limits::name_bytes_max, &type)) return damaged;
      columns->push_back({std::string(name), std::string(type)});
    }
  }
  return {};
}

Status RowDigester::make(const DigestPlan& plan, const TableInfo& table, RowDigester* out) {
  *out = RowDigester();
  if (plan.key.size() != table.key.size()) return lacks(table, plan.key[0].name);
  ColumnNumber number = 0;
  for (size_t i = 0; i < plan.key.size(); ++i) {
    const ColumnInfo* column = find_present(table, plan.key[i].name, &number);
    if (column == nullptr || number != table.key[i]) return lacks(table, plan.key[i].name);
    out->key_kinds_.push_back(logical_kind(plan.key[i].type));
  }
  for (const ColumnSchema& wanted : plan.columns) {
    const ColumnInfo* column = find_present(table, wanted.name, &number);
    if (column == nullptr || table.is_key(number)) return lacks(table, wanted.name);
    out->columns_.push_back(number);
    out->kinds_.push_back(logical_kind(wanted.type));
    append_bytes(&out->head_, lower_case(wanted.name));
  }
  return {};
}

void RowDigester::append(LogicalKind kind, const Value& value) {
  const Value meaning = meaning_of(kind, value, &arena_);
  if (!meaning.is_bytes() || meaning.bytes().size() <= kLongBytes) {
    append_value(&buffer_, meaning);
    return;
  }
  buffer_ += static_cast<char>(static_cast<uint8_t>(meaning.kind()) | 0x80);
  buffer_ += hash128(meaning.bytes());
}

void RowDigester::begin(RowKey key) {
  arena_.clear();
  buffer_ = head_;
  key_begin_ = buffer_.size();
  for (size_t i = 0; i < key.size(); ++i)
    append(key_kinds_[i], key[i]);
}

uint64_t RowDigester::key_hash(RowKey key) {
  begin(key);
  return XXH3_64bits(buffer_.data() + key_begin_, buffer_.size() - key_begin_);
}

Digest RowDigester::row_digest(RowKey key, std::span<const Value> values) {
  begin(key);
  for (size_t i = 0; i < columns_.size(); ++i) {
    // A value that is not known counts as NULL: that is what a column without it would show.
    const Value& value = values[columns_[i]];
    append(kinds_[i], value.is(ValueKind::absent) ? Value::null() : value);
  }
  const XXH128_hash_t hash = XXH3_128bits(buffer_.data(), buffer_.size());
  return {hash.low64, hash.high64};
}

Value meaning_of(LogicalKind kind, const Value& value, Arena* arena) {
  const Value plain = canonical_value(kind, value, arena);
  if (plain.is(ValueKind::real)) return plain.as_real() == 0 ? Value::real(0.0) : plain;
  if (!plain.is(ValueKind::text)) return plain;
  if (kind == LogicalKind::numeric && is_decimal(plain.bytes())) {
    return Value::text(strip_zeros(plain.bytes()));
  }
  std::string json;
  if (kind == LogicalKind::json && canonical_json_text(plain.bytes(), &json)) {
    return Value::text(arena->copy(json));
  }
  return plain;
}

RowSum BucketSums::total(uint64_t prefix, unsigned bits) const {
  RowSum out;
  const unsigned finer = bits_ - bits;
  for (uint64_t i = prefix << finer; i < (prefix + 1) << finer; ++i)
    out.add(sums_[i]);
  return out;
}

void BucketSums::coarsen() {
  const uint64_t count = total().count;
  unsigned bits = bits_;
  while (bits > 0 && count < (kRowsPerBucket << bits))
    --bits;
  if (bits == bits_) return;
  BucketSums merged(bits);
  for (uint64_t i = 0; i < merged.sums_.size(); ++i)
    merged.sums_[i] = total(i, bits);
  *this = std::move(merged);
}

std::string BucketSums::pack() const {
  std::string out;
  out += static_cast<char>(kSumsFormat);
  out += static_cast<char>(bits_);
  uint64_t empty = 0;
  for (const RowSum& sum : sums_) {
    if (sum == RowSum()) {
      ++empty;
      continue;
    }
    append_varint(&out, empty);
    append_varint(&out, sum.count);
    append_fixed64(&out, sum.sum.low);
    append_fixed64(&out, sum.sum.high);
    empty = 0;
  }
  return out;
}

Status BucketSums::unpack(std::string_view bytes, BucketSums* out) {
  const Status damaged(StatusCode::corrupt_input, "stored digests are damaged");
  ByteReader in(bytes);
  uint8_t format = 0, bits = 0;
  if (!in.byte(&format) || !in.byte(&bits) || bits > kBitsMax) return damaged;
  if (format != kSumsFormat) {
    return {StatusCode::unsupported_version, "stored digests have an unknown format"};
  }
  *out = BucketSums(bits);
  uint64_t at = 0;
  while (!in.at_end()) {
    uint64_t empty = 0;
    RowSum sum;
    if (!in.varint(&empty) || empty >= out->sums_.size() - at) return damaged;
    if (!in.varint(&sum.count) || !in.fixed64(&sum.sum.low)) return damaged;
    if (!in.fixed64(&sum.sum.high)) return damaged;
    at += empty;
    out->sums_[at++] = sum;
    if (at == out->sums_.size() && !in.at_end()) return damaged;
  }
  return {};
}

}  // namespace syncline
