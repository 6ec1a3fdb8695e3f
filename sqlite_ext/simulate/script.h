// A simulation told as a script for the sqlite3 shell, which can run it.
#pragma once

#include <string>

namespace syncline::simulate {

class Script {
 public:
  // Statements from now on are run at this site.
  void at(uint32_t site);
  void sql(const std::string& statement);
  void note(const std::string& text);
  void shell(const std::string& command);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  uint32_t site_ = 0;
};

}  // namespace syncline::simulate
