// Targets that read JSON and other text of a user or a peer.
#include "fuzz/require_that.hpp"
#include "fuzz/targets.hpp"
#include "peers/peer_json.h"
#include "syncline/apply.h"
#include "syncline/exporter.h"
#include "syncline/expression.h"
#include "syncline/session.h"
#include "syncline/version_vector.h"
#include "token.h"

namespace syncline::fuzz {

void vector(std::string_view input) {
  SiteTable sites;
  VersionVector from_json, again;
  if (vector_from_json(input, &sites, &from_json).ok()) {
    const std::string text = vector_to_json(from_json, sites);
    REQUIRE_THAT(vector_from_json(text, &sites, &again).ok());
    REQUIRE_THAT(again == from_json);
    REQUIRE_THAT(vector_to_json(again, sites) == text);
  }
  SiteTable others;
  VersionVector from_bytes, reread;
  std::string_view rest = input;
  if (!read_vector(&rest, &others, &from_bytes).ok()) return;
  std::string bytes;
  append_vector(&bytes, from_bytes, others);
  std::string_view all = bytes;
  REQUIRE_THAT(read_vector(&all, &others, &reread).ok() && all.empty());
  REQUIRE_THAT(reread == from_bytes);
  VersionVector joined = from_bytes;
  joined.merge(reread);
  REQUIRE_THAT(joined == from_bytes && joined.covered_by(from_bytes));
}

void options(std::string_view input) {
  ApplyOptions apply_options;
  ExportOptions export_options;
  SessionOptions session_options;
  std::string resume;
  const Status a = apply_options_from_json(input, &apply_options);
  const Status b = export_options_from_json(input, &export_options, &resume);
  const Status c = session_options_from_json(input, &session_options);
  for (const Status* status : {&a, &b, &c})
    REQUIRE_THAT(status->ok() || !status->message().empty());
  if (!b.ok()) return;
  REQUIRE_THAT(export_options.body_bytes_max >= limits::chunk_bytes_floor);
  // The options go to a peer as JSON.
  ExportOptions there;
  std::string resume_there;
  const std::string sent = export_options_to_json(export_options, resume);
  REQUIRE_THAT(export_options_from_json(sent, &there, &resume_there).ok());
  REQUIRE_THAT(there.body_bytes_max == export_options.body_bytes_max && resume_there == resume);
}

void hello(std::string_view input) {
  ApplyReport report;
  (void)report_from_json(input, &report);
  Hello hello;
  if (!hello_from_json(input, &hello).ok()) return;
  SiteTable sites;
  VersionVector vector;
  if (!vector_from_json(hello.vector, &sites, &vector).ok()) return;
  Hello again;
  REQUIRE_THAT(hello_from_json(hello_to_json(hello), &again).ok());
  (void)compare_schemas(hello.tables, again.tables);
}

namespace {

// The same text to names: what an evaluation gives, twice.
void evaluate(const Expression& expression, const ExpressionInput& input) {
  Arena one, two;
  const Value a = expression.evaluate(input, &one), b = expression.evaluate(input, &two);
  REQUIRE_THAT(a.kind() == b.kind() && (!a.is_bytes() || a.bytes() == b.bytes()));
}

}  // namespace

void expression(std::string_view input) {
  std::shared_ptr<const Expression> expression, again;
  if (!Expression::parse(input, &expression).ok()) return;
  REQUIRE_THAT(Expression::parse(expression->text(), &again).ok());
  ExpressionInput values;
  values.a = Value::integer(INT64_MIN);
  values.b = Value::real(-0.5);
  values.a_at = INT64_MAX;
  evaluate(*expression, values);
  values.a = Value::text("-12.50");
  values.b = Value::text("{\"a\":[1,\"\xc3\xa9\"]}");
  values.base = Value::blob(std::string_view("\xff\x00", 2));
  values.kind = LogicalKind::numeric;
  evaluate(*expression, values);
  values.kind = LogicalKind::json;
  values.b = Value::null();
  evaluate(*expression, values);
}

}  // namespace syncline::fuzz
