/*
 * sl_log.h: syncline.log, as capture writes it and the fold reads it.
 */
#ifndef SL_LOG_H
#define SL_LOG_H

/* Its columns. form_entry in sl_log.c lays them out itself. */
enum
{
	SL_LOG_MASK = 1, SL_LOG_CLOCK, SL_LOG_LSN, SL_LOG_TBL, SL_LOG_OP, SL_LOG_KEY, SL_LOG_IMAGE,
	SL_LOG_ORIGIN
};
#define SL_LOG_COLUMNS SL_LOG_ORIGIN

enum
{
	SL_OP_INSERT, SL_OP_UPDATE, SL_OP_DELETE
};

#define SL_NO_IMAGE ((SlBytes) {NULL, 0})

/* Masks of the core (syncline/fold.h): everything; some column from number 62 on. */
#define SL_MASK_ALL INT64CONST(-1)
#define SL_MASK_MANY (INT64CONST(1) << 62)
#define SL_MASK_COLUMNS 62

/* The bit of a column. */
static inline int64
sl_mask_of(int32 column)
{
	return column < SL_MASK_COLUMNS ? INT64CONST(1) << column : SL_MASK_MANY;
}

/* Adds an entry of whoever the session says it is. Both are copied. image.data NULL: none. */
extern void sl_log_append(uint32 table, int op, int64 mask, SlBytes key, SlBytes image);
/*
 * Adds an entry with an origin of its own (JSON), later than all that this transaction has logged
 * and all that has been merged. Inside an operation.
 */
extern void sl_log_decision(uint32 table, int op, int64 mask, SlBytes key, SlBytes image,
							SlBytes origin);
/* Writes what has gathered: call it before reading the log. */
extern void sl_log_flush(void);

/* ---- sl_log_turn.c: two logs take turns ------------------------------------------------------ */

struct RelationData;

/* Numbers from 1 on. */
#define SL_LOGS 2
extern Oid	sl_log_relid(int number);
/* A log that is open, locked as writers lock it to the end of the transaction. */
extern struct RelationData *sl_log_open_to_write(void);
/* No fold need read it. */
extern bool sl_log_is_closed(int number);
/*
 * An operation begins, whose row of syncline.self is locked and says which log is closed: opens
 * that one if it has become short, or keeps writers out of one that the fold may close. Before the
 * operation has its snapshot.
 */
extern void sl_log_begin(int closed);
/* All that the snapshot sees in logs that are open has been taken out. */
extern void sl_log_consumed(void);
extern void sl_log_turn_relcache_callback(Datum unused, Oid relid);

/* ---- sl_log_sort.c: entries in the order in which they are folded ---------------------------- */

typedef struct SlLogSort SlLogSort;
struct TupleTableSlot;

/* Lives in the current memory context. */
extern SlLogSort *sl_log_sort_begin(void);
/* Takes an entry of the log as it stands there. */
extern void sl_log_sort_add(SlLogSort *sort, struct TupleTableSlot *entry);
/* All are there: sorts them. */
extern void sl_log_sort_perform(SlLogSort *sort);
/* False: there are no more. Its bytes stay until the current context is reset, or the sort ends. */
extern bool sl_log_sort_next(SlLogSort *sort, SlLogEntry *entry);
extern void sl_log_sort_end(SlLogSort *sort);

/* ---- the ends of transactions: for the callbacks of sl_init.c -------------------------------- */


extern void sl_log_before_commit(void);
extern void sl_log_before_subcommit(SubTransactionId current);
extern void sl_log_subabort(SubTransactionId current);
extern void sl_log_forget(void);

/* ---- sl_origin.c ----------------------------------------------------------------------------- */

/* Said by the session: sync_set_actor, sync_set_context. */
extern bool sl_origin_said;
/* The number in syncline.origin of what the session says; writes it when it is first asked. */
extern int64 sl_origin_current(void);
/* Writes an origin; returns its number. */
extern int64 sl_origin_add(SlBytes text);
/* Who decides here: the actor, if the session has named one, else its role. palloc'd. */
extern char *sl_origin_actor(void);
extern const char *sl_origin_context(void);
/* The origins written so far have been consumed, or their (sub)transaction is over. */
extern void sl_origin_forget(void);
extern void sl_origin_subend(SubTransactionId current, SubTransactionId parent, bool aborted);

#endif
