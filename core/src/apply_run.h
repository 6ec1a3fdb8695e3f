// Private to the apply_*.cpp files: one run of apply_chunk or retry_held.
//
//   apply.cpp        is the chunk acceptable; what the exchange leaves behind
//   apply_rows.cpp   join rows batch by batch, write what changed
//   apply_held.cpp   rows a constraint refused: hold them, decide between rivals, try again
//   apply_circle.cpp  rows that wait for each other over unique keys and foreign keys
//   apply_foreign.cpp  what foreign keys do about rows whose parents are gone
//   apply_full.cpp   rows that a full exchange does not name, and what both sides melted apart
//   apply_names.cpp  what gets a name of ours, since its own may be forgotten elsewhere
//   apply_fill.cpp   rows without state that come into a table where nothing is
//   apply_settings.cpp  settings that arrive, and rows that show other values under new policies
//
// Phases of a chunk: check; for each table, for each batch: fetch, join, store; settle constraints;
// if the exchange is complete, grow in knowledge and try all held rows again; record.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "syncline/apply.h"
#include "syncline/chunk.h"

namespace syncline {

// Of two versions that claim one unique value: <0, 0 or >0. What has melted is older than what was
// written since, and later than what was there before tracking began.
int compare_claims(const Version& a, const Version& b, const SiteTable& sites);

class ApplyRun {
 public:
  ApplyRun(Port* port, const ApplyOptions& options, ApplyReport* report)
      : port_(*port), options_(options), report_(*report) {}

  Status apply(std::string_view bytes);
  Status retry(std::span<const RowRef> removed);
  Status change_settings(std::span<const Setting> settings);

 private:
  using RowName = std::pair<uint32_t, std::string>;  // number of the table, and encode_key
  class Circle;                                      // apply_circle.cpp

  // A local row, what it was and what it becomes. Lives as long as the batch it came from.
  struct Work {
    const LocalRow* local = nullptr;
    RowState before, after;
    ShownRow shown;
    std::vector<ColumnNumber> nulls, defaults;  // what foreign keys make of columns
    std::string packed;                         // bytes of the state to be written
    bool news = false;
    bool fresh = false;  // comes without state to a place where nothing is known
  };

  // What becomes of a row whose parents are gone.
  struct ChildFate {
    bool explained = false;  // some foreign key that we can read points to nothing
    bool hold = false;
    std::vector<RowRef> parents;  // to be kept
    std::vector<RowRef> missed;   // those whose references are reset
    std::vector<ColumnNumber> nulls, defaults;
  };

  // Held rows that are to be tried, in their order.
  struct Waiting {
    std::set<RowName> rows;
    std::vector<RowName> order;
    size_t add(const std::vector<RowRef>& refs);  // returns how many are new
    size_t add(const RowName& row);
  };

  // --- apply.cpp
  Status load();
  Status check(const ChunkHeader& header, bool* stale);
  Status check_own_entry(const VersionVector& vector);
  Status check_clock(Hlc hlc);
  Status apply_tables(ChunkReader* reader);
  Status map_table(const TableSchema& schema, size_t* table);
  void map_types(const TableSchema& schema, const TableInfo& table);
  Status check_key(const TableSchema& schema, const TableInfo& table) const;
  Status finish(const ChunkHeader& header);

  // --- apply_full.cpp
  Status check_membership(const ChunkHeader& header) const;
  Status check_melted(const ChunkHeader& header, bool* stale);
  Status take_melted(const ChunkHeader& header);
  Status has_other_full_exchange(bool* out);
  Status take_acknowledgements(const ChunkHeader& header);
  Status melt_anew();
  Status sweep_before(const std::string& table);
  Status sweep(const KeyRange& range);
  Status sweep_batch(const TableInfo& table, std::span<const RowKey> keys);
  Status remember_referred(const TableInfo& table, std::span<Work* const> works);
  Status join_missing(const TableInfo& table, Work* work, bool* touched);
  Status fresh_version(const TableInfo& table, RowKey key, Version* out);
  Status new_tombstone(const TableInfo& table, RowKey key, Hlc hlc, Version* out);
  Status entomb(const TableInfo& table, const RowState& seen, Work* work);
  void sort_versions(RowState* row) const;
  static bool same_values(const TableInfo& table, std::span<const Value> a,
                          std::span<const Value> b);
  bool melted_otherwise(const TableInfo& table, const Work& work) const;
  Status face_melted(const TableInfo& table, const RowState& theirs, Work* work);
  Status delete_again(const TableInfo& table, const RowState& theirs, const ShownRow& was,
                      Work* work);
  Status write_beside(const TableInfo& table, const RowState& theirs, const ShownRow& was,
                      std::span<const ColumnNumber> columns, Work* work);
  static void join_equal_cells(RowState* row);

  // --- apply_names.cpp
  bool is_stranger(const RowState& row) const;
  void give_name(const Version& named, const std::function<bool(ColumnNumber)>& where,
                 RowState* row) const;
  Status name_melted(const TableInfo& table, const RowChange* theirs, Work* work, bool* same);
  Status name_delete(const TableInfo& table, const RowState& theirs, Work* work);
  Status take_returned(const TableInfo& table, const RowChange& theirs, Work* work);
  Status name_deletes(const TableInfo& table, const std::function<bool(const Version&)>& which,
                      Work* work);
  Status name_met_delete(const TableInfo& table, const RowState& theirs, Work* work);
  bool waited_for(const VersionVector& under, SiteIndex site) const;
  Status name_melting_deletes(const ChunkHeader& header);

  // --- apply_fill.cpp
  Status probe_range(const TableInfo& table);
  Status adopt_baseline(TableInfo* table, std::span<const ChunkRow> rows);
  static bool is_bare(const RowState& row);
  bool can_fill(const TableInfo& table) const;
  bool fills(const TableInfo& table, const ChunkRow& row, const RowChange& theirs,
             const Work& work) const;
  bool repeats(const TableInfo& table, const ChunkRow& row, const RowChange& theirs,
               const Work& work) const;

  // --- apply_settings.cpp
  Status take_settings(std::span<const Setting> settings);
  Status recompute_rows();
  Status recompute_table(const TableInfo& table);

  // --- apply_rows.cpp
  Status apply_rows(ChunkReader* reader, TableInfo* table);
  Status convert(const TableInfo& table, std::vector<ChunkRow>* rows);
  Status apply_batch(const TableInfo& table, std::span<const ChunkRow> rows);
  Status join_one(const TableInfo& table, const ChunkRow& row, Work* work, bool* touched);
  void remap(const TableInfo& table, const RowChange& change);
  Status check_versions(const RowState& row, const Known& there);
  ContextId context_for(ContextId ours, const VersionVector* sent);
  const VersionVector* context(ContextId id) const;
  ContextId open_context(ContextId id) const;
  // Makes the write that brings `work.after` into the database.
  RowWrite plan_write(const TableInfo& table, Work* work);
  bool newly_shown(const TableInfo& table, const Work& work, ColumnNumber column) const;
  Status store(const TableInfo& table, std::vector<Work*>* works);
  Status rewrite_contested(const TableInfo& table,
                           const std::function<Status(Work*, bool*)>& change);
  void note_conflicts(const TableInfo& table, const Work& work);
  void note_written(const TableInfo& table, const RowWrite& write, const Work& work);
  Status record();

  // --- apply_foreign.cpp
  Status settle_foreign_keys();
  Status settle_children(std::vector<RowRef> children);
  Status settle_child(const RowRef& child, bool only_keepers = false);
  Status judge(const TableInfo& table, const Work& child, const ForeignKeyInfo& key,
               ChildFate* fate);
  static bool parent_key(const TableInfo& parent, const TableInfo& table, const Work& child,
                         const ForeignKeyInfo& key, std::string* out);
  Status keep_parent(const RowRef& parent, const RowRef& child, bool* kept);
  Status note_in_the_way(const TableInfo& table, const StoreOutcome& outcome, const RowRef& child);
  void note_kept(const TableInfo& table, RowKey key, const ShownRow& shown);
  Status renew_tombstone(const TableInfo& table, const RowRef& child, Work* parent);
  Status delete_anew(const RowRef& parent, const RowRef& child);
  Status adjust(const TableInfo& table, Work* work, const std::string& reason, bool* adjusted);
  Status reconsider(const TableInfo& table, Work* work, bool* stored);
  Status reconsider_kept(const TableInfo& table, Work* work);
  Status reconsider_adjusted();
  Status find_kept_circles(std::set<RowName>* out);
  Status reconsider_kept_circles();
  Status store_one(const TableInfo& table, Work* work, RowWrite* write, StoreOutcome* outcome);

  // --- apply_held.cpp
  Status hold(const TableInfo& table, Work* work, ConflictKind kind, const std::string& reason);
  Status settle_circles(const Waiting& waiting, size_t* stored);
  Status hold_refs(std::vector<RowRef> refs, ConflictKind kind);
  Status settle();
  Status try_held(const std::vector<RowRef>& refs, size_t* stored);
  Status try_each(Waiting* waiting, size_t* stored);
  Status try_together(Waiting* waiting, size_t* stored);
  Status try_one(const TableInfo& table, const std::string& key, bool* stored);
  Status release(const TableInfo& table, Work* work, bool* stored);
  Status keep_only_with_parents(const TableInfo& table, RowKey key,
                                const std::vector<RowRef>& losers, bool* stored);
  Status displace(const TableInfo& table, const Work& work, const StoreOutcome& outcome,
                  std::vector<RowRef>* losers, bool* won);
  Status may_be_earlier(const Version& claim, bool* yes);
  Status renew_claim(const TableInfo& table, const Version& other,
                     const std::vector<ColumnNumber>& columns, Work* row);
  Status fetch_one(const TableInfo& table, const std::string& key, RowBatch* batch, Work* work);
  Version claim(const TableInfo& table, const Work& work,
                const std::vector<ColumnNumber>& columns) const;
  const TableInfo* table_by_number(uint32_t number) const;
  void note_held(const TableInfo& table, RowKey key, bool held, ConflictKind kind,
                 const std::string& reason, const ShownRow* shown);
  // The same for one that is held no more: by whose decision, if it was one.
  void note_free(const TableInfo& table, RowKey key, const RowState& row);
  void note_view_before(const RowName& row, const RowState& before);

  Port& port_;
  const ApplyOptions& options_;
  ApplyReport& report_;

  SiteState site_;
  std::vector<TableInfo> tables_;
  Incoming incoming_;
  ExchangeUpdate update_;
  const ChunkHeader* header_ = nullptr;
  VersionVector knowledge_after_;  // what we know once this chunk is in
  std::map<std::pair<ContextId, const VersionVector*>, ContextId> contexts_made_;
  // A full exchange: which of its ranges have been swept, and the rows of the current section.
  size_t ranges_done_ = 0;
  std::set<std::string> keys_sent_;  // encode_key, in our spelling
  bool can_fill_ = false;            // rows of the current table may do without state
  bool range_empty_ = false;         // there was nothing here in the range of the current section

  // The current table's column map: position in the chunk's schema -> our column number.
  std::vector<ColumnNumber> columns_;
  bool columns_same_ = false;
  std::vector<uint32_t> key_positions_;
  std::vector<bool> converted_columns_;  // by position; empty: every type is the same here
  Arena converted_;
  RowChange remapped_;
  std::vector<Work> works_;

  std::vector<RowRef> written_, removed_;  // for foreign keys; since the last settle
  std::vector<RowRef> refused_;            // held by this chunk: tried again at its end
  std::set<RowName> held_here_;
  std::set<RowName> held_before_;  // let in as they came again: nothing has changed if they go
  // Stored rows that this run found kept or adjusted for the sake of foreign keys.
  std::set<RowName> views_;
  // Rows that were kept or adjusted before this run: their conflict is open since then.
  std::set<RowName> views_before_;
  std::deque<ConflictRecord> records_;
  std::set<RowName> given_up_;  // deleted rows that cannot be kept
  bool put_back_ = false;       // a deleted row was, in this pass, for the sake of others
  // Rows that drove out a rival, and those of them that had to go all the same.
  std::set<RowName> took_place_, in_vain_;
  // Rows that go before one that was stored. If one of them is held in the end: settle_circles.
  std::set<RowName> contenders_;
  bool together_ = false;  // foreign keys are looked at when all have been tried
  bool melts_anew_ = false;  // a row that had melted got its state back
  bool wrote_ = false;
  // While rows are shown anew: what was, under the policies that were. Else null.
  std::vector<TableInfo> tables_before_;
  const TableInfo* table_before_ = nullptr;
  std::set<std::string> tables_with_new_policies_;  // lower-case names
};

}  // namespace syncline
