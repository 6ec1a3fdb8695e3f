// The bytes of a chunk, format version 3. Private to chunk_writer.cpp and chunk_reader.cpp; the
// same grammar, with ranges, is in docs/wire_format.md.
//
//   chunk    = "SYNC" version:byte flags:byte body_size:varint packed hash:16
//   packed   = body, compressed as flags say (0 none, 1 zstd, 2 lz4 block)
//   hash     = XXH3-128, big-endian, of everything before it
//   body     = sites header contexts settings melting sections
//   sites    = count:varint (id:16)*                ; ascending; everything below refers to a
//                                                   ; site by its position here
//   header   = sender:varint exchange:8 number:varint last:byte
//              since:vector start:vector knowledge:vector
//              predecessor:bytes token:bytes row_count:varint
//   vector   = count:varint (site_gap:varint seq:varint [hlc:varint])*
//                                                   ; start is told as what differs from since,
//                                                   ; knowledge as what differs from start, others
//                                                   ; from nothing; seq 0, without hlc: no entry
//   contexts = count:varint vector*
//   settings = count:varint (key:bytes value:bytes hlc:varint site:16)*   ; ascending by key;
//                                                   ; not in version 1
//   melting  = flags:byte [melted:vector] [ranges] [heard]   ; flags 1, 2, 4: which of them;
//                                                   ; melted: what differs from since; not in
//                                                   ; versions 1 and 2
//   ranges   = count:varint (table:bytes after:bytes end:byte upto:bytes
//                                key_count:varint (type:bytes)*)*
//   heard    = count:varint (site:varint vector)*   ; what differs from start
//   sections = count:varint section*
//   section  = schema row_count:varint key:column+ shapes versions context_ids notes value:column*
//   schema   = name:bytes count:varint (name:bytes type:bytes)* key_count:varint position:varint*
//   shapes   = count:varint shape* runs:stream      ; runs: (shape:varint length:varint)*
//   shape    = flags:varint rest:varint count:varint (column_gap:varint versions:varint)*
//   versions = [runs:stream seqs:stream clocks:stream clock_ids:stream]  ; if there are any
//                                                   ; runs: (site*2+dead:varint length:varint)*
//                                                   ; seqs: zigzag, less the last seq of that site
//                                                   ; clocks: first hlc, then gaps, ascending
//                                                   ; clock_ids: varint each
//   context_ids = [stream]                          ; varint for each row whose shape says so
//   notes    = [stream]                             ; for each row whose shape says so:
//                                                   ; count:varint (column:varint site:varint
//                                                   ; seq:varint note:bytes)+; column 0: the row,
//                                                   ; else position + 1; not in version 1
//   column   = [kinds:stream                        ; if it has a value: (kind:varint
//   length:varint)*
//               [mode:byte integers:stream]         ; if a kind is integer: zigzag; mode 1: deltas
//               [real:8*]                           ; little-endian
//               [mode:byte text]]                   ; if a kind is text or blob
//   text     = sizes:stream bytes:stream            ; mode 0
//            / (uuid:16)*                           ; mode 1: all are uuids as 36 characters
//   stream, bytes = size:varint byte*
//   gap      = first position, then the distance to the position before, less one
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace syncline::chunk_format {

inline constexpr std::string_view kMagic = "SYNC";
inline constexpr uint8_t kVersion = 3;
inline constexpr uint8_t kVersionOldest = 1;
inline constexpr size_t kPrefixBytes = kMagic.size() + 2;  // magic, version, flags
inline constexpr size_t kHashBytes = 16;
inline constexpr size_t kExchangeBytes = 8;
inline constexpr int kZstdLevel = 3;

// What a compressor can reach at best; a body said to be larger is a lie. A zstd block of 4 bytes
// yields at most 128 KiB; a byte of an LZ4 block at most 255.
inline constexpr uint64_t kZstdRatioMax = (128 << 10) / 4;
inline constexpr uint64_t kLz4RatioMax = 255;

// Shape flags.
inline constexpr uint64_t kShapeWhole = 1;
inline constexpr uint64_t kShapeContext = 2;
inline constexpr uint64_t kShapeNotes = 4;

// Flags of `melting`.
inline constexpr uint8_t kHasMelted = 1;
inline constexpr uint8_t kHasRanges = 2;
inline constexpr uint8_t kHasHeard = 4;

enum IntegerMode : uint8_t { kIntegerPlain = 0, kIntegerDelta = 1 };
enum BytesMode : uint8_t { kBytesPlain = 0, kBytesUuid = 1 };

}  // namespace syncline::chunk_format
