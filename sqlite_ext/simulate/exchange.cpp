// Chunks between two sites, and what may happen to them on the way.
#include <algorithm>

#include "sqlite_ext/simulate/world.h"
#include "syncline/json.h"

namespace syncline::simulate {

namespace {

constexpr size_t kChunksMax = 24;  // of one exchange; the rest follows with the next
constexpr size_t kMailMax = 30;

std::string chunks_sql(const Transfer& transfer, const std::string& what,
                       const std::string& hello) {
  std::string options = "json_object('max_bytes', " + std::to_string(transfer.max_bytes) +
                        ", 'compress', '" + transfer.compress + "'";
  if (transfer.resume) {
    options += ", 'resume', json_extract(" + hello + ", '$.unfinished.' || sync_site_id())";
  }
  return "SELECT chunk, row_count, last, " + what + " FROM sync_changes_since(json_extract(" +
         hello + ", '$.vector'), " + options + "))";
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

// The refusals that a chunk out of order may get, or one from an id that was given up.
bool out_of_order(const std::string& message) {
  return contains(message, "does not follow what was applied") ||
         contains(message, "was made for a database that has more") ||
         contains(message, "retired") || contains(message, "dropped the metadata of");
}

}  // namespace

std::string World::damage(std::string bytes, Random* random) {
  const std::string before = bytes;
  const uint64_t how = random->below(4);
  if (how == 0) bytes.resize(random->below(bytes.size()));
  if (how == 1) bytes += static_cast<char>(random->below(256));
  while (bytes == before || (how == 3 && random->below(3) != 0)) {
    bytes[random->below(bytes.size())] ^= static_cast<char>(1u << random->below(8));
  }
  return bytes;
}

Failure World::greet(Member* to, std::string* hello) {
  tell(to, "SELECT writefile('hello', sync_hello()) > 0");
  const Status status = to->site->value("SELECT sync_hello()", hello);
  if (!status.ok()) return failed(to, "sync_hello", status);
  return look(to, Cause::arrival, "sync_hello");  // it folds, and may stamp an entry of its own
}

Failure World::produce(Member* from, const std::string& hello, const Transfer& transfer,
                       bool first_only, std::vector<Chunk>* out) {
  out->clear();
  from->site->allow();
  if (script_ != nullptr) {
    const std::string file =
        "writefile('chunk" + std::to_string(chunks_told_) + "-' || chunk, changes)";
    tell(from, chunks_sql(transfer, file, "CAST(readfile('hello') AS TEXT)") +
                   (first_only ? " LIMIT 1" : ""));
  }
  Statement statement;
  Status status = statement.prepare(from->site->db(), chunks_sql(transfer, "changes", "?1"));
  if (!status.ok()) return failed(from, "sync_changes_since", status);
  statement.bind(1, std::string_view(hello));
  for (bool row = true; out->empty() || (!first_only && !out->back().last);) {
    ++operations_;
    status = statement.next(&row);
    if (!status.ok()) return failed(from, "sync_changes_since", status);
    if (!row) break;
    out->push_back({statement.text(3), static_cast<uint64_t>(statement.integer(0)),
                    static_cast<uint64_t>(statement.integer(1)), statement.integer(2) != 0});
    if (out->size() == kChunksMax) break;
  }
  return out->empty() ? Failure{"error", "sync_changes_since gave no chunk"} : Failure();
}

// A chunk is applied whole, or refused; then nothing has changed.
Failure World::deliver(Member* to, const std::string& bytes, const std::string& name, bool damaged,
                       bool* taken) {
  tell(to, "SELECT sync_apply(readfile('" + name + "'))");
  std::string result;
  const Status status = to->site->value("SELECT sync_apply(?1)", bytes, {}, &result);
  *taken = status.ok();
  const std::string at = " at site " + std::to_string(to->site->number());
  if (status.ok() && damaged) return {"damaged", "a damaged chunk was applied" + at};
  if (!status.ok() && !damaged && !out_of_order(status.message())) {
    return failed(to, "sync_apply", status);
  }
  if (!status.ok()) {
    note("refused: " + status.message());
    const View before = to->mind.view;
    if (Failure broken = look(to, Cause::arrival, "a chunk that was refused")) return broken;
    if (same_rows(before, to->mind.view) && before.knowledge == to->mind.view.knowledge) return {};
    return {"refused", "a chunk that was refused changed something" + at};
  }
  if (Failure broken = look(to, Cause::arrival, "sync_apply")) return broken;
  const SortedJson report = parse_json<SortedJson>(result);
  if (!report.value("complete", false)) return {};
  return check_invariants(to, "after an exchange");
}

Failure World::deliver_killed(Member* to, const std::string& bytes, uint64_t at) {
  to->site->disk().kill_at(at);
  std::string result;
  ++operations_;
  const Status status = to->site->value("SELECT sync_apply(?1)", bytes, {}, &result);
  Files remains;
  if (to->site->disk().killed(&remains)) {
    note("site " + std::to_string(to->site->number()) + " is killed in sync_apply");
    const Status opened = to->site->reopen(remains);
    if (!opened.ok()) return failed(to, "opening after a kill", opened);
  } else if (!status.ok() && !out_of_order(status.message())) {
    return failed(to, "sync_apply", status);
  }
  return look(to, Cause::arrival, "a kill in sync_apply");
}

Failure World::exchange(Member* from, Member* to, const Transfer& given, uint64_t* rows) {
  Transfer transfer = given;
  for (Member* member : {from, to}) {
    if (Failure broken = settle(member)) return broken;
  }
  Random random(transfer.seed);
  size_t pieces = transfer.pieces == 0 ? SIZE_MAX : transfer.pieces;
  for (bool more = true; more && pieces > 0; transfer.resume = true) {
    std::string hello;
    if (Failure broken = greet(to, &hello)) return broken;
    ++chunks_told_;
    std::vector<Chunk> chunks;
    if (Failure broken = produce(from, hello, transfer, transfer.one_by_one, &chunks)) {
      return broken;
    }
    const std::string stem = "chunk" + std::to_string(chunks_told_) + "-";
    more = !chunks.back().last && (transfer.one_by_one || !transfer.faulty());
    std::vector<size_t> order;
    for (size_t i = 0; i < chunks.size(); ++i) {
      *rows += chunks[i].rows;
      if (mail_.size() >= kMailMax) mail_.erase(mail_.begin());
      mail_.push_back(
          {chunks[i].bytes, stem + std::to_string(chunks[i].number), from->mind.view.self});
      if (random.percent(transfer.drop)) continue;
      order.push_back(i);
      if (random.percent(transfer.repeat)) order.push_back(i);
    }
    if (random.percent(transfer.reorder)) random.shuffle(&order);
    if (order.empty()) more = false;
    for (const size_t i : order) {
      if (pieces-- == 0) return {};
      const std::string name = stem + std::to_string(chunks[i].number);
      bool taken = false;
      if (random.percent(transfer.damage)) {
        note("the chunk that follows is damaged on its way");
        Failure broken = deliver(to, damage(chunks[i].bytes, &random), name, true, &taken);
        if (broken) return broken;
        more = false;
        continue;
      }
      if (random.percent(transfer.kill)) {
        if (Failure broken = deliver_killed(to, chunks[i].bytes, 1 + random.below(40))) {
          return broken;
        }
        continue;
      }
      if (Failure broken = deliver(to, chunks[i].bytes, name, false, &taken)) return broken;
      if (!taken) more = false;
      if (!taken || !random.percent(transfer.repeat)) continue;
      const View before = to->mind.view;
      if (Failure broken = deliver(to, chunks[i].bytes, name, false, &taken)) return broken;
      if (!same_rows(before, to->mind.view) || before.knowledge != to->mind.view.knowledge) {
        return {"repeat", "the same chunk applied again changed site " +
                              std::to_string(to->site->number())};
      }
    }
  }
  return {};
}

Failure World::late_mail(Member* to, uint64_t which) {
  if (mail_.empty()) return {};
  if (Failure broken = settle(to)) return broken;
  const Mail mail = mail_[which % mail_.size()];
  if (mail.sender == to->mind.view.self) return {};
  note("a chunk of an earlier exchange arrives");
  bool taken = false;
  return deliver(to, mail.chunk, mail.name, false, &taken);
}

}  // namespace syncline::simulate
