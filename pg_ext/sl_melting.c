/*
 * sl_melting.c: what other sites have acknowledged (syncline.ack), how far melting is
 * (syncline.melt), and dropping what only sites need that know less than everybody does.
 */
#include "sl_host.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "sl_melting.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

static Datum
bytea_datum(SlBytes bytes)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes.data, bytes.size));
}

/* ---- acknowledgements ------------------------------------------------------------------------ */

void
sl_leaf_load_acks(void *argument)
{
	SlAcks	   *acks = argument;
	MemoryContext context = CurrentMemoryContext;
	static const Oid types[] = {INT4ARRAYOID};
	const Datum values[] = {sl_int32_array(acks->sites, acks->site_count)};
	SlAck	   *list;

	SPI_connect();
	acks->count = sl_exec("SELECT site, vector, heard_ms, ahead_ms, ahead_ms IS NOT NULL"
						  " FROM syncline.ack WHERE $1 = '{}' OR site = ANY ($1) ORDER BY site",
						  lengthof(types), types, values, NULL);
	list = MemoryContextAlloc(context, (acks->count + 1) * sizeof(SlAck));
	for (uint32 i = 0; i < acks->count; i++)
	{
		list[i].site = sl_result_int64(i, 1);
		list[i].vector = sl_result_bytes(i, 2, context);
		list[i].heard_ms = sl_result_int64(i, 3);
		list[i].ahead_ms = sl_result_int64(i, 4);
		list[i].met = sl_result_int64(i, 5) != 0;
	}
	acks->list = list;
	SPI_finish();
}

void
sl_leaf_save_acks(void *argument)
{
	SlAcks	   *acks = argument;
	static const Oid types[] = {INT4OID, BYTEAOID, INT8OID};

	SPI_connect();
	for (uint32 i = 0; i < acks->count; i++)
	{
		const SlAck *ack = &acks->list[i];
		const Datum values[] = {Int32GetDatum(ack->site), bytea_datum(ack->vector),
		Int64GetDatum(ack->heard_ms)};

		sl_exec("INSERT INTO syncline.ack (site, vector, heard_ms) VALUES ($1, $2, $3)"
				" ON CONFLICT (site) DO UPDATE SET vector = excluded.vector,"
				" heard_ms = excluded.heard_ms", lengthof(types), types, values, NULL);
	}
	SPI_finish();
}

void
sl_leaf_save_meeting(void *argument)
{
	SlAck	   *ack = argument;
	static const Oid types[] = {INT4OID, INT8OID, INT8OID};
	const Datum values[] = {Int32GetDatum(ack->site), Int64GetDatum(ack->heard_ms),
	Int64GetDatum(ack->ahead_ms)};

	SPI_connect();
	sl_exec("INSERT INTO syncline.ack (site, heard_ms, ahead_ms) VALUES ($1, $2, $3)"
			" ON CONFLICT (site) DO UPDATE SET heard_ms = excluded.heard_ms,"
			" ahead_ms = excluded.ahead_ms", lengthof(types), types, values, NULL);
	SPI_finish();
}

void
sl_leaf_drop_incoming(void *argument)
{
	static const Oid types[] = {INT4OID};
	const Datum values[] = {Int32GetDatum(*(int32_t *) argument)};

	SPI_connect();
	sl_exec("DELETE FROM syncline.incoming WHERE site = $1", lengthof(types), types, values, NULL);
	SPI_finish();
}

void
sl_leaf_predecessor(void *argument)
{
	SlPredecessor *predecessor = argument;

	SPI_connect();
	predecessor->site = -1;
	if (sl_exec("SELECT predecessor FROM syncline.self WHERE predecessor IS NOT NULL", 0, NULL,
				NULL, NULL) == 1)
		predecessor->site = sl_result_int64(0, 1);
	SPI_finish();
}

/* ---- how far it is --------------------------------------------------------------------------- */

void
sl_leaf_load_melting(void *argument)
{
	SlMelting  *melting = argument;
	MemoryContext context = CurrentMemoryContext;

	memset(melting, 0, sizeof(*melting));
	melting->done = true;
	SPI_connect();
	if (sl_exec("SELECT vector, own, under, done, tbl, key FROM syncline.melt", 0, NULL, NULL,
				NULL) == 1)
	{
		melting->melted = sl_result_bytes(0, 1, context);
		melting->own = sl_result_int64(0, 2);
		melting->under = sl_result_bytes(0, 3, context);
		melting->done = sl_result_int64(0, 4) != 0;
		melting->table = sl_result_int64(0, 5);
		melting->key = sl_result_bytes(0, 6, context);
	}
	SPI_finish();
}

void
sl_leaf_save_melting(void *argument)
{
	SlMelting  *melting = argument;
	static const Oid types[] = {BYTEAOID, INT8OID, BYTEAOID, BOOLOID, INT4OID, BYTEAOID};
	const Datum values[] = {bytea_datum(melting->melted), Int64GetDatum(melting->own),
		bytea_datum(melting->under), BoolGetDatum(melting->done), Int32GetDatum(melting->table),
	bytea_datum(melting->key)};

	SPI_connect();
	sl_exec("INSERT INTO syncline.melt (vector, own, under, done, tbl, key)"
			" VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (one) DO UPDATE"
			" SET vector = excluded.vector, own = excluded.own, under = excluded.under,"
			" done = excluded.done, tbl = excluded.tbl, key = excluded.key",
			lengthof(types), types, values, NULL);
	SPI_finish();
}

void
sl_leaf_save_melted(void *argument)
{
	SlMelting  *melting = argument;
	static const Oid types[] = {BYTEAOID, INT8OID};
	const Datum values[] = {bytea_datum(melting->melted), Int64GetDatum(melting->own)};

	SPI_connect();
	sl_exec("INSERT INTO syncline.melt (vector, own) VALUES ($1, $2) ON CONFLICT (one) DO UPDATE"
			" SET vector = excluded.vector, own = excluded.own", lengthof(types), types, values,
			NULL);
	SPI_finish();
}

void
sl_leaf_save_baseline(void *argument)
{
	SlBaseline *baseline = argument;
	static const Oid types[] = {INT4OID, INT4OID, INT8OID, INT8OID};
	const Datum values[] = {Int32GetDatum(baseline->table), Int32GetDatum(baseline->site),
	Int64GetDatum(baseline->seq), Int64GetDatum(baseline->context)};

	SPI_connect();
	sl_exec("UPDATE syncline.tbl SET baseline_site = $2, baseline_seq = $3, baseline_context = $4"
			" WHERE number = $1", lengthof(types), types, values, NULL);
	SPI_finish();
}

static bool
has_row(Oid relid)
{
	Relation	relation = table_open(relid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);
	bool		found = table_scan_getnextslot(scan, ForwardScanDirection, slot);

	ExecClearTuple(slot);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(relation, AccessShareLock);
	return found;
}

void
sl_leaf_is_empty(void *argument)
{
	SlEmpty    *empty = argument;
	SlTable    *table = sl_table_by_number(empty->table);

	sl_advance();
	empty->empty = !has_row(table->state_relid) &&
		(!empty->present || !has_row(table->relid));
}

/* ---- pruning --------------------------------------------------------------------------------- */

/*
 * Drops what was listed up to `begin`; then the list is made anew where it is mostly of rows that
 * have no state any more. Returns the number of keys.
 */
static int64
prune_list(uint32 table, int64 begin)
{
	static const Oid types[] = {INT8OID, INT4OID};
	const Datum values[] = {Int64GetDatum(begin), Int32GetDatum(table)};
	int64		dropped;

	sl_exec(psprintf("WITH gone AS (DELETE FROM syncline.arrival_%u WHERE last <= $1"
					 " RETURNING cardinality(keys) AS n)"
					 " SELECT coalesce(sum(n), 0)::int8 FROM gone WHERE $2 > 0", table),
			lengthof(types), types, values, NULL);
	dropped = sl_result_int64(0, 1);
	if (dropped > 0)
		sl_exec("UPDATE syncline.tbl SET listed_from = $1 WHERE number = $2 AND listed_from < $1",
				lengthof(types), types, values, NULL);
	sl_arrivals_settle(table);
	return dropped;
}

/* The position up to which nobody who knows what is melted needs to be told anything. */
static int64
prune_begin(void)
{
	sl_exec("SELECT least((SELECT min(begin) FROM syncline.growth),"
			" (SELECT min(begin) FROM syncline.context),"
			" (SELECT min(begin) FROM syncline.incoming),"
			" (SELECT min(position) FROM syncline.digest),"
			" (SELECT position FROM syncline.self))", 0, NULL, NULL, NULL);
	return sl_result_int64(0, 1);
}

void
sl_leaf_prune(void *argument)
{
	SlPrune    *prune = argument;
	static const Oid types[] = {INT8ARRAYOID};
	const Datum values[] = {sl_int64_array(prune->melted, prune->melted_count)};
	static const Oid own_types[] = {INT8OID};
	const Datum own[] = {Int64GetDatum(prune->own)};
	uint64		count;
	uint32	   *numbers;
	int64		begin;

	SPI_connect();
	prune->dropped = sl_exec("DELETE FROM syncline.growth"
							 " WHERE seq <= coalesce($1[site + 1], 0)", lengthof(types), types,
							 values, NULL);
	/* the witness of the last change that everybody has stays: a new id goes on from it */
	prune->dropped += sl_exec("DELETE FROM syncline.mark WHERE seq < $1", lengthof(own_types),
							  own_types, own, NULL);
	sl_exec("UPDATE syncline.melt SET pruned = $1", lengthof(own_types), own_types, own, NULL);
	begin = prune_begin();
	count = sl_exec("SELECT number FROM syncline.tbl ORDER BY number", 0, NULL, NULL, NULL);
	numbers = palloc((count + 1) * sizeof(uint32));
	for (uint64 i = 0; i < count; i++)
		numbers[i] = sl_result_int64(i, 1);
	for (uint64 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		prune->dropped += prune_list(numbers[i], begin);
	}
	SPI_finish();
}

void
sl_leaf_listed_from(void *argument)
{
	SlListed   *listed = argument;
	static const Oid types[] = {INT4OID};
	const Datum values[] = {Int32GetDatum(listed->table)};

	SPI_connect();
	sl_exec("SELECT listed_from FROM syncline.tbl WHERE number = $1", lengthof(types), types,
			values, NULL);
	listed->from = SPI_processed == 1 ? sl_result_int64(0, 1) : 0;
	SPI_finish();
}

void
sl_leaf_list_from(void *argument)
{
	SlListed   *listed = argument;
	static const Oid types[] = {INT4OID, INT8OID};
	const Datum values[] = {Int32GetDatum(listed->table), Int64GetDatum(listed->from)};

	SPI_connect();
	sl_exec("UPDATE syncline.tbl SET listed_from = $2 WHERE number = $1", lengthof(types), types,
			values, NULL);
	SPI_finish();
}
