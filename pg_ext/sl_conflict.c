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

static bool
is_held(SlBytes kind)
{
	static const char *const kinds[] = {"unique", "foreign_key", "constraint"};

	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (kind.size == strlen(kinds[i]) && memcmp(kind.data, kinds[i], kind.size) == 0)
			return true;
	}
	return false;
}

static void
open_conflict(const SlConflict *conflict)
{
	static const Oid types[] = {TEXTOID, INT4OID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, INT8OID, TEXTOID};
	bool		local = conflict->winner_is_local;
	/* of a held row nothing is shown, so it has no winner */
	SlBytes		winner = is_held(conflict->kind) ? (SlBytes) {NULL, 0} : conflict->winner_json;
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
		optional_text(winner, &nulls[9]),
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
			" local_site = excluded.local_site, remote_site = excluded.remote_site,"
			" local_at = excluded.local_at, remote_at = excluded.remote_at, note = excluded.note,"
			" detected_at = CASE c.status WHEN 'open' THEN c.detected_at"
			" ELSE excluded.detected_at END, resolved_at = NULL, resolved_by = NULL"
			" WHERE (c.status, c.kind, c.local, c.remote, c.winner, c.note) IS DISTINCT FROM"
			" ('open', excluded.kind, excluded.local, excluded.remote, excluded.winner,"
			" excluded.note)",
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
