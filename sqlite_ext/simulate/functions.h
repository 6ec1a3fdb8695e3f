// sync_simulate([options]): the caller's schema and policies under faults, from a seed.
#pragma once

#include "sqlite_ext/functions.h"

namespace syncline {

Status call_simulate(Call* call);

}  // namespace syncline
