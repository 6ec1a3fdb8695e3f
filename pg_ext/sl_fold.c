/*
 * sl_fold.c: what the fold reads: the log as a sorted stream, and which base rows exist.
 *
 * Everything is read under the active snapshot. Taking an entry out of the log and reading the row
 * it is about under one snapshot is what makes a fold exact: what commits later is in the next
 * fold.
 */
#include "sl_host.h"

#include "sl_log.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_locale.h"
#include "utils/snapmgr.h"

typedef struct LogStream
{
	SlLogSort  *sort;
	MemoryContext context;		/* of all of this */
	MemoryContext batch;		/* of the entries handed out */
} LogStream;

/* ---- the log --------------------------------------------------------------------------------- */

/* Moves every visible entry from the log into the sort. */
static void
consume(SlLog *log, LogStream *stream, Relation relation)
{
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		HeapTuple	tuple = ((HeapTupleTableSlot *) slot)->tuple;

		CHECK_FOR_INTERRUPTS();
		if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
			log->own_entries = true;
		sl_log_sort_add(stream->sort, slot);
		simple_heap_delete(relation, &slot->tts_tid);
		log->entry_count++;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

static SlBytes
copy_bytes(const char *data, size_t size)
{
	char	   *copy = palloc(size + 1);

	memcpy(copy, data, size);
	return (SlBytes) {copy, size};
}

/* Takes the origins, which came with their entries, out of syncline.origin. */
static void
consume_origins(SlLog *log)
{
	Relation	relation = table_open(sl_internal_relid("origin"), RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);
	uint32		capacity = 0;
	SlOrigin   *origins = NULL;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		text	   *content;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		if (log->origin_count == capacity)
		{
			capacity = Max(16, capacity * 2);
			origins = origins == NULL ? palloc(capacity * sizeof(SlOrigin)) :
				repalloc(origins, capacity * sizeof(SlOrigin));
		}
		content = DatumGetTextPP(slot->tts_values[1]);
		origins[log->origin_count].number = DatumGetInt64(slot->tts_values[0]);
		origins[log->origin_count].text = copy_bytes(VARDATA_ANY(content),
													 VARSIZE_ANY_EXHDR(content));
		log->origin_count++;
		simple_heap_delete(relation, &slot->tts_tid);
	}
	log->origins = origins;
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(relation, NoLock);
	/* what this transaction says from now on is written anew */
	sl_origin_forget();
}

void
sl_leaf_log_open(void *argument)
{
	SlLog	   *log = argument;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "syncline log",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	LogStream  *stream = palloc0(sizeof(LogStream));

	log->entry_count = 0;
	log->own_entries = false;
	log->origins = NULL;
	log->origin_count = 0;
	log->stream = stream;
	stream->context = context;
	stream->batch = AllocSetContextCreate(context, "syncline log batch", ALLOCSET_DEFAULT_SIZES);
	stream->sort = sl_log_sort_begin();
	sl_log_flush();
	sl_advance();
	for (int number = 1; number <= SL_LOGS; number++)
	{
		Relation	relation;

		if (sl_log_is_closed(number))
			continue;
		relation = table_open(sl_log_relid(number), RowExclusiveLock);
		consume(log, stream, relation);
		table_close(relation, NoLock);
	}
	sl_log_consumed();
	consume_origins(log);
	sl_log_sort_perform(stream->sort);
	MemoryContextSwitchTo(old);
}

void
sl_leaf_log_next(void *argument)
{
	SlLog	   *log = argument;
	LogStream  *stream = log->stream;
	MemoryContext old;
	SlLogEntry *entries;

	log->count = 0;
	MemoryContextReset(stream->batch);
	old = MemoryContextSwitchTo(stream->batch);
	entries = palloc(log->count_max * sizeof(SlLogEntry));
	while (log->count < log->count_max &&
		   sl_log_sort_next(stream->sort, &entries[log->count]))
		log->count++;
	log->entries = entries;
	MemoryContextSwitchTo(old);
	CHECK_FOR_INTERRUPTS();
}

void
sl_leaf_log_close(void *argument)
{
	SlLog	   *log = argument;
	LogStream  *stream = log->stream;

	sl_log_sort_end(stream->sort);
	MemoryContextDelete(stream->context);
	log->stream = NULL;
}

/* ---- base rows ------------------------------------------------------------------------------- */

/* Does equality by the index mean equal bytes of the key, whatever the values? */
static bool
equality_is_exact(SlType *type)
{
	switch (type->conversion)
	{
		case SL_CONV_BOOL:
		case SL_CONV_INT2:
		case SL_CONV_INT4:
		case SL_CONV_INT8:
		case SL_CONV_BYTEA:
		case SL_CONV_UUID:
			return true;
		case SL_CONV_TEXT:
			return type->base != BPCHAROID && (!OidIsValid(type->collation) ||
											   get_collation_isdeterministic(type->collation));
		default:
			return false;
	}
}

typedef struct KeyProbe
{
	SlTable    *table;
	Relation	relation;
	Relation	index;
	int			key_count;
	int			position[INDEX_MAX_KEYS];	/* by index column: in the key */
	ScanKeyData scan_keys[INDEX_MAX_KEYS];
	bool		exact;
	TupleTableSlot *slot;
} KeyProbe;

static void
begin_probe(KeyProbe *probe, SlTable *table)
{
	memset(probe, 0, sizeof(*probe));
	probe->table = table;
	probe->relation = table_open(table->relid, AccessShareLock);
	probe->index = index_open(table->key_index, AccessShareLock);
	probe->key_count = IndexRelationGetNumberOfKeyAttributes(probe->index);
	probe->exact = true;
	if (probe->key_count != table->key_count)
		elog(ERROR, "syncline: the primary key of table %u is not the registered one",
			 table->number);
	for (int i = 0; i < probe->key_count; i++)
	{
		AttrNumber	attnum = probe->index->rd_index->indkey.values[i];
		Oid			family = probe->index->rd_opfamily[i];
		Oid			input = probe->index->rd_opcintype[i];
		Oid			operator = get_opfamily_member(family, input, input, BTEqualStrategyNumber);

		if (!OidIsValid(operator))
			elog(ERROR, "missing operator = of operator family %u", family);
		probe->position[i] = -1;
		for (int k = 0; k < table->key_count; k++)
		{
			if (table->key_attnums[k] == attnum)
				probe->position[i] = k;
		}
		if (probe->position[i] < 0)
			elog(ERROR, "syncline: the primary key of table %u is not the registered one",
				 table->number);
		ScanKeyEntryInitialize(&probe->scan_keys[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
							   probe->index->rd_indcollation[i], get_opcode(operator), (Datum) 0);
		probe->exact = probe->exact && equality_is_exact(&table->types[attnum - 1]);
	}
	probe->slot = table_slot_create(probe->relation, NULL);
}

static void
end_probe(KeyProbe *probe)
{
	ExecDropSingleTupleTableSlot(probe->slot);
	index_close(probe->index, AccessShareLock);
	table_close(probe->relation, AccessShareLock);
}

/* Sets the arguments of the scan keys; false: the key does not decode. */
static bool
set_key(KeyProbe *probe, SlBytes key)
{
	SlValue		values[INDEX_MAX_KEYS];
	SlTable    *table = probe->table;

	if (slb_decode_key(key, values, INDEX_MAX_KEYS) != table->key_count)
		return false;
	for (int i = 0; i < probe->key_count; i++)
	{
		int			k = probe->position[i];
		bool		isnull;
		Datum		datum = sl_to_datum(&table->types[table->key_attnums[k] - 1], &values[k],
										&isnull);

		if (isnull)
			return false;
		probe->scan_keys[i].sk_argument = datum;
	}
	return true;
}

/* Is the row in the slot the one with this key, byte by byte? */
static bool
is_row_of(KeyProbe *probe, SlBytes key)
{
	SlTable    *table = probe->table;
	SlValue		values[INDEX_MAX_KEYS];
	SlBytes		encoded;

	if (probe->exact)
		return true;
	for (int k = 0; k < table->key_count; k++)
	{
		int16		attnum = table->key_attnums[k];
		bool		isnull;
		Datum		datum = slot_getattr(probe->slot, attnum, &isnull);

		if (isnull)
			return false;
		sl_to_value(&table->types[attnum - 1], datum, &values[k]);
	}
	encoded = slb_encode_key(values, table->key_count);
	return encoded.size == key.size && memcmp(encoded.data, key.data, key.size) == 0;
}

/* Reads the row in the slot; bytes are copied into the current context. */
static void
read_row(KeyProbe *probe, SlValue *values, uint32 column_count)
{
	SlTable    *table = probe->table;

	memset(values, 0, column_count * sizeof(SlValue));
	slot_getallattrs(probe->slot);
	for (int i = 0; i < table->natts; i++)
	{
		int32		column = table->column_of[i];
		SlValue    *value;

		if (column < 0 || (uint32) column >= column_count)
			continue;
		value = &values[column];
		if (probe->slot->tts_isnull[i])
		{
			value->kind = SL_NULL;
			continue;
		}
		sl_to_value(&table->types[i], probe->slot->tts_values[i], value);
		if (value->kind == SL_TEXT || value->kind == SL_BLOB)
		{
			char	   *copy = palloc(value->size + 1);

			memcpy(copy, value->u.data, value->size);
			value->u.data = copy;
		}
	}
}

void
sl_leaf_probe(void *argument)
{
	SlProbe    *out = argument;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext row = AllocSetContextCreate(caller, "syncline probe", ALLOCSET_DEFAULT_SIZES);
	SlTable    *table = sl_table_by_number(out->table);
	KeyProbe	probe;
	IndexScanDesc scan;

	memset(out->exists, 0, out->count * sizeof(bool));
	if (!OidIsValid(table->relid))
		return;
	sl_advance();
	begin_probe(&probe, table);
	scan = sl_index_beginscan(probe.relation, probe.index, GetActiveSnapshot(), probe.key_count);
	for (uint32 i = 0; i < out->count; i++)
	{
		bool		usable;

		MemoryContextReset(row);
		MemoryContextSwitchTo(row);
		usable = set_key(&probe, out->keys[i]);
		MemoryContextSwitchTo(caller);
		if (!usable)
			continue;
		index_rescan(scan, probe.scan_keys, probe.key_count, NULL, 0);
		/* the scan keeps what it allocates on the way: not in memory that the next row clears */
		while (!out->exists[i] && index_getnext_slot(scan, ForwardScanDirection, probe.slot))
		{
			MemoryContextSwitchTo(row);
			out->exists[i] = is_row_of(&probe, out->keys[i]);
			MemoryContextSwitchTo(caller);
		}
		if (out->exists[i] && out->values != NULL && out->values[i] != NULL)
			read_row(&probe, out->values[i], out->column_count);
	}
	MemoryContextSwitchTo(caller);
	index_endscan(scan);
	end_probe(&probe);
	MemoryContextDelete(row);
}
