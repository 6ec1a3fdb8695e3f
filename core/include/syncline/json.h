// JSON documents: nlohmann's, made safe to destroy when there is no memory.
//
// Its destructor takes a document apart on a vector, and an exception from a destructor ends the
// program. So vectors of documents fall back to a reserve when operator new fails. The reserve
// holds 16,000 nodes at once; it is for all threads, and given back by the time a document is gone.
#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <string_view>

namespace syncline {

// Bytes of a document: a type of ours, which makes the documents' types ours, too.
using JsonBytes = std::vector<uint8_t, std::allocator<uint8_t>>;
struct JsonBinary : JsonBytes {
  using JsonBytes::vector;
};

template <template <typename, typename, typename...> class Object>
using BasicJson =
    nlohmann::basic_json<Object, std::vector, std::string, bool, int64_t, uint64_t, double,
                         std::allocator, nlohmann::adl_serializer, JsonBinary>;

using SortedJson = BasicJson<std::map>;                // members by name
using OrderedJson = BasicJson<nlohmann::ordered_map>;  // members as they were added

// The depth of documents that are read. What walks a document calls itself for every level, and
// documents come from strangers.
inline constexpr size_t kJsonDepthMax = 500;
bool json_is_shallow(std::string_view text);

// Reads a document, SortedJson or OrderedJson. One that is malformed or too deep is "discarded":
// is_discarded() of it is true, and it is of no other type.
template <typename Document>
Document parse_json(std::string_view text);

// The document on one line. Bytes that are no UTF-8 become U+FFFD.
std::string json_text(const SortedJson& document);
std::string json_text(const OrderedJson& document);

// Memory for `bytes` bytes: usual, else from the reserve. Throws std::bad_alloc.
void* allocate_json(size_t bytes);
void release_json(void* memory) noexcept;

template <typename T>
struct JsonAllocator {
  using value_type = T;
  JsonAllocator() = default;
  template <typename U>
  JsonAllocator(const JsonAllocator<U>&) {}  // NOLINT: implicit, as allocators are
  T* allocate(size_t count) {
    if (count > PTRDIFF_MAX / sizeof(T)) throw std::bad_array_new_length();
    return static_cast<T*>(allocate_json(count * sizeof(T)));
  }
  void deallocate(T* memory, size_t) noexcept { release_json(memory); }
  bool operator==(const JsonAllocator&) const { return true; }
};

}  // namespace syncline

// Where the library says std::vector<document>.
template <>
struct std::allocator<syncline::SortedJson> : syncline::JsonAllocator<syncline::SortedJson> {
  allocator() = default;
  template <typename U>
  allocator(const std::allocator<U>&) {}  // NOLINT: as above
};
template <>
struct std::allocator<syncline::OrderedJson> : syncline::JsonAllocator<syncline::OrderedJson> {
  allocator() = default;
  template <typename U>
  allocator(const std::allocator<U>&) {}  // NOLINT: as above
};

// The library's code is compiled once, in json.cpp, and not in each of some forty files.
extern template class nlohmann::basic_json<std::map, std::vector, std::string, bool, int64_t,
                                           uint64_t, double, std::allocator,
                                           nlohmann::adl_serializer, syncline::JsonBinary>;
extern template class nlohmann::basic_json<nlohmann::ordered_map, std::vector, std::string, bool,
                                           int64_t, uint64_t, double, std::allocator,
                                           nlohmann::adl_serializer, syncline::JsonBinary>;
extern template syncline::SortedJson syncline::parse_json(std::string_view);
extern template syncline::OrderedJson syncline::parse_json(std::string_view);
