/*
 * sl_background.c: sync_start and sync_stop, and the worker that stays and synchronises again and
 * again with a stored peer.
 *
 * A worker is known by a lock that it holds from its first moment to its end, whatever ends it: an
 * advisory lock of a kind that SQL cannot take, whose key is a hash of the peer's name. No table
 * can be wrong about it, and the view syncline.background finds it in pg_locks.
 *
 * Between sessions the worker has no transaction. It waits at its connection to the peer, and looks
 * here some hundred times a second: whether there is news, and whether it is still wanted.
 */
#include "sl_news.h"

#include <signal.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "sl_session.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(sl_sync_start);
PG_FUNCTION_INFO_V1(sl_sync_stop);

PGDLLEXPORT void sl_background_main(Datum argument);

/* The fourth field of the locks; SQL's own have 1 or 2. syncline.background knows it, too. */
#define LOCK_RUNNING 21337
#define LOCK_STARTING 21338

/* So long a worker may take to end. */
#define END_MS_MAX 10000

/* So often, while it rests after a failure, a worker asks whether it is still wanted. */
#define REST_LOOK_MS 1000

/* ---- which workers run ----------------------------------------------------------------------- */

/* SPI must be connected. */
static void
lock_tag(LOCKTAG *tag, const char *name, int kind)
{
	static const Oid types[] = {TEXTOID};
	const Datum values[] = {CStringGetTextDatum(name)};
	uint64		hash;

	sl_exec("SELECT pg_catalog.hashtextextended($1, 0)", 1, types, values, NULL);
	hash = (uint64) sl_result_int64(0, 1);
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash, kind);
}

/* Of the peer's worker, or of all (NULL): process ids. Returns how many. */
static int
running_workers(const char *name, int **pids)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[1];
	MemoryContext context = CurrentMemoryContext;
	uint64		count;

	if (name != NULL)
		values[0] = CStringGetTextDatum(name);
	SPI_connect();
	count = sl_exec(name == NULL ? "SELECT pid FROM syncline.background"
					: "SELECT pid FROM syncline.background"
					" WHERE peer_hash = pg_catalog.hashtextextended($1, 0)",
					name == NULL ? 0 : 1, types, values, NULL);
	*pids = MemoryContextAlloc(context, sizeof(int) * Max(1, count));
	for (uint64 i = 0; i < count; i++)
		(*pids)[i] = (int) sl_result_int64(i, 1);
	SPI_finish();
	return (int) count;
}

/* Waits until the process is gone and its slot is free for another. */
static void
await_end(int pid)
{
	TimestampTz limit = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), END_MS_MAX);

	while (kill(pid, 0) == 0)
	{
		if (GetCurrentTimestamp() >= limit)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("process %d, which synchronises in the background, has not ended yet",
							pid),
					 errhint("It was told to, and ends after what it is doing.")));
		sl_news_sleep(SL_LOOK_MS);
	}
}

static int
end_workers(const char *name)
{
	int		   *pids;
	int			count = running_workers(name, &pids);

	for (int i = 0; i < count; i++)
	{
		if (BackendPidGetProc(pids[i]) != NULL)
			(void) kill(pids[i], SIGTERM);
	}
	for (int i = 0; i < count; i++)
		await_end(pids[i]);
	return count;
}

/* ---- sync_start, sync_stop ------------------------------------------------------------------- */

static Datum
started_json(const char *name, int64 interval_ms, bool replaced)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"peer\": ");
	escape_json(&json, name);
	appendStringInfo(&json, ", \"interval_ms\": " INT64_FORMAT ", \"replaced\": %s}", interval_ms,
					 replaced ? "true" : "false");
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

static char *
options_argument(FunctionCallInfo fcinfo, int64 *interval_ms)
{
	Jsonb	   *jsonb = DatumGetJsonbP(sl_options_argument(fcinfo, 1));
	char	   *options = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	SlBytes		session;
	SlStatus	status;

	slb_background_options((SlBytes) {options, strlen(options)}, interval_ms, &session, &status);
	sl_report(&status);
	return pnstrdup(session.data, session.size);
}

/* To the end of the transaction nobody else starts one with this peer. */
static void
lock_start(const char *name)
{
	LOCKTAG		tag;

	SPI_connect();
	lock_tag(&tag, name, LOCK_STARTING);
	SPI_finish();
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

Datum
sl_sync_start(PG_FUNCTION_ARGS)
{
	SlPeer	   *peer;
	char	   *options;
	bool		replaced;
	ErrorData	error = {0};
	Datum		report;

	sl_refuse_session("sync_start");
	sl_need_argument(fcinfo, 0, "the peer's name is missing or NULL", NULL);
	peer = sl_load_background_peer(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	options = options_argument(fcinfo, &peer->interval_ms);
	lock_start(peer->name);
	replaced = end_workers(peer->name) > 0;
	report = started_json(peer->name, peer->interval_ms, replaced);
	if (sl_run_worker(peer, options, &error) == NULL)
		ThrowErrorData(&error);
	return report;
}

Datum
sl_sync_stop(PG_FUNCTION_ARGS)
{
	char	   *name;
	int			count;

	if (PG_ARGISNULL(0))
		PG_RETURN_INT32(end_workers(NULL));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	count = end_workers(name);
	if (count > 0)
		PG_RETURN_INT32(count);
	name = sl_load_background_peer(name)->name;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("this database does not synchronise with \"%s\" in the background", name),
			 errhint("SELECT name, background FROM sync_peers shows with whom it does.")));
}

/* ---- the worker: looking --------------------------------------------------------------------- */

static char *peer_name;
static char *session_options;
static int64 interval_ms;
static MemoryContext session_context;
static SlNews news;
static int64 seen_here;			/* the position before the last session */
static int64 failures;			/* in a row */
static bool pushes;				/* what changes here is a reason for a session */
static bool unwanted;			/* the peer is not stored any more, or the extension is gone */
static TimestampTz session_due;

/* In a transaction. */
static bool
is_wanted(void)
{
	Oid			schema = get_namespace_oid("syncline", true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid("peer", schema) : InvalidOid;
	Relation	peers = OidIsValid(relid) ? try_relation_open(relid, AccessShareLock) : NULL;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	if (peers == NULL)
		return false;
	scan = systable_beginscan(peers, InvalidOid, false, NULL, 0, NULL);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		name = heap_getattr(tuple, get_attnum(relid, "name"), RelationGetDescr(peers),
										&isnull);

		found = strcmp(TextDatumGetCString(name), peer_name) == 0;
	}
	systable_endscan(scan);
	relation_close(peers, AccessShareLock);
	return found && OidIsValid(get_extension_oid("syncline", true));
}

static void
look(void)
{
	StartTransactionCommand();
	unwanted = !is_wanted();
	if (!unwanted)
		sl_news_look(&news);
	CommitTransactionCommand();
}

/* Is it time for a session, or to end? */
static bool
is_over(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (sl_news_due(&news))
		look();
	return unwanted || GetCurrentTimestamp() >= session_due ||
		(pushes && (news.unnumbered || news.position != seen_here));
}

void
sl_leaf_background_look(void *over)
{
	*(bool *) over = is_over();
}

/* ---- the worker: sessions -------------------------------------------------------------------- */

static SlBytes
keep_text(const char *text)
{
	char	   *copy = MemoryContextStrdup(session_context, text);

	return (SlBytes) {copy, strlen(copy)};
}

/* As sync_now would find it now: its URL, its options, and what the role may do. */
static void
load_session(SlSession *session)
{
	SlPeer	   *peer;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	peer = linitial(sl_load_peers(peer_name));
	session->url = keep_text(peer->url);
	session->stored_options = keep_text(peer->options);
	session->options = (SlBytes) {session_options, strlen(session_options)};
	session->password_required = !superuser();
	session->task = SL_TASK_SYNC;
	session->keep = true;
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(session_context);
}

/* Takes the current error and rolls back; returns its message. */
static const char *
take_error(void)
{
	ErrorData  *error;

	MemoryContextSwitchTo(session_context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(session_context);
	return error->message == NULL ? "" : error->message;
}

/* False: it failed. */
static bool
synchronise(SlSession *session)
{
	SlStatus	status;
	const char *volatile error = NULL;

	pgstat_report_activity(STATE_RUNNING, "sync_start: session");
	PG_TRY();
	{
		load_session(session);
		slb_session_begin(session, &status);
		sl_report(&status);
		slb_session(session, &status);
		sl_report(&status);
	}
	PG_CATCH();
	{
		error = take_error();
	}
	PG_END_TRY();
	sl_worker_note(peer_name, session, error);
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, "sync_start: waiting");
	return error == NULL;
}

/* Until is_over(), or the peer has news. */
static void
wait_for_work(const SlSession *session)
{
	SlStatus	status;

	session_due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), interval_ms);
	pushes = session->pushes;
	if (!session->pulls)
	{
		while (!is_over())
			sl_news_sleep(SL_LOOK_MS);
		return;
	}
	slb_session_await(&status);
	sl_report(&status);
}

/*
 * A session, and the wait for the next. The look comes first: what the session does not have yet
 * is news after it. So are the rows it has brought itself, which a second session then finds to be
 * there already.
 */
static bool
work(void)
{
	SlSession	session = {0};

	look();
	seen_here = news.position;
	if (unwanted)
		return true;
	if (!synchronise(&session))
		return false;
	wait_for_work(&session);
	return true;
}

static bool
rest(void)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												  slb_background_rest_ms(failures, interval_ms));
	long		left;

	while (!unwanted &&
		   (left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end)) > 0)
	{
		sl_news_sleep(Min(left, REST_LOOK_MS));
		StartTransactionCommand();
		unwanted = !is_wanted();
		CommitTransactionCommand();
	}
	return true;
}

/* Runs `body`; what it raises goes to the server's log, and counts as false. */
static bool
guarded(bool (*body) (void))
{
	volatile bool well = false;

	PG_TRY();
	{
		well = body();
	}
	PG_CATCH();
	{
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	sl_guard_forget();
	MemoryContextSwitchTo(session_context);
	MemoryContextReset(session_context);
	return well;
}

/* ---- the worker: its life -------------------------------------------------------------------- */

static void
take_lock(void)
{
	LOCKTAG		tag;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	lock_tag(&tag, peer_name, LOCK_RUNNING);
	SPI_finish();
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("another process synchronises with \"%s\" in the background", peer_name)));
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Tells the peer, whatever ends the process. */
static void
end_session(int code, Datum unused)
{
	slb_session_end();
}

/* Takes over what sync_start has left, which ends with its answer. */
static void
begin(Datum argument)
{
	SlWorker	worker;
	MemoryContext context = MemoryContextSwitchTo(TopMemoryContext);

	sl_worker_attach(argument, &worker);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	peer_name = pstrdup(sl_worker_text(&worker, SL_SHARED_NAME).data);
	session_options = pstrdup(sl_worker_text(&worker, SL_SHARED_OPTIONS).data);
	interval_ms = worker.shared->interval_ms;
	session_context = AllocSetContextCreate(TopMemoryContext, "syncline background session",
											ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	before_shmem_exit(end_session, (Datum) 0);
	sl_worker_enter(worker.shared, "syncline background");
	take_lock();
	sl_worker_report((SlBytes) {"{}", 2});
	sl_worker_detach(&worker);
	MemoryContextSwitchTo(session_context);
}

void
sl_background_main(Datum argument)
{
	begin(argument);
	while (!unwanted)
	{
		if (guarded(work))
		{
			failures = 0;
			continue;
		}
		failures++;
		(void) guarded(rest);
	}
	proc_exit(0);
}
