// Masks by syntax alone, so that also a malformed URL is shown without its secret: everything
// between the first ':' and the last '@' of an authority is the password, even where libpq would
// read it in another way.
#include "peers/postgres_url.h"

#include <algorithm>

namespace syncline {
namespace {

constexpr std::string_view kMask = "***";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A parameter's name as libpq reads it: percent-encoding undone, in lower case.
std::string plain_name(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); i++) {
    char c = name[i];
    if (c == '%' && i + 2 < name.size() && hex_digit(name[i + 1]) >= 0 &&
        hex_digit(name[i + 2]) >= 0) {
      c = static_cast<char>(hex_digit(name[i + 1]) * 16 + hex_digit(name[i + 2]));
      i += 2;
    }
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

bool is_secret(std::string_view name) {
  return plain_name(name).find("password") != std::string::npos;
}

// name=value&name=value, the values of secrets masked.
std::string mask_query(std::string_view query) {
  std::string out;
  while (!query.empty()) {
    size_t end = std::min(query.find('&'), query.size());
    std::string_view parameter = query.substr(0, end);
    size_t equals = parameter.find('=');
    std::string_view name = parameter.substr(0, equals);
    if (!is_secret(name)) {
      out += parameter;
    } else {
      out += name.substr(0, name.find(':'));
      out += '=';
      out += kMask;
    }
    if (end < query.size()) out += '&';
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return out;
}

// libpq's keyword form: "host=x password=secret" or password = 'a b\'c'.
std::string mask_keywords(std::string_view text) {
  std::string out;
  size_t at = 0;
  while (true) {
    size_t equals = text.find('=', at);
    if (equals == std::string_view::npos) break;
    size_t name_end = text.find_last_not_of(" \t\n", equals == 0 ? 0 : equals - 1);
    size_t name_start =
        name_end == std::string_view::npos ? equals : text.find_last_of(" \t\n", name_end);
    name_start = name_start == std::string_view::npos ? 0 : name_start + 1;
    size_t value = std::min(text.find_first_not_of(" \t\n", equals + 1), text.size());
    size_t end = value;
    bool quoted = value < text.size() && text[value] == '\'';
    if (quoted) end++;
    while (end < text.size() && (quoted ? text[end] != '\'' : text[end] != ' ')) {
      end += text[end] == '\\' && end + 1 < text.size() ? 2 : 1;
    }
    if (quoted && end < text.size()) end++;
    name_start = std::min(std::max(name_start, at), equals);
    bool secret = is_secret(text.substr(name_start, equals - name_start));
    out += text.substr(at, (secret ? value : end) - at);
    if (secret) {
      out += kMask;
    }
    at = end;
  }
  out += text.substr(at);
  return out;
}

}  // namespace

bool is_postgres_url(std::string_view url) {
  return url.substr(0, 11) == "postgresql:" || url.substr(0, 9) == "postgres:";
}

bool take_keep(std::string* url) {
  if (!is_postgres_url(*url)) return false;
  const size_t query = url->find('?');
  if (query == std::string::npos) return false;
  for (size_t at = query; at < url->size(); at = std::min(url->find('&', at + 1), url->size())) {
    const std::string_view rest = std::string_view(*url).substr(at + 1);
    const std::string_view parameter = rest.substr(0, rest.find('&'));
    if (parameter != "keep=1" && parameter != "keep=0") continue;
    const bool keep = parameter == "keep=1";
    // With the separator behind it, or, where it is the last one, with the one before it.
    const bool last = parameter.size() == rest.size();
    url->erase(last ? at : at + 1, parameter.size() + 1);
    return keep;
  }
  return false;
}

namespace {

// `authority`: where it begins, or slashes before it.
std::string mask_url(std::string_view url, size_t authority) {
  while (authority < url.size() && url[authority] == '/')
    authority++;
  size_t at = url.rfind('@');
  size_t query = url.find('?', at == std::string_view::npos ? authority : at);
  std::string out(url.substr(0, authority));
  std::string_view rest = url.substr(authority, query - authority);
  // A '?' before the last '@' belongs to the password, or the '@' to the query: mask both ways.
  size_t early_query = url.substr(0, at).find('?', authority);
  if (at != std::string_view::npos) {
    std::string_view user = url.substr(authority, at - authority);
    size_t colon = user.find(':');
    if (colon != std::string_view::npos && authority + colon < early_query) {
      out += user.substr(0, colon + 1);
      out += kMask;
      rest = url.substr(at, query == std::string_view::npos ? query : query - at);
    } else if (early_query != std::string_view::npos) {
      query = early_query;
      rest = url.substr(authority, query - authority);
    }
  }
  out += rest;
  if (query != std::string_view::npos) {
    out += '?';
    out += mask_query(url.substr(query + 1));
  }
  return out;
}

}  // namespace

std::string mask_password(std::string_view url) {
  if (is_postgres_url(url)) return mask_url(url, url.find(':') + 1);
  // A misspelt URL, or one without its beginning, has its password in the same place.
  const size_t slashes = url.find("//");
  return mask_keywords(mask_url(url, slashes == std::string_view::npos ? 0 : slashes));
}

}  // namespace syncline
