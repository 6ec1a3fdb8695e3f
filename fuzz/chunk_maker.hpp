// Chunks for the fuzz targets: hostile, but with a checksum that is right.
#pragma once

#include <string>
#include <string_view>

namespace syncline::fuzz {

// What the targets `chunk` and `apply` take as input is a chunk's body, not packed, after one byte:
// magic, version, size and checksum are put around it. Any mutation so gets past the checksum.
std::string seal_body(std::string_view body);
// The other way round, for seeds: the body of a chunk that is not packed; empty if it is none.
std::string body_of(std::string_view chunk);

// A chunk written by ChunkWriter from decisions of the input: well-formed as a whole, its content
// wild. Sites, tables and columns are often those that the targets' database knows. Empty if the
// writer refuses.
std::string chunk_from(std::string_view recipe);

}  // namespace syncline::fuzz
