/*
 * sl_site.c: this database as a site: the counter row, its lock, its snapshots.
 *
 * An operation that folds or merges goes: sl_merge_begin (lock the counter row, take a snapshot
 * that sees everything committed by then), work, sl_merge_end (write the counters). The lock lasts
 * to the end of the transaction; writers of the application never wait for it.
 */
#include "sl_host.h"

#include "sl_log.h"

#include <sys/time.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "sl_exchange.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* The operation that has the counter row, if one is open. */
static bool merge_open = false;
static SubTransactionId merge_subtransaction = InvalidSubTransactionId;
static SlCounters counters;
static SlCounters counters_stored;	/* as the row has them */
static bool retry_held;			/* as the row had it when the operation began */

SlCounters *
sl_counters(void)
{
	return &counters;
}

void
sl_merge_forget(void)
{
	merge_open = false;
	merge_subtransaction = InvalidSubTransactionId;
}

void
sl_merge_abort(SubTransactionId aborted)
{
	if (merge_open && merge_subtransaction == aborted)
	{
		sl_merge_forget();
		sl_capture_off = false;
	}
}

/* ---- acting on the bookkeeping --------------------------------------------------------------- */

static Oid
bookkeeping_owner(void)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACENAME, CStringGetDatum("syncline"));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema \"syncline\" does not exist"),
				 errhint("Create the extension syncline in this database.")));
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

void
sl_become_owner(SlRole *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->context);
	saved->settings = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SetUserIdAndSecContext(bookkeeping_owner(), saved->context | SECURITY_LOCAL_USERID_CHANGE);
}

void
sl_become_caller(const SlRole *saved)
{
	AtEOXact_GUC(true, saved->settings);
	SetUserIdAndSecContext(saved->user, saved->context);
}

uint64
sl_exec(const char *sql, int count, const Oid *types, const Datum *values, const char *nulls)
{
	SlRole		role;
	int			result;

	sl_become_owner(&role);
	result = SPI_execute_with_args(sql, count, unconstify(Oid *, types),
								   unconstify(Datum *, values), nulls, false, 0);
	sl_become_caller(&role);
	if (result < 0)
		elog(ERROR, "syncline: %s: %s", SPI_result_code_string(result), sql);
	return SPI_processed;
}

Datum
sl_int32_array(const int32_t *values, uint32 count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(1, count));

	for (uint32 i = 0; i < count; i++)
		datums[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, count, INT4OID, 4, true, TYPALIGN_INT));
}

Datum
sl_int64_array(const int64_t *values, uint32 count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(1, count));

	for (uint32 i = 0; i < count; i++)
		datums[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, count, INT8OID, 8, FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

int64
sl_result_int64(uint64 row, int column)
{
	bool		isnull;
	TupleDesc	desc = SPI_tuptable->tupdesc;
	Datum		datum = SPI_getbinval(SPI_tuptable->vals[row], desc, column, &isnull);

	if (isnull)
		return 0;
	switch (SPI_gettypeid(desc, column))
	{
		case INT2OID:
			return DatumGetInt16(datum);
		case INT4OID:
			return DatumGetInt32(datum);
		case OIDOID:
		case REGCLASSOID:
			return DatumGetObjectId(datum);
		case BOOLOID:
			return DatumGetBool(datum);
		default:
			return DatumGetInt64(datum);
	}
}

SlBytes
sl_result_bytes(uint64 row, int column, MemoryContext context)
{
	bool		isnull;
	Datum		datum = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column,
									  &isnull);
	bytea	   *bytes;
	char	   *copy;
	size_t		size;

	if (isnull)
		return (SlBytes) {NULL, 0};
	bytes = DatumGetByteaPP(datum);
	size = VARSIZE_ANY_EXHDR(bytes);
	copy = MemoryContextAlloc(context, size + 1);
	memcpy(copy, VARDATA_ANY(bytes), size);
	copy[size] = '\0';
	return (SlBytes) {copy, size};
}

/* ---- snapshots ------------------------------------------------------------------------------- */

void
sl_advance(void)
{
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
}

void
sl_leaf_new_snapshot(void *unused)
{
	CommandCounterIncrement();
	PopActiveSnapshot();
	PushActiveSnapshot(GetLatestSnapshot());
}

/* ---- merges ---------------------------------------------------------------------------------- */

static void
refuse_unless_possible(const char *function_name)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("%s cannot run on a standby", function_name),
				 errhint("Call it on the primary server.")));
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("%s cannot run in a read-only transaction", function_name),
				 errhint("It numbers the changes made here; start a READ WRITE transaction.")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("%s must run at isolation level READ COMMITTED", function_name),
				 errhint("An older snapshot would not see changes that it has to merge.")));
	if (merge_open)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s was called from inside an exchange", function_name)));
}

void
sl_merge_begin(const char *function_name)
{
	static const Oid types[] = {INT8OID};
	Datum		last_mark;
	int			log_closed;

	refuse_unless_possible(function_name);
	SPI_connect();
	sl_site_ensure();
	if (sl_exec("SELECT next_seq, position, floor, next_context, retry_held, log_closed"
				" FROM syncline.self FOR UPDATE", 0, NULL, NULL, NULL) != 1)
		elog(ERROR, "syncline.self has no row");
	/* the lock may have waited: what was read then is the row's newest version */
	counters.next_seq = sl_result_int64(0, 1);
	counters.position = sl_result_int64(0, 2);
	counters.floor = sl_result_int64(0, 3);
	counters.next_context = sl_result_int64(0, 4);
	retry_held = sl_result_int64(0, 5) != 0;
	log_closed = (int) sl_result_int64(0, 6);
	last_mark = Int64GetDatum(counters.next_seq - 1);
	counters.own_hlc = sl_exec("SELECT hlc FROM syncline.mark WHERE seq = $1", 1, types,
							   &last_mark, NULL) == 1 ? sl_result_int64(0, 1) : 0;
	counters_stored = counters;
	SPI_finish();
	sl_log_begin(log_closed);
	merge_open = true;
	merge_subtransaction = GetCurrentSubTransactionId();
	PushActiveSnapshot(GetLatestSnapshot());
}

void
sl_merge_end(void)
{
	static const Oid types[] = {INT8OID, INT8OID, INT8OID, INT8OID};
	const Datum values[] = {Int64GetDatum(counters.next_seq), Int64GetDatum(counters.position),
	Int64GetDatum(counters.floor), Int64GetDatum(counters.next_context)};

	PopActiveSnapshot();
	/* a session with nothing to do does not even plan this */
	if (counters.next_seq != counters_stored.next_seq ||
		counters.position != counters_stored.position ||
		counters.floor != counters_stored.floor ||
		counters.next_context != counters_stored.next_context)
	{
		SPI_connect();
		sl_exec("UPDATE syncline.self SET next_seq = $1, position = $2, floor = $3,"
				" next_context = $4", lengthof(types), types, values, NULL);
		SPI_finish();
	}
	sl_merge_forget();
}

bool
sl_merge_retry_held(void)
{
	return retry_held;
}

uint64
sl_fold(bool refuse_own)
{
	SlStatus	status;
	uint64_t	rows = 0;

	slb_fold(refuse_own, &rows, &status);
	sl_report(&status);
	if (rows > 0)
		sl_note_folded();
	return rows;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

static int64
now_ms(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return (int64) now.tv_sec * 1000 + now.tv_usec / 1000;
}

static void
load_self(SlSite *site, MemoryContext context)
{
	if (sl_exec("SELECT s.site, convert_to(s.name, 'UTF8'), s.next_seq, s.position, s.floor,"
				" s.next_context, m.hlc, (SELECT vector FROM syncline.melt)"
				" FROM syncline.self s"
				" LEFT JOIN syncline.mark m ON m.seq = s.next_seq - 1", 0, NULL, NULL, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this database has no site id yet"),
				 errhint("Call sync_site_id() on the primary server.")));
	site->self = sl_result_int64(0, 1);
	site->name = sl_result_bytes(0, 2, context);
	site->counters.next_seq = sl_result_int64(0, 3);
	site->counters.position = sl_result_int64(0, 4);
	site->counters.floor = sl_result_int64(0, 5);
	site->counters.next_context = sl_result_int64(0, 6);
	site->counters.own_hlc = sl_result_int64(0, 7);
	site->melted = sl_result_bytes(0, 8, context);
	if (merge_open)
		site->counters = counters;
}

static void
load_sites(SlSite *site, MemoryContext context)
{
	SlSiteRow  *rows;

	site->site_count = sl_exec("SELECT n, id FROM syncline.site ORDER BY n", 0, NULL, NULL, NULL);
	rows = MemoryContextAllocZero(context, (site->site_count + 1) * sizeof(SlSiteRow));
	for (uint32 i = 0; i < site->site_count; i++)
	{
		SlBytes		id = sl_result_bytes(i, 2, context);

		if (sl_result_int64(i, 1) != i || id.size != sizeof(rows[i].id))
			elog(ERROR, "syncline.site: row %u is missing or damaged", i);
		memcpy(rows[i].id, id.data, id.size);
	}
	site->sites = rows;
}

static void
load_vector(SlSite *site, MemoryContext context)
{
	SlVectorRow *rows;

	site->vector_count = sl_exec("SELECT site, seq, hlc FROM syncline.vector", 0, NULL, NULL, NULL);
	rows = MemoryContextAlloc(context, (site->vector_count + 1) * sizeof(SlVectorRow));
	for (uint32 i = 0; i < site->vector_count; i++)
	{
		rows[i].site = sl_result_int64(i, 1);
		rows[i].seq = sl_result_int64(i, 2);
		rows[i].hlc = sl_result_int64(i, 3);
	}
	site->vector = rows;
}

static void
load_contexts(SlSite *site, MemoryContext context)
{
	SlContextRow *rows;

	site->context_count = sl_exec("SELECT id, vector FROM syncline.context", 0, NULL, NULL, NULL);
	rows = MemoryContextAlloc(context, (site->context_count + 1) * sizeof(SlContextRow));
	for (uint32 i = 0; i < site->context_count; i++)
	{
		rows[i].id = sl_result_int64(i, 1);
		rows[i].vector = sl_result_bytes(i, 2, context);
	}
	site->contexts = rows;
}

static void
load_settings(SlSite *site, MemoryContext context)
{
	SlSettingRow *rows;

	site->setting_count = sl_exec("SELECT convert_to(key, 'UTF8'), convert_to(value, 'UTF8'), hlc,"
								  " site FROM syncline.setting", 0, NULL, NULL, NULL);
	rows = MemoryContextAlloc(context, (site->setting_count + 1) * sizeof(SlSettingRow));
	for (uint32 i = 0; i < site->setting_count; i++)
	{
		SlBytes		id = sl_result_bytes(i, 4, context);

		rows[i].key = sl_result_bytes(i, 1, context);
		rows[i].value = sl_result_bytes(i, 2, context);
		rows[i].hlc = sl_result_int64(i, 3);
		memcpy(rows[i].site, id.data, sizeof(rows[i].site));
	}
	site->settings = rows;
}

void
sl_leaf_load_site(void *argument)
{
	SlSite	   *site = argument;
	MemoryContext context = CurrentMemoryContext;

	memset(site, 0, sizeof(*site));
	SPI_connect();
	load_self(site, context);
	load_sites(site, context);
	load_vector(site, context);
	load_contexts(site, context);
	load_settings(site, context);
	SPI_finish();
	site->now_ms = now_ms();
	if (!pg_strong_random(&site->random, sizeof(site->random)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random numbers available")));
}

void
sl_leaf_add_sites(void *argument)
{
	SlAddSites *add = argument;
	static const Oid types[] = {INT4OID, BYTEAOID};

	SPI_connect();
	for (uint32 i = 0; i < add->count; i++)
	{
		const Datum values[] = {Int32GetDatum(add->first + i), PointerGetDatum(
			cstring_to_text_with_len((const char *) add->sites[i].id, sizeof(add->sites[i].id)))};

		sl_exec("INSERT INTO syncline.site (n, id) VALUES ($1, $2)", 2, types, values, NULL);
	}
	SPI_finish();
}

void
sl_leaf_recognise(void *argument)
{
	SlRecognise *recognise = argument;
	static const Oid types[] = {INT8OID, INT8OID};
	const Datum values[] = {Int64GetDatum(recognise->seq), Int64GetDatum(recognise->hlc)};

	SPI_connect();
	/* what all sites have seen is not looked at any more */
	recognise->yes = sl_exec("SELECT 1 FROM syncline.mark WHERE seq = $1 AND hlc = $2"
							 " UNION ALL SELECT 1 FROM syncline.melt WHERE pruned > $1", 2, types,
							 values, NULL) > 0;
	if (recognise->yes)
		sl_exec("UPDATE syncline.self SET shared = $1 WHERE shared < $1 AND $2 IS NOT NULL",
				2, types, values, NULL);
	SPI_finish();
}

void
sl_leaf_add_growth(void *argument)
{
	SlGrowth   *growth = argument;
	static const Oid types[] = {INT4OID, INT8OID, INT8OID};
	static const Oid mark_types[] = {INT8OID, INT8OID};
	const Datum values[] = {Int32GetDatum(growth->site), Int64GetDatum(growth->seq),
	Int64GetDatum(growth->begin)};
	const Datum mark[] = {Int64GetDatum(growth->seq), Int64GetDatum(growth->mark_hlc)};

	SPI_connect();
	sl_exec("INSERT INTO syncline.growth AS g (site, seq, begin) VALUES ($1, $2, $3)"
			" ON CONFLICT (site, seq) DO UPDATE SET begin = least(g.begin, excluded.begin)",
			3, types, values, NULL);
	if (growth->mark_hlc > 0)
	{
		sl_exec("INSERT INTO syncline.mark (seq, hlc) VALUES ($1, $2)", 2, mark_types, mark, NULL);
		counters.own_hlc = growth->mark_hlc;
	}
	SPI_finish();
}
