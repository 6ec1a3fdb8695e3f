/*
 * sl_record.c: a conflict on record, as those who decide about it see it.
 *
 * Whoever may not read a table does not see its conflicts.
 */
#include "sl_host.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "sl_decide.h"
#include "utils/builtins.h"

#define MAY_READ(role) \
	" has_table_privilege(" role ", coalesce(t.relation, 'syncline.conflict'::regclass), 'SELECT')"
#define ISO(column) \
	"to_char(c." column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

static Datum
text_datum(SlBytes bytes)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes.data, bytes.size));
}

void
sl_leaf_load_record(void *argument)
{
	SlRecord   *record = argument;
	MemoryContext context = CurrentMemoryContext;
	static const Oid types[] = {TEXTOID, OIDOID};
	const Datum values[] = {text_datum(record->id), ObjectIdGetDatum(GetUserId())};

	SPI_connect();
	record->found = sl_exec("SELECT c.tbl, c.key, convert_to(c.reopens, 'UTF8'),"
							" convert_to(c.moved, 'UTF8'), greatest(0, floor(extract(epoch FROM"
							" clock_timestamp() - c.detected_at)))::int8"
							" FROM syncline.conflict c LEFT JOIN syncline.tbl t ON t.number = c.tbl"
							" WHERE c.id = $1 AND" MAY_READ("$2"), lengthof(types), types, values,
							NULL) == 1;
	if (record->found)
	{
		record->table = sl_result_int64(0, 1);
		record->key = sl_result_bytes(0, 2, context);
		record->reopens = sl_result_bytes(0, 3, context);
		record->moved = sl_result_bytes(0, 4, context);
		record->age_s = sl_result_int64(0, 5);
		if (sl_exec("SELECT convert_to(field, 'UTF8') FROM syncline.conflict c,"
					" unnest(ARRAY[c.id, c.table_name, c.pk::text, c.column_name, c.kind,"
					" c.severity, c.status, c.base::text, c.local::text, c.remote::text,"
					" c.winner::text, c.policy, c.local_site, c.remote_site," ISO("local_at") ","
					ISO("remote_at") "," ISO("resolved_at") ", c.resolved_by, c.note,"
					" c.local_actor, c.remote_actor, c.how, c.choice])"
					" WITH ORDINALITY AS f (field, n) WHERE c.id = $1 AND $2 IS NOT NULL"
					" ORDER BY n", lengthof(types), types, values, NULL) != SL_CONFLICT_TEXTS)
			elog(ERROR, "syncline.conflict: a record is damaged");
		for (int i = 0; i < SL_CONFLICT_TEXTS; i++)
			record->texts[i] = sl_result_bytes(i, 1, context);
	}
	SPI_finish();
}

void
sl_leaf_open_ids(void *argument)
{
	SlOpenIds  *open = argument;
	MemoryContext context = CurrentMemoryContext;
	static const Oid types[] = {OIDOID};
	const Datum values[] = {ObjectIdGetDatum(GetUserId())};
	SlBytes    *ids;
	uint32	   *tables;

	SPI_connect();
	open->count = sl_exec("SELECT convert_to(c.id, 'UTF8'), c.tbl FROM syncline.conflict c"
						  " JOIN syncline.tbl t ON t.number = c.tbl WHERE c.status = 'open' AND"
						  MAY_READ("$1") " ORDER BY c.detected_at, c.id", lengthof(types), types,
						  values, NULL);
	ids = MemoryContextAllocHuge(context, (open->count + 1) * sizeof(SlBytes));
	tables = MemoryContextAllocHuge(context, (open->count + 1) * sizeof(uint32));
	for (uint32 i = 0; i < open->count; i++)
	{
		ids[i] = sl_result_bytes(i, 1, context);
		tables[i] = sl_result_int64(i, 2);
	}
	open->ids = ids;
	open->tables = tables;
	SPI_finish();
}

void
sl_leaf_remark(void *argument)
{
	SlRemark   *remark = argument;
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID};
	char		nulls[] = "   ";
	const Datum values[] = {text_datum(remark->id),
		remark->note.data != NULL ? text_datum(remark->note) : (Datum) 0,
	remark->moved.data != NULL ? text_datum(remark->moved) : (Datum) 0};

	nulls[1] = remark->note.data == NULL ? 'n' : ' ';
	nulls[2] = remark->moved.data == NULL ? 'n' : ' ';
	SPI_connect();
	sl_exec("UPDATE syncline.conflict SET note = coalesce($2, note), moved = coalesce($3, moved)"
			" WHERE id = $1", lengthof(types), types, values, nulls);
	SPI_finish();
}
