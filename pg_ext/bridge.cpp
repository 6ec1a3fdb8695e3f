// The catch-all boundary: what C calls in C++ for keys, images and small texts.
//
// Nothing here throws into C. Results live in buffers of this file until the next call: a backend
// has one thread, and capture must not pay for an allocation a row.
#include <algorithm>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "pg_ext/pg_site.h"
#include "syncline/codec.h"
#include "syncline/limits.h"
#include "syncline/session.h"
#include "syncline/value.h"

namespace syncline::pg {

namespace {

// A buffer made on first use, so that no constructor runs when the module is loaded.
template <typename T, int kUse>
T& buffer() {
  static T object;
  return object;
}

void copy_text(const std::string& text, char* out, size_t size) noexcept {
  size_t count = text.size() < size - 1 ? text.size() : size - 1;
  // never cut a UTF-8 sequence
  while (count < text.size() && count > 0 && (static_cast<uint8_t>(text[count]) & 0xc0) == 0x80) {
    --count;
  }
  text.copy(out, count);
  out[count] = '\0';
}

}  // namespace

static_assert(SL_LABEL_BYTES_MAX == limits::label_bytes_max);
static_assert(SL_CONTEXT_BYTES_MAX == limits::context_bytes_max);
static_assert(SL_OK == static_cast<int>(StatusCode::ok));
static_assert(SL_INVALID_ARGUMENT == static_cast<int>(StatusCode::invalid_argument));
static_assert(SL_REFUSED == static_cast<int>(StatusCode::refused));
static_assert(SL_IDENTITY == static_cast<int>(StatusCode::identity));
static_assert(SL_CANCELLED == static_cast<int>(StatusCode::cancelled));
static_assert(SL_HOST_FAILED == static_cast<int>(StatusCode::host_failed));

void fill(const Status& status, SlStatus* out) noexcept {
  out->code = static_cast<int>(status.code());
  copy_text(status.message(), out->message, sizeof(out->message));
  copy_text(status.hint(), out->hint, sizeof(out->hint));
}

void fill_exception(SlStatus* out) noexcept {
  out->code = static_cast<int>(StatusCode::internal);
  out->hint[0] = '\0';
  try {
    throw;
  } catch (const std::bad_alloc&) {
    out->code = static_cast<int>(StatusCode::limit_exceeded);
    std::snprintf(out->message, sizeof(out->message), "out of memory");
  } catch (const std::exception& e) {
    std::snprintf(out->message, sizeof(out->message), "unexpected error: %s", e.what());
  } catch (...) {
    std::snprintf(out->message, sizeof(out->message), "unexpected error");
  }
}

Status guard(void (*leaf)(void*), void* argument) {
  if (sl_guard(leaf, argument) == 0) return {};
  return Status(StatusCode::host_failed, "the server reported an error");
}

}  // namespace syncline::pg

using namespace syncline;
using namespace syncline::pg;

// With the comparison inlined, and with few looks at the bytes themselves, the sort of a fold takes
// half as long as by qsort.
void slb_sort(SlSorted* list, size_t count) {
  std::sort(list, list + count, [](const SlSorted& a, const SlSorted& b) {
    if (a.head[0] != b.head[0]) return a.head[0] < b.head[0];
    if (a.head[1] != b.head[1]) return a.head[1] < b.head[1];
    return std::string_view(a.bytes, a.size) < std::string_view(b.bytes, b.size);
  });
}

SlBytes slb_encode_key(const SlValue* key, uint32_t count) {
  try {
    std::string& out = buffer<std::string, 0>();
    out.clear();
    append_key(&out, {reinterpret_cast<const Value*>(key), count});
    return bytes(out);
  } catch (...) {
    return {nullptr, 0};
  }
}

int32_t slb_decode_key(SlBytes key, SlValue* out, uint32_t count_max) {
  try {
    Arena& arena = buffer<Arena, 1>();
    std::vector<Value>& decoded = buffer<std::vector<Value>, 1>();
    arena.clear();
    decoded.clear();
    if (!decode_key(view(key), &arena, &decoded).ok() || decoded.size() > count_max) return -1;
    for (size_t i = 0; i < decoded.size(); ++i) values(out)[i] = decoded[i];
    return static_cast<int32_t>(decoded.size());
  } catch (...) {
    return -1;
  }
}

SlBytes slb_encode_image(const SlValue* row, const uint32_t* columns, uint32_t count) {
  try {
    std::string& out = buffer<std::string, 2>();
    out.clear();
    for (uint32_t i = 0; i < count; ++i) {
      append_varint(&out, columns[i]);
      append_value(&out, reinterpret_cast<const Value&>(row[i]));
    }
    return bytes(out);
  } catch (...) {
    return {nullptr, 0};
  }
}

SlBytes slb_encode_value(const SlValue* value) {
  try {
    std::string& out = buffer<std::string, 2>();
    out.clear();
    append_value(&out, reinterpret_cast<const Value&>(*value));
    return bytes(out);
  } catch (...) {
    return {nullptr, 0};
  }
}

SlBytes slb_nearest_name(SlBytes name, const SlBytes* names, uint32_t count) {
  try {
    std::string& out = buffer<std::string, 3>();
    std::vector<std::string> candidates;
    for (uint32_t i = 0; i < count; ++i) candidates.emplace_back(view(names[i]));
    out = nearest_name(view(name), candidates);
    return bytes(out);
  } catch (...) {
    return {"", 0};
  }
}
