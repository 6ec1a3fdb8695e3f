// The JSON that peers exchange beside Hello: options of an export, reports of an apply.
#pragma once

#include <string>
#include <string_view>

#include "syncline/apply.h"
#include "syncline/exporter.h"

namespace syncline {

// What sync_changes_since takes: the inverse of export_options_from_json.
std::string export_options_to_json(const ExportOptions& options, const std::string& resume_hex);

// What sync_apply returned: the inverse of report_to_json. Counts that are missing stay zero.
// Errors: peer_failed.
Status report_from_json(std::string_view json, ApplyReport* out);

}  // namespace syncline
