/*
 * sl_foreign.c: foreign keys. Applying writes rows without their triggers, so at the end of a chunk
 * it asks which rows point to nothing; the core sets those aside.
 *
 * Two statements a foreign key, whatever the number of rows: the first locks the parents that the
 * rows written point to, as PostgreSQL's own check does (FOR KEY SHARE), so that nobody deletes
 * them before we commit; the second finds the rows without one. They run as the owner of the
 * bookkeeping, as the server's own checks run as the owner of the tables, with every name and
 * operator qualified.
 */
#include "sl_host.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "sl_exchange.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

typedef struct ForeignKey
{
	const char *name;
	Oid			child;
	Oid			parent;
	int			count;
	AttrNumber	child_columns[INDEX_MAX_KEYS];
	AttrNumber	parent_columns[INDEX_MAX_KEYS];
	Oid			operators[INDEX_MAX_KEYS];	/* parent's column = child's column */
	bool		match_full;
	char		on_delete;				/* FKCONSTR_ACTION_... */
} ForeignKey;

/* Keys of one table as parameters of a statement: an array a key column. */
typedef struct KeyArrays
{
	SlTable    *table;
	int			count;
	Oid			types[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS];
} KeyArrays;

typedef struct Found
{
	SlRef	   *refs;
	uint32		count;
	uint32		capacity;
} Found;

/* ---- the catalog ----------------------------------------------------------------------------- */

static void
read_foreign_key(HeapTuple tuple, ForeignKey *key)
{
	Form_pg_constraint constraint = (Form_pg_constraint) GETSTRUCT(tuple);

	memset(key, 0, sizeof(*key));
	key->name = pstrdup(NameStr(constraint->conname));
	key->child = constraint->conrelid;
	key->parent = constraint->confrelid;
	key->match_full = constraint->confmatchtype == FKCONSTR_MATCH_FULL;
	key->on_delete = constraint->confdeltype;
	sl_deconstruct_fk(tuple, &key->count, key->child_columns, key->parent_columns,
					  key->operators);
}

/* The foreign keys of `child`, or those that refer to `parent`; the other is InvalidOid. */
static List *
foreign_keys(Oid child, Oid parent)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData keys[1];
	HeapTuple	tuple;
	List	   *found = NIL;

	if (OidIsValid(child))
		ScanKeyInit(keys, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(child));
	else
		ScanKeyInit(keys, Anum_pg_constraint_confrelid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(parent));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, OidIsValid(child),
							  NULL, 1, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		ForeignKey *key;

		if (!sl_is_foreign_key((Form_pg_constraint) GETSTRUCT(tuple)))
			continue;
		key = palloc(sizeof(ForeignKey));
		read_foreign_key(tuple, key);
		found = lappend(found, key);
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	return found;
}

static bool
is_key_column(const SlTable *table, AttrNumber attnum)
{
	for (int i = 0; i < table->key_count; i++)
		if (table->key_attnums[i] == attnum)
			return true;
	return false;
}

static SlReference *
reference_of(SlReference *list, uint32 *count, uint32 number)
{
	for (uint32 i = 0; i < *count; i++)
		if (list[i].number == number)
			return &list[i];
	list[*count].number = number;
	return &list[(*count)++];
}

static void
note_referred(SlReference *reference, const SlTable *table, const ForeignKey *key)
{
	uint32	   *columns = palloc(sizeof(uint32) * (reference->column_count + key->count));

	reference->referred = true;
	memcpy(columns, reference->columns, sizeof(uint32) * reference->column_count);
	for (int i = 0; i < key->count; i++)
	{
		AttrNumber	attnum = key->parent_columns[i];

		if (!is_key_column(table, attnum) && table->column_of[attnum - 1] >= 0)
			columns[reference->column_count++] = table->column_of[attnum - 1];
	}
	reference->columns = columns;
}

/* What the core can act upon; false for a key that refers to anything but a primary key. */
static bool
describe_foreign_key(const ForeignKey *key, SlForeignKey *out)
{
	const SlTable *child = sl_table_by_relid(key->child);
	const SlTable *parent = sl_table_by_relid(key->parent);
	uint32	   *columns;

	if (child == NULL || parent == NULL || key->count != parent->key_count)
		return false;
	columns = palloc(sizeof(uint32) * key->count);
	for (int part = 0; part < parent->key_count; part++)
	{
		int			at = 0;

		while (at < key->count && key->parent_columns[at] != parent->key_attnums[part])
			at++;
		if (at == key->count || child->column_of[key->child_columns[at] - 1] < 0)
			return false;
		columns[part] = child->column_of[key->child_columns[at] - 1];
	}
	*out = (SlForeignKey) {child->number, parent->number, key->on_delete, columns, key->count};
	return true;
}

void
sl_leaf_references(void *argument)
{
	SlReferences *out = argument;
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(constraints, InvalidOid, false, NULL, 0, NULL);
	List	   *keys = NIL;
	ListCell   *cell;
	HeapTuple	tuple;
	SlReference *list;
	SlForeignKey *described;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		ForeignKey *key;

		if (!sl_is_foreign_key((Form_pg_constraint) GETSTRUCT(tuple)))
			continue;
		key = palloc(sizeof(ForeignKey));
		read_foreign_key(tuple, key);
		keys = lappend(keys, key);
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);

	list = palloc0(sizeof(SlReference) * (2 * list_length(keys) + 1));
	described = palloc(sizeof(SlForeignKey) * (list_length(keys) + 1));
	out->count = out->key_count = 0;
	foreach(cell, keys)
	{
		ForeignKey *key = lfirst(cell);
		SlTable    *table = sl_table_by_relid(key->child);

		if (table != NULL)
			reference_of(list, &out->count, table->number)->refers = true;
		table = sl_table_by_relid(key->parent);
		if (table != NULL)
			note_referred(reference_of(list, &out->count, table->number), table, key);
		if (describe_foreign_key(key, &described[out->key_count]))
			out->key_count++;
	}
	out->list = list;
	out->keys = described;
}

/* ---- statements ------------------------------------------------------------------------------ */

static const char *
relation_text(Oid relid)
{
	/* the rows of a partitioned table are in its partitions */
	const char *only = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ";

	return psprintf("%s%s", only,
					quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
											   get_rel_name(relid)));
}

static const char *
column_text(const char *alias, Oid relid, AttrNumber attnum)
{
	return psprintf("%s.%s", alias, quote_identifier(get_attname(relid, attnum, false)));
}

static const char *
operator_text(Oid oid)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(oid));
	Form_pg_operator operator;
	const char *text;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", oid);
	operator = (Form_pg_operator) GETSTRUCT(tuple);
	text = psprintf("OPERATOR(%s.%s)",
					quote_identifier(get_namespace_name(operator->oprnamespace)),
					NameStr(operator->oprname));
	ReleaseSysCache(tuple);
	return text;
}

/* " COLLATE x" where the two columns have different collations: the parent's decides. */
static const char *
collation_text(const ForeignKey *key, int i)
{
	Oid			of_child;
	Oid			of_parent;
	Oid			type;
	int32		typmod;
	HeapTuple	tuple;
	const char *text;

	get_atttypetypmodcoll(key->child, key->child_columns[i], &type, &typmod, &of_child);
	get_atttypetypmodcoll(key->parent, key->parent_columns[i], &type, &typmod, &of_parent);
	if (!OidIsValid(of_parent) || of_parent == of_child)
		return "";
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(of_parent));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", of_parent);
	text = sl_collation_clause(tuple);
	ReleaseSysCache(tuple);
	return text;
}

/* p.a = c.x AND p.b = c.y */
static void
append_parent_matches(StringInfo sql, const ForeignKey *key)
{
	for (int i = 0; i < key->count; i++)
		appendStringInfo(sql, "%s%s %s %s%s", i > 0 ? " AND " : "",
						 column_text("p", key->parent, key->parent_columns[i]),
						 operator_text(key->operators[i]),
						 column_text("c", key->child, key->child_columns[i]),
						 collation_text(key, i));
}

/* c.x IS NOT NULL AND c.y IS NOT NULL: only such rows point to anything (MATCH FULL: OR) */
static void
append_not_null(StringInfo sql, const ForeignKey *key)
{
	appendStringInfoChar(sql, '(');
	for (int i = 0; i < key->count; i++)
		appendStringInfo(sql, "%s%s IS NOT NULL", i == 0 ? "" : key->match_full ? " OR " : " AND ",
						 column_text("c", key->child, key->child_columns[i]));
	appendStringInfoChar(sql, ')');
}

/* unnest($1, $2) AS k(k1, k2) */
static void
append_keys(StringInfo sql, const KeyArrays *keys)
{
	appendStringInfoString(sql, "ROWS FROM (");
	for (int i = 0; i < keys->table->key_count; i++)
		appendStringInfo(sql, "%spg_catalog.unnest($%d)", i > 0 ? ", " : "", i + 1);
	appendStringInfoString(sql, ") AS k(");
	for (int i = 0; i < keys->table->key_count; i++)
		appendStringInfo(sql, "%sk%d", i > 0 ? ", " : "", i + 1);
	appendStringInfoChar(sql, ')');
}

/* The equality of a key column, as its primary key's index has it. */
static const char *
key_operator_text(const SlTable *table, int i)
{
	Relation	index = index_open(table->key_index, AccessShareLock);
	Oid			type = index->rd_opcintype[i];
	Oid			operator = get_opfamily_member(index->rd_opfamily[i], type, type,
											   BTEqualStrategyNumber);

	index_close(index, NoLock);
	return operator_text(operator);
}

/* c.id = k.k1: the child rows with these primary keys */
static void
append_child_is_key(StringInfo sql, const KeyArrays *keys)
{
	const SlTable *table = keys->table;

	for (int i = 0; i < table->key_count; i++)
		appendStringInfo(sql, "%s%s %s k.k%d", i > 0 ? " AND " : "",
						 column_text("c", table->relid, table->key_attnums[i]),
						 key_operator_text(table, i), i + 1);
}

static void
append_child_key(StringInfo sql, const SlTable *child)
{
	for (int i = 0; i < child->key_count; i++)
		appendStringInfo(sql, "%s%s", i > 0 ? ", " : "",
						 column_text("c", child->relid, child->key_attnums[i]));
}

static void
append_no_parent(StringInfo sql, const ForeignKey *key)
{
	appendStringInfo(sql, "NOT EXISTS (SELECT FROM %s AS p WHERE ", relation_text(key->parent));
	append_parent_matches(sql, key);
	appendStringInfoChar(sql, ')');
}

/* ---- keys in, rows out ----------------------------------------------------------------------- */

static void
make_arrays(const SlRef *refs, const uint32 *which, int count, KeyArrays *keys)
{
	SlTable    *table = keys->table;
	Datum	   *datums = palloc(sizeof(Datum) * count * table->key_count);
	SlValue		values[INDEX_MAX_KEYS];

	for (int row = 0; row < count; row++)
	{
		if (slb_decode_key(refs[which[row]].key, values, INDEX_MAX_KEYS) != table->key_count)
			elog(ERROR, "key of table number %u does not decode", table->number);
		for (int i = 0; i < table->key_count; i++)
		{
			bool		isnull;

			datums[i * count + row] =
				sl_to_datum(&table->types[table->key_attnums[i] - 1], &values[i], &isnull);
		}
	}
	keys->count = count;
	for (int i = 0; i < table->key_count; i++)
	{
		Oid			type = table->types[table->key_attnums[i] - 1].base;
		int16		length;
		bool		byval;
		char		align;

		get_typlenbyvalalign(type, &length, &byval, &align);
		keys->types[i] = get_array_type(type);
		keys->values[i] = PointerGetDatum(construct_array(datums + i * count, count, type, length,
														  byval, align));
	}
}

/* Adds the rows of the last result, the primary keys of `child`. */
static void
collect(const SlTable *child, const ForeignKey *key, Found *found, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	const char *reason = psprintf("foreign key \"%s\"", key->name);

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		SlValue		values[INDEX_MAX_KEYS];
		SlBytes		encoded;
		char	   *copy;

		for (int i = 0; i < child->key_count; i++)
		{
			bool		isnull;
			Datum		datum = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, i + 1,
											  &isnull);

			sl_to_value(&child->types[child->key_attnums[i] - 1], datum, &values[i]);
		}
		encoded = slb_encode_key(values, child->key_count);
		if (encoded.data == NULL)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		copy = palloc(encoded.size + 1);
		memcpy(copy, encoded.data, encoded.size);
		if (found->count == found->capacity)
		{
			found->capacity = Max(64, found->capacity * 2);
			found->refs = found->refs == NULL ? palloc(sizeof(SlRef) * found->capacity)
				: repalloc(found->refs, sizeof(SlRef) * found->capacity);
		}
		found->refs[found->count++] = (SlRef) {child->number, {copy, encoded.size},
		{reason, strlen(reason)}};
	}
	MemoryContextSwitchTo(old);
}

static void
check_written(const ForeignKey *key, const KeyArrays *keys, Found *found, MemoryContext context)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT FROM %s AS p WHERE EXISTS (SELECT FROM ",
					 relation_text(key->parent));
	append_keys(&sql, keys);
	appendStringInfo(&sql, " JOIN %s AS c ON ", relation_text(key->child));
	append_child_is_key(&sql, keys);
	appendStringInfoString(&sql, " WHERE ");
	append_parent_matches(&sql, key);
	appendStringInfoString(&sql, ") FOR KEY SHARE OF p");
	sl_exec(sql.data, keys->table->key_count, keys->types, keys->values, NULL);

	resetStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_child_key(&sql, keys->table);
	appendStringInfoString(&sql, " FROM ");
	append_keys(&sql, keys);
	appendStringInfo(&sql, " JOIN %s AS c ON ", relation_text(key->child));
	append_child_is_key(&sql, keys);
	appendStringInfoString(&sql, " WHERE ");
	append_not_null(&sql, key);
	appendStringInfoString(&sql, " AND ");
	append_no_parent(&sql, key);
	sl_exec(sql.data, keys->table->key_count, keys->types, keys->values, NULL);
	collect(keys->table, key, found, context);
}

/* Does the foreign key refer to the parent's primary key, and to nothing else? */
static bool
refers_to_key(const ForeignKey *key, const SlTable *parent)
{
	for (int i = 0; i < key->count; i++)
		if (!is_key_column(parent, key->parent_columns[i]))
			return false;
	return key->count == parent->key_count;
}

/* k.k1 = c.x: children of the parents with these primary keys */
static void
append_child_of_key(StringInfo sql, const ForeignKey *key, const SlTable *parent)
{
	for (int i = 0; i < key->count; i++)
	{
		int			position = 0;

		while (parent->key_attnums[position] != key->parent_columns[i])
			position++;
		appendStringInfo(sql, "%sk.k%d %s %s%s", i > 0 ? " AND " : "", position + 1,
						 operator_text(key->operators[i]),
						 column_text("c", key->child, key->child_columns[i]),
						 collation_text(key, i));
	}
}

static void
check_removed(const ForeignKey *key, const KeyArrays *keys, Found *found, MemoryContext context)
{
	SlTable    *child = sl_table_by_relid(key->child);
	bool		by_key = refers_to_key(key, keys->table);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	if (child != NULL)
		append_child_key(&sql, child);
	appendStringInfo(&sql, " FROM %s AS c", relation_text(key->child));
	if (by_key)
	{
		appendStringInfoString(&sql, " JOIN ");
		append_keys(&sql, keys);
		appendStringInfoString(&sql, " ON ");
		append_child_of_key(&sql, key, keys->table);
	}
	appendStringInfoString(&sql, " WHERE ");
	append_not_null(&sql, key);
	appendStringInfoString(&sql, " AND ");
	append_no_parent(&sql, key);
	if (child == NULL)
		appendStringInfoString(&sql, " LIMIT 1");
	sl_exec(sql.data, by_key ? keys->table->key_count : 0, keys->types, keys->values, NULL);
	if (child != NULL)
		collect(child, key, found, context);
	else if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("table \"%s\", which is not tracked, refers to rows of table \"%s\" that "
						"were deleted elsewhere", get_rel_name(key->child),
						get_rel_name(key->parent)),
				 errhint("Delete its rows, or call sync_enable('%s').", get_rel_name(key->child))));
}

/* Calls `check` for each foreign key of each table among `refs`, with the table's keys. */
static void
check_all(const SlRef *refs, uint32 count, bool written, Found *found, MemoryContext context)
{
	bool	   *done = palloc0(Max(1, count));
	uint32	   *which = palloc(sizeof(uint32) * Max(1, count));

	for (uint32 i = 0; i < count; i++)
	{
		KeyArrays	keys;
		List	   *foreign;
		ListCell   *cell;
		int			key_count = 0;

		if (done[i])
			continue;
		keys.table = sl_table_by_number(refs[i].table);
		if (!OidIsValid(keys.table->relid))
			continue;
		foreign = written ? foreign_keys(keys.table->relid, InvalidOid)
			: foreign_keys(InvalidOid, keys.table->relid);
		for (uint32 j = i; j < count; j++)
		{
			if (refs[j].table != refs[i].table)
				continue;
			done[j] = true;
			which[key_count++] = j;
		}
		if (foreign == NIL)
			continue;
		make_arrays(refs, which, key_count, &keys);
		foreach(cell, foreign)
		{
			if (written)
				check_written(lfirst(cell), &keys, found, context);
			else
				check_removed(lfirst(cell), &keys, found, context);
		}
	}
}

void
sl_leaf_find_dangling(void *argument)
{
	SlDangling *dangling = argument;
	MemoryContext context = CurrentMemoryContext;
	Found		found = {NULL, 0, 0};

	SPI_connect();
	sl_advance();
	check_all(dangling->written, dangling->written_count, true, &found, context);
	check_all(dangling->removed, dangling->removed_count, false, &found, context);
	SPI_finish();
	dangling->found = found.refs;
	dangling->found_count = found.count;
}
