// Applying a chunk: is it acceptable, and what the exchange leaves behind.
#include "syncline/apply.h"

#include <algorithm>

#include "apply_run.h"
#include "json_options.h"
#include "syncline/codec.h"
#include "token.h"

namespace syncline {
namespace {

std::string seconds(uint64_t ms) { return std::to_string(ms / 1000) + " s"; }

// What `needed` has beyond `have`, as JSON.
std::string beyond(const VersionVector& needed, const VersionVector& have, const SiteTable& sites) {
  VersionVector missing;
  for (SiteIndex s = 0; s < needed.size(); ++s) {
    if (needed.seq(s) > have.seq(s)) missing.set(s, needed.entry(s));
  }
  return vector_to_json(missing, sites);
}

}  // namespace

Status ApplyRun::load() {
  SYNCLINE_TRY(port_.load_site(&site_));
  return port_.load_tables(&tables_);
}

Status ApplyRun::apply(std::string_view bytes) {
  SYNCLINE_TRY(load());
  std::unique_ptr<ChunkReader> reader;
  SYNCLINE_TRY(ChunkReader::open(bytes, &site_.sites, &reader));
  const ChunkHeader& header = reader->header();
  header_ = &header;
  report_.sender = header.sender;
  SYNCLINE_TRY(port_.load_incoming(header.sender, &incoming_));

  bool stale = false;
  SYNCLINE_TRY(check_membership(header));
  SYNCLINE_TRY(check(header, &stale));
  bool behind = false;
  if (!stale) SYNCLINE_TRY(check_melted(header, &behind));
  if (stale || behind) {
    report_.unchanged = header.row_count;
    // Of a sender that is behind and has nothing new there is nothing to come.
    report_.complete = behind || !incoming_.open;
    if (!report_.complete) report_.resume = bytes_to_hex(incoming_.token);
    return {};
  }
  knowledge_after_ = site_.knowledge;
  if (header.last) knowledge_after_.merge(header.start);
  update_.sender = header.sender;
  update_.begin = incoming_.open && header.number > 0 ? incoming_.begin : site_.position;

  SYNCLINE_TRY(take_melted(header));
  SYNCLINE_TRY(take_settings(header.settings));
  SYNCLINE_TRY(recompute_rows());
  SYNCLINE_TRY(apply_tables(reader.get()));
  SYNCLINE_TRY(name_melting_deletes(header));
  SYNCLINE_TRY(settle());
  return finish(header);
}

// Sets *stale for a chunk that was applied before: it changes nothing.
Status ApplyRun::check(const ChunkHeader& header, bool* stale) {
  SYNCLINE_TRY(check_own_entry(header.knowledge));
  SYNCLINE_TRY(check_own_entry(header.since));
  for (const VersionVector* v :
       {&header.knowledge, &header.start, &header.since, &header.melted}) {
    for (SiteIndex s = 0; s < v->size(); ++s) SYNCLINE_TRY(check_clock(v->entry(s).hlc));
  }
  if (!header.start.covered_by(header.knowledge)) {
    return Status(StatusCode::corrupt_input,
                  "the chunk's sender knew less when it read the rows than when it began");
  }
  if (!header.since.covered_by(site_.knowledge)) {
    return Status(StatusCode::gap,
                  "the chunk was made for a database that has more than this one; missing here: " +
                      beyond(header.since, site_.knowledge, site_.sites),
                  "ask the sender for changes since this database's own sync_version_vector()");
  }
  Token done;
  const bool open = incoming_.open && read_token(incoming_.token, &site_.sites, &done).ok();
  const bool follows =
      header.predecessor.empty() || (open && hash128(incoming_.token) == header.predecessor);
  // Repeats: of a chunk of the exchange in progress, or of an exchange that is behind us.
  const bool repeat = open && done.exchange == header.exchange && header.number < done.number;
  const bool behind = header.number > 0 && !follows && header.start.covered_by(site_.knowledge);
  *stale = repeat || behind;
  if (*stale || follows) return {};
  return Status(StatusCode::gap,
                "chunk " + std::to_string(header.number) +
                    " does not follow what was applied from this sender last" +
                    (open ? " (chunk " + std::to_string(done.number - 1) + " of exchange " +
                                bytes_to_hex(done.exchange) + ")"
                          : " (nothing of this exchange was)"),
                "apply the chunks in order, or ask the sender anew with sync_changes_since()");
}

Status ApplyRun::check_own_entry(const VersionVector& vector) {
  const VectorEntry own = vector.entry(site_.self);
  if (own.seq == 0) return {};
  bool yes = false;
  SYNCLINE_TRY(port_.recognises(own, &yes));
  if (yes) return {};
  return Status(StatusCode::identity,
                "a peer knows change " + std::to_string(own.seq) +
                    " of this database's site id, but this database has not made it: it is a copy, "
                    "or was restored from a backup",
                "call sync_new_identity(), then synchronise again");
}

Status ApplyRun::check_clock(Hlc hlc) {
  const uint64_t ms = hlc_to_ms(hlc);
  if (ms <= site_.now_ms + options_.drift_ms_max) return {};
  return Status(StatusCode::clock_drift,
                "the chunk holds a version " + seconds(ms - site_.now_ms) +
                    " ahead of this database's clock; at most " + seconds(options_.drift_ms_max) +
                    " are accepted",
                "set the clock right, there or here; if it was wrong only once, there: SELECT "
                "sync_new_identity()");
}

Status ApplyRun::apply_tables(ChunkReader* reader) {
  for (;;) {
    const TableSchema* schema = nullptr;
    uint64_t rows = 0;
    bool more = false;
    SYNCLINE_TRY(reader->next_table(&schema, &rows, &more));
    SYNCLINE_TRY(sweep_before(more ? schema->name : std::string()));
    if (!more) return {};
    size_t table = 0;
    SYNCLINE_TRY(map_table(*schema, &table));
    SYNCLINE_TRY(probe_range(tables_[table]));
    SYNCLINE_TRY(apply_rows(reader, &tables_[table]));
  }
}

// Finds our table and fills `columns_`; what is missing here is parked first.
Status ApplyRun::map_table(const TableSchema& schema, size_t* table) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    const int64_t found = find_table(tables_, schema.name);
    bool complete = found >= 0;
    columns_.clear();
    if (found >= 0) {
      const TableInfo& ours = tables_[static_cast<size_t>(found)];
      for (const ColumnSchema& column : schema.columns) {
        const int64_t c = find_column(ours.columns, column.name);
        complete = complete && c >= 0;
        columns_.push_back(static_cast<ColumnNumber>(std::max<int64_t>(c, 0)));
      }
      if (complete) {
        *table = static_cast<size_t>(found);
        columns_same_ = columns_.size() == ours.columns.size();
        for (size_t i = 0; i < columns_.size(); ++i) {
          columns_same_ = columns_same_ && columns_[i] == i;
        }
        map_types(schema, ours);
        return check_key(schema, ours);
      }
    }
    SYNCLINE_TRY(record());  // records point into `tables_`, which moves
    SYNCLINE_TRY(port_.park(schema, &tables_));
    if (!update_.settings_new.empty()) apply_policies(site_.settings, &tables_);
  }
  return Status(StatusCode::internal, "table " + schema.name + " was parked but is not there");
}

void ApplyRun::map_types(const TableSchema& schema, const TableInfo& table) {
  key_positions_ = schema.key;
  converted_columns_.assign(columns_.size(), false);
  bool any = false;
  for (size_t i = 0; i < columns_.size(); ++i) {
    converted_columns_[i] = schema.columns[i].type != table.columns[columns_[i]].type;
    any = any || converted_columns_[i];
  }
  if (!any) converted_columns_.clear();
}

Status ApplyRun::check_key(const TableSchema& schema, const TableInfo& table) const {
  bool same = schema.key.size() == table.key.size();
  for (size_t i = 0; same && i < schema.key.size(); ++i) {
    same = columns_[schema.key[i]] == table.key[i];
  }
  std::vector<ColumnNumber> sorted = columns_;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) same = false;
  if (same) return {};
  return Status(StatusCode::schema_mismatch,
                "table " + table.name + " has another primary key at the sender",
                "give both databases the same key columns in the same order");
}

// Knowledge grows in the transaction of the last chunk, to what the sender knew when the exchange
// began: a version in an early chunk may be superseded by one in a later chunk.
Status ApplyRun::finish(const ChunkHeader& header) {
  const bool was_open = incoming_.open;
  update_.incoming.open = !header.last;
  update_.incoming.begin = update_.begin;
  if (!header.last) update_.incoming.token = header.token;
  update_.knowledge_grew = !knowledge_after_.covered_by(site_.knowledge);
  update_.knowledge = knowledge_after_;
  for (const auto& [id, vector] : site_.contexts) {
    if (vector.covered_by(knowledge_after_)) update_.contexts_gone.push_back(id);
  }
  SYNCLINE_TRY(record());
  if (header.last) SYNCLINE_TRY(take_acknowledgements(header));
  if (melts_anew_) SYNCLINE_TRY(melt_anew());
  const bool something = wrote_ || was_open || update_.incoming.open || update_.knowledge_grew ||
                         !update_.contexts_gone.empty() || !update_.contexts_new.empty() ||
                         !update_.settings_new.empty() || update_.melted_changed ||
                         !update_.acknowledgements.empty();
  if (something) SYNCLINE_TRY(port_.save_exchange(site_, update_));
  report_.complete = header.last;
  report_.quarantined = held_here_.size();
  if (!header.last) report_.resume = bytes_to_hex(header.token);
  return {};
}

Status apply_chunk(Port* port, std::string_view bytes, const ApplyOptions& options,
                   ApplyReport* report) {
  *report = ApplyReport();
  return ApplyRun(port, options, report).apply(bytes);
}

Status retry_held(Port* port, std::span<const RowRef> removed, ApplyReport* report) {
  *report = ApplyReport();
  const ApplyOptions options;
  return ApplyRun(port, options, report).retry(removed);
}

Status change_settings(Port* port, std::span<const Setting> settings, ApplyReport* report) {
  *report = ApplyReport();
  const ApplyOptions options;
  return ApplyRun(port, options, report).change_settings(settings);
}

Status apply_options_from_json(std::string_view json, ApplyOptions* out) {
  JsonOptions in("sync_apply");
  SYNCLINE_TRY(in.parse(json));
  SYNCLINE_TRY(in.number("drift_ms_max", 0, hlc_to_ms(limits::hlc_max), &out->drift_ms_max));
  return in.finish();
}

std::string report_to_json(const ApplyReport& report) {
  const auto number = [](const char* name, uint64_t value) {
    return std::string("\"") + name + "\": " + std::to_string(value) + ", ";
  };
  std::string out = "{" + number("applied", report.applied) +
                    number("unchanged", report.unchanged) + number("parked", report.parked) +
                    number("conflicts", report.conflicts) +
                    number("quarantined", report.quarantined) + "\"pending\": ";
  out += report.complete ? "false" : "true";
  out += ", \"complete\": ";
  out += report.complete ? "true" : "false";
  out += ", \"resume\": ";
  out += report.resume.empty() ? "null" : "\"" + report.resume + "\"";
  return out + ", \"sender\": \"" + to_hex(report.sender) + "\"}";
}

}  // namespace syncline
