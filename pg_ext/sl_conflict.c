/*
 * sl_conflict.c: conflict records. One row a conflict; the id is the same on every site.
 */
#include "sl_host.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

static Datum
text_datum(SlBytes bytes, char *null)
{
	*null = bytes.data == NULL ? 'n' : ' ';
	return bytes.data == NULL ? (Datum) 0 :
		PointerGetDatum(cstring_to_text_with_len(bytes.data, bytes.size));
}

static Datum
optional_text(SlBytes bytes, char *null)
{
	return text_datum(bytes.size == 0 ? (SlBytes) {NULL, 0} : bytes, null);
}

static void
close_conflict(const SlConflict *conflict)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	char		nulls[3] = {0};
	const Datum values[] = {text_datum(conflict->id, &nulls[0]),
	text_datum(conflict->note, &nulls[1])};

	sl_exec("UPDATE syncline.conflict SET status = 'closed', resolved_at = clock_timestamp(),"
			" note = coalesce($2, note) WHERE id = $1 AND status = 'open'",
			lengthof(types), types, values, nulls);
}

static void
open_conflict(const SlConflict *conflict)
{
	static const Oid types[] = {TEXTOID, INT4OID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, INT8OID, TEXTOID};
	bool		local = conflict->winner_is_local;
	char		nulls[lengthof(types) + 1] = {0};
	const Datum values[] = {
		text_datum(conflict->id, &nulls[0]),
		Int32GetDatum(conflict->table),
		text_datum(conflict->key, &nulls[2]),
		text_datum(conflict->table_name, &nulls[3]),
		text_datum(conflict->pk_json, &nulls[4]),
		text_datum(conflict->column, &nulls[5]),
		text_datum(conflict->kind, &nulls[6]),
		optional_text(local ? conflict->winner_json : conflict->loser_json, &nulls[7]),
		optional_text(local ? conflict->loser_json : conflict->winner_json, &nulls[8]),
		optional_text(conflict->winner_json, &nulls[9]),
		optional_text(local ? conflict->winner_site : conflict->loser_site, &nulls[10]),
		optional_text(local ? conflict->loser_site : conflict->winner_site, &nulls[11]),
		Int64GetDatum(local ? conflict->winner_ms : conflict->loser_ms),
		Int64GetDatum(local ? conflict->loser_ms : conflict->winner_ms),
		text_datum(conflict->note, &nulls[14])};

	nulls[1] = nulls[12] = nulls[13] = ' ';
	sl_exec("INSERT INTO syncline.conflict AS c (id, tbl, key, table_name, pk, column_name, kind,"
			" local, remote, winner, local_site, remote_site, local_at, remote_at, note,"
			" detected_at)"
			" VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8::jsonb, $9::jsonb, $10::jsonb, $11,"
			" $12, to_timestamp(nullif($13, 0) / 1000.0), to_timestamp(nullif($14, 0) / 1000.0),"
			" $15, clock_timestamp())"
			" ON CONFLICT (id) DO UPDATE SET status = 'open', kind = excluded.kind,"
			" local = excluded.local, remote = excluded.remote, winner = excluded.winner,"
			" note = excluded.note, resolved_at = NULL, resolved_by = NULL"
			" WHERE c.status <> 'open' OR c.kind IS DISTINCT FROM excluded.kind"
			" OR c.winner IS DISTINCT FROM excluded.winner"
			" OR c.note IS DISTINCT FROM excluded.note",
			lengthof(types), types, values, nulls);
}

void
sl_leaf_record_conflicts(void *argument)
{
	SlConflicts *conflicts = argument;

	SPI_connect();
	for (uint32 i = 0; i < conflicts->count; i++)
	{
		const SlConflict *conflict = &conflicts->records[i];

		if (conflict->opened)
			open_conflict(conflict);
		else
			close_conflict(conflict);
	}
	SPI_finish();
}

void
sl_leaf_open_conflicts(void *argument)
{
	SlOpenConflicts *open = argument;
	MemoryContext context = CurrentMemoryContext;
	static const Oid types[] = {INT4OID, BYTEAOID};
	char		null;
	const Datum values[] = {Int32GetDatum(open->table), text_datum(open->key, &null)};
	SlBytes    *ids;

	SPI_connect();
	open->count = sl_exec("SELECT convert_to(id, 'UTF8') FROM syncline.conflict"
						  " WHERE tbl = $1 AND key = $2 AND status = 'open'",
						  lengthof(types), types, values, NULL);
	ids = MemoryContextAlloc(context, (open->count + 1) * sizeof(SlBytes));
	for (uint32 i = 0; i < open->count; i++)
		ids[i] = sl_result_bytes(i, 1, context);
	open->ids = ids;
	SPI_finish();
}
