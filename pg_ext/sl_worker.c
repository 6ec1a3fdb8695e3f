/*
 * sl_worker.c: the background worker of sync_now: it runs one session and sends the report.
 *
 * A function cannot commit, and a session commits chunk by chunk, so sync_now starts this worker
 * and waits. Everything the worker has to say goes through the queue as protocol messages, an error
 * as the error it was. Between the steps of a session no transaction is open here.
 */
#include "sl_host.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "sl_melting.h"
#include "sl_session.h"
#include "sl_verify.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

/* So often, at least, a wait looks whether the caller is still there. */
#define WAIT_MS_MAX 1000

PGDLLEXPORT void sl_worker_main(Datum argument);

static int	caller_pid = 0;
static MemoryContext step_context = NULL;	/* what a step returns */

/* ---- steps ----------------------------------------------------------------------------------- */

static void
check_caller(void)
{
	CHECK_FOR_INTERRUPTS();
	if (caller_pid != 0 && BackendPidGetProc(caller_pid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("the caller of sync_now is gone")));
}

static SlBytes
keep(SlBytes bytes)
{
	char	   *copy = MemoryContextAllocHuge(step_context, bytes.size + 1);

	memcpy(copy, bytes.data, bytes.size);
	copy[bytes.size] = '\0';
	return (SlBytes) {copy, bytes.size};
}

/* Takes the current error, rolls back, and tells it in `step`. */
static void
fail(SlStep *step)
{
	ErrorData  *error;

	MemoryContextSwitchTo(step_context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	step->failed = true;
	strlcpy(step->sqlstate, unpack_sql_state(error->sqlerrcode), sizeof(step->sqlstate));
	strlcpy(step->message, error->message ? error->message : "", sizeof(step->message));
	strlcpy(step->hint, error->hint ? error->hint : "", sizeof(step->hint));
}

/* Runs `body` in a transaction of its own. */
static void
run_step(SlStep *step, void (*body) (SlStep *))
{
	MemoryContext caller = CurrentMemoryContext;

	MemoryContextReset(step_context);
	step->failed = false;
	PG_TRY();
	{
		check_caller();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		body(step);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		fail(step);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
}

static void
hello(SlStep *step)
{
	SlStatus	status;
	char	   *engine = psprintf("postgresql %s", PG_VERSION);
	SlBytes		json;

	sl_merge_begin_settled("sync_now");
	sl_member_ensure();
	json = slb_hello((SlBytes) {engine, strlen(engine)}, &status);
	sl_report(&status);
	step->output = keep(json);
	sl_merge_end();
}

static void
produce(SlStep *step)
{
	SlBytes		next;

	sl_export_chunk(step->input, step->options, (SlBytes) {NULL, 0}, &step->chunk, &next);
	step->output = keep(next);
}

static void
consume(SlStep *step)
{
	SlApply		apply = {step->input, step->options, {NULL, 0}};

	sl_leaf_apply(&apply);
	step->output = keep(apply.report);
}

static void
answer(SlStep *step)
{
	step->output = keep(sl_answer(step->input));
}

static void
set_clock(SlStep *step)
{
	sl_merge_begin("sync_now");
	sl_fold(true);
	step->stamped = sl_clock_was_ahead();
	if (step->stamped)
		sl_give_up_identity();
	sl_merge_end();
}

/* What the peer is known to have now; and its clock. */
static void
hear(SlBytes site, SlBytes vector, int64 clock_ahead_ms)
{
	SlStatus	status;
	bool		news = slb_has_peer_news(site, vector, &status);

	sl_report(&status);
	if (!news)
		return;
	sl_merge_begin("sync_now");
	slb_hear_peer(site, vector, clock_ahead_ms, &status);
	sl_report(&status);
	sl_merge_end();
}

/* Through SQL, as the caller's role: who may not call sync_maintain is told so. */
static void
maintain(SlStep *step)
{
	const char *sql;
	const char *json;

	hear(step->options, step->input, step->clock_ahead_ms);
	SPI_connect();
	sl_exec("SELECT pg_catalog.format('SELECT %I.sync_maintain()::pg_catalog.text', n.nspname)"
			" FROM pg_catalog.pg_extension x, pg_catalog.pg_namespace n"
			" WHERE x.extname = 'syncline' AND n.oid = x.extnamespace", 0, NULL, NULL, NULL);
	sql = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	sl_exec(sql, 0, NULL, NULL, NULL);
	json = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	step->output = keep((SlBytes) {json, strlen(json)});
	SPI_finish();
}

static void
clone(SlStep *step)
{
	sl_clone_tables(step->input, step->options);
}

void
sl_leaf_step_clone(void *step)
{
	run_step(step, clone);
}

void
sl_leaf_step_maintain(void *step)
{
	run_step(step, maintain);
}

void
sl_leaf_step_set_clock(void *step)
{
	run_step(step, set_clock);
}

void
sl_leaf_step_answer(void *step)
{
	run_step(step, answer);
}

void
sl_leaf_step_hello(void *step)
{
	run_step(step, hello);
}

void
sl_leaf_step_produce(void *step)
{
	run_step(step, produce);
}

void
sl_leaf_step_consume(void *step)
{
	run_step(step, consume);
}

void
sl_leaf_wait(void *argument)
{
	SlWait	   *wait = argument;
	int			events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;
	int			happened;

	if (wait->socket >= 0 && wait->read)
		events |= WL_SOCKET_READABLE;
	if (wait->socket >= 0 && wait->write)
		events |= WL_SOCKET_WRITEABLE;
	check_caller();
	happened = WaitLatchOrSocket(MyLatch, events,
								 wait->socket >= 0 ? (pgsocket) wait->socket : PGINVALID_SOCKET,
								 Min(wait->timeout_ms, WAIT_MS_MAX), PG_WAIT_EXTENSION);
	if (happened & WL_LATCH_SET)
		ResetLatch(MyLatch);
	check_caller();
	wait->ready = (happened & (WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE)) != 0;
}

/* ---- the worker ------------------------------------------------------------------------------ */

SlBytes
sl_worker_text(const SlWorker *worker, uint64 key)
{
	const char *text = shm_toc_lookup(worker->toc, key, false);

	return (SlBytes) {text, strlen(text)};
}

/* What goes wrong here is not worth losing the report for. */
void
sl_worker_note(const char *name, const SlSession *session, const char *error)
{
	PG_TRY();
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		if (name[0] != '\0')
			sl_note_session(name, session, error);
		if (error == NULL)
			hear(session->peer_site, session->peer_vector, session->clock_ahead_ms);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
}

static void
raise_error(const SlSession *session, const SlStatus *status)
{
	const char *state = session->sqlstate;

	/* an error in this database keeps its own SQLSTATE */
	if (state[0] != '\0')
		ereport(ERROR,
				(errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])),
				 errmsg("%s", status->message),
				 status->hint[0] != '\0' ? errhint("%s", status->hint) : 0));
	sl_report(status);
}

void
sl_worker_report(SlBytes report)
{
	StringInfoData message;

	pq_beginmessage(&message, 'd');
	pq_sendbytes(&message, report.data, report.size);
	pq_endmessage(&message);
}

static void
run_session(SlSession *session, SlBytes name)
{
	SlStatus	status;
	bool		exchanged;

	slb_session(session, &status);
	/* a clone of the tables alone has no session */
	exchanged = session->task == SL_TASK_SYNC ||
		(session->task == SL_TASK_CLONE && (status.code != 0 || session->peer_vector.size > 0));
	if (exchanged && (name.size > 0 || status.code == 0))
		sl_worker_note(name.data, session, status.code == 0 ? NULL : status.message);
	if (status.code != 0)
		raise_error(session, &status);
	sl_worker_report(session->report);
}

/*
 * The peer's server starts a process for us, this one finds its way into its database: at once.
 */
static void
begin_session(const SlWorker *worker, SlSession *session)
{
	SlStatus	status;

	session->url = sl_worker_text(worker, SL_SHARED_URL);
	session->stored_options = sl_worker_text(worker, SL_SHARED_STORED_OPTIONS);
	session->options = sl_worker_text(worker, SL_SHARED_OPTIONS);
	session->password_required = worker->shared->password_required;
	session->task = worker->shared->task;
	slb_session_begin(session, &status);
	sl_report(&status);
}

void
sl_worker_enter(const SlShared *shared, const char *application_name)
{
	BackgroundWorkerInitializeConnectionByOid(shared->database, shared->login, 0);
	SetUserIdAndSecContext(shared->role, 0);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET,
					PGC_S_SESSION);
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("application_name", application_name, PGC_USERSET, PGC_S_SESSION);
	step_context = AllocSetContextCreate(TopMemoryContext, "syncline step",
										 ALLOCSET_DEFAULT_SIZES);
}

void
sl_worker_attach(Datum argument, SlWorker *worker)
{
	shm_mq	   *queue;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "syncline session");
	worker->segment = dsm_attach(DatumGetUInt32(argument));
	if (worker->segment == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the caller of sync_now or sync_start is gone")));
	worker->toc = shm_toc_attach(SL_SHARED_MAGIC, dsm_segment_address(worker->segment));
	worker->shared = shm_toc_lookup(worker->toc, SL_SHARED_HEAD, false);
	queue = shm_toc_lookup(worker->toc, SL_SHARED_QUEUE, false);
	shm_mq_set_sender(queue, MyProc);
	pq_redirect_to_shm_mq(worker->segment, shm_mq_attach(queue, worker->segment, NULL));
	caller_pid = worker->shared->caller_pid;
}

void
sl_worker_detach(SlWorker *worker)
{
	caller_pid = 0;
	dsm_detach(worker->segment);
	worker->segment = NULL;
}

void
sl_worker_main(Datum argument)
{
	SlWorker	worker;
	SlSession	session = {0};

	sl_worker_attach(argument, &worker);
	begin_session(&worker, &session);
	sl_worker_enter(worker.shared, "syncline session");
	pgstat_report_activity(STATE_RUNNING, "sync_now");
	PG_TRY();
	{
		run_session(&session, sl_worker_text(&worker, SL_SHARED_NAME));
	}
	PG_CATCH();
	{
		/* sent through the queue; ending with an exit code would only fill the log */
		EmitErrorReport();
		FlushErrorState();
		if (IsTransactionState())
			AbortCurrentTransaction();
	}
	PG_END_TRY();
	sl_worker_detach(&worker);
	proc_exit(0);
}
