/*
 * sl_unique.c: does a row fit a unique or exclusion constraint? Asked before the row is written,
 * and alike for constraints that are deferrable.
 *
 * The index is searched under a dirty snapshot, as its own check at insertion does it: rows that
 * this transaction has just written count, those that it has deleted do not, and a row whose fate
 * another transaction decides is waited for, lock_timeout long.
 */
#include "sl_base.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"

void
sl_unique_init(SlBase *base, SlUnique *unique, Relation index, IndexInfo *info)
{
	Bitmapset  *attrs = NULL;
	int			attr = -1;

	unique->index = index;
	unique->info = info;
	unique->name = pstrdup(RelationGetRelationName(index));
	unique->expressions = info->ii_Expressions != NIL || info->ii_Predicate != NIL;
	pull_varattnos((Node *) info->ii_Expressions, 1, &attrs);
	for (int i = 0; i < info->ii_NumIndexKeyAttrs; i++)
	{
		if (info->ii_IndexAttrNumbers[i] > 0)
			attrs = bms_add_member(attrs, info->ii_IndexAttrNumbers[i] -
								   FirstLowInvalidHeapAttributeNumber);
	}
	unique->columns = palloc(sizeof(uint32) * (bms_num_members(attrs) + 1));
	unique->column_count = 0;
	while ((attr = bms_next_member(attrs, attr)) >= 0)
	{
		int			attnum = attr + FirstLowInvalidHeapAttributeNumber;

		if (attnum > 0 && base->table->column_of[attnum - 1] >= 0)
			unique->columns[unique->column_count++] = base->table->column_of[attnum - 1];
	}
}

/* The key's values in the index; false: the row has no say there. */
static bool
form_key(SlUnique *unique, EState *estate, TupleTableSlot *slot, Datum *values, bool *nulls)
{
	IndexInfo  *info = unique->info;
	ExprContext *context = GetPerTupleExprContext(estate);

	context->ecxt_scantuple = slot;
	if (info->ii_Predicate != NIL)
	{
		if (info->ii_PredicateState == NULL)
			info->ii_PredicateState = ExecPrepareQual(info->ii_Predicate, estate);
		if (!ExecQual(info->ii_PredicateState, context))
			return false;
	}
	FormIndexDatum(info, slot, estate, values, nulls);
	for (int i = 0; i < info->ii_NumIndexKeyAttrs; i++)
	{
		if (nulls[i] && !sl_nulls_not_distinct(info))
			return false;
	}
	return true;
}

static bool
is_exclusion(const SlUnique *unique)
{
	return unique->info->ii_ExclusionOps != NULL;
}

static void
make_scan_keys(SlUnique *unique, const Datum *values, const bool *nulls, ScanKey keys)
{
	IndexInfo  *info = unique->info;

	for (int i = 0; i < info->ii_NumIndexKeyAttrs; i++)
		ScanKeyEntryInitialize(&keys[i], nulls[i] ? SK_ISNULL | SK_SEARCHNULL : 0, i + 1,
							   is_exclusion(unique) ? info->ii_ExclusionStrats[i]
							   : info->ii_UniqueStrats[i], InvalidOid,
							   unique->index->rd_indcollation[i],
							   is_exclusion(unique) ? info->ii_ExclusionProcs[i]
							   : info->ii_UniqueProcs[i], values[i]);
}

/* A lossy index found `existing`: does it really conflict? */
static bool
truly_conflicts(SlUnique *unique, EState *estate, TupleTableSlot *existing, const Datum *values)
{
	IndexInfo  *info = unique->info;
	Datum		others[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	GetPerTupleExprContext(estate)->ecxt_scantuple = existing;
	FormIndexDatum(info, existing, estate, others, nulls);
	for (int i = 0; i < info->ii_NumIndexKeyAttrs; i++)
	{
		if (nulls[i])
			return false;
		if (!DatumGetBool(OidFunctionCall2Coll(is_exclusion(unique) ? info->ii_ExclusionProcs[i]
											   : info->ii_UniqueProcs[i],
											   unique->index->rd_indcollation[i], others[i],
											   values[i])))
			return false;
	}
	return true;
}

/*
 * Searches once. Returns true if nothing is in the way; otherwise *rival is, and *wait_for the
 * transaction that decides about it, if one does.
 */
static bool
search(SlBase *base, SlUnique *unique, EState *estate, const Datum *values, ScanKey keys,
	   ItemPointer own, ItemPointer rival, TransactionId *wait_for)
{
	SnapshotData dirty;
	IndexScanDesc scan;
	bool		fits = true;

	InitDirtySnapshot(dirty);
	scan = sl_index_beginscan(base->rel, unique->index, &dirty,
							  unique->info->ii_NumIndexKeyAttrs);
	index_rescan(scan, keys, unique->info->ii_NumIndexKeyAttrs, NULL, 0);
	while (fits && index_getnext_slot(scan, ForwardScanDirection, base->lock_slot))
	{
		if (own != NULL && ItemPointerEquals(own, &base->lock_slot->tts_tid))
			continue;
		if (scan->xs_recheck && !truly_conflicts(unique, estate, base->lock_slot, values))
			continue;
		*rival = base->lock_slot->tts_tid;
		*wait_for = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
		fits = false;
	}
	index_endscan(scan);
	ExecClearTuple(base->lock_slot);
	return fits;
}

bool
sl_unique_fits(SlBase *base, SlUnique *unique, EState *estate, TupleTableSlot *slot,
			   ItemPointer own, ItemPointer rival)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	ScanKeyData keys[INDEX_MAX_KEYS];

	if (!form_key(unique, estate, slot, values, nulls))
		return true;
	make_scan_keys(unique, values, nulls, keys);
	for (;;)
	{
		TransactionId wait_for = InvalidTransactionId;

		if (search(base, unique, estate, values, keys, own, rival, &wait_for))
			return true;
		if (!TransactionIdIsValid(wait_for))
			return false;
		XactLockTableWait(wait_for, base->rel, rival, XLTW_RecheckExclusionConstr);
	}
}
