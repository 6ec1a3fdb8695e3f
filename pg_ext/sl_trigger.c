/*
 * sl_trigger.c: capture.
 *
 * One AFTER row trigger, ENABLE ALWAYS, appends to syncline.log which row and which columns
 * changed, when, and in which order (sl_log.c). It writes no row that anyone else writes and the
 * log has no index, so it never waits. Values are not logged: they stand in the table; only a
 * deleted row's last image is.
 *
 * It trusts no argument: the table is found by oid in the registry, and the log by oid in schema
 * "syncline". On a table that is not tracked it does nothing.
 */
#include "sl_host.h"

#include "sl_log.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(sl_capture);
PG_FUNCTION_INFO_V1(sl_capture_truncate);
PG_FUNCTION_INFO_V1(sl_restored_self);
PG_FUNCTION_INFO_V1(sl_restored_log);

/* Lives until the next call. */
static SlBytes
key_of(SlTable *table, TupleTableSlot *slot)
{
	SlValue		key[INDEX_MAX_KEYS];

	for (int i = 0; i < table->key_count; i++)
	{
		int16		attnum = table->key_attnums[i];
		bool		isnull;
		Datum		datum = slot_getattr(slot, attnum, &isnull);

		if (isnull)
			elog(ERROR, "syncline: null in the primary key of table %u", table->number);
		sl_to_value(&table->types[attnum - 1], datum, &key[i]);
	}
	return slb_encode_key(key, table->key_count);
}

/* An image whose memory was not to be had is an error, not an entry without one. */
static SlBytes
checked(SlBytes image)
{
	if (image.data == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return image;
}

static bool
is_key(SlTable *table, int attnum)
{
	for (int k = 0; k < table->key_count; k++)
	{
		if (table->key_attnums[k] == attnum)
			return true;
	}
	return false;
}

/*
 * The row without its key, which the entry has anyway: an eighth of what a bulk DELETE writes into
 * the log. Lives until the next call.
 */
static SlBytes
image_of(SlTable *table, TupleTableSlot *slot)
{
	SlValue		values[MaxHeapAttributeNumber];
	uint32		columns[MaxHeapAttributeNumber];
	uint32		count = 0;

	slot_getallattrs(slot);
	for (int i = 0; i < table->natts; i++)
	{
		if (table->column_of[i] < 0 || is_key(table, i + 1))
			continue;
		columns[count] = table->column_of[i];
		if (slot->tts_isnull[i])
			values[count].kind = SL_NULL;
		else
			sl_to_value(&table->types[i], slot->tts_values[i], &values[count]);
		count++;
	}
	return checked(slb_encode_image(values, columns, count));
}

/* Are both datums the same bytes? Cheap first: most columns of most updates are. */
static bool
same_datum(Form_pg_attribute attribute, Datum a, Datum b)
{
	if (attribute->attbyval)
		return a == b;
	if (attribute->attlen == -1)
	{
		struct varlena *left = (struct varlena *) DatumGetPointer(a);
		struct varlena *right = (struct varlena *) DatumGetPointer(b);

		if (VARSIZE_ANY(left) == VARSIZE_ANY(right) &&
			memcmp(left, right, VARSIZE_ANY(left)) == 0)
			return true;
	}
	return datum_image_eq(a, b, false, attribute->attlen);
}

/* Which columns differ. *key_changed: one of the primary key does. */
static int64
changed_mask(SlTable *table, TupleTableSlot *old, TupleTableSlot *new, bool *key_changed)
{
	TupleDesc	desc = old->tts_tupleDescriptor;
	int64		mask = 0;
	bool		unknown = false;

	*key_changed = false;
	slot_getallattrs(old);
	slot_getallattrs(new);
	for (int i = 0; i < table->natts; i++)
	{
		int32		column = table->column_of[i];

		if (column == SL_IGNORED || column == SL_LOCAL)
			continue;
		if (old->tts_isnull[i] ? new->tts_isnull[i] : !new->tts_isnull[i] &&
			same_datum(TupleDescAttr(desc, i), old->tts_values[i], new->tts_values[i]))
			continue;
		if (column == SL_UNKNOWN)
			unknown = true;
		else
			mask |= sl_mask_of(column);
		*key_changed |= is_key(table, i + 1);
	}
	return unknown ? SL_MASK_ALL : mask;
}

/* What an update saw in columns whose policies want to know, where it changed them; or no image. */
static SlBytes
seen_by_update(SlTable *table, TupleTableSlot *old, TupleTableSlot *new)
{
	TupleDesc	desc = old->tts_tupleDescriptor;
	SlValue		values[MaxHeapAttributeNumber];
	uint32		columns[MaxHeapAttributeNumber];
	uint32		count = 0;

	for (int n = 0; n < table->noted_count; n++)
	{
		int			i = table->noted_attnums[n] - 1;
		bool		was_null = old->tts_isnull[i];

		if (was_null ? new->tts_isnull[i] : !new->tts_isnull[i] &&
			same_datum(TupleDescAttr(desc, i), old->tts_values[i], new->tts_values[i]))
			continue;
		columns[count] = table->column_of[i];
		if (was_null)
			values[count].kind = SL_NULL;
		else
			sl_to_value(&table->types[i], old->tts_values[i], &values[count]);
		count++;
	}
	return count == 0 ? SL_NO_IMAGE : checked(slb_encode_image(values, columns, count));
}

static void
capture_update(SlTable *table, TupleTableSlot *old, TupleTableSlot *new)
{
	bool		key_changed;
	int64		mask = changed_mask(table, old, new, &key_changed);

	if (key_changed)
	{
		sl_log_append(table->number, SL_OP_DELETE, SL_MASK_ALL, key_of(table, old),
					  image_of(table, old));
		sl_log_append(table->number, SL_OP_INSERT, SL_MASK_ALL, key_of(table, new), SL_NO_IMAGE);
	}
	else if (mask != 0)
		sl_log_append(table->number, SL_OP_UPDATE, mask, key_of(table, new),
					  table->noted_count > 0 ? seen_by_update(table, old, new) : SL_NO_IMAGE);
}

Datum
sl_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TriggerEvent event;
	SlTable    *table;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("syncline.capture can only be called as a trigger")));
	event = trigger->tg_event;
	if (!TRIGGER_FIRED_AFTER(event) || !TRIGGER_FIRED_FOR_ROW(event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("syncline.capture must be an AFTER row trigger")));
	if (sl_capture_off)
		return PointerGetDatum(NULL);
	table = sl_table_by_relid(RelationGetRelid(trigger->tg_relation));
	if (table == NULL)
		return PointerGetDatum(NULL);

	if (TRIGGER_FIRED_BY_INSERT(event))
		sl_log_append(table->number, SL_OP_INSERT, SL_MASK_ALL,
					  key_of(table, trigger->tg_trigslot), SL_NO_IMAGE);
	else if (TRIGGER_FIRED_BY_UPDATE(event))
		capture_update(table, trigger->tg_trigslot, trigger->tg_newslot);
	else
		sl_log_append(table->number, SL_OP_DELETE, SL_MASK_ALL, key_of(table, trigger->tg_trigslot),
			   image_of(table, trigger->tg_trigslot));
	return PointerGetDatum(NULL);
}

/* Logs an entry for every row that there is now, also those an older snapshot cannot see. */
static void
log_all(Relation relation, SlTable *table, int op, int64 mask)
{
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "syncline row",
											  ALLOCSET_DEFAULT_SIZES);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);
	MemoryContext old = MemoryContextSwitchTo(row);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		sl_log_append(table->number, op, mask, key_of(table, slot),
			   op == SL_OP_DELETE ? image_of(table, slot) : SL_NO_IMAGE);
		MemoryContextReset(row);
	}
	MemoryContextSwitchTo(old);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	MemoryContextDelete(row);
}

/* BEFORE TRUNCATE: logs the delete, with its image, of every row. TRUNCATE has locked the table. */
Datum
sl_capture_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	SlTable    *table;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("syncline.capture_truncate must be a BEFORE TRUNCATE trigger")));
	if (sl_capture_off)
		return PointerGetDatum(NULL);
	table = sl_table_by_relid(RelationGetRelid(trigger->tg_relation));
	if (table != NULL)
		log_all(trigger->tg_relation, table, SL_OP_DELETE, SL_MASK_ALL);
	return PointerGetDatum(NULL);
}

/* ---- entries that no trigger writes ---------------------------------------------------------- */

void
sl_log_insert(uint32 number, SlBytes key)
{

	sl_log_append(number, SL_OP_INSERT, SL_MASK_ALL, key, SL_NO_IMAGE);
}

void
sl_log_update_all(Relation relation, int64 mask)
{
	log_all(relation, sl_table_by_relid(RelationGetRelid(relation)), SL_OP_UPDATE, mask);
}

/* ---- restored dumps -------------------------------------------------------------------------- */

static HeapTuple
restored_tuple(FunctionCallInfo fcinfo, TriggerData **trigger)
{
	*trigger = (TriggerData *) fcinfo->context;
	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_INSERT((*trigger)->tg_event) ||
		!TRIGGER_FIRED_BEFORE((*trigger)->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("this function must be a BEFORE INSERT trigger")));
	return (*trigger)->tg_trigtuple;
}

/* A counter row that came from elsewhere has no witnesses: the database takes a new id. */
Datum
sl_restored_self(PG_FUNCTION_ARGS)
{
	TriggerData *trigger;
	HeapTuple	tuple = restored_tuple(fcinfo, &trigger);
	static const char *const witnesses[] = {"system_identifier", "database_oid", "file_inode"};
	int			columns[lengthof(witnesses)];
	Datum		values[lengthof(witnesses)] = {0};
	bool		nulls[lengthof(witnesses)];
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	for (int w = 0; w < lengthof(witnesses); w++)
	{
		nulls[w] = true;
		columns[w] = 0;
		for (int i = 0; i < desc->natts; i++)
		{
			if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), witnesses[w]) == 0)
				columns[w] = i + 1;
		}
		if (columns[w] == 0)
			elog(ERROR, "syncline.self has no column %s", witnesses[w]);
	}
	tuple = heap_modify_tuple_by_cols(tuple, desc, lengthof(witnesses), columns, values, nulls);
	return PointerGetDatum(tuple);
}

/*
 * Log entries that came from elsewhere were written before all that this server writes, and keep
 * their order among themselves: their WAL positions go below zero.
 */
Datum
sl_restored_log(PG_FUNCTION_ARGS)
{
	TriggerData *trigger;
	HeapTuple	tuple = restored_tuple(fcinfo, &trigger);
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			column = SL_LOG_LSN;
	bool		isnull;
	int64		lsn = DatumGetInt64(heap_getattr(tuple, SL_LOG_LSN, desc, &isnull));
	const int64 shift = INT64CONST(1) << 62;
	Datum		value = Int64GetDatum(lsn < 0 ? PG_INT64_MIN : lsn - shift);

	/*
	 * entries restored twice without a fold between: all come first, in the order of their clocks
	 */
	isnull = false;
	tuple = heap_modify_tuple_by_cols(tuple, desc, 1, &column, &value, &isnull);
	return PointerGetDatum(tuple);
}
