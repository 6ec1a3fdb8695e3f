/*
 * sl_verify.c: what verifying reads and writes in this database, and its SQL functions.
 *
 * Sums and lists of rows are read under the snapshot of the calling statement, with no lock: an
 * application and other sessions go on meanwhile. Every change that this snapshot sees is either in
 * the log, or folded or applied under a position that it sees, too. So sums that are stored with
 * the greatest position of the snapshot are exact for every row that is in no later position and
 * not in the log.
 */
#include "sl_base.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "sl_log.h"
#include "sl_session.h"
#include "sl_verify.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(sl_sync_answer);
PG_FUNCTION_INFO_V1(sl_sync_digest);
PG_FUNCTION_INFO_V1(sl_sync_verify);
PG_FUNCTION_INFO_V1(sl_sync_repair);

/* With more rows changed than this since a digest was stored, all rows are read. */
#define CHANGED_MAX 200000
/* Plans of a table that are kept: peers may declare other columns or types. */
#define PLANS_MAX 4

/* ---- base rows ------------------------------------------------------------------------------- */

typedef struct RowStream
{
	MemoryContext context;
	MemoryContext row;			/* what belongs to the row at hand */
	SlBase	   *base;
	TableScanDesc scan;
	SlValue		key[INDEX_MAX_KEYS];
} RowStream;

/* What may not be read must not be told as a sum either. */
void
sl_leaf_rows_check(void *argument)
{
	SlRows	   *rows = argument;
	SlBaseOpen	open = {rows->number, false, NULL};

	sl_leaf_base_open(&open);
	sl_leaf_base_close(open.base);
}

void
sl_leaf_rows_open(void *argument)
{
	SlRows	   *rows = argument;
	SlBaseOpen	open = {rows->number, false, NULL};
	MemoryContext context;
	RowStream  *stream;

	sl_leaf_base_open(&open);
	context = AllocSetContextCreate(CurrentMemoryContext, "syncline rows", ALLOCSET_DEFAULT_SIZES);
	stream = MemoryContextAllocZero(context, sizeof(RowStream));
	stream->context = context;
	stream->row = AllocSetContextCreate(context, "syncline row", ALLOCSET_DEFAULT_SIZES);
	stream->base = open.base;
	stream->scan = table_beginscan(stream->base->rel, GetActiveSnapshot(), 0, NULL);
	rows->stream = stream;
}

static void
attribute_value(SlTable *table, TupleTableSlot *slot, int attnum, SlValue *out)
{
	bool		isnull;
	Datum		datum = slot_getattr(slot, attnum, &isnull);

	if (isnull)
		*out = (SlValue) {.kind = SL_NULL};
	else
		sl_to_value(&table->types[attnum - 1], datum, out);
}

void
sl_leaf_rows_next(void *argument)
{
	SlRows	   *rows = argument;
	RowStream  *stream = rows->stream;
	SlBase	   *base = stream->base;
	MemoryContext old;

	MemoryContextReset(stream->row);
	rows->found = table_scan_getnextslot(stream->scan, ForwardScanDirection, base->slot);
	if (!rows->found)
		return;
	old = MemoryContextSwitchTo(stream->row);
	for (int i = 0; i < base->table->key_count; i++)
		attribute_value(base->table, base->slot, base->table->key_attnums[i], &stream->key[i]);
	rows->key = stream->key;
	MemoryContextSwitchTo(old);
}

void
sl_leaf_rows_values(void *argument)
{
	SlRows	   *rows = argument;
	RowStream  *stream = rows->stream;
	SlTable    *table = stream->base->table;
	MemoryContext old = MemoryContextSwitchTo(stream->row);

	for (int i = 0; i < table->natts; i++)
	{
		if (table->column_of[i] >= 0)
			attribute_value(table, stream->base->slot, i + 1, &rows->values[table->column_of[i]]);
	}
	MemoryContextSwitchTo(old);
}

void
sl_leaf_rows_close(void *argument)
{
	SlRows	   *rows = argument;
	RowStream  *stream = rows->stream;
	SlBase	   *base = stream->base;

	ExecClearTuple(base->slot);
	table_endscan(stream->scan);
	MemoryContextDelete(stream->context);
	sl_leaf_base_close(base);
}

/* ---- stored digests -------------------------------------------------------------------------- */

/* As sl_exec, under the active snapshot alone. */
static uint64
exec_in_snapshot(const char *sql, int count, const Oid *types, const Datum *values)
{
	SlRole		role;
	int			result;

	sl_become_owner(&role);
	result = SPI_execute_with_args(sql, count, unconstify(Oid *, types),
								   unconstify(Datum *, values), NULL, true, 0);
	sl_become_caller(&role);
	if (result < 0)
		elog(ERROR, "syncline: %s: %s", SPI_result_code_string(result), sql);
	return SPI_processed;
}

static Datum
bytea_of(SlBytes bytes)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes.data, bytes.size));
}

/* The keys of rows folded or applied behind `position`, and of those that are still in the log. */
static bool
load_changed(SlDigest *digest, int64 position, MemoryContext context)
{
	static const Oid types[] = {INT8OID, INT4OID};
	const Datum values[] = {Int64GetDatum(position), Int32GetDatum(digest->table)};
	SlBytes    *keys;

	digest->changed_count = exec_in_snapshot(
		psprintf("SELECT unnest(keys) FROM syncline.arrival_%u WHERE last > $1"
				 " UNION SELECT key FROM syncline.log WHERE tbl = $2 LIMIT %d",
				 digest->table, CHANGED_MAX + 1), lengthof(types), types, values);
	if (digest->changed_count > CHANGED_MAX)
		return false;
	keys = MemoryContextAlloc(context, sizeof(SlBytes) * Max(1, digest->changed_count));
	for (uint32 i = 0; i < digest->changed_count; i++)
		keys[i] = sl_result_bytes(i, 1, context);
	digest->changed = keys;
	return true;
}

void
sl_leaf_digest_load(void *argument)
{
	SlDigest   *digest = argument;
	MemoryContext context = CurrentMemoryContext;
	static const Oid types[] = {INT4OID, BYTEAOID};
	const Datum values[] = {Int32GetDatum(digest->table), bytea_of(digest->plan)};
	SlBytes		sums = {NULL, 0};
	int64		position = 0;

	sl_log_flush();
	SPI_connect();
	if (exec_in_snapshot("SELECT d.position, d.sums FROM syncline.digest d, syncline.self s"
						 " WHERE d.tbl = $1 AND d.plan = $2 AND d.position <= s.position"
						 " AND d.position >= (SELECT listed_from FROM syncline.tbl"
						 "  WHERE number = $1)",
						 lengthof(types), types, values) == 1)
	{
		position = sl_result_int64(0, 1);
		sums = sl_result_bytes(0, 2, context);
	}
	if (sums.data != NULL && load_changed(digest, position, context))
		digest->sums = sums;
	SPI_finish();
}

void
sl_leaf_digest_save(void *argument)
{
	SlDigest   *digest = argument;
	static const Oid types[] = {INT4OID, BYTEAOID, INT8OID, BYTEAOID};
	Datum		values[] = {Int32GetDatum(digest->table), bytea_of(digest->plan), (Datum) 0,
	bytea_of(digest->sums)};

	if (RecoveryInProgress() || XactReadOnly || IsolationUsesXactSnapshot())
		return;
	SPI_connect();
	/* the position that the rows were read at: the snapshot's, not today's */
	if (exec_in_snapshot("SELECT position FROM syncline.self", 0, NULL, NULL) == 1)
	{
		values[2] = Int64GetDatum(sl_result_int64(0, 1));
		sl_exec("INSERT INTO syncline.digest AS d (tbl, plan, position, sums)"
				" VALUES ($1, $2, $3, $4) ON CONFLICT (tbl, plan)"
				" DO UPDATE SET position = excluded.position, sums = excluded.sums"
				" WHERE d.position <= excluded.position", lengthof(types), types, values, NULL);
		sl_exec(psprintf("DELETE FROM syncline.digest WHERE tbl = $1 AND plan NOT IN"
						 " (SELECT plan FROM syncline.digest WHERE tbl = $1"
						 " ORDER BY position DESC LIMIT %d)", PLANS_MAX), 1, types, values, NULL);
		sl_exec("DELETE FROM syncline.digest WHERE tbl NOT IN (SELECT number FROM syncline.tbl)",
				0, NULL, NULL, NULL);
	}
	SPI_finish();
}

void
sl_leaf_digest_forget(void *argument)
{
	SlDigest   *digest = argument;
	static const Oid types[] = {INT4OID};
	const Datum values[] = {Int32GetDatum(digest->table)};

	SPI_connect();
	sl_exec("DELETE FROM syncline.digest WHERE tbl = $1", 1, types, values, NULL);
	SPI_finish();
}

void
sl_leaf_digest_plans(void *argument)
{
	SlPlans    *plans = argument;
	MemoryContext context = CurrentMemoryContext;
	static const Oid types[] = {INT4OID};
	const Datum values[] = {Int32GetDatum(plans->table)};
	SlBytes    *list;

	SPI_connect();
	plans->count = exec_in_snapshot("SELECT plan FROM syncline.digest WHERE tbl = $1 ORDER BY plan",
									1, types, values);
	list = MemoryContextAlloc(context, sizeof(SlBytes) * Max(1, plans->count));
	for (uint32 i = 0; i < plans->count; i++)
		list[i] = sl_result_bytes(i, 1, context);
	plans->plans = list;
	SPI_finish();
}

/* ---- rows written anew ----------------------------------------------------------------------- */

void
sl_leaf_rewrite(void *argument)
{
	SlRewrite  *rewrite = argument;
	SlBaseOpen	open = {rewrite->table, true, NULL};

	sl_leaf_base_open(&open);
	sl_leaf_base_close(open.base);
	for (uint32 i = 0; i < rewrite->count; i++)
	{
		const SlRewriteRow *row = &rewrite->rows[i];
		int			op = row->exists ? SL_OP_UPDATE : SL_OP_DELETE;

		sl_log_append(rewrite->table, op, row->exists ? row->mask : SL_MASK_ALL,
					  row->key, SL_NO_IMAGE);
	}
}

/* ---- answering ------------------------------------------------------------------------------- */

SlBytes
sl_answer(SlBytes question)
{
	SlStatus	status;
	SlBytes		answer;
	int			kind = slb_question(question, &status);

	sl_report(&status);
	sl_site_ensure();
	if (kind != SL_ASKS_ROWS)
	{
		answer = slb_answer(question, &status);
		sl_report(&status);
		return answer;
	}
	sl_merge_begin("sync_verify");
	sl_fold(true);
	answer = slb_answer(question, &status);
	sl_report(&status);
	sl_merge_end();
	return answer;
}

Datum
sl_sync_answer(PG_FUNCTION_ARGS)
{
	bytea	   *question = PG_GETARG_BYTEA_PP(0);

	PG_RETURN_DATUM(bytea_of(sl_answer((SlBytes) {VARDATA_ANY(question),
										VARSIZE_ANY_EXHDR(question)})));
}

/* ---- SQL functions --------------------------------------------------------------------------- */

Datum
sl_sync_digest(PG_FUNCTION_ARGS)
{
	const char *name;
	SlStatus	status;
	SlBytes		digest;

	sl_need_argument(fcinfo, 0, "the name of the table is missing or NULL", NULL);
	name = sl_travel_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	digest = slb_digest((SlBytes) {name, strlen(name)}, &status);
	sl_report(&status);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(digest.data, digest.size));
}

static Datum
with_peer(FunctionCallInfo fcinfo, const char *function_name, int task)
{
	char	   *options = pstrdup("{}");
	char	   *report;
	SlStatus	status;

	sl_refuse_session(function_name);
	sl_need_argument(fcinfo, 0, "the peer to compare with is missing or NULL", NULL);
	if (!PG_ARGISNULL(1))
	{
		Jsonb	   *jsonb = PG_GETARG_JSONB_P(1);

		options = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	}
	slb_check_verify_options((SlBytes) {options, strlen(options)}, task == SL_TASK_REPAIR, &status);
	sl_report(&status);
	report = sl_session_with(text_to_cstring(PG_GETARG_TEXT_PP(0)), options, task);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(report));
}

Datum
sl_sync_verify(PG_FUNCTION_ARGS)
{
	return with_peer(fcinfo, "sync_verify", SL_TASK_VERIFY);
}

Datum
sl_sync_repair(PG_FUNCTION_ARGS)
{
	return with_peer(fcinfo, "sync_repair", SL_TASK_REPAIR);
}
