/*
 * sl_news.c: waiting until something happens in this database: syncline.await_change.
 *
 * A look reads one row of syncline.self and, of the logs, up to the first entry that a snapshot of
 * its own sees. A look is made only if it may find something: whoever commits an entry adds to the
 * WAL first, and shows up in snapshots as running until the entry is visible.
 */
#include "sl_news.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "sl_log.h"
#include "storage/latch.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(sl_sync_await_change);

#define WAIT_MS_MAX 60000

/* A look at a log that is full of entries of an open transaction takes no more of the time. */
#define SHARE_OF_TIME 20

/* ---- looking --------------------------------------------------------------------------------- */

/* Of the counter row; a database that has none yet stands at 0. */
static int
read_self(Snapshot snapshot, int64 *position)
{
	Relation	self = table_open(sl_internal_relid("self"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(self);
	SysScanDesc scan = systable_beginscan(self, InvalidOid, false, snapshot, 0, NULL);
	HeapTuple	tuple = systable_getnext(scan);
	Oid			relid = RelationGetRelid(self);
	int			closed = 0;
	bool		isnull;

	*position = 0;
	if (HeapTupleIsValid(tuple))
	{
		*position = DatumGetInt64(heap_getattr(tuple, get_attnum(relid, "position"), desc,
											   &isnull));
		closed = DatumGetInt16(heap_getattr(tuple, get_attnum(relid, "log_closed"), desc,
											&isnull));
	}
	systable_endscan(scan);
	table_close(self, AccessShareLock);
	return closed;
}

static bool
has_entry(int number, Snapshot snapshot)
{
	Relation	log = table_open(sl_log_relid(number), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(log, NULL);
	TableScanDesc scan = table_beginscan(log, snapshot, 0, NULL);
	bool		found = table_scan_getnextslot(scan, ForwardScanDirection, slot);

	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(log, AccessShareLock);
	return found;
}

bool
sl_news_due(const SlNews *news)
{
	if (!news->looked)
		return true;
	if (!news->writers && GetXLogInsertRecPtr() == news->inserted)
		return false;
	return GetCurrentTimestamp() >= news->next_look;
}

/* A log that this snapshot sees closed has no entry that it sees, and takes none. */
void
sl_news_look(SlNews *news)
{
	TimestampTz begin = GetCurrentTimestamp();
	TimestampTz end;
	Snapshot	snapshot;
	int			closed;

	news->inserted = GetXLogInsertRecPtr();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	news->writers = snapshot->xcnt > 0 || snapshot->suboverflowed;
	closed = read_self(snapshot, &news->position);
	news->unnumbered = false;
	for (int number = 1; number <= SL_LOGS && !news->unnumbered; number++)
		news->unnumbered = number != closed && has_entry(number, snapshot);
	UnregisterSnapshot(snapshot);
	news->looked = true;
	end = GetCurrentTimestamp();
	news->next_look = end + (end - begin) * SHARE_OF_TIME;
}

static void
pause_for(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

void
sl_news_sleep(int ms)
{
	pause_for(ms);
	CHECK_FOR_INTERRUPTS();
}

/* ---- syncline.await_change ------------------------------------------------------------------- */

static int
timeout_argument(FunctionCallInfo fcinfo)
{
	int			ms = PG_GETARG_INT32(1);

	if (ms < 0 || ms > WAIT_MS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout_ms of await_change is %d", ms),
				 errhint("It is a number of milliseconds from 0 to %d.", WAIT_MS_MAX)));
	return ms;
}

/*
 * Has the client asked to cancel the statement? Then this is taken as done. What waits for us does
 * it each time it has something to send, and an error would be in the server's log as often.
 */
static bool
take_cancel(void)
{
	if (!QueryCancelPending || ProcDiePending || get_timeout_indicator(STATEMENT_TIMEOUT, false) ||
		get_timeout_indicator(LOCK_TIMEOUT, false))
		return false;
	QueryCancelPending = false;
	return true;
}

/* Where the numbering stands, as soon as there is news; NULL: there was none in that time. */
Datum
sl_sync_await_change(PG_FUNCTION_ARGS)
{
	int64		seen = PG_GETARG_INT64(0);
	int			timeout_ms = timeout_argument(fcinfo);
	bool		quietly = PG_GETARG_BOOL(2);
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	SlNews		news = {0};

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("await_change cannot run on a standby"),
				 errhint("Call it on the primary server.")));
	while (true)
	{
		long		left;

		if (sl_news_due(&news))
		{
			sl_news_look(&news);
			if (news.unnumbered || news.position != seen)
				PG_RETURN_INT64(news.position);
		}
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
		if (left <= 0)
			PG_RETURN_NULL();
		pause_for(Min(left, SL_LOOK_MS));
		if (quietly && take_cancel())
			PG_RETURN_NULL();
		CHECK_FOR_INTERRUPTS();
	}
}
