/*
 * sl_ddl.c: event triggers that keep the registry in step with the schema.
 *
 * After each command, every tracked table that it touched is compared with its registry entry:
 * names, types, new and dropped columns. What would make tracking impossible (no primary key any
 * more, SET UNLOGGED, inheritance) is refused with the way out. Row triggers do not see a rewrite,
 * so values that an ALTER TYPE or a volatile default made are logged as written now, here.
 */
#include "sl_host.h"

#include "sl_log.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(sl_on_ddl_end);
PG_FUNCTION_INFO_V1(sl_on_drop);
PG_FUNCTION_INFO_V1(sl_on_rewrite);

bool		sl_ddl_off = false;

/* The relation that the running command rewrites, if any, and in which transaction. */
static Oid	rewritten = InvalidOid;
static TransactionId rewritten_in = InvalidTransactionId;

#define REFUSE(table, reason) \
	ereport(ERROR, \
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), \
			 errmsg("tracked table \"%s\" %s", table, reason), \
			 errhint("Call sync_disable('%s') first.", table)))

static void
check_called(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("this function can only be called as an event trigger")));
}

/* ---- one table ------------------------------------------------------------------------------- */

/* A registered column that has an attribute. */
typedef struct Registered
{
	int32		number;
	int16		attnum;
	char	   *name;
	char	   *type;
	char	   *declared;		/* NULL: unknown */
	int32		key_position;
	bool		local;
	bool		seen;
} Registered;

static Registered *
read_registered(uint32 number, int *count)
{
	static const Oid types[] = {INT4OID};
	const Datum values[] = {Int32GetDatum(number)};
	Registered *columns;

	*count = sl_exec("SELECT number, attnum, name, type, coalesce(key_position, -1),"
					 " declared, local FROM syncline.col WHERE tbl = $1 AND (present OR local)", 1,
					 types, values,
					 NULL);
	columns = palloc0((*count + 1) * sizeof(Registered));
	for (int i = 0; i < *count; i++)
	{
		columns[i].number = sl_result_int64(i, 1);
		columns[i].attnum = sl_result_int64(i, 2);
		columns[i].name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3);
		columns[i].type = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 4);
		columns[i].key_position = sl_result_int64(i, 5);
		columns[i].declared = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 6);
		columns[i].local = sl_result_int64(i, 7) != 0;
	}
	return columns;
}

static void
set_column(uint32 number, int32 column, const char *sql, const char *text)
{
	static const Oid types[] = {INT4OID, INT4OID, TEXTOID};
	const Datum values[] = {Int32GetDatum(number), Int32GetDatum(column),
	text != NULL ? CStringGetTextDatum(text) : (Datum) 0};

	sl_exec(sql, lengthof(types), types, values, text == NULL ? "  n" : NULL);
}

/* What is set for a column, or for a table and its columns, is set under the new name, too. */
static void
follow_policies(const char *table, const char *column, const char *name)
{
	SlStatus	status;

	slb_rename_policies((SlBytes) {table, strlen(table)}, (SlBytes) {column, strlen(column)},
						(SlBytes) {name, strlen(name)}, &status);
	sl_report(&status);
}

static void
rename_column(const char *table, uint32 number, const Registered *column, const char *name)
{
	follow_policies(table, column->name, name);
	set_column(number, column->number,
			   "UPDATE syncline.col SET name = $3 WHERE tbl = $1 AND number = $2", name);
}

/* Is the key, byte by byte, what it was when the column had the other type? */
static void
check_key_type(const char *table, const Registered *column, const char *type)
{
	if (column->key_position >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("primary key column \"%s\" of tracked table \"%s\" cannot become %s",
						column->name, table, type),
				 errhint("Call sync_disable('%s') first.", table)));
}

/* Compares the type; returns the mask of the column if its values may be others now. */
static int64
compare_type(Relation relation, uint32 number, Form_pg_attribute attribute,
			 const Registered *column)
{
	const char *type = sl_logical_type(attribute->atttypid);
	const char *declared = sl_declared_type(attribute);

	if (column->declared != NULL && strcmp(column->declared, declared) == 0)
		return 0;
	if (strcmp(column->type, type) != 0)
	{
		check_key_type(RelationGetRelationName(relation), column, type);
		set_column(number, column->number,
				   "UPDATE syncline.col SET type = $3 WHERE tbl = $1 AND number = $2", type);
	}
	set_column(number, column->number,
			   "UPDATE syncline.col SET declared = $3 WHERE tbl = $1 AND number = $2", declared);
	/* a wider integer holds the same values; numeric(10,1) may not hold those of numeric(10,2) */
	return strcmp(column->type, type) == 0 && strcmp(type, "integer") == 0 ? 0 :
		sl_mask_of(column->number);
}

/* Compares one attribute; returns the mask of the column if its values may have been rewritten. */
static int64
compare_attribute(Relation relation, uint32 number, Form_pg_attribute attribute,
				  Registered *columns, int count, List **appeared)
{
	const char *name = NameStr(attribute->attname);
	bool		parked;

	for (int i = 0; i < count; i++)
	{
		Registered *column = &columns[i];

		if (column->attnum != attribute->attnum)
			continue;
		column->seen = true;
		if (strcmp(column->name, name) != 0)
			rename_column(RelationGetRelationName(relation), number, column, name);
		return column->local ? 0 : compare_type(relation, number, attribute, column);
	}
	parked = sl_add_column(number, attribute, -1);
	set_column(number, 0, "SELECT number FROM syncline.col WHERE tbl = $1 AND name = $3 AND present"
			   " AND $2 IS NOT NULL", name);
	if (SPI_processed != 1)
		elog(ERROR, "syncline.col: column \"%s\" of table %u is missing", name, number);
	if (parked)
		*appeared = lappend_int(*appeared, sl_result_int64(0, 1));
	return parked ? 0 : sl_mask_of(sl_result_int64(0, 1));
}

static void
check_trackable(Relation relation)
{
	const char *table = RelationGetRelationName(relation);

	if (relation->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		REFUSE(table, "cannot become unlogged");
	if (relation->rd_rel->relispartition)
		REFUSE(table, "cannot become a partition");
	if (relation->rd_rel->relhassubclass)
		sl_refuse_untrackable(relation);
	if (!OidIsValid(sl_primary_key_index(relation)))
		REFUSE(table, "cannot lose its primary key");
}

/* The primary key must still consist of the registered columns. */
static void
check_key(Relation relation, const Registered *columns, int count)
{
	Relation	index = index_open(sl_primary_key_index(relation), AccessShareLock);
	int			matched = 0;
	int			registered = 0;

	for (int i = 0; i < count; i++)
	{
		if (columns[i].key_position < 0)
			continue;
		registered++;
		for (int k = 0; k < IndexRelationGetNumberOfKeyAttributes(index); k++)
			matched += index->rd_index->indkey.values[k] == columns[i].attnum;
	}
	if (matched != registered || matched != IndexRelationGetNumberOfKeyAttributes(index))
		REFUSE(RelationGetRelationName(relation), "cannot get another primary key");
	index_close(index, NoLock);
}

/*
 * Is one of our triggers not always enabled? pg_restore --disable-triggers and the like do that. In
 * a restore that has not made both yet, the answer is no.
 */
static bool
triggers_weakened(Relation relation)
{
	TriggerDesc *triggers = relation->trigdesc;
	int			present = 0;
	int			weak = 0;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (strcmp(trigger->tgname, SL_CAPTURE_TRIGGER) != 0 &&
			strcmp(trigger->tgname, SL_TRUNCATE_TRIGGER) != 0)
			continue;
		present++;
		if (trigger->tgenabled != TRIGGER_FIRES_ALWAYS)
			weak++;
	}
	return present == 2 && weak > 0;
}

static bool
has_capture_trigger(Relation relation)
{
	TriggerDesc *triggers = relation->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (strcmp(triggers->triggers[i].tgname, SL_CAPTURE_TRIGGER) == 0)
			return true;
	}
	return false;
}

static void
rename_table(Relation relation, uint32 number)
{
	static const Oid types[] = {INT4OID, TEXTOID};
	const char *name = RelationGetRelationName(relation);
	const Datum values[] = {Int32GetDatum(number), CStringGetTextDatum(name)};

	if (sl_exec("SELECT FROM syncline.tbl WHERE name = $2 AND number <> $1", 2, types, values,
				NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("a table named \"%s\" is tracked already", name),
				 errhint("Tables travel by name without schema.")));
	if (sl_exec("SELECT name FROM syncline.tbl WHERE number = $1 AND name <> $2", 2, types, values,
				NULL) == 0)
		return;
	follow_policies(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), "", name);
	sl_exec("UPDATE syncline.tbl SET name = $2 WHERE number = $1", 2, types, values, NULL);
}

/* Brings the registry entry of one relation in step. */
static void
reconcile(uint32 number, Oid relid)
{
	Relation	relation = table_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(relation);
	bool		was_rewritten = rewritten == relid && rewritten_in == GetTopTransactionId();
	int			count;
	Registered *columns;
	int64		mask = 0;
	char	   *table;
	bool		enable;
	List	   *appeared = NIL;
	ListCell   *cell;

	/* a restore makes tables, registry, keys and triggers in turn: it is whole with the trigger */
	if (!has_capture_trigger(relation))
	{
		table_close(relation, AccessShareLock);
		return;
	}
	check_trackable(relation);
	rename_table(relation, number);
	columns = read_registered(number, &count);
	check_key(relation, columns, count);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && attribute->attgenerated == '\0')
			mask |= compare_attribute(relation, number, attribute, columns, count, &appeared);
	}
	for (int i = 0; i < count; i++)
	{
		if (!columns[i].seen)
			set_column(number, columns[i].number,
					   "UPDATE syncline.col SET present = false, dropped = true, local = false,"
					   " attnum = NULL"
					   " WHERE tbl = $1 AND number = $2 AND $3::text IS NULL", NULL);
	}
	sl_note_defaults(relation, number);
	CacheInvalidateRelcache(relation);
	sl_tables_forget();
	if (was_rewritten && mask != 0)
		sl_log_update_all(relation, mask);
	table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
									   RelationGetRelationName(relation));
	enable = triggers_weakened(relation);
	table_close(relation, NoLock);
	foreach(cell, appeared)
		sl_fill_column(number, lfirst_int(cell));
	if (enable)
		sl_exec_ddl(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s, ENABLE ALWAYS TRIGGER %s",
							 table, SL_CAPTURE_TRIGGER, SL_TRUNCATE_TRIGGER));
}

/* ---- the event triggers ---------------------------------------------------------------------- */

/* Reconciles what a query names: (number, relation). Is there anything at all? */
static void
reconcile_all(const char *sql)
{
	uint64		count = sl_exec(sql, 0, NULL, NULL, NULL);
	uint32	   *numbers = palloc((count + 1) * sizeof(uint32));
	Oid		   *relids = palloc((count + 1) * sizeof(Oid));

	for (uint64 i = 0; i < count; i++)
	{
		numbers[i] = sl_result_int64(i, 1);
		relids[i] = sl_result_int64(i, 2);
	}
	for (uint64 i = 0; i < count; i++)
		reconcile(numbers[i], relids[i]);
}

/* The relations that the command is about, and those that they have come to inherit from. */
#define TOUCHED_RELATIONS \
	"SELECT objid FROM pg_event_trigger_ddl_commands() WHERE classid = 'pg_class'::regclass" \
	" UNION ALL SELECT inhparent FROM pg_event_trigger_ddl_commands(), pg_inherits" \
	" WHERE classid = 'pg_class'::regclass AND inhrelid = objid"

Datum
sl_on_ddl_end(PG_FUNCTION_ARGS)
{
	check_called(fcinfo);
	if (sl_ddl_off)
		PG_RETURN_NULL();
	SPI_connect();
	/* a trigger made on a tracked table, unless by us: a restore has reached its end there */
	if (sl_exec("SELECT FROM syncline.tbl t WHERE t.relation IN (" TOUCHED_RELATIONS
				" UNION ALL SELECT tgrelid FROM pg_event_trigger_ddl_commands(), pg_trigger g"
				" WHERE classid = 'pg_trigger'::regclass AND g.oid = objid)", 0, NULL, NULL,
				NULL) > 0)
	{
		sl_site_ensure();
		reconcile_all("SELECT t.number, t.relation FROM syncline.tbl t WHERE t.relation IN"
					  " (" TOUCHED_RELATIONS ")");
	}
	SPI_finish();
	rewritten = InvalidOid;
	PG_RETURN_NULL();
}

/* Raises if one of our triggers was dropped, and its table was not. */
static void
check_dropped_triggers(void)
{
	if (sl_exec("SELECT t.name FROM pg_event_trigger_dropped_objects() d JOIN syncline.tbl t"
				" ON t.relation = to_regclass(format('%I.%I', d.address_names[1],"
				"  d.address_names[2]))"
				" WHERE d.object_type = 'trigger' AND d.address_names[3] IN"
				"  ('" SL_CAPTURE_TRIGGER "', '" SL_TRUNCATE_TRIGGER "')", 0, NULL, NULL, NULL) > 0)
	{
		char	   *table = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		REFUSE(table, "cannot lose its trigger");
	}
}

Datum
sl_on_drop(PG_FUNCTION_ARGS)
{
	uint64		count;
	uint32	   *numbers;

	check_called(fcinfo);
	if (sl_ddl_off)
		PG_RETURN_NULL();
	SPI_connect();
	count = sl_exec("SELECT t.number FROM syncline.tbl t"
					" JOIN pg_event_trigger_dropped_objects() d ON d.objid = t.relation"
					" WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0",
					0, NULL, NULL, NULL);
	numbers = palloc((count + 1) * sizeof(uint32));
	for (uint64 i = 0; i < count; i++)
		numbers[i] = sl_result_int64(i, 1);
	for (uint64 i = 0; i < count; i++)
		sl_untrack(numbers[i]);
	check_dropped_triggers();
	/* columns that went with a type or a domain, keys that went with an index */
	reconcile_all("SELECT DISTINCT t.number, t.relation FROM syncline.tbl t"
				  " JOIN pg_event_trigger_dropped_objects() d ON d.objid = t.relation"
				  " WHERE d.classid = 'pg_class'::regclass AND d.objsubid <> 0");
	SPI_finish();
	PG_RETURN_NULL();
}

Datum
sl_on_rewrite(PG_FUNCTION_ARGS)
{
	check_called(fcinfo);
	SPI_connect();
	sl_exec("SELECT pg_event_trigger_table_rewrite_oid()", 0, NULL, NULL, NULL);
	rewritten = sl_result_int64(0, 1);
	rewritten_in = GetTopTransactionId();
	SPI_finish();
	PG_RETURN_NULL();
}
