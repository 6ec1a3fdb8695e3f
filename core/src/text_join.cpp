#include "text_join.h"

#include <algorithm>
#include <unordered_map>

#include "text_place.h"

namespace syncline {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

// A token is its identity and its bytes: a note that gives an identity to other bytes than the
// rest of the world does names another token.
struct TokenName {
  TokenIdentity identity;
  std::string_view bytes;

  bool operator==(const TokenName& other) const {
    return identity.origin == other.identity.origin && identity.index == other.identity.index &&
           bytes == other.bytes;
  }
};

struct TokenNameHash {
  size_t operator()(const TokenName& name) const {
    const uint64_t place = uint64_t{name.identity.origin} << 32 | name.identity.index;
    return static_cast<size_t>((place + 1) * 0x9e3779b97f4a7c15) ^
           std::hash<std::string_view>()(name.bytes);
  }
};

class Join {
 public:
  Join(std::span<const TextState* const> versions, const TextNumbers& numbers) : numbers_(numbers) {
    for (const TextState* version : versions)
      texts_.push_back({version, {}});
  }

  JoinedText run() {
    out_.lost.assign(texts_.size(), false);
    number_tokens();
    find_common();
    for (NumberedText& text : texts_)
      keep_fixed(text);
    keep_in_place();
    settle_all();
    return std::move(out_);
  }

 private:
  const NumberedText& greatest() const { return texts_.back(); }

  void number_tokens() {
    std::unordered_map<TokenName, uint32_t, TokenNameHash> numbers;
    for (NumberedText& text : texts_) {
      text.tokens.reserve(text.state->tokens.size());
      for (size_t i = 0; i < text.state->tokens.size(); ++i) {
        const TokenName name{text.state->identities[i], text.state->tokens[i].bytes};
        const auto number = static_cast<uint32_t>(numbers.size());
        text.tokens.push_back(numbers.try_emplace(name, number).first->second);
      }
    }
    token_count_ = numbers.size();
  }

  // stable_: the tokens that all versions hold, in the greatest version's order.
  void find_common() {
    std::vector<uint32_t> holders(token_count_);
    for (const NumberedText& text : texts_) {
      for (uint32_t token : text.tokens)
        ++holders[token];
    }
    for (uint32_t token : greatest().tokens) {
      if (holders[token] == texts_.size()) stable_.push_back(token);
    }
    number_stable();
  }

  void number_stable() {
    rank_.assign(token_count_, kNone);
    for (uint32_t i = 0; i < stable_.size(); ++i)
      rank_[stable_[i]] = i;
  }

  void keep_only(const std::vector<bool>& kept) {
    size_t size = 0;
    for (size_t i = 0; i < stable_.size(); ++i) {
      if (kept[i]) stable_[size++] = stable_[i];
    }
    stable_.resize(size);
    number_stable();
  }

  // Drops what stands in another order in this version. Additions at one place that were merged
  // in different company may stand in either order.
  void keep_fixed(const NumberedText& text) {
    std::vector<bool> kept(stable_.size());
    uint32_t at = 0, end = 0;  // `end` is one beyond the greatest rank so far
    for (uint32_t token : text.tokens) {
      const uint32_t rank = rank_[token];
      if (rank == kNone) continue;
      kept[at] = rank == at && end == at;
      end = std::max(end, rank + 1);
      ++at;
    }
    keep_only(kept);
  }

  // A token that stands in different places in the versions that hold it makes them one place.
  void keep_in_place() {
    std::vector<uint32_t> first(token_count_, kNone), last(token_count_, 0);
    for (const NumberedText& text : texts_) {
      uint32_t place = 0;
      for (uint32_t token : text.tokens) {
        if (rank_[token] != kNone) {
          ++place;
          continue;
        }
        first[token] = std::min(first[token], place);
        last[token] = std::max(last[token], place);
      }
    }
    std::vector<int64_t> depth(stable_.size() + 1);
    for (size_t token = 0; token < token_count_; ++token) {
      if (first[token] == kNone || first[token] == last[token]) continue;
      ++depth[first[token]];
      --depth[last[token]];
    }
    std::vector<bool> kept(stable_.size());
    int64_t open = 0;
    for (size_t i = 0; i < stable_.size(); ++i) {
      open += depth[i];
      kept[i] = open == 0;
    }
    keep_only(kept);
  }

  // at_[v][i]: where the i-th stable token stands in version v; then the end.
  void find_places() {
    at_.resize(texts_.size());
    for (size_t v = 0; v < texts_.size(); ++v) {
      const std::vector<uint32_t>& tokens = texts_[v].tokens;
      for (uint32_t i = 0; i < tokens.size(); ++i) {
        if (rank_[tokens[i]] != kNone) at_[v].push_back(i);
      }
      at_[v].push_back(static_cast<uint32_t>(tokens.size()));
    }
  }

  TokenKind kind(size_t v, uint32_t token) const { return texts_[v].state->tokens[token].kind; }
  uint32_t gap_start(size_t v, size_t gap) const { return gap == 0 ? 0 : at_[v][gap - 1] + 1; }
  TokenRange gap(size_t v, size_t i) const { return {gap_start(v, i), at_[v][i]}; }

  // In every version a line starts before the i-th stable token (the end, if i is their number).
  bool starts_line(size_t i) const {
    for (size_t v = 0; v < texts_.size(); ++v) {
      const uint32_t at = at_[v][i];
      if (at > 0 && kind(v, at - 1) != TokenKind::line_end) return false;
    }
    return true;
  }
  bool ends_line(size_t i) const { return kind(0, at_[0][i]) == TokenKind::line_end; }

  // A stretch of the text: from before gap `first`, or from the stable token after it, to the end
  // of gap `last`, or of the stable token before it.
  struct Stretch {
    size_t first, last;
    bool skip_first, skip_last;
  };

  std::vector<TokenRange> ranges(const Stretch& s) const {
    std::vector<TokenRange> out(texts_.size());
    for (size_t v = 0; v < texts_.size(); ++v) {
      out[v].first = s.skip_first ? at_[v][s.first] : gap_start(v, s.first);
      out[v].last = s.skip_last ? gap_start(v, s.last) : at_[v][s.last];
    }
    return out;
  }

  // Cuts wherever a line ends or starts in every version.
  void settle_all() {
    find_places();
    Stretch open{0, 0, false, false};
    const size_t gaps = stable_.size() + 1;
    for (size_t i = 0; i < gaps; ++i) {
      if (i > 0 && ends_line(i - 1)) {
        settle({open.first, i, open.skip_first, true});
        open = {i, 0, false, false};
      }
      if (i + 1 < gaps && starts_line(i)) {
        settle({open.first, i, open.skip_first, false});
        open = {i, 0, true, false};
      }
    }
    settle({open.first, gaps - 1, open.skip_first, false});
  }

  static size_t stable_in(const Stretch& s) { return s.last - s.first; }

  void settle(const Stretch& s) {
    std::vector<TokenRange> places = ranges(s);
    const bool unchanged = std::all_of(places.begin(), places.end(), [&](const TokenRange& r) {
      return r.size() == stable_in(s);
    });
    if (unchanged) {
      append(texts_.size() - 1, places.back());
      return;
    }
    const TextPlace place(texts_, places, numbers_, line_before(s), line_after(s));
    const Settlement settlement = place.settle();
    if (!settlement.overlap || stable_in(s) == 0 || !place.half_kept()) {
      apply(settlement, places);
      return;
    }
    for (size_t i = s.first; i <= s.last; ++i) {
      const bool gap_in = (i > s.first || !s.skip_first) && (i < s.last || !s.skip_last);
      if (gap_in) settle_gap(i);
      if (i < s.last) append(0, {at_[0][i], at_[0][i] + 1});
    }
  }

  void settle_gap(size_t i) {
    const Stretch s{i, i, false, false};
    std::vector<TokenRange> places = ranges(s);
    const TextPlace place(texts_, places, numbers_, line_before(s), line_after(s));
    apply(place.settle(), places);
  }

  bool line_before(const Stretch& s) const {
    return !s.skip_first && (s.first == 0 || ends_line(s.first - 1));
  }
  bool line_after(const Stretch& s) const {
    return !s.skip_last && (s.last == stable_.size() || ends_line(s.last));
  }

  void apply(const Settlement& settlement, const std::vector<TokenRange>& places) {
    for (uint32_t v : settlement.shown)
      append(v, places[v]);
    for (uint32_t v : settlement.lost)
      out_.lost[v] = true;
  }

  void append(size_t v, TokenRange range) {
    const TextState& state = *texts_[v].state;
    for (uint32_t i = range.first; i < range.last; ++i)
      out_.pieces.push_back({state.tokens[i].bytes, state.identities[i]});
  }

  const TextNumbers& numbers_;
  std::vector<NumberedText> texts_;
  size_t token_count_ = 0;
  std::vector<uint32_t> stable_, rank_;
  std::vector<std::vector<uint32_t>> at_;
  JoinedText out_;
};

}  // namespace

JoinedText join_texts(std::span<const TextState* const> versions, const TextNumbers& numbers) {
  return Join(versions, numbers).run();
}

}  // namespace syncline
