/*
 * sl_session.h: sessions: the C ABI of pg_session.cpp, and what the C files of sessions share.
 *
 * sync_now (sl_now.c) starts a background worker (sl_worker.c) that runs the session as the calling
 * role, with a transaction a step, and waits for what it sends through a queue in shared memory.
 * sync_start (sl_background.c) does the same with a worker that stays.
 */
#ifndef SL_SESSION_H
#define SL_SESSION_H

#include "sl_exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- sl_worker.c: leaves --------------------------------------------------------------------- */

/*
 * One step of a session in this database: a transaction of its own. What goes wrong is rolled back
 * and told in `failure`: these leaves do not raise, but for the end of the process.
 */
typedef struct SlStep
{
	SlBytes input;				/* consume: the chunk; produce: the vector; hello: unused */
	SlBytes options;			/* JSON */
	int64_t clock_ahead_ms;		/* maintain: of the peer */
	SlBytes output;				/* out; lives until the next step */
	SlChunk chunk;				/* out, of produce; `output` is where to go on */
	bool stamped;				/* out, of set_clock: changes have new clocks */
	bool failed;
	char sqlstate[6];
	char message[512];
	char hint[256];
} SlStep;
void sl_leaf_step_hello(void *step);
void sl_leaf_step_produce(void *step);
void sl_leaf_step_consume(void *step);
void sl_leaf_step_answer(void *step);	/* input: the question */
void sl_leaf_step_clone(void *step);	/* input: plan_to_json(); options: the peer's site, hex */
/* Notes what the peer has (input: its vector; options: its site, hex), then calls sync_maintain. */
void sl_leaf_step_maintain(void *step);
/* If this database's clock was ahead once: stamps anew what no peer is known to have. */
void sl_leaf_step_set_clock(void *step);

/* Waits for a socket, or without one (-1) for the time to pass. Ends when the caller is gone. */
typedef struct SlWait
{
	int socket;
	bool read;
	bool write;
	int timeout_ms;
	bool ready;					/* out; waiting may end early */
} SlWait;
void sl_leaf_wait(void *wait);

/* ---- sl_background.c: a leaf ----------------------------------------------------------------- */

/* Is there a reason not to wait for the peer any longer? Sets a bool. */
void sl_leaf_background_look(void *over);

/* ---- pg_session.cpp -------------------------------------------------------------------------- */

/* What a session is for. */
enum { SL_TASK_SYNC, SL_TASK_VERIFY, SL_TASK_REPAIR, SL_TASK_CLONE };

typedef struct SlSession
{
	int task;
	SlBytes url;
	SlBytes stored_options;		/* JSON; those of the peer, which `options` go over */
	SlBytes options;
	bool password_required;
	bool keep;					/* the connection, if the session goes well */
	/* out; they live until the next call */
	SlBytes report;				/* JSON */
	SlBytes peer_site;
	SlBytes peer_name;
	SlBytes peer_vector;
	int64_t clock_ahead_ms;
	bool pulls;
	bool pushes;
	char sqlstate[6];			/* of an error in this database; empty: the status's own */
} SlSession;

/*
 * Begins to connect to the peer, which starts a process meanwhile: before this process has a
 * database of its own. What goes wrong with the connection is told by slb_session.
 */
void slb_session_begin(const SlSession *session, SlStatus *status);
/* Runs a session with a PostgreSQL peer. Outside of any transaction. */
void slb_session(SlSession *session, SlStatus *status);
/*
 * On the connection that a session has kept: waits until the peer has news since the last wait on
 * it, or sl_leaf_background_look sets its bool. The first wait on a connection returns at once.
 */
void slb_session_await(SlStatus *status);
/* Closes the connection that a session has kept. Cannot fail. */
void slb_session_end(void);

/* The options of sync_start; `session`: those of its sessions. It lives until the next call. */
void slb_background_options(SlBytes options, int64_t *interval_ms, SlBytes *session,
							SlStatus *status);
/* How long to rest after so many failures in a row. */
int64_t slb_background_rest_ms(int64_t failures, int64_t interval_ms);

/* Checks the options of sync_clone. */
void slb_check_clone_options(SlBytes options, SlStatus *status);

/*
 * {"peer": name, ...report}; with an error {"peer": name, "error": error, "code": name of
 * sqlstate}, or {"peer": name, "skipped": error} without an sqlstate.
 */
SlBytes slb_peer_report(SlBytes name, SlBytes report, SlBytes sqlstate, SlBytes error);

#ifdef __cplusplus
}
#endif

#if defined(POSTGRES_H)

#include "nodes/pg_list.h"

typedef struct SlPeer
{
	char	   *name;			/* NULL: not a stored one */
	char	   *url;
	char	   *options;
	char	   *last_error;
	bool		resting;		/* it failed too often and too recently to be tried again */
	int			task;			/* SL_TASK_* */
	int64		interval_ms;	/* of a worker that stays; 0: it runs one session */
} SlPeer;

/* Raises unless a server can synchronise with what the URL names. */
extern void sl_refuse_url(const char *url);
/* Raises where no session can run. */
extern void sl_refuse_session(const char *function_name);
/* Runs a session with the peer of a name or URL, and returns its report. Raises. */
extern char *sl_session_with(const char *target, const char *options, int task);
/* Starts a worker and waits for what it reports; NULL and *error, if it failed. Raises. */
extern char *sl_run_worker(const SlPeer *peer, const char *options, ErrorData *error);
/* sl_clone.c: makes the tables of a plan and tracks them. In a transaction. Raises. */
extern void sl_clone_tables(SlBytes plan, SlBytes peer_site);
/* The stored peer of that name, or all of them (NULL). Raises if there is none of that name. */
extern List *sl_load_peers(const char *name);
/* The same for sync_start and sync_stop, with a hint that fits. */
extern SlPeer *sl_load_background_peer(const char *name);
/* Notes how a session with a stored peer ended: an error, or none (NULL). In a transaction. */
extern void sl_note_session(const char *name, const SlSession *session, const char *error);

/* What sync_now leaves in shared memory for its worker, followed by three texts. */
#define SL_SHARED_MAGIC 0x53594e43
enum
{
	SL_SHARED_HEAD, SL_SHARED_NAME, SL_SHARED_URL, SL_SHARED_STORED_OPTIONS, SL_SHARED_OPTIONS,
	SL_SHARED_QUEUE, SL_SHARED_COUNT
};

typedef struct SlShared
{
	Oid			database;
	Oid			login;			/* the session's role */
	Oid			role;			/* the role as which sync_now was called */
	int			caller_pid;
	bool		password_required;	/* of `role`, which is no superuser */
	int			task;
	int64		interval_ms;
} SlShared;

/* ---- sl_worker.c: what both kinds of worker do ----------------------------------------------- */

typedef struct SlWorker
{
	struct dsm_segment *segment;
	struct shm_toc *toc;
	const SlShared *shared;
} SlWorker;

/* Finds what the caller has left, and sends what is raised from now on to it. */
extern void sl_worker_attach(Datum argument, SlWorker *worker);
extern SlBytes sl_worker_text(const SlWorker *worker, uint64 key);
/* Enters the database, as the caller. */
extern void sl_worker_enter(const SlShared *shared, const char *application_name);
extern void sl_worker_report(SlBytes report);
/* From now on nothing goes to the caller, and it is not missed. */
extern void sl_worker_detach(SlWorker *worker);
/* Notes the outcome of a session: with the peer, if it has a name, and who has what. */
extern void sl_worker_note(const char *name, const SlSession *session, const char *error);

#endif

#endif
