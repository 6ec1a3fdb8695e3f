// Folding one row's log entries into its state. See fold.h for the rules.
#include "syncline/fold.h"

#include <algorithm>
#include <iterator>

namespace syncline {
namespace {

class Folder {
 public:
  Folder(const FoldInput& input, const TableInfo& table, const SiteTable& sites, Arena* arena,
         RowState* row)
      : input_(input), table_(table), sites_(sites), arena_(*arena), row_(*row) {
    for (ColumnNumber c = 0; c < row->column_count; ++c) {
      const auto& policy = table.columns[c].policy;
      if (policy && policy->needs_notes()) noted_columns_.push_back(c);
    }
  }

  void run() {
    leave_out_noted();
    if (events_.empty()) return;
    remember_parked();
    for (const LogEvent& event : events_) {
      if (event.mask == kMaskAll) {
        write_all(event, WriteKind::assign);
      } else if (table_.row_grain || event.mask == kMaskEvery || row_.kept) {
        // Whoever updates a deleted row that was kept wants it to live.
        write_all(event, WriteKind::change);
      } else {
        write_columns(event);
      }
    }
    // The base table has the last word on existence.
    const LogEvent& last = events_.back();
    if (input_.exists ? !alive() : !row_is_tombstone()) {
      write_all(last, input_.exists ? WriteKind::assign : WriteKind::erase);
    }
    const bool released = row_.held && input_.exists && has_policies();
    row_.held = row_.held && !input_.exists && alive() && !last.decides;
    row_.kept = row_.kept && input_.exists && !alive();
    // What was inserted over a held row stands beside it: the policies make something of both.
    row_.adjusted = (row_.adjusted || released) && input_.exists;
    if (!row_.notes.empty()) row_.drop_stale_notes();
  }

 private:
  // Never sorts before what it replaces, whatever the clock did.
  static Hlc raised(Hlc hlc, const Version& replaced, SiteIndex self) {
    return std::max(hlc, replaced.hlc + (replaced.site == self ? 0 : 1));
  }

  Version version_over_row(const LogEvent& event, bool dead) const {
    Version v{event.seq, event.hlc, input_.self, dead};
    for (const Version& r : row_.rest)
      v.hlc = raised(v.hlc, r, v.site);
    for (const CellVersion& c : row_.cells)
      v.hlc = raised(v.hlc, c.version, v.site);
    return v;
  }

  void write_all(const LogEvent& event, WriteKind write) {
    const bool dead = write == WriteKind::erase;
    const Version v = version_over_row(event, dead);
    std::vector<Value> values(row_.column_count, dead ? Value() : Value::same());
    if (dead) {
      std::copy_n(input_.image.begin(), std::min(input_.image.size(), values.size()),
                  values.begin());
    }
    const bool keeps_parked = write != WriteKind::assign && !parked_.empty();
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      const bool nothing = unseen(event, c) || (dead && values[c].is(ValueKind::absent));
      if (nothing && !table_.is_key(c)) values[c] = keeps_parked ? parked_[c] : Value();
    }
    std::vector<std::string_view> notes;
    for (const ColumnNumber c : noted_columns_)
      notes.push_back(note_for(c, v, write, unseen(event, c)));
    row_.kept = row_.adjusted = false;  // the base row is what its writer wants
    if (!row_.held || event.decides) {
      row_.write_all(v, values);
    } else {
      stand_beside(v, values);
    }
    for (size_t i = 0; i < noted_columns_.size(); ++i)
      row_.set_note(noted_columns_[i], v, notes[i]);
    row_.set_note(kRowNote, v, event.origin);
  }

  // What the policy of a column wants to have said about the version that is about to replace what
  // stands in its cell.
  std::string_view note_for(ColumnNumber column, const Version& version, WriteKind write,
                            bool unseen) {
    std::vector<NotedVersion> replaced;
    if (!row_.held) row_.cell(column, &replaced);
    const auto value_at = [&](std::span<const Value> values) {
      return column < values.size() ? values[column] : Value();
    };
    NoteInput in;
    in.kind = table_.columns[column].kind;
    in.before = write == WriteKind::change ? value_at(input_.before) : Value();
    // What the base row showed is what the writer saw.
    for (NotedVersion& r : replaced) {
      if (!r.value.is(ValueKind::same)) continue;
      r.value = made_here(r.version) ? value_at(input_.image) : value_at(input_.before);
    }
    // A second write of the cell in one fold sees what the first is taken to have written.
    if (replaced.size() == 1 && made_here(replaced[0].version) && !replaced[0].version.dead) {
      if (write == WriteKind::change) in.before = value_at(input_.image);
    }
    in.replaced = replaced;
    in.write =
        in.before.is(ValueKind::absent) && write == WriteKind::change ? WriteKind::assign : write;
    in.after = write == WriteKind::erase || unseen ? Value() : value_at(input_.image);
    in.version = version;
    in.sites = &sites_;
    std::string note;
    make_note(*table_.columns[column].policy, in, &note);
    return arena_.copy(std::string_view(note));
  }

  // What the row shows in columns that the base table lacks, or lacked when the row was deleted, is
  // part of a tombstone's image. An insert gives them no value, whatever stood there before.
  void remember_parked() {
    const auto structural =
        std::count_if(events_.begin(), events_.end(),
                      [](const LogEvent& event) { return event.mask == kMaskAll; });
    bool any = false;
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      const bool imaged = c < input_.image.size() && !input_.image[c].is(ValueKind::absent);
      const auto of_event = [&](const LogEvent& event) { return unseen(event, c); };
      const bool nothing =
          std::any_of(events_.begin(), events_.end(), of_event) || (!input_.exists && !imaged);
      any = any || (nothing && !table_.is_key(c));
    }
    if (!any || row_.held || structural > 1 || row_.empty()) return;
    ShownRow shown;
    show_row(row_, table_, sites_, &shown);
    parked_ = shown.values;
    for (Value& value : parked_) {
      if (value.is_bytes()) value = arena_.copy(value);  // a policy may have made it
      if (value.is(ValueKind::same)) value = Value();    // parked after the row was written
    }
  }

  // Over a held row: its writer did not see what is held, so nothing held is superseded. What an
  // earlier event of this fold put beside it is.
  void stand_beside(const Version& v, const std::vector<Value>& values) {
    for (size_t i = row_.rest.size(); i-- > 0;) {
      if (!made_here(row_.rest[i])) continue;
      const auto at = row_.rest_values.begin() + static_cast<std::ptrdiff_t>(i * row_.column_count);
      row_.rest_values.erase(at, at + row_.column_count);
      row_.rest.erase(row_.rest.begin() + static_cast<std::ptrdiff_t>(i));
    }
    row_.rest.push_back(v);  // its hlc is above all others: version order holds
    row_.rest_values.insert(row_.rest_values.end(), values.begin(), values.end());
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      if (!row_.exceptions(c).empty()) put_beside(c, v, values[c]);
    }
  }

  // The same for one column, which keeps its exceptions unless they come to equal `rest`.
  void put_beside(ColumnNumber column, const Version& v, const Value& value) {
    std::vector<CellVersion> cell(row_.exceptions(column).begin(), row_.exceptions(column).end());
    const bool by_rest = cell.empty();
    for (size_t i = 0; by_rest && i < row_.rest.size(); ++i) {
      cell.push_back({column, row_.rest[i], row_.rest_values[i * row_.column_count + column]});
    }
    std::erase_if(cell, [this](const CellVersion& c) { return made_here(c.version); });
    cell.push_back({column, v, value});
    std::erase_if(row_.cells, [column](const CellVersion& c) { return c.column == column; });
    const bool as_rest =
        std::equal(cell.begin(), cell.end(), row_.rest.begin(), row_.rest.end(),
                   [](const CellVersion& c, const Version& r) { return c.version.same_dot(r); });
    if (as_rest) {
      for (size_t i = 0; i < cell.size(); ++i) {
        row_.rest_values[i * row_.column_count + column] = cell[i].value;
      }
      return;
    }
    const auto at = std::find_if(row_.cells.begin(), row_.cells.end(),
                                 [column](const CellVersion& c) { return c.column > column; });
    row_.cells.insert(at, cell.begin(), cell.end());
  }

  void leave_out_noted() {
    const auto noted = [](const LogEvent& event) { return event.mask == kMaskNoted; };
    events_ = input_.events;
    if (std::none_of(events_.begin(), events_.end(), noted)) return;
    std::remove_copy_if(events_.begin(), events_.end(), std::back_inserter(some_), noted);
    events_ = some_;
  }

  // Has the event no word on the column?
  bool unseen(const LogEvent& event, ColumnNumber column) const {
    return !table_.columns[column].present ||
           std::find(event.unseen.begin(), event.unseen.end(), column) != event.unseen.end();
  }

  // By an event of this fold.
  bool made_here(const Version& v) const { return v.site == input_.self && v.seq >= first_seq(); }

  uint64_t first_seq() const { return events_.front().seq; }

  bool changes(const LogEvent& event, ColumnNumber column) const {
    if (column >= event.columns_known) return true;
    if (column >= kMaskColumns) return (event.mask & kMaskMany) != 0;
    return ((event.mask >> column) & 1) != 0;
  }

  void write_columns(const LogEvent& event) {
    bool any = false;
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      if (unseen(event, c) || table_.is_key(c) || !changes(event, c)) continue;
      Version v{event.seq, event.hlc, input_.self, false};
      const auto exceptions = row_.exceptions(c);
      for (const CellVersion& e : exceptions)
        v.hlc = raised(v.hlc, e.version, v.site);
      if (exceptions.empty()) {
        for (const Version& r : row_.rest)
          v.hlc = raised(v.hlc, r, v.site);
      }
      const bool noted = std::binary_search(noted_columns_.begin(), noted_columns_.end(), c);
      const std::string_view note =
          noted ? note_for(c, v, WriteKind::change, false) : std::string_view();
      if (row_.held && !event.decides) {
        put_beside(c, v, Value::same());
      } else {
        row_.write_cell(c, v, Value::same());
      }
      if (noted) row_.set_note(c, v, note);
      any = true;
    }
    if (any && !event.origin.empty()) {
      row_.set_note(kRowNote, {event.seq, event.hlc, input_.self, false}, event.origin);
    }
  }

  bool has_policies() const {
    return std::any_of(table_.columns.begin(), table_.columns.end(), [](const ColumnInfo& c) {
      return c.policy_kind() != PolicyKind::last_writer;
    });
  }

  bool alive() const { return row_lives(row_, sites_, table_.on_delete); }

  bool row_is_tombstone() const {
    const auto dead = [](const Version& v) { return v.dead; };
    if (row_.held) return false;
    return !row_.rest.empty() && std::all_of(row_.rest.begin(), row_.rest.end(), dead) &&
           std::all_of(row_.cells.begin(), row_.cells.end(),
                       [&](const CellVersion& c) { return dead(c.version); });
  }

  const FoldInput& input_;
  const TableInfo& table_;
  const SiteTable& sites_;
  Arena& arena_;
  RowState& row_;
  std::span<const LogEvent> events_;         // those that say something
  std::vector<LogEvent> some_;               // if not all do
  std::vector<ColumnNumber> noted_columns_;  // ascending
  std::vector<Value> parked_;                // by column; empty: nothing of them is kept
};

}  // namespace

void fold_row(const FoldInput& input, const TableInfo& table, const SiteTable& sites, Arena* arena,
              RowState* row) {
  Folder(input, table, sites, arena, row).run();
}

}  // namespace syncline
