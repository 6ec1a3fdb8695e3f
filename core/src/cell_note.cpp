#include "cell_note.h"

#include <algorithm>
#include <cstring>

#include "syncline/limits.h"

namespace syncline {
namespace {

constexpr size_t kIdBytes = 16;

bool covers_dot(const CellContext& context, const Dot& dot) {
  const auto at = context.find(dot.site);
  return at != context.end() && at->second >= dot.seq;
}

}  // namespace

void cover(const Dot& dot, CellContext* context) {
  uint64_t& seq = (*context)[dot.site];
  seq = std::max(seq, dot.seq);
}

void cover(const CellContext& other, CellContext* context) {
  for (const auto& [site, seq] : other)
    cover(Dot{site, seq}, context);
}

Version renumber(const Version& version, const SiteTable& from, SiteTable* to) {
  Version result = version;
  result.site = to->intern(from.id(version.site));
  return result;
}

bool NoteReader::open(uint8_t format, std::string_view note, SiteIndex writer, SiteTable* sites) {
  in_ = ByteReader(note);
  numbers_.assign(1, writer);
  context.clear();
  uint8_t found;
  uint64_t count;
  if (!in_.byte(&found) || found != format) return false;
  if (!in_.varint(&count) || count > in_.rest().size() / kIdBytes) return false;
  SiteId last;
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view bytes;
    if (!in_.view(kIdBytes, &bytes)) return false;
    SiteId id;
    std::memcpy(id.bytes.data(), bytes.data(), kIdBytes);
    if ((i > 0 && id <= last) || id == sites->id(writer)) return false;
    numbers_.push_back(sites->intern(id));
    last = id;
  }
  if (!this->count(&count)) return false;
  uint64_t number_last = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t number, seq;
    if (!in_.varint(&number) || !in_.varint(&seq)) return false;
    if (number >= numbers_.size() || (i > 0 && number <= number_last)) return false;
    if (seq > limits::seq_max) return false;
    context[numbers_[number]] = seq;
    number_last = number;
  }
  return true;
}

bool NoteReader::site(SiteIndex* out) {
  uint64_t number;
  if (!in_.varint(&number) || number >= numbers_.size()) return false;
  *out = numbers_[number];
  return true;
}

bool NoteReader::dot(Dot* out) {
  return site(&out->site) && in_.varint(&out->seq) && out->seq <= limits::seq_max;
}

bool NoteReader::value(Value* out) {
  std::string_view rest = in_.rest();
  const size_t before = rest.size();
  if (!read_value(&rest, out).ok()) return false;
  std::string_view skipped;
  return in_.view(before - rest.size(), &skipped);
}

bool NoteReader::count(uint64_t* out) {
  return in_.varint(out) && *out <= in_.rest().size();
}

NoteWriter::NoteWriter(uint8_t format, SiteIndex writer, const SiteTable& sites,
                       const CellContext& context, std::set<SiteIndex> used, std::string* out) {
  out_ = out;
  for (const auto& [site, seq] : context)
    used.insert(site);
  used.erase(writer);
  std::vector<SiteIndex> sorted(used.begin(), used.end());
  std::sort(sorted.begin(), sorted.end(),
            [&](SiteIndex a, SiteIndex b) { return sites.id(a) < sites.id(b); });
  out_->assign(1, static_cast<char>(format));
  append_varint(out_, sorted.size());
  numbers_[writer] = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    out_->append(reinterpret_cast<const char*>(sites.id(sorted[i]).bytes.data()), kIdBytes);
    numbers_[sorted[i]] = i + 1;
  }
  std::map<uint64_t, uint64_t> by_number;
  for (const auto& [site, seq] : context)
    by_number[numbers_.at(site)] = seq;
  append_varint(out_, by_number.size());
  for (const auto& [number, seq] : by_number) {
    append_varint(out_, number);
    append_varint(out_, seq);
  }
}

void NoteWriter::dot(const Dot& dot) {
  site(dot.site);
  append_varint(out_, dot.seq);
}

void Coverage::add(const Dot& own, const CellContext* context) {
  members_.push_back({own, context});
  if (!covers_dot(*context, own)) own_.push_back(own);
  for (const auto& [site, seq] : *context)
    seqs_[site].push_back(seq);
}

void Coverage::finish() {
  std::sort(own_.begin(), own_.end());
  for (auto& [site, seqs] : seqs_)
    std::sort(seqs.begin(), seqs.end());
}

bool Coverage::covers(size_t version, const Dot& dot) const {
  const Member& member = members_[version];
  return member.own == dot || covers_dot(*member.context, dot);
}

size_t Coverage::count(const Dot& dot) const {
  const auto [first, last] = std::equal_range(own_.begin(), own_.end(), dot);
  size_t result = static_cast<size_t>(last - first);
  const auto seqs = seqs_.find(dot.site);
  if (seqs == seqs_.end()) return result;
  const auto from = std::lower_bound(seqs->second.begin(), seqs->second.end(), dot.seq);
  return result + static_cast<size_t>(seqs->second.end() - from);
}

std::vector<size_t> merge_order(const MergeInput& input) {
  std::vector<size_t> order;
  for (size_t i = 0; i < input.versions.size(); ++i) {
    if (!input.versions[i].value.is(ValueKind::absent)) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return compare_versions(input.versions[a].version, input.versions[b].version, *input.sites) > 0;
  });
  return order;
}

void show_greatest(const MergeInput& input, const std::vector<size_t>& order, MergeResult* out) {
  out->lost.assign(input.versions.size(), false);
  out->value = Value();
  if (order.empty()) return;
  out->value = input.versions[order[0]].value;
  for (const size_t i : order)
    out->lost[i] = !equal_in_meaning(input.kind, out->value, input.versions[i].value);
}

Replaced replaced_versions(const NoteInput& input) {
  Replaced result;
  size_t image = input.replaced.size();
  for (size_t i = 0; i < input.replaced.size(); ++i) {
    NotedVersion version = input.replaced[i];
    if (version.value.is(ValueKind::same) || version.value.is(ValueKind::absent)) {
      version.value = input.before;
    }
    (version.version.dead ? result.known : result.shown).push_back(version);
    if (!version.version.dead) continue;
    if (image == input.replaced.size() ||
        compare_versions(version.version, input.replaced[image].version, *input.sites) > 0) {
      image = i;
    }
  }
  if (!result.shown.empty() || result.known.empty()) return result;
  NotedVersion version = input.replaced[image];
  if (!input.before.is(ValueKind::absent)) version.value = input.before;
  result.shown.push_back(version);
  result.only_image = true;
  return result;
}

bool is_plain_context(const CellContext& context, SiteIndex writer, bool dead) {
  if (context.empty()) return true;
  return dead && context.size() == 1 && context.begin()->first == writer;
}

}  // namespace syncline
