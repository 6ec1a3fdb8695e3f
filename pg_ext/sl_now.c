/*
 * sl_now.c: sync_now: starts a worker for each session (sl_worker.c) and waits for its report.
 */
#include "sl_host.h"

#include "access/xact.h"
#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "sl_session.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(sl_sync_now);

#define QUEUE_BYTES 65536

/* A session under way, as its caller sees it. */
typedef struct Launch
{
	dsm_segment *segment;
	shm_mq_handle *queue;
	BackgroundWorkerHandle *worker;
} Launch;

/* ---- starting -------------------------------------------------------------------------------- */

void
sl_refuse_session(const char *function_name)
{
	if (IsTransactionBlock() || IsSubTransaction() ||
		TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot run inside a transaction", function_name),
				 errhint("A session commits chunk by chunk: call it by itself.")));
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("%s cannot run on a standby", function_name),
				 errhint("Call it on the primary server.")));
}

static void
put_text(shm_toc *toc, uint64 key, const char *text)
{
	char	   *place = shm_toc_allocate(toc, strlen(text) + 1);

	strcpy(place, text);
	shm_toc_insert(toc, key, place);
}

static dsm_segment *
make_segment(const SlPeer *peer, const char *options, shm_mq **queue)
{
	const char *name = peer->name == NULL ? "" : peer->name;
	const char *texts[] = {name, peer->url, peer->options, options};
	shm_toc_estimator estimator;
	dsm_segment *segment;
	shm_toc    *toc;
	SlShared   *shared;

	shm_toc_initialize_estimator(&estimator);
	shm_toc_estimate_chunk(&estimator, sizeof(SlShared));
	for (int i = 0; i < lengthof(texts); i++)
		shm_toc_estimate_chunk(&estimator, strlen(texts[i]) + 1);
	shm_toc_estimate_chunk(&estimator, QUEUE_BYTES);
	shm_toc_estimate_keys(&estimator, SL_SHARED_COUNT);
	segment = dsm_create(shm_toc_estimate(&estimator), 0);
	toc = shm_toc_create(SL_SHARED_MAGIC, dsm_segment_address(segment),
						 shm_toc_estimate(&estimator));
	shared = shm_toc_allocate(toc, sizeof(SlShared));
	shared->database = MyDatabaseId;
	shared->login = GetSessionUserId();
	shared->role = GetUserId();
	shared->caller_pid = MyProcPid;
	shared->password_required = !superuser();
	shared->task = peer->task;
	shared->interval_ms = peer->interval_ms;
	shm_toc_insert(toc, SL_SHARED_HEAD, shared);
	for (int i = 0; i < lengthof(texts); i++)
		put_text(toc, SL_SHARED_NAME + i, texts[i]);
	*queue = shm_mq_create(shm_toc_allocate(toc, QUEUE_BYTES), QUEUE_BYTES);
	shm_toc_insert(toc, SL_SHARED_QUEUE, *queue);
	return segment;
}

static void
launch(const SlPeer *peer, const char *options, Launch *session)
{
	BackgroundWorker worker = {0};
	shm_mq	   *queue;
	bool		stays = peer->interval_ms > 0;

	session->segment = make_segment(peer, options, &queue);
	shm_mq_set_receiver(queue, MyProc);
	session->queue = shm_mq_attach(queue, session->segment, NULL);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "syncline", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, stays ? "sl_background_main" : "sl_worker_main",
			sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "syncline %s of process %d",
			 stays ? "background" : "session", MyProcPid);
	strlcpy(worker.bgw_type, stays ? "syncline background" : "syncline session",
			sizeof(worker.bgw_type));
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(session->segment));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &session->worker))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free for the session"),
				 errhint("Try again, or raise max_worker_processes.")));
	shm_mq_set_handle(session->queue, session->worker);
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* The next message of the worker; false: it has ended. Interruptible. */
static bool
receive(Launch *session, StringInfo message)
{
	for (;;)
	{
		Size		size;
		void	   *data;
		shm_mq_result result = shm_mq_receive(session->queue, &size, &data, true);

		if (result == SHM_MQ_DETACHED)
			return false;
		if (result == SHM_MQ_SUCCESS)
		{
			resetStringInfo(message);
			appendBinaryStringInfo(message, data, size);
			return true;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, 0, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Waits for the report; NULL and *error, if the session failed. */
static char *
await(Launch *session, ErrorData *error)
{
	StringInfoData message;

	initStringInfo(&message);
	while (receive(session, &message))
	{
		switch (pq_getmsgbyte(&message))
		{
			case 'd':
				return pnstrdup(message.data + message.cursor, message.len - message.cursor);
			case 'E':
				pq_parse_errornotice(&message, error);
				error->elevel = ERROR;
				return NULL;
			default:			/* notices, parameters: of no interest here */
				break;
		}
	}
	memset(error, 0, sizeof(*error));
	error->elevel = ERROR;
	error->sqlerrcode = ERRCODE_CONNECTION_FAILURE;
	error->message = pstrdup("the worker of the session ended without a report");
	error->hint = pstrdup("What was applied so far is kept. The server's log may say why.");
	return NULL;
}

char *
sl_run_worker(const SlPeer *peer, const char *options, ErrorData *error)
{
	Launch		session = {0};
	char	   *report = NULL;

	launch(peer, options, &session);
	PG_TRY();
	{
		report = await(&session, error);
	}
	PG_CATCH();
	{
		/* the caller was interrupted, so the worker is, too */
		TerminateBackgroundWorker(session.worker);
		PG_RE_THROW();
	}
	PG_END_TRY();
	dsm_detach(session.segment);
	return report;
}

/* ---- sync_now -------------------------------------------------------------------------------- */

static SlBytes
text_bytes(const char *text)
{
	return (SlBytes) {text, text == NULL ? 0 : strlen(text)};
}

/* A session with each stored peer; one that fails does not stop the others. */
static char *
sync_with_all(const char *options)
{
	List	   *peers = sl_load_peers(NULL);
	ListCell   *cell;
	StringInfoData json;

	if (peers == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sync_now() synchronises with all stored peers, and there are none"),
				 errhint("Store one with sync_add_peer('name', 'url'), or name a peer.")));
	initStringInfo(&json);
	foreach(cell, peers)
	{
		SlPeer	   *peer = lfirst(cell);
		ErrorData	error = {0};
		char	   *report = NULL;
		SlBytes		entry;

		if (peer->resting)
			error.message = psprintf("the last five attempts failed: %s",
									 peer->last_error == NULL ? "" : peer->last_error);
		else
			report = sl_run_worker(peer, options, &error);
		entry = slb_peer_report(text_bytes(peer->name), text_bytes(report),
								text_bytes(report != NULL || peer->resting ? NULL :
										   unpack_sql_state(error.sqlerrcode)),
								text_bytes(error.message));
		appendStringInfoString(&json, json.len == 0 ? "{\"peers\": [" : ", ");
		appendBinaryStringInfo(&json, entry.data, entry.size);
	}
	appendStringInfoString(&json, "]}");
	return json.data;
}

char *
sl_session_with(const char *target, const char *options, int task)
{
	SlPeer	   *peer;
	ErrorData	error = {0};
	char	   *report;

	if (slb_is_postgres_url(text_bytes(target)))
	{
		peer = palloc0(sizeof(SlPeer));
		peer->url = pstrdup(target);
		peer->options = pstrdup("{}");
	}
	else
	{
		if (strpbrk(target, "/.:\\") != NULL)
			sl_refuse_url(target);
		peer = linitial(sl_load_peers(target));
	}
	peer->task = task;
	report = sl_run_worker(peer, options, &error);
	if (report == NULL)
		ThrowErrorData(&error);
	return report;
}

Datum
sl_sync_now(PG_FUNCTION_ARGS)
{
	char	   *options = pstrdup("{}");
	char	   *report;
	SlStatus	status;

	sl_refuse_session("sync_now");
	if (!PG_ARGISNULL(1))
	{
		Jsonb	   *jsonb = PG_GETARG_JSONB_P(1);

		options = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	}
	slb_check_session_options(text_bytes(options), &status);
	sl_report(&status);
	if (PG_ARGISNULL(0))
		report = sync_with_all(options);
	else
		report = sl_session_with(text_to_cstring(PG_GETARG_TEXT_PP(0)), options, SL_TASK_SYNC);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(report));
}
