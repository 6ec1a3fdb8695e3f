/*
 * sl_event.c: telling of conflicts: NOTIFY sync_conflict, sync_conflict_purge.
 *
 * Ids gather while a merge records conflicts, and are sent when its transaction commits: a
 * transaction that has notified cannot be prepared, and at that point it is not being prepared.
 */
#include "sl_host.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(sl_sync_conflict_purge);

#define CHANNEL "sync_conflict"
/* Of more conflicts in one transaction an empty payload tells: read sync_events. */
#define IDS_MAX 1000

typedef struct Notice
{
	struct Notice *next;
	SubTransactionId writer;
	char		id[FLEXIBLE_ARRAY_MEMBER];
} Notice;

/* In the transaction's memory context. */
static Notice *notices = NULL;
static int	notice_count = 0;

void
sl_notify_add(SlBytes id)
{
	Notice	   *notice;

	/* one more than are sent by name tells that there are more */
	if (notice_count > IDS_MAX)
		return;
	notice = MemoryContextAlloc(TopTransactionContext, offsetof(Notice, id) + id.size + 1);
	memcpy(notice->id, id.data, id.size);
	notice->id[id.size] = '\0';
	notice->writer = GetCurrentSubTransactionId();
	notice->next = notices;
	notices = notice;
	notice_count++;
}

void
sl_notify_send(void)
{
	if (notice_count > IDS_MAX)
		Async_Notify(CHANNEL, "");
	else
	{
		for (Notice *notice = notices; notice != NULL; notice = notice->next)
			Async_Notify(CHANNEL, notice->id);
	}
	sl_notify_forget();
}

void
sl_notify_forget(void)
{
	notices = NULL;
	notice_count = 0;
}

void
sl_notify_subend(SubTransactionId current, SubTransactionId parent, bool aborted)
{
	Notice	  **place = &notices;

	while (*place != NULL)
	{
		Notice	   *notice = *place;

		if (notice->writer == current && aborted)
		{
			*place = notice->next;
			notice_count--;
			continue;
		}
		if (notice->writer == current)
			notice->writer = parent;
		place = &notice->next;
	}
}

/* ---- sync_conflict_purge --------------------------------------------------------------------- */

Datum
sl_sync_conflict_purge(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	uint64		count;

	sl_need_argument(fcinfo, 0, "sync_conflict_purge needs a time, not NULL",
					 "Pass something like now() - interval '90 days'.");
	{
		const Datum values[] = {PG_GETARG_DATUM(0)};

		SPI_connect();
		sl_exec("DELETE FROM syncline.event e USING syncline.conflict c WHERE c.id = e.conflict_id"
				" AND c.status = 'closed' AND coalesce(c.resolved_at, c.detected_at) < $1",
				1, types, values, NULL);
		count = sl_exec("DELETE FROM syncline.conflict WHERE status = 'closed'"
						" AND coalesce(resolved_at, detected_at) < $1", 1, types, values, NULL);
		SPI_finish();
	}
	PG_RETURN_INT64((int64) count);
}
