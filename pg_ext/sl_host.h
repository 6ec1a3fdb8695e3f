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

/* ---- sl_guard.c ------------------------------------------------------------------------------ */

/* Raises what `status` says, the parked error if there is one. Returns only if it is ok. */
extern void sl_report(const SlStatus *status);

/* ---- sl_init.c ------------------------------------------------------------------------------- */

/* While true, the capture trigger of this backend skips. Falls back at the end of the transaction. */
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
 * A tracked table as this backend remembers it. Forgotten when its relation or the registry changes;
 * a pointer is good until the next call of sl_table_*, or as long as the relation stays locked.
 */
typedef struct SlTable
{
	Oid			relid;			/* hash key; InvalidOid for a parked table */
	uint32		number;
	bool		valid;
	int			column_count;	/* columns of the registry */
	int			natts;			/* attributes of the relation */
	int32	   *column_of;		/* by attnum - 1: column number, or -1 */
	int16	   *attnum_of;		/* by column number: attnum, or 0 */
	SlType	   *types;			/* by attnum - 1; of columns that are present */
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
extern void sl_registry_relcache_callback(Datum unused, Oid relid);

/* The oid of a table or index of schema "syncline"; looked up in that schema only. */
extern Oid	sl_internal_relid(const char *relname);

/* ---- sl_site.c ------------------------------------------------------------------------------- */

/*
 * Begins an operation that folds or merges: refuses what cannot (isolation level, standby, read-only
 * transaction), settles the identity, locks the counter row to the end of the transaction, and makes
 * a snapshot that sees everything committed by then the active one. sl_merge_end takes it away.
 */
extern void sl_merge_begin(const char *function_name);
extern void sl_merge_end(void);

/* The same, without a fold or a snapshot: makes sure that there is a counter row of this database. */
extern void sl_site_ensure(void);

/* Folds, raising on error; call between sl_merge_begin and sl_merge_end. Returns rows folded. */
extern uint64 sl_fold(bool refuse_own);

/* Switches to the owner of the bookkeeping and back. An abort switches back, too. */
typedef struct SlRole
{
	Oid			user;
	int			context;
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

/* ---- sl_enable.c ----------------------------------------------------------------------------- */

/* Finds a table by what the caller wrote; an error with a hint if there is none. */
extern Oid	sl_find_relation(const char *name);
/* Creates syncline.state_<number>. */
extern void sl_create_state_table(uint32 number);

#endif
