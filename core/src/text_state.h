// Private: one version of a text cell as the text policy sees it, and the note that carries it.
//
//   note   := format:u8 sites context [epoch:16 origins run*]      head: cell_note.h
//   origins := count:varint (site:varint seq:varint hlc:varint)*   ascending
//   run    := origin:varint first:zigzag count:varint
//
// A note that ends after its head is that of an assignment. The runs say which tokens the value
// consists of (text_tokens.h); their counts add up to its tokens. Origin 0 is the epoch's text,
// i the i-th origin listed; `first` is relative to where the last run of that origin ended.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "cell_note.h"
#include "syncline/cell_merge.h"
#include "text_tokens.h"

namespace syncline {

// A version that brought tokens in. The hlc tells two copies of one database apart.
struct TextOrigin {
  SiteIndex site = 0;
  uint64_t seq = 0;
  Hlc hlc = 0;
};

// Which token this is, for ever: the index-th of its origin. Origin 0 is the epoch's text.
struct TokenIdentity {
  uint32_t origin = 0;
  uint32_t index = 0;
};

// Numbers sites and origins for one call, whatever the host's site table knows.
class TextNumbers {
 public:
  explicit TextNumbers(const SiteTable& host) : host_(host), origins_(1) {}

  SiteIndex writer(const Version& version) { return renumber(version, host_, &sites_).site; }
  SiteTable& sites() { return sites_; }
  uint32_t origin(const TextOrigin& origin);
  const TextOrigin& origin(uint32_t number) const { return origins_[number]; }
  size_t origin_count() const { return origins_.size(); }
  // By hlc, then site id, then seq: the order of versions.
  bool older(uint32_t a, uint32_t b) const;

 private:
  const SiteTable& host_;
  SiteTable sites_;
  std::vector<TextOrigin> origins_;
  std::map<std::tuple<SiteIndex, uint64_t, Hlc>, uint32_t> numbers_;
};

bool covers(const CellContext& context, const TextOrigin& origin);

// A version, or several merged ones.
struct TextState {
  std::string_view text;
  // Parallel. Both empty when not `cut`: the value is no text, or has too many tokens.
  std::vector<TextToken> tokens;
  std::vector<TokenIdentity> identities;
  bool cut = false;
  bool noted = false;  // its note was readable
  // Versions are merged word by word if they descend from one assigned text; this is its hash. So
  // two sites that assigned the same text need no common ancestor.
  std::string epoch;
  CellContext context;  // covers the version itself, too
};

// A note that is empty or cannot be read makes the version an assignment.
TextState read_text_state(const NotedVersion& version, TextNumbers* numbers);

// The state of an assignment of `text` by nobody in particular.
TextState assigned_text(std::string_view text);

// The note of a version whose writer knew `context`: of a change if `state` is given.
void write_text_note(const Version& version, const CellContext& context, const TextState* state,
                     TextNumbers* numbers, std::string* note);

}  // namespace syncline
