/*
 * sl_scan.c: keys of rows that may have news for someone.
 *
 * Every row that is folded or applied gets a new position, so rows with news are those beyond the
 * position at which the first thing unknown to the receiver came in; sl_arrival.c lists them. Rows
 * that were never written since their table is tracked have no state: they are found in the base
 * table, for receivers that do not know the table's baseline.
 */
#include "sl_base.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

void
sl_leaf_scan_begin(void *argument)
{
	SlScanBegin *begin = argument;
	static const Oid types[] = {INT8ARRAYOID};
	const Datum values[] = {sl_int64_array(begin->since, begin->since_count)};

	SPI_connect();
	/* rows with a context, which knows more of them than this database, are always looked at */
	sl_exec("SELECT least("
			/* exchanges overlap: the first step beyond the vector is not always the earliest */
			" (SELECT min(g.begin) FROM syncline.growth g"
			" WHERE g.seq > coalesce($1[g.site + 1], 0)),"
			" (SELECT min(begin) FROM syncline.context),"
			" (SELECT position FROM syncline.self))", 1, types, values, NULL);
	begin->begin = sl_result_int64(0, 1);
	SPI_finish();
}

typedef struct KeyStream
{
	MemoryContext context;
	MemoryContext batch;
	SlBase	   *base;
	Relation	state;
	AttrNumber	key_attnum;
	TupleTableSlot *slot;		/* of state */
	SlArrivals *arrivals;
	TableScanDesc all_state;
	bool		state_ended;
	TableScanDesc all_base;
	SlBytes    *keys;
	uint64	   *places;
} KeyStream;

static void
open_state(KeyStream *stream, const SlKeys *keys)
{
	SlTable    *table = sl_table_by_number(keys->number);

	if (keys->begin > 0)
	{
		stream->arrivals = sl_arrivals_open(keys->number, keys->begin);
		return;
	}
	stream->state = table_open(table->state_relid, AccessShareLock);
	stream->key_attnum = get_attnum(table->state_relid, "key");
	stream->slot = table_slot_create(stream->state, NULL);
	stream->all_state = table_beginscan(stream->state, GetActiveSnapshot(), 0, NULL);
}

void
sl_leaf_keys_open(void *argument)
{
	SlKeys	   *keys = argument;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "syncline keys",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	KeyStream  *stream = palloc0(sizeof(KeyStream));

	stream->context = context;
	stream->batch = AllocSetContextCreate(context, "syncline key batch", ALLOCSET_DEFAULT_SIZES);
	stream->base = keys->base;
	stream->keys = palloc(sizeof(SlBytes) * keys->count_max);
	stream->places = palloc(sizeof(uint64) * keys->count_max);
	sl_advance();				/* what was just folded counts */
	open_state(stream, keys);
	if (stream->base != NULL)
		stream->all_base = table_beginscan(stream->base->rel, GetActiveSnapshot(), 0, NULL);
	keys->stream = stream;
	MemoryContextSwitchTo(old);
}

static SlBytes
copy_key(SlBytes key)
{
	char	   *copy = palloc(key.size + 1);

	memcpy(copy, key.data, key.size);
	return (SlBytes) {copy, key.size};
}

static bool
next_state_key(KeyStream *stream, SlBytes *key)
{
	bool		isnull;
	bool		found;
	struct varlena *bytes;
	MemoryContext batch;

	if (stream->arrivals != NULL)
	{
		if (!sl_arrivals_next(stream->arrivals, key))
			return false;
		*key = copy_key(*key);
		return true;
	}
	batch = MemoryContextSwitchTo(stream->context);
	found = table_scan_getnextslot(stream->all_state, ForwardScanDirection, stream->slot);
	MemoryContextSwitchTo(batch);
	if (!found)
		return false;
	bytes = PG_DETOAST_DATUM_PACKED(slot_getattr(stream->slot, stream->key_attnum, &isnull));
	*key = copy_key((SlBytes) {VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)});
	return true;
}

static bool
next_base_key(KeyStream *stream, SlBytes *key)
{
	if (!table_scan_getnextslot(stream->all_base, ForwardScanDirection, stream->base->slot))
		return false;
	*key = sl_slot_key(stream->base, stream->base->slot);
	return true;
}

void
sl_leaf_keys_next(void *argument)
{
	SlKeys	   *keys = argument;
	KeyStream  *stream = keys->stream;
	MemoryContext old;

	MemoryContextReset(stream->batch);
	old = MemoryContextSwitchTo(stream->batch);
	keys->keys = stream->keys;
	keys->places = stream->places;
	for (keys->count = 0; keys->count < keys->count_max;)
	{
		SlBytes    *key = &stream->keys[keys->count];

		stream->places[keys->count] = 0;
		if (!stream->state_ended)
		{
			if (next_state_key(stream, key))
			{
				keys->count++;
				continue;
			}
			stream->state_ended = true;
		}
		if (stream->all_base == NULL)
			break;
		if (!next_base_key(stream, key))
		{
			/* a scan that has ended would begin again */
			ExecClearTuple(stream->base->slot);
			table_endscan(stream->all_base);
			stream->all_base = NULL;
			break;
		}
		stream->places[keys->count] = sl_place_of(&stream->base->slot->tts_tid);
		keys->count++;
	}
	MemoryContextSwitchTo(old);
}

void
sl_leaf_keys_close(void *argument)
{
	SlKeys	   *keys = argument;
	KeyStream  *stream = keys->stream;

	if (stream->slot != NULL)
		ExecDropSingleTupleTableSlot(stream->slot);
	if (stream->all_state != NULL)
		table_endscan(stream->all_state);
	if (stream->arrivals != NULL)
		sl_arrivals_close(stream->arrivals);
	if (stream->state != NULL)
		table_close(stream->state, NoLock);
	if (stream->all_base != NULL)
	{
		ExecClearTuple(stream->base->slot);
		table_endscan(stream->all_base);
	}
	MemoryContextDelete(stream->context);
}

void
sl_leaf_contested(void *argument)
{
	SlContested *contested = argument;
	MemoryContext context = CurrentMemoryContext;
	static const Oid types[] = {BYTEAOID, INT8OID};
	const Datum values[] = {PointerGetDatum(cstring_to_text_with_len(contested->after.data,
																	 contested->after.size)),
	Int64GetDatum(contested->count_max)};
	SlBytes    *keys;

	SPI_connect();
	sl_advance();
	contested->count = sl_exec(psprintf("SELECT key FROM syncline.state_%u WHERE key > $1"
										" AND cells IS NOT NULL ORDER BY key LIMIT $2",
										contested->number), lengthof(types), types, values, NULL);
	keys = MemoryContextAlloc(context, (contested->count + 1) * sizeof(SlBytes));
	for (uint32 i = 0; i < contested->count; i++)
		keys[i] = sl_result_bytes(i, 1, context);
	contested->keys = keys;
	SPI_finish();
}
