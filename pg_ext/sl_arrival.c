/*
 * sl_arrival.c: which rows were folded or applied behind a position, syncline.arrival_<n>.
 *
 * Every row of state that is new to somebody has a position. An index on it would have to take an
 * entry for each update of a row of state, and would keep all of them from being heap-only: 4.3 us
 * of processor time a row for folding 100,000 updates, where it is 2.0 with this list. Keys are
 * listed in the order of their positions, some dozens to a row. A key whose row has moved on stays
 * listed: whoever reads looks at the row itself. Once there are twice as many such keys as others,
 * the list is made anew.
 */
#include "sl_host.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
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
/*
 * So many stale keys are borne for each that is current. Making the list anew takes 0.8 us of
 * processor time a current key, which with one stale key for each came to as much for each row that
 * was folded, and comes to half of it; a key takes 46 bytes.
 */
#define STALE_PER_CURRENT 2

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

/* The list, being written: keys gather until they fill a row. */
typedef struct Lister
{
	ResultRelInfo *target;
	EState	   *estate;
	TupleTableSlot *slot;
	MemoryContext row;			/* of the keys gathered */
	Tally		tally;
	Datum		keys[KEYS_PER_ROW];
	int			key_count;
	size_t		bytes;
} Lister;

static Lister *
begin_list(Relation relation)
{
	Lister	   *lister = palloc0(sizeof(Lister));

	lister->estate = CreateExecutorState();
	lister->target = makeNode(ResultRelInfo);
	lister->slot = table_slot_create(relation, NULL);
	lister->row = AllocSetContextCreate(CurrentMemoryContext, "syncline arrivals row",
										ALLOCSET_DEFAULT_SIZES);
	InitResultRelInfo(lister->target, relation, 1, NULL, 0);
	ExecOpenIndices(lister->target, false);
	return lister;
}

static void
flush_list(Lister *lister)
{
	TupleTableSlot *slot = lister->slot;
	MemoryContext old;

	if (lister->key_count == 0)
		return;
	old = MemoryContextSwitchTo(lister->row);
	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, ARRIVAL_COLUMNS * sizeof(bool));
	slot->tts_values[ARRIVAL_LAST - 1] = Int64GetDatum(lister->tally.last);
	slot->tts_values[ARRIVAL_LISTED - 1] = Int64GetDatum(lister->tally.listed);
	slot->tts_values[ARRIVAL_STALE - 1] = Int64GetDatum(lister->tally.stale);
	slot->tts_values[ARRIVAL_KEYS - 1] = PointerGetDatum(
		construct_array(lister->keys, lister->key_count, BYTEAOID, -1, false, TYPALIGN_INT));
	ExecStoreVirtualTuple(slot);
	MemoryContextSwitchTo(old);
	table_tuple_insert(lister->target->ri_RelationDesc, slot, GetCurrentCommandId(true), 0, NULL);
	(void) sl_insert_index_tuples(lister->target, slot, lister->estate, false);
	ResetPerTupleExprContext(lister->estate);
	ExecClearTuple(slot);
	MemoryContextReset(lister->row);
	lister->key_count = 0;
	lister->bytes = 0;
}

static void
list_key(Lister *lister, int64 pos, SlBytes key, bool was_listed)
{
	MemoryContext old;

	if (lister->key_count == KEYS_PER_ROW ||
		(lister->key_count > 0 && lister->bytes + key.size > KEY_BYTES_PER_ROW))
		flush_list(lister);
	old = MemoryContextSwitchTo(lister->row);
	lister->keys[lister->key_count++] = PointerGetDatum(make_bytea(key));
	MemoryContextSwitchTo(old);
	lister->bytes += key.size;
	lister->tally.last = Max(lister->tally.last, pos);
	lister->tally.listed++;
	lister->tally.stale += was_listed;
}

static void
end_list(Lister *lister)
{
	flush_list(lister);
	ExecCloseIndices(lister->target);
	ExecDropSingleTupleTableSlot(lister->slot);
	FreeExecutorState(lister->estate);
}

/* What make_anew sorts: position and key. */
static Tuplesortstate *
begin_sort(TupleDesc *desc)
{
	AttrNumber	column = 1;
	Oid			operator = Int8LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;

	*desc = CreateTemplateTupleDesc(2);
	TupleDescInitEntry(*desc, 1, "pos", INT8OID, -1, 0);
	TupleDescInitEntry(*desc, 2, "key", BYTEAOID, -1, 0);
	return tuplesort_begin_heap(*desc, 1, &column, &operator, &collation, &nulls_first,
								maintenance_work_mem, NULL, TUPLESORT_NONE);
}

static void
sort_state(Tuplesortstate *sort, TupleDesc desc, Oid relid)
{
	Relation	relation = table_open(relid, AccessShareLock);
	AttrNumber	pos = get_attnum(relid, "pos");
	AttrNumber	key = get_attnum(relid, "key");
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	TupleTableSlot *entry = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		ExecClearTuple(entry);
		entry->tts_values[0] = slot_getattr(slot, pos, &entry->tts_isnull[0]);
		entry->tts_values[1] = slot_getattr(slot, key, &entry->tts_isnull[1]);
		ExecStoreVirtualTuple(entry);
		tuplesort_puttupleslot(sort, entry);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(entry);
	ExecDropSingleTupleTableSlot(slot);
	table_close(relation, AccessShareLock);
	tuplesort_performsort(sort);
}

/*
 * Where rows have no state, those that changed are listed no longer: sums (sl_verify.c) and plans
 * (pg_scan.cpp) that were made before say nothing any more.
 */
static void
note_gap(uint32 table)
{
	static const Oid types[] = {INT4OID, INT8OID};
	const Datum values[] = {Int32GetDatum(table), Int64GetDatum(sl_counters()->position)};

	SPI_connect();
	sl_exec("UPDATE syncline.tbl SET listed_from = $2 WHERE number = $1 AND baseline_seq = 0",
			lengthof(types), types, values, NULL);
	SPI_finish();
}

/*
 * Lists each row of state once. A statement with array_agg over the rows took two and a half times
 * as long, a fifth of the processor time of a fold during which the list was made anew.
 */
static void
make_anew(Relation relation, uint32 table)
{
	TupleDesc	desc;
	Tuplesortstate *sort = begin_sort(&desc);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	Lister	   *lister = begin_list(relation);

	SPI_connect();
	sl_exec(psprintf("DELETE FROM syncline.arrival_%u", table), 0, NULL, NULL, NULL);
	SPI_finish();
	sl_advance();
	sort_state(sort, desc, sl_table_by_number(table)->state_relid);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		bytea	   *key;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		key = DatumGetByteaPP(slot->tts_values[1]);
		list_key(lister, DatumGetInt64(slot->tts_values[0]),
				 (SlBytes) {VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)}, false);
	}
	end_list(lister);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
	note_gap(table);
}

/*
 * Makes the list anew if most of what it lists are rows whose state has been forgotten. SPI must be
 * connected.
 */
void
sl_arrivals_settle(uint32 table)
{
	sl_exec(psprintf("SELECT n > (SELECT count(*) FROM syncline.state_%u) + %d FROM (SELECT"
					 " (SELECT listed FROM syncline.arrival_%u ORDER BY last DESC LIMIT 1) -"
					 " (SELECT listed - cardinality(keys) FROM syncline.arrival_%u"
					 "  ORDER BY last LIMIT 1) AS n) AS l", table, STALE_MIN, table, table),
			0, NULL, NULL, NULL);
	if (sl_result_int64(0, 1) != 0)
		sl_arrivals_list_anew(table);
}

void
sl_arrivals_list_anew(uint32 table)
{
	Relation	relation = table_open(relid_of(table, ""), RowExclusiveLock);

	make_anew(relation, table);
	table_close(relation, NoLock);
}

int64
sl_arrivals_missing(uint32 table)
{
	/* whoever has seen what was pruned has the rows that stayed in state, too */
	sl_exec(psprintf("SELECT count(*) FROM syncline.state_%u s WHERE s.pos >"
					 " (SELECT listed_from FROM syncline.tbl WHERE number = %u) AND NOT EXISTS"
					 " (SELECT FROM (SELECT last, unnest(keys) AS key FROM syncline.arrival_%u) a"
					 "  WHERE a.key = s.key AND a.last >= s.pos)", table, table, table),
			0, NULL, NULL, NULL);
	return sl_result_int64(0, 1);
}

void
sl_arrivals_add(uint32 table, const SlStateRow *rows, uint32 count)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "syncline arrivals",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Relation	relation = table_open(relid_of(table, ""), RowExclusiveLock);
	Lister	   *lister = begin_list(relation);
	int64		begin,
				current;

	read_tally(relation, table, &lister->tally);
	begin = lister->tally.last;
	for (uint32 i = 0; i < count; i++)
	{
		if (rows[i].pos > begin)
			list_key(lister, rows[i].pos, rows[i].key, rows[i].place != 0);
	}
	end_list(lister);
	current = lister->tally.listed - lister->tally.stale;
	if (lister->tally.stale > STALE_PER_CURRENT * current + STALE_MIN)
		make_anew(relation, table);
	table_close(relation, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
