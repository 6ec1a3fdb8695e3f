/*
 * sl_conflict.c: conflict records. One row a conflict; the id is the same on every site.
 *
 * A conflict keeps its id, and which of its sides is called local, however often it is recorded.
 * Each opening, closing and opening again is an event.
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
tell(SlBytes id, const char *kind, SlBytes detail)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID};
	char		nulls[4] = "   ";
	const Datum values[] = {text_datum(id, &nulls[0]), CStringGetTextDatum(kind),
	optional_text(detail, &nulls[2])};

	sl_exec("INSERT INTO syncline.event (kind, conflict_id, tbl, table_name, pk, column_name,"
			" detail) SELECT $2, id, tbl, table_name, pk, column_name, $3"
			" FROM syncline.conflict WHERE id = $1", lengthof(types), types, values, nulls);
	sl_notify_add(id);
}

static void
close_conflict(const SlConflict *conflict)
{
	static const Oid types[] = {TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	char		nulls[lengthof(types) + 1] = {0};
	const Datum values[] = {text_datum(conflict->id, &nulls[0]),
		Int64GetDatum(conflict->settled_ms),
		optional_text(conflict->by, &nulls[2]),
		optional_text(conflict->how, &nulls[3]),
		optional_text(conflict->choice, &nulls[4]),
	optional_text(conflict->note, &nulls[5])};
	char	   *detail;

	nulls[1] = ' ';
	if (sl_exec("UPDATE syncline.conflict SET status = 'closed', resolved_at ="
				" coalesce(to_timestamp(nullif($2, 0) / 1000.0), clock_timestamp()),"
				" resolved_by = $3, how = $4, choice = $5, note = coalesce($6, note)"
				" WHERE id = $1 AND status = 'open'", lengthof(types), types, values, nulls) == 0)
		return;
	detail = psprintf("%.*s%s%.*s", (int) conflict->how.size, conflict->how.data,
					  conflict->choice.size > 0 ? ": " : "", (int) conflict->choice.size,
					  conflict->choice.size > 0 ? conflict->choice.data : "");
	tell(conflict->id, "resolved", (SlBytes) {detail, strlen(detail)});
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

/*
 * What is on record of a conflict: NULL if nothing is, else its status. *swapped: its local side is
 * the one that `conflict` calls remote.
 */
static char *
recorded_status(const SlConflict *conflict, bool *swapped)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID};
	bool		local = conflict->winner_is_local;
	char		nulls[4] = {0};
	const Datum values[] = {text_datum(conflict->id, &nulls[0]),
		optional_text(local ? conflict->winner_site : conflict->loser_site, &nulls[1]),
	optional_text(local ? conflict->loser_site : conflict->winner_site, &nulls[2])};

	*swapped = false;
	if (sl_exec("SELECT status, local_site IS NOT DISTINCT FROM $3 AND"
				" remote_site IS NOT DISTINCT FROM $2 AND $2 IS DISTINCT FROM $3"
				" FROM syncline.conflict WHERE id = $1",
				lengthof(types), types, values, nulls) == 0)
		return NULL;
	*swapped = sl_result_int64(0, 2) != 0;
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

#define OPEN_CONFLICT \
	"INSERT INTO syncline.conflict AS c (id, tbl, key, table_name, pk, column_name, kind," \
	" local, remote, winner, local_site, remote_site, local_at, remote_at, note, base, policy," \
	" severity, confidence, local_actor, remote_actor, reopens, detected_at)" \
	" VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8::jsonb, $9::jsonb, $10::jsonb, $11," \
	" $12, to_timestamp(nullif($13, 0) / 1000.0), to_timestamp(nullif($14, 0) / 1000.0)," \
	" $15, $16::jsonb, coalesce($17, 'last_writer'), coalesce($18, 'normal'), $19, $20, $21, $22," \
	" clock_timestamp())" \
	" ON CONFLICT (id) DO UPDATE SET status = 'open', kind = excluded.kind," \
	" local = excluded.local, remote = excluded.remote, winner = excluded.winner," \
	" local_site = excluded.local_site, remote_site = excluded.remote_site," \
	" local_at = excluded.local_at, remote_at = excluded.remote_at," \
	" note = CASE WHEN c.status = 'open' THEN coalesce(excluded.note, c.note)" \
	" ELSE excluded.note END, base = coalesce(excluded.base, c.base)," \
	" policy = excluded.policy, severity = excluded.severity, confidence = excluded.confidence," \
	" local_actor = coalesce(excluded.local_actor, c.local_actor)," \
	" remote_actor = coalesce(excluded.remote_actor, c.remote_actor), reopens = excluded.reopens," \
	" detected_at = CASE c.status WHEN 'open' THEN c.detected_at" \
	" ELSE excluded.detected_at END, resolved_at = NULL, resolved_by = NULL, how = NULL," \
	" choice = NULL WHERE (c.status, c.kind, c.local, c.remote, c.winner, c.policy, c.severity," \
	" c.reopens, coalesce(excluded.note, c.note)) IS DISTINCT FROM ('open', excluded.kind," \
	" excluded.local, excluded.remote, excluded.winner, excluded.policy, excluded.severity," \
	" excluded.reopens, c.note)"

static void
open_conflict(const SlConflict *conflict)
{
	static const Oid types[] = {TEXTOID, INT4OID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, FLOAT8OID, TEXTOID, TEXTOID, TEXTOID};
	bool		swapped;
	char	   *status = recorded_status(conflict, &swapped);
	bool		local = conflict->winner_is_local != swapped;
	SlBytes		shown = conflict->shown_json.size > 0 ? conflict->shown_json :
		conflict->winner_json;
	/* of a held row nothing is shown, so it has no winner */
	SlBytes		winner = is_held(conflict->kind) ? (SlBytes) {NULL, 0} : shown;
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
		text_datum(conflict->note, &nulls[14]),
		optional_text(conflict->base_json, &nulls[15]),
		optional_text(conflict->policy, &nulls[16]),
		optional_text(conflict->severity, &nulls[17]),
		Float8GetDatum(conflict->confidence),
		optional_text(local ? conflict->winner_actor : conflict->loser_actor, &nulls[19]),
		optional_text(local ? conflict->loser_actor : conflict->winner_actor, &nulls[20]),
		optional_text(conflict->reopens, &nulls[21])};

	nulls[1] = nulls[12] = nulls[13] = nulls[18] = ' ';
	sl_exec(OPEN_CONFLICT, lengthof(types), types, values, nulls);
	if (status == NULL || strcmp(status, "open") != 0)
		tell(conflict->id, status == NULL ? "detected" : "reopened", conflict->kind);
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
	SlBytes    *columns;

	SPI_connect();
	open->count = sl_exec("SELECT convert_to(id, 'UTF8'), convert_to(column_name, 'UTF8')"
						  " FROM syncline.conflict"
						  " WHERE tbl = $1 AND key = $2 AND status = 'open'",
						  lengthof(types), types, values, NULL);
	ids = MemoryContextAlloc(context, (open->count + 1) * sizeof(SlBytes));
	columns = MemoryContextAlloc(context, (open->count + 1) * sizeof(SlBytes));
	for (uint32 i = 0; i < open->count; i++)
	{
		ids[i] = sl_result_bytes(i, 1, context);
		columns[i] = sl_result_bytes(i, 2, context);
	}
	open->ids = ids;
	open->columns = columns;
	SPI_finish();
}
