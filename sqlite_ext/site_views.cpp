// See site_views.h. Before the first sync_enable all of them are empty.
#include "sqlite_ext/site_views.h"

#include <algorithm>
#include <map>
#include <optional>

#include "sqlite_ext/operation.h"
#include "sqlite_ext/table_function.h"
#include "syncline/conflict_text.h"
#include "syncline/maintain.h"

namespace syncline {

namespace {

// NULL without a number or text. No std::variant: a copy of libstdc++'s that has no memory for a
// string is taken apart as if it had one.
struct Cell {
  Cell() = default;
  Cell(std::string words) : text(std::move(words)) {}  // NOLINT: implicit, rows are lists of them
  explicit Cell(int64_t value) : number(value) {}
  std::optional<int64_t> number;
  std::string text;
};

// Rows that were made when it opened.
class MadeSource : public RowSource {
 public:
  explicit MadeSource(std::vector<std::vector<Cell>> rows) : rows_(std::move(rows)) {}
  Status next(bool* row) override {
    *row = ++at_ < rows_.size();
    return {};
  }
  void column(int column, sqlite3_context* context) override {
    const Cell& cell = rows_[at_][static_cast<size_t>(column)];
    if (cell.number) sqlite3_result_int64(context, *cell.number);
    else if (!cell.text.empty()) give_text(context, cell.text);
  }

 private:
  std::vector<std::vector<Cell>> rows_;
  size_t at_ = static_cast<size_t>(-1);
};

Cell time_cell(uint64_t ms) {
  return ms == 0 ? Cell() : Cell(time_text(ms));
}

Cell number_cell(uint64_t number) {
  return Cell(static_cast<int64_t>(number));
}

// What all three show a part of.
struct Sites {
  bool any = false;  // the database has companions
  Operation operation;
  SiteState site;
  std::vector<SiteStanding> standings;
  std::map<SiteIndex, int64_t> ahead_ms;

  Status load(sqlite3* db, const char* what) {
    Registry registry;
    SYNCLINE_TRY(load_registry(db, &registry));
    any = registry.exists;
    if (!any) return {};
    SYNCLINE_TRY(operation.begin_in_snapshot(db, what));
    SYNCLINE_TRY(operation.port().load_site(&site));
    std::vector<Acknowledgement> heard;
    SYNCLINE_TRY(operation.port().load_acknowledgements({}, &heard));
    standings = list_sites(&site, heard);
    Statement s;
    SYNCLINE_TRY(s.prepare(
        db, "SELECT site,ahead_ms FROM main.sync_ack WHERE ahead_ms IS NOT NULL"));
    for (bool row = true;;) {
      SYNCLINE_TRY(s.next(&row));
      if (!row) return {};
      ahead_ms[static_cast<SiteIndex>(s.integer(0))] = s.integer(1);
    }
  }
};

Status open_sites(sqlite3* db, Arguments, std::unique_ptr<RowSource>* out) {
  Sites sites;
  SYNCLINE_TRY(sites.load(db, "sync_sites"));
  std::vector<std::vector<Cell>> rows;
  for (const SiteStanding& standing : sites.standings) {
    const Member& member = standing.member;
    const auto ahead = sites.ahead_ms.find(standing.index);
    const bool self = &standing == sites.standings.data();
    rows.push_back(
        {to_hex(member.id), self ? sites.site.name : member.name,
         member.engine, member.version, std::string(standing.status),
         time_cell(member.joined_ms), time_cell(standing.heard ? standing.heard_ms : 0),
         time_cell(member.retired_ms),
         member.retired ? Cell(to_hex(member.retired_by)) : Cell(),
         standing.heard ? Cell(vector_to_json(standing.has, sites.site.sites)) : Cell(),
         number_cell(standing.behind_changes), number_cell(standing.behind_ms),
         ahead == sites.ahead_ms.end() ? Cell() : Cell(ahead->second),
         number_cell(standing.holds_horizon ? 1 : 0)});
  }
  *out = std::make_unique<MadeSource>(std::move(rows));
  return {};
}

Status open_matrix(sqlite3* db, Arguments, std::unique_ptr<RowSource>* out) {
  Sites sites;
  SYNCLINE_TRY(sites.load(db, "sync_site_matrix"));
  std::vector<std::vector<Cell>> rows;
  const VersionVector& ours = sites.site.knowledge;
  for (const SiteStanding& standing : sites.standings) {
    if (!standing.heard) continue;
    for (const SiteStanding& of : sites.standings) {
      const uint64_t seq = standing.has.seq(of.index), known = ours.seq(of.index);
      if (known == 0 && seq == 0) continue;
      rows.push_back({to_hex(standing.member.id), to_hex(of.member.id), number_cell(seq),
                      number_cell(known > seq ? known - seq : 0)});
    }
  }
  *out = std::make_unique<MadeSource>(std::move(rows));
  return {};
}

// What is known of one site, oldest first.
class History {
 public:
  History(Sites* sites, const SiteStanding& standing)
      : sites_(*sites), registry_(sites->operation.registry()), of_(standing) {}

  std::vector<std::vector<Cell>> rows() {
    tell_registration();
    tell_incarnations();
    const Member& member = of_.member;
    if (member.retired) {
      std::string by = "by " + to_hex(member.retired_by);
      if (!member.note.empty()) by += ": " + member.note;
      add(member.retired_ms, "retired", by);
    }
    if (of_.heard && &of_ != sites_.standings.data()) {
      add(of_.heard_ms, "acknowledged", vector_to_json(of_.has, sites_.site.sites));
    }
    std::stable_sort(lines_.begin(), lines_.end(),
                     [](const Line& a, const Line& b) { return a.ms < b.ms; });
    std::vector<std::vector<Cell>> out;
    for (Line& line : lines_)
      out.push_back({time_cell(line.ms), std::string(line.event), line.detail});
    return out;
  }

 private:
  struct Line {
    uint64_t ms = 0;
    std::string_view event;
    std::string detail;
  };

  void add(uint64_t ms, std::string_view event, std::string detail) {
    lines_.push_back({ms, event, std::move(detail)});
  }

  void tell_registration() {
    const Member& member = of_.member;
    if (member.joined_ms == 0) return;
    add(member.joined_ms, "registered", member.engine + ", syncline " + member.version);
    const Setting* said = sites_.site.settings.find_setting(make_member_setting(member).key);
    if (said == nullptr || member.name.empty()) return;
    add(std::max(hlc_to_ms(said->hlc), member.joined_ms), "renamed", member.name);
  }

  // Ids that this database had, and has.
  void tell_incarnations() {
    const std::vector<Incarnation>& all = registry_.incarnations;
    const SiteTable& ids = registry_.sites;
    for (size_t i = 0; i < all.size(); ++i) {
      if (ids.id(all[i].site) != of_.member.id) continue;
      std::string text = "an id of this database, from change " + std::to_string(all[i].from_seq);
      if (i > 0) text += ", after " + to_hex(ids.id(all[i - 1].site));
      if (i + 1 < all.size()) text += ", before " + to_hex(ids.id(all[i + 1].site));
      add(of_.member.joined_ms, "incarnation", text);
    }
  }

  const Sites& sites_;
  const Registry& registry_;
  const SiteStanding& of_;
  std::vector<Line> lines_;
};

Status open_history(sqlite3* db, Arguments arguments, std::unique_ptr<RowSource>* out) {
  const Result<SiteId> id = site_id_from_hex(arguments[0].bytes);
  if (!id.ok()) {
    return {StatusCode::invalid_argument, "sync_site_history needs the id of a site",
            "32 hex digits, as in sync_sites"};
  }
  Sites sites;
  SYNCLINE_TRY(sites.load(db, "sync_site_history"));
  std::vector<std::vector<Cell>> rows;
  for (const SiteStanding& standing : sites.standings) {
    if (standing.member.id == id.value()) rows = History(&sites, standing).rows();
  }
  *out = std::make_unique<MadeSource>(std::move(rows));
  return {};
}

const TableFunction kViews[] = {
    {"sync_sites",
     "site, name, engine, version, status, joined_at, last_seen_at, retired_at, retired_by, has, "
     "behind_changes, behind_ms, clock_ahead_ms, holds_horizon",
     "", 14, 0, open_sites},
    {"sync_site_matrix", "site, knows_site, seq, behind", "", 4, 0, open_matrix},
    {"sync_site_history", "at, event, detail", "id", 3, 1, open_history},
};

}  // namespace

int register_site_views(sqlite3* db) {
  for (const TableFunction& view : kViews) {
    const int rc = register_table_function(db, &view);
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

}  // namespace syncline
