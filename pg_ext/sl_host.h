/*
 * sl_host.h: what the C files of the extension share. Includes postgres.h first.
 */
#ifndef SL_HOST_H
#define SL_HOST_H

#include "postgres.h"

#include "fmgr.h"
#include "access/tupdesc.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "sl_bridge.h"
#include "sl_compat.h"

/* Where a row stands, as a number that is not 0. */
static inline uint64
sl_place_of(ItemPointer tid)
{
	return ((uint64) ItemPointerGetBlockNumber(tid) << 16) | ItemPointerGetOffsetNumber(tid);
}

static inline void
sl_tid_of(uint64 place, ItemPointer tid)
{
	ItemPointerSet(tid, (BlockNumber) (place >> 16), (OffsetNumber) (place & 0xffff));
}

/* ---- sl_guard.c ------------------------------------------------------------------------------ */

/* Raises what `status` says, the parked error if there is one. Returns only if it is ok. */
extern void sl_report(const SlStatus *status);
/* Forgets a parked error: its memory goes with the transaction. */
extern void sl_guard_forget(void);

/* ---- sl_init.c ------------------------------------------------------------------------------- */

/*
 * While true, the capture trigger of this backend skips. Falls back at the end of the transaction.
 */
extern bool sl_capture_off;

/* ---- sl_value.c ------------------------------------------------------------------------------ */

/* How values of one type convert. */
typedef enum SlConversion
{
	SL_CONV_BOOL,
	SL_CONV_INT2,
	SL_CONV_INT4,
	SL_CONV_INT8,
	SL_CONV_FLOAT4,
	SL_CONV_FLOAT8,
	SL_CONV_TEXT,				/* text, varchar, and json: bytes as they are */
	SL_CONV_BYTEA,
	SL_CONV_UUID,
	SL_CONV_DATETIME,			/* through the output function, ISO style, UTC */
	SL_CONV_FUNCTION			/* through the type's output and input functions */
} SlConversion;

typedef struct SlType
{
	Oid			type;			/* as declared */
	Oid			base;			/* without domains */
	int32		typmod;
	Oid			collation;
	SlConversion conversion;
	bool		domain;			/* input goes through the domain's checks */
	bool		settings;		/* its text depends on the session's settings */
	bool		byval;
	int16		length;
	FmgrInfo	out;			/* for DATETIME and FUNCTION */
	FmgrInfo	in;
	Oid			ioparam;
} SlType;

/* Prepares conversion; function lookups live in `context`. */
extern void sl_type_init(SlType *type, Oid typid, int32 typmod, Oid collation,
						 MemoryContext context);

/*
 * Converts a datum, which is not null. Bytes may point into it (so keep it), or are palloc'd.
 * Detoasts.
 */
extern void sl_to_value(SlType *type, Datum datum, SlValue *out);

/*
 * Converts a value, which is neither absent nor same, into a datum of the column's type. What the
 * type does not accept raises an error of class 22 or 23: call it through sl_try, or from a place
 * where the whole operation should fail.
 */
extern Datum sl_to_datum(SlType *type, const SlValue *value, bool *isnull);

/* The logical type name of a PostgreSQL type; palloc'd or constant. */
extern const char *sl_logical_type(Oid typid);

/* ---- sl_registry.c --------------------------------------------------------------------------- */

/*
 * A tracked table as this backend remembers it. Forgotten when its relation or the registry
 * changes; a pointer is good until the next call of sl_table_*, or as long as the relation stays
 * locked.
 */
#define SL_IGNORED (-1)			/* dropped or generated: does not travel */
#define SL_UNKNOWN (-2)			/* not in the registry (its event triggers were off) */
#define SL_LOCAL (-3)			/* never leaves this database: not captured, not overwritten */

typedef struct SlTable
{
	Oid			relid;			/* InvalidOid for a parked table */
	uint32		number;
	bool		valid;
	int			column_count;	/* columns of the registry */
	int			natts;			/* attributes of the relation */
	int32	   *column_of;		/* by attnum - 1: column number, SL_IGNORED or SL_UNKNOWN */
	int16	   *attnum_of;		/* by column number: attnum, or 0 */
	SlType	   *types;			/* by attnum - 1; of columns that are present */
	int			noted_count;	/* columns whose policies want to know what an update saw */
	int16	   *noted_attnums;
	int			key_count;
	int16		key_attnums[INDEX_MAX_KEYS];	/* in key order */
	Oid			key_index;		/* the primary key's index */
	Oid			state_relid;
	Oid			state_index;
	MemoryContext context;
} SlTable;

/* Finds by oid of the relation; NULL: not tracked. */
extern SlTable *sl_table_by_relid(Oid relid);
/* Finds by our number; an error if there is none. Parked tables have no relation. */
extern SlTable *sl_table_by_number(uint32 number);
/* Forgets everything: the registry was written. */
extern void sl_tables_forget(void);
/* At the end of a transaction: frees what was replaced. */
extern void sl_tables_release(void);
extern void sl_registry_relcache_callback(Datum unused, Oid relid);

/* The oid of a table or index of schema "syncline"; looked up in that schema only. */
extern Oid	sl_internal_relid(const char *relname);

/* ---- sl_site.c ------------------------------------------------------------------------------- */

/*
 * Begins an operation that folds or merges: refuses what cannot (isolation level, standby,
 * read-only transaction), settles the identity, locks the counter row to the end of the
 * transaction, and makes a snapshot that sees everything committed by then the active one.
 * sl_merge_end takes it away.
 */
extern void sl_merge_begin(const char *function_name);
extern void sl_merge_end(void);
/* Had rows been folded, when the operation began, since rows that are held were tried? */
extern bool sl_merge_retry_held(void);

/* Steps on, so that the active snapshot sees what this transaction has written. */
extern void sl_advance(void);

/* Forgets the open operation: the transaction, or the subtransaction that began it, is over. */
extern void sl_merge_forget(void);
extern void sl_merge_abort(SubTransactionId aborted);

/* Makes sure that there is a counter row of this database. */
extern void sl_site_ensure(void);

/* Folds, raising on error; call between sl_merge_begin and sl_merge_end. Returns rows folded. */
extern uint64 sl_fold(bool refuse_own);

/* Tries again to store every held row; an operation of its own. In the exchange's files. */
extern void sl_retry_held(void);

/* Switches to the owner of the bookkeeping and back. An abort switches back, too. */
typedef struct SlRole
{
	Oid			user;
	int			context;
	int			settings;		/* nest level; search_path is pg_catalog meanwhile */
} SlRole;
extern void sl_become_owner(SlRole *saved);
extern void sl_become_caller(const SlRole *saved);

/*
 * Runs SQL on the bookkeeping as its owner, with a fixed search_path, under the active snapshot and
 * whatever this transaction has written. `types` and `values` are its parameters. SPI must be
 * connected. Returns SPI_processed.
 */
extern uint64 sl_exec(const char *sql, int count, const Oid *types, const Datum *values,
					  const char *nulls);

/* One field of the last result of sl_exec: an integer (0: null), or bytes copied to `context`. */
extern int64 sl_result_int64(uint64 row, int column);
extern SlBytes sl_result_bytes(uint64 row, int column, MemoryContext context);

/* Arrays as parameters of sl_exec. */
extern Datum sl_int32_array(const int32_t *values, uint32 count);
extern Datum sl_int64_array(const int64_t *values, uint32 count);

/* ---- sl_identity.c --------------------------------------------------------------------------- */

/*
 * Takes a new site id because this database is a copy of the one that bears the old id: what has
 * dots keeps them, and is known. SPI must be connected.
 */
extern void sl_new_identity(void);
/*
 * Takes a new site id because the old one's dots may be used by another: what no peer is known to
 * have goes over to the new id. Call it between sl_merge_begin and sl_merge_end, after a fold.
 */
extern void sl_give_up_identity(void);
/*
 * Between sl_merge_begin and sl_merge_end: is something here further ahead of the clock than peers
 * accept? Then sl_give_up_identity stamps anew what it hands over.
 */
extern bool sl_clock_was_ahead(void);
/*
 * sl_give_up_identity as an operation of its own; it is undone if the caller's transaction is
 * rolled back.
 */
extern void sl_take_new_identity(const char *function_name);

/* ---- sl_trigger.c ---------------------------------------------------------------------------- */

/* Logs an insert of the row with this key (encode_key), as if it were written now. */
extern void sl_log_insert(uint32 number, SlBytes key);
/* Logs an update of some columns of every row of a tracked relation. */
extern void sl_log_update_all(Relation relation, int64 mask);

/* ---- sl_trackable.c -------------------------------------------------------------------------- */

/* Finds a table by what the caller wrote; an error with a hint if there is none. */
extern Oid	sl_find_relation(const char *name);
extern const char *sl_travel_name(const char *name);
/* Raises, with reason and hint, unless the relation can be tracked. */
extern void sl_refuse_untrackable(Relation relation);
/* The nearest of the names that a query gives; NULL: none is near. */
extern char *sl_nearest_name(const char *name, const char *sql);

/* ---- sl_argument.c --------------------------------------------------------------------------- */

/* Raises `message` (and `hint`, if any) if the argument is NULL. */
extern void sl_need_argument(FunctionCallInfo fcinfo, int number, const char *message,
							 const char *hint);
/* An argument of type jsonb; {} if it is NULL. */
extern Datum sl_options_argument(FunctionCallInfo fcinfo, int number);
/* An argument of type text, unpacked; empty, without data, if it is NULL or was left out. */
extern SlBytes sl_text_argument(FunctionCallInfo fcinfo, int number);

/* ---- sl_enable.c ----------------------------------------------------------------------------- */

#define SL_CAPTURE_TRIGGER "syncline_capture"
#define SL_TRUNCATE_TRIGGER "syncline_truncate"

/* The following need a connected SPI. */
/* Creates syncline.state_<number>. */
extern void sl_create_state_table(uint32 number);
/* Notes what columns show that no version says anything of: their defaults, if constant. */
extern void sl_note_defaults(Relation relation, uint32 number);
/*
 * Registers a column, or takes up the parked one of its name (and says so). position: in the key;
 * -1: none.
 */
extern bool sl_add_column(uint32 number, Form_pg_attribute attribute, int position);
/* A column's type with its modifier, schema-qualified. */
extern const char *sl_declared_type(Form_pg_attribute attribute);
/* Drops state, log entries, conflicts and registry entry of a table. */
extern void sl_untrack(uint32 number);
/* Runs statements on the schema as the bookkeeping's owner, unseen by our event triggers. */
extern void sl_exec_ddl(const char *sql);
/*
 * Opens a tracked table by the name that the caller wrote; an error if it is not tracked, or, with
 * `owned`, if the calling role does not own it.
 */
extern Relation sl_open_tracked(const char *name, LOCKMODE lock, bool owned, SlTable **table);

/* ---- sl_option.c ----------------------------------------------------------------------------- */

typedef struct SlEnableOptions
{
	const char *on_delete;		/* NULL: not said */
	List	   *local;			/* of char *: columns that stay in this database */
} SlEnableOptions;
/* Raises, naming what is unknown. */
extern void sl_read_enable_options(Datum jsonb, SlEnableOptions *options);
/* Inside an operation, with SPI connected, on a relation just registered. */
extern void sl_apply_enable_options(Relation relation, uint32 number,
									const SlEnableOptions *options);

/* ---- sl_arrival.c ---------------------------------------------------------------------------- */

/* Keys of rows of state with a position beyond `begin`, and maybe of some others. */
typedef struct SlArrivals SlArrivals;
extern SlArrivals *sl_arrivals_open(uint32 table, int64 begin);
/* The key stands until the next call. */
extern bool sl_arrivals_next(SlArrivals *arrivals, SlBytes *key);
extern void sl_arrivals_close(SlArrivals *arrivals);
/* Lists rows that were just written to state, or changed without it. Inside a merge. */
extern void sl_arrivals_add(uint32 table, const SlStateRow *rows, uint32 count);
extern void sl_arrivals_settle(uint32 table);
/* How many rows of state are not listed: no exchange would send them. SPI must be connected. */
extern int64 sl_arrivals_missing(uint32 table);
extern void sl_arrivals_list_anew(uint32 table);

/* ---- sl_member.c ----------------------------------------------------------------------------- */

/* Both inside a merge, after a fold. Enters this site among the sites, or says anew what it is. */
extern void sl_register_site(void);
/* The same if it tracks a table and is not there. */
extern void sl_member_ensure(void);

/* ---- sl_policy.c ----------------------------------------------------------------------------- */

/*
 * Makes a column local, with the reason why not as an error. Inside an operation, with SPI
 * connected and the relation locked.
 */
extern void sl_make_local(Relation relation, uint32 number, const char *column);

/* ---- sl_setting.c ---------------------------------------------------------------------------- */

/* Is the setting of this key about a table? */
extern bool sl_is_policy(SlBytes key);

/* ---- sl_event.c ------------------------------------------------------------------------------ */

/* Remembers to NOTIFY sync_conflict with this id when the transaction commits. */
extern void sl_notify_add(SlBytes id);
/* For the callbacks of sl_init.c. */
extern void sl_notify_send(void);
extern void sl_notify_forget(void);
extern void sl_notify_subend(SubTransactionId current, SubTransactionId parent, bool aborted);

/* ---- sl_fill.c ------------------------------------------------------------------------------- */

extern void sl_fill_column(uint32 number, uint32 column);

/* ---- sl_ddl.c -------------------------------------------------------------------------------- */

/* While true, the event triggers of this backend skip. */
extern bool sl_ddl_off;

#endif
