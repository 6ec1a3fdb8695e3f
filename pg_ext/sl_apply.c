/*
 * sl_apply.c: sync_apply, sync_inspect and sync_changes.
 *
 * An apply waits for a row that an application holds no longer than 20 ms: an application that
 * locks in another order must not be deadlocked by us. Then everything is rolled back to a
 * savepoint, all row locks with it, and tried again a little later. What was folded before stays.
 */
#include "sl_host.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "sl_check.h"
#include "sl_exchange.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(sl_sync_apply);
PG_FUNCTION_INFO_V1(sl_sync_inspect);
PG_FUNCTION_INFO_V1(sl_changes);

#define LOCK_TIMEOUT_MS 20
/* Pauses between attempts double from the first to the last of these; then the caller is told. */
#define PAUSE_MS_FIRST 10
#define PAUSE_MS_LAST 640
#define ATTEMPTS_MAX 16

/* ---- attempts -------------------------------------------------------------------------------- */

typedef struct Attempt
{
	const char *function_name;
	SlBytes		chunk;			/* data null: retry what is held */
	SlBytes		options;
	MemoryContext context;		/* of the report */
	char	   *report;
} Attempt;

static void
run(Attempt *attempt)
{
	SlStatus	status;

	sl_merge_begin(attempt->function_name);
	sl_fold(false);
	if (attempt->chunk.data == NULL)
		slb_retry_held(&status);
	else
	{
		SlBytes		report = slb_apply(attempt->chunk, attempt->options, &status);

		if (status.code == 0)
			attempt->report = MemoryContextStrdup(attempt->context,
												  pnstrdup(report.data, report.size));
		if (status.code == 0 && slb_apply_completed())
			sl_check_invariants();
	}
	sl_report(&status);
	sl_merge_end();
}

static bool
is_transient(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
		error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE;
}

/*
 * Runs the attempt in a subtransaction. Returns the error, rolled back, or NULL. Any error takes
 * this way, so that the subtransaction is ended before somebody further up handles it.
 */
static ErrorData *
try_once(Attempt *attempt)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		run(attempt);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return error;
}

static void
pause_ms(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Runs the attempt until it succeeds or fails for good. */
static void
persist(Attempt *attempt)
{
	int			level = NewGUCNestLevel();
	char		timeout[16];
	int			ceiling = PAUSE_MS_FIRST;

	/* first, outside the attempts, what need not be done again */
	sl_merge_begin(attempt->function_name);
	sl_fold(false);
	sl_merge_end();
	snprintf(timeout, sizeof(timeout), "%d", LOCK_TIMEOUT_MS);
	(void) set_config_option("lock_timeout", timeout, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	for (int i = 0;; i++)
	{
		ErrorData  *error = try_once(attempt);

		if (error == NULL)
			break;
		if (!is_transient(error) || i + 1 == ATTEMPTS_MAX)
			ReThrowError(error);
		FreeErrorData(error);
		/* full jitter, so that two who met do not meet again */
		pause_ms(1 + (long) ((uint64) (GetCurrentTimestamp() ^ MyProcPid) % ceiling));
		ceiling = Min(ceiling * 2, PAUSE_MS_LAST);
	}
	AtEOXact_GUC(true, level);
}

static SlBytes
text_of_jsonb(Jsonb *jsonb)
{
	char	   *text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));

	return (SlBytes) {text, strlen(text)};
}

void
sl_leaf_apply(void *argument)
{
	SlApply    *apply = argument;
	Attempt		attempt = {"sync_apply", apply->chunk, apply->options, CurrentMemoryContext, NULL};

	persist(&attempt);
	apply->report = (SlBytes) {attempt.report, strlen(attempt.report)};
}

void
sl_retry_held(void)
{
	Attempt		attempt = {"storing rows that were waiting", {NULL, 0}, {NULL, 0},
	CurrentMemoryContext, NULL};

	persist(&attempt);
}

static bool
any_held(void)
{
	bool		held;

	SPI_connect();
	held = sl_exec("SELECT FROM syncline.conflict WHERE status = 'open'"
				   " AND kind IN ('unique', 'foreign_key', 'constraint') LIMIT 1", 0, NULL,
				   NULL, NULL) > 0;
	SPI_finish();
	return held;
}

/* Whoever has folded rows may not write tables: that there may be room for held ones is noted. */
void
sl_note_folded(void)
{
	if (!any_held())
		return;
	SPI_connect();
	sl_exec("UPDATE syncline.self SET retry_held = true WHERE NOT retry_held", 0, NULL, NULL,
			NULL);
	SPI_finish();
}

/* Were rows folded since held ones were tried? In a merge, which has folded `rows`. */
static bool
take_retry_held(uint64 rows)
{
	bool		due;

	if (rows == 0 && !sl_merge_retry_held())
		return false;
	SPI_connect();
	due = sl_exec("UPDATE syncline.self SET retry_held = false WHERE retry_held", 0, NULL, NULL,
				  NULL) > 0;
	SPI_finish();
	return due;
}

void
sl_settle_decision(void)
{
	if (any_held())
		sl_retry_held();
}

void
sl_merge_begin_settled(const char *function_name)
{
	sl_merge_begin(function_name);
	if (!take_retry_held(sl_fold(true)))
		return;
	sl_merge_end();
	sl_retry_held();
	sl_merge_begin(function_name);
	sl_fold(true);
}

Datum
sl_sync_apply(PG_FUNCTION_ARGS)
{
	bytea	   *chunk;
	SlApply		apply = {0};

	sl_need_argument(fcinfo, 0, "sync_apply needs a chunk, not NULL",
					 "Give it the column changes of sync_changes_since.");
	chunk = PG_GETARG_BYTEA_PP(0);
	apply.chunk = (SlBytes) {VARDATA_ANY(chunk), VARSIZE_ANY_EXHDR(chunk)};
	apply.options = text_of_jsonb(DatumGetJsonbP(sl_options_argument(fcinfo, 1)));
	sl_leaf_apply(&apply);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(unconstify(char *, apply.report.data)));
}

/* ---- changes in words ------------------------------------------------------------------------ */

#define CHANGE_COLUMNS 8

static Datum
text_datum(SlBytes bytes, bool *isnull)
{
	*isnull = bytes.data == NULL;
	return *isnull ? (Datum) 0 :
		PointerGetDatum(cstring_to_text_with_len(bytes.data, bytes.size));
}

static Datum
jsonb_datum(SlBytes bytes, bool *isnull)
{
	*isnull = bytes.data == NULL;
	return *isnull ? (Datum) 0 :
		DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(bytes.data, bytes.size)));
}

void
sl_leaf_put_change(void *argument)
{
	SlChange   *change = argument;
	ReturnSetInfo *target = change->target;
	Datum		values[CHANGE_COLUMNS];
	bool		nulls[CHANGE_COLUMNS] = {false};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "syncline change",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	values[0] = text_datum(change->table_name, &nulls[0]);
	values[1] = jsonb_datum(change->pk_json, &nulls[1]);
	values[2] = text_datum(change->column_name, &nulls[2]);
	values[3] = jsonb_datum(change->value_json, &nulls[3]);
	values[4] = text_datum(change->site, &nulls[4]);
	values[5] = Int64GetDatum(change->seq);
	values[6] = Int64GetDatum(change->hlc);
	nulls[7] = change->hlc == 0;
	values[7] = TimestampTzGetDatum((change->ms - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
									 (int64) SECS_PER_DAY * 1000) * 1000);
	tuplestore_putvalues(target->setResult, target->setDesc, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

Datum
sl_sync_inspect(PG_FUNCTION_ARGS)
{
	bytea	   *chunk;
	SlStatus	status;

	sl_need_argument(fcinfo, 0, "sync_inspect needs a chunk, not NULL",
					 "Give it the column changes of sync_changes_since.");
	chunk = PG_GETARG_BYTEA_PP(0);
	sl_begin_rows(fcinfo);
	slb_inspect((SlBytes) {VARDATA_ANY(chunk), VARSIZE_ANY_EXHDR(chunk)}, fcinfo->resultinfo,
				&status);
	sl_report(&status);
	return (Datum) 0;
}

Datum
sl_changes(PG_FUNCTION_ARGS)
{
	SlStatus	status;

	sl_begin_rows(fcinfo);
	sl_merge_begin("sync_changes");
	sl_fold(true);
	slb_changes(fcinfo->resultinfo, &status);
	sl_report(&status);
	sl_merge_end();
	return (Datum) 0;
}
