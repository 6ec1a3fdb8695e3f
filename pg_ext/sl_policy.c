/*
 * sl_policy.c: sync_set_policy, sync_policies, sync_suggest_policies, and columns that are local.
 *
 * Policies are settings (sl_setting.c, pg_policy.cpp). That a column is local is said in this
 * database only: syncline.col counts it as dropped, and capture and merges pass it over.
 */
#include "sl_host.h"

#include "sl_log.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "sl_decide.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(sl_sync_set_policy);
PG_FUNCTION_INFO_V1(sl_sync_policies);
PG_FUNCTION_INFO_V1(sl_sync_suggest_policies);

static SlBytes
text_bytes(const char *text)
{
	return (SlBytes) {text, text == NULL ? 0 : strlen(text)};
}

/* Names of this site and of stored peers. */
void
sl_leaf_site_names(void *argument)
{
	SlSiteNames *out = argument;
	MemoryContext context = CurrentMemoryContext;
	SlBytes    *names;
	SlBytes    *ids;

	SPI_connect();
	out->count = sl_exec("SELECT convert_to(name, 'UTF8'), convert_to(id, 'UTF8') FROM"
						 " (SELECT s.name, encode(i.id, 'hex') AS id FROM syncline.self s"
						 "   JOIN syncline.site i ON i.n = s.site"
						 "  UNION ALL SELECT name, site FROM syncline.peer"
						 "  UNION ALL SELECT site_name, site FROM syncline.peer) AS names"
						 " WHERE name <> '' AND id <> ''", 0, NULL, NULL, NULL);
	names = MemoryContextAlloc(context, (out->count + 1) * sizeof(SlBytes));
	ids = MemoryContextAlloc(context, (out->count + 1) * sizeof(SlBytes));
	for (uint32 i = 0; i < out->count; i++)
	{
		names[i] = sl_result_bytes(i, 1, context);
		ids[i] = sl_result_bytes(i, 2, context);
	}
	out->names = names;
	out->ids = ids;
	SPI_finish();
}

/* ---- local columns --------------------------------------------------------------------------- */

/* Finds a column by its name; an error that names the nearest one if there is none. */
static Form_pg_attribute
find_attribute(Relation relation, const char *name)
{
	TupleDesc	desc = RelationGetDescr(relation);
	SlBytes    *names = palloc((desc->natts + 1) * sizeof(SlBytes));
	uint32		count = 0;
	SlBytes		near;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped)
			continue;
		if (pg_strcasecmp(NameStr(attribute->attname), name) == 0)
			return attribute;
		names[count++] = text_bytes(NameStr(attribute->attname));
	}
	near = slb_nearest_name(text_bytes(name), names, count);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("table %s has no column \"%s\"", RelationGetRelationName(relation), name),
			 near.size > 0 ? errhint("Did you mean \"%.*s\"?", (int) near.size, near.data) : 0));
	return NULL;
}

static void
refuse_local(Relation relation, Form_pg_attribute attribute, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("column \"%s\" of %s cannot be local: %s", NameStr(attribute->attname),
					RelationGetRelationName(relation), why),
			 errhint("%s", hint)));
}

static void
check_can_be_local(Relation relation, Form_pg_attribute attribute)
{
	Relation	index = index_open(sl_primary_key_index(relation), AccessShareLock);

	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		if (index->rd_index->indkey.values[i] == attribute->attnum)
			refuse_local(relation, attribute, "it is part of the primary key",
						 "Rows of two databases are matched by it.");
	}
	index_close(index, NoLock);
	if (attribute->attnotnull && !attribute->atthasdef && attribute->attidentity == '\0')
		refuse_local(relation, attribute, "it is NOT NULL and has no default",
					 "A row that arrives has no value for it: give it a DEFAULT.");
}

/* SPI must be connected. */
static bool
is_local(uint32 number, const char *column)
{
	static const Oid types[] = {INT4OID, TEXTOID};
	const Datum values[] = {Int32GetDatum(number), CStringGetTextDatum(column)};

	return sl_exec("SELECT FROM syncline.col WHERE tbl = $1 AND lower(name) = lower($2) AND local",
				   lengthof(types), types, values, NULL) > 0;
}

/* Inside an operation, with SPI connected and the relation locked. */
void
sl_make_local(Relation relation, uint32 number, const char *column)
{
	Form_pg_attribute attribute = find_attribute(relation, column);
	static const Oid types[] = {INT4OID, TEXTOID};
	const Datum values[] = {Int32GetDatum(number),
	CStringGetTextDatum(NameStr(attribute->attname))};

	if (is_local(number, column))
		return;
	check_can_be_local(relation, attribute);
	sl_exec("UPDATE syncline.col SET local = true, present = false, dropped = true"
			" WHERE tbl = $1 AND name = $2 AND present", lengthof(types), types, values, NULL);
	CacheInvalidateRelcache(relation);
	sl_tables_forget();
}

/* It travels again, as a column that was added now. */
static void
make_shared(Relation relation, uint32 number, const char *column)
{
	Form_pg_attribute attribute = find_attribute(relation, column);
	static const Oid types[] = {INT4OID, TEXTOID};
	const Datum values[] = {Int32GetDatum(number),
	CStringGetTextDatum(NameStr(attribute->attname))};

	sl_exec("UPDATE syncline.col SET local = false, attnum = NULL"
			" WHERE tbl = $1 AND name = $2 AND local", lengthof(types), types, values, NULL);
	(void) sl_add_column(number, attribute, -1);
	sl_note_defaults(relation, number);
	sl_exec("SELECT number FROM syncline.col WHERE tbl = $1 AND name = $2 AND present",
			lengthof(types), types, values, NULL);
	CacheInvalidateRelcache(relation);
	sl_tables_forget();
	sl_advance();
	sl_log_update_all(relation, sl_mask_of(sl_result_int64(0, 1)));
}

/* ---- sync_set_policy ------------------------------------------------------------------------- */

static char *
optional_text(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

static SlBytes
set_local(Relation relation, uint32 number, const char *column, bool local)
{
	SlStatus	status;
	SlBytes		json;

	if (column[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"local\" is said of a column, not of a table"),
				 errhint("Name the column.")));
	if (local)
		sl_make_local(relation, number, column);
	else
		make_shared(relation, number, column);
	json = slb_local_policy(text_bytes(RelationGetRelationName(relation)),
							text_bytes(NameStr(find_attribute(relation, column)->attname)), local,
							&status);
	sl_report(&status);
	return json;
}

static SlBytes
set_policy(Relation relation, uint32 number, const char *column, const char *policy,
		   const char *options)
{
	SlStatus	status;
	SlBytes		json;
	bool		local = strcmp(policy, "local") == 0;
	bool		was_local = column[0] != '\0' && is_local(number, column);

	if (local && strcmp(options, "{}") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("policy \"local\" takes no options")));
	if (local || (was_local && strcmp(policy, "default") == 0))
		return set_local(relation, number, column, local);
	if (was_local)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of %s is local", column,
						RelationGetRelationName(relation)),
				 errhint("sync_set_policy(table, column, 'default') makes it travel again.")));
	json = slb_set_policy(number, text_bytes(column), text_bytes(policy), text_bytes(options),
						  &status);
	sl_report(&status);
	return json;
}

Datum
sl_sync_set_policy(PG_FUNCTION_ARGS)
{
	char	   *name;
	char	   *column = optional_text(fcinfo, 1);
	char	   *policy = optional_text(fcinfo, 2);
	Jsonb	   *options = DatumGetJsonbP(sl_options_argument(fcinfo, 3));
	char	   *options_text = JsonbToCString(NULL, &options->root, VARSIZE(options));
	SlTable    *table;
	Relation	relation;
	SlBytes		json;
	Datum		result;

	sl_need_argument(fcinfo, 0, "the name of the table is missing or NULL", NULL);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	/* say what is wrong with the table before anything is locked or written */
	relation_close(sl_open_tracked(name, AccessShareLock, true, &table), NoLock);

	sl_merge_begin("sync_set_policy");
	sl_fold(false);
	/* who captures under the old rules has committed then */
	relation = sl_open_tracked(name, ShareRowExclusiveLock, true, &table);
	SPI_connect();
	json = set_policy(relation, table->number, column, policy, options_text);
	SPI_finish();
	relation_close(relation, NoLock);
	result = DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(json.data, json.size)));
	sl_merge_end();
	PG_RETURN_DATUM(result);
}

/* ---- views ----------------------------------------------------------------------------------- */

Datum
sl_sync_policies(PG_FUNCTION_ARGS)
{
	SlStatus	status;

	sl_begin_rows(fcinfo);
	sl_site_ensure();
	slb_policies(fcinfo->resultinfo, &status);
	sl_report(&status);
	return (Datum) 0;
}

/* The columns of a relation as the registry would have them. */
static void
describe_relation(Relation relation, SlTableDef *def)
{
	TupleDesc	desc = RelationGetDescr(relation);
	SlColumnDef *columns = palloc0((desc->natts + 1) * sizeof(SlColumnDef));
	Bitmapset  *key = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	int			position = 0;

	memset(def, 0, sizeof(*def));
	def->name = text_bytes(RelationGetRelationName(relation));
	def->present = true;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		columns[i].name = text_bytes(NameStr(attribute->attname));
		columns[i].present = !attribute->attisdropped && attribute->attgenerated == '\0';
		columns[i].dropped = !columns[i].present;
		columns[i].type = text_bytes(columns[i].present ? sl_logical_type(attribute->atttypid)
									 : "any");
		columns[i].key_position = -1;
		if (bms_is_member(attribute->attnum - FirstLowInvalidHeapAttributeNumber, key))
			columns[i].key_position = position++;
	}
	def->columns = columns;
	def->column_count = desc->natts;
}

Datum
sl_sync_suggest_policies(PG_FUNCTION_ARGS)
{
	SlStatus	status;
	SlTableDef	def;
	Relation	relation;
	List	   *indexes;
	ListCell   *cell;
	uint32	   *unique;
	uint32		count = 0;

	sl_need_argument(fcinfo, 0, "the name of the table is missing or NULL", NULL);
	relation = table_open(sl_find_relation(text_to_cstring(PG_GETARG_TEXT_PP(0))),
						  AccessShareLock);
	describe_relation(relation, &def);
	indexes = RelationGetIndexList(relation);
	unique = palloc((list_length(indexes) * INDEX_MAX_KEYS + 1) * sizeof(uint32));
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		for (int i = 0; index->rd_index->indisunique &&
			 i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		{
			if (index->rd_index->indkey.values[i] > 0)
				unique[count++] = index->rd_index->indkey.values[i] - 1;
		}
		index_close(index, NoLock);
	}
	sl_begin_rows(fcinfo);
	slb_suggest_policies(&def, unique, count, fcinfo->resultinfo, &status);
	sl_report(&status);
	table_close(relation, NoLock);
	return (Datum) 0;
}
