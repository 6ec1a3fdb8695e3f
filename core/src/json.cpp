// See syncline/json.h.
#include "syncline/json.h"

#include <atomic>
#include <functional>

namespace syncline {

namespace {

constexpr size_t kReserveBytes = 256 << 10;
alignas(std::max_align_t) char reserve[kReserveBytes];
size_t reserve_used = 0, reserve_parts = 0;
std::atomic_flag reserve_busy = ATOMIC_FLAG_INIT;

class Lock {
 public:
  Lock() {
    while (reserve_busy.test_and_set(std::memory_order_acquire)) {
    }
  }
  ~Lock() { reserve_busy.clear(std::memory_order_release); }
};

}  // namespace

// Counts brackets outside of strings: as deep as the document is, if it is one.
bool json_is_shallow(std::string_view text) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kJsonDepthMax) return false;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return true;
}

void* allocate_json(size_t bytes) {
  if (void* memory = ::operator new(bytes, std::nothrow)) return memory;
  const Lock lock;
  const size_t rounded = (bytes + 15) / 16 * 16;
  if (rounded > kReserveBytes - reserve_used) throw std::bad_alloc();
  void* memory = reserve + reserve_used;
  reserve_used += rounded;
  ++reserve_parts;
  return memory;
}

void release_json(void* memory) noexcept {
  const char* at = static_cast<const char*>(memory);
  if (std::less<const char*>()(at, reserve) ||
      !std::less<const char*>()(at, reserve + kReserveBytes)) {
    ::operator delete(memory);
    return;
  }
  const Lock lock;
  if (--reserve_parts == 0) reserve_used = 0;
}

template <typename Document>
Document parse_json(std::string_view text) {
  if (!json_is_shallow(text)) return Document(nlohmann::json::value_t::discarded);
  return Document::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string json_text(const SortedJson& document) {
  return document.dump(-1, ' ', false, SortedJson::error_handler_t::replace);
}

std::string json_text(const OrderedJson& document) {
  return document.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace syncline

template class nlohmann::basic_json<std::map, std::vector, std::string, bool, int64_t, uint64_t,
                                    double, std::allocator, nlohmann::adl_serializer,
                                    syncline::JsonBinary>;
template class nlohmann::basic_json<nlohmann::ordered_map, std::vector, std::string, bool, int64_t,
                                    uint64_t, double, std::allocator, nlohmann::adl_serializer,
                                    syncline::JsonBinary>;
template syncline::SortedJson syncline::parse_json(std::string_view);
template syncline::OrderedJson syncline::parse_json(std::string_view);
