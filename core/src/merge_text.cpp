// The text policy. A note records which of the words that the writer saw are still there; merging
// puts the words of concurrent versions together by what each of them kept, added and removed.
#include <algorithm>
#include <numeric>
#include <set>

#include "syncline/cell_merge.h"
#include "syncline/limits.h"
#include "cell_note.h"
#include "text_diff.h"
#include "text_join.h"
#include "text_state.h"

namespace syncline {
namespace {

// What a note says of the text may take this many times its bytes; what would take more is written
// as an assignment.
constexpr size_t kNotePerText = 2;
constexpr size_t kNoteBytesFree = 4096;

// Several versions as one.
struct MergedText {
  bool is_text = false;  // nothing else is filled in otherwise, but for `greatest`
  std::string text;
  std::vector<TextPiece> pieces;
  std::string epoch;
  std::vector<bool> lost;  // by version, in the order given
  size_t greatest = 0;
};

class TextMerger {
 public:
  TextMerger(std::span<const NotedVersion> versions, const std::vector<TextState>& states,
             const SiteTable& sites)
      : versions_(versions), states_(states), order_(versions.size()) {
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::sort(order_.begin(), order_.end(), [&](size_t a, size_t b) {
      return compare_versions(versions[a].version, versions[b].version, sites) < 0;
    });
  }

  // REQUIRES: at least one version.
  MergedText run(const TextNumbers& numbers) {
    MergedText out;
    out.greatest = order_.back();
    out.lost.assign(versions_.size(), false);
    const TextState& greatest = states_[out.greatest];
    out.is_text = greatest.cut;
    if (!out.is_text) return out;
    out.epoch = greatest.epoch;
    join(numbers, &out);
    return out;
  }

 private:
  void join(const TextNumbers& numbers, MergedText* out) const {
    std::vector<const TextState*> relatives;
    std::vector<size_t> members;
    for (size_t i : order_) {
      if (states_[i].cut && states_[i].epoch == out->epoch) members.push_back(i);
    }
    if (members.size() > kTextVersionsMax)
      members.erase(members.begin(), members.end() - kTextVersionsMax);
    for (size_t i : members)
      relatives.push_back(&states_[i]);
    JoinedText joined = join_texts(relatives, numbers);
    size_t size = 0;
    for (const TextPiece& piece : joined.pieces)
      size += piece.bytes.size();
    if (size > limits::value_bytes_max) {  // no engine holds it
      const TextState* greatest = relatives.back();
      joined = join_texts({&greatest, 1}, numbers);
      members.assign(1, out->greatest);
    }
    for (const TextPiece& piece : joined.pieces)
      out->text += piece.bytes;
    out->pieces = std::move(joined.pieces);
    mark_lost(members, joined.lost, out);
  }

  // A version is not lost if the merge shows its text, or took in another one with its text.
  void mark_lost(const std::vector<size_t>& members, const std::vector<bool>& lost,
                 MergedText* out) const {
    std::set<std::string_view> kept{out->text};
    for (size_t i = 0; i < members.size(); ++i) {
      if (!lost[i]) kept.insert(states_[members[i]].text);
    }
    for (size_t i = 0; i < versions_.size(); ++i)
      out->lost[i] = !states_[i].cut || !kept.contains(states_[i].text);
  }

  std::span<const NotedVersion> versions_;
  const std::vector<TextState>& states_;
  std::vector<size_t> order_;  // ascending
};

std::vector<TextState> read_states(std::span<const NotedVersion> versions, TextNumbers* numbers) {
  std::vector<TextState> states;
  states.reserve(versions.size());
  for (const NotedVersion& version : versions)
    states.push_back(read_text_state(version, numbers));
  return states;
}

// What the writer of a note started from, and what it made of it.
class TextEdit {
 public:
  TextEdit(const NoteInput& input, TextNumbers* numbers) : input_(input), numbers_(numbers) {
    for (NotedVersion version : input.replaced) {
      if (version.value.is(ValueKind::same)) version.value = input.before;
      TextState state = read_text_state(version, numbers);
      cover(state.context, &context_);
      noted_ |= state.noted;
      // A writer that did not know the column took no part in what was shown.
      if (version.version.dead || version.value.is(ValueKind::absent)) continue;
      live_.push_back(version);
      states_.push_back(std::move(state));
    }
  }

  void write(std::string* note) {
    std::string head;
    write_text_note(input_.version, context_, nullptr, numbers_, &head);
    TextState after;
    if (is_change(&after)) {
      write_text_note(input_.version, context_, &after, numbers_, note);
      if (note->size() <= head.size() + kNotePerText * after.text.size() + kNoteBytesFree) return;
      noted_ = true;
    }
    // There is nothing to say about an assignment over assignments.
    note->clear();
    if (noted_) *note = std::move(head);
  }

 private:
  bool is_change(TextState* after) {
    if (input_.write != WriteKind::change) return false;
    if (!input_.before.is(ValueKind::text) || !input_.after.is(ValueKind::text)) return false;
    TextState before = assigned_text(input_.before.bytes());
    *after = assigned_text(input_.after.bytes());
    if (!before.cut || !after->cut || !identify(&before)) return false;
    after->epoch = before.epoch;
    return compare(before, after);
  }

  // Gives the tokens of `before` the identities they have in the versions it was merged from.
  bool identify(TextState* before) const {
    // A row from before tracking may have no versions: then its text is all there is.
    if (live_.empty()) return input_.replaced.empty();
    const MergedText merged = TextMerger(live_, states_, *input_.sites).run(*numbers_);
    if (!merged.is_text || merged.text != before->text) return false;
    before->epoch = merged.epoch;
    // Words of two versions that meet without a blank are one word now, and a new one.
    size_t at = 0, piece = 0, piece_at = 0;
    for (size_t i = 0; i < before->tokens.size(); ++i) {
      while (piece_at < at)
        piece_at += merged.pieces[piece++].bytes.size();
      const size_t size = before->tokens[i].bytes.size();
      const bool whole = piece_at == at && piece < merged.pieces.size() &&
                         merged.pieces[piece].bytes.size() == size;
      before->identities[i] = whole ? merged.pieces[piece].identity : kNew;
      at += size;
    }
    return true;
  }

  // Replaces the identities in `after` by those it kept. False: too little is left.
  bool compare(const TextState& before, TextState* after) const {
    const std::vector<KeptRun> runs = kept_tokens(before.tokens, after->tokens);
    const TextOrigin own{numbers_->writer(input_.version), input_.version.seq, input_.version.hlc};
    const uint32_t origin = numbers_->origin(own);
    for (uint32_t i = 0; i < after->identities.size(); ++i)
      after->identities[i] = {origin, i};
    size_t kept = 0;
    for (const KeptRun& run : runs) {
      for (uint32_t i = 0; i < run.count; ++i) {
        const TokenIdentity identity = before.identities[run.before_first + i];
        kept += after->tokens[run.after_first + i].bytes.size();
        if (identity.origin != kNew.origin) after->identities[run.after_first + i] = identity;
      }
    }
    return resembles(before, *after, kept);
  }

  // Whether an edit that kept this many bytes is a change, not a replacement of the whole.
  static bool resembles(const TextState& before, const TextState& after, size_t kept) {
    const TextState& shorter = before.text.size() < after.text.size() ? before : after;
    const size_t longer = std::max(before.text.size(), after.text.size());
    if (longer == 0) return true;
    // What only adds or only removes replaces nothing, however much it is.
    const bool words = std::any_of(shorter.tokens.begin(), shorter.tokens.end(),
                                   [](const auto& t) { return t.kind == TokenKind::word; });
    if (words && kept == shorter.text.size()) return true;
    return kept > 0 && kept * 10 >= longer * 3;
  }

  static constexpr TokenIdentity kNew{UINT32_MAX, 0};

  const NoteInput& input_;
  TextNumbers* numbers_;
  CellContext context_;
  bool noted_ = false;
  std::vector<NotedVersion> live_;
  std::vector<TextState> states_;
};

}  // namespace

void text_note(const NoteInput& input, std::string* note) {
  note->clear();
  TextNumbers numbers(*input.sites);
  TextEdit(input, &numbers).write(note);
}

void text_value(const MergeInput& input, Arena* arena, MergeResult* out) {
  out->lost.assign(input.versions.size(), false);
  out->value = Value();
  const std::vector<size_t> order = merge_order(input);
  if (order.empty()) return;
  std::vector<NotedVersion> versions;
  for (size_t i : order)
    versions.push_back(input.versions[i]);
  TextNumbers numbers(*input.sites);
  const std::vector<TextState> states = read_states(versions, &numbers);
  const MergedText merged = TextMerger(versions, states, *input.sites).run(numbers);
  if (!merged.is_text) return show_greatest(input, order, out);
  const Value& greatest = versions[merged.greatest].value;
  const bool changed = merged.text != greatest.bytes();
  out->value = changed ? Value::text(arena->copy(merged.text)) : greatest;
  for (size_t i = 0; i < order.size(); ++i) {
    const bool shown = equal_in_meaning(input.kind, out->value, versions[i].value);
    out->lost[order[i]] = merged.lost[i] && !shown;
  }
}

}  // namespace syncline
