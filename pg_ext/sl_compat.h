/*
 * sl_compat.h: differences between PostgreSQL releases. Every test of PG_VERSION_NUM lives here.
 */
#ifndef SL_COMPAT_H
#define SL_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "syncline needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "access/tableam.h"
#include "access/genam.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

/* An interval as text in the style "postgres". `text` has room for MAXDATELEN + 1. */
static inline void
sl_encode_interval(const Interval *interval, char *text)
{
	struct pg_itm itm;

#if PG_VERSION_NUM >= 170000
	if (INTERVAL_NOT_FINITE(interval))
	{
		EncodeSpecialInterval(interval, text);
		return;
	}
#endif
	interval2itm(*interval, &itm);
	EncodeInterval(&itm, INTSTYLE_POSTGRES, text);
}

/* Splits a qualified name; an error if it is malformed. */
static inline List *
sl_qualified_name_list(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return stringToQualifiedNameList(name, NULL);
#else
	return stringToQualifiedNameList(name);
#endif
}

/* The index of the primary key, or InvalidOid. */
static inline Oid
sl_primary_key_index(Relation relation)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(relation, true);
#else
	return RelationGetPrimaryKeyIndex(relation);
#endif
}

/* Begins a scan of an index for `key_count` keys, to be set by index_rescan. */
static inline IndexScanDesc
sl_index_beginscan(Relation relation, Relation index, Snapshot snapshot, int key_count)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(relation, index, snapshot, NULL, key_count, 0);
#else
	return index_beginscan(relation, index, snapshot, key_count, 0);
#endif
}

/* Adds a row's index entries; returns the deferrable constraints that have to be checked again. */
static inline List *
sl_insert_index_tuples(ResultRelInfo *target, TupleTableSlot *slot, EState *estate, bool update)
{
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(target, slot, estate, update, false, NULL, NIL, false);
#else
	return ExecInsertIndexTuples(target, slot, estate, update, false, NULL, NIL);
#endif
}

/* Replaces a row that nobody else can be changing. *indexes: it needs new index entries. */
static inline void
sl_table_tuple_update(Relation relation, ItemPointer tid, TupleTableSlot *slot, Snapshot snapshot,
					  bool *indexes)
{
#if PG_VERSION_NUM >= 160000
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
#else
	SetSingleFuncCall(fcinfo, 0);
#endif
}

/* Is `roleid` the owner of the table? */
static inline bool
sl_owns_table(Oid relid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, roleid);
#else
	return pg_class_ownercheck(relid, roleid);
#endif
}

/* Is `roleid` the owner of the database? */
static inline bool
sl_owns_database(Oid dbid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, dbid, roleid);
#else
	return pg_database_ownercheck(dbid, roleid);
#endif
}

/* Computes the stored generated columns of a row. */
static inline void
sl_compute_generated(ResultRelInfo *result, EState *estate, TupleTableSlot *slot)
{
	ExecComputeStoredGenerated(result, estate, slot, CMD_INSERT);
}

/* Does a unique index take nulls for equal? */
static inline bool
sl_nulls_not_distinct(const IndexInfo *info)
{
#if PG_VERSION_NUM >= 150000
	return info->ii_NullsNotDistinct;
#else
	return false;
#endif
}

/* The columns and operators of a foreign key. */
static inline void
sl_deconstruct_fk(HeapTuple tuple, int *count, AttrNumber *child, AttrNumber *parent,
				  Oid *operators)
{
	Oid			child_operators[INDEX_MAX_KEYS];
	Oid			parent_operators[INDEX_MAX_KEYS];
#if PG_VERSION_NUM >= 150000
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
