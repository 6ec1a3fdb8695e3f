// See origin.h.
#include "syncline/origin.h"

#include "syncline/json.h"
#include "syncline/limits.h"

namespace syncline {
namespace {

using Json = SortedJson;

std::string text_of(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

uint64_t number_of(const Json& object, const char* key, uint64_t most) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_number_unsigned()) return 0;
  const uint64_t number = at->get<uint64_t>();
  return number <= most ? number : 0;
}

void read_reopened(const Json& object, Origin::Reopened* out) {
  const Result<SiteId> winner = site_id_from_hex(text_of(object, "winner_site"));
  const Result<SiteId> loser = site_id_from_hex(text_of(object, "loser_site"));
  if (!winner.ok() || !loser.ok()) return;
  out->winner_site = winner.value();
  out->loser_site = loser.value();
  out->kind = text_of(object, "kind");
  out->column = text_of(object, "column");
  out->winner = text_of(object, "winner");
  out->loser = text_of(object, "loser");
  out->winner_seq = number_of(object, "winner_seq", limits::seq_max);
  out->loser_seq = number_of(object, "loser_seq", limits::seq_max);
  out->winner_hlc = number_of(object, "winner_hlc", limits::hlc_max);
  out->loser_hlc = number_of(object, "loser_hlc", limits::hlc_max);
  // A host may store them as JSON: what is none, or too deep, reopens nothing.
  const bool values =
      !parse_json<Json>(out->winner).is_discarded() && !parse_json<Json>(out->loser).is_discarded();
  if (values) out->id = text_of(object, "id");
}

}  // namespace

std::string origin_to_text(const Origin& origin) {
  if (origin.empty()) return {};
  Json json = Json::object();
  const auto put = [&](const char* key, const std::string& value) {
    if (!value.empty()) json[key] = value;
  };
  put("actor", origin.actor);
  put("context", origin.context);
  put("conflict", origin.conflict);
  put("choice", origin.choice);
  put("note", origin.note);
  if (origin.reopens()) {
    const Origin::Reopened& r = origin.reopened;
    json["reopens"] = {{"id", r.id},
                       {"kind", r.kind},
                       {"column", r.column},
                       {"winner", r.winner},
                       {"loser", r.loser},
                       {"winner_site", to_hex(r.winner_site)},
                       {"loser_site", to_hex(r.loser_site)},
                       {"winner_seq", r.winner_seq},
                       {"loser_seq", r.loser_seq},
                       {"winner_hlc", r.winner_hlc},
                       {"loser_hlc", r.loser_hlc}};
  }
  return json_text(json);
}

Origin origin_from_text(std::string_view text) {
  Origin out;
  // Every member is a flat string or number, but for one object: depth is no concern.
  if (text.empty() || text.size() > limits::note_bytes_max) return out;
  const Json json = parse_json<Json>(text);
  if (!json.is_object()) return out;
  out.actor = text_of(json, "actor");
  out.context = text_of(json, "context");
  out.conflict = text_of(json, "conflict");
  out.choice = text_of(json, "choice");
  out.note = text_of(json, "note");
  const auto reopened = json.find("reopens");
  if (reopened != json.end() && reopened->is_object()) read_reopened(*reopened, &out.reopened);
  return out;
}

bool may_reopen(std::string_view text) {
  return text.find("\"reopens\"") != std::string_view::npos;
}

}  // namespace syncline
