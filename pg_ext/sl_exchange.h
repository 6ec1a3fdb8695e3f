/*
 * sl_exchange.h: the C ABI of exporting and applying; sl_bridge.h has the rest and the rules.
 *
 *   sl_base.c           base rows of one table: opening, finding by key, locking, reading
 *   sl_store.c          base rows: writing, with every constraint asked first
 *   sl_foreign.c        rows whose foreign keys point to nothing
 *   sl_scan.c           keys of rows that may have news
 *   sl_exchange.c       what an exchange leaves behind: incoming, knowledge, contexts; held rows
 *   sl_apply.c          sync_apply, sync_inspect, sync_changes: SQL functions
 *   sl_export.c         sync_changes_since
 *   sl_peer.c           sync_add_peer, sync_remove_peer; what a session leaves in syncline.peer
 *   sl_now.c            sync_now, and the worker that runs it
 *   pg_port.h, .cpp     Port over these leaves
 *   pg_exchange.cpp     applying, exporting and inspecting, for C
 *   pg_session.cpp      one session: this database and a PostgreSQL peer
 */
#ifndef SL_EXCHANGE_H
#define SL_EXCHANGE_H

#include "sl_bridge.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- sl_base.c ------------------------------------------------------------------------------- */

/*
 * Opens the base table of our table `number` for reading, or for writing too, and checks that the
 * calling role may do that to all of its rows and columns. It stays open until
 * sl_leaf_base_close(base); a transaction that fails closes it.
 */
typedef struct SlBaseOpen
{
	uint32_t number;
	bool write;
	void *base;					/* out */
} SlBaseOpen;
void sl_leaf_base_open(void *open);
void sl_leaf_base_close(void *base);

/*
 * Names the rows that the following calls are about: converts `keys` (each the values of the key
 * columns) from number `next` on. May raise at any key, `next` being its number: run it with
 * sl_try, say sl_base_unfit, and go on. A key that the column types cannot hold has no row.
 */
typedef struct SlBaseKeys
{
	void *base;
	uint32_t count;
	const SlValue *const *keys;
	uint32_t next;
} SlBaseKeys;
void sl_leaf_base_keys(void *keys);
/* Notes that key number `index` fits no row. Never raises. */
void sl_base_unfit(void *base, uint32_t index);

/*
 * Finds the rows under the active snapshot. With `lock`, locks them against other writers first;
 * `again` then says that a row was locked in a version that the snapshot may not see: the caller
 * takes a new snapshot and calls again. Waits no longer than lock_timeout.
 * Fills values[i] (by column number) of rows that exist, and stored[i].
 */
typedef struct SlBaseRead
{
	void *base;
	bool lock;
	bool again;					/* out */
	SlValue **values;			/* the caller's; each as long as the table has columns */
	bool *stored;				/* the caller's */
	/*
	 * Where the rows may be, or 0, from sl_leaf_keys_next; or null. Looked at first, without the
	 * index.
	 */
	const uint64_t *places;
} SlBaseRead;
void sl_leaf_base_read(void *read);

/*
 * Makes the active snapshot see our own writes and, if any transaction has ended since the last
 * call, everything committed by now.
 */
typedef struct SlFresh
{
	uint64_t completions;		/* how many had ended then; 0 at first */
	bool taken;					/* out: the snapshot is another: the log has to be folded */
} SlFresh;
void sl_leaf_fresh_snapshot(void *fresh);

/* ---- sl_store.c ------------------------------------------------------------------------------ */

enum { SL_WRITE_NONE, SL_WRITE_INSERT, SL_WRITE_UPDATE, SL_WRITE_ERASE };
enum { SL_OUTCOME_OPEN, SL_OUTCOME_STORED, SL_OUTCOME_REFUSED };

typedef struct SlWrite
{
	int32_t action;
	uint32_t row;				/* number of its key in the last sl_leaf_base_keys */
	int32_t outcome;			/* out */
	const SlValue *values;		/* by column number; insert: absent ones take their default */
	const uint32_t *changed;	/* update: the columns to set */
	uint32_t changed_count;
	bool unique;				/* out: refused because of other rows, not of this one's values */
	char reason[200];			/* out: names constraint or column, no value */
	SlBytes rival;				/* out: encode_key of the row that stands in the way, or empty */
	const uint32_t *claimed;	/* out: columns of the key that both claim */
	uint32_t claimed_count;
} SlWrite;

/*
 * Writes base rows, in two steps. Rows to be updated or deleted were found and locked by the last
 * sl_leaf_base_read. Both steps go from row `first` up to `end`, skip rows whose outcome is
 * decided, and may raise at any row, `next` being its number: they run in sl_try.
 *
 * sl_leaf_write_prepare converts values, computes defaults and generated columns, and asks NOT NULL
 * and CHECK. sl_leaf_write_apply asks unique and exclusion constraints, then writes.
 */
typedef struct SlWriteBatch
{
	void *base;
	uint32_t count;
	SlWrite *writes;
	uint32_t first;
	uint32_t end;
	uint32_t next;
	bool ask_only;				/* inserts: ask the constraints, and write nothing */
	bool raced;					/* out: a row appeared that the snapshot does not see */
} SlWriteBatch;
void sl_leaf_write_begin(void *batch);
void sl_leaf_write_prepare(void *batch);
void sl_leaf_write_apply(void *batch);
/* Says in which column or constraint row `next` failed, from what sl_try caught. Never raises. */
void sl_write_refuse(SlWriteBatch *batch, const SlFailure *failure);

/* ---- sl_foreign.c ---------------------------------------------------------------------------- */

typedef struct SlRef
{
	uint32_t table;
	SlBytes key;				/* encode_key */
	SlBytes reason;				/* constraint, for what is found */
} SlRef;

/*
 * Finds rows whose foreign keys point to nothing, and locks the parents of those that point to
 * something: `written` rows as children; rows that refer to what is gone, for tables that `removed`
 * names. Finds children in any tracked table.
 */
typedef struct SlDangling
{
	const SlRef *written;
	uint32_t written_count;
	const SlRef *removed;
	uint32_t removed_count;
	const SlRef *found;			/* out */
	uint32_t found_count;
} SlDangling;
void sl_leaf_find_dangling(void *dangling);

/* What TableInfo says about foreign keys, for each tracked table that has to do with any. */
typedef struct SlReference
{
	uint32_t number;
	bool refers;
	bool referred;
	const uint32_t *columns;	/* beside the primary key, that foreign keys refer to */
	uint32_t column_count;
} SlReference;
/* A foreign key between tracked tables that refers to exactly the parent's primary key. */
typedef struct SlForeignKey
{
	uint32_t child;
	uint32_t parent;
	char action;				/* on delete: FKCONSTR_ACTION_... */
	const uint32_t *columns;	/* the child's, in the order of the parent's key */
	uint32_t column_count;
} SlForeignKey;
typedef struct SlReferences
{
	const SlReference *list;
	uint32_t count;
	const SlForeignKey *keys;
	uint32_t key_count;
} SlReferences;
void sl_leaf_references(void *references);

/* ---- sl_scan.c ------------------------------------------------------------------------------- */

/* The position after which there may be news for a holder of `since` (seq by site index). */
typedef struct SlScanBegin
{
	const int64_t *since;
	uint32_t since_count;
	int64_t begin;				/* out */
} SlScanBegin;
void sl_leaf_scan_begin(void *begin);

/*
 * Keys of one table, in no order, some of them twice: of rows with state beyond position `begin`,
 * and with `base` of all base rows. sl_leaf_keys_next gives up to `count_max` at a time, none at
 * the end; they live until the next call.
 */
typedef struct SlKeys
{
	uint32_t number;
	int64_t begin;
	void *base;					/* from sl_leaf_base_open: all base rows, too; null: no */
	uint32_t count_max;
	void *stream;
	const SlBytes *keys;
	const uint64_t *places;		/* of base rows, others 0 */
	uint32_t count;
} SlKeys;
void sl_leaf_keys_open(void *keys);
void sl_leaf_keys_next(void *keys);
void sl_leaf_keys_close(void *keys);

/*
 * Up to `count_max` keys behind `after` of rows whose state has more than one plain version, in key
 * order.
 */
typedef struct SlContested
{
	uint32_t number;
	SlBytes after;				/* empty: from the first */
	uint32_t count_max;
	const SlBytes *keys;		/* out */
	uint32_t count;
} SlContested;
void sl_leaf_contested(void *contested);

/* ---- sl_exchange.c --------------------------------------------------------------------------- */

typedef struct SlIncoming
{
	int32_t site;				/* the sender; -1 in a list: the end */
	bool open;
	SlBytes token;
	int64_t begin;
} SlIncoming;
void sl_leaf_load_incoming(void *incoming);
void sl_leaf_save_incoming(void *incoming);	/* not open: forgets it */

typedef struct SlIncomings
{
	const SlIncoming *list;
	uint32_t count;
} SlIncomings;
void sl_leaf_list_incoming(void *incomings);

/* What is known of other sites, and contexts that come and go. */
typedef struct SlKnowledge
{
	const SlVectorRow *vector;
	uint32_t vector_count;
	const SlContextRow *contexts_new;
	uint32_t contexts_new_count;
	const int64_t *contexts_gone;
	uint32_t contexts_gone_count;
} SlKnowledge;
void sl_leaf_save_knowledge(void *knowledge);

typedef struct SlRefs
{
	const SlRef *refs;
	uint32_t count;
} SlRefs;
/* Rows kept out of present base tables, oldest first. */
void sl_leaf_list_held(void *refs);

/* ---- sl_apply.c ------------------------------------------------------------------------------ */

/* sync_apply as a leaf. An operation of its own; `report` is JSON. */
typedef struct SlApply
{
	SlBytes chunk;
	SlBytes options;
	SlBytes report;				/* out */
} SlApply;
void sl_leaf_apply(void *apply);

/* One line of sync_inspect and sync_changes; data null: SQL null. */
typedef struct SlChange
{
	void *target;				/* as passed to slb_inspect or slb_changes */
	SlBytes table_name;
	SlBytes pk_json;
	SlBytes column_name;
	SlBytes value_json;
	SlBytes site;
	int64_t seq;
	int64_t hlc;
	int64_t ms;					/* of the hlc, since the Unix epoch */
} SlChange;
void sl_leaf_put_change(void *change);

/* ---- pg_exchange.cpp, pg_session.cpp: C++ for C ---------------------------------------------- */

/*
 * All of these work inside an operation begun by sl_merge_begin. Results live until the next call
 * of the same function.
 */

/* Applies a chunk. Returns the report as JSON. */
SlBytes slb_apply(SlBytes chunk, SlBytes options, SlStatus *status);
/* Whether the chunk applied last was the last of its exchange. */
bool slb_apply_completed(void);
/* Tries again to store held rows. */
void slb_retry_held(SlStatus *status);

typedef struct SlChunk
{
	SlBytes bytes;
	int64_t number;
	int64_t row_count;
	bool last;
} SlChunk;
/* Makes one chunk. `position` says where to go on; empty at first, then *next of the last call. */
void slb_export(SlBytes vector, SlBytes options, SlBytes position, SlChunk *chunk, SlBytes *next,
				SlStatus *status);

/* Pass each line to sl_leaf_put_change. */
void slb_inspect(SlBytes chunk, void *target, SlStatus *status);
void slb_changes(void *target, SlStatus *status);

/* The URL without its password. */
SlBytes slb_mask_url(SlBytes url);
bool slb_is_postgres_url(SlBytes url);
/* Checks the options of sync_now. */
void slb_check_session_options(SlBytes options, SlStatus *status);

#ifdef __cplusplus
}
#else

/*
 * sl_apply.c: sl_merge_begin and a fold. Where a local write may have made room for rows that
 * constraints keep out, those are tried again first: two sites that have exchanged everything hold
 * the same rows.
 */
extern void sl_merge_begin_settled(const char *function_name);
/* The same after a decision, which is folded already. */
extern void sl_settle_decision(void);
/* Local writes were folded: the next session tries held rows again, if there are any. */
extern void sl_note_folded(void);
/*
 * sl_export.c: the next chunk, an operation of its own. *chunk and *next live until the next call.
 * Raises.
 */
extern void sl_export_chunk(SlBytes vector, SlBytes options, SlBytes position, SlChunk *chunk,
							SlBytes *next);
#endif

#endif
