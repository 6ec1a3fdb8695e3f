// Private: one place of a text that several versions may have changed, and who prevails there.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "text_state.h"

namespace syncline {

// Tokens [first, last) of one version.
struct TokenRange {
  uint32_t first = 0, last = 0;
  uint32_t size() const { return last - first; }
};

// A text whose tokens are numbered: equal numbers are the same token in any version.
struct NumberedText {
  const TextState* state;
  std::vector<uint32_t> tokens;
};

// How a place is settled: the ranges of `shown`, one after the other.
struct Settlement {
  std::vector<uint32_t> shown;  // versions
  std::vector<uint32_t> lost;
  bool overlap = false;  // edits exclude each other here
};

class TextPlace {
 public:
  // `ranges` is the place in each version; `line_before` tells that it starts a line, `line_after`
  // that what follows ends one (or is nothing). REQUIRES: all outlive it.
  TextPlace(std::span<const NumberedText> versions, std::vector<TokenRange> ranges,
            const TextNumbers& numbers, bool line_before, bool line_after);

  Settlement settle() const;
  // Every version kept at least half of the words that all of them knew.
  bool half_kept() const;

 private:
  using Bits = std::vector<uint64_t>;  // one a token of this place

  void collect();
  bool holds(const Bits& bits, size_t token) const { return bits[token / 64] >> token % 64 & 1; }
  // `a` knew every token that b knew here, and every removal of one.
  bool subsumes(size_t a, size_t b) const;
  bool subsumes_strictly(size_t a, size_t b) const { return subsumes(a, b) && !subsumes(b, a); }
  std::string_view bytes(size_t version) const;
  std::vector<uint32_t> greatest_knowing() const;
  uint32_t prevailing(const std::vector<uint32_t>& candidates) const;
  bool only_added(size_t version) const;
  bool whole_lines(const std::vector<uint32_t>& added) const;
  bool share_a_line(const std::vector<uint32_t>& added) const;
  // Orders candidates that each only added whole lines; false if they did anything else.
  bool order_additions(std::vector<uint32_t>* candidates) const;
  uint32_t oldest_origin(size_t version) const;

  std::span<const NumberedText> versions_;
  std::vector<TokenRange> ranges_;
  const TextNumbers& numbers_;
  bool line_before_, line_after_;
  bool too_large_ = false;
  std::vector<TokenIdentity> identities_;  // of the tokens of this place, in any version
  std::vector<TokenKind> kinds_;
  std::vector<Bits> held_, known_;  // by version
};

}  // namespace syncline
