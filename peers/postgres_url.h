// postgresql: URLs: telling them from paths, and showing them without their passwords.
#pragma once

#include <string>
#include <string_view>

namespace syncline {

// True for "postgresql:..." and "postgres:...".
bool is_postgres_url(std::string_view url);

// The URL with every password in it replaced by "***": in the authority (user:password@host), in
// the query (?password=, ?sslpassword=), and in libpq's keyword form (password=...). A misspelt URL
// is masked like a right one; other text comes back unchanged unless it holds such a keyword.
std::string mask_password(std::string_view url);

// Takes the parameter keep=1 or keep=0 out of the query of a URL, which libpq would not know. True
// for keep=1: the connection is to be kept for the next session.
bool take_keep(std::string* url);

}  // namespace syncline
