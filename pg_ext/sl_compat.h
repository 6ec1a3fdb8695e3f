/*
 * sl_compat.h: differences between PostgreSQL releases. Every test of PG_VERSION_NUM lives here.
 *
 * Written for 13 to 18, each difference from the released headers; compiled and tested on 15.
 */
#ifndef SL_COMPAT_H
#define SL_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 130000
#error "syncline needs PostgreSQL 13 or later"
#endif

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_database.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"

#if PG_VERSION_NUM < 140000
#include "catalog/indexing.h"	/* 14: index oids moved to the headers of their catalogs */
#include "pgstat.h"				/* 14: wait events got a header */
#else
#include "utils/wait_event.h"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"				/* 16: no longer part of postgres.h */
#endif

/* The timeline that this server writes. */
static inline int64
sl_timeline(void)
{
#if PG_VERSION_NUM >= 150000
	return GetWALInsertionTimeLine();
#else
	(void) RecoveryInProgress();	/* sets it */
	return ThisTimeLineID;
#endif
}

#ifndef TUPLESORT_NONE
#define TUPLESORT_NONE false	/* 15: was a flag, random access or not */
#endif

/* The next value of a sort of datums that are not null, copied into the current context. */
static inline bool
sl_tuplesort_copy_datum(Tuplesortstate *sort, Datum *value)
{
	bool		isnull;

#if PG_VERSION_NUM >= 160000	/* may hand out its own */
	return tuplesort_getdatum(sort, true, true, value, &isnull, NULL);
#else
	return tuplesort_getdatum(sort, true, value, &isnull, NULL);
#endif
}

/* An interval as text in the style "postgres". `text` has room for MAXDATELEN + 1. */
static inline void
sl_encode_interval(const Interval *interval, char *text)
{
#if PG_VERSION_NUM >= 150000	/* struct pg_itm */
	struct pg_itm itm;

#if PG_VERSION_NUM >= 170000	/* infinite intervals */
	if (INTERVAL_NOT_FINITE(interval))
	{
		EncodeSpecialInterval(interval, text);
		return;
	}
#endif
	interval2itm(*interval, &itm);
	EncodeInterval(&itm, INTSTYLE_POSTGRES, text);
#else
	struct pg_tm tm;
	fsec_t		fraction;

	if (interval2tm(*interval, &tm, &fraction) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("interval out of range")));
	EncodeInterval(&tm, fraction, INTSTYLE_POSTGRES, text);
#endif
}

/* The index of the primary key, or InvalidOid. */
static inline Oid
sl_primary_key_index(Relation relation)
{
#if PG_VERSION_NUM >= 180000	/* deferrable_ok */
	return RelationGetPrimaryKeyIndex(relation, true);
#else
	return RelationGetPrimaryKeyIndex(relation);
#endif
}

/* Begins a scan of an index for `key_count` keys, to be set by index_rescan. */
static inline IndexScanDesc
sl_index_beginscan(Relation relation, Relation index, Snapshot snapshot, int key_count)
{
#if PG_VERSION_NUM >= 180000	/* instrumentation */
	return index_beginscan(relation, index, snapshot, NULL, key_count, 0);
#else
	return index_beginscan(relation, index, snapshot, key_count, 0);
#endif
}

/* Adds a row's index entries; returns the deferrable constraints that have to be checked again. */
static inline List *
sl_insert_index_tuples(ResultRelInfo *target, TupleTableSlot *slot, EState *estate, bool update)
{
#if PG_VERSION_NUM >= 160000	/* only_summarizing */
	return ExecInsertIndexTuples(target, slot, estate, update, false, NULL, NIL, false);
#elif PG_VERSION_NUM >= 140000	/* the target as an argument, `update` */
	return ExecInsertIndexTuples(target, slot, estate, update, false, NULL, NIL);
#else
	ResultRelInfo *before = estate->es_result_relation_info;
	List	   *recheck;

	estate->es_result_relation_info = target;
	recheck = ExecInsertIndexTuples(slot, estate, false, NULL, NIL);
	estate->es_result_relation_info = before;
	return recheck;
#endif
}

/* Adds a row's entry to an index. `unique`: an error if there is another row with its key. */
static inline void
sl_index_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
				bool unique, struct IndexInfo *info)
{
	IndexUniqueCheck check = unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;

#if PG_VERSION_NUM >= 140000	/* index_unchanged */
	(void) index_insert(index, values, isnull, tid, heap, check, false, info);
#else
	(void) index_insert(index, values, isnull, tid, heap, check, info);
#endif
}

/* Replaces a row that nobody else can be changing. *indexes: it needs new index entries. */
static inline void
sl_table_tuple_update(Relation relation, ItemPointer tid, TupleTableSlot *slot, Snapshot snapshot,
					  bool *indexes)
{
#if PG_VERSION_NUM >= 160000	/* summarizing indexes */
	TU_UpdateIndexes update;

	simple_table_tuple_update(relation, tid, slot, snapshot, &update);
	*indexes = update != TU_None;
#else
	simple_table_tuple_update(relation, tid, slot, snapshot, indexes);
#endif
}

/* Prepares a set-returning function that fills fcinfo's tuplestore. */
static inline void
sl_begin_rows(FunctionCallInfo fcinfo)
{
#if PG_VERSION_NUM >= 160000
	InitMaterializedSRF(fcinfo, 0);
#elif PG_VERSION_NUM >= 150000	/* its first name */
	SetSingleFuncCall(fcinfo, 0);
#else
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	TupleDesc	desc;

	if (result == NULL || !IsA(result, ReturnSetInfo) ||
		(result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a function that returns rows was called where they cannot be taken")));
	old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	result->returnMode = SFRM_Materialize;
	result->setResult = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
											  false, work_mem);
	result->setDesc = CreateTupleDescCopy(desc);
	MemoryContextSwitchTo(old);
#endif
}

/* Is `roleid` the owner of the table? */
static inline bool
sl_owns_table(Oid relid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000	/* one function for all kinds */
	return object_ownercheck(RelationRelationId, relid, roleid);
#else
	return pg_class_ownercheck(relid, roleid);
#endif
}

/* Is `roleid` the owner of the database? */
static inline bool
sl_owns_database(Oid dbid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000	/* one function for all kinds */
	return object_ownercheck(DatabaseRelationId, dbid, roleid);
#else
	return pg_database_ownercheck(dbid, roleid);
#endif
}

/* The role, quoted, that stands for the owner of the database. */
static inline const char *
sl_owner_role(void)
{
#if PG_VERSION_NUM >= 140000
	return "pg_database_owner";
#else
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for database %u", MyDatabaseId);
	owner = ((Form_pg_database) GETSTRUCT(tuple))->datdba;
	ReleaseSysCache(tuple);
	return quote_identifier(GetUserNameFromId(owner, false));
#endif
}

/* Computes the stored generated columns of a row. */
static inline void
sl_compute_generated(ResultRelInfo *result, EState *estate, TupleTableSlot *slot)
{
#if PG_VERSION_NUM >= 140000	/* the target as an argument */
	ExecComputeStoredGenerated(result, estate, slot, CMD_INSERT);
#else
	ResultRelInfo *before = estate->es_result_relation_info;

	estate->es_result_relation_info = result;
	ExecComputeStoredGenerated(estate, slot, CMD_INSERT);
	estate->es_result_relation_info = before;
#endif
}

/* Does a unique index take nulls for equal? */
static inline bool
sl_nulls_not_distinct(const IndexInfo *info)
{
#if PG_VERSION_NUM >= 150000	/* NULLS NOT DISTINCT */
	return info->ii_NullsNotDistinct;
#else
	return false;
#endif
}

/* Is it a foreign key that is to hold? */
static inline bool
sl_is_foreign_key(Form_pg_constraint constraint)
{
#if PG_VERSION_NUM >= 180000	/* NOT ENFORCED */
	if (!constraint->conenforced)
		return false;
#endif
	return constraint->contype == CONSTRAINT_FOREIGN;
}

/* The condition of a check constraint, or NULL if it need not hold. */
static inline Expr *
sl_check_condition(Relation relation, const ConstrCheck *check)
{
#if PG_VERSION_NUM >= 180000	/* NOT ENFORCED, virtual generated columns */
	if (!check->ccenforced)
		return NULL;
	return (Expr *) expand_generated_columns_in_expr(stringToNode(check->ccbin), relation, 1);
#else
	return stringToNode(check->ccbin);
#endif
}

/* The columns and operators of a foreign key. */
static inline void
sl_deconstruct_fk(HeapTuple tuple, int *count, AttrNumber *child, AttrNumber *parent,
				  Oid *operators)
{
	Oid			child_operators[INDEX_MAX_KEYS];
	Oid			parent_operators[INDEX_MAX_KEYS];
#if PG_VERSION_NUM >= 150000	/* ON DELETE SET NULL (columns) */
	AttrNumber	set_columns[INDEX_MAX_KEYS];
	int			set_count;

	DeconstructFkConstraintRow(tuple, count, child, parent, operators, parent_operators,
							   child_operators, &set_count, set_columns);
#else
	DeconstructFkConstraintRow(tuple, count, child, parent, operators, parent_operators,
							   child_operators);
#endif
}

/* " COLLATE schema.name" of a pg_collation tuple. */
static inline const char *
sl_collation_clause(HeapTuple tuple)
{
	Form_pg_collation collation = (Form_pg_collation) GETSTRUCT(tuple);

	return psprintf(" COLLATE %s",
					quote_qualified_identifier(get_namespace_name(collation->collnamespace),
											   NameStr(collation->collname)));
}

#endif
