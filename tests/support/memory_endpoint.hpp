// A memory port as one side of a session: each call a transaction of its own.
#pragma once

#include "support/memory_port.hpp"
#include "syncline/session.h"

namespace syncline::test {

class MemoryEndpoint final : public Endpoint {
 public:
  explicit MemoryEndpoint(MemoryPort* port) : port_(*port) {}

  Status hello(Hello* out) override {
    out->engine = "memory";
    return port_.reading([&] { return make_hello(&port_, out); });
  }
  Status produce(const std::string& vector_json, const std::string& resume_hex,
                 const ExportOptions& options, ExportedChunk* out) override {
    return port_.reading(
        [&] { return export_chunk(&port_, vector_json, options, resume_hex, out); });
  }
  Status consume(const std::string& chunk, ApplyReport* out) override {
    return port_.transaction([&] { return apply_chunk(&port_, chunk, apply_options, out); });
  }

  ApplyOptions apply_options;

 private:
  MemoryPort& port_;
};

}  // namespace syncline::test
