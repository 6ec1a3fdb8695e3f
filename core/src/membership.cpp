#include "syncline/membership.h"

#include <map>

#include "syncline/json.h"

namespace syncline {
namespace {

using Json = OrderedJson;

constexpr std::string_view kSite = "site/";
constexpr std::string_view kRetired = "retired/";

// The id in a key that begins with `prefix`.
bool split_key(std::string_view key, std::string_view prefix, SiteId* id) {
  if (key.substr(0, prefix.size()) != prefix) return false;
  const Result<SiteId> parsed = site_id_from_hex(key.substr(prefix.size()));
  if (parsed.ok()) *id = parsed.value();
  return parsed.ok();
}

std::string text(const SortedJson& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

uint64_t number(const SortedJson& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_number_unsigned() ? at->get<uint64_t>() : 0;
}

}  // namespace

std::vector<Member> list_members(const Settings& settings) {
  std::map<SiteId, Member> members;
  for (const Setting* setting : settings.all()) {
    SiteId id;
    const bool site = split_key(setting->key, kSite, &id);
    const bool retired = !site && split_key(setting->key, kRetired, &id);
    if ((!site && !retired) || setting->value.empty()) continue;
    Member& member = members[id];
    member.id = id;
    const SortedJson value = parse_json<SortedJson>(setting->value);
    if (retired) {
      member.retired = true;
      member.retired_by = setting->site;
    }
    if (!value.is_object()) continue;
    if (retired) {
      member.retired_ms = number(value, "at_ms");
      member.note = text(value, "note");
      continue;
    }
    member.name = text(value, "name");
    member.engine = text(value, "engine");
    member.version = text(value, "version");
    member.joined_ms = number(value, "joined_ms");
  }
  std::vector<Member> out;
  for (auto& [id, member] : members) out.push_back(std::move(member));
  return out;
}

namespace {

std::vector<SiteId> ids_under(const Settings& settings, std::string_view prefix) {
  std::vector<SiteId> out;
  for (const Setting* setting : settings.all()) {
    SiteId id;
    if (split_key(setting->key, prefix, &id) && !setting->value.empty()) out.push_back(id);
  }
  return out;  // keys ascend, and so do the ids in them
}

}  // namespace

std::vector<SiteId> retired_ids(const Settings& settings) {
  return ids_under(settings, kRetired);
}

std::vector<SiteId> member_ids(const Settings& settings) {
  std::vector<SiteId> out = ids_under(settings, kSite);
  std::erase_if(out, [&](const SiteId& id) { return find_retirement(settings, id) != nullptr; });
  return out;
}

const Setting* find_retirement(const Settings& settings, const SiteId& id) {
  const Setting* found = settings.find_setting(std::string(kRetired) + to_hex(id));
  return found == nullptr || found->value.empty() ? nullptr : found;
}

Setting make_member_setting(const Member& member) {
  Setting out;
  out.key = std::string(kSite) + to_hex(member.id);
  out.value = json_text(Json{{"name", member.name},
                             {"engine", member.engine},
                             {"version", member.version},
                             {"joined_ms", member.joined_ms}});
  return out;
}

Setting make_retirement(const SiteId& id, uint64_t now_ms, std::string_view note) {
  Setting out;
  out.key = std::string(kRetired) + to_hex(id);
  Json value = {{"at_ms", now_ms}};
  if (!note.empty()) value["note"] = std::string(note);
  out.value = json_text(value);
  return out;
}

}  // namespace syncline
