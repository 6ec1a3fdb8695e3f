// The calm phase: what must have become of a simulation when everybody has spoken with everybody.
#include <algorithm>
#include <cstdio>

#include "support/simulation.hpp"

#include "syncline/membership.h"

namespace syncline::test {
namespace {

// All base rows in words, columns by name: what the databases must agree on.
std::string stored_rows(const MemoryPort& port) {
  std::map<std::string, std::string> rows;
  for (const auto& [number, table] : port.data().tables) {
    for (const auto& [key, row] : table.base) {
      std::map<std::string, std::string> columns;
      for (ColumnNumber c = 0; c < table.info.column_count(); ++c) {
        columns[table.info.columns[c].name] = describe(row.values[c].view());
      }
      std::string& text = rows[table.info.name + " " + key];
      for (const auto& [name, value] : columns)
        text += " " + name + "=" + value;
    }
  }
  std::string out;
  for (const auto& [row, text] : rows)
    out += row + ":" + text + "\n";
  return out;
}

}  // namespace

std::string Simulation::pull_all(size_t a, size_t b, uint64_t* rows) {
  for (int i = 0; i < 500; ++i) {
    ExportedChunk chunk;
    std::string broken = produce(a, b, token(b, sites_[a].port->id()), &chunk);
    bool accepted = false;
    if (broken.empty()) broken = consume(b, chunk.bytes, false, &accepted);
    if (broken.empty() && !accepted) broken = "a chunk made for this very site was refused";
    if (!broken.empty()) return broken;
    *rows += chunk.row_count;
    if (chunk.last) return {};
  }
  return "an exchange never ends";
}

std::string Simulation::whole_session(size_t a, size_t b) {
  MemoryEndpoint local(sites_[a].port.get()), remote(sites_[b].port.get());
  SessionOptions options;
  options.export_options = export_options();
  SessionReport report;
  const Status status = run_session(&local, &remote, options, {}, &report);
  const bool may_refuse = melting_ == Melting::loose && status.code() == StatusCode::refused;
  if (!status.ok()) return may_refuse ? std::string() : problem("session", status);
  MemoryPort* port = sites_[a].port.get();  // as sync_now does
  const Status heard =
      port->transaction([&] { return hear_peer(port, report.peer_site, report.peer_vector); });
  return heard.ok() ? std::string() : problem("hear_peer", heard);
}

std::string Simulation::calm() {
  for (size_t i = 0; i < sites_.size(); ++i) {
    while (sites_[i].lacks_column || sites_[i].lacks_table) {
      std::string broken = catch_up(i);
      if (!broken.empty()) return broken;
    }
  }
  if (melting_ == Melting::loose) {
    // Those that others retired come back under new ids, and so does whoever was told.
    for (Site& site : sites_) {
      const SiteId old = site.port->id();
      const auto told = [&](const Site& other) {
        return find_retirement(other.port->data().settings, old) != nullptr;
      };
      if (std::none_of(sites_.begin(), sites_.end(), told)) continue;
      site.port->take_identity(site_id(next_site_++));
      site.port->join_members();
    }
    for (const Site& knows : sites_) {
      for (const SiteId& id : member_ids(knows.port->data().settings)) {
        const auto is = [&](const Site& site) { return site.port->id() == id; };
        if (std::none_of(sites_.begin(), sites_.end(), is)) sites_[0].port->retire(id);
      }
    }
  }
  // Some runs come together by sessions alone.
  const bool by_session = melting_ == Melting::loose || prng_.chance(.5);
  const size_t rounds = (melting_ == Melting::loose ? 3 : 2) * sites_.size() + 2;
  // Sites that wait for the rest of a full exchange from somebody who is gone wait for ever, if no
  // whole site is left: docs/limitations.md.
  const auto joins = [](const Site& site) {
    return !site.port->data().melted.covered_by(site.port->knowledge());
  };
  for (size_t round = 0; round <= rounds; ++round) {
    if (round == rounds && std::any_of(sites_.begin(), sites_.end(), joins)) return {};
    uint64_t rows = 0;
    for (size_t a = 0; a < sites_.size(); ++a) {
      for (size_t b = 0; b < sites_.size(); ++b) {
        if (a == b) continue;
        std::string broken =
            by_session && round < rounds ? whole_session(a, b) : pull_all(a, b, &rows);
        if (broken == kRefused) broken.clear();
        if (!broken.empty()) return broken;
      }
    }
    if (round == rounds && rows > 0 && !contexts_left()) {
      return "an exchange with nothing new moved rows";
    }
  }
  std::string broken = check_calm();
  if (!broken.empty() || melting_ == Melting::none) return broken;
  broken = melt_all();
  return broken.empty() ? check_calm() : "melted: " + broken;
}

// A row that came from an unfinished exchange, with a version of an incarnation that is gone: what
// is known of it stays beyond all knowledge, and it travels until that site is retired.
bool Simulation::contexts_left() const {
  return std::any_of(sites_.begin(), sites_.end(),
                     [](const Site& site) { return !site.port->data().contexts.empty(); });
}

// Rows that somewhere have a melted version beside one that did not see it: who inserts over a row
// that is held does not. A conflict of the two has another id where both have their names.
std::set<std::string> Simulation::rows_half_melted() const {
  std::set<std::string> out;
  for (const MemoryPort* port : ports()) {
    for (const auto& [number, table] : port->data().tables) {
      for (const auto& [key, state] : table.state) {
        Arena arena;
        const RowState row = port->row(table, key, &arena);
        const auto melted = [](const Version& v) { return v.melted(); };
        const bool plain = row.rest.size() == 1 && !may_conflict(row);
        if (!plain && any_version(row, melted)) out.insert(table.info.name + " " + key);
      }
    }
  }
  return out;
}

std::string Simulation::check_calm() const {
  const std::vector<const MemoryPort*> all = ports();
  const std::set<std::string> half_melted = rows_half_melted();
  for (size_t i = 0; i < all.size(); ++i) {
    std::string broken = check(i);
    if (broken.empty()) broken = check_quarantine(*all[i]);
    if (broken.empty()) broken = check_conflicts(*all[i]);
    if (!broken.empty()) return broken;
    if (melting_ == Melting::loose) continue;
    for (const auto& [id, vector] : all[i]->data().contexts) {
      for (const MemoryPort* site : all) {
        // An incarnation that is gone may leave a context.
        const int64_t s = all[i]->data().sites.find(site->id());
        const auto index = static_cast<SiteIndex>(s);
        if (s >= 0 && vector.seq(index) > all[i]->knowledge().seq(index)) return "context left";
      }
    }
    const auto ids = [&](const MemoryPort& port) {
      std::set<std::string> out;
      for (const auto& [id, open] : port.data().conflicts) {
        const std::string& name = port.data().tables.at(open.table).info.name;
        if (half_melted.count(name + " " + open.key) == 0) out.insert(id);
      }
      return out;
    };
    if (ids(*all[i]) != ids(*all[0])) return "open conflicts differ";
  }
  for (const MemoryPort* port : all) {
    if (stored_rows(*port) != stored_rows(*all[0])) return "the base tables differ";
  }
  if (melting_ == Melting::loose) return {};
  const std::string broken = truth_.check_converged(all);
  return broken.empty() ? truth_.check_safety(all) : broken;
}

// What the sites hold: base rows, then the versions of rows with state.
void Simulation::trace_sites() const {
  for (const MemoryPort* port : ports()) {
    std::fprintf(stderr, "site %s, known %s, melted %s\n", to_hex(port->id()).c_str(),
                 vector_to_json(port->knowledge(), port->data().sites).c_str(),
                 vector_to_json(port->data().melted, port->data().sites).c_str());
    std::string rows = stored_rows(*port);
    std::replace(rows.begin(), rows.end(), '\0', ' ');  // keys hold them
    std::fputs(rows.c_str(), stderr);
    for (const auto& [number, table] : port->data().tables) {
      for (const auto& [key, state] : table.state) {
        Arena arena;
        const RowState row = port->row(table, key, &arena);
        std::fprintf(stderr, "  %s %s:%s%s", table.info.name.c_str(), key.c_str(),
                     row.held ? " held" : "", row.kept ? " kept" : "");
        const auto print = [&](const char* name, const Version& v) {
          std::fprintf(stderr, " %s=%s:%llu@%llu%s", name,
                       to_hex(port->data().sites.id(v.site)).substr(30).c_str(),
                       static_cast<unsigned long long>(v.seq),
                       static_cast<unsigned long long>(v.hlc), v.dead ? "x" : "");
        };
        for (const Version& v : row.rest) print("*", v);
        for (const CellVersion& c : row.cells)
          print(table.info.columns[c.column].name.c_str(), c.version);
        std::fputc('\n', stderr);
      }
    }
    for (const auto& [id, open] : port->data().conflicts) {
      std::fprintf(stderr, "  conflict in %s %s: %s\n",
                   port->data().tables.at(open.table).info.name.c_str(), open.key.c_str(),
                   open.reason.c_str());
    }
  }
}

}  // namespace syncline::test
