/*
 * sl_state.c: row state, syncline.state_<n>: one row beside each user row that has any, keyed by
 * encode_key. Only operations that hold the counter row write it, so nobody waits for anybody here.
 */
#include "sl_host.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "sl_melting.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Columns of syncline.state_<n>; see sl_create_state_table. */
enum
{
	STATE_SEQ = 1, STATE_HLC, STATE_POS, STATE_CONTEXT, STATE_SITE, STATE_FLAGS, STATE_KEY,
	STATE_CELLS
};
#define STATE_COLUMNS STATE_CELLS
#define ROWS_PER_INSERT 500

static bytea *
make_bytea(SlBytes bytes)
{
	bytea	   *result = palloc(bytes.size + VARHDRSZ);

	SET_VARSIZE(result, bytes.size + VARHDRSZ);
	memcpy(VARDATA(result), bytes.data, bytes.size);
	return result;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
fill_row(TupleTableSlot *slot, SlStateRow *row)
{
	slot_getallattrs(slot);
	row->seq = DatumGetInt64(slot->tts_values[STATE_SEQ - 1]);
	row->hlc = DatumGetInt64(slot->tts_values[STATE_HLC - 1]);
	row->pos = DatumGetInt64(slot->tts_values[STATE_POS - 1]);
	row->context = slot->tts_isnull[STATE_CONTEXT - 1] ? 0 :
		DatumGetInt64(slot->tts_values[STATE_CONTEXT - 1]);
	row->site = DatumGetInt32(slot->tts_values[STATE_SITE - 1]);
	row->flags = DatumGetInt32(slot->tts_values[STATE_FLAGS - 1]);
	row->cells = (SlBytes) {NULL, 0};
	if (!slot->tts_isnull[STATE_CELLS - 1])
	{
		bytea	   *cells = DatumGetByteaPP(slot->tts_values[STATE_CELLS - 1]);
		size_t		size = VARSIZE_ANY_EXHDR(cells);
		char	   *copy = palloc(size + 1);

		memcpy(copy, VARDATA_ANY(cells), size);
		row->cells = (SlBytes) {copy, size};
	}
	row->place = sl_place_of(&slot->tts_tid);
}

/* A walk along the index by key; see sl_base.c, which walks along a primary key. */
typedef struct Walk
{
	IndexScanDesc scan;
	TupleTableSlot *slot;
	bool		positioned;
	bool		at_end;
	int			patience;		/* how many entries to step over */
	SlBytes		sought;			/* the key last looked for */
	SlBytes		found;			/* that of the entry at hand */
	bytea	   *bound;			/* the scan's own key: every step compares with it */
} Walk;

/* So many entries are stepped over before the index is descended anew, or fewer; see sl_base.c. */
#define WALK_STEPS_MAX 32

static int
compare_keys(SlBytes a, SlBytes b)
{
	int			order = memcmp(a.data, b.data, Min(a.size, b.size));

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* To the next entry, whether its row is visible or not. */
static void
step(Walk *walk)
{
	bool		isnull;
	bytea	   *key;

	walk->at_end = index_getnext_tid(walk->scan, ForwardScanDirection) == NULL;
	if (walk->at_end)
		return;
	key = DatumGetByteaPP(index_getattr(walk->scan->xs_itup, 1, walk->scan->xs_itupdesc, &isnull));
	walk->found = (SlBytes) {VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)};
}

static void
descend(Walk *walk, SlBytes key)
{
	ScanKeyData at_least;
	bytea	   *bound = make_bytea(key);

	ScanKeyInit(&at_least, 1, BTGreaterEqualStrategyNumber, F_BYTEAGE, PointerGetDatum(bound));
	index_rescan(walk->scan, &at_least, 1, NULL, 0);
	if (walk->bound != NULL)
		pfree(walk->bound);
	walk->bound = bound;
	step(walk);
}

/* Goes to the first entry at or behind `key`; returns 0 if it has that key. */
static int
walk_to(Walk *walk, SlBytes key)
{
	int			order = -1;
	bool		ahead = walk->positioned && compare_keys(walk->sought, key) <= 0;

	if (ahead)
	{
		for (int steps = 0; !walk->at_end; steps++)
		{
			order = compare_keys(walk->found, key);
			if (order >= 0 || steps == walk->patience)
				break;
			step(walk);
		}
		if (walk->at_end)
			return 1;
		walk->patience = order >= 0 ? Min(WALK_STEPS_MAX, walk->patience * 2) :
			Max(1, walk->patience / 2);
	}
	if (order < 0)
	{
		descend(walk, key);
		order = walk->at_end ? 1 : compare_keys(walk->found, key);
	}
	walk->positioned = true;
	walk->sought = key;
	return order;
}

/* Stores the visible row with that key into the slot. */
static bool
walk_to_row(Walk *walk, SlBytes key)
{
	int			order = walk_to(walk, key);

	while (order == 0)
	{
		if (index_fetch_heap(walk->scan, walk->slot))
			return true;
		step(walk);
		order = walk->at_end ? 1 : compare_keys(walk->found, key);
	}
	return false;
}

void
sl_leaf_state_read(void *argument)
{
	SlStateRead *read = argument;
	SlTable    *table = sl_table_by_number(read->table);
	Relation	relation = table_open(table->state_relid, AccessShareLock);
	Relation	index;
	Walk		walk = {0};

	for (uint32 i = 0; i < read->count; i++)
		read->rows[i] = (SlStateRow) {.key = read->keys[i]};
	read->known_empty = read->known_empty || RelationGetNumberOfBlocks(relation) == 0;
	if (read->known_empty)
	{
		table_close(relation, AccessShareLock);
		return;
	}
	sl_advance();
	index = index_open(table->state_index, AccessShareLock);
	walk.slot = table_slot_create(relation, NULL);
	walk.scan = sl_index_beginscan(relation, index, GetActiveSnapshot(), 1);
	walk.scan->xs_want_itup = true;
	walk.patience = WALK_STEPS_MAX;
	for (uint32 i = 0; i < read->count; i++)
	{
		if (walk_to_row(&walk, read->keys[i]))
			fill_row(walk.slot, &read->rows[i]);
	}
	index_endscan(walk.scan);
	ExecDropSingleTupleTableSlot(walk.slot);
	index_close(index, AccessShareLock);
	table_close(relation, AccessShareLock);
}

void
sl_leaf_keys_beyond(void *argument)
{
	SlKeysBeyond *beyond = argument;
	MemoryContext context = CurrentMemoryContext;
	static const Oid types[] = {INT8OID};
	const Datum values[] = {Int64GetDatum(beyond->begin)};
	SlBytes    *keys;

	SPI_connect();
	beyond->count = sl_exec(psprintf("SELECT key FROM syncline.state_%u WHERE pos > $1"
									 " ORDER BY key", beyond->table), 1, types, values, NULL);
	keys = MemoryContextAllocHuge(context, (beyond->count + 1) * sizeof(SlBytes));
	for (uint32 i = 0; i < beyond->count; i++)
		keys[i] = sl_result_bytes(i, 1, context);
	beyond->keys = keys;
	SPI_finish();
}

void
sl_leaf_state_list(void *argument)
{
	SlStateList *list = argument;
	SlTable    *table = sl_table_by_number(list->table);
	Relation	relation = table_open(table->state_relid, AccessShareLock);
	Relation	index = index_open(table->state_index, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	IndexScanDesc scan;
	ScanKeyData behind;
	SlStateRow *rows;
	MemoryContext old;

	if (list->memory == NULL)
		list->memory = AllocSetContextCreate(CurrentMemoryContext, "syncline state list",
											 ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(list->memory);
	sl_advance();
	scan = sl_index_beginscan(relation, index, GetActiveSnapshot(), 1);
	ScanKeyInit(&behind, 1, BTGreaterStrategyNumber, F_BYTEAGT,
				PointerGetDatum(make_bytea(list->after)));
	index_rescan(scan, &behind, 1, NULL, 0);
	old = MemoryContextSwitchTo(list->memory);
	rows = palloc(list->count_max * sizeof(SlStateRow));
	for (list->count = 0; list->count < list->count_max &&
		 index_getnext_slot(scan, ForwardScanDirection, slot); list->count++)
	{
		SlStateRow *row = &rows[list->count];
		bytea	   *key;
		bool		isnull;

		fill_row(slot, row);
		key = DatumGetByteaPP(slot_getattr(slot, STATE_KEY, &isnull));
		row->key.size = VARSIZE_ANY_EXHDR(key);
		row->key.data = memcpy(palloc(row->key.size + 1), VARDATA_ANY(key), row->key.size);
	}
	list->rows = rows;
	MemoryContextSwitchTo(old);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(relation, AccessShareLock);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void
fill_slot(TupleTableSlot *slot, const SlStateRow *row)
{
	Datum	   *values = slot->tts_values;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, STATE_COLUMNS * sizeof(bool));
	values[STATE_SEQ - 1] = Int64GetDatum(row->seq);
	values[STATE_HLC - 1] = Int64GetDatum(row->hlc);
	values[STATE_POS - 1] = Int64GetDatum(row->pos);
	values[STATE_CONTEXT - 1] = Int64GetDatum(row->context);
	slot->tts_isnull[STATE_CONTEXT - 1] = row->context == 0;
	values[STATE_SITE - 1] = Int32GetDatum(row->site);
	values[STATE_FLAGS - 1] = Int32GetDatum(row->flags);
	values[STATE_KEY - 1] = PointerGetDatum(make_bytea(row->key));
	values[STATE_CELLS - 1] = (Datum) 0;
	slot->tts_isnull[STATE_CELLS - 1] = row->cells.size == 0;
	if (row->cells.size > 0)
		values[STATE_CELLS - 1] = PointerGetDatum(make_bytea(row->cells));
	ExecStoreVirtualTuple(slot);
}

/* What writing needs, for one call. */
typedef struct Writer
{
	ResultRelInfo *target;
	EState	   *estate;
	TupleDesc	desc;			/* a copy: slots of a relation's own cost bookkeeping each */
	TupleTableSlot *slots[ROWS_PER_INSERT];
	bool		moved[ROWS_PER_INSERT];	/* the row was on another page before */
	bool		all_dead;		/* the rows in the slots are tombstones */
	BulkInsertState bulk;
	MemoryContext context;		/* of all of this */
	MemoryContext rows;			/* of the slots' values */
	int			count;
	BlockNumber block;			/* the page of the row last replaced */
	Size		room;			/* and what is free there */
} Writer;

/*
 * The index entry of a row. That of a row that has moved skips the search for another row with its
 * key: there is one, which we have just deleted, and the index would try to clean it up. Calling
 * the index ourselves takes 3 % of the processor time of the fold of 100,000 inserts away.
 */
static void
insert_index_entry(Writer *writer, TupleTableSlot *slot, bool moved)
{
	ResultRelInfo *target = writer->target;

	if (target->ri_NumIndices == 1)
		sl_index_insert(target->ri_IndexRelationDescs[0], &slot->tts_values[STATE_KEY - 1],
						&slot->tts_isnull[STATE_KEY - 1], &slot->tts_tid, target->ri_RelationDesc,
						!moved, target->ri_IndexRelationInfo[0]);
	else
	{
		/* "update" is a hint that wants a range table */
		(void) sl_insert_index_tuples(target, slot, writer->estate, false);
		ResetPerTupleExprContext(writer->estate);
	}
}

/* In the relation cache of this session, until the entry is made anew. */
static void
set_fillfactor(Relation relation, int fillfactor)
{
	StdRdOptions *options = (StdRdOptions *) relation->rd_options;

	if (options != NULL)
		options->fillfactor = fillfactor;
}

/*
 * Inserts the rows in the slots. Pages of tombstones are filled: few are written to again, and they
 * are long, since they hold the image. With the room that other rows have on their pages, folding
 * 100,000 deletes took 6 % more processor time, and row state half as many pages again after it.
 */
static void
insert_slots(Writer *writer)
{
	Relation	relation = writer->target->ri_RelationDesc;
	int			fillfactor = RelationGetFillFactor(relation, HEAP_DEFAULT_FILLFACTOR);

	if (writer->all_dead)
		set_fillfactor(relation, HEAP_DEFAULT_FILLFACTOR);
	PG_TRY();
	{
		table_multi_insert(relation, writer->slots, writer->count, GetCurrentCommandId(true), 0,
						   writer->bulk);
	}
	PG_FINALLY();
	{
		set_fillfactor(relation, fillfactor);
	}
	PG_END_TRY();
}

static void
flush_inserts(Writer *writer)
{
	if (writer->count == 0)
		return;
	insert_slots(writer);
	for (int i = 0; i < writer->count; i++)
	{
		insert_index_entry(writer, writer->slots[i], writer->moved[i]);
		ExecClearTuple(writer->slots[i]);
	}
	writer->count = 0;
	MemoryContextReset(writer->rows);
}

/* The next slot, with a row in it. */
static TupleTableSlot *
fill_next_slot(Writer *writer, const SlStateRow *row)
{
	TupleTableSlot **slot = &writer->slots[writer->count];

	MemoryContextSwitchTo(writer->context);
	if (*slot == NULL)
		*slot = MakeSingleTupleTableSlot(writer->desc,
										 table_slot_callbacks(writer->target->ri_RelationDesc));
	MemoryContextSwitchTo(writer->rows);
	fill_slot(*slot, row);
	return *slot;
}

/* Lets the row in that slot be inserted. */
static void
insert_next_slot(Writer *writer, const SlStateRow *row, bool moved)
{
	bool		dead = (row->flags & SL_STATE_DEAD) != 0;

	writer->all_dead = dead && (writer->count == 0 || writer->all_dead);
	writer->moved[writer->count] = moved;
	if (++writer->count == ROWS_PER_INSERT)
		flush_inserts(writer);
}

/* How long the tuple of the row in a slot will be. */
static Size
tuple_size(TupleTableSlot *slot)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;

	return MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(STATE_COLUMNS)) +
		heap_compute_data_size(desc, slot->tts_values, slot->tts_isnull);
}

/* Takes the room for a new version of a row on its own page, if there is any. */
static bool
take_room(Writer *writer, ItemPointer tid, Size size)
{
	BlockNumber block = ItemPointerGetBlockNumber(tid);

	if (block != writer->block)
	{
		Buffer		buffer = ReadBuffer(writer->target->ri_RelationDesc, block);

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		writer->room = PageGetHeapFreeSpace(BufferGetPage(buffer));
		UnlockReleaseBuffer(buffer);
		writer->block = block;
	}
	size = MAXALIGN(size);
	if (size > writer->room)
		return false;
	writer->room -= Min(writer->room, size + sizeof(ItemIdData));
	return true;
}

/*
 * Replaces a row: on its page if there is room, which needs no index entry; else it is deleted and
 * goes with the inserts. heap_update would look for a page row by row, and the index for another
 * row with the key: with that, folding 100,000 updates of which two thirds have no room took 1.25
 * times as long.
 */
static void
replace_row(Writer *writer, const SlStateRow *row)
{
	Relation	relation = writer->target->ri_RelationDesc;
	TupleTableSlot *slot = fill_next_slot(writer, row);
	ItemPointerData tid;
	bool		update_indexes;

	sl_tid_of(row->place, &tid);
	if (!take_room(writer, &tid, tuple_size(slot)))
	{
		simple_heap_delete(relation, &tid);
		insert_next_slot(writer, row, true);
		return;
	}
	sl_table_tuple_update(relation, &tid, slot, GetActiveSnapshot(), &update_indexes);
	if (update_indexes)
		insert_index_entry(writer, slot, true);
	ExecClearTuple(slot);
}

void
sl_leaf_state_write(void *argument)
{
	SlStateWrite *write = argument;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "syncline state", ALLOCSET_DEFAULT_SIZES);
	SlTable    *table = sl_table_by_number(write->table);
	Relation	relation = table_open(table->state_relid, RowExclusiveLock);
	Writer	   *writer;

	MemoryContextSwitchTo(context);
	writer = palloc0(sizeof(Writer));
	writer->context = context;
	writer->desc = CreateTupleDescCopy(RelationGetDescr(relation));
	writer->estate = CreateExecutorState();
	writer->target = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->target, relation, 1, NULL, 0);
	ExecOpenIndices(writer->target, false);
	writer->bulk = GetBulkInsertState();
	writer->block = InvalidBlockNumber;
	writer->rows = AllocSetContextCreate(context, "syncline state rows", ALLOCSET_DEFAULT_SIZES);
	for (uint32 i = 0; i < write->count; i++)
	{
		if (write->rows[i].place == 0)
		{
			(void) fill_next_slot(writer, &write->rows[i]);
			insert_next_slot(writer, &write->rows[i], false);
		}
		else
			replace_row(writer, &write->rows[i]);
	}
	MemoryContextSwitchTo(context);
	flush_inserts(writer);
	for (int i = 0; i < ROWS_PER_INSERT && writer->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(writer->slots[i]);
	FreeBulkInsertState(writer->bulk);
	ExecCloseIndices(writer->target);
	FreeExecutorState(writer->estate);
	table_close(relation, NoLock);
	sl_arrivals_add(write->table, write->rows, write->count);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

void
sl_leaf_state_forget(void *argument)
{
	SlStateForget *forget = argument;
	SlTable    *table = sl_table_by_number(forget->table);
	Relation	relation = table_open(table->state_relid, RowExclusiveLock);

	for (uint32 i = 0; i < forget->count; i++)
	{
		ItemPointerData tid;

		if (forget->rows[i].place == 0)
			continue;
		sl_tid_of(forget->rows[i].place, &tid);
		simple_heap_delete(relation, &tid);
	}
	table_close(relation, NoLock);
	sl_arrivals_add(forget->table, forget->rows, forget->count);
}
