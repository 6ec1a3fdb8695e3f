// The answering side of verify.h: what one database says about its rows.
#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "syncline/limits.h"
#include "verify_messages.h"

namespace syncline {
namespace {

// When more than this part of the buckets has to be computed anew, all of them are.
constexpr size_t kDirtyPart = 8;

// REQUIRES: the site was loaded.
Status find_tracked(VerifyHost* host, const std::string& name, TableInfo* out) {
  std::vector<TableInfo> tables;
  SYNCLINE_TRY(host->port().load_tables(&tables));
  const int64_t at = find_table(tables, name);
  if (at >= 0 && tables[static_cast<size_t>(at)].present) {
    *out = tables[static_cast<size_t>(at)];
    return {};
  }
  std::vector<std::string> names;
  for (const TableInfo& table : tables) {
    if (table.present) names.push_back(table.name);
  }
  const std::string near = nearest_name(name, names);
  return {StatusCode::invalid_argument, "table \"" + name + "\" is not tracked",
          near.empty() ? "sync_tables lists those that are" : "did you mean \"" + near + "\"?"};
}

Status interruptible(VerifyHost* host, uint64_t* rows) {
  if (++*rows % limits::rows_per_batch != 0) return {};
  return host->port().check_interrupt();
}

Status scan_sums(VerifyHost* host, const TableInfo& table, RowDigester* digester,
                 const KeyFilter& wants, BucketSums* out) {
  uint64_t rows = 0;
  return host->scan_base(table, wants, [&](RowKey key, std::span<const Value> values) -> Status {
    SYNCLINE_TRY(interruptible(host, &rows));
    out->add(digester->key_hash(key), digester->row_digest(key, values));
    return {};
  });
}

// The buckets of `bits` that the keys fall into.
Status buckets_of(const std::vector<std::string>& keys, RowDigester* digester, unsigned bits,
                  std::vector<bool>* out) {
  out->assign(size_t{1} << bits, false);
  Arena arena;
  std::vector<Value> key;
  for (const std::string& encoded : keys) {
    key.clear();
    SYNCLINE_TRY(decode_key(encoded, &arena, &key));
    (*out)[BucketSums::bucket_of(digester->key_hash(key), bits)] = true;
    arena.clear();
  }
  return {};
}

// Computes some buckets of `out` anew.
Status refresh_buckets(VerifyHost* host, const TableInfo& table, RowDigester* digester,
                       const std::vector<bool>& dirty, BucketSums* out) {
  for (size_t i = 0; i < dirty.size(); ++i) {
    if (dirty[i]) (*out)[i] = RowSum();
  }
  const auto wants = [&](RowKey key) {
    return static_cast<bool>(dirty[BucketSums::bucket_of(digester->key_hash(key), out->bits())]);
  };
  return scan_sums(host, table, digester, wants, out);
}

}  // namespace

Status current_sums(VerifyHost* host, const TableInfo& table, const DigestPlan& plan, bool deep,
                    KeptSums::Table* out) {
  RowDigester digester;
  SYNCLINE_TRY(RowDigester::make(plan, table, &digester));
  std::string name;
  append_plan(&name, plan);
  StoredSums stored;
  SYNCLINE_TRY(host->load_sums(table, name, &stored));
  BucketSums before;
  std::vector<bool> dirty;
  out->unlogged.clear();
  const bool usable = !stored.packed.empty() && BucketSums::unpack(stored.packed, &before).ok();
  if (usable) SYNCLINE_TRY(buckets_of(stored.changed, &digester, before.bits(), &dirty));
  const auto dirty_count = static_cast<size_t>(std::count(dirty.begin(), dirty.end(), true));
  if (usable && !deep && dirty_count <= dirty.size() / kDirtyPart) {
    out->sums = std::move(before);
    if (dirty_count == 0) return {};
    SYNCLINE_TRY(refresh_buckets(host, table, &digester, dirty, &out->sums));
    return host->save_sums(table, name, out->sums.pack());
  }
  out->sums = BucketSums();
  SYNCLINE_TRY(scan_sums(host, table, &digester, nullptr, &out->sums));
  out->unlogged_bits = before.bits();
  for (uint64_t i = 0; usable && i < dirty.size(); ++i) {
    if (!dirty[i] && out->sums.total(i, before.bits()) != before[i]) out->unlogged.push_back(i);
  }
  out->sums.coarsen();
  return out->unlogged.empty() ? host->save_sums(table, name, out->sums.pack()) : Status();
}

Status digest_table(VerifyHost* host, const std::string& name, std::string* out) {
  SiteState site;
  TableInfo table;
  SYNCLINE_TRY(host->port().load_site(&site));
  SYNCLINE_TRY(find_tracked(host, name, &table));
  RowDigester digester;
  SYNCLINE_TRY(RowDigester::make(plan_of(table.schema_here()), table, &digester));
  BucketSums sums(0);
  SYNCLINE_TRY(scan_sums(host, table, &digester, nullptr, &sums));
  *out = std::to_string(sums[0].count) + " " + to_hex(sums[0].sum);
  return {};
}

namespace {

// One question, and what its answer is made from.
class Answerer {
 public:
  Answerer(VerifyHost* host, KeptSums* kept) : host_(*host), kept_(*kept) {}

  Status sums(ByteReader* in, std::string* out) {
    std::vector<SumsQuestion> items;
    SYNCLINE_TRY(read_sums_question(in, &items));
    for (const SumsQuestion& item : items) {
      SYNCLINE_TRY(enter(item.plan.table));
      SYNCLINE_TRY(host_.check_access(table_));
      const bool first = item.ranges.bits == 0 && item.child_bits == 0;
      KeptSums::Table* kept = nullptr;
      SYNCLINE_TRY(keep(item, first, &kept));
      for (const uint64_t prefix : item.ranges.prefixes) {
        const unsigned finer = item.child_bits - item.ranges.bits;
        for (uint64_t i = 0; i < uint64_t{1} << finer; ++i) {
          append_sum(out, kept->sums.total(prefix << finer | i, item.child_bits), first);
        }
      }
    }
    return {};
  }

  Status list(ByteReader* in, std::string* out) {
    RangeQuestion question;
    SYNCLINE_TRY(read_range_question(Question::list, in, &question));
    return scan_ranges(question, [&](RowKey key, uint64_t hash, const Digest& digest) {
      append_listed(out, {encode_key(key), hash, digest.low});
    });
  }

  Status compare(ByteReader* in, std::string* out) {
    RangeQuestion question;
    SYNCLINE_TRY(read_range_question(Question::compare, in, &question));
    // Of rows with one hash each counts for one.
    std::unordered_multimap<uint64_t, size_t> asked;
    for (size_t i = 0; i < question.rows.size(); ++i)
      asked.emplace(question.rows[i].hash, i);
    CompareAnswer answer;
    const auto visit = [&](RowKey key, uint64_t hash, const Digest& digest) {
      const auto [begin, end] = asked.equal_range(hash);
      const auto equal = std::find_if(begin, end, [&](const auto& entry) {
        return question.rows[entry.second].digest == digest.low;
      });
      if (equal != end) {
        asked.erase(equal);
      } else {
        answer.rows.push_back({encode_key(key), hash, 0});
      }
    };
    SYNCLINE_TRY(scan_ranges(question, visit));
    for (const auto& [hash, ordinal] : asked)
      answer.unmatched.push_back(ordinal);
    *out = write_compare_answer(answer);
    return {};
  }

  Status rows(ByteReader* in, std::string* out) {
    RowsQuestion question;
    SYNCLINE_TRY(read_rows_question(Question::rows, in, &question));
    SYNCLINE_TRY(enter(question.plan.table));
    SYNCLINE_TRY(RowDigester::make(question.plan, table_, &digester_));
    RowsAnswer answer;
    answer.vector = vector_to_json(site_.knowledge, site_.sites);
    answer.rows.resize(question.keys.size());
    Arena arena;
    std::vector<RowKey> keys;
    std::vector<size_t> places;
    SYNCLINE_TRY(sort_keys(question.keys, &arena, &keys, &places));
    std::string name;
    append_plan(&name, question.plan);
    const auto kept = kept_.by_plan.find(name);
    for (size_t at = 0; at < keys.size(); at += limits::rows_per_batch) {
      const size_t count = std::min(limits::rows_per_batch, keys.size() - at);
      RowBatch batch;
      SYNCLINE_TRY(host_.port().fetch(table_, std::span(keys).subspan(at, count), &batch));
      for (size_t i = 0; i < count; ++i) {
        RowFacts* facts = &answer.rows[places[at + i]];
        SYNCLINE_TRY(tell(batch.rows[i], facts));
        if (kept != kept_.by_plan.end() && is_unlogged(kept->second, keys[at + i])) {
          facts->flags |= kRowUnlogged;
        }
      }
    }
    *out = write_rows_answer(answer, site_.sites);
    return {};
  }

  Status rewrite(ByteReader* in) {
    RowsQuestion question;
    SYNCLINE_TRY(read_rows_question(Question::rewrite, in, &question));
    SYNCLINE_TRY(enter(question.plan.table));
    SYNCLINE_TRY(RowDigester::make(question.plan, table_, &digester_));
    Arena arena;
    std::vector<RowKey> keys;
    std::vector<size_t> places;
    SYNCLINE_TRY(sort_keys(question.keys, &arena, &keys, &places));
    std::vector<Rewrite> rows(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      rows[i].key = keys[i];
      for (const uint32_t column : question.columns[places[i]]) {
        rows[i].columns.push_back(digester_.columns()[column]);
      }
    }
    return host_.rewrite_rows(table_, rows);
  }

 private:
  // Loads the site, before anything that data depends on: a vector older than the rows makes rows
  // seem in flight, a newer one would make them seem different.
  Status enter(const std::string& table) {
    if (!entered_) SYNCLINE_TRY(host_.port().load_site(&site_));
    entered_ = true;
    return find_tracked(&host_, table, &table_);
  }

  // The sums of the plan as fine as asked; the first question of a session computes them.
  Status keep(const SumsQuestion& item, bool first, KeptSums::Table** out) {
    std::string name;
    append_plan(&name, item.plan);
    *out = &kept_.by_plan[name];
    if (first) SYNCLINE_TRY(current_sums(&host_, table_, item.plan, item.deep, *out));
    if (first || ((*out)->sums.bits() >= item.child_bits && (*out)->sums.total().count > 0)) {
      return {};
    }
    // Finer than what is kept, or another session's: the rows are read once more.
    SYNCLINE_TRY(RowDigester::make(item.plan, table_, &digester_));
    (*out)->sums = BucketSums();
    return scan_sums(&host_, table_, &digester_, nullptr, &(*out)->sums);
  }

  Status scan_ranges(const RangeQuestion& question,
                     const std::function<void(RowKey, uint64_t, const Digest&)>& visit) {
    SYNCLINE_TRY(enter(question.plan.table));
    SYNCLINE_TRY(RowDigester::make(question.plan, table_, &digester_));
    std::vector<bool> wanted(size_t{1} << question.ranges.bits, false);
    for (const uint64_t prefix : question.ranges.prefixes)
      wanted[prefix] = true;
    const auto wants = [&](RowKey key) {
      return static_cast<bool>(
          wanted[BucketSums::bucket_of(digester_.key_hash(key), question.ranges.bits)]);
    };
    uint64_t rows = 0;
    return host_.scan_base(table_, wants, [&](RowKey key, std::span<const Value> values) -> Status {
      SYNCLINE_TRY(interruptible(&host_, &rows));
      visit(key, digester_.key_hash(key), digester_.row_digest(key, values));
      return {};
    });
  }

  // Decodes keys, in the order of compare_keys; places[i] is where keys[i] came from.
  Status sort_keys(const std::vector<std::string>& encoded, Arena* arena, std::vector<RowKey>* keys,
                   std::vector<size_t>* places) {
    std::vector<RowKey> decoded;
    std::vector<Value> key;
    for (const std::string& bytes : encoded) {
      key.clear();
      SYNCLINE_TRY(decode_key(bytes, arena, &key));
      if (key.size() != table_.key.size()) return damaged_message("a key");
      decoded.push_back(arena->copy(RowKey(key)));
    }
    places->resize(decoded.size());
    std::iota(places->begin(), places->end(), size_t{0});
    std::sort(places->begin(), places->end(),
              [&](size_t a, size_t b) { return compare_keys(decoded[a], decoded[b]) < 0; });
    for (const size_t place : *places)
      keys->push_back(decoded[place]);
    return {};
  }

  Status tell(const LocalRow& local, RowFacts* out) {
    RowState row;
    SYNCLINE_TRY(load_row(local, table_, &row));
    if (local.stored) {
      out->flags |= kRowStored;
      out->digest = digester_.row_digest(local.key, local.values);
    }
    if (row.held) out->flags |= kRowHeld;
    out->rest = row.rest;
    const std::vector<ColumnNumber>& columns = digester_.columns();
    for (size_t i = 0; i < columns.size(); ++i) {
      for (const CellVersion& cell : row.exceptions(columns[i])) {
        out->cells.emplace_back(static_cast<uint32_t>(i), cell.version);
      }
    }
    return {};
  }

  bool is_unlogged(const KeptSums::Table& kept, RowKey key) {
    if (kept.unlogged.empty()) return false;
    const uint64_t bucket = BucketSums::bucket_of(digester_.key_hash(key), kept.unlogged_bits);
    return std::binary_search(kept.unlogged.begin(), kept.unlogged.end(), bucket);
  }

  VerifyHost& host_;
  KeptSums& kept_;
  SiteState site_;  // the port refers to it
  bool entered_ = false;
  TableInfo table_;
  RowDigester digester_;
};

}  // namespace

Status answer_question(VerifyHost* host, KeptSums* kept, std::string_view question,
                       std::string* answer) {
  Question kind{};
  SYNCLINE_TRY(question_of(question, &kind));
  ByteReader in(question.substr(2));
  *answer = answer_head(kind);
  Answerer answerer(host, kept);
  switch (kind) {
    case Question::sums:
      return answerer.sums(&in, answer);
    case Question::list:
      return answerer.list(&in, answer);
    case Question::compare:
      return answerer.compare(&in, answer);
    case Question::rows:
      return answerer.rows(&in, answer);
    case Question::rewrite:
      return answerer.rewrite(&in);
  }
  return {};
}

}  // namespace syncline
