/*
 * sl_store.c: writing base rows.
 *
 * Rows go straight to the table and its indexes, as COPY does it: no user trigger, no capture, no
 * rule, no foreign key action. So that a constraint never ends a batch, each is asked before the
 * write: NOT NULL and CHECK here, unique and exclusion constraints in sl_unique.c. The primary key
 * itself is not asked where fetching has told that the row is not there: if the insert finds one
 * all the same, another transaction made it meanwhile, and the whole apply is run again.
 *
 * What still raises (an index entry too long, a CHECK that divides by zero) is caught by the caller
 * in a subtransaction, which then leaves out the row at which it happened.
 */
#include "sl_base.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Rows written to the heap at a time, before their index entries. */
#define MULTI_INSERT_MAX 256

struct SlWriter
{
	EState	   *estate;
	ResultRelInfo *result;
	ExprState **defaults;		/* by attnum - 1 */
	bool		generated;
	ExprState **checks;
	int			check_count;
	SlUnique   *asked;			/* constraints to be asked */
	int			asked_count;
	uint32	   *claimed;		/* columns of all of these */
	uint32		claimed_count;
	TupleDesc	desc;			/* a copy: slots of a relation's own cost bookkeeping each */
	TupleTableSlot **slots;		/* the rows at hand */
	uint32		slot_count;
	ItemPointerData *places;	/* of rows to update or delete */
	uint32		place_count;
	int			converting;		/* attnum at work, 0: none */
	const char *checking;		/* constraint at work */
};

/* ---- opening --------------------------------------------------------------------------------- */

/* What two rows are compared by, whichever constraint they meet in (StoreOutcome). */
static void
gather_claimed(SlBase *base)
{
	SlWriter   *writer = base->writer;
	Bitmapset  *columns = NULL;
	int			column = -1;

	for (int i = 0; i < writer->asked_count; i++)
	{
		SlUnique   *asked = &writer->asked[i];

		for (uint32 j = 0; j < asked->column_count; j++)
			columns = bms_add_member(columns, (int) asked->columns[j]);
	}
	writer->claimed = palloc(sizeof(uint32) * Max(1, bms_num_members(columns)));
	while ((column = bms_next_member(columns, column)) >= 0)
		writer->claimed[writer->claimed_count++] = (uint32) column;
}

static void
open_indexes(SlBase *base)
{
	SlWriter   *writer = base->writer;
	ResultRelInfo *result = writer->result;

	ExecOpenIndices(result, true);
	writer->asked = palloc0(sizeof(SlUnique) * Max(1, result->ri_NumIndices));
	for (int i = 0; i < result->ri_NumIndices; i++)
	{
		IndexInfo  *info = result->ri_IndexRelationInfo[i];

		if (!info->ii_Unique && info->ii_ExclusionOps == NULL)
			continue;
		if (RelationGetRelid(result->ri_IndexRelationDescs[i]) == base->table->key_index &&
			!base->loose)
			continue;
		sl_unique_init(base, &writer->asked[writer->asked_count++],
					   result->ri_IndexRelationDescs[i], info);
	}
	gather_claimed(base);
}

static void
prepare_expressions(SlBase *base)
{
	SlWriter   *writer = base->writer;
	TupleDesc	desc = RelationGetDescr(base->rel);
	TupleConstr *constr = desc->constr;

	writer->defaults = palloc0(sizeof(ExprState *) * Max(1, desc->natts));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Node	   *expression;

		if (attribute->attisdropped || attribute->attgenerated != '\0')
			continue;
		expression = build_column_default(base->rel, i + 1);
		if (expression != NULL)
			writer->defaults[i] = ExecPrepareExpr((Expr *) expression, writer->estate);
	}
	if (constr == NULL)
		return;
	writer->generated = constr->has_generated_stored;
	writer->checks = palloc0(sizeof(ExprState *) * Max(1, constr->num_check));
	writer->check_count = constr->num_check;
	for (int i = 0; i < constr->num_check; i++)
	{
		Expr	   *condition = sl_check_condition(base->rel, &constr->check[i]);

		/* none: ExecCheck takes that for fulfilled */
		if (condition != NULL)
			writer->checks[i] = ExecPrepareExpr(condition, writer->estate);
	}
}

static void
open_writer(SlBase *base)
{
	MemoryContext old = MemoryContextSwitchTo(base->context);
	SlWriter   *writer = palloc0(sizeof(SlWriter));

	base->writer = writer;
	writer->estate = CreateExecutorState();
	MemoryContextSwitchTo(writer->estate->es_query_cxt);
	writer->result = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->result, base->rel, 0, NULL, 0);
	/* no trigger at all: what the internal ones check is asked in other ways */
	writer->result->ri_TrigDesc = NULL;
	open_indexes(base);
	prepare_expressions(base);
	MemoryContextSwitchTo(old);
}

void
sl_writer_close(SlBase *base)
{
	SlWriter   *writer = base->writer;

	for (uint32 i = 0; i < writer->slot_count; i++)
		ExecDropSingleTupleTableSlot(writer->slots[i]);
	ExecCloseIndices(writer->result);
	FreeExecutorState(writer->estate);
	base->writer = NULL;
}

static void
make_room(SlBase *base, uint32 count)
{
	SlWriter   *writer = base->writer;
	MemoryContext old = MemoryContextSwitchTo(base->context);

	if (writer->slot_count < count)
	{
		TupleTableSlot **slots = palloc(sizeof(TupleTableSlot *) * count);

		for (uint32 i = 0; i < writer->slot_count; i++)
			slots[i] = writer->slots[i];
		if (writer->desc == NULL)
			writer->desc = CreateTupleDescCopyConstr(RelationGetDescr(base->rel));
		for (uint32 i = writer->slot_count; i < count; i++)
			slots[i] = MakeSingleTupleTableSlot(writer->desc, table_slot_callbacks(base->rel));
		writer->slots = slots;
		writer->slot_count = count;
	}
	if (writer->place_count < count)
	{
		writer->places = palloc(sizeof(ItemPointerData) * count);
		writer->place_count = count;
	}
	MemoryContextSwitchTo(old);
}

/* Looks up the rows to be updated or deleted, and takes copies of the former. */
void
sl_leaf_write_begin(void *argument)
{
	SlWriteBatch *batch = argument;
	SlBase	   *base = batch->base;
	SlWriter   *writer;

	if (base->writer == NULL)
		open_writer(base);
	writer = base->writer;
	make_room(base, batch->count);
	batch->raced = false;
	for (uint32 i = 0; i < batch->count; i++)
	{
		SlWrite    *write = &batch->writes[i];

		ExecClearTuple(writer->slots[i]);
		if (write->action != SL_WRITE_UPDATE && write->action != SL_WRITE_ERASE)
			continue;
		writer->places[i] = base->locked[write->row];
		if (!ItemPointerIsValid(&writer->places[i]))
			batch->raced = true;
		else if (write->action == SL_WRITE_UPDATE)
		{
			if (table_tuple_fetch_row_version(base->rel, &writer->places[i], GetActiveSnapshot(),
											  base->slot))
			{
				ExecCopySlot(writer->slots[i], base->slot);
				/* a buffer pinned here must not be let go in a subtransaction */
				ExecMaterializeSlot(writer->slots[i]);
			}
			else
				batch->raced = true;
		}
	}
	ExecClearTuple(base->slot);
}

/* ---- preparing ------------------------------------------------------------------------------- */

static void
refuse(SlWrite *write, const char *format, const char *name)
{
	write->outcome = SL_OUTCOME_REFUSED;
	write->unique = false;
	snprintf(write->reason, sizeof(write->reason), format, name);
}

static Datum
default_value(SlBase *base, int attnum, bool *isnull)
{
	SlWriter   *writer = base->writer;
	ExprState  *expression = writer->defaults[attnum - 1];
	static const SlValue null = {.kind = SL_NULL};

	if (expression != NULL)
		return ExecEvalExpr(expression, GetPerTupleExprContext(writer->estate), isnull);
	*isnull = true;
	if (base->table->column_of[attnum - 1] < 0)
		return (Datum) 0;
	/* a domain may forbid null */
	return sl_to_datum(&base->table->types[attnum - 1], &null, isnull);
}

/* The values of a new row, or of an updated one, as arrays by attribute. */
static void
convert(SlBase *base, const SlWrite *write, Datum *datums, bool *nulls)
{
	SlTable    *table = base->table;
	SlWriter   *writer = base->writer;
	bool		insert = write->action == SL_WRITE_INSERT;
	int			count = insert ? table->natts : (int) write->changed_count;

	for (int i = 0; i < count; i++)
	{
		int			attnum = insert ? i + 1 : table->attnum_of[write->changed[i]];
		int			column = attnum > 0 ? table->column_of[attnum - 1] : SL_IGNORED;
		const SlValue *value = column >= 0 ? &write->values[column] : NULL;

		/* a local column of a new row takes its default */
		if (column == SL_IGNORED)
			continue;
		writer->converting = attnum;
		if (value == NULL || value->kind == SL_ABSENT || value->kind == SL_SAME)
		{
			/* the version shown gave the column no value: what stood there goes */
			if (insert || (value != NULL && value->kind == SL_ABSENT))
				datums[attnum - 1] = default_value(base, attnum, &nulls[attnum - 1]);
		}
		else
			datums[attnum - 1] = sl_to_datum(&table->types[attnum - 1], value,
											 &nulls[attnum - 1]);
	}
	writer->converting = 0;
}

static void
fill_slot(SlBase *base, const SlWrite *write, TupleTableSlot *slot)
{
	int			natts = base->table->natts;
	Datum	   *datums = palloc0(sizeof(Datum) * Max(1, natts));
	bool	   *nulls = palloc(sizeof(bool) * Max(1, natts));

	if (write->action == SL_WRITE_INSERT)
		memset(nulls, true, natts);
	else
	{
		HeapTuple	changed;

		slot_getallattrs(slot);
		memcpy(datums, slot->tts_values, sizeof(Datum) * natts);
		memcpy(nulls, slot->tts_isnull, sizeof(bool) * natts);
		convert(base, write, datums, nulls);
		changed = heap_form_tuple(RelationGetDescr(base->rel), datums, nulls);
		ExecForceStoreHeapTuple(changed, slot, true);
		return;
	}
	convert(base, write, datums, nulls);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, datums, sizeof(Datum) * natts);
	memcpy(slot->tts_isnull, nulls, sizeof(bool) * natts);
	ExecStoreVirtualTuple(slot);
}

/* Asks NOT NULL and CHECK. */
static void
check_row(SlBase *base, SlWrite *write, TupleTableSlot *slot)
{
	SlWriter   *writer = base->writer;
	TupleDesc	desc = RelationGetDescr(base->rel);
	TupleConstr *constr = desc->constr;
	ExprContext *context = GetPerTupleExprContext(writer->estate);

	if (constr == NULL)
		return;
	for (int i = 0; constr->has_not_null && i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attnotnull && slot_attisnull(slot, i + 1))
		{
			refuse(write, "column \"%s\" does not accept null", NameStr(attribute->attname));
			return;
		}
	}
	context->ecxt_scantuple = slot;
	for (int i = 0; i < writer->check_count; i++)
	{
		writer->checking = constr->check[i].ccname;
		if (!ExecCheck(writer->checks[i], context))
		{
			refuse(write, "check constraint \"%s\"", constr->check[i].ccname);
			break;
		}
	}
	writer->checking = NULL;
}

void
sl_leaf_write_prepare(void *argument)
{
	SlWriteBatch *batch = argument;
	SlBase	   *base = batch->base;
	SlWriter   *writer = base->writer;
	MemoryContext old = MemoryContextSwitchTo(base->batch);

	for (batch->next = batch->first; batch->next < batch->end; batch->next++)
	{
		SlWrite    *write = &batch->writes[batch->next];
		TupleTableSlot *slot = writer->slots[batch->next];

		if (write->outcome != SL_OUTCOME_OPEN ||
			(write->action != SL_WRITE_INSERT && write->action != SL_WRITE_UPDATE))
			continue;
		fill_slot(base, write, slot);
		if (write->action == SL_WRITE_INSERT && !base->fits[write->row])
		{
			refuse(write, "table \"%s\" would spell this key differently",
				   RelationGetRelationName(base->rel));
			continue;
		}
		if (writer->generated)
		{
			writer->checking = "generated column";
			sl_compute_generated(writer->result, writer->estate, slot);
			writer->checking = NULL;
		}
		check_row(base, write, slot);
		ResetPerTupleExprContext(writer->estate);
	}
	MemoryContextSwitchTo(old);
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool
touches(const SlUnique *asked, const SlWrite *write)
{
	if (write->action == SL_WRITE_INSERT || asked->expressions)
		return true;
	for (uint32 i = 0; i < asked->column_count; i++)
		for (uint32 j = 0; j < write->changed_count; j++)
			if (asked->columns[i] == write->changed[j])
				return true;
	return false;
}

static void
ask_all(SlBase *base, SlWrite *write, TupleTableSlot *slot, ItemPointer own)
{
	SlWriter   *writer = base->writer;

	for (int i = 0; i < writer->asked_count; i++)
	{
		SlUnique   *asked = &writer->asked[i];
		ItemPointerData rival;

		if (!touches(asked, write) ||
			sl_unique_fits(base, asked, writer->estate, slot, own, &rival))
			continue;
		refuse(write, "unique constraint \"%s\"", asked->name);
		write->unique = true;
		write->claimed = writer->claimed;
		write->claimed_count = writer->claimed_count;
		if (table_tuple_fetch_row_version(base->rel, &rival, SnapshotAny, base->lock_slot))
			write->rival = sl_slot_key(base, base->lock_slot);
		ExecClearTuple(base->lock_slot);
		return;
	}
}

/* Adds the index entries of a row. */
static void
add_to_indexes(SlBase *base, TupleTableSlot *slot, bool update)
{
	SlWriter   *writer = base->writer;
	List	   *recheck;

	if (writer->result->ri_NumIndices == 0)
		return;
	recheck = sl_insert_index_tuples(writer->result, slot, writer->estate, update);
	/* a deferrable constraint was met after it had been asked */
	if (recheck != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("duplicate key value violates a deferrable unique constraint")));
	ResetPerTupleExprContext(writer->estate);
}

/* Inserts rows from batch->next on, as many as follow each other; leaves `next` at the last. */
static void
insert_run(SlWriteBatch *batch)
{
	SlBase	   *base = batch->base;
	SlWriter   *writer = base->writer;
	TupleTableSlot *run[MULTI_INSERT_MAX];
	uint32		rows[MULTI_INSERT_MAX];
	int			count = 0;
	uint32		i;

	for (i = batch->next; i < batch->end && count < MULTI_INSERT_MAX; i++)
	{
		SlWrite    *write = &batch->writes[i];

		if (write->outcome != SL_OUTCOME_OPEN)
			continue;
		if (write->action != SL_WRITE_INSERT)
			break;
		rows[count] = i;
		run[count++] = writer->slots[i];
	}
	table_multi_insert(base->rel, run, count, GetCurrentCommandId(true), 0, NULL);
	for (int j = 0; j < count; j++)
	{
		batch->next = rows[j];
		add_to_indexes(base, run[j], false);
	}
	batch->next = i - 1;
}

static void
write_one(SlWriteBatch *batch)
{
	SlBase	   *base = batch->base;
	SlWriter   *writer = base->writer;
	SlWrite    *write = &batch->writes[batch->next];
	TupleTableSlot *slot = writer->slots[batch->next];
	ItemPointer place = &writer->places[batch->next];
	bool		update_indexes;

	switch (write->action)
	{
		case SL_WRITE_INSERT:
			if (batch->ask_only)
			{
				ask_all(base, write, slot, NULL);
				break;
			}
			if (writer->asked_count == 0)
			{
				insert_run(batch);
				break;
			}
			ask_all(base, write, slot, NULL);
			if (write->outcome != SL_OUTCOME_OPEN)
				break;
			table_tuple_insert(base->rel, slot, GetCurrentCommandId(true), 0, NULL);
			add_to_indexes(base, slot, false);
			break;
		case SL_WRITE_UPDATE:
			ask_all(base, write, slot, place);
			if (write->outcome != SL_OUTCOME_OPEN)
				break;
			sl_table_tuple_update(base->rel, place, slot, GetActiveSnapshot(), &update_indexes);
			if (update_indexes)
				add_to_indexes(base, slot, true);
			break;
		case SL_WRITE_ERASE:
			simple_table_tuple_delete(base->rel, place, GetActiveSnapshot());
			break;
		default:
			break;
	}
}

/* A subtransaction that failed has released the buffer that the slot may still name. */
static void
forget_buffer(TupleTableSlot *slot)
{
	if (TTS_IS_BUFFERTUPLE(slot))
		((BufferHeapTupleTableSlot *) slot)->buffer = InvalidBuffer;
	ExecClearTuple(slot);
}

void
sl_leaf_write_apply(void *argument)
{
	SlWriteBatch *batch = argument;
	SlBase	   *base = batch->base;
	MemoryContext old = MemoryContextSwitchTo(base->batch);

	forget_buffer(base->lock_slot);
	for (batch->next = batch->first; batch->next < batch->end; batch->next++)
	{
		if (batch->writes[batch->next].outcome == SL_OUTCOME_OPEN)
			write_one(batch);
	}
	MemoryContextSwitchTo(old);
}

void
sl_write_refuse(SlWriteBatch *batch, const SlFailure *failure)
{
	SlBase	   *base = batch->base;
	SlWriter   *writer = base->writer;
	SlWrite    *write = &batch->writes[batch->next];

	write->outcome = SL_OUTCOME_REFUSED;
	write->unique = false;
	if (writer->converting > 0)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(base->rel),
													writer->converting - 1);

		snprintf(write->reason, sizeof(write->reason),
				 "column \"%s\" cannot hold the value (SQLSTATE %s)", NameStr(attribute->attname),
				 failure->sqlstate);
	}
	else if (writer->checking != NULL)
		snprintf(write->reason, sizeof(write->reason), "%s: evaluation failed (SQLSTATE %s)",
				 writer->checking, failure->sqlstate);
	else if (failure->constraint[0] != '\0')
		snprintf(write->reason, sizeof(write->reason), "constraint \"%s\"", failure->constraint);
	else
		snprintf(write->reason, sizeof(write->reason), "%s (SQLSTATE %s)", failure->message,
				 failure->sqlstate);
	writer->converting = 0;
	writer->checking = NULL;
}
