// A conflict's id is a hash of its table, key, column and dots. Where one of these changes, what is
// open is recorded anew, under the id that it has at all sites.
#pragma once

#include <vector>

#include "sqlite_ext/registry.h"
#include "sqlite_ext/table_access.h"
#include "syncline/row_state.h"

namespace syncline {

// Records of the conflicts that a row with these versions shows beside the base row as it is now.
// Their values view `versions` and `arena`.
Status find_records(const Registry& registry, TableAccess* access, RowKey key,
                    const RowState& versions, SiteIndex self, Arena* arena,
                    std::vector<ConflictRecord>* out);
// Of a row that has these versions now.
Status rename_conflicts(sqlite3* db, const Registry& registry, TableAccess* access, RowKey key,
                        const RowState& versions, SiteIndex self);
// Of all rows of a table that, or a column of which, has another name now.
Status rename_table_conflicts(sqlite3* db, const Registry& registry, uint32_t number);

}  // namespace syncline
