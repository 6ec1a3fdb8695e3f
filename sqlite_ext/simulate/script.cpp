// See script.h.
#include "sqlite_ext/simulate/script.h"

namespace syncline::simulate {

void Script::at(uint32_t site) {
  if (site == site_) return;
  site_ = site;
  text_ += "\n-- site " + std::to_string(site) + "\n.open site" + std::to_string(site) +
           ".db\n.load syncline\n";
}

void Script::sql(const std::string& statement) {
  text_ += statement + ";\n";
}

void Script::note(const std::string& text) {
  std::string line = "-- ";
  for (const char c : text)
    line += c == '\n' ? std::string("\n-- ") : std::string(1, c);
  text_ += line + "\n";
}

void Script::shell(const std::string& command) {
  text_ += command + "\n";
}

}  // namespace syncline::simulate
