/*
 * sl_log_sort.c: the entries of syncline.log in the order in which they are folded.
 *
 * What is sorted: one string of bytes an entry, which compares as table, key, place in the WAL and
 * clock do: one memcmp, of which the first bytes are kept at hand. As one datum instead of six
 * columns of a tuple, folding 100,000 inserts, updates or deletes takes 7, 6 and 3 % less processor
 * time (means of two sessions).
 *
 * What fits into maintenance_work_mem is sorted here, where entries need not be copied in and out
 * of the sort and are fetched before they are looked at: folding 200,000 inserts or updates takes
 * 14 % less processor time, deletes 5 %. The server's own sort, which goes to disk, takes over when
 * there are more.
 *
 *   entry := size of table:u8 table key lsn clock image tail      the numbers most significant
 *                                                                 byte first
 *
 * No key is the beginning of another, so what comes behind it does not disturb the order.
 */
#include "sl_host.h"

#include "sl_log.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"

typedef struct SortTail
{
	int64		mask;
	int64		origin;
	uint32		key_size;
	int16		op;
	int16		has_image;
} SortTail;
#define TABLE_BYTES_MAX 5
#define TIME_BYTES (2 * sizeof(int64))

#define BLOCK_BYTES_MIN 8192
#define BLOCK_BYTES_MAX (256 * 1024)
#define ENTRIES_MIN 64
/* So many entries are fetched ahead of the one that is read. */
#define FETCHED_AHEAD 8
#define CACHE_LINE_BYTES 64

struct SlLogSort
{
	Tuplesortstate *disk;		/* NULL: all is in memory */
	SlSorted   *sorted;
	uint64		count;
	uint64		capacity;
	uint64		at;				/* the next to be handed out */
	MemoryContext blocks;		/* of the entries' bytes */
	char	   *room;			/* in the block at hand */
	Size		room_size;
	Size		memory;			/* of all blocks */
	MemoryContext context;		/* of all of this */
	MemoryContext row;			/* of what is unpacked of the entry at hand */
};

/* ---- gathering ------------------------------------------------------------------------------- */

SlLogSort *
sl_log_sort_begin(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "syncline log sort",
												  ALLOCSET_DEFAULT_SIZES);
	SlLogSort  *sort = MemoryContextAllocZero(context, sizeof(SlLogSort));

	sort->context = context;
	sort->row = AllocSetContextCreate(context, "syncline log row", ALLOCSET_DEFAULT_SIZES);
	sort->blocks = AllocSetContextCreate(context, "syncline log entries", ALLOCSET_DEFAULT_SIZES);
	return sort;
}

/* Room for an entry of that size; what take_room takes of it stays. */
static char *
find_room(SlLogSort *sort, Size size)
{
	if (sort->room_size < size)
	{
		if (sort->disk != NULL)	/* which has copied what was there */
			MemoryContextReset(sort->blocks);
		sort->room_size = Max(size, Min(Max(sort->memory, BLOCK_BYTES_MIN), BLOCK_BYTES_MAX));
		sort->room = MemoryContextAllocHuge(sort->blocks, sort->room_size);
		sort->memory += sort->room_size;
	}
	return sort->room;
}

static void
take_room(SlLogSort *sort, Size size)
{
	size = Min(MAXALIGN(size), sort->room_size);
	sort->room += size;
	sort->room_size -= size;
}

static uint64
read_head(const unsigned char *from, Size size)
{
	uint64		head = 0;

	for (Size i = 0; i < sizeof(head); i++)
		head = head << 8 | (i < size ? from[i] : 0);
	return head;
}

static void
add_sorted(SlLogSort *sort, bytea *bytes)
{
	const unsigned char *data = (const unsigned char *) VARDATA(bytes);
	Size		size = VARSIZE(bytes) - VARHDRSZ;
	SlSorted   *added;

	if (sort->count == sort->capacity)
	{
		Size		capacity = Max(ENTRIES_MIN, sort->capacity * 2);

		sort->sorted = sort->sorted == NULL ?
			MemoryContextAllocHuge(sort->context, capacity * sizeof(SlSorted)) :
			repalloc_huge(sort->sorted, capacity * sizeof(SlSorted));
		sort->capacity = capacity;
	}
	added = &sort->sorted[sort->count++];
	added->head[0] = read_head(data, size);
	added->head[1] = size > sizeof(uint64) ? read_head(data + 8, size - 8) : 0;
	added->bytes = VARDATA(bytes);
	added->size = size;
}

/* Hands all entries to the server's own sort. */
static void
spill(SlLogSort *sort)
{
	MemoryContext old = MemoryContextSwitchTo(sort->context);
	Oid			less_than = lookup_type_cache(BYTEAOID, TYPECACHE_LT_OPR)->lt_opr;

	sort->disk = tuplesort_begin_datum(BYTEAOID, less_than, InvalidOid, false,
									   maintenance_work_mem, NULL, TUPLESORT_NONE);
	MemoryContextSwitchTo(old);
	for (uint64 i = 0; i < sort->count; i++)
		tuplesort_putdatum(sort->disk, PointerGetDatum(sort->sorted[i].bytes - VARHDRSZ), false);
	pfree(sort->sorted);
	sort->count = 0;
	sort->room_size = 0;
	MemoryContextReset(sort->blocks);
}

/* Appends an integer, most significant byte first. */
static char *
put_big_endian(char *to, uint64 value, int bytes)
{
	for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
		*to++ = (char) (value >> shift);
	return to;
}

void
sl_log_sort_add(SlLogSort *sort, TupleTableSlot *entry)
{
	Datum	   *from = entry->tts_values;
	bool	   *isnull = entry->tts_isnull;
	bytea	   *key,
			   *image = NULL;
	uint32		table;
	int			table_bytes;
	size_t		image_size = 0;
	SortTail	tail;
	bytea	   *result;
	char	   *to;
	MemoryContext old = MemoryContextSwitchTo(sort->row);

	MemoryContextReset(sort->row);
	slot_getallattrs(entry);
	key = DatumGetByteaPP(from[SL_LOG_KEY - 1]);
	table = DatumGetInt32(from[SL_LOG_TBL - 1]);
	table_bytes = table <= 0xff ? 1 : table <= 0xffff ? 2 : 4;
	if (!isnull[SL_LOG_IMAGE - 1])
	{
		image = DatumGetByteaPP(from[SL_LOG_IMAGE - 1]);
		image_size = VARSIZE_ANY_EXHDR(image);
	}
	tail.mask = DatumGetInt64(from[SL_LOG_MASK - 1]);
	tail.origin = isnull[SL_LOG_ORIGIN - 1] ? 0 : DatumGetInt64(from[SL_LOG_ORIGIN - 1]);
	tail.key_size = VARSIZE_ANY_EXHDR(key);
	tail.op = DatumGetInt16(from[SL_LOG_OP - 1]);
	tail.has_image = image != NULL;

	result = (bytea *) find_room(sort, VARHDRSZ + TABLE_BYTES_MAX + tail.key_size + TIME_BYTES +
								 image_size + sizeof(tail));
	to = VARDATA(result);
	*to++ = (char) table_bytes;
	to = put_big_endian(to, table, table_bytes);
	memcpy(to, VARDATA_ANY(key), tail.key_size);
	to = put_big_endian(to + tail.key_size, (uint64) DatumGetInt64(from[SL_LOG_LSN - 1]) ^
						(UINT64CONST(1) << 63), sizeof(int64));
	to = put_big_endian(to, DatumGetInt64(from[SL_LOG_CLOCK - 1]), sizeof(int64));
	if (image != NULL)
		memcpy(to, VARDATA_ANY(image), image_size);
	memcpy(to + image_size, &tail, sizeof(tail));
	SET_VARSIZE(result, to + image_size + sizeof(tail) - (char *) result);
	MemoryContextSwitchTo(old);
	if (sort->disk != NULL)
	{
		tuplesort_putdatum(sort->disk, PointerGetDatum(result), false);
		return;
	}
	take_room(sort, VARSIZE(result));
	add_sorted(sort, result);
	if (sort->memory + sort->capacity * sizeof(SlSorted) > maintenance_work_mem * (Size) 1024)
		spill(sort);
}

void
sl_log_sort_perform(SlLogSort *sort)
{
	if (sort->disk != NULL)
		tuplesort_performsort(sort->disk);
	else
		slb_sort(sort->sorted, sort->count);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int64
read_big_endian(const uint8 *from, int bytes)
{
	uint64		value = 0;

	for (int i = 0; i < bytes; i++)
		value = value << 8 | from[i];
	return (int64) value;
}

/* Its bytes stay where they are. */
static void
read_entry(bytea *sorted, SlLogEntry *entry)
{
	const uint8 *from = (const uint8 *) VARDATA_ANY(sorted);
	const uint8 *end = from + VARSIZE_ANY_EXHDR(sorted) - sizeof(SortTail);
	int			table_bytes = *from++;
	SortTail	tail;

	memcpy(&tail, end, sizeof(tail));
	entry->table = read_big_endian(from, table_bytes);
	from += table_bytes;
	entry->key = (SlBytes) {(const char *) from, tail.key_size};
	from += tail.key_size;
	entry->clock = read_big_endian(from + sizeof(int64), sizeof(int64));
	from += TIME_BYTES;
	entry->image = SL_NO_IMAGE;
	if (tail.has_image)
		entry->image = (SlBytes) {(const char *) from, end - from};
	entry->op = tail.op;
	entry->mask = tail.mask;
	entry->origin = tail.origin;
}

/* The next entry in order; it stays at least until the caller's context is reset. */
static bytea *
next_sorted(SlLogSort *sort)
{
	Datum		copy;

	if (sort->disk != NULL)
		return sl_tuplesort_copy_datum(sort->disk, &copy) ? DatumGetByteaPP(copy) : NULL;
	if (sort->at == sort->count)
		return NULL;
	if (sort->at + FETCHED_AHEAD < sort->count)
	{
		const SlSorted *ahead = &sort->sorted[sort->at + FETCHED_AHEAD];

		for (uint32 i = 0; i < ahead->size; i += CACHE_LINE_BYTES)
			__builtin_prefetch(ahead->bytes + i);
	}
	return (bytea *) (sort->sorted[sort->at++].bytes - VARHDRSZ);
}

bool
sl_log_sort_next(SlLogSort *sort, SlLogEntry *entry)
{
	bytea	   *next = next_sorted(sort);

	if (next == NULL)
		return false;
	read_entry(next, entry);
	return true;
}

void
sl_log_sort_end(SlLogSort *sort)
{
	if (sort->disk != NULL)
		tuplesort_end(sort->disk);
	MemoryContextDelete(sort->context);
}
