// What a policy makes of a cell's concurrent versions. See policy.h; policy_setting.cpp reads them.
#include "syncline/policy.h"

#include <algorithm>

#include "decimal.h"
#include "syncline/expression.h"
#include "syncline/limits.h"

namespace syncline {
namespace {

bool is_nothing(const Value& v) {
  return v.is(ValueKind::null) || v.is(ValueKind::absent) || v.is(ValueKind::same);
}

// A version that did not know the column holds NULL there: it is what the column shows.
bool alike(LogicalKind kind, const Value& a, const Value& b) {
  return (is_nothing(a) && is_nothing(b)) || equal_in_meaning(kind, a, b);
}

// The order `max` and `min` go by: decimals by value, else canonical values, NULL below all.
int compare_meanings(LogicalKind kind, const Value& a, const Value& b) {
  if (is_nothing(a) || is_nothing(b)) return static_cast<int>(is_nothing(b)) - is_nothing(a);
  Decimal x, y;
  if (kind == LogicalKind::numeric && a.is(ValueKind::text) && b.is(ValueKind::text) &&
      Decimal::parse(a.bytes(), &x) && Decimal::parse(b.bytes(), &y)) {
    return x.compare(y);
  }
  Arena arena;
  return compare_values(canonical_value(kind, a, &arena), canonical_value(kind, b, &arena));
}

size_t extreme(const MergeInput& input, int sign) {
  size_t best = input.versions.size();
  for (size_t i = 0; i < input.versions.size(); ++i) {
    const Value& value = input.versions[i].value;
    if (is_nothing(value)) continue;
    if (best == input.versions.size() ||
        compare_meanings(input.kind, value, input.versions[best].value) * sign > 0) {
      best = i;
    }
  }
  return best == input.versions.size() ? best - 1 : best;
}

size_t first_in_order(const Policy& policy, const MergeInput& input) {
  for (const SiteId& id : policy.order) {
    for (size_t i = input.versions.size(); i-- > 0;) {
      if (input.sites->id(input.versions[i].version.site) == id) return i;
    }
  }
  return input.versions.size() - 1;
}

// Values that are equal stand once.
Value joined(const Policy& policy, const MergeInput& input, Arena* arena) {
  std::string text;
  std::vector<Value> seen;
  for (const NotedVersion& v : input.versions) {
    if (is_nothing(v.value)) continue;
    const auto same = [&](const Value& s) { return alike(input.kind, s, v.value); };
    if (std::any_of(seen.begin(), seen.end(), same)) continue;
    if (!seen.empty()) text += policy.separator;
    seen.push_back(v.value);
    text += v.value.is_bytes() ? std::string(v.value.bytes()) : value_to_json(v.value);
    if (text.size() > limits::value_bytes_max) return input.versions.back().value;
  }
  if (seen.size() < 2) return seen.empty() ? Value::null() : seen[0];
  return Value::text(arena->copy(std::string_view(text)));
}

// `a` is the version with the smaller dot, whoever computes. Of more than two, the result of the
// first ones is the next `a`, with the later of their times.
Value evaluated(const Policy& policy, const MergeInput& input, Arena* arena) {
  std::vector<const NotedVersion*> by_dot;
  for (const NotedVersion& v : input.versions)
    by_dot.push_back(&v);
  std::sort(by_dot.begin(), by_dot.end(), [&](const NotedVersion* x, const NotedVersion* y) {
    const SiteId& a = input.sites->id(x->version.site);
    const SiteId& b = input.sites->id(y->version.site);
    return a == b ? x->version.seq < y->version.seq : a < b;
  });
  ExpressionInput in;
  in.kind = input.kind;
  in.base = note_base(policy, by_dot[0]->note);
  in.a = by_dot[0]->value;
  in.a_at = static_cast<int64_t>(hlc_to_ms(by_dot[0]->version.hlc));
  for (size_t i = 1; i < by_dot.size(); ++i) {
    in.b = by_dot[i]->value;
    in.b_at = static_cast<int64_t>(hlc_to_ms(by_dot[i]->version.hlc));
    in.a = policy.expression->evaluate(in, arena);
    in.a_at = std::max(in.a_at, in.b_at);
  }
  return in.a;
}

void lose_others(const MergeInput& input, MergeResult* out) {
  for (size_t i = 0; i < input.versions.size(); ++i) {
    out->lost[i] = !alike(input.kind, input.versions[i].value, out->value);
  }
}

}  // namespace

bool Policy::needs_notes() const {
  switch (kind) {
    case PolicyKind::counter:
    case PolicyKind::union_set:
    case PolicyKind::json:
    case PolicyKind::text:
    case PolicyKind::sql:
    case PolicyKind::manual:
      return true;
    default:
      return false;
  }
}

void resolve_cell(const Policy& policy, const MergeInput& input, Arena* arena, MergeResult* out) {
  const std::span<const NotedVersion> versions = input.versions;
  out->value = versions.back().value;
  out->lost.assign(versions.size(), false);
  switch (policy.kind) {
    case PolicyKind::counter:
      return counter_value(input, arena, out);
    case PolicyKind::union_set:
      return union_value(input, arena, out);
    case PolicyKind::json:
      return json_value(input, arena, out);
    case PolicyKind::text:
      return text_value(input, arena, out);
    case PolicyKind::concat:
      out->value = joined(policy, input, arena);
      return;
    case PolicyKind::last_writer:
    case PolicyKind::manual:
      break;
    case PolicyKind::first_writer:
      out->value = versions.front().value;
      break;
    case PolicyKind::max:
      out->value = versions[extreme(input, 1)].value;
      break;
    case PolicyKind::min:
      out->value = versions[extreme(input, -1)].value;
      break;
    case PolicyKind::site_priority:
      out->value = versions[first_in_order(policy, input)].value;
      break;
    case PolicyKind::sql:
      if (policy.expression) out->value = evaluated(policy, input, arena);
      break;
  }
  lose_others(input, out);
}

void make_note(const Policy& policy, const NoteInput& input, std::string* note) {
  note->clear();
  switch (policy.kind) {
    case PolicyKind::counter:
      return counter_note(input, note);
    case PolicyKind::union_set:
      return union_note(input, note);
    case PolicyKind::json:
      return json_note(input, policy.array_key, note);
    case PolicyKind::text:
      return text_note(input, note);
    case PolicyKind::sql:
    case PolicyKind::manual:
      if (input.write == WriteKind::change && !input.before.is(ValueKind::absent)) {
        append_value(note, input.before);
      }
      return;
    default:
      return;
  }
}

Value note_base(const Policy& policy, std::string_view note) {
  Value base;
  const bool kept = policy.kind == PolicyKind::sql || policy.kind == PolicyKind::manual;
  if (!kept || note.empty() || !read_value(&note, &base).ok() || !note.empty()) return Value();
  return base;
}

double merge_confidence(const Policy& policy, Hlc winner, Hlc loser) {
  constexpr double kCoinToss = 0.5, kLastWriterMost = 0.8, kRule = 0.9;
  constexpr double kNearMs = 1000, kFarMs = 300'000;
  switch (policy.kind) {
    case PolicyKind::manual:
      return 0;
    case PolicyKind::last_writer:
    case PolicyKind::text:
    case PolicyKind::json:
      break;  // where edits overlapped, the later one stands
    default:
      return kRule;
  }
  const uint64_t a = hlc_to_ms(winner), b = hlc_to_ms(loser);
  const auto apart = static_cast<double>(a > b ? a - b : b - a);
  if (apart < kNearMs) return kCoinToss;
  const double share = std::min(1.0, (apart - kNearMs) / (kFarMs - kNearMs));
  // Two digits: the same text on every engine.
  const int percent = static_cast<int>((kCoinToss + share * (kLastWriterMost - kCoinToss)) * 100);
  return percent / 100.0;
}

}  // namespace syncline
