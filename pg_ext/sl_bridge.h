/*
 * sl_bridge.h: the C ABI between the PostgreSQL side (sl_*.c) and the C++ side (*.cpp).
 *
 * Plain data only. C++ never sees postgres.h, C never sees the core. Three kinds of function:
 *
 *   sl_leaf_*(void *argument)  C. Work on one plain struct; may ereport. C++ calls them only
 *                              through sl_guard, which turns the error into a return code and
 *                              parks it.
 *   sl_guard, sl_try           C. The only places where a longjmp is caught for C++.
 *   slb_*                      C++. Never throw, never raise: what goes wrong is in an SlStatus. C
 *                              passes it to sl_report, which raises it (the parked error as
 *                              it was).
 *
 * Which file does what:
 *
 *   sl_guard.c          setjmp boundary, parked errors, SlStatus -> ereport with SQLSTATE
 *   sl_init.c           _PG_init, settings, transaction and relcache callbacks
 *   sl_value.c          Datum <-> SlValue by column type; logical type names
 *   sl_origin.c         who writes, as the session says it
 *   sl_event.c          what happened to conflicts; NOTIFY
 *   sl_option.c         the options of sync_enable
 *   sl_registry.c       tables and columns of the registry, cached by number and by oid
 *   sl_log.c, .h        writing the log, in bulk
 *   sl_log_turn.c       which of the two logs is written, and which are read
 *   sl_news.c, .h       waiting until something happens here: syncline.await_change
 *   sl_trigger.c        capture: row trigger, TRUNCATE trigger, restored dumps
 *   sl_site.c           the counter row, its lock, snapshots; leaves that load the site
 *   sl_identity.c       which database this is; taking a new id
 *   sl_setting.c        settings that all sites share: policies
 *   sl_state.c          reading and writing state rows
 *   sl_fold.c           the log as a sorted stream; existence of base rows
 *   sl_conflict.c       writing conflict records
 *   sl_trackable.c      finding a table; what cannot be tracked, and why
 *   sl_enable.c         sync_enable, sync_disable, state tables, parking
 *   sl_ddl.c            event triggers
 *   sl_fill.c           values that waited for a column
 *   sl_sql.c            sync_site_id and the other small SQL functions
 *   bridge.cpp          keys and images for capture; statuses
 *   pg_site.h, .cpp     SiteState and TableInfo from the leaves; conflicts; hello
 *   pg_fold.cpp         the fold
 *   pg_identity.cpp     versions under a new site id
 *   sl_decide.h and the files that include it: policies, decisions, explanations
 *   sl_melting.h and the files that include it: metadata that melts; sites
 *   sl_exchange.h and the files that include it: fetch, store, scan, export, apply, inspect,
 *                       sessions (their own header, so that this one stays short)
 *
 * Memory: what a leaf returns lives in the memory context that was current when the operation began
 * (sl_guard restores it), until the operation ends. What C++ passes to a leaf lives until the leaf
 * returns.
 */
#ifndef SL_BRIDGE_H
#define SL_BRIDGE_H

#if defined(__cplusplus) && defined(POSTGRES_H)
#error "postgres.h and C++ must not meet: include sl_bridge.h only"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Laid out as syncline::Value, kinds numbered as ValueKind. */
enum { SL_ABSENT, SL_NULL, SL_INTEGER, SL_REAL, SL_TEXT, SL_BLOB, SL_SAME };

typedef struct SlValue
{
	union
	{
		int64_t integer;
		double real;
		const char *data;
	} u;
	uint32_t size;
	uint8_t kind;
} SlValue;

typedef struct SlBytes
{
	const char *data;
	size_t size;
} SlBytes;

/* A syncline::Status in fixed space. `code` is a StatusCode, of which C files know these. */
enum
{
	SL_OK = 0, SL_INVALID_ARGUMENT = 1, SL_IDENTITY = 8, SL_REFUSED = 10, SL_CANCELLED = 12,
	SL_HOST_FAILED = 13
};

typedef struct SlStatus
{
	int code;
	char message[512];
	char hint[256];
} SlStatus;

/* The core's limits of these names. */
#define SL_COLUMNS_MAX 32767
#define SL_LABEL_BYTES_MAX 1024
#define SL_CONTEXT_BYTES_MAX 65536

/* ---- sl_guard.c ------------------------------------------------------------------------------ */

/*
 * Runs leaf(argument). Returns 0, or 1 after an error, which is then parked; the caller must return
 * StatusCode::host_failed up to its C entry point, since the transaction is no longer usable.
 */
int sl_guard(void (*leaf) (void *), void *argument);

/* Why sl_try failed. */
typedef struct SlFailure
{
	char sqlstate[6];
	char message[256];			/* names no values */
	char constraint[64];
	char column[64];
} SlFailure;

/*
 * Runs leaf(argument) in a subtransaction. Returns 0; 1 after an error, which is rolled back and
 * described in *failure; 2 after one that must not be swallowed (cancel, shutdown, out of memory):
 * it is parked as by sl_guard.
 */
int sl_try(void (*leaf) (void *), void *argument, SlFailure *failure);

/* ---- sl_site.c: the site --------------------------------------------------------------------- */

typedef struct SlSiteRow
{
	uint8_t id[16];
} SlSiteRow;

typedef struct SlVectorRow
{
	int32_t site;
	int64_t seq;
	int64_t hlc;
} SlVectorRow;

typedef struct SlContextRow
{
	int64_t id;
	SlBytes vector;
	int64_t begin;				/* position when the exchange that made it began; when saved */
} SlContextRow;

/* A setting that all sites share; of the core's settings.h. */
typedef struct SlSettingRow
{
	SlBytes key;
	SlBytes value;
	int64_t hlc;
	uint8_t site[16];
} SlSettingRow;

/*
 * The counters of syncline.self while an operation has them locked: sl_merge_begin reads them,
 * folds and merges advance them in place, sl_merge_end writes them back. Never null, never raises.
 */
typedef struct SlCounters
{
	int64_t next_seq;			/* of our next change */
	int64_t position;			/* of the last row folded or applied */
	int64_t floor;				/* greatest hlc seen */
	int64_t next_context;
	int64_t own_hlc;			/* of the change next_seq - 1: the last mark */
} SlCounters;
SlCounters *sl_counters(void);

/* sl_leaf_load_site fills all of it. A site's index is its position in `sites`. */
typedef struct SlSite
{
	int32_t self;
	SlBytes name;
	SlCounters counters;
	int64_t now_ms;
	int64_t random;
	const SlSiteRow *sites;
	uint32_t site_count;
	const SlVectorRow *vector;	/* other sites only */
	uint32_t vector_count;
	const SlContextRow *contexts;
	uint32_t context_count;
	const SlSettingRow *settings;
	uint32_t setting_count;
	SlBytes melted;				/* a vector as append_vector has it; empty: nothing */
} SlSite;
void sl_leaf_load_site(void *site);

/* Stores sites number `first` and following. */
typedef struct SlAddSites
{
	int32_t first;
	const SlSiteRow *sites;
	uint32_t count;
} SlAddSites;
void sl_leaf_add_sites(void *add);

/* Does our own history have this hlc at this seq? If so, remembers that it is shared. */
typedef struct SlRecognise
{
	int64_t seq;
	int64_t hlc;
	bool yes;
} SlRecognise;
void sl_leaf_recognise(void *recognise);

/*
 * Adds to syncline.growth and, for our own site (mark_hlc > 0), to syncline.mark and the counters.
 */
typedef struct SlGrowth
{
	int32_t site;
	int64_t seq;
	int64_t begin;
	int64_t mark_hlc;
} SlGrowth;
void sl_leaf_add_growth(void *growth);

/* ---- sl_registry.c: tables ------------------------------------------------------------------- */

typedef struct SlColumnDef
{
	SlBytes name;
	SlBytes type;
	bool present;
	bool dropped;
	int32_t key_position;		/* -1: not part of the key */
	SlBytes missing;			/* slb_encode_value of ColumnInfo::missing; no bytes: null */
} SlColumnDef;

typedef struct SlTableDef
{
	uint32_t number;
	SlBytes name;
	bool present;
	int32_t baseline_site;
	int64_t baseline_seq;
	int64_t baseline_context;
	const SlColumnDef *columns;
	uint32_t column_count;
	const uint32_t *parents;	/* numbers of the tables that foreign keys point to */
	uint32_t parent_count;
} SlTableDef;

typedef struct SlTables
{
	const SlTableDef *tables;	/* by number */
	uint32_t count;
} SlTables;
void sl_leaf_load_tables(void *tables);

/*
 * Registers a parked table (number 0: a new one, whose number is returned) or appends parked
 * columns to a table. Column numbers follow those there are.
 */
typedef struct SlPark
{
	uint32_t number;
	SlBytes name;
	const SlColumnDef *columns;
	uint32_t column_count;
} SlPark;
void sl_leaf_park(void *park);

/* ---- sl_setting.c: what all sites share ------------------------------------------------------ */

/* Stores settings in place of what their keys had. What is remembered of tables is forgotten. */
typedef struct SlSettings
{
	const SlSettingRow *rows;
	uint32_t count;
} SlSettings;
void sl_leaf_save_settings(void *settings);

/* ---- sl_state.c: row state ------------------------------------------------------------------- */

#define SL_STATE_DEAD 1			/* a flag: the row is a tombstone */

/* One row of syncline.state_<n>. `cells` and `key` are bytes of the core. */
typedef struct SlStateRow
{
	SlBytes key;
	int64_t seq;
	int64_t hlc;
	int64_t context;
	int64_t pos;
	SlBytes cells;
	int32_t site;
	int32_t flags;
	uint64_t place;				/* where the row stands, from sl_leaf_state_read; 0: nowhere */
} SlStateRow;

/*
 * Fills rows[i] for keys[i]; place 0 where there is none. Keys should be sorted. The caller may set
 * known_empty to skip the look: what it has written itself since then must not be asked for.
 */
typedef struct SlStateRead
{
	uint32_t table;
	uint32_t count;
	const SlBytes *keys;
	SlStateRow *rows;			/* the caller's, `count` long */
	bool known_empty;			/* in, and out: there was no state at all */
} SlStateRead;
void sl_leaf_state_read(void *read);

/* Writes rows: place 0 inserts, otherwise replaces what sl_leaf_state_read found there. */
typedef struct SlStateWrite
{
	uint32_t table;
	uint32_t count;
	const SlStateRow *rows;
} SlStateWrite;
void sl_leaf_state_write(void *write);

/* The keys of rows with a position beyond `begin`. */
typedef struct SlKeysBeyond
{
	uint32_t table;
	int64_t begin;
	const SlBytes *keys;		/* out */
	uint32_t count;
} SlKeysBeyond;
void sl_leaf_keys_beyond(void *keys);

/* ---- sl_conflict.c --------------------------------------------------------------------------- */

typedef struct SlConflict
{
	bool opened;				/* false: close the open conflict of this id */
	bool winner_is_local;
	uint32_t table;
	SlBytes table_name;
	SlBytes id;
	SlBytes key;
	SlBytes pk_json;
	SlBytes column;				/* data null: the row */
	SlBytes kind;
	SlBytes winner_json;
	SlBytes loser_json;
	SlBytes winner_site;		/* hex */
	SlBytes loser_site;
	int64_t winner_ms;			/* Unix epoch; 0: unknown */
	int64_t loser_ms;
	SlBytes shown_json;			/* of these, empty: none */
	SlBytes base_json;
	SlBytes policy;
	SlBytes severity;
	double confidence;
	SlBytes winner_actor;
	SlBytes loser_actor;
	SlBytes reopens;
	SlBytes note;				/* data null: none */
	/* how it was settled; empty: unknown */
	SlBytes how;
	SlBytes by;
	SlBytes choice;
	int64_t settled_ms;
} SlConflict;

typedef struct SlConflicts
{
	const SlConflict *records;
	uint32_t count;
} SlConflicts;
void sl_leaf_record_conflicts(void *conflicts);

/* The open conflicts of one row: ids, and column names (data null: the row). */
typedef struct SlOpenConflicts
{
	uint32_t table;
	SlBytes key;
	const SlBytes *ids;			/* out */
	const SlBytes *columns;		/* out */
	uint32_t count;
} SlOpenConflicts;
void sl_leaf_open_conflicts(void *open);

/* ---- sl_fold.c: what the fold reads ---------------------------------------------------------- */

typedef struct SlLogEntry
{
	uint32_t table;
	int32_t op;					/* 0 insert, 1 update, 2 delete */
	int64_t mask;
	int64_t clock;
	SlBytes key;
	SlBytes image;				/* data null: none */
	int64_t origin;				/* a number of SlLog.origins; 0: nobody said */
} SlLogEntry;

typedef struct SlOrigin
{
	int64_t number;
	SlBytes text;
} SlOrigin;

/*
 * The log as the active snapshot sees it, consumed and sorted by table, key and time of writing.
 * sl_leaf_log_open takes every visible entry out of the log. sl_leaf_log_next gives up to
 * `count_max` further entries; they live until the next call.
 */
typedef struct SlLog
{
	uint64_t entry_count;
	bool own_entries;			/* some were written by this very transaction */
	const SlOrigin *origins;	/* consumed with the entries */
	uint32_t origin_count;
	void *stream;
	uint32_t count_max;
	const SlLogEntry *entries;
	uint32_t count;
} SlLog;
void sl_leaf_log_open(void *log);
void sl_leaf_log_next(void *log);
void sl_leaf_log_close(void *log);

/*
 * Says which keys the base table holds, bytewise, under the active snapshot; where values[i] is not
 * null, also reads the row into it (column_count values by column number).
 */
typedef struct SlProbe
{
	uint32_t table;
	uint32_t count;
	const SlBytes *keys;
	bool *exists;
	SlValue **values;			/* may be null */
	uint32_t column_count;
} SlProbe;
void sl_leaf_probe(void *probe);

/* ---- sl_host: what every operation does ------------------------------------------------------ */

/* Replaces the active snapshot by one that sees everything committed by now. */
void sl_leaf_new_snapshot(void *unused);
/* CHECK_FOR_INTERRUPTS. */
void sl_leaf_check_interrupt(void *unused);

/* ---- pg_policy.cpp: policies and origins ----------------------------------------------------- */

/* What the session says of itself, as an origin: JSON. Lives until the next call. */
SlBytes slb_origin_text(SlBytes actor, SlBytes context, SlStatus *status);
/* Sets noted[c] for columns whose policies need to know what an update saw. */
void slb_noted_columns(const SlTableDef *table, const SlSettingRow *settings, uint32_t count,
					   bool *noted, SlStatus *status);
/* Stores for a column, or with none for a table, what was set under its old name. */
void slb_rename_policies(SlBytes table, SlBytes column, SlBytes new_name, SlStatus *status);

/* ---- bridge.cpp, pg_fold.cpp, pg_site.cpp: C++ for C ----------------------------------------- */

/* Bytes that are sorted, the first of them as numbers that compare like them. */
typedef struct SlSorted
{
	uint64_t	head[2];
	const char *bytes;
	uint32_t	size;
} SlSorted;

/* Sorts bytewise; what is the beginning of another comes first. Cannot fail. */
void slb_sort(SlSorted *list, size_t count);

/*
 * encode_key of `count` values. The result lives until the next call. Data null: out of memory.
 */
SlBytes slb_encode_key(const SlValue *key, uint32_t count);
/*
 * Decodes a key into `values` (of `count_max`), whose bytes live until the next call. Returns the
 * number of values, or -1 if the bytes do not decode.
 */
int32_t slb_decode_key(SlBytes key, SlValue *values, uint32_t count_max);
/*
 * Encodes a row's image: pairs of column number and value. The result lives until the next call.
 * Data null: out of memory.
 */
SlBytes slb_encode_image(const SlValue *values, const uint32_t *columns, uint32_t count);
/* The same for a value alone. */
SlBytes slb_encode_value(const SlValue *value);

/*
 * Folds what the active snapshot sees of the log. REQUIRES: the counter row is locked. With
 * refuse_own, entries of this very transaction are an error (refused).
 */
void slb_fold(bool refuse_own, uint64_t *row_count, SlStatus *status);

/* Forgets lists of keys that this session keeps: the transaction that made them is rolled back. */
void slb_forget_plans(void);

/* Moves a random site id to where our own stands among those known (core site_id_beside). */
void slb_id_beside(uint8_t id[16], SlStatus *status);

/*
 * Gives versions of site `from` beyond seq `after` to site `to`, in rows beyond position `begin`.
 */
void slb_relabel(int32_t from, int64_t after, int32_t to, int64_t latest, int64_t begin,
				 SlStatus *status);

/*
 * What a merge shows in one column of rows with these states: absent or same where state has
 * nothing to add to the base row. Bytes live until the next call.
 */
void slb_shown_values(uint32_t table, uint32_t column, const SlStateRow *rows, uint32_t count,
					  SlValue *values, SlStatus *status);
/* Records a conflict: this value of the column does not fit, for a reason that names no value. */
void slb_note_unfit(uint32_t table, uint32_t column, SlBytes key, const SlValue *value,
					SlBytes reason, SlStatus *status);

/* JSON texts; they live until the next call of either. */
SlBytes slb_version_vector(SlStatus *status);
SlBytes slb_hello(SlBytes engine, SlStatus *status);
/* The SQLSTATE of a status code, five characters. Never fails. */
const char *slb_sqlstate(int code);
/* nearest_name; empty if none is near. Lives until the next call. */
SlBytes slb_nearest_name(SlBytes name, const SlBytes *names, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
