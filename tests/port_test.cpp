// The contract of the port on databases in memory. See port_conformance.hpp.
#include "port_melting.hpp"
#include "support/two_sites.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

class MemoryHost {
 public:
  Port& port() { return database_.port; }
  Status transaction(const std::function<Status()>& body) {
    return database_.port.transaction(body);
  }
  void insert_item(int64_t id, std::string_view name, int64_t code) {
    REQUIRE(database_.add_item(id, name, code));
  }
  void rename_item(int64_t id, std::string_view name) {
    REQUIRE(database_.set(id, "name", text(name)));
  }
  void erase_item(int64_t id) { REQUIRE(database_.erase_item(id)); }
  void insert_part(int64_t item, std::string_view line) { REQUIRE(database_.add_part(item, line)); }
  bool has_item(int64_t id) { return database_.has_item(id); }

 private:
  Database database_{1};
};

}  // namespace

TEST_CASE("port: databases in memory keep the contract", "[port][unit]") {
  check_port<MemoryHost>();
}

TEST_CASE("port: databases in memory keep the contract of melting", "[port][unit]") {
  check_melting_port<MemoryHost>();
}
