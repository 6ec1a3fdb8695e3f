// Counters. Notes:
//
//   note       := format:u8 sites context assignment sums       head: cell_note.h
//   assignment := 0:u8                                           this version assigns its value
//               / 1:u8 site:varint seq:varint age:zigzag value   age: this version's hlc less its
//   sums       := count:varint (site:varint seq:varint sum:value seen)*
//   seen       := 0:u8 / 1:u8 / 2:u8 seq:varint sum:value        nothing / this sum / another
//
// A site's sum is everything it ever added to the cell, seq the version with which it did so last;
// it only changes by that site's own increments and is never reset, so of two sums of one site the
// one with the greater seq holds the other. What does not count any more is `seen`: what the
// assignment's writer knew, or what a delete took away.
//
// A delete beside a concurrent increment: the row lives, the cell shows what the increment's writer
// saw. What only the deleter knew is not in it. The next increment notes that as seen, so that the
// value and what follows from its note stay the same thing.
#include <cmath>
#include <optional>

#include "cell_note.h"
#include "decimal.h"
#include "syncline/limits.h"

namespace syncline {
namespace {

constexpr uint8_t kFormat = 0x11;
// Longer numbers are not added up: a cell of strangers' sums must stay cheap.
constexpr size_t kDigitsMax = 1000;

// Exact as long as no real is among the terms.
struct Number {
  Decimal exact;
  double real = 0;
  bool is_real = false;
};

bool parse_number(const Value& value, bool decimal_text, Number* out) {
  if (value.is(ValueKind::integer)) {
    out->exact = Decimal(value.as_integer());
    return true;
  }
  if (value.is(ValueKind::real)) {
    out->is_real = true;
    out->real = value.as_real();
    return std::isfinite(out->real);
  }
  return decimal_text && value.is(ValueKind::text) && value.bytes().size() <= kDigitsMax + 2 &&
         value.bytes().find_first_not_of("-.0123456789") == std::string_view::npos &&
         Decimal::parse(value.bytes(), &out->exact);
}

bool cell_number(LogicalKind kind, const Value& value, Number* out) {
  Arena arena;
  return parse_number(canonical_value(kind, value, &arena), kind == LogicalKind::numeric, out);
}

Number operator+(const Number& a, const Number& b) {
  Number result;
  result.is_real = a.is_real || b.is_real;
  if (!result.is_real) {
    result.exact = a.exact + b.exact;
    return result;
  }
  result.real = (a.is_real ? a.real : a.exact.real()) + (b.is_real ? b.real : b.exact.real());
  return result;
}

Number operator-(const Number& number) {
  Number result = number;
  result.real = -number.real;
  result.exact = -number.exact;
  return result;
}

bool is_usable(const Number& number) {
  if (number.is_real) return std::isfinite(number.real);
  return number.exact.digits() <= static_cast<int64_t>(kDigitsMax);
}

// As it stands in a note.
void append_number(std::string* out, const Number& number) {
  int64_t integer;
  if (number.is_real) {
    append_value(out, Value::real(number.real));
  } else if (number.exact.scale() == 0 && number.exact.integer(&integer)) {
    append_value(out, Value::integer(integer));
  } else {
    append_value(out, Value::text(number.exact.text()));
  }
}

std::string encoded(const Number& number) {
  std::string bytes;
  append_number(&bytes, number);
  return bytes;
}

struct Sum {
  uint64_t seq = 0;
  Number number;
};
using Sums = std::map<SiteId, Sum>;  // reals are added in the order of ids

// Keeps the later of two sums of one site. A site that gave one seq twice: the greater bytes.
void raise(const SiteId& site, const Sum& sum, Sums* sums) {
  const auto [at, added] = sums->try_emplace(site, sum);
  if (added || sum.seq < at->second.seq) return;
  if (sum.seq > at->second.seq || encoded(sum.number) > encoded(at->second.number)) {
    at->second = sum;
  }
}

void raise(const Sums& other, Sums* sums) {
  for (const auto& [site, sum] : other)
    raise(site, sum, sums);
}

struct Counter {
  Version assignment;
  Value value;  // that was assigned
  Sums sums;
  Sums seen;
  CellContext context;
};

bool read_sum(NoteReader* in, Sum* out) {
  Value value;
  return in->in().varint(&out->seq) && out->seq <= limits::seq_max && in->value(&value) &&
         parse_number(value, true, &out->number);
}

bool read_sums(NoteReader* in, const SiteTable& sites, Counter* out) {
  uint64_t count;
  if (!in->count(&count)) return false;
  for (uint64_t i = 0; i < count; ++i) {
    SiteIndex site;
    Sum sum;
    uint8_t seen;
    if (!in->site(&site) || !read_sum(in, &sum) || !in->in().byte(&seen) || seen > 2) return false;
    const SiteId& id = sites.id(site);
    if (!out->sums.emplace(id, sum).second) return false;
    if (seen == 2 && !read_sum(in, &sum)) return false;
    if (seen != 0) out->seen.emplace(id, sum);
  }
  return in->in().at_end();
}

bool read_note(const NotedVersion& noted, const Version& version, SiteTable* sites, Counter* out) {
  NoteReader in;
  uint8_t assigned;
  if (!in.open(kFormat, noted.note, version.site, sites)) return false;
  if (!in.in().byte(&assigned) || assigned > 1) return false;
  if (assigned == 1) {
    Dot dot;
    int64_t age;
    if (!in.dot(&dot) || !in.in().zigzag(&age) || !in.value(&out->value)) return false;
    out->assignment = {dot.seq, version.hlc - static_cast<uint64_t>(age), dot.site, false};
  }
  out->context = in.context;
  return read_sums(&in, *sites, out);
}

Counter counter_of(const NotedVersion& noted, const Version& version, SiteTable* sites) {
  Counter counter;
  counter.assignment = version;
  counter.value = noted.value;
  if (noted.note.empty() || read_note(noted, version, sites, &counter)) return counter;
  Counter plain;
  plain.assignment = version;
  plain.value = noted.value;
  return plain;
}

// Joins one version into what others made, whose context stays as it is.
void join(const Counter& one, const SiteTable& sites, Counter* all) {
  raise(one.sums, &all->sums);
  const int order = compare_versions(one.assignment, all->assignment, sites);
  if (order < 0) return;
  if (order > 0) {
    all->assignment = one.assignment;
    all->value = one.value;
    all->seen = one.seen;
    return;
  }
  if (compare_values(one.value, all->value) > 0) all->value = one.value;
  raise(one.seen, &all->seen);
}

bool to_value(LogicalKind kind, const Number& number, Arena* arena, Value* out) {
  int64_t integer;
  if (!is_usable(number)) return false;
  if (kind == LogicalKind::numeric && !number.is_real) {
    *out = Value::text(arena->copy(number.exact.text()));
  } else if (number.is_real || kind == LogicalKind::floating) {
    *out = Value::real(number.is_real ? number.real : number.exact.real());
  } else if (number.exact.scale() == 0 && number.exact.integer(&integer)) {
    *out = Value::integer(integer);
  } else {
    return false;
  }
  return true;
}

// The assigned value and what was added that its writer had not seen. False: no such value.
bool total(LogicalKind kind, const Counter& counter, Arena* arena, Value* out) {
  Number number;
  if (!cell_number(kind, counter.value, &number)) return false;
  for (const auto& [site, sum] : counter.sums) {
    number = number + sum.number;
    const auto seen = counter.seen.find(site);
    if (seen != counter.seen.end()) number = number + -seen->second.number;
  }
  return to_value(kind, number, arena, out);
}

void write_note(const Counter& counter, const Version& version, const SiteTable& sites,
                std::string* note) {
  std::set<SiteIndex> used{counter.assignment.site};
  for (const auto& [id, sum] : counter.sums)
    used.insert(static_cast<SiteIndex>(sites.find(id)));
  NoteWriter out(kFormat, version.site, sites, counter.context, used, note);
  const bool assigns = counter.assignment.same_dot(version);
  out.bytes().push_back(assigns ? 0 : 1);
  if (!assigns) {
    out.dot(dot_of(counter.assignment));
    append_zigzag(&out.bytes(), static_cast<int64_t>(version.hlc - counter.assignment.hlc));
    out.value(counter.value);
  }
  out.count(counter.sums.size());
  for (const auto& [id, sum] : counter.sums) {
    out.site(static_cast<SiteIndex>(sites.find(id)));
    append_varint(&out.bytes(), sum.seq);
    append_number(&out.bytes(), sum.number);
    const auto seen = counter.seen.find(id);
    if (seen == counter.seen.end()) {
      out.bytes().push_back(0);
    } else if (seen->second.seq == sum.seq && encoded(seen->second.number) == encoded(sum.number)) {
      out.bytes().push_back(1);
    } else {
      out.bytes().push_back(2);
      append_varint(&out.bytes(), seen->second.seq);
      append_number(&out.bytes(), seen->second.number);
    }
  }
}

// What a writer's note is made from.
struct Basis {
  std::optional<Counter> shown;  // what made up the value
  Sums known;                    // of all versions
  CellContext context;
};

Basis basis_of(const NoteInput& input, SiteTable* sites) {
  Basis basis;
  const Replaced replaced = replaced_versions(input);
  for (const NotedVersion& noted : replaced.known) {
    const Version version = renumber(noted.version, *input.sites, sites);
    const Counter counter = counter_of(noted, version, sites);
    raise(counter.sums, &basis.known);
    cover(counter.context, &basis.context);
    cover(dot_of(version), &basis.context);
  }
  for (const NotedVersion& noted : replaced.shown) {
    const Version version = renumber(noted.version, *input.sites, sites);
    Counter counter = counter_of(noted, version, sites);
    if (replaced.only_image) {  // as if the deleter had assigned what it saw
      counter.assignment = version;
      counter.value = noted.value;
      counter.sums = counter.seen = basis.known;
    }
    raise(counter.sums, &basis.known);
    cover(counter.context, &basis.context);
    cover(dot_of(version), &basis.context);
    if (basis.shown)
      join(counter, *sites, &*basis.shown);
    else
      basis.shown = counter;
  }
  return basis;
}

// Adds `after - before` to the writer's sum. False: the write is an assignment.
bool add_change(const NoteInput& input, const Version& version, const SiteId& self, Basis* basis) {
  Number before, after;
  Arena arena;
  Value shown;
  if (!basis->shown || !cell_number(input.kind, input.before, &before) ||
      !cell_number(input.kind, input.after, &after) ||
      !total(input.kind, *basis->shown, &arena, &shown)) {
    return false;
  }
  Counter& counter = *basis->shown;
  for (const auto& [site, known] : basis->known) {
    Sum& counted = counter.sums[site];
    if (known.seq <= counted.seq) continue;
    // A deleter knew more than the value shows: that is gone.
    const auto seen = counter.seen.try_emplace(site).first;
    seen->second = {known.seq, seen->second.number + known.number + -counted.number};
    counted = known;
  }
  Sum& own = counter.sums[self];
  own = {version.seq, own.number + (after + -before)};
  for (const auto& [site, sum] : counter.seen) {
    if (!is_usable(sum.number)) return false;
  }
  counter.context = basis->context;
  return is_usable(own.number);
}

}  // namespace

void counter_note(const NoteInput& input, std::string* note) {
  note->clear();
  SiteTable sites;
  const Version version = renumber(input.version, *input.sites, &sites);
  Basis basis = basis_of(input, &sites);
  if (input.write == WriteKind::change &&
      add_change(input, version, sites.id(version.site), &basis)) {
    write_note(*basis.shown, version, sites, note);
    return;
  }
  Counter assigned;
  assigned.assignment = version;
  assigned.sums = assigned.seen = basis.known;
  assigned.context = basis.context;
  const bool dead = input.write == WriteKind::erase;
  if (assigned.sums.empty() && is_plain_context(assigned.context, version.site, dead)) return;
  write_note(assigned, version, sites, note);
}

void counter_value(const MergeInput& input, Arena* arena, MergeResult* out) {
  const std::vector<size_t> order = merge_order(input);
  show_greatest(input, order, out);
  if (order.size() < 2) return;
  SiteTable sites;
  std::vector<Counter> counters;
  std::vector<Version> versions;
  for (const size_t i : order) {
    versions.push_back(renumber(input.versions[i].version, *input.sites, &sites));
    counters.push_back(counter_of(input.versions[i], versions.back(), &sites));
  }
  Counter all = counters[0];
  for (const Counter& counter : counters)
    join(counter, sites, &all);
  if (!total(input.kind, all, arena, &out->value)) return;
  // An assignment is lost unless it stands, says the same, or was known to a writer who kept to
  // the one that stands.
  Coverage kept;
  for (size_t i = 0; i < order.size(); ++i) {
    if (!counters[i].assignment.same_dot(all.assignment)) continue;
    kept.add(dot_of(versions[i]), &counters[i].context);
  }
  kept.finish();
  const auto is_lost = [&](const Counter& counter) {
    return !counter.assignment.same_dot(all.assignment) &&
           kept.count(dot_of(counter.assignment)) == 0 &&
           !equal_in_meaning(input.kind, counter.value, all.value);
  };
  // The greatest version is never the loser: then the conflict is that of the one that stands.
  const bool greatest_lost = is_lost(counters[0]);
  for (size_t i = 0; i < order.size(); ++i) {
    const bool stands = counters[i].assignment.same_dot(all.assignment);
    out->lost[order[i]] = i > 0 && (stands ? greatest_lost : is_lost(counters[i]));
  }
}

}  // namespace syncline
