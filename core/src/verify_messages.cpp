// See verify_messages.h. What is read came from a stranger.
#include "verify_messages.h"

#include <algorithm>
#include <cstring>

#include "syncline/limits.h"

namespace syncline {
namespace {

constexpr uint64_t kKeyBytesMax = limits::value_bytes_max;

std::string head(Question kind) {
  return {static_cast<char>(kVerifyFormat), static_cast<char>(kind)};
}

// A count of things that take at least `bytes_each` bytes each of what is left.
bool read_count(ByteReader* in, size_t bytes_each, uint64_t* out) {
  return in->varint(out) && *out <= in->rest().size() / bytes_each;
}

void append_ranges(std::string* out, const Ranges& ranges) {
  append_varint(out, ranges.bits);
  append_varint(out, ranges.prefixes.size());
  uint64_t before = 0;
  for (const uint64_t prefix : ranges.prefixes) {
    append_varint(out, prefix - before);
    before = prefix;
  }
}

bool read_ranges(ByteReader* in, Ranges* out) {
  uint64_t bits = 0, count = 0, at = 0;
  if (!in->varint(&bits) || bits > BucketSums::kBitsMax) return false;
  if (!read_count(in, 1, &count) || count > kPrefixesMax) return false;
  out->bits = static_cast<unsigned>(bits);
  out->prefixes.clear();
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t delta = 0;
    if (!in->varint(&delta) || (i > 0 && delta == 0)) return false;
    if (delta >= (uint64_t{1} << bits) - at) return false;
    at += delta;
    out->prefixes.push_back(at);
  }
  return true;
}

bool read_digest(ByteReader* in, Digest* out) {
  return in->fixed64(&out->low) && in->fixed64(&out->high);
}

void append_version(std::string* out, const Version& v, const std::vector<SiteIndex>& number) {
  append_varint(out, number[v.site]);
  append_varint(out, v.seq << 1 | (v.dead ? 1 : 0));
  append_varint(out, v.hlc);
}

bool read_version(ByteReader* in, const std::vector<SiteIndex>& sites, Version* out) {
  uint64_t site = 0, seq = 0;
  if (!in->varint(&site) || site >= sites.size() || !in->varint(&seq)) return false;
  if (!in->varint(&out->hlc) || out->hlc > limits::hlc_max) return false;
  out->site = sites[site];
  out->seq = seq >> 1;
  out->dead = (seq & 1) != 0;
  return out->seq <= limits::seq_max;
}

bool read_facts(ByteReader* in, const std::vector<SiteIndex>& sites, RowFacts* out) {
  uint64_t count = 0, column = 0;
  if (!in->byte(&out->flags)) return false;
  if (out->stored() && !read_digest(in, &out->digest)) return false;
  if (!read_count(in, 3, &count) || count > limits::versions_per_cell_max) return false;
  out->rest.resize(count);
  for (Version& v : out->rest) {
    if (!read_version(in, sites, &v)) return false;
  }
  if (!read_count(in, 4, &count)) return false;
  out->cells.resize(count);
  for (auto& [at, version] : out->cells) {
    if (!in->varint(&column) || column >= limits::columns_max) return false;
    at = static_cast<uint32_t>(column);
    if (!read_version(in, sites, &version)) return false;
  }
  return true;
}

}  // namespace

Status damaged_message(const char* what) {
  return {StatusCode::corrupt_input, std::string(what) + " of a verification is damaged",
          "install the same release of syncline on both sides"};
}

std::string answer_head(Question kind) {
  return head(kind);
}

Status open_answer(std::string_view bytes, Question kind, ByteReader* in) {
  *in = ByteReader(bytes);
  uint8_t format = 0, found = 0;
  if (!in->byte(&format) || !in->byte(&found)) return damaged_message("an answer");
  if (format == kVerifyFormat && found == static_cast<uint8_t>(kind)) return {};
  return {StatusCode::unsupported_version, "the peer's answer has a form that is not known here",
          "install the same release of syncline on both sides"};
}

Status question_of(std::string_view question, Question* out) {
  ByteReader in(question);
  uint8_t format = 0, kind = 0;
  if (!in.byte(&format) || !in.byte(&kind)) return damaged_message("a question");
  if (format != kVerifyFormat || kind < static_cast<uint8_t>(Question::sums) ||
      kind > static_cast<uint8_t>(Question::rewrite)) {
    return {StatusCode::unsupported_version, "the question has a form that is not known here",
            "install the same release of syncline on both sides"};
  }
  *out = static_cast<Question>(kind);
  return {};
}

std::string write_sums_question(const std::vector<SumsQuestion>& items) {
  std::string out = head(Question::sums);
  append_varint(&out, items.size());
  for (const SumsQuestion& item : items) {
    append_plan(&out, item.plan);
    out += static_cast<char>(item.deep ? 1 : 0);
    append_ranges(&out, item.ranges);
    append_varint(&out, item.child_bits);
  }
  return out;
}

Status read_sums_question(ByteReader* in, std::vector<SumsQuestion>* items) {
  const Status damaged = damaged_message("a question");
  uint64_t count = 0;
  if (!read_count(in, 8, &count) || count > limits::tables_per_chunk_max) return damaged;
  for (uint64_t i = 0; i < count; ++i) {
    SumsQuestion item;
    uint8_t deep = 0;
    uint64_t child_bits = 0;
    SYNCLINE_TRY(read_plan(in, &item.plan));
    if (!in->byte(&deep) || !read_ranges(in, &item.ranges)) return damaged;
    if (!in->varint(&child_bits) || child_bits < item.ranges.bits) return damaged;
    if (child_bits > BucketSums::kBitsMax || child_bits - item.ranges.bits > kSplitBits) {
      return damaged;
    }
    item.deep = deep != 0;
    item.child_bits = static_cast<unsigned>(child_bits);
    items->push_back(std::move(item));
  }
  return in->at_end() ? Status() : damaged;
}

void append_sum(std::string* out, const RowSum& sum, bool whole) {
  append_varint(out, sum.count);
  append_fixed64(out, sum.sum.low);
  if (whole) append_fixed64(out, sum.sum.high);
}

Status read_sum(ByteReader* in, bool whole, RowSum* out) {
  const bool read = in->varint(&out->count) && in->fixed64(&out->sum.low) &&
                    (!whole || in->fixed64(&out->sum.high));
  return read ? Status() : damaged_message("an answer");
}

std::string write_range_question(Question kind, const RangeQuestion& question) {
  std::string out = head(kind);
  append_plan(&out, question.plan);
  append_ranges(&out, question.ranges);
  if (kind == Question::list) return out;
  append_varint(&out, question.rows.size());
  for (const ListedRow& row : question.rows) {
    append_fixed64(&out, row.hash);
    append_fixed64(&out, row.digest);
  }
  return out;
}

Status read_range_question(Question kind, ByteReader* in, RangeQuestion* out) {
  const Status damaged = damaged_message("a question");
  SYNCLINE_TRY(read_plan(in, &out->plan));
  if (!read_ranges(in, &out->ranges)) return damaged;
  uint64_t count = 0;
  if (kind == Question::compare) {
    if (!read_count(in, 16, &count)) return damaged;
    out->rows.resize(count);
    for (ListedRow& row : out->rows) {
      if (!in->fixed64(&row.hash) || !in->fixed64(&row.digest)) return damaged;
    }
  }
  return in->at_end() ? Status() : damaged;
}

void append_listed(std::string* out, const ListedRow& row) {
  append_bytes(out, row.key);
  append_fixed64(out, row.hash);
  append_fixed64(out, row.digest);
}

Status read_list_answer(std::string_view answer, std::vector<ListedRow>* rows) {
  ByteReader in(answer);
  SYNCLINE_TRY(open_answer(answer, Question::list, &in));
  while (!in.at_end()) {
    ListedRow row;
    std::string_view key;
    if (!in.bytes(kKeyBytesMax, &key) || !in.fixed64(&row.hash) || !in.fixed64(&row.digest)) {
      return damaged_message("an answer");
    }
    row.key = key;
    rows->push_back(std::move(row));
  }
  return {};
}

std::string write_compare_answer(const CompareAnswer& answer) {
  std::string out = head(Question::compare);
  append_varint(&out, answer.unmatched.size());
  for (const uint64_t ordinal : answer.unmatched)
    append_varint(&out, ordinal);
  append_varint(&out, answer.rows.size());
  for (const ListedRow& row : answer.rows) {
    append_bytes(&out, row.key);
    append_fixed64(&out, row.hash);
  }
  return out;
}

Status read_compare_answer(std::string_view bytes, size_t asked, CompareAnswer* out) {
  const Status damaged = damaged_message("an answer");
  ByteReader in(bytes);
  uint64_t count = 0;
  SYNCLINE_TRY(open_answer(bytes, Question::compare, &in));
  if (!read_count(&in, 1, &count)) return damaged;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t ordinal = 0;
    if (!in.varint(&ordinal) || ordinal >= asked) return damaged;
    out->unmatched.push_back(ordinal);
  }
  if (!read_count(&in, 9, &count)) return damaged;
  for (uint64_t i = 0; i < count; ++i) {
    ListedRow row;
    std::string_view key;
    if (!in.bytes(kKeyBytesMax, &key) || !in.fixed64(&row.hash)) return damaged;
    row.key = key;
    out->rows.push_back(std::move(row));
  }
  return in.at_end() ? Status() : damaged;
}

std::string write_rows_question(Question kind, const RowsQuestion& question) {
  std::string out = head(kind);
  append_plan(&out, question.plan);
  append_varint(&out, question.keys.size());
  for (size_t i = 0; i < question.keys.size(); ++i) {
    append_bytes(&out, question.keys[i]);
    if (kind != Question::rewrite) continue;
    append_varint(&out, question.columns[i].size());
    for (const uint32_t column : question.columns[i])
      append_varint(&out, column);
  }
  return out;
}

Status read_rows_question(Question kind, ByteReader* in, RowsQuestion* out) {
  const Status damaged = damaged_message("a question");
  SYNCLINE_TRY(read_plan(in, &out->plan));
  uint64_t count = 0;
  if (!read_count(in, 1, &count)) return damaged;
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view key;
    if (!in->bytes(kKeyBytesMax, &key)) return damaged;
    out->keys.emplace_back(key);
    if (kind != Question::rewrite) continue;
    uint64_t columns = 0, column = 0;
    if (!read_count(in, 1, &columns)) return damaged;
    out->columns.emplace_back();
    for (uint64_t c = 0; c < columns; ++c) {
      if (!in->varint(&column) || column >= out->plan.columns.size()) return damaged;
      out->columns.back().push_back(static_cast<uint32_t>(column));
    }
  }
  return in->at_end() ? Status() : damaged;
}

std::string write_rows_answer(const RowsAnswer& answer, const SiteTable& sites) {
  // Only the sites that are named travel.
  std::vector<SiteIndex> number(sites.size(), 0), named;
  std::vector<bool> seen(sites.size(), false);
  const auto name = [&](const Version& v) {
    if (seen[v.site]) return;
    seen[v.site] = true;
    number[v.site] = static_cast<SiteIndex>(named.size());
    named.push_back(v.site);
  };
  for (const RowFacts& row : answer.rows) {
    for (const Version& v : row.rest)
      name(v);
    for (const auto& [column, v] : row.cells)
      name(v);
  }
  std::string out = head(Question::rows);
  append_bytes(&out, answer.vector);
  append_varint(&out, named.size());
  for (const SiteIndex site : named) {
    const SiteId& id = sites.id(site);
    out.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
  }
  for (const RowFacts& row : answer.rows) {
    out += static_cast<char>(row.flags);
    if (row.stored()) {
      append_fixed64(&out, row.digest.low);
      append_fixed64(&out, row.digest.high);
    }
    append_varint(&out, row.rest.size());
    for (const Version& v : row.rest)
      append_version(&out, v, number);
    append_varint(&out, row.cells.size());
    for (const auto& [column, v] : row.cells) {
      append_varint(&out, column);
      append_version(&out, v, number);
    }
  }
  return out;
}

Status read_rows_answer(std::string_view bytes, size_t asked, SiteTable* sites, RowsAnswer* out) {
  const Status damaged = damaged_message("an answer");
  ByteReader in(bytes);
  std::string_view view;
  uint64_t count = 0;
  SYNCLINE_TRY(open_answer(bytes, Question::rows, &in));
  if (!in.bytes(limits::chunk_body_bytes_max, &view)) return damaged;
  out->vector = view;
  if (!read_count(&in, 16, &count) || count > limits::sites_max) return damaged;
  std::vector<SiteIndex> named;
  for (uint64_t i = 0; i < count; ++i) {
    SiteId id;
    if (!in.view(id.bytes.size(), &view)) return damaged;
    std::memcpy(id.bytes.data(), view.data(), id.bytes.size());
    named.push_back(sites->intern(id));
  }
  out->rows.resize(asked);
  for (RowFacts& row : out->rows) {
    if (!read_facts(&in, named, &row)) return damaged;
  }
  return in.at_end() ? Status() : damaged;
}

}  // namespace syncline
