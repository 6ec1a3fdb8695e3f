// Exporting: everything the holder of a vector lacks, chunk by chunk, in key order.
//
// An exchange for someone who does not know what is melted here (SiteState::melted) is full: every
// row goes along, and each chunk says which keys it covers, since rows may be gone without a trace.
//
// Stateless: where an exchange stands is in its token, which the receiver keeps. Writes nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "syncline/chunk.h"
#include "syncline/limits.h"
#include "syncline/port.h"

namespace syncline {

struct ExportOptions {
  uint64_t body_bytes_max = limits::chunk_bytes_default;
  std::optional<Compression> compression;  // none chosen: what suits the way, else zstd
};

// Parses {"max_bytes": n, "compress": "zstd"|"lz4"|"none", "resume": "hex"}. Errors:
// invalid_argument, naming an unknown key and the nearest known one.
Status export_options_from_json(std::string_view json, ExportOptions* options,
                                std::string* resume_hex);

struct ExportedChunk {
  std::string bytes;
  uint64_t number = 0;
  uint64_t row_count = 0;
  bool last = false;
  std::string resume_hex;  // to go on from; empty if last
};

// Makes the next chunk for a holder of `vector_json`, going on from `resume_hex` if that token is
// ours and still means something, else from the beginning. There is always a chunk: an exchange
// without news is one empty, last chunk.
// Errors: invalid_argument for a malformed vector; identity, if the vector shows that our dots are
// used by another (see Port::recognises); refused while a full exchange into this database is
// unfinished; host_failed.
// Cost: linear in the rows scanned; memory is one chunk.
Status export_chunk(Port* port, std::string_view vector_json, const ExportOptions& options,
                    std::string_view resume_hex, ExportedChunk* out);

}  // namespace syncline
