/*
 * sl_enable.c: sync_enable and sync_disable.
 *
 * Enabling writes no rows, whatever the table holds: existing rows share one baseline version, the
 * next change of this site. Order of locks: counter row, then table, as every merge has it.
 */
#include "sl_host.h"

#include "sl_log.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "catalog/objectaddress.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include <sys/time.h>

PG_FUNCTION_INFO_V1(sl_sync_enable);
PG_FUNCTION_INFO_V1(sl_sync_disable);

/* ---- registering ----------------------------------------------------------------------------- */

/* The key columns of a relation: position in the primary key by attnum, -1 if not part of it. */
static int
key_position(Relation index, AttrNumber attnum)
{
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		if (index->rd_index->indkey.values[i] == attnum)
			return i;
	}
	return -1;
}

const char *
sl_declared_type(Form_pg_attribute attribute)
{
	return format_type_extended(attribute->atttypid, attribute->atttypmod,
								FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

bool
sl_add_column(uint32 number, Form_pg_attribute attribute, int position)
{
	static const Oid types[] = {INT4OID, TEXTOID, TEXTOID, INT2OID, INT2OID, TEXTOID};
	const Datum values[] = {Int32GetDatum(number),
		CStringGetTextDatum(NameStr(attribute->attname)),
		CStringGetTextDatum(sl_logical_type(attribute->atttypid)),
		Int16GetDatum(attribute->attnum), Int16GetDatum(position),
	CStringGetTextDatum(sl_declared_type(attribute))};
	const char	nulls[] = {' ', ' ', ' ', ' ', position < 0 ? 'n' : ' ', ' ', '\0'};

	/* a parked column of this name has waited for this one */
	if (sl_exec("UPDATE syncline.col SET present = true, type = $3, attnum = $4, declared = $6"
				" WHERE tbl = $1 AND name = $2 AND NOT present AND NOT dropped"
				" AND key_position IS NOT DISTINCT FROM $5",
				lengthof(types), types, values, nulls) > 0)
		return true;
	sl_exec("INSERT INTO syncline.col (tbl, number, name, type, attnum, present, key_position,"
			" declared) SELECT $1, coalesce(max(number) + 1, 0), $2, $3, $4, true, $5, $6"
			" FROM syncline.col WHERE tbl = $1", lengthof(types), types, values, nulls);
	return false;
}

static void
add_columns(Relation relation, uint32 number)
{
	TupleDesc	desc = RelationGetDescr(relation);
	Relation	index = index_open(sl_primary_key_index(relation), AccessShareLock);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && attribute->attgenerated == '\0')
			(void) sl_add_column(number, attribute, key_position(index, attribute->attnum));
	}
	index_close(index, NoLock);
	sl_note_defaults(relation, number);
}

/* A parked table is adopted only if its key is the relation's. */
static void
check_parked_key(Relation relation, uint32 number)
{
	Relation	index = index_open(sl_primary_key_index(relation), AccessShareLock);
	int			count = IndexRelationGetNumberOfKeyAttributes(index);
	static const Oid types[] = {INT4OID};
	const Datum values[] = {Int32GetDatum(number)};
	bool		same;

	same = sl_exec("SELECT name FROM syncline.col WHERE tbl = $1 AND key_position IS NOT NULL"
				   " ORDER BY key_position", 1, types, values, NULL) == count;
	for (int i = 0; same && i < count; i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];
		char	   *parked = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		same = strcmp(parked, NameStr(TupleDescAttr(RelationGetDescr(relation),
													attnum - 1)->attname)) == 0;
	}
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("table \"%s\" has another primary key than its peers' table",
						RelationGetRelationName(relation)),
				 errhint("Give both the same primary key, column by column.")));
	index_close(index, NoLock);
}

void
sl_create_state_table(uint32 number)
{
	char	   *sql = psprintf(
		"CREATE TABLE syncline.state_%u (seq int8 NOT NULL, hlc int8 NOT NULL, pos int8 NOT NULL,"
		" context int8, site int4 NOT NULL, flags int4 NOT NULL, key bytea NOT NULL, cells bytea,"
		/*
		 * room for an update of every row of a page that needs no new index entry: the fold of
		 * 100,000 updates takes six tenths of the time that it does with a fillfactor of 75; and
		 * then heap and index together are smaller, not larger
		 *
		 * no deduplication: it would look at each full page of the index before the page is split,
		 * which it then is all the same, since rows move in the order of their keys: a tenth of the
		 * processor time of the fold of 100,000 deletes, and not a page less
		 */
		" CONSTRAINT state_%u_pkey PRIMARY KEY (key) WITH (deduplicate_items = off))"
		" WITH (fillfactor = 50);"
		"CREATE TABLE syncline.arrival_%u (last int8 PRIMARY KEY, listed int8 NOT NULL,"
		" stale int8 NOT NULL, keys bytea[] NOT NULL);"
		"GRANT SELECT ON syncline.state_%u, syncline.arrival_%u TO %s",
		number, number, number, number, number, sl_owner_role());

	sl_exec_ddl(sql);
}

/*
 * Runs several statements on the schema as the owner of the bookkeeping, without our event triggers
 * looking at them.
 */
void
sl_exec_ddl(const char *sql)
{
	SlRole		role;
	bool		was_off = sl_ddl_off;
	int			result;

	sl_ddl_off = true;
	sl_become_owner(&role);
	result = SPI_execute(sql, false, 0);
	sl_become_caller(&role);
	sl_ddl_off = was_off;
	if (result < 0)
		elog(ERROR, "syncline: %s: %s", SPI_result_code_string(result), sql);
}

static char *
qualified_name(Relation relation)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
									  RelationGetRelationName(relation));
}

/* REQUIRES: the relation is locked, and not open. */
static void
create_triggers(const char *table)
{
	sl_exec_ddl(psprintf(
		"CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s"
		" FOR EACH ROW EXECUTE FUNCTION syncline.capture();"
		"CREATE TRIGGER %s BEFORE TRUNCATE ON %s"
		" FOR EACH STATEMENT EXECUTE FUNCTION syncline.capture_truncate();"
		"ALTER TABLE %s ENABLE ALWAYS TRIGGER %s;"
		"ALTER TABLE %s ENABLE ALWAYS TRIGGER %s",
		SL_CAPTURE_TRIGGER, table, SL_TRUNCATE_TRIGGER, table, table, SL_CAPTURE_TRIGGER,
		table, SL_TRUNCATE_TRIGGER));
}

static uint32
new_table_number(void)
{
	sl_exec("UPDATE syncline.self SET next_table = next_table + 1 RETURNING next_table - 1",
			0, NULL, NULL, NULL);
	return sl_result_int64(0, 1);
}

static Datum
text_datum(SlBytes bytes)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes.data, bytes.size));
}

void
sl_leaf_park(void *argument)
{
	SlPark	   *park = argument;
	static const Oid types[] = {INT4OID, TEXTOID, TEXTOID, INT2OID};
	const char	nulls[] = {' ', ' ', ' ', ' ', '\0'};
	const char	nulls_no_key[] = {' ', ' ', ' ', 'n', '\0'};

	SPI_connect();
	if (park->number == 0)
	{
		const Datum name[] = {(Datum) 0, text_datum(park->name)};

		park->number = new_table_number();
		sl_exec(psprintf("INSERT INTO syncline.tbl (number, name, present) VALUES (%u, $2, false)",
						 park->number), 2, types, name, "n ");
		sl_create_state_table(park->number);
	}
	for (uint32 i = 0; i < park->column_count; i++)
	{
		const SlColumnDef *column = &park->columns[i];
		const Datum values[] = {Int32GetDatum(park->number), text_datum(column->name),
		text_datum(column->type), Int16GetDatum(column->key_position)};

		sl_exec("INSERT INTO syncline.col (tbl, number, name, type, present, key_position)"
				" SELECT $1, coalesce(max(number) + 1, 0), $2, $3, false, $4"
				" FROM syncline.col WHERE tbl = $1", lengthof(types), types, values,
				column->key_position < 0 ? nulls_no_key : nulls);
	}
	SPI_finish();
	sl_tables_forget();
}

/* Takes the next seq for the baseline. */
static int64
take_baseline(void)
{
	SlCounters *counters = sl_counters();
	struct timeval now;
	int64		hlc;
	int64		self;
	SlGrowth	growth;

	gettimeofday(&now, NULL);
	hlc = ((int64) now.tv_sec * 1000 + now.tv_usec / 1000) << 16;
	counters->floor = Max(hlc, counters->floor + 1);
	sl_exec("SELECT site FROM syncline.self", 0, NULL, NULL, NULL);
	self = sl_result_int64(0, 1);
	growth = (SlGrowth) {self, counters->next_seq++, counters->position, counters->floor};
	sl_leaf_add_growth(&growth);
	return growth.seq;
}

/* Rows that were parked may meet rows of the same key: those count as written now. */
static void
capture_met_rows(uint32 number)
{
	uint64		count = sl_exec(psprintf("SELECT key FROM syncline.state_%u ORDER BY key", number),
								0, NULL, NULL, NULL);
	SlBytes    *keys = palloc((count + 1) * sizeof(SlBytes));
	bool	   *exists = palloc0((count + 1) * sizeof(bool));
	SlProbe		probe = {.table = number, .count = count, .keys = keys, .exists = exists};

	for (uint64 i = 0; i < count; i++)
		keys[i] = sl_result_bytes(i, 1, CurrentMemoryContext);
	sl_advance();
	sl_leaf_probe(&probe);
	for (uint64 i = 0; i < count; i++)
	{
		if (exists[i])
			sl_log_insert(number, keys[i]);
	}
	if (count > 0)
	{
		sl_advance();
		sl_fold(false);
	}
}

/* Registers the relation, or takes it up under the number of a parked table; returns the number. */
static uint32
register_table(Relation relation, bool *adopted)
{
	const char *name = RelationGetRelationName(relation);
	static const Oid types[] = {TEXTOID, OIDOID, INT8OID};
	Datum		values[] = {CStringGetTextDatum(name),
	ObjectIdGetDatum(RelationGetRelid(relation)), (Datum) 0};
	uint32		number;

	*adopted = false;
	if (sl_exec("SELECT number, relation FROM syncline.tbl WHERE name = $1", 1, types, values,
				NULL) > 0)
	{
		if (sl_result_int64(0, 2) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_TABLE),
					 errmsg("a table named \"%s\" in another schema is tracked already", name),
					 errhint("Tables travel by name without schema; rename one of them.")));
		*adopted = true;
		number = sl_result_int64(0, 1);
		check_parked_key(relation, number);
	}
	else
	{
		number = new_table_number();
		sl_exec(psprintf("INSERT INTO syncline.tbl (number, name, present) VALUES (%u, $1, false)",
						 number), 1, types, values, NULL);
		sl_create_state_table(number);
	}
	values[2] = Int64GetDatum(take_baseline());
	sl_exec(psprintf("UPDATE syncline.tbl SET relation = $2::regclass, present = true,"
					 " baseline_seq = $3, baseline_context = 0, tracked_since = now(),"
					 " baseline_site = (SELECT site FROM syncline.self) WHERE number = %u",
					 number), lengthof(types), types, values, NULL);
	add_columns(relation, number);
	return number;
}

/* {"table": ..., "key": [...], "columns": [...], "already": ...}. SPI must be connected. */
static Datum
describe(uint32 number, bool already, bool adopted, MemoryContext context)
{
	static const Oid types[] = {INT4OID, BOOLOID, BOOLOID};
	const Datum values[] = {Int32GetDatum(number), BoolGetDatum(already), BoolGetDatum(adopted)};
	bool		isnull;
	Datum		datum;
	MemoryContext old;

	sl_exec("SELECT jsonb_build_object('table', t.name, 'already', $2,"
			" 'key', (SELECT jsonb_agg(name ORDER BY key_position) FROM syncline.col"
			"   WHERE tbl = $1 AND key_position IS NOT NULL),"
			" 'columns', (SELECT jsonb_agg(name ORDER BY number) FROM syncline.col"
			"   WHERE tbl = $1 AND present))"
			" || CASE WHEN $3 THEN '{\"adopted\": true}' ELSE '{}' END::jsonb"
			" FROM syncline.tbl t WHERE number = $1", lengthof(types), types, values, NULL);
	datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	old = MemoryContextSwitchTo(context);
	datum = PointerGetDatum(PG_DETOAST_DATUM_COPY(datum));
	MemoryContextSwitchTo(old);
	return datum;
}

static Relation
open_owned(const char *name, LOCKMODE lock)
{
	Relation	relation = relation_open(sl_find_relation(name), lock);

	if (!sl_owns_table(RelationGetRelid(relation), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(relation->rd_rel->relkind),
					   RelationGetRelationName(relation));
	return relation;
}

/* Rows that waited for the table go where they belong. */
static void
store_waiting_rows(uint32 number)
{
	SPI_connect();
	sl_exec(psprintf("UPDATE syncline.tbl SET options = options || '{\"adopting\": true}'"
					 " WHERE number = %u", number), 0, NULL, NULL, NULL);
	sl_retry_held();
	sl_exec(psprintf("UPDATE syncline.tbl SET options = options - 'adopting' WHERE number = %u",
					 number), 0, NULL, NULL, NULL);
	SPI_finish();
}

Datum
sl_sync_enable(PG_FUNCTION_ARGS)
{
	char	   *name;
	SlEnableOptions options;
	MemoryContext context = CurrentMemoryContext;
	Relation	relation;
	SlTable    *table;
	bool		adopted = false;
	bool		already;
	uint32		number;
	Oid			relid;
	char	   *qualified;
	Datum		result;

	sl_read_enable_options(sl_options_argument(fcinfo, 1), &options);
	sl_need_argument(fcinfo, 0, "the name of the table to track is missing or NULL", NULL);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	/* say what is wrong with the table before anything is locked or written */
	relation = open_owned(name, AccessShareLock);
	sl_refuse_untrackable(relation);
	relation_close(relation, NoLock);

	sl_merge_begin("sync_enable");
	if (options.local != NIL)
		sl_fold(false);			/* what was written while the columns still travelled */
	relation = open_owned(name, ShareRowExclusiveLock);
	sl_refuse_untrackable(relation);
	SPI_connect();
	relid = RelationGetRelid(relation);
	qualified = qualified_name(relation);
	table = sl_table_by_relid(relid);
	already = table != NULL;
	number = already ? table->number : register_table(relation, &adopted);
	if (already)
		options.on_delete = NULL;	/* sync_set_policy changes it */
	sl_apply_enable_options(relation, number, &options);
	relation_close(relation, NoLock);
	if (!already)
	{
		create_triggers(qualified);
		sl_tables_forget();
		CacheInvalidateRelcacheByRelid(relid);
		if (adopted)
			capture_met_rows(number);
		sl_advance();
		sl_member_ensure();
	}
	result = describe(number, already, adopted, context);
	SPI_finish();
	sl_merge_end();
	if (adopted)
		store_waiting_rows(number);
	PG_RETURN_DATUM(result);
}

/* ---- sync_disable ---------------------------------------------------------------------------- */

void
sl_untrack(uint32 number)
{
	static const Oid types[] = {INT4OID};
	const Datum values[] = {Int32GetDatum(number)};

	sl_log_flush();
	sl_exec("DELETE FROM syncline.log WHERE tbl = $1", 1, types, values, NULL);
	sl_exec("DELETE FROM syncline.conflict WHERE tbl = $1", 1, types, values, NULL);
	sl_exec("DELETE FROM syncline.col WHERE tbl = $1", 1, types, values, NULL);
	sl_exec("DELETE FROM syncline.tbl WHERE number = $1", 1, types, values, NULL);
	sl_exec_ddl(psprintf("DROP TABLE IF EXISTS syncline.state_%u, syncline.arrival_%u", number,
						 number));
	sl_tables_forget();
}

static void
not_tracked(const char *name)
{
	char	   *near = sl_nearest_name(name, "SELECT name FROM syncline.tbl WHERE present");

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is not a tracked table", name),
			 near == NULL ? 0 : strcmp(near, name) == 0
			 ? errhint("search_path does not lead to it: name it with its schema.")
			 : errhint("Did you mean \"%s\"?", near)));
}

Relation
sl_open_tracked(const char *name, LOCKMODE lock, bool owned, SlTable **table)
{
	/* a parked table has no relation, but a name */
	Oid			relid = RelnameGetRelid(name);
	Relation	relation;

	if (!OidIsValid(relid) && strpbrk(name, ".\"ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL)
		not_tracked(name);
	relation = owned ? open_owned(name, lock) : relation_open(sl_find_relation(name), lock);
	*table = sl_table_by_relid(RelationGetRelid(relation));
	if (*table == NULL)
		not_tracked(name);
	return relation;
}

Datum
sl_sync_disable(PG_FUNCTION_ARGS)
{
	char	   *name;
	Relation	relation;
	SlTable    *table;
	uint32		number;
	char	   *qualified;
	StringInfoData json;

	sl_need_argument(fcinfo, 0, "the name of the table is missing or NULL", NULL);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	relation = open_owned(name, AccessShareLock);
	table = sl_table_by_relid(RelationGetRelid(relation));
	if (table == NULL)
		not_tracked(name);
	relation_close(relation, NoLock);

	sl_merge_begin("sync_disable");
	relation = open_owned(name, AccessExclusiveLock);
	table = sl_table_by_relid(RelationGetRelid(relation));
	if (table == NULL)
		not_tracked(name);
	number = table->number;
	qualified = qualified_name(relation);
	initStringInfo(&json);
	appendStringInfoString(&json, "{\"table\": ");
	escape_json(&json, RelationGetRelationName(relation));
	appendStringInfoString(&json, ", \"tracked\": false}");
	relation_close(relation, NoLock);
	SPI_connect();
	sl_exec_ddl(psprintf("DROP TRIGGER IF EXISTS %s ON %s; DROP TRIGGER IF EXISTS %s ON %s",
						 SL_CAPTURE_TRIGGER, qualified, SL_TRUNCATE_TRIGGER, qualified));
	sl_untrack(number);
	SPI_finish();
	sl_merge_end();
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}
