// Many sites in one process, on the real core over databases in memory: how large vectors become,
// what an exchange carries, and how many rounds a topology needs.
//
//   sites [SITES] [SEED]        default: 1000 sites
//
// Every site has written one row of its own before the first round. In a round of a star or a tree
// every site but the first runs one session with the site above it; in a round of a mesh, with one
// that is drawn anew. The order within a round is random. Afterwards one site writes one row, and
// the rounds until all have it are counted; then a session with nothing to say is measured.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "support/memory_endpoint.hpp"
#include "support/prng.hpp"

namespace {

using namespace syncline;
using namespace syncline::test;

constexpr size_t kTreeChildren = 10;
constexpr int kRoundsMax = 100;

enum class Topology { star, tree, mesh };
constexpr const char* kNames[] = {"star", "tree of tens", "mesh"};

[[noreturn]] void die(const Status& status) {
  std::fprintf(stderr, "sites: %s\n", status.message().c_str());
  std::exit(1);
}

SiteId id_of(uint64_t number) {
  Prng prng(number + 1);
  SiteId id;
  for (auto& byte : id.bytes)
    byte = static_cast<uint8_t>(prng.next());
  return id;
}

// An endpoint that counts what a connection would have carried beside the chunks.
class Counting final : public Endpoint {
 public:
  explicit Counting(MemoryPort* port) : inner_(port) {}
  Status hello(Hello* out) override {
    const Status status = inner_.hello(out);
    hello_bytes += hello_to_json(*out).size();
    return status;
  }
  Status produce(const std::string& vector_json, const std::string& resume_hex,
                 const ExportOptions& options, ExportedChunk* out) override {
    const Status status = inner_.produce(vector_json, resume_hex, options, out);
    chunk_bytes += out->bytes.size();
    return status;
  }
  Status consume(const std::string& chunk, ApplyReport* out) override {
    return inner_.consume(chunk, out);
  }

  uint64_t hello_bytes = 0, chunk_bytes = 0;

 private:
  MemoryEndpoint inner_;
};

struct Traffic {
  uint64_t sessions = 0, hello_bytes = 0, chunk_bytes = 0, rows = 0;
  std::vector<uint64_t> per_session;  // chunk bytes

  uint64_t at(size_t percent) {
    std::sort(per_session.begin(), per_session.end());
    return per_session.empty() ? 0 : per_session[(per_session.size() - 1) * percent / 100];
  }
};

class Network {
 public:
  Network(size_t count, Topology topology, uint64_t seed) : topology_(topology), prng_(seed) {
    const TableRules rules = {
        {"item", {{"id", "integer"}, {"name", "text"}}, {0}}, {}, {}, {}, 0, OnDelete::update_wins};
    for (size_t i = 0; i < count; ++i) {
      sites_.push_back(std::make_unique<MemoryPort>(id_of(i), "site", i));
      sites_[i]->enable(rules);
      write(i);
    }
  }

  void write(size_t site) {
    const Value row[] = {Value::integer(static_cast<int64_t>(written_++)), Value::text("a row")};
    if (!sites_[site]->insert("item", row)) die(Status(StatusCode::internal, "insert refused"));
  }

  // Rounds until every site has every row.
  int converge(Traffic* traffic) {
    for (int round = 1; round <= kRoundsMax; ++round) {
      std::vector<size_t> order(sites_.size());
      for (size_t i = 0; i < order.size(); ++i)
        order[i] = i;
      for (size_t i = order.size(); i > 1; --i)
        std::swap(order[i - 1], order[prng_.next() % i]);
      for (const size_t site : order) {
        const size_t peer = peer_of(site);
        if (peer != site) session(site, peer, traffic);
      }
      if (converged()) return round;
    }
    return -1;
  }

  void session(size_t site, size_t peer, Traffic* traffic) {
    Counting local(sites_[site].get()), remote(sites_[peer].get());
    SessionReport report;
    const Status status = run_session(
        &local, &remote, SessionOptions(), [](const SessionReport&) { return Status(); }, &report);
    if (!status.ok()) die(status);
    const uint64_t bytes = local.chunk_bytes + remote.chunk_bytes;
    ++traffic->sessions;
    traffic->hello_bytes += local.hello_bytes + remote.hello_bytes;
    traffic->chunk_bytes += bytes;
    traffic->rows += report.pulled.rows + report.pushed.rows;
    traffic->per_session.push_back(bytes);
  }

  size_t vector_entries(size_t site) const {
    size_t count = 0;
    const VersionVector vector = sites_[site]->knowledge();
    for (SiteIndex s = 0; s < vector.size(); ++s)
      count += vector.seq(s) > 0;
    return count;
  }
  size_t vector_bytes(size_t site) const {
    return vector_to_json(sites_[site]->knowledge(), sites_[site]->data().sites).size();
  }
  size_t size() const { return sites_.size(); }

 private:
  size_t peer_of(size_t site) {
    switch (topology_) {
      case Topology::star:
        return 0;
      case Topology::tree:
        return site == 0 ? 0 : (site - 1) / kTreeChildren;
      case Topology::mesh:
        return (site + 1 + prng_.next() % (sites_.size() - 1)) % sites_.size();
    }
    return site;
  }

  bool converged() const {
    return std::all_of(sites_.begin(), sites_.end(), [&](const auto& site) {
      return site->table("item")->base.size() == written_;
    });
  }

  Topology topology_;
  Prng prng_;
  std::vector<std::unique_ptr<MemoryPort>> sites_;
  size_t written_ = 0;
};

void print(const char* what, int rounds, Traffic* traffic) {
  std::printf(
      "| %s | %d | %llu | %.1f | %.1f | %.1f | %.1f | %.1f |\n", what, rounds,
      static_cast<unsigned long long>(traffic->sessions),
      static_cast<double>(traffic->rows) / static_cast<double>(traffic->sessions),
      static_cast<double>(traffic->at(50)) / 1024, static_cast<double>(traffic->at(95)) / 1024,
      static_cast<double>(traffic->at(100)) / 1024,
      static_cast<double>(traffic->hello_bytes) / 1024 / static_cast<double>(traffic->sessions));
  std::fflush(stdout);
}

void run(Topology topology, size_t count, uint64_t seed) {
  Network network(count, topology, seed);
  const std::string name = kNames[static_cast<int>(topology)];
  Traffic first, second, idle;
  const int rounds = network.converge(&first);
  print((name + ": a row from every site").c_str(), rounds, &first);
  network.write(count - 1);
  const int more = network.converge(&second);
  print((name + ": one more row").c_str(), more, &second);
  network.session(count - 1, 0, &idle);
  print((name + ": nothing to say").c_str(), 0, &idle);
  std::fprintf(stderr, "%s: vector of %zu entries, %zu bytes of JSON\n", name.c_str(),
               network.vector_entries(count - 1), network.vector_bytes(count - 1));
}

}  // namespace

int main(int argc, char** argv) {
  const size_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  if (count < 2) die(Status(StatusCode::invalid_argument, "at least 2 sites"));
  std::printf(
      "| %zu sites | rounds | sessions | rows a session | KiB a session, median | p95 "
      "| most | KiB of greetings |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
      count);
  for (const Topology t : {Topology::star, Topology::tree, Topology::mesh})
    run(t, count, seed);
  return 0;
}
