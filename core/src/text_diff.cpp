#include "text_diff.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace syncline {
namespace {

constexpr int kAnchorDepthMax = 24;  // nested searches for unique elements
constexpr uint32_t kEditsMax = 400;  // of one Myers search; its trace takes the square
constexpr uint64_t kStepsMax = 20'000'000;

using Symbols = std::vector<uint32_t>;
constexpr uint32_t kNone = UINT32_MAX;

// A window of both sequences.
struct Window {
  uint32_t a, a_end, b, b_end;
  int depth;
};

// Longest common subsequence of two sequences of symbols, or nearly so.
class SequenceDiff {
 public:
  SequenceDiff(const Symbols& a, const Symbols& b, uint32_t symbol_count)
      : a_(a), b_(b), seen_(symbol_count) {}

  // Appends what is kept inside the window, ascending; runs that touch are one.
  void run(Window window, std::vector<KeptRun>* out) {
    const size_t first = out->size();
    stack_.assign(1, window);
    while (!stack_.empty()) {
      Window w = stack_.back();
      stack_.pop_back();
      trim(&w, out);
      if (w.a == w.a_end || w.b == w.b_end) continue;
      if (w.depth < kAnchorDepthMax && split_at_unique(w, out)) continue;
      search(w, out);
    }
    std::sort(out->begin() + static_cast<ptrdiff_t>(first), out->end(),
              [](const KeptRun& x, const KeptRun& y) { return x.before_first < y.before_first; });
    join_touching(first, out);
  }

 private:
  struct Seen {
    uint32_t in_a = 0, in_b = 0, at_a = 0, at_b = 0;
  };

  void trim(Window* w, std::vector<KeptRun>* out) const {
    const Window before = *w;
    while (w->a < w->a_end && w->b < w->b_end && a_[w->a] == b_[w->b]) {
      ++w->a;
      ++w->b;
    }
    if (w->a > before.a) out->push_back({before.a, before.b, w->a - before.a});
    while (w->a < w->a_end && w->b < w->b_end && a_[w->a_end - 1] == b_[w->b_end - 1]) {
      --w->a_end;
      --w->b_end;
    }
    if (w->a_end < before.a_end) out->push_back({w->a_end, w->b_end, before.a_end - w->a_end});
  }

  // Elements that are unique on both sides anchor the rest: the longest chain of them in order.
  bool split_at_unique(const Window& w, std::vector<KeptRun>* out) {
    for (uint32_t i = w.a; i < w.a_end; ++i) {
      Seen& seen = seen_[a_[i]];
      ++seen.in_a;
      seen.at_a = i;
    }
    for (uint32_t i = w.b; i < w.b_end; ++i) {
      Seen& seen = seen_[b_[i]];
      ++seen.in_b;
      seen.at_b = i;
    }
    std::vector<std::pair<uint32_t, uint32_t>> unique;
    for (uint32_t i = w.a; i < w.a_end; ++i) {
      const Seen& seen = seen_[a_[i]];
      if (seen.in_a == 1 && seen.in_b == 1) unique.push_back({i, seen.at_b});
    }
    for (uint32_t i = w.a; i < w.a_end; ++i)
      seen_[a_[i]] = {};
    for (uint32_t i = w.b; i < w.b_end; ++i)
      seen_[b_[i]] = {};
    if (unique.empty()) return false;

    uint32_t a = w.a, b = w.b;
    for (const auto& [at_a, at_b] : longest_chain(unique)) {
      stack_.push_back({a, at_a, b, at_b, w.depth + 1});
      out->push_back({at_a, at_b, 1});
      a = at_a + 1;
      b = at_b + 1;
    }
    stack_.push_back({a, w.a_end, b, w.b_end, w.depth + 1});
    return true;
  }

  // `pairs` ascends in the first member. Longest subsequence that ascends in the second, too
  // (patience sorting).
  static std::vector<std::pair<uint32_t, uint32_t>> longest_chain(
      const std::vector<std::pair<uint32_t, uint32_t>>& pairs) {
    std::vector<uint32_t> tops, previous(pairs.size(), kNone);
    for (uint32_t i = 0; i < pairs.size(); ++i) {
      const auto pile = std::lower_bound(
          tops.begin(), tops.end(), pairs[i].second,
          [&pairs](uint32_t top, uint32_t value) { return pairs[top].second < value; });
      if (pile != tops.begin()) previous[i] = *(pile - 1);
      if (pile == tops.end()) {
        tops.push_back(i);
      } else {
        *pile = i;
      }
    }
    std::vector<std::pair<uint32_t, uint32_t>> chain;
    for (uint32_t i = tops.back(); i != kNone; i = previous[i])
      chain.push_back(pairs[i]);
    std::reverse(chain.begin(), chain.end());
    return chain;
  }

  // Myers' greedy search. trace_[d * d + d + k] is how far the diagonal k got with d edits.
  void search(const Window& w, std::vector<KeptRun>* out) {
    const int64_t rows = w.a_end - w.a, columns = w.b_end - w.b;
    const int64_t d_max = std::min<int64_t>(kEditsMax, rows + columns);
    trace_.clear();
    for (int64_t d = 0; d <= d_max; ++d) {
      trace_.resize(static_cast<size_t>((d + 1) * (d + 1)), -1);
      for (int64_t k = -d; k <= d; k += 2) {
        if (++steps_ > kStepsMax) return;
        int64_t x = furthest_before(w, d, k), y = x - k;
        if (x < 0) continue;
        while (x < rows && y < columns && a_[w.a + x] == b_[w.b + y]) {
          ++x;
          ++y;
          ++steps_;
        }
        trace(d, k) = static_cast<int32_t>(x);
        if (x < rows || y < columns) continue;
        walk_back(w, d, k, out);
        return;
      }
    }
  }

  int32_t& trace(int64_t d, int64_t k) { return trace_[static_cast<size_t>(d * d + d + k)]; }

  // Where the path with d edits enters the diagonal k; -1 when none stays inside the window.
  int64_t furthest_before(const Window& w, int64_t d, int64_t k) {
    if (d == 0) return 0;
    int64_t down = k + 1 <= d - 1 ? trace(d - 1, k + 1) : -1;
    if (down - k > w.b_end - w.b) down = -1;
    int64_t right = k - 1 >= 1 - d ? trace(d - 1, k - 1) : -1;
    right = right < 0 || right == w.a_end - w.a ? -1 : right + 1;
    return std::max(down, right);
  }

  void walk_back(const Window& w, int64_t d, int64_t k, std::vector<KeptRun>* out) {
    while (true) {
      const int64_t end = trace(d, k), start = furthest_before(w, d, k);
      if (end > start) {
        out->push_back({static_cast<uint32_t>(w.a + start), static_cast<uint32_t>(w.b + start - k),
                        static_cast<uint32_t>(end - start)});
      }
      if (d == 0) return;
      const bool down = k + 1 <= d - 1 && trace(d - 1, k + 1) == start;
      k += down ? 1 : -1;
      --d;
    }
  }

  static void join_touching(size_t first, std::vector<KeptRun>* out) {
    size_t size = first;
    for (size_t i = first; i < out->size(); ++i) {
      const KeptRun run = (*out)[i];
      if (size > first) {
        KeptRun& last = (*out)[size - 1];
        if (last.before_first + last.count == run.before_first &&
            last.after_first + last.count == run.after_first) {
          last.count += run.count;
          continue;
        }
      }
      (*out)[size++] = run;
    }
    out->resize(size);
  }

  const Symbols& a_;
  const Symbols& b_;
  std::vector<Seen> seen_;
  std::vector<Window> stack_;
  std::vector<int32_t> trace_;
  uint64_t steps_ = 0;
};

// Numbers byte strings.
class Interner {
 public:
  uint32_t symbol(std::string_view bytes) {
    return symbols_.try_emplace(bytes, static_cast<uint32_t>(symbols_.size())).first->second;
  }
  uint32_t size() const { return static_cast<uint32_t>(symbols_.size()); }

 private:
  std::unordered_map<std::string_view, uint32_t> symbols_;
};

std::string_view bytes_of(std::span<const TextToken> tokens, size_t first, size_t last) {
  if (first == last) return {};
  const char* begin = tokens[first].bytes.data();
  const std::string_view end = tokens[last - 1].bytes;
  return {begin, static_cast<size_t>(end.data() + end.size() - begin)};
}

// One side of the comparison, as words and as lines.
struct Side {
  Side(std::span<const TextToken> all, Interner* word_symbols, Interner* line_symbols)
      : tokens(all) {
    words.reserve(all.size());
    starts.push_back(0);
    for (uint32_t i = 0; i < all.size(); ++i) {
      words.push_back(word_symbols->symbol(all[i].bytes));
      if (all[i].kind == TokenKind::line_end) end_line(i + 1, line_symbols);
    }
    if (starts.back() < all.size()) end_line(static_cast<uint32_t>(all.size()), line_symbols);
  }

  std::span<const TextToken> tokens;
  Symbols words, lines;
  std::vector<uint32_t> starts;  // of each line, and the end

 private:
  void end_line(uint32_t end, Interner* line_symbols) {
    lines.push_back(line_symbols->symbol(bytes_of(tokens, starts.back(), end)));
    starts.push_back(end);
  }
};

class TokenDiff {
 public:
  TokenDiff(std::span<const TextToken> before, std::span<const TextToken> after)
      : before_(before, &words_, &lines_), after_(after, &words_, &lines_) {}

  std::vector<KeptRun> run() {
    std::vector<KeptRun> lines, kept;
    SequenceDiff by_line(before_.lines, after_.lines, lines_.size());
    const auto line_count = [](const Side& side) {
      return static_cast<uint32_t>(side.lines.size());
    };
    by_line.run({0, line_count(before_), 0, line_count(after_), 0}, &lines);
    lines.push_back({line_count(before_), line_count(after_), 0});
    SequenceDiff by_word(before_.words, after_.words, words_.size());
    uint32_t a = 0, b = 0;  // tokens
    for (const KeptRun& run : lines) {
      const uint32_t a_first = before_.starts[run.before_first];
      const uint32_t b_first = after_.starts[run.after_first];
      std::vector<KeptRun> inside;
      by_word.run({a, a_first, b, b_first, 0}, &inside);
      append_without_chance({a, a_first, b, b_first, 0}, inside, &kept);
      a = before_.starts[run.before_first + run.count];
      b = after_.starts[run.after_first + run.count];
      if (run.count > 0) kept.push_back({a_first, b_first, a - a_first});
    }
    kept = joined(kept);
    align_to_lines(&kept);
    return kept;
  }

 private:
  // The size of a change: the longer of what went and what came.
  size_t change(const Window& w) const {
    return std::max(bytes_of(before_.tokens, w.a, w.a_end).size(),
                    bytes_of(after_.tokens, w.b, w.b_end).size());
  }

  // Drops every run that is no longer than the changes on either side of it.
  void append_without_chance(const Window& w, const std::vector<KeptRun>& runs,
                             std::vector<KeptRun>* out) const {
    std::vector<KeptRun> stack;
    const auto gap_before = [&](size_t i, const KeptRun& run) {
      const uint32_t a = i == 0 ? w.a : stack[i - 1].before_first + stack[i - 1].count;
      const uint32_t b = i == 0 ? w.b : stack[i - 1].after_first + stack[i - 1].count;
      return change({a, run.before_first, b, run.after_first, 0});
    };
    const auto settle = [&](const KeptRun& next) {
      while (!stack.empty()) {
        const KeptRun& top = stack.back();
        const size_t size =
            bytes_of(before_.tokens, top.before_first, top.before_first + top.count).size();
        const size_t least =
            std::min(gap_before(stack.size() - 1, top), gap_before(stack.size(), next));
        if (size > least) return;
        stack.pop_back();
      }
    };
    for (const KeptRun& run : runs) {
      settle(run);
      stack.push_back(run);
    }
    settle({w.a_end, w.b_end, 0});
    out->insert(out->end(), stack.begin(), stack.end());
  }

  // "x\n[y\n]" and "x[\ny]\n" are the same edit: lets what only came or only went between two runs
  // start where a line starts, if it can.
  void align_to_lines(std::vector<KeptRun>* runs) const {
    for (size_t i = 1; i < runs->size(); ++i) {
      KeptRun &left = (*runs)[i - 1], &right = (*runs)[i];
      const bool removal = left.after_first + left.count == right.after_first;
      const bool addition = left.before_first + left.count == right.before_first;
      if (removal == addition) continue;
      const Side& side = removal ? before_ : after_;
      const uint32_t start = (removal ? left.before_first : left.after_first) + left.count;
      const uint32_t end = removal ? right.before_first : right.after_first;
      const bool at_end = right.before_first + right.count == before_.words.size() &&
                          right.after_first + right.count == after_.words.size();
      const int64_t shift =
          shift_to_line(side, start, end, left.count - 1, at_end ? right.count : right.count - 1);
      left.count = static_cast<uint32_t>(left.count + shift);
      right.before_first = static_cast<uint32_t>(right.before_first + shift);
      right.after_first = static_cast<uint32_t>(right.after_first + shift);
      right.count = static_cast<uint32_t>(right.count - shift);
    }
    if (!runs->empty() && runs->back().count == 0) runs->pop_back();
  }

  // How far [start, end) is to be moved, at most so far to either side; 0 if it cannot be.
  static int64_t shift_to_line(const Side& side, uint32_t start, uint32_t end, uint32_t left_max,
                               uint32_t right_max) {
    const auto starts_line = [&](uint32_t at) {
      return at == 0 || side.tokens[at - 1].kind == TokenKind::line_end;
    };
    if (starts_line(start)) return 0;
    for (uint32_t i = 0; i < right_max && side.words[start + i] == side.words[end + i]; ++i) {
      if (starts_line(start + i + 1)) return i + 1;
    }
    for (uint32_t i = 0; i < left_max && side.words[start - i - 1] == side.words[end - i - 1];
         ++i) {
      if (starts_line(start - i - 1)) return -static_cast<int64_t>(i) - 1;
    }
    return 0;
  }

  static std::vector<KeptRun> joined(const std::vector<KeptRun>& runs) {
    std::vector<KeptRun> out;
    for (const KeptRun& run : runs) {
      if (!out.empty() && out.back().before_first + out.back().count == run.before_first &&
          out.back().after_first + out.back().count == run.after_first) {
        out.back().count += run.count;
      } else {
        out.push_back(run);
      }
    }
    return out;
  }

  Interner words_, lines_;
  Side before_, after_;
};

}  // namespace

std::vector<KeptRun> kept_tokens(std::span<const TextToken> before,
                                 std::span<const TextToken> after) {
  return TokenDiff(before, after).run();
}

}  // namespace syncline
