// See peer_json.h.
#include "peers/peer_json.h"

#include "syncline/json.h"

namespace syncline {
namespace {

const char* compression_name(Compression compression) {
  switch (compression) {
    case Compression::none:
      return "none";
    case Compression::lz4:
      return "lz4";
    case Compression::zstd:
      break;
  }
  return "zstd";
}

}  // namespace

std::string export_options_to_json(const ExportOptions& options, const std::string& resume_hex) {
  SortedJson json = {{"max_bytes", options.body_bytes_max}};
  if (options.compression) json["compress"] = compression_name(*options.compression);
  if (!resume_hex.empty()) json["resume"] = resume_hex;
  return json_text(json);
}

Status report_from_json(std::string_view text, ApplyReport* out) {
  SortedJson json = parse_json<SortedJson>(text);
  Status malformed(StatusCode::peer_failed, "the peer's sync_apply returned a malformed report");
  if (!json.is_object()) return malformed;
  auto count = [&](const char* name, uint64_t* value) {
    auto found = json.find(name);
    if (found != json.end() && found->is_number_unsigned()) *value = found->get<uint64_t>();
  };
  *out = ApplyReport{};
  count("applied", &out->applied);
  count("unchanged", &out->unchanged);
  count("parked", &out->parked);
  count("conflicts", &out->conflicts);
  count("quarantined", &out->quarantined);
  auto complete = json.find("complete");
  if (complete == json.end() || !complete->is_boolean()) return malformed;
  out->complete = complete->get<bool>();
  auto resume = json.find("resume");
  if (resume != json.end() && resume->is_string()) out->resume = resume->get<std::string>();
  auto sender = json.find("sender");
  if (sender != json.end() && sender->is_string()) {
    Result<SiteId> id = site_id_from_hex(sender->get<std::string>());
    if (!id.ok()) return malformed;
    out->sender = id.value();
  }
  return {};
}

}  // namespace syncline
