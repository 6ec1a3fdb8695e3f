/*
 * sl_log_turn.c: which of the two logs is written, and which are read.
 *
 * A fold reads every page of a log, also those whose entries are all dead, and only VACUUM gives
 * pages back. After 10,000,000 rows in one transaction each chunk of the session that sent them
 * would read 2.3 GB to find nothing new. So there are two logs, of which one can be closed: nobody
 * writes it and no fold reads it until VACUUM has emptied it.
 *
 * What makes this safe: a fold closes a log under a lock that keeps writers out, which it has had
 * since before its snapshot. So it sees every entry there is, and takes all of them out. Whoever
 * wants to write locks a log first and then asks whether it is closed: the lock waits for, and
 * brings, the news that it is. Nobody ever waits, since locks are only tried, and at most one of
 * the two is locked or closed; and an older snapshot sees the log still open with its entries.
 *
 *   both open -> one closed    a log is long, and nobody is writing it
 *   one closed -> both open    VACUUM has given back the pages of the closed one
 */
#include "sl_host.h"

#include "sl_log.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* A log of fewer pages costs a fold less than a third of a millisecond, and is left open. */
#define LONG_PAGES 128

static const char *const log_names[SL_LOGS] = {"log", "log_2"};

/* What syncline.self says, as far as this backend has heard; -1: to be read. */
static int	known_closed = -1;
static Oid	self_relid = InvalidOid;
/* The log that the operation at hand may close; 0: none. */
static int	closing = 0;

Oid
sl_log_relid(int number)
{
	return sl_internal_relid(log_names[number - 1]);
}

/* ---- whether one is closed ------------------------------------------------------------------- */

void
sl_log_turn_relcache_callback(Datum unused, Oid relid)
{
	if (relid == InvalidOid || relid == self_relid)
		known_closed = -1;
}

static int
read_closed(void)
{
	Relation	self = table_open(sl_internal_relid("self"), AccessShareLock);
	SysScanDesc scan = systable_beginscan(self, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple = systable_getnext(scan);
	int			closed = 0;
	bool		isnull;

	self_relid = RelationGetRelid(self);
	if (HeapTupleIsValid(tuple))
		closed = DatumGetInt16(heap_getattr(tuple, get_attnum(self_relid, "log_closed"),
											RelationGetDescr(self), &isnull));
	systable_endscan(scan);
	table_close(self, AccessShareLock);
	return closed;
}

/* Whoever holds a lock of a log knows by this whether that log is closed. */
bool
sl_log_is_closed(int number)
{
	if (known_closed < 0)
		known_closed = read_closed();
	return known_closed == number;
}

/* Inside an operation, which has locked the row. */
static void
set_closed(int number)
{
	static const Oid types[] = {INT2OID};
	const Datum values[] = {Int16GetDatum(number)};

	SPI_connect();
	sl_exec("UPDATE syncline.self SET log_closed = $1", 1, types, values, NULL);
	SPI_finish();
	CacheInvalidateRelcacheByRelid(sl_internal_relid("self"));
	CommandCounterIncrement();
}

/* ---- writing --------------------------------------------------------------------------------- */

/* How often a log has doubled since it became long; 0: it is short. */
static int
doublings(Relation log)
{
	int			count = 0;

	for (BlockNumber pages = RelationGetNumberOfBlocks(log); pages >= LONG_PAGES; pages /= 2)
		count++;
	return count;
}

/* NULL: it is closed, or locked. */
static Relation
try_to_write(int number)
{
	Oid			relid = sl_log_relid(number);

	if (!ConditionalLockRelationOid(relid, RowExclusiveLock))
		return NULL;
	if (!sl_log_is_closed(number))
		return table_open(relid, NoLock);
	UnlockRelationOid(relid, RowExclusiveLock);
	return NULL;
}

/*
 * A long log is left for the other one, so that its writers go and it can be closed. Of two long
 * ones the one that has doubled less often is written: each has a rest now and then.
 */
Relation
sl_log_open_to_write(void)
{
	Relation	first,
				second;

	while (true)
	{
		first = try_to_write(1);
		if (first != NULL && doublings(first) == 0)
			return first;
		second = try_to_write(2);
		if (first == NULL && second != NULL)
			return second;
		if (first != NULL)
			break;
		/* what is open is being vacuumed, or has been locked by hand */
		LockRelationOid(sl_log_relid(sl_log_is_closed(1) ? 2 : 1), RowExclusiveLock);
	}
	if (second == NULL)
		return first;
	if (doublings(first) <= doublings(second))
	{
		table_close(second, RowExclusiveLock);
		return first;
	}
	table_close(first, RowExclusiveLock);
	return second;
}

/* ---- folding --------------------------------------------------------------------------------- */

/* Of a log that nobody has locked; else `otherwise`. */
static BlockNumber
count_pages(int number, BlockNumber otherwise)
{
	Oid			relid = sl_log_relid(number);
	Relation	log;
	BlockNumber pages;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return otherwise;
	log = table_open(relid, NoLock);
	pages = RelationGetNumberOfBlocks(log);
	table_close(log, AccessShareLock);
	return pages;
}

/* Locks a long log against writers, if there are none, this transaction among them. */
static bool
may_close(int number)
{
	Oid			relid = sl_log_relid(number);
	Relation	log;
	bool		locked;

	if (count_pages(number, 0) < LONG_PAGES || !ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	log = table_open(relid, NoLock);
	locked = !CheckRelationLockedByMe(log, RowExclusiveLock, true) &&
		ConditionalLockRelation(log, ShareLock);
	table_close(log, AccessShareLock);
	return locked;
}

void
sl_log_begin(int closed)
{
	self_relid = sl_internal_relid("self");
	known_closed = closed;
	closing = 0;
	if (closed != 0 && count_pages(closed, LONG_PAGES) < LONG_PAGES)
		set_closed(0);
	else if (closed == 0)
		closing = may_close(1) ? 1 : may_close(2) ? 2 : 0;
}

void
sl_log_consumed(void)
{
	if (closing != 0)
		set_closed(closing);
	closing = 0;
}
