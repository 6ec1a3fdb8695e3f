#include "support/simulation.hpp"

#include <algorithm>
#include <cstdio>

#include "syncline/membership.h"

namespace syncline::test {

Simulation::Simulation(uint64_t seed)
    : prng_(seed),
      generator_(&prng_),
      melting_(static_cast<Melting>(seed / 5 % 3)),
      with_policies_(seed % 5 > 1) {
  static constexpr OnDelete kPolicies[] = {OnDelete::update_wins, OnDelete::delete_wins,
                                           OnDelete::last_writer};
  tables_ = simulation_tables(kPolicies[seed % 3]);
  for (const TableRules& rules : tables_)
    truth_.add_table(rules);
  const std::vector<size_t> counts = {2, 3, 3, 4, 5};
  const size_t count = prng_.pick(counts);
  for (size_t i = 0; i < count; ++i) add_site();
  if (melting_ != Melting::exact) return;
  for (Site& site : sites_) {
    for (const Site& other : sites_) site.port->know_member(other.port->id());
  }
}

void Simulation::add_site() {
  const std::vector<int64_t> skews = {0, 0, -100'000, 100'000};
  Site site;
  const uint64_t number = next_site_++;
  site.port = std::make_unique<MemoryPort>(site_id(number), "s" + std::to_string(number),
                                           prng_.next());
  const bool exact = melting_ != Melting::loose;
  if (exact) site.port->on_fold = [this](const FoldedRow& row) { truth_.folded(row); };
  site.skew_ms = prng_.pick(skews);
  site.port->set_clock(now_ms_ + static_cast<uint64_t>(site.skew_ms));
  site.lacks_column = prng_.chance(.3);
  site.lacks_table = prng_.chance(.3);
  for (const TableRules& rules : tables_) {
    const std::string& name = rules.schema.name;
    if (name == "badge" && site.lacks_table) continue;
    std::vector<OwnedRow> rows;  // of a time before anyone tracked the table
    if (name == "owner" && prng_.chance(.4)) {
      for (int64_t id = 0; id < 2; ++id) {
        rows.push_back({Value::integer(id), generator_.random_value("name"), Value::integer(id)});
      }
    }
    const bool lacks = name == "entry" && site.lacks_column;
    site.port->enable(lacks ? without_column(rules, "note") : rules, rows);
    if (exact) truth_.enabled(*site.port, name, rows);
  }
  if (melting_ != Melting::none) site.port->join_members();
  sites_.push_back(std::move(site));
}

std::string Simulation::run(int steps) {
  for (int i = 0; i < steps && !truth_.full(); ++i) {
    std::string broken = step();
    if (broken == kRefused) broken.clear();
    if (broken.empty() && prng_.chance(.1)) broken = check_safety();
    if (!broken.empty()) return "step " + std::to_string(i) + ": " + broken;
  }
  const std::string broken = calm();
  if (trace_ && !broken.empty()) trace_sites();
  return broken.empty() ? broken : "calm: " + broken;
}

std::string Simulation::step() {
  ++operations_;
  ++steps_;
  tick();
  const size_t site = prng_.below(sites_.size());
  const auto [a, b] = pick_pair();
  const uint64_t roll = prng_.below(1000);
  if (trace_) {
    std::fprintf(stderr, "%3llu: roll %3llu site %zu, %zu to %zu\n",
                 static_cast<unsigned long long>(steps_), static_cast<unsigned long long>(roll),
                 site, a, b);
  }
  if (melting_ != Melting::none && prng_.chance(.07)) {
    return maintain(site, prng_.chance(.5) ? 1'000 : 1 + prng_.below(5));
  }
  if (melting_ == Melting::loose && prng_.chance(.01)) return change_members(site);
  if (roll < 400) return write_some(site);
  if (roll < 460) return deliver_old();
  if (roll < 480) {
    sites_[site].saved = std::make_unique<MemoryPort>(*sites_[site].port);
    return {};
  }
  if (roll < 495) return restore(site);
  if (roll < 505) return catch_up(site);
  if (roll < 520) return with_policies_ ? set_policy(site) : catch_up(site);
  if (roll < 570) return carry_files(a, b);
  if (roll < 620) return session(a, b);
  return exchange(a, b);
}

void Simulation::tick() {
  now_ms_ += prng_.below(3);
  for (Site& site : sites_) {
    const int64_t jump = prng_.chance(.01) ? static_cast<int64_t>(prng_.below(2000)) - 1000 : 0;
    site.skew_ms += jump;
    site.port->set_clock(now_ms_ + static_cast<uint64_t>(site.skew_ms));
  }
}

std::pair<size_t, size_t> Simulation::pick_pair() {
  const size_t a = prng_.below(sites_.size());
  return {a, (a + 1 + prng_.below(sites_.size() - 1)) % sites_.size()};
}

ExportOptions Simulation::export_options() {
  static const std::vector<uint64_t> kBodies = {1, 1, 60, 120, 100'000};
  static const std::vector<Compression> kCompressions = {Compression::none, Compression::zstd,
                                                         Compression::lz4};
  ExportOptions options;
  options.body_bytes_max = prng_.pick(kBodies);
  options.compression = prng_.pick(kCompressions);
  return options;
}

std::string Simulation::write_some(size_t site) {
  for (uint64_t i = 0; i < 1 + prng_.below(3); ++i) {
    generator_.write(sites_[site].port.get());
    ++operations_;
  }
  if (!prng_.chance(.3)) return {};  // several statements are folded at once
  sites_[site].port->fold();
  return check(site);
}

// A policy for some column, set at one site: the others learn of it with the next chunks.
std::string Simulation::set_policy(size_t index) {
  static const std::vector<std::pair<std::string, std::string>> kColumns = {
      {"owner", "name"}, {"owner", "code"}, {"entry", "x"}, {"entry", "y"},
      {"line", "place"}, {"badge", "v"},    {"badge", "w"}, {"badge", "v"}};
  static const std::vector<std::string> kNumbers = {
      "last_writer", "first_writer", "max", "min", "counter", "manual", "sql:max(a, b) - 1"};
  static const std::vector<std::string> kTexts = {"first_writer", "max",    "union",  "json",
                                                  "text",         "concat", "manual", "sql:a || b"};
  const auto& [table, column] = prng_.pick(kColumns);
  const bool number = column != "name" && (table != "badge" || prng_.chance(.3));
  const std::string policy = prng_.pick(number ? kNumbers : kTexts);
  MemoryPort* port = sites_[index].port.get();
  const MemoryTable* present = port->table(table);
  if (present == nullptr || !present->info.present) return {};
  if (trace_)
    std::fprintf(stderr, "     %s.%s: %s\n", table.c_str(), column.c_str(), policy.c_str());
  const Status status = port->set_policy(table, column, policy);
  return status.ok() ? check(index) : problem("set_policy", status);
}

std::string Simulation::deliver_old() {
  if (bag_.empty()) return {};
  const size_t recent = std::min<size_t>(bag_.size(), 20);
  const Mail mail = bag_[bag_.size() - 1 - prng_.below(recent)];
  // A file may reach another site than it was made for.
  const size_t b = prng_.chance(.6) ? mail.receiver : prng_.below(sites_.size());
  if (sites_[b].port->id() == mail.sender) return {};
  return consume(b, mail.chunk, false);
}

// An older copy takes the place of a site: a new identity, and what nobody holds now is lost.
std::string Simulation::restore(size_t index) {
  Site& site = sites_[index];
  if (site.saved == nullptr || melting_ == Melting::exact) return {};
  if (trace_) std::fprintf(stderr, "     restored\n");
  const SiteId before = site.port->id();
  *site.port = *site.saved;
  for (const TableRules& rules : tables_) {
    const MemoryTable* table = site.port->table(rules.schema.name);
    if (rules.schema.name == "badge") site.lacks_table = table == nullptr || !table->info.present;
    if (rules.schema.name != "entry") continue;
    const int64_t note = find_column(table->info.columns, "note");
    site.lacks_column = note < 0 || !table->info.columns[static_cast<size_t>(note)].present;
  }
  site.port->take_identity(site_id(next_site_++));
  site.port->set_clock(now_ms_ + static_cast<uint64_t>(site.skew_ms));
  std::erase_if(bag_,
                [&](const Mail& mail) { return mail.receiver == index && mail.sender == before; });
  for (Site& other : sites_)
    other.port->fold();
  if (melting_ == Melting::loose) {
    site.port->join_members();
    if (prng_.chance(.7)) sites_[prng_.below(sites_.size())].port->retire(before);
    return check(index);
  }
  truth_.forget_lost(ports());
  return check(index);
}

std::string Simulation::maintain(size_t index, uint64_t rows_max) {
  MeltReport report;
  const Status status = sites_[index].port->maintain(rows_max, &report);
  if (trace_) {
    std::fprintf(stderr, "     maintain at %zu: %llu of %llu rows%s\n", index,
                 static_cast<unsigned long long>(report.melted),
                 static_cast<unsigned long long>(report.looked_at), report.done ? "" : ", more");
  }
  return status.ok() ? check(index) : problem("maintain", status);
}

// Somebody comes, somebody is told to go, or comes back under a new id.
std::string Simulation::change_members(size_t index) {
  if (prng_.chance(.3) && sites_.size() < 6) {
    add_site();
    return {};
  }
  const size_t other = prng_.below(sites_.size());
  const SiteId gone = sites_[other].port->id();
  if (other == index) return {};
  const bool returns = !prng_.chance(.3);
  if (trace_) {
    std::fprintf(stderr, "     %zu is retired at %zu%s\n", other, index,
                 returns ? " and comes back" : "");
  }
  sites_[index].port->retire(gone);
  if (!returns) return {};
  sites_[other].port->take_identity(site_id(next_site_++));
  sites_[other].port->join_members();
  return {};
}

// All maintain, speak and maintain again: what is left are rows that cannot melt.
std::string Simulation::melt_all() {
  for (int round = 0; round < 3; ++round) {
    for (size_t a = 0; a < sites_.size(); ++a) {
      for (size_t b = 0; b < sites_.size(); ++b) {
        std::string broken = a == b ? std::string() : whole_session(a, b);
        if (!broken.empty()) return broken;
      }
    }
    for (size_t i = 0; i < sites_.size(); ++i) {
      std::string broken = maintain(i, 100'000);
      if (!broken.empty()) return broken;
    }
  }
  for (const Site& site : sites_) {
    const MemoryData& data = site.port->data();
    std::vector<RowRef> held;  // nothing melts beside them
    const Status listed = site.port->list_held(&held);
    if (!listed.ok()) return problem("list_held", listed);
    for (const auto& [number, table] : data.tables) {
      for (const auto& [key, state] : table.state) {
        if (!held.empty()) break;
        RowState row;
        const Status status = unpack_row(state.packed(), table.info.column_count(), &row);
        if (!status.ok()) return problem("unpack", status);
        if (data.contexts.empty() && can_melt(row, table.info, site.port->knowledge())) {
          return "metadata left in table " + table.info.name + " at " +
                 to_hex(site.port->id()) + ", melted " +
                 vector_to_json(data.melted, data.sites) + ", known " +
                 vector_to_json(site.port->knowledge(), data.sites);
        }
      }
    }
  }
  return {};
}

// A table or a column that a site lacked appears there.
std::string Simulation::catch_up(size_t index) {
  Site& site = sites_[index];
  if (site.lacks_table && (!site.lacks_column || prng_.chance(.5))) {
    site.lacks_table = false;
    site.port->enable(tables_[3]);
  } else if (site.lacks_column) {
    site.lacks_column = false;
    site.port->add_column("entry", {"note", "text"});
  } else {
    return {};
  }
  ApplyReport report;
  const Status status =
      site.port->transaction([&] { return retry_held(site.port.get(), {}, &report); });
  return status.ok() ? check(index) : problem("retry_held", status);
}

std::string Simulation::token(size_t b, const SiteId& sender) const {
  const auto& incoming = sites_[b].port->data().incoming;
  const auto found = incoming.find(sender);
  if (found == incoming.end()) return {};
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : found->second.token) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

std::string Simulation::produce(size_t a, size_t b, const std::string& resume, ExportedChunk* out) {
  ++operations_;
  const MemoryPort& receiver = *sites_[b].port;
  const std::string vector = vector_to_json(receiver.knowledge(), receiver.data().sites);
  const ExportOptions options = export_options();
  MemoryPort* sender = sites_[a].port.get();
  const Status status =
      sender->reading([&] { return export_chunk(sender, vector, options, resume, out); });
  if (trace_) {
    std::fprintf(stderr, "     export at %zu for %zu: chunk %llu, %llu rows%s\n", a, b,
                 static_cast<unsigned long long>(out->number),
                 static_cast<unsigned long long>(out->row_count), out->last ? ", last" : "");
  }
  const bool may_refuse = melting_ == Melting::loose && status.code() == StatusCode::refused;
  if (may_refuse) return kRefused;
  return status.ok() ? std::string() : problem("export", status);
}

// A chunk is applied whole, refused, or fails with everything as it was.
std::string Simulation::consume(size_t b, const std::string& chunk, bool fault, bool* accepted) {
  ++operations_;
  MemoryPort* port = sites_[b].port.get();
  if (fault) port->fail_at(1 + prng_.below(12));
  ApplyReport report;
  const Status status =
      port->transaction([&] { return apply_chunk(port, chunk, ApplyOptions(), &report); });
  port->fail_at(0);
  if (accepted != nullptr) *accepted = status.ok();
  // A late chunk may be from a time when its sender had not seen what has melted here since.
  const bool may_refuse = melting_ != Melting::none && status.code() == StatusCode::refused;
  const bool expected = status.ok() || status.code() == StatusCode::gap || may_refuse ||
                        (fault && status.code() == StatusCode::host_failed);
  if (trace_) {
    std::fprintf(stderr, "     apply at %zu: %s %s %s\n", b,
                 std::string(status_code_name(status.code())).c_str(), status.message().c_str(),
                 report_to_json(report).c_str());
  }
  if (!expected) return problem("apply", status);
  return check(b);
}

std::string Simulation::carry_files(size_t a, size_t b) {
  std::vector<Mail> order;
  std::string resume = prng_.chance(.5) ? token(b, sites_[a].port->id()) : std::string();
  for (int i = 0; i < 8; ++i) {
    ExportedChunk chunk;
    std::string broken = produce(a, b, resume, &chunk);
    if (!broken.empty()) return broken;
    order.push_back({chunk.bytes, b, sites_[a].port->id()});
    if (chunk.last) break;
    resume = chunk.resume_hex;
    if (prng_.chance(.5)) generator_.write(sites_[a].port.get());
  }
  if (prng_.chance(.5)) prng_.shuffle(&order);
  bag_.insert(bag_.end(), order.begin(), order.end());
  const size_t arrive = prng_.below(order.size() + 1);
  for (size_t i = 0; i < arrive; ++i) {
    std::string broken = consume(b, order[i].chunk, false);
    if (!broken.empty()) return broken;
  }
  return {};
}

std::string Simulation::exchange(size_t a, size_t b) {
  static const std::vector<int> kPieces = {1, 1, 2, 3, 99};
  const int pieces = prng_.pick(kPieces);
  for (int i = 0; i < pieces; ++i) {
    ExportedChunk chunk;
    // Now and then with a token that is not this sender's.
    const size_t whose = prng_.chance(.05) ? prng_.below(sites_.size()) : a;
    std::string broken = produce(a, b, token(b, sites_[whose].port->id()), &chunk);
    if (broken.empty()) broken = check(a);
    if (!broken.empty()) return broken;
    const bool lost = prng_.chance(.15);
    if (lost || prng_.chance(.3)) bag_.push_back({chunk.bytes, b, sites_[a].port->id()});
    if (lost) return {};
    broken = consume(b, chunk.bytes, prng_.chance(.1));
    if (broken.empty() && prng_.chance(.05)) broken = consume(b, chunk.bytes, false);
    if (!broken.empty() || chunk.last) return broken;
    if (prng_.chance(.3)) generator_.write(sites_[prng_.below(sites_.size())].port.get());
    const size_t c = prng_.below(sites_.size());
    if (c == b || !prng_.chance(.25)) continue;
    ExportedChunk other;  // another peer gets in between
    broken = produce(c, b, token(b, sites_[c].port->id()), &other);
    if (broken.empty()) broken = consume(b, other.bytes, false);
    if (!broken.empty()) return broken;
  }
  return {};
}

std::string Simulation::session(size_t a, size_t b) {
  MemoryEndpoint local(sites_[a].port.get()), remote(sites_[b].port.get());
  SessionOptions options;
  options.direction = static_cast<Direction>(prng_.below(3));
  options.export_options = export_options();
  uint64_t chunks_left = prng_.chance(.5) ? 1 + prng_.below(4) : 1000;
  const auto progress = [&](const SessionReport&) {
    if (prng_.chance(.2)) generator_.write(sites_[prng_.below(sites_.size())].port.get());
    return --chunks_left > 0 ? Status() : Status(StatusCode::cancelled, "the line is dead");
  };
  SessionReport report;
  const Status status = run_session(&local, &remote, options, progress, &report);
  const bool may_refuse = melting_ == Melting::loose && status.code() == StatusCode::refused;
  if (!status.ok() && status.code() != StatusCode::cancelled && !may_refuse) {
    return problem("session", status);
  }
  operations_ += report.pulled.chunks + report.pushed.chunks;
  sites_[a].port->fold();
  sites_[b].port->fold();
  const std::string broken = check(a);
  return broken.empty() ? check(b) : broken;
}

std::string Simulation::check(size_t site) const {
  const MemoryPort& port = *sites_[site].port;
  std::string broken = melting_ == Melting::loose ? std::string() : truth_.check(port);
  if (broken.empty()) broken = port.dangling();
  return broken.empty() ? broken : "site " + std::to_string(site) + ": " + broken;
}

std::string Simulation::check_safety() {
  for (Site& site : sites_)
    site.port->fold();
  return melting_ == Melting::loose ? std::string() : truth_.check_safety(ports());
}

std::vector<const MemoryPort*> Simulation::ports() const {
  std::vector<const MemoryPort*> out;
  for (const Site& site : sites_)
    out.push_back(site.port.get());
  return out;
}

}  // namespace syncline::test
