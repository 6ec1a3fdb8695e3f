// The body of a chunk, compressed and back, and the errors of both directions. Private to
// chunk_writer.cpp and chunk_reader.cpp.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include <lz4.h>
#include <zstd.h>

#include "chunk_format.h"
#include "syncline/chunk.h"
#include "syncline/limits.h"
#include "syncline/status.h"

namespace syncline::chunk_format {

inline Status corrupt(const std::string& what) {
  return Status(StatusCode::corrupt_input, "chunk: " + what, "ask the sender for it again");
}

inline Status over_limit(const std::string& what) {
  return Status(StatusCode::limit_exceeded, "chunk: " + what);
}

// Appends `body`, compressed; plain where compression does not make it smaller. Returns which.
inline Compression append_packed(const std::string& body, Compression compression,
                                 std::string* out) {
  const size_t start = out->size();
  size_t size = body.size();
  if (compression == Compression::zstd) {
    const size_t size_max = ZSTD_compressBound(body.size());
    out->resize(start + size_max);
    size = ZSTD_compress(out->data() + start, size_max, body.data(), body.size(), kZstdLevel);
    if (ZSTD_isError(size)) size = body.size();
  } else if (compression == Compression::lz4) {
    const int body_size = static_cast<int>(body.size());  // chunk_body_bytes_max is below 2^31
    const int size_max = LZ4_compressBound(body_size);
    out->resize(start + static_cast<size_t>(size_max));
    const int lz4_size =
        LZ4_compress_default(body.data(), out->data() + start, body_size, size_max);
    if (lz4_size > 0) size = static_cast<size_t>(lz4_size);
  }
  if (size < body.size()) {
    out->resize(start + size);
    return compression;
  }
  out->resize(start);
  *out += body;
  return Compression::none;
}

// Unpacks the body. Memory is taken only for a size that the packed bytes can back.
inline Status unpack_body(std::string_view packed, Compression compression, uint64_t size,
                          std::unique_ptr<char[]>* body) {
  if (size > limits::chunk_body_bytes_max) return over_limit("its unpacked size is out of range");
  bool plausible = size == packed.size();
  if (compression == Compression::zstd) plausible = size / kZstdRatioMax <= packed.size();
  if (compression == Compression::lz4) plausible = size / kLz4RatioMax <= packed.size();
  if (!plausible) return corrupt("its unpacked size cannot be true");
  *body = std::make_unique_for_overwrite<char[]>(size);
  bool unpacked = true;
  if (compression == Compression::zstd) {
    unpacked = ZSTD_getFrameContentSize(packed.data(), packed.size()) == size &&
               ZSTD_decompress(body->get(), size, packed.data(), packed.size()) == size;
  } else if (compression == Compression::lz4) {
    unpacked = LZ4_decompress_safe(packed.data(), body->get(), static_cast<int>(packed.size()),
                                   static_cast<int>(size)) == static_cast<int>(size);
  } else {
    std::copy(packed.begin(), packed.end(), body->get());
  }
  return unpacked ? Status() : corrupt("its body does not unpack");
}

}  // namespace syncline::chunk_format
