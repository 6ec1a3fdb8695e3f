// See conflict_text.h.
#include "syncline/conflict_text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "syncline/json.h"
#include "syncline/table.h"

namespace syncline {
namespace {

using Json = OrderedJson;

// Lines to compare pairwise in one go; beyond, they count as replaced.
constexpr size_t kPairsMax = 1'000'000;
constexpr size_t kColumnWidth = 60;

// A value as lines of text: what a person would have typed.
std::vector<std::string> lines_of(const std::string& json) {
  std::string text = json;
  if (!json.empty() && (json[0] == '"' || json[0] == '{')) {
    const Json parsed = parse_json<Json>(json);
    if (parsed.is_string()) {
      text = parsed.get<std::string>();
    } else if (parsed.is_object()) {
      text.clear();
      for (const auto& member : parsed.items()) {
        if (!text.empty()) text += '\n';
        text += member.key() + ": " + json_text(member.value());
      }
    }
  }
  std::vector<std::string> lines;
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    lines.push_back(text.substr(begin, end - begin));
  }
  lines.push_back(text.substr(begin));
  return lines;
}

// One line of the comparison; a side that has none is null.
struct Pair {
  const std::string* left = nullptr;
  const std::string* right = nullptr;
  bool same() const { return left != nullptr && right != nullptr && *left == *right; }
};

using Lines = std::vector<std::string>;

// A longest common subsequence of lines a[0..n) and b[0..m): for small n * m.
void align_middle(const Lines& a, size_t a_begin, size_t a_end, const Lines& b, size_t b_begin,
                  size_t b_end, std::vector<Pair>* out) {
  const size_t n = a_end - a_begin, m = b_end - b_begin;
  std::vector<std::vector<uint32_t>> common;
  const bool small = n > 0 && m > 0 && n <= kPairsMax / m;
  if (small) common.assign(n + 1, std::vector<uint32_t>(m + 1, 0));
  for (size_t i = n; small && i-- > 0;) {
    for (size_t j = m; j-- > 0;) {
      common[i][j] = a[a_begin + i] == b[b_begin + j]
                         ? common[i + 1][j + 1] + 1
                         : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  size_t i = 0, j = 0;
  std::vector<const std::string*> left, right;
  const auto flush = [&] {
    for (size_t k = 0; k < std::max(left.size(), right.size()); ++k) {
      out->push_back({k < left.size() ? left[k] : nullptr, k < right.size() ? right[k] : nullptr});
    }
    left.clear();
    right.clear();
  };
  while (i < n || j < m) {
    if (i < n && j < m && a[a_begin + i] == b[b_begin + j] && small) {
      flush();
      out->push_back({&a[a_begin + i++], &b[b_begin + j++]});
    } else if (j >= m || (i < n && (!small || common[i + 1][j] >= common[i][j + 1]))) {
      left.push_back(&a[a_begin + i++]);
    } else {
      right.push_back(&b[b_begin + j++]);
    }
  }
  flush();
}

std::vector<Pair> align(const Lines& a, const Lines& b) {
  std::vector<Pair> out;
  const size_t least = std::min(a.size(), b.size());
  size_t head = 0, tail = 0;
  while (head < least && a[head] == b[head]) ++head;
  while (tail < least - head && a[a.size() - 1 - tail] == b[b.size() - 1 - tail]) ++tail;
  for (size_t i = 0; i < head; ++i) out.push_back({&a[i], &b[i]});
  align_middle(a, head, a.size() - tail, b, head, b.size() - tail, &out);
  for (size_t i = tail; i > 0; --i) out.push_back({&a[a.size() - i], &b[b.size() - i]});
  return out;
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Where two lines begin and end to differ: `head` bytes and `tail` bytes are the same.
void find_difference(const std::string& a, const std::string& b, size_t* head, size_t* tail) {
  const size_t least = std::min(a.size(), b.size());
  *head = *tail = 0;
  while (*head < least && a[*head] == b[*head]) ++*head;
  while (*head > 0 && ((*head < a.size() && continues(a[*head])) ||
                       (*head < b.size() && continues(b[*head])))) {
    --*head;
  }
  while (*tail < least - *head && a[a.size() - 1 - *tail] == b[b.size() - 1 - *tail]) ++*tail;
  while (*tail > 0 && (continues(a[a.size() - *tail]) || continues(b[b.size() - *tail]))) --*tail;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

struct Marks {
  const char* open;
  const char* close;
  bool html;
};

// `line` with what `other` has otherwise between marks.
std::string marked(const std::string& line, const std::string* other, const Marks& marks) {
  const auto plain = [&](std::string_view text) {
    return marks.html ? escaped(text) : std::string(text);
  };
  if (other == nullptr || *other == line) return plain(line);
  size_t head = 0, tail = 0;
  find_difference(line, *other, &head, &tail);
  const std::string_view view(line);
  return plain(view.substr(0, head)) + marks.open +
         plain(view.substr(head, line.size() - head - tail)) + marks.close +
         plain(view.substr(line.size() - tail));
}

std::string who(const std::string& actor, const std::string& site, const std::string& at) {
  std::string out;
  if (!actor.empty()) out += " by " + actor;
  if (!site.empty()) out += " at site " + site;
  if (!at.empty()) out += ", " + at;
  return out;
}

std::string title(const ConflictText& c) {
  return c.kind + " in " + c.table_name + " " + c.pk +
         (c.column_name.empty() ? std::string() : ", column " + c.column_name);
}

std::string verdict(const ConflictText& c) {
  std::string out = c.status;
  if (!c.severity.empty()) out += ", severity " + c.severity;
  if (!c.policy.empty()) out += ", policy " + c.policy;
  if (c.status != "closed") return out;
  if (!c.how.empty()) out += "; settled by " + c.how;
  if (!c.choice.empty()) out += " for " + c.choice;
  if (!c.resolved_by.empty()) out += ", " + c.resolved_by;
  if (!c.resolved_at.empty()) out += ", " + c.resolved_at;
  return out;
}

// "base" and what is shown, where they say more than the two sides do.
std::vector<std::pair<const char*, std::string>> beside(const ConflictText& c) {
  std::vector<std::pair<const char*, std::string>> out;
  if (!c.base.empty()) out.emplace_back("base", c.base);
  if (!c.winner.empty()) out.emplace_back("shown", c.winner);
  if (!c.note.empty()) out.emplace_back("note", c.note);
  return out;
}

std::string as_text(const ConflictText& c, const std::vector<Pair>& pairs) {
  std::string out = title(c) + "\n" + verdict(c) + "\n";
  for (const auto& [name, value] : beside(c)) out += std::string(name) + " " + value + "\n";
  out += "--- local" + who(c.local_actor, c.local_site, c.local_at) + "\n";
  out += "+++ remote" + who(c.remote_actor, c.remote_site, c.remote_at) + "\n";
  const Marks marks{"[", "]", false};
  for (const Pair& p : pairs) {
    if (p.same()) {
      out += "  " + *p.left + "\n";
      continue;
    }
    if (p.left != nullptr) out += "- " + marked(*p.left, p.right, marks) + "\n";
    if (p.right != nullptr) out += "+ " + marked(*p.right, p.left, marks) + "\n";
  }
  return out;
}

// Pieces of at most kColumnWidth characters.
std::vector<std::string> wrapped(const std::string& line) {
  std::vector<std::string> out(1);
  size_t width = 0;
  for (const char c : line) {
    if (!continues(c) && width++ == kColumnWidth) {
      out.emplace_back();
      width = 1;
    }
    out.back() += c;
  }
  return out;
}

std::string padded(std::string text) {
  const auto width = static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
  return text + std::string(kColumnWidth - std::min(width, kColumnWidth), ' ');
}

std::string as_columns(const ConflictText& c, const std::vector<Pair>& pairs) {
  std::string out = title(c) + "\n" + verdict(c) + "\n";
  for (const auto& [name, value] : beside(c)) out += std::string(name) + " " + value + "\n";
  const Marks marks{"[", "]", false};
  const auto row = [&](const std::string& left, const char* between, const std::string& right) {
    const auto a = wrapped(left), b = wrapped(right);
    for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
      std::string line = padded(i < a.size() ? a[i] : "") + between + (i < b.size() ? b[i] : "");
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
  };
  row("local" + who(c.local_actor, c.local_site, c.local_at), "   ",
      "remote" + who(c.remote_actor, c.remote_site, c.remote_at));
  for (const Pair& p : pairs) {
    row(p.left == nullptr ? "" : marked(*p.left, p.right, marks),
        p.same() ? "   " : p.left == nullptr ? " > " : p.right == nullptr ? " < " : " | ",
        p.right == nullptr ? "" : marked(*p.right, p.left, marks));
  }
  return out;
}

std::string as_html(const ConflictText& c, const std::vector<Pair>& pairs) {
  std::string out = "<section class=\"syncline-conflict\" id=\"conflict-" + escaped(c.id) + "\">\n";
  out += "<h3>" + escaped(title(c)) + "</h3>\n<p>" + escaped(verdict(c)) + "</p>\n<dl>\n";
  for (const auto& [name, value] : beside(c)) {
    out += std::string("<dt>") + name + "</dt><dd>" + escaped(value) + "</dd>\n";
  }
  out += "</dl>\n<table>\n<tr><th>local" +
         escaped(who(c.local_actor, c.local_site, c.local_at)) + "</th><th>remote" +
         escaped(who(c.remote_actor, c.remote_site, c.remote_at)) + "</th></tr>\n";
  for (const Pair& p : pairs) {
    out += p.same() ? "<tr>" : "<tr class=\"differs\">";
    out += "<td>" + (p.left == nullptr ? "" : marked(*p.left, p.right, {"<del>", "</del>", true}));
    out += "</td><td>";
    out += p.right == nullptr ? "" : marked(*p.right, p.left, {"<ins>", "</ins>", true});
    out += "</td></tr>\n";
  }
  return out + "</table>\n</section>\n";
}

}  // namespace

Status diff_format_from_name(std::string_view name, DiffFormat* out) {
  static const std::vector<std::string> names{"text", "side_by_side", "html"};
  const auto at = std::find(names.begin(), names.end(), name.empty() ? names[0] : name);
  if (at != names.end()) {
    *out = static_cast<DiffFormat>(at - names.begin());
    return {};
  }
  const std::string near = nearest_name(name, names);
  return Status(StatusCode::invalid_argument,
                "sync_conflict_diff has no format \"" + std::string(name) + "\"",
                near.empty() ? "one of \"text\", \"side_by_side\", \"html\""
                             : "did you mean \"" + near + "\"?");
}

std::string conflict_diff(const ConflictText& conflict, DiffFormat format) {
  const Lines left = conflict.local.empty() ? Lines() : lines_of(conflict.local);
  const Lines right = conflict.remote.empty() ? Lines() : lines_of(conflict.remote);
  const std::vector<Pair> pairs = align(left, right);
  switch (format) {
    case DiffFormat::side_by_side: return as_columns(conflict, pairs);
    case DiffFormat::html: return as_html(conflict, pairs);
    case DiffFormat::text: break;
  }
  return as_text(conflict, pairs);
}

std::string time_text(uint64_t unix_ms) {
  if (unix_ms == 0) return {};
  // Civil date from days: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013.
  const uint64_t seconds = unix_ms / 1000;
  const uint64_t days = seconds / 86400 + 719468;
  const uint64_t era = days / 146097, of_era = days % 146097;
  const uint64_t year_of_era =
      (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const uint64_t shifted = (5 * of_year + 2) / 153;
  const uint64_t day = of_year - (153 * shifted + 2) / 5 + 1;
  const uint64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  const uint64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "%04llu-%02llu-%02lluT%02llu:%02llu:%02llu.%03lluZ",
                number(year), number(month), number(day), number(seconds / 3600 % 24),
                number(seconds / 60 % 60), number(seconds % 60), number(unix_ms % 1000));
  return text.data();
}

}  // namespace syncline
