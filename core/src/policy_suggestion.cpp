// See policy_suggestion.h.
#include "syncline/policy_suggestion.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

namespace syncline {
namespace {

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

// "stockOnHand" and "stock_on_hand" to stock, on, hand.
std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words(1);
  char before = 0;
  for (const char c : name) {
    const bool letter = is_lower(c) || is_upper(c) || (c & 0x80) != 0;
    const bool starts = is_upper(c) && is_lower(before);
    if ((!letter || starts) && !words.back().empty()) words.emplace_back();
    if (letter) words.back() += is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
    before = c;
  }
  return words;
}

class Suggester {
 public:
  Suggester(const ColumnInfo& column, bool unique)
      : column_(column), kind_(column.kind), unique_(unique), words_(words_of(column.name)) {}

  PolicySuggestion suggest() const {
    if (unique_) {
      return make("last_writer", "it is unique: a merged value could belong to another row");
    }
    if (is_number()) return number();
    if (kind_ == LogicalKind::timestamp || kind_ == LogicalKind::timestamptz ||
        kind_ == LogicalKind::date) {
      return moment();
    }
    if (kind_ == LogicalKind::json) return json();
    if (kind_ == LogicalKind::text || kind_ == LogicalKind::any) return text();
    if (kind_ == LogicalKind::boolean && has({"deleted", "archived", "locked", "approved"})) {
      return make("manual", "a state that somebody has decided on");
    }
    return make("last_writer", "the later value stands, the other one is kept as a conflict");
  }

 private:
  bool is_number() const {
    return kind_ == LogicalKind::integer || kind_ == LogicalKind::floating ||
           kind_ == LogicalKind::numeric;
  }

  bool has(std::initializer_list<const char*> names) const {
    return std::any_of(names.begin(), names.end(), [&](const char* name) {
      return std::find(words_.begin(), words_.end(), name) != words_.end();
    });
  }
  bool ends_in(const char* word) const { return words_.back() == word; }

  PolicySuggestion make(const char* policy, const char* reason) const {
    return {column_.name, policy, reason};
  }

  PolicySuggestion number() const {
    if (ends_in("id") || ends_in("fk")) {
      return make("last_writer", "it names another row: adding up names means nothing");
    }
    if (has({"count", "counter", "qty", "quantity", "stock", "balance", "total", "sum", "points",
             "score", "views", "likes", "votes", "hits", "credits", "inventory"})) {
      return make("counter", "concurrent additions to an amount add up");
    }
    if (has({"version", "revision", "highscore", "max", "maximum", "latest", "last"}) ||
        ends_in("at")) {
      return make("max", "it only grows: the greater value is the newer one");
    }
    if (has({"min", "minimum", "earliest", "first"})) {
      return make("min", "it only sinks: the lesser value counts");
    }
    if (has({"status", "state"})) return status();
    return make("last_writer", "a number that is set, not added to");
  }

  PolicySuggestion moment() const {
    if (has({"created", "inserted", "born", "registered", "first"})) {
      return make("min", "when something began: the earlier time is right");
    }
    if (has({"updated", "modified", "changed", "seen", "last", "synced"})) {
      return make("max", "when something happened last: the later time is right");
    }
    return make("last_writer", "a date that is set");
  }

  bool names_set() const {
    return has({"tags", "labels", "categories", "members", "roles", "flags", "keywords", "topics"});
  }

  PolicySuggestion json() const {
    if (names_set()) return make("union", "a set of elements: additions and removals combine");
    return make("json", "changes of different paths of a document combine");
  }

  PolicySuggestion status() const {
    return make("manual", "a state of work: two changes at once are for people to decide");
  }

  PolicySuggestion text() const {
    if (has({"status", "state", "stage", "phase"})) return status();
    if (names_set()) {
      return make("union", "a set of elements: additions and removals combine; needs a JSON array");
    }
    if (has({"notes", "note", "body", "description", "content", "text", "comment", "comments",
             "remarks", "details", "summary", "abstract", "instructions"})) {
      return make("text", "edits of different places of a long text combine");
    }
    if (ends_in("at") && has({"created", "inserted", "registered"})) {
      return make("min", "when something began: the earlier time is right");
    }
    if (ends_in("at") && has({"updated", "modified", "changed", "seen"})) {
      return make("max", "when something happened last: the later time is right");
    }
    if (has({"json", "document", "settings", "preferences", "metadata", "attributes"})) {
      return make("json", "changes of different paths of a document combine; needs JSON");
    }
    return make("last_writer", "a short text: the later one stands, the other one is kept");
  }

  const ColumnInfo& column_;
  LogicalKind kind_;
  bool unique_;
  std::vector<std::string> words_;
};

}  // namespace

std::vector<PolicySuggestion> suggest_policies(const TableInfo& table,
                                               std::span<const ColumnNumber> unique) {
  std::vector<PolicySuggestion> out;
  for (ColumnNumber c = 0; c < table.column_count(); ++c) {
    if (!table.columns[c].present || table.is_key(c)) continue;
    const bool in_index = std::find(unique.begin(), unique.end(), c) != unique.end();
    out.push_back(Suggester(table.columns[c], in_index).suggest());
  }
  return out;
}

}  // namespace syncline
