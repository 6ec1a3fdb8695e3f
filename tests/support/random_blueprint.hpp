// Schemas made up from a seed: keys of every kind, constraints, foreign keys, policies, triggers
// and changes of the schema, for simulations.
#pragma once

#include "sqlite_ext/simulate/blueprint.h"

namespace syncline::test {

simulate::Blueprint random_blueprint(uint64_t seed);

}  // namespace syncline::test
