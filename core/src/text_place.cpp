#include "text_place.h"

#include <algorithm>
#include <set>

namespace syncline {
namespace {

// Comparing every pair of versions: words of 64 tokens looked at. About a tenth of a second.
constexpr uint64_t kWorkMax = uint64_t{1} << 27;

// The lines of a range that hold a word.
std::vector<std::string_view> word_lines(const TextState& text, TokenRange range) {
  std::vector<std::string_view> lines;
  const char* begin = nullptr;
  bool word = false;
  for (uint32_t i = range.first; i < range.last; ++i) {
    const TextToken& token = text.tokens[i];
    const bool end = token.kind == TokenKind::line_end;
    if (!end && begin == nullptr) begin = token.bytes.data();
    word |= token.kind == TokenKind::word;
    if (!end && i + 1 < range.last) continue;
    const char* stop = token.bytes.data() + (end ? 0 : token.bytes.size());
    if (word) lines.push_back({begin, static_cast<size_t>(stop - begin)});
    begin = nullptr;
    word = false;
  }
  return lines;
}

}  // namespace

TextPlace::TextPlace(std::span<const NumberedText> versions, std::vector<TokenRange> ranges,
                     const TextNumbers& numbers, bool line_before, bool line_after)
    : versions_(versions),
      ranges_(std::move(ranges)),
      numbers_(numbers),
      line_before_(line_before),
      line_after_(line_after) {
  collect();
}

// Fills the bit matrices: which tokens of the place each version holds, and which it knew.
void TextPlace::collect() {
  std::vector<uint32_t> tokens;
  for (size_t v = 0; v < versions_.size(); ++v) {
    const auto begin = versions_[v].tokens.begin();
    tokens.insert(tokens.end(), begin + ranges_[v].first, begin + ranges_[v].last);
  }
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  const uint64_t words = tokens.size() / 64 + 1, count = versions_.size();
  too_large_ = words * count * count > kWorkMax;
  if (too_large_) return;

  held_.assign(count, Bits(words));
  known_.assign(count, Bits(words));
  identities_.resize(tokens.size());
  kinds_.resize(tokens.size());
  for (size_t v = 0; v < count; ++v) {
    const NumberedText& text = versions_[v];
    for (uint32_t i = ranges_[v].first; i < ranges_[v].last; ++i) {
      const auto at = static_cast<size_t>(
          std::lower_bound(tokens.begin(), tokens.end(), text.tokens[i]) - tokens.begin());
      held_[v][at / 64] |= uint64_t{1} << at % 64;
      identities_[at] = text.state->identities[i];
      kinds_[at] = text.state->tokens[i].kind;
    }
  }
  for (size_t v = 0; v < count; ++v) {
    const CellContext& context = versions_[v].state->context;
    uint32_t origin = 0;
    bool covered = true;  // every version of an epoch knew its text
    for (size_t at = 0; at < tokens.size(); ++at) {
      if (identities_[at].origin != origin) {
        origin = identities_[at].origin;
        covered = origin == 0 || covers(context, numbers_.origin(origin));
      }
      if (covered || holds(held_[v], at)) known_[v][at / 64] |= uint64_t{1} << at % 64;
    }
  }
}

bool TextPlace::subsumes(size_t a, size_t b) const {
  for (size_t i = 0; i < held_[a].size(); ++i) {
    const uint64_t removed_a = known_[a][i] & ~held_[a][i];
    const uint64_t removed_b = known_[b][i] & ~held_[b][i];
    if ((known_[b][i] & ~known_[a][i]) != 0 || (removed_b & ~removed_a) != 0) return false;
  }
  return true;
}

std::string_view TextPlace::bytes(size_t version) const {
  const TokenRange range = ranges_[version];
  if (range.size() == 0) return {};
  const std::vector<TextToken>& tokens = versions_[version].state->tokens;
  const char* begin = tokens[range.first].bytes.data();
  const std::string_view last = tokens[range.last - 1].bytes;
  return {begin, static_cast<size_t>(last.data() + last.size() - begin)};
}

// The versions that no other one builds upon here.
std::vector<uint32_t> TextPlace::greatest_knowing() const {
  std::vector<uint32_t> out;
  for (uint32_t v = 0; v < versions_.size(); ++v) {
    bool built_upon = false;
    for (size_t u = 0; u < versions_.size() && !built_upon; ++u)
      built_upon = u != v && subsumes_strictly(u, v);
    if (!built_upon) out.push_back(v);
  }
  return out;
}

// The greatest version, or the greatest of those that build upon it.
uint32_t TextPlace::prevailing(const std::vector<uint32_t>& candidates) const {
  const auto greatest = static_cast<uint32_t>(versions_.size() - 1);
  for (size_t i = candidates.size(); i-- > 0;) {
    if (candidates[i] == greatest || subsumes(candidates[i], greatest)) return candidates[i];
  }
  return greatest;  // only notes that contradict each other lead here
}

bool TextPlace::only_added(size_t version) const {
  for (size_t at = 0; at < identities_.size(); ++at) {
    if (holds(known_[version], at) && !holds(held_[version], at)) return false;
  }
  return ranges_[version].size() > 0;
}

// Lines before a line ("x\n", "y\n"), or after the end of the last one ("\nx", "\ny").
bool TextPlace::whole_lines(const std::vector<uint32_t>& added) const {
  bool ends = line_before_, starts = line_after_;
  for (uint32_t v : added) {
    const std::vector<TextToken>& tokens = versions_[v].state->tokens;
    ends &= tokens[ranges_[v].last - 1].kind == TokenKind::line_end;
    starts &= tokens[ranges_[v].first].kind == TokenKind::line_end;
  }
  return ends || starts;
}

// Two sites that ran the same tool add much the same lines: that is an overlap, not two additions.
bool TextPlace::share_a_line(const std::vector<uint32_t>& added) const {
  std::set<std::string_view> seen;
  for (uint32_t v : added) {
    const auto lines = word_lines(*versions_[v].state, ranges_[v]);
    for (std::string_view line : lines) {
      if (seen.contains(line)) return true;
    }
    seen.insert(lines.begin(), lines.end());
  }
  return false;
}

uint32_t TextPlace::oldest_origin(size_t version) const {
  const std::vector<TokenIdentity>& identities = versions_[version].state->identities;
  uint32_t oldest = identities[ranges_[version].first].origin;
  for (uint32_t i = ranges_[version].first; i < ranges_[version].last; ++i) {
    if (numbers_.older(identities[i].origin, oldest)) oldest = identities[i].origin;
  }
  return oldest;
}

bool TextPlace::order_additions(std::vector<uint32_t>* candidates) const {
  // Of equal additions the greatest version's counts.
  std::vector<uint32_t> added;
  for (size_t i = candidates->size(); i-- > 0;) {
    const uint32_t v = (*candidates)[i];
    if (!only_added(v)) return false;
    const bool again =
        std::any_of(added.begin(), added.end(), [&](uint32_t u) { return bytes(u) == bytes(v); });
    if (!again) added.push_back(v);
  }
  Bits together(held_[0].size());
  for (uint32_t v : added) {
    for (size_t i = 0; i < together.size(); ++i) {
      if ((together[i] & held_[v][i]) != 0) return false;
      together[i] |= held_[v][i];
    }
  }
  if (!whole_lines(added) || share_a_line(added)) return false;
  // By age of what was added, not of the version: a later edit of it must not move it.
  std::sort(added.begin(), added.end(), [this](uint32_t a, uint32_t b) {
    return numbers_.older(oldest_origin(a), oldest_origin(b));
  });
  *candidates = std::move(added);
  return true;
}

Settlement TextPlace::settle() const {
  Settlement out;
  const auto greatest = static_cast<uint32_t>(versions_.size() - 1);
  uint32_t winner = greatest;
  if (!too_large_) {
    std::vector<uint32_t> candidates = greatest_knowing();
    winner = prevailing(candidates);
    const bool one = std::all_of(candidates.begin(), candidates.end(),
                                 [&](uint32_t v) { return bytes(v) == bytes(winner); });
    if (!one && order_additions(&candidates)) {
      out.shown = std::move(candidates);
      return out;
    }
  }
  out.shown = {winner};
  std::vector<uint32_t> alike;  // show the same: what either knew is not lost
  for (uint32_t v = 0; v < versions_.size(); ++v) {
    if (bytes(v) == bytes(winner)) alike.push_back(v);
  }
  for (uint32_t v = 0; v < versions_.size(); ++v) {
    if (bytes(v) == bytes(winner) || v == greatest) continue;
    const bool known = !too_large_ && std::any_of(alike.begin(), alike.end(),
                                                  [&](uint32_t u) { return subsumes(u, v); });
    if (!known) out.lost.push_back(v);
  }
  out.overlap = !out.lost.empty();
  return out;
}

bool TextPlace::half_kept() const {
  if (too_large_) return false;
  std::vector<size_t> words;
  for (size_t at = 0; at < identities_.size(); ++at) {
    const bool known_to_all = std::all_of(known_.begin(), known_.end(),
                                          [&](const Bits& bits) { return holds(bits, at); });
    if (kinds_[at] == TokenKind::word && known_to_all) words.push_back(at);
  }
  return !words.empty() && std::all_of(held_.begin(), held_.end(), [&](const Bits& bits) {
    const auto kept =
        std::count_if(words.begin(), words.end(), [&](size_t at) { return holds(bits, at); });
    return static_cast<size_t>(kept) * 2 >= words.size();
  });
}

}  // namespace syncline
