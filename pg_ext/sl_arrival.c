/*
 * sl_arrival.c: which rows were folded or applied behind a position, syncline.arrival_<n>.
 *
 * Every row of state that is new to somebody has a position. An index on it would have to take an
 * entry for each update of a row of state, and would keep all of them from being heap-only: 4.3 us
 * of processor time a row for folding 100,000 updates, against 3.6 with this list, or 2.0 if the
 * pages of state have room for all of them (a fillfactor of 50). Keys are listed in the order of
 * their positions, some dozens to a row. A key whose row has moved on stays listed: whoever reads
 * looks at the row itself. Once there are more such keys than others, the list is made anew.
 */
#include "sl_host.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Columns of syncline.arrival_<n>; see sl_create_state_table. */
enum
{
	ARRIVAL_LAST = 1, ARRIVAL_LISTED, ARRIVAL_STALE, ARRIVAL_KEYS
};
#define ARRIVAL_COLUMNS ARRIVAL_KEYS
/* Keys of UUIDs fill a quarter of a page: no row goes to TOAST, and few are read in vain. */
#define KEYS_PER_ROW 32
#define KEY_BYTES_PER_ROW 1500
/* So many stale keys are too few to bother. */
#define STALE_MIN 20000

struct SlArrivals
{
	Relation	relation;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	MemoryContext context;		/* of all of this */
	MemoryContext row;			/* of the keys at hand */
	Datum	   *keys;
	int			key_count;
	int			next;
};

static Oid
relid_of(uint32 table, const char *suffix)
{
	char		name[NAMEDATALEN];

	snprintf(name, sizeof(name), "arrival_%u%s", table, suffix);
	return sl_internal_relid(name);
}

/* ---- reading --------------------------------------------------------------------------------- */

SlArrivals *
sl_arrivals_open(uint32 table, int64 begin)
{
	SlArrivals *arrivals = palloc0(sizeof(SlArrivals));
	ScanKeyData beyond;

	arrivals->context = CurrentMemoryContext;
	arrivals->row = AllocSetContextCreate(CurrentMemoryContext, "syncline arrivals",
										  ALLOCSET_DEFAULT_SIZES);
	arrivals->relation = table_open(relid_of(table, ""), AccessShareLock);
	arrivals->index = index_open(relid_of(table, "_pkey"), AccessShareLock);
	arrivals->slot = table_slot_create(arrivals->relation, NULL);
	arrivals->scan = sl_index_beginscan(arrivals->relation, arrivals->index, GetActiveSnapshot(),
										1);
	ScanKeyInit(&beyond, ARRIVAL_LAST, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(begin));
	index_rescan(arrivals->scan, &beyond, 1, NULL, 0);
	return arrivals;
}

bool
sl_arrivals_next(SlArrivals *arrivals, SlBytes *key)
{
	bytea	   *found;

	while (arrivals->next == arrivals->key_count)
	{
		bool		isnull;
		/* an index scan keeps what it allocates on the way */
		MemoryContext old = MemoryContextSwitchTo(arrivals->context);
		bool		more = index_getnext_slot(arrivals->scan, ForwardScanDirection, arrivals->slot);

		if (more)
		{
			MemoryContextReset(arrivals->row);
			MemoryContextSwitchTo(arrivals->row);
			deconstruct_array(DatumGetArrayTypeP(slot_getattr(arrivals->slot, ARRIVAL_KEYS,
															  &isnull)),
							  BYTEAOID, -1, false, TYPALIGN_INT, &arrivals->keys, NULL,
							  &arrivals->key_count);
			arrivals->next = 0;
		}
		MemoryContextSwitchTo(old);
		if (!more)
			return false;
	}
	found = DatumGetByteaPP(arrivals->keys[arrivals->next++]);
	*key = (SlBytes) {VARDATA_ANY(found), VARSIZE_ANY_EXHDR(found)};
	return true;
}

void
sl_arrivals_close(SlArrivals *arrivals)
{
	index_endscan(arrivals->scan);
	ExecDropSingleTupleTableSlot(arrivals->slot);
	index_close(arrivals->index, AccessShareLock);
	table_close(arrivals->relation, AccessShareLock);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* What the newest row says; all zero if there is none. */
typedef struct Tally
{
	int64		last;
	int64		listed;
	int64		stale;
} Tally;

static void
read_tally(Relation relation, uint32 table, Tally *tally)
{
	Relation	index = index_open(relid_of(table, "_pkey"), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	IndexScanDesc scan;

	sl_advance();				/* what this transaction has listed counts */
	scan = sl_index_beginscan(relation, index, GetActiveSnapshot(), 0);
	index_rescan(scan, NULL, 0, NULL, 0);
	memset(tally, 0, sizeof(*tally));
	if (index_getnext_slot(scan, BackwardScanDirection, slot))
	{
		slot_getallattrs(slot);
		tally->last = DatumGetInt64(slot->tts_values[ARRIVAL_LAST - 1]);
		tally->listed = DatumGetInt64(slot->tts_values[ARRIVAL_LISTED - 1]);
		tally->stale = DatumGetInt64(slot->tts_values[ARRIVAL_STALE - 1]);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
}

static bytea *
make_bytea(SlBytes bytes)
{
	bytea	   *result = palloc(bytes.size + VARHDRSZ);

	SET_VARSIZE(result, bytes.size + VARHDRSZ);
	memcpy(VARDATA(result), bytes.data, bytes.size);
	return result;
}

static void
insert_row(ResultRelInfo *target, EState *estate, TupleTableSlot *slot, const Tally *tally,
		   Datum *keys, int count)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, ARRIVAL_COLUMNS * sizeof(bool));
	slot->tts_values[ARRIVAL_LAST - 1] = Int64GetDatum(tally->last);
	slot->tts_values[ARRIVAL_LISTED - 1] = Int64GetDatum(tally->listed);
	slot->tts_values[ARRIVAL_STALE - 1] = Int64GetDatum(tally->stale);
	slot->tts_values[ARRIVAL_KEYS - 1] = PointerGetDatum(
		construct_array(keys, count, BYTEAOID, -1, false, TYPALIGN_INT));
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(target->ri_RelationDesc, slot, GetCurrentCommandId(true), 0, NULL);
	(void) sl_insert_index_tuples(target, slot, estate, false);
	ResetPerTupleExprContext(estate);
}

/* Lists the rows that have got a position since the last call. */
static void
append(Relation relation, const SlStateRow *rows, uint32 count, Tally *tally)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	const int64 begin = tally->last;
	Datum		keys[KEYS_PER_ROW];
	int			key_count = 0;
	size_t		bytes = 0;

	InitResultRelInfo(target, relation, 1, NULL, 0);
	ExecOpenIndices(target, false);
	for (uint32 i = 0; i < count; i++)
	{
		if (rows[i].pos <= begin)
			continue;
		if (key_count == KEYS_PER_ROW ||
			(key_count > 0 && bytes + rows[i].key.size > KEY_BYTES_PER_ROW))
		{
			insert_row(target, estate, slot, tally, keys, key_count);
			key_count = 0;
			bytes = 0;
		}
		keys[key_count++] = PointerGetDatum(make_bytea(rows[i].key));
		bytes += rows[i].key.size;
		tally->last = Max(tally->last, rows[i].pos);
		tally->listed++;
		tally->stale += rows[i].place != 0;
	}
	if (key_count > 0)
		insert_row(target, estate, slot, tally, keys, key_count);
	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

/* Lists each row of state once. */
static void
make_anew(uint32 table)
{
	SPI_connect();
	sl_advance();
	sl_exec(psprintf("DELETE FROM syncline.arrival_%u", table), 0, NULL, NULL, NULL);
	sl_exec(psprintf("INSERT INTO syncline.arrival_%u (last, listed, stale, keys)"
					 " SELECT max(pos), max(number), 0, array_agg(key ORDER BY pos) FROM"
					 " (SELECT pos, key, row_number() OVER (ORDER BY pos) AS number"
					 " FROM syncline.state_%u) AS s GROUP BY (number - 1) / %d",
					 table, table, KEYS_PER_ROW), 0, NULL, NULL, NULL);
	SPI_finish();
}

void
sl_arrivals_add(uint32 table, const SlStateRow *rows, uint32 count)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "syncline arrivals",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Relation	relation = table_open(relid_of(table, ""), RowExclusiveLock);
	Tally		tally;

	read_tally(relation, table, &tally);
	append(relation, rows, count, &tally);
	table_close(relation, NoLock);
	if (tally.stale > tally.listed - tally.stale + STALE_MIN)
		make_anew(table);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
