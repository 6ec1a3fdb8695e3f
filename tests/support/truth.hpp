// True causal history of all sites of a simulation, which no site sees, and what must hold of a
// site in its light:
//
//   safety      every write is held by some site, or something that causally follows it is
//   claims      a site that says it knows a version holds it, or holds something that follows it
//   exactness   no cell shows two versions of which one follows the other (a false conflict)
//   presence    a cell that had a version never becomes empty
//   half        no row shows a part of one write
//   values      a version has the value that its writer gave it, everywhere
//   alive       a row lives exactly when the policy says so of the writes that are here
//   stale       no column shows a value that an insert or delete known here has seen and replaced
//   base        the base table holds what the versions show, or the row is held
//
// A cell is a column of a row; a row has one more for its existence. Writes are told to it by the
// memory port's fold. Each row numbers its writes; sets of writes are bit masks.
#pragma once

#include <bitset>
#include <map>
#include <string>
#include <vector>

#include "support/memory_port.hpp"

namespace syncline::test {

class Truth {
 public:
  static constexpr size_t kWritesMax = 256;  // of one row
  using Writes = std::bitset<kWritesMax>;

  // Declares a table with all columns that it has anywhere.
  void add_table(const TableRules& rules);
  // `rows` stood in the table when `port` enabled it.
  void enabled(const MemoryPort& port, const std::string& table, const std::vector<OwnedRow>& rows);
  // Hand this to MemoryPort::on_fold. A write it has been told of before is not new.
  void folded(const FoldedRow& row);

  // Empty, or which rule is broken, where. REQUIRES: everything is folded.
  std::string check(const MemoryPort& port) const;
  // Safety: over all sites there are.
  std::string check_safety(const std::vector<const MemoryPort*>& sites) const;
  // A site was restored from an older copy: what nobody holds now is lost, lawfully.
  void forget_lost(const std::vector<const MemoryPort*>& sites);
  // All sites hold exactly the greatest writes, and the same rows.
  std::string check_converged(const std::vector<const MemoryPort*>& sites) const;
  // True if some row cannot take many more writes.
  bool full() const { return writes_max_ + 16 > kWritesMax; }

 private:
  struct Write {
    ChangeKind kind = ChangeKind::insert;
    OwnedRow values;  // by column of the table here; a delete's are what it saw
    Writes past;      // writes of the row that were there
  };
  struct Row {
    std::vector<Write> writes;
    std::map<std::pair<SiteIndex, uint64_t>, size_t> by_dot;
    std::vector<Writes> wrote;              // by cell: who wrote it
    std::vector<std::vector<Writes>> past;  // by cell, by write: what it causally follows
    std::vector<Writes> lost;               // by cell
  };
  struct Table {
    TableRules rules;
    std::map<std::string, Row> rows;  // by encode_key
    size_t cell_count() const { return rules.schema.columns.size() + 1; }
  };
  // What a site holds of a row.
  struct View {
    bool exists = false;                    // has versions
    RowState state;                         // the site's own column numbers
    std::vector<std::vector<size_t>> held;  // by cell: writes
    std::vector<Writes> covered;            // by cell: those and what they follow
    Writes here;                            // writes of the row that are here in some cell
    std::string unknown;                    // a version that nobody wrote
  };

  // The writes that a version held in a cell is, or stands for if it is melted.
  std::vector<size_t> writes_of(const MemoryPort& port, const MemoryTable& local, const Row& row,
                                const std::string& key, ColumnNumber column, SiteIndex site,
                                uint64_t seq, bool* unknown) const;
  size_t write_number(Row* row, const Table& table, const SiteId& site, uint64_t seq, bool* added);
  void note(Row* row, size_t write, size_t cell, const Writes& replaced);
  View view(const MemoryPort& port, const Table& table, const Row& row, const std::string& key,
            Arena* arena) const;
  std::string check_cells(const MemoryPort& port, const Table& table, const Row& row,
                          const View& view) const;
  std::string check_values(const MemoryPort& port, const Table& table, const Row& row,
                           const View& view) const;
  std::string check_shown(const MemoryPort& port, const Table& table, const Row& row,
                          const std::string& key, const View& view) const;
  bool expect_alive(const Table& table, const Row& row, const View& view, bool otherwise) const;
  std::vector<Writes> held_anywhere(const std::vector<const MemoryPort*>& sites, const Table& table,
                                    const Row& row, const std::string& key) const;

  SiteTable sites_;
  std::map<std::string, Table> tables_;
  size_t writes_max_ = 0;
};

}  // namespace syncline::test
