// Private: the questions and answers of verify.h as bytes.
//
//   question := format:u8 kind:u8 body        answer := format:u8 kind:u8 body
//
//   sums     body := count (plan deep:u8 bits child_bits prefixes)*
//            answer: for each prefix and each child of it: count, sum (16 bytes if child_bits is 0,
//            else the low 8)
//   list     body := plan bits prefixes
//            answer: count (key:bytes hash:8 digest:8)*
//   compare  body := plan bits prefixes count (hash:8 digest:8)*
//            answer: count ordinal*  (rows of the asker without an equal)
//                    count (key:bytes hash:8)*  (rows without an equal at the asker)
//   rows     body := plan count key:bytes*
//            answer: vector:bytes sites row*
//   rewrite  body := plan count (key:bytes count column*)*        answer: nothing
//
//   prefixes := count (delta from the one before)*
//   sites    := count id:16*
//   row      := flags:u8 [digest:16 if stored] count version* count (column version)*
//   version  := site seq*2+dead hlc
//
// Numbers are varints unless a width is given. `column` is a position in the plan.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "syncline/codec.h"
#include "syncline/verify.h"

namespace syncline {

inline constexpr uint8_t kVerifyFormat = 1;
// Ranges named in one question, and into how many bits one is split.
inline constexpr size_t kPrefixesMax = size_t{1} << BucketSums::kBitsMax;
inline constexpr unsigned kSplitBits = 6;

Status damaged_message(const char* what);

// Ranges of key hashes: those that begin with one of `prefixes`, which ascend.
struct Ranges {
  unsigned bits = 0;
  std::vector<uint64_t> prefixes;
};

struct SumsQuestion {
  DigestPlan plan;
  bool deep = false;
  Ranges ranges;
  unsigned child_bits = 0;
};
std::string write_sums_question(const std::vector<SumsQuestion>& items);
Status read_sums_question(ByteReader* in, std::vector<SumsQuestion>* items);
void append_sum(std::string* out, const RowSum& sum, bool whole);
Status read_sum(ByteReader* in, bool whole, RowSum* out);

// A row as it is listed.
struct ListedRow {
  std::string key;  // encode_key; empty in a compare question
  uint64_t hash = 0, digest = 0;
};
struct RangeQuestion {
  DigestPlan plan;
  Ranges ranges;
  std::vector<ListedRow> rows;  // compare only
};
std::string write_range_question(Question kind, const RangeQuestion& question);
Status read_range_question(Question kind, ByteReader* in, RangeQuestion* out);
void append_listed(std::string* out, const ListedRow& row);
Status read_list_answer(std::string_view answer, std::vector<ListedRow>* rows);
struct CompareAnswer {
  std::vector<uint64_t> unmatched;  // ordinals of the asker's rows
  std::vector<ListedRow> rows;      // without digest
};
std::string write_compare_answer(const CompareAnswer& answer);
Status read_compare_answer(std::string_view bytes, size_t asked, CompareAnswer* out);

// One row with its versions, as `rows` tells it.
inline constexpr uint8_t kRowStored = 1, kRowHeld = 2, kRowUnlogged = 4;
struct RowFacts {
  uint8_t flags = 0;
  Digest digest;  // if stored
  std::vector<Version> rest;
  std::vector<std::pair<uint32_t, Version>> cells;  // position in the plan's columns
  bool stored() const { return (flags & kRowStored) != 0; }
};
struct RowsQuestion {
  DigestPlan plan;
  std::vector<std::string> keys;
  std::vector<std::vector<uint32_t>> columns;  // rewrite only: positions in the plan; none: all
};
std::string write_rows_question(Question kind, const RowsQuestion& question);
Status read_rows_question(Question kind, ByteReader* in, RowsQuestion* out);
struct RowsAnswer {
  std::string vector;  // JSON
  std::vector<RowFacts> rows;
};
// Sites are those of `sites`, which grows when an answer is read.
std::string write_rows_answer(const RowsAnswer& answer, const SiteTable& sites);
Status read_rows_answer(std::string_view bytes, size_t asked, SiteTable* sites, RowsAnswer* out);

// The head of an answer: format and kind.
std::string answer_head(Question kind);
Status open_answer(std::string_view bytes, Question kind, ByteReader* in);

}  // namespace syncline
