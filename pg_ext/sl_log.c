/*
 * sl_log.c: writing the log.
 *
 * Entries gather in memory and go to the log in bulk: when there are many, before a subtransaction
 * or the transaction commits or is prepared, and before anything in this backend reads the log.
 * They become visible with the transaction either way, and one bulk insert costs a third of single
 * ones.
 *
 * Entries of a subtransaction are kept apart, so that its abort takes them along; they are written
 * under its own id.
 */
#include "sl_host.h"

#include "sl_log.h"

#include <sys/time.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"

#define ENTRIES_MAX 500
#define ENTRY_BYTES_MAX (512 * 1024)
/* From how many entries on a bulk insert is cheaper than single ones. */
#define BULK_ENTRIES_MIN 3

/* The entries of one (sub)transaction. Lives in a context of its own below the transaction's. */
typedef struct Pending
{
	struct Pending *outer;
	SubTransactionId subtransaction;
	Oid			log_relid;
	TupleDesc	desc;
	MemoryContext context;
	int			count;
	size_t		bytes;
	TupleTableSlot *slots[ENTRIES_MAX];
} Pending;

static Pending *pending = NULL;
/* The transaction has begun to commit: what comes now is written at once. */
static bool committing = false;

/* ---- gathering ------------------------------------------------------------------------------- */

/* Milliseconds of the Unix epoch, as the high bits of an hlc. */
static int64
clock_hlc(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return ((int64) now.tv_sec * 1000 + now.tv_usec / 1000) << 16;
}

static void
push_pending(SubTransactionId subtransaction)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext, "syncline log entries",
												  ALLOCSET_DEFAULT_SIZES);
	Relation	log = sl_log_open_to_write();
	Pending    *next = MemoryContextAllocZero(context, sizeof(Pending));
	MemoryContext old = MemoryContextSwitchTo(context);

	next->outer = pending;
	next->subtransaction = subtransaction;
	next->log_relid = RelationGetRelid(log);
	next->desc = CreateTupleDescCopy(RelationGetDescr(log));
	if (next->desc->natts != SL_LOG_COLUMNS)
		elog(ERROR, "the log has %d columns, not %d", next->desc->natts, SL_LOG_COLUMNS);
	next->context = context;
	MemoryContextSwitchTo(old);
	table_close(log, NoLock);
	pending = next;
}

/* A bytea as it stands in a tuple: short ones have a header of one byte and are not aligned. */
static char *
put_bytea(char *to, SlBytes bytes)
{
	if (bytes.size + VARHDRSZ_SHORT <= VARATT_SHORT_MAX)
	{
		SET_VARSIZE_SHORT(to, bytes.size + VARHDRSZ_SHORT);
		memcpy(VARDATA_SHORT(to), bytes.data, bytes.size);
		return to + bytes.size + VARHDRSZ_SHORT;
	}
	while ((char *) INTALIGN(to) != to)
		*to++ = 0;
	SET_VARSIZE(to, bytes.size + VARHDRSZ);
	memcpy(VARDATA(to), bytes.data, bytes.size);
	return to + bytes.size + VARHDRSZ;
}

static char *
put_int64(char *to, int64 value)
{
	while ((char *) MAXALIGN(to) != to)
		*to++ = 0;
	memcpy(to, &value, sizeof(value));
	return to + sizeof(value);
}

/*
 * The tuple of an entry, as heap_form_tuple would make it of eight datums, which took a tenth of
 * the instructions of a bulk DELETE, datums included; this takes a fiftieth.
 */
static HeapTuple
form_entry(uint32 table, int16 op, int64 mask, int64 clock, SlBytes key, SlBytes image,
		   int64 origin)
{
	const int	header_size = MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(SL_LOG_COLUMNS));
	const int	fixed_size = 4 * sizeof(int64) + sizeof(int32) + sizeof(int16);
	const int	padding_max = 2 * (VARHDRSZ + sizeof(int32)) + sizeof(int64);
	HeapTuple	tuple;
	char	   *to;

	if (key.data == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	tuple = palloc(HEAPTUPLESIZE + header_size + fixed_size + padding_max + key.size + image.size);
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_tableOid = InvalidOid;
	tuple->t_data = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	memset(tuple->t_data, 0, header_size);
	ItemPointerSetInvalid(&tuple->t_data->t_ctid);
	tuple->t_data->t_hoff = header_size;
	HeapTupleHeaderSetNatts(tuple->t_data, SL_LOG_COLUMNS);
	tuple->t_data->t_infomask = HEAP_HASVARWIDTH | HEAP_HASNULL;
	tuple->t_data->t_bits[0] = 0xff;

	to = put_int64((char *) tuple->t_data + header_size, mask);
	to = put_int64(to, clock);
	/* Row locks order the writers of one row, and each one's WAL comes after its predecessor's. */
	to = put_int64(to, (int64) XactLastRecEnd);
	memcpy(to, &table, sizeof(int32));
	memcpy(to + sizeof(int32), &op, sizeof(int16));
	to = put_bytea(to + sizeof(int32) + sizeof(int16), key);
	if (image.data != NULL)
		to = put_bytea(to, image);
	else
		tuple->t_data->t_bits[0] &= ~(1 << (SL_LOG_IMAGE - 1));
	if (origin != 0)
		to = put_int64(to, origin);
	else
		tuple->t_data->t_bits[0] &= ~(1 << (SL_LOG_ORIGIN - 1));
	if (tuple->t_data->t_bits[0] == 0xff)
		tuple->t_data->t_infomask &= ~HEAP_HASNULL;
	tuple->t_len = to - (char *) tuple->t_data;
	return tuple;
}

static void
append(uint32 table, int op, int64 mask, int64 clock, SlBytes key, SlBytes image, int64 origin)
{
	SubTransactionId subtransaction = GetCurrentSubTransactionId();
	TupleTableSlot **slot;
	MemoryContext old;
	HeapTuple	tuple;

	if (pending == NULL || pending->subtransaction != subtransaction)
		push_pending(subtransaction);
	slot = &pending->slots[pending->count];
	old = MemoryContextSwitchTo(pending->context);
	if (*slot == NULL)
		*slot = MakeSingleTupleTableSlot(pending->desc, &TTSOpsHeapTuple);
	tuple = form_entry(table, op, mask, clock, key, image, origin);
	ExecStoreHeapTuple(tuple, *slot, true);
	MemoryContextSwitchTo(old);
	pending->count++;
	pending->bytes += tuple->t_len;
	if (committing || pending->count == ENTRIES_MAX || pending->bytes > ENTRY_BYTES_MAX)
		sl_log_flush();
}

void
sl_log_append(uint32 table, int op, int64 mask, SlBytes key, SlBytes image)
{
	append(table, op, mask, clock_hlc(), key, image, sl_origin_said ? sl_origin_current() : 0);
}

void
sl_log_decision(uint32 table, int op, int64 mask, SlBytes key, SlBytes image, SlBytes origin)
{
	int64		number = sl_origin_add(origin);

	/*
	 * writing that moved the WAL on, by which entries are sorted; who decides has seen everything
	 * that is here
	 */
	append(table, op, mask, Max(clock_hlc(), sl_counters()->floor + 1), key, image, number);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void
write_entries(Relation log, Pending *entries)
{
	CommandId	command = GetCurrentCommandId(true);

	if (entries->count >= BULK_ENTRIES_MIN)
	{
		heap_multi_insert(log, entries->slots, entries->count, command, 0, NULL);
		return;
	}
	for (int i = 0; i < entries->count; i++)
	{
		bool		unused;

		heap_insert(log, ExecFetchSlotHeapTuple(entries->slots[i], false, &unused), command, 0,
					NULL);
	}
}

/*
 * Writes the entries of the current subtransaction. Those of outer ones wait: written now, they
 * would be lost if this one aborts.
 */
void
sl_log_flush(void)
{
	Relation	log;

	if (pending == NULL || pending->count == 0 ||
		pending->subtransaction != GetCurrentSubTransactionId())
		return;
	/* the extension may have been dropped since, in this very transaction */
	log = try_relation_open(pending->log_relid, RowExclusiveLock);
	if (log != NULL)
	{
		MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "syncline log flush",
													  ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(scratch);

		write_entries(log, pending);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(scratch);
		relation_close(log, NoLock);
	}
	for (int i = 0; i < pending->count; i++)
		ExecClearTuple(pending->slots[i]);
	pending->count = 0;
	pending->bytes = 0;
}

/* ---- the ends of transactions ---------------------------------------------------------------- */

static void
pop_pending(void)
{
	Pending    *top = pending;

	pending = top->outer;
	MemoryContextDelete(top->context);
}

void
sl_log_before_commit(void)
{
	sl_log_flush();
	/* another extension may still write after us */
	committing = true;
}

void
sl_log_before_subcommit(SubTransactionId current)
{
	if (pending == NULL || pending->subtransaction != current)
		return;
	sl_log_flush();
	pop_pending();
}

void
sl_log_subabort(SubTransactionId current)
{
	if (pending != NULL && pending->subtransaction == current)
		pop_pending();
}

void
sl_log_forget(void)
{
	/* the memory goes with the transaction's context */
	pending = NULL;
	committing = false;
}
