// Every bound the core enforces, with its reason. A decoder compares with these before it
// allocates. Tests shrink some of them through options, never by editing this file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace syncline::limits {

// One value. PostgreSQL cannot hold more than 1 GiB in a datum, SQLite's default is 1e9 bytes.
inline constexpr uint64_t value_bytes_max = 1'000'000'000;
// A chunk, packed and unpacked. bytea holds at most 1 GiB less a header; one row of one huge value
// must still fit, so both bounds are that.
inline constexpr uint64_t chunk_bytes_max = 1'073'000'000;
inline constexpr uint64_t chunk_body_bytes_max = 1'073'000'000;
// Default target of an exporter for the unpacked body of a chunk.
inline constexpr uint64_t chunk_bytes_default = 1 << 20;
inline constexpr uint64_t chunk_bytes_floor = 64;
// Names travel in every chunk. PostgreSQL's are 63 bytes; SQLite's are free, this is generous.
inline constexpr uint64_t name_bytes_max = 1024;
// What people say of sites and writers: a site's name, an actor's, why a site was retired. They
// travel in settings and notes, which every other site has to take.
inline constexpr size_t label_bytes_max = 1024;
// What sync_set_context() says, as JSON.
inline constexpr size_t context_bytes_max = 65'536;
// Columns of one table: SQLite's compile-time ceiling is 32,767, PostgreSQL's is 1,600.
inline constexpr uint32_t columns_max = 32'767;
inline constexpr uint32_t key_columns_max = 64;
inline constexpr uint32_t tables_per_chunk_max = 65'536;
// Sites in one vector. 10,000 writers are a vector of about 260 kB.
inline constexpr uint32_t sites_max = 1'000'000;
// Values of one row in a chunk: columns times concurrent versions. 2^24 take 256 MiB unpacked.
inline constexpr uint64_t values_per_row_max = uint64_t{1} << 24;
// Memory for the vectors of one chunk, unpacked: dense arrays, so few bytes can claim much.
inline constexpr uint64_t vector_memory_bytes_max = uint64_t{1} << 30;
// A resume token: a key, names, vectors.
inline constexpr uint64_t token_bytes_max = 256 << 20;
// A note of a version: what its policy or its writer has to say.
inline constexpr uint64_t note_bytes_max = 64 << 20;
inline constexpr uint64_t notes_per_row_max = 1 << 20;
// Settings: policies of all tables and columns. A value is a small JSON object.
inline constexpr uint64_t settings_max = 100'000;
inline constexpr uint64_t setting_key_bytes_max = 4096;
inline constexpr uint64_t setting_value_bytes_max = 65'536;
// Sites whose acknowledgements a chunk passes on.
inline constexpr size_t heard_sites_max = 32;
// Rows in one chunk: bounded by the body anyway, since a row takes at least a byte.
inline constexpr uint64_t rows_per_chunk_max = 64'000'000;
// Concurrent versions of one cell: one a site that wrote it unseen.
inline constexpr uint32_t versions_per_cell_max = 65'536;
// A seq is a log position; 2^62 leaves room for arithmetic in int64.
inline constexpr uint64_t seq_max = uint64_t{1} << 62;
// Hosts keep an hlc in a signed 64-bit column.
inline constexpr uint64_t hlc_max = (uint64_t{1} << 63) - 1;
// Clocks further ahead than this are refused: their versions would win everything.
inline constexpr uint64_t drift_ms_max_default = 5 * 60 * 1000;
// Rows handed to the host at a time.
inline constexpr size_t rows_per_batch = 1024;

}  // namespace syncline::limits
