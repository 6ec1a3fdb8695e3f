// See catalog.h. Reads pragmas as table-valued functions, so names travel as bound text.
#include "sqlite_ext/catalog.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace syncline {

namespace {

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

bool all_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool same_name(std::string_view a, std::string_view b) {
  return upper(a) == upper(b);
}

// The end of the quoted token that starts at `i`, or of a comment; `i` itself if there is none.
size_t skip_token(std::string_view sql, size_t i) {
  const char c = sql[i];
  if (c == '\'' || c == '"' || c == '`' || c == '[') {
    const char close = c == '[' ? ']' : c;
    for (++i; i < sql.size(); ++i) {
      if (sql[i] != close) continue;
      if (c != '[' && i + 1 < sql.size() && sql[i + 1] == close) {
        ++i;
      } else {
        return i + 1;
      }
    }
    return sql.size();
  }
  if (sql.substr(i, 2) == "--") {
    const size_t end = sql.find('\n', i);
    return end == std::string_view::npos ? sql.size() : end + 1;
  }
  if (sql.substr(i, 2) == "/*") {
    const size_t end = sql.find("*/", i + 2);
    return end == std::string_view::npos ? sql.size() : end + 2;
  }
  return i;
}

}  // namespace

Affinity affinity_of(std::string_view declared) {
  const std::string type = upper(declared);
  auto has = [&](const char* part) { return type.find(part) != std::string::npos; };
  if (has("INT")) return Affinity::integer;
  if (has("CHAR") || has("CLOB") || has("TEXT")) return Affinity::text;
  if (type.empty() || has("BLOB")) return Affinity::blob;
  if (has("REAL") || has("FLOA") || has("DOUB")) return Affinity::real;
  return Affinity::numeric;
}

std::string index_predicate(std::string_view sql) {
  int depth = 0;
  for (size_t i = 0; i < sql.size();) {
    const size_t next = skip_token(sql, i);
    if (next != i) {
      i = next;
      continue;
    }
    const char c = sql[i];
    if (c == '(') ++depth;
    if (c == ')') --depth;
    const bool word_start = i > 0 && !std::isalnum(static_cast<unsigned char>(sql[i - 1])) &&
                            sql[i - 1] != '_' && sql[i - 1] != '$';
    if (depth == 0 && word_start && same_name(sql.substr(i, 5), "WHERE")) {
      return std::string(sql.substr(i + 5));
    }
    ++i;
  }
  return {};
}

std::string literal_default(std::string_view default_sql) {
  const size_t size = default_sql.size();
  const char first = size == 0 ? ' ' : default_sql[0];
  if (first == '\'' && skip_token(default_sql, 0) == size) return std::string(default_sql);
  if (first == '"' && skip_token(default_sql, 0) == size) {  // a string here, wherever SQL has it
    std::string text;
    for (size_t i = 1; i + 1 < size; ++i) {
      text += default_sql[i];
      if (default_sql[i] == '"') ++i;
    }
    return quote_text(text);
  }
  if ((first == 'x' || first == 'X') && size > 2 && default_sql[1] == '\'' &&
      skip_token(default_sql, 1) == size) {
    return std::string(default_sql);
  }
  for (const char* word : {"NULL", "TRUE", "FALSE"}) {
    if (same_name(default_sql, word)) return word;
  }
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || c == '.'; };
  size_t at = first == '-' || first == '+' ? 1 : 0;
  if (at >= size || !is_digit(default_sql[at])) return {};
  for (; at < size; ++at) {
    const char c = default_sql[at], before = at == 0 ? ' ' : default_sql[at - 1];
    const bool signs_exponent = (c == '-' || c == '+') && (before == 'e' || before == 'E');
    const bool leads = at == 0 && (c == '-' || c == '+');
    const bool part = is_digit(c) || std::isalpha(static_cast<unsigned char>(c)) != 0;
    if (!part && !signs_exponent && !leads) return {};
  }
  return "(" + std::string(default_sql) + ")";
}

bool is_companion(std::string_view name) {
  static constexpr std::array<std::string_view, 21> kFixed = {
      "sync_meta",    "sync_clock",    "sync_site",     "sync_incarnation", "sync_vector",
      "sync_table",   "sync_column",   "sync_log",      "sync_relay",       "sync_growth",
      "sync_context", "sync_incoming", "sync_conflict", "sync_peer",        "sync_setting",
      "sync_origin",  "sync_event",    "sync_digest",   "sync_invariant",   "sync_ack",
      "sync_melt"};
  if (same_name(name.substr(0, 7), "sqlite_")) return true;
  if (std::find(kFixed.begin(), kFixed.end(), name) != kFixed.end()) return true;
  for (std::string_view prefix : {"sync_state_", "sync_image_", "sync_before_"}) {
    if (name.substr(0, prefix.size()) == prefix && all_digits(name.substr(prefix.size()))) {
      return true;
    }
  }
  return false;
}

const BaseColumn* BaseTable::find(std::string_view column) const {
  for (const BaseColumn& c : columns) {
    if (c.name == column) return &c;
  }
  for (const BaseColumn& c : columns) {
    if (same_name(c.name, column)) return &c;
  }
  return nullptr;
}

namespace {

Status find_object(sqlite3* db, std::string_view name, BaseTable* out) {
  // Schema tables compare names without case; the spelling that matches exactly is unique.
  for (const char* schema : {"main", "temp"}) {
    Statement s;
    SYNCLINE_TRY(s.prepare(db, std::string("SELECT name,type,sql FROM ") + schema +
                                   ".sqlite_schema WHERE type IN ('table','view') AND "
                                   "name=?1 COLLATE NOCASE"));
    s.bind(1, name);
    bool row = false;
    SYNCLINE_TRY(s.next(&row));
    if (!row) continue;
    out->exists = true;
    out->name = s.text(0);
    out->type = s.text(1);
    out->sql = s.text(2);
    if (std::string_view(schema) == "temp") out->type = "temporary " + out->type;
    if (upper(out->sql.substr(0, 14)) == "CREATE VIRTUAL") out->type = "virtual table";
    return {};
  }
  return {};
}

Status read_columns(sqlite3* db, BaseTable* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT name,type,\"notnull\",pk,hidden,coalesce(dflt_value,'NULL') FROM "
                         "pragma_table_xinfo(?1,'main') ORDER BY cid"));
  s.bind(1, std::string_view(out->name));
  std::vector<std::pair<int64_t, std::string>> key;
  std::string key_type;
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    if (s.integer(4) != 0) continue;  // generated
    out->columns.push_back({s.text(0), s.text(1), affinity_of(s.text(1)), s.text(5)});
    if (s.integer(3) == 0) continue;
    key.emplace_back(s.integer(3), s.text(0));
    key_type = s.text(1);
    if (s.integer(2) == 0) out->nullable_key = true;
  }
  std::sort(key.begin(), key.end());
  for (auto& part : key)
    out->key.push_back(std::move(part.second));
  if (out->key.size() != 1 || upper(key_type) != "INTEGER") return {};
  // An INTEGER PRIMARY KEY without an index of its own is the rowid, which is never NULL.
  int64_t indexed = 0;
  SYNCLINE_TRY(query_integer(
      db, "SELECT 1 FROM pragma_index_list(" + quote_text(out->name) + ",'main') WHERE origin='pk'",
      0, &indexed));
  out->rowid_alias = indexed == 0;
  if (out->rowid_alias) out->nullable_key = false;
  return {};
}

}  // namespace

Status describe_table(sqlite3* db, std::string_view name, BaseTable* out) {
  *out = BaseTable();
  SYNCLINE_TRY(find_object(db, name, out));
  if (!out->exists || out->type != "table") return {};
  return read_columns(db, out);
}

Status unique_indexes(sqlite3* db, const std::string& table, std::vector<UniqueIndex>* out) {
  out->clear();
  Statement list;
  SYNCLINE_TRY(list.prepare(db,
                            "SELECT l.name,m.sql,l.partial FROM pragma_index_list(?1,'main') l "
                            "LEFT JOIN main.sqlite_schema m ON m.type='index' AND "
                            "m.name=l.name WHERE l.\"unique\"=1 AND l.origin<>'pk' "
                            "ORDER BY l.name"));
  list.bind(1, std::string_view(table));
  for (bool row = true;;) {
    SYNCLINE_TRY(list.next(&row));
    if (!row) return {};
    UniqueIndex index;
    index.name = list.text(0);
    if (list.integer(2) != 0) index.key.predicate = index_predicate(list.bytes(1));
    Statement parts;
    SYNCLINE_TRY(parts.prepare(db,
                               "SELECT cid,name,coll FROM pragma_index_xinfo(?1,'main') "
                               "WHERE key=1 ORDER BY seqno"));
    parts.bind(1, std::string_view(index.name));
    for (bool more = true;;) {
      SYNCLINE_TRY(parts.next(&more));
      if (!more) break;
      if (parts.integer(0) < 0) {
        index.expression = true;
      } else {
        index.key.parts.push_back({parts.text(1), parts.text(2)});
      }
    }
    out->push_back(std::move(index));
  }
}

Status foreign_keys(sqlite3* db, const std::string& table, std::vector<ForeignKey>* out) {
  out->clear();
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT id,\"table\",\"from\",\"to\",on_delete FROM "
                         "pragma_foreign_key_list(?1,'main') ORDER BY id,seq"));
  s.bind(1, std::string_view(table));
  int64_t id = -1;
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    if (s.integer(0) != id) {
      id = s.integer(0);
      out->push_back({s.text(1), {}, {}, s.text(4)});
    }
    out->back().from.push_back(s.text(2));
    if (!s.is_null(3)) out->back().to.push_back(s.text(3));
  }
  for (ForeignKey& key : *out) {
    BaseTable parent;
    SYNCLINE_TRY(describe_table(db, key.parent, &parent));
    if (parent.exists) key.parent = parent.name;
    if (key.to.empty()) key.to = parent.key;
  }
  return {};
}

Status describe_key(sqlite3* db, const BaseTable& base, std::vector<CaptureIndex::Part>* out) {
  out->clear();
  for (const std::string& name : base.key)
    out->push_back({name, "BINARY"});
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT x.name,x.coll FROM pragma_index_list(?1,'main') l, "
                         "pragma_index_xinfo(l.name,'main') x WHERE l.origin='pk' AND "
                         "x.key=1"));
  s.bind(1, std::string_view(base.name));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    for (CaptureIndex::Part& part : *out) {
      if (part.column == s.text(0)) part.collation = s.text(1);
    }
  }
}

Status table_names(sqlite3* db, std::vector<std::string>* out) {
  SYNCLINE_TRY(query_texts(db, "SELECT name FROM main.sqlite_schema WHERE type='table'", out));
  std::erase_if(*out, [](const std::string& name) { return is_companion(name); });
  return {};
}

}  // namespace syncline
