#include "text_state.h"

#include <algorithm>
#include <map>
#include <set>

#include "syncline/limits.h"

namespace syncline {
namespace {

constexpr uint8_t kFormat = 0x41;
constexpr size_t kEpochBytes = 16;

// Reads a note into the state of its version, whose text is cut already.
class TextNoteReader {
 public:
  TextNoteReader(const NotedVersion& version, TextNumbers* numbers, TextState* state)
      : version_(version.version), note_(version.note), numbers_(numbers), state_(state) {}

  [[nodiscard]] bool read() {
    const SiteIndex writer = numbers_->writer(version_);
    if (!in_.open(kFormat, note_, writer, &numbers_->sites())) return false;
    state_->context = in_.context;
    cover(Dot{writer, version_.seq}, &state_->context);
    if (in_.in().at_end()) return true;
    return state_->cut && read_origins() && read_runs();
  }

 private:
  struct Extent {
    uint32_t origin, first, last;
  };

  bool read_origins() {
    std::string_view epoch;
    uint64_t count;
    if (!in_.in().view(kEpochBytes, &epoch) || !in_.count(&count)) return false;
    state_->epoch = epoch;
    origins_.push_back(0);
    std::set<uint32_t> seen;
    for (uint64_t i = 0; i < count; ++i) {
      Dot dot;
      uint64_t hlc;
      if (!in_.dot(&dot) || !in_.in().varint(&hlc) || hlc > limits::hlc_max) return false;
      const TextOrigin origin{dot.site, dot.seq, hlc};
      if (!covers(state_->context, origin)) return false;
      origins_.push_back(numbers_->origin(origin));
      if (!seen.insert(origins_.back()).second) return false;
    }
    return true;
  }

  bool read_runs() {
    std::vector<int64_t> next(origins_.size());
    std::vector<Extent> extents;
    const size_t total = state_->tokens.size();
    std::vector<TokenIdentity>& identities = state_->identities;
    identities.reserve(total);
    while (!in_.in().at_end()) {
      uint64_t origin, count;
      int64_t skip;
      if (!in_.in().varint(&origin) || !in_.in().zigzag(&skip) || !in_.in().varint(&count))
        return false;
      if (origin >= origins_.size() || count == 0 || count > total - identities.size()) {
        return false;
      }
      const auto bound = static_cast<int64_t>(kTextTokensMax);
      if (skip < -bound || skip > bound) return false;
      const int64_t first = next[origin] + skip, last = first + static_cast<int64_t>(count);
      if (first < 0 || last > bound) return false;
      next[origin] = last;
      const uint32_t number = origins_[origin];
      extents.push_back({number, static_cast<uint32_t>(first), static_cast<uint32_t>(last)});
      for (int64_t i = first; i < last; ++i)
        identities.push_back({number, static_cast<uint32_t>(i)});
    }
    return identities.size() == total && disjoint(&extents);
  }

  // A token is in a text once.
  static bool disjoint(std::vector<Extent>* extents) {
    std::sort(extents->begin(), extents->end(), [](const Extent& a, const Extent& b) {
      return std::tie(a.origin, a.first) < std::tie(b.origin, b.first);
    });
    for (size_t i = 1; i < extents->size(); ++i) {
      const Extent &a = (*extents)[i - 1], &b = (*extents)[i];
      if (a.origin == b.origin && a.last > b.first) return false;
    }
    return true;
  }

  const Version& version_;
  std::string_view note_;
  NoteReader in_;
  TextNumbers* numbers_;
  TextState* state_;
  std::vector<uint32_t> origins_;  // by number in the note
};

void number_as_assigned(TextState* state) {
  state->identities.clear();
  state->identities.reserve(state->tokens.size());
  for (uint32_t i = 0; i < state->tokens.size(); ++i)
    state->identities.push_back({0, i});
}

void write_runs(const std::vector<TokenIdentity>& tokens,
                const std::map<uint32_t, uint64_t>& numbers, std::string* note) {
  std::vector<int64_t> next(numbers.size());
  for (size_t i = 0, end; i < tokens.size(); i = end) {
    for (end = i + 1; end < tokens.size() && tokens[end].origin == tokens[i].origin &&
                      tokens[end].index == tokens[end - 1].index + 1;) {
      ++end;
    }
    const uint64_t origin = numbers.at(tokens[i].origin);
    append_varint(note, origin);
    append_zigzag(note, tokens[i].index - next[origin]);
    append_varint(note, end - i);
    next[origin] = static_cast<int64_t>(tokens[end - 1].index) + 1;
  }
}

}  // namespace

uint32_t TextNumbers::origin(const TextOrigin& origin) {
  const auto number = static_cast<uint32_t>(origins_.size());
  const auto [at, added] = numbers_.try_emplace({origin.site, origin.seq, origin.hlc}, number);
  if (added) origins_.push_back(origin);
  return at->second;
}

bool TextNumbers::older(uint32_t a, uint32_t b) const {
  const TextOrigin &x = origins_[a], &y = origins_[b];
  return std::tie(x.hlc, sites_.id(x.site), x.seq) < std::tie(y.hlc, sites_.id(y.site), y.seq);
}

bool covers(const CellContext& context, const TextOrigin& origin) {
  const auto at = context.find(origin.site);
  return at != context.end() && origin.seq <= at->second;
}

TextState assigned_text(std::string_view text) {
  TextState state;
  state.text = text;
  state.cut = split_tokens(text, &state.tokens);
  state.epoch = hash128(text);
  number_as_assigned(&state);
  return state;
}

TextState read_text_state(const NotedVersion& version, TextNumbers* numbers) {
  TextState state;
  const bool live = !version.version.dead && version.value.is(ValueKind::text);
  if (live) state = assigned_text(version.value.bytes());
  if (!version.note.empty()) {
    TextState noted = state;
    noted.identities.clear();
    noted.noted = true;
    if (TextNoteReader(version, numbers, &noted).read()) {
      if (noted.identities.empty()) number_as_assigned(&noted);
      return noted;
    }
  }
  cover(Dot{numbers->writer(version.version), version.version.seq}, &state.context);
  return state;
}

void write_text_note(const Version& version, const CellContext& context, const TextState* state,
                     TextNumbers* numbers, std::string* note) {
  const SiteIndex writer = numbers->writer(version);
  if (state == nullptr) {
    NoteWriter(kFormat, writer, numbers->sites(), context, {}, note);
    return;
  }
  std::set<uint32_t> used;
  std::set<SiteIndex> sites;
  for (const TokenIdentity& token : state->identities) {
    if (token.origin == 0 || !used.insert(token.origin).second) continue;
    sites.insert(numbers->origin(token.origin).site);
  }
  // In the order of versions, whatever the numbers are here: one note, one spelling.
  std::vector<uint32_t> sorted(used.begin(), used.end());
  std::sort(sorted.begin(), sorted.end(),
            [&](uint32_t a, uint32_t b) { return numbers->older(a, b); });
  NoteWriter out(kFormat, writer, numbers->sites(), context, sites, note);
  out.bytes() += state->epoch;
  out.count(sorted.size());
  std::map<uint32_t, uint64_t> numbers_here{{0, 0}};
  for (uint32_t number : sorted) {
    const TextOrigin& origin = numbers->origin(number);
    out.dot({origin.site, origin.seq});
    append_varint(note, origin.hlc);
    numbers_here.emplace(number, numbers_here.size());
  }
  write_runs(state->identities, numbers_here, note);
}

}  // namespace syncline
