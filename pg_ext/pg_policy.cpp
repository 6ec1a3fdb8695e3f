// Policies and origins for the C side: what capture has to know, and what calls say.
#include <optional>
#include <string>
#include <vector>

#include "pg_ext/pg_port.h"
#include "syncline/limits.h"
#include "syncline/origin.h"
#include "syncline/policy_report.h"
#include "syncline/policy_suggestion.h"

namespace syncline::pg {

namespace {

template <int kUse>
std::string& buffer() {
  static std::string text;
  return text;
}

template <typename Body>
void bounded(SlStatus* status, Body body) noexcept {
  status->code = 0;
  status->message[0] = status->hint[0] = '\0';
  try {
    const Status done = body();
    if (!done.ok()) fill(done, status);
  } catch (...) {
    fill_exception(status);
  }
}

}  // namespace

}  // namespace syncline::pg

using namespace syncline;
using namespace syncline::pg;

SlBytes slb_origin_text(SlBytes actor, SlBytes context, SlStatus* status) {
  std::string& out = buffer<0>();
  bounded(status, [&]() -> Status {
    Origin origin;
    origin.actor = view(actor);
    origin.context = view(context);
    out = origin_to_text(origin);
    if (out.size() <= limits::setting_value_bytes_max) return {};
    return Status(StatusCode::limit_exceeded, "the actor and its context are too long",
                  "together they may have " + std::to_string(limits::setting_value_bytes_max) +
                      " bytes");
  });
  return bytes(out);
}

void slb_noted_columns(const SlTableDef* def, const SlSettingRow* rows, uint32_t count, bool* noted,
                       SlStatus* status) {
  bounded(status, [&]() -> Status {
    Settings settings;
    for (uint32_t i = 0; i < count; ++i) settings.merge(setting_of(rows[i]));
    std::vector<TableInfo> tables{table_info(*def)};
    apply_policies(settings, &tables);
    for (ColumnNumber c = 0; c < tables[0].column_count(); ++c) {
      const auto& policy = tables[0].columns[c].policy;
      noted[c] = policy && policy->needs_notes();
    }
    return {};
  });
}
