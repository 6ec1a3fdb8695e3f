// Digests: 128-bit sums by which two databases find out that they hold the same rows.
//
// A row's digest is XXH3-128 of its key and its values, each in the one spelling that all values of
// the same meaning share, so it is the same on every engine. A set of rows is summed up as their
// number and the sum of their digests modulo 2^128: it does not depend on an order, and a row that
// is there twice does not cancel out. Rows fall into buckets by the top bits of a hash of the key.
// docs/verification.md has the exact bytes.
//
// The sums guard against accidents, not against somebody who makes rows that collide on purpose.
#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/table.h"
#include "syncline/value.h"

namespace syncline {

// A number modulo 2^128.
struct Digest {
  uint64_t low = 0, high = 0;

  void add(const Digest& other) {
    low += other.low;
    high += other.high + (low < other.low ? 1 : 0);
  }
  auto operator<=>(const Digest&) const = default;
};
std::string to_hex(const Digest& digest);  // 32 digits, most significant first

// The sum of a set of rows.
struct RowSum {
  uint64_t count = 0;
  Digest sum;

  void add(const RowSum& other) {
    count += other.count;
    sum.add(other.sum);
  }
  bool operator==(const RowSum&) const = default;
};

// What of a table is digested: columns by name, each compared as a logical type. Two databases that
// compare rows agree on a plan first, since one may lack a column or declare another type.
struct DigestPlan {
  std::string table;
  std::vector<ColumnSchema> key;
  std::vector<ColumnSchema> columns;  // beside the key, sorted by name
  bool operator==(const DigestPlan& other) const;
};

// All present columns of a table. REQUIRES: the table is present.
DigestPlan plan_of(const TableSchema& table);
// What both have. Column types are those under which values of both can be compared. Errors:
// schema_mismatch if the keys differ. `left_out`: columns that only one of the two has.
Status common_plan(const TableSchema& ours, const TableSchema& theirs, DigestPlan* out,
                   std::vector<std::string>* left_out);

void append_plan(std::string* out, const DigestPlan& plan);
// Errors: corrupt_input.
Status read_plan(class ByteReader* in, DigestPlan* out);

// Computes digests of one table's rows, by a plan.
class RowDigester {
 public:
  // Errors: schema_mismatch if the table lacks a column of the plan, or its key is another.
  static Status make(const DigestPlan& plan, const TableInfo& table, RowDigester* out);

  // `key` in key order; `values` by column number.
  uint64_t key_hash(RowKey key);
  Digest row_digest(RowKey key, std::span<const Value> values);

  // Column numbers of the plan's columns.
  const std::vector<ColumnNumber>& columns() const { return columns_; }

 private:
  void begin(RowKey key);
  void append(LogicalKind kind, const Value& value);

  std::vector<LogicalKind> key_kinds_, kinds_;
  std::vector<ColumnNumber> columns_;
  std::string head_, buffer_;  // head_: what names the columns; buffer_: the row at hand
  Arena arena_;
  size_t key_begin_ = 0;
};

// The spelling that all values of one meaning share: canonical_value, with numerics without
// trailing zeros, zero without a sign, and JSON with its keys sorted and without blanks.
Value meaning_of(LogicalKind kind, const Value& value, Arena* arena);
// That of JSON text; false if it is malformed or nested too deeply.
bool canonical_json_text(std::string_view json, std::string* out);

// The sums of a table's rows by bucket: bucket b of `bits` holds the rows whose key hash begins
// with the `bits` bits of b.
class BucketSums {
 public:
  static constexpr unsigned kBitsMax = 16;

  BucketSums() : BucketSums(kBitsMax) {}
  explicit BucketSums(unsigned bits) : bits_(bits), sums_(size_t{1} << bits) {}

  unsigned bits() const { return bits_; }
  static uint64_t bucket_of(uint64_t key_hash, unsigned bits) {
    return bits == 0 ? 0 : key_hash >> (64 - bits);
  }
  void add(uint64_t key_hash, const Digest& digest) {
    sums_[bucket_of(key_hash, bits_)].add({1, digest});
  }
  RowSum& operator[](uint64_t bucket) { return sums_[bucket]; }
  const RowSum& operator[](uint64_t bucket) const { return sums_[bucket]; }
  // The sum of bucket `prefix` of `bits`. REQUIRES: bits <= bits().
  RowSum total(uint64_t prefix, unsigned bits) const;
  RowSum total() const { return total(0, 0); }

  // Merges buckets until they hold about kRowsPerBucket rows each.
  void coarsen();
  static constexpr uint64_t kRowsPerBucket = 16;

  // For storage: empty buckets take nothing.
  std::string pack() const;
  // Errors: corrupt_input, unsupported_version.
  static Status unpack(std::string_view bytes, BucketSums* out);

 private:
  unsigned bits_;
  std::vector<RowSum> sums_;
};

}  // namespace syncline
