/*
 * sl_trackable.c: finding the table that a caller names, and saying why one cannot be tracked.
 */
#include "sl_host.h"

#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#define REFUSE(reason, suggestion) \
	ereport(ERROR, \
			(errcode(ERRCODE_WRONG_OBJECT_TYPE), \
			 errmsg("table \"%s\" cannot be tracked: %s", name, reason), \
			 errhint(suggestion)))

/* ---- finding a table ------------------------------------------------------------------------- */

static SlBytes
text_bytes(const char *text)
{
	return (SlBytes) {text, strlen(text)};
}

/* The nearest of the names that a query gives; NULL: none is near. */
char *
sl_nearest_name(const char *name, const char *sql)
{
	SlBytes    *names;
	SlBytes		found;
	char	   *result = NULL;
	MemoryContext context = CurrentMemoryContext;

	SPI_connect();
	sl_exec(sql, 0, NULL, NULL, NULL);
	names = palloc((SPI_processed + 1) * sizeof(SlBytes));
	for (uint64 i = 0; i < SPI_processed; i++)
		names[i] = text_bytes(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	found = slb_nearest_name(text_bytes(name), names, SPI_processed);
	if (found.size > 0)
	{
		result = MemoryContextAlloc(context, found.size + 1);
		memcpy(result, found.data, found.size);
		result[found.size] = '\0';
	}
	SPI_finish();
	return result;
}

/* The name with its schema of a table that search_path does not lead to; NULL: there is none. */
static char *
hidden_table(const char *name)
{
	static const Oid types[] = {TEXTOID};
	const Datum values[] = {CStringGetTextDatum(name)};
	MemoryContext context = CurrentMemoryContext;
	char	   *found = NULL;

	SPI_connect();
	if (sl_exec("SELECT quote_ident(nspname) || '.' || quote_ident(relname) FROM pg_class c"
				" JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = $1"
				" AND relkind IN ('r', 'p') AND nspname !~ '^pg_' ORDER BY 1 LIMIT 1",
				lengthof(types), types, values, NULL) > 0)
		found = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0],
														  SPI_tuptable->tupdesc, 1));
	SPI_finish();
	return found;
}

static void
no_such_table(const char *name)
{
	char	   *hidden = hidden_table(name);
	char	   *near = sl_nearest_name(name,
							   "SELECT relname::text FROM pg_class c JOIN pg_namespace n"
							   " ON n.oid = relnamespace WHERE relkind IN ('r', 'p')"
							   " AND nspname <> 'syncline' AND nspname !~ '^pg_'"
							   " AND nspname <> 'information_schema'");

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("table \"%s\" does not exist", name),
			 hidden != NULL ? errhint("search_path does not lead to it: name it '%s'.", hidden) :
			 near != NULL ? errhint("Did you mean \"%s\"?", near) : 0));
}

/* The relation that SQL would mean by the name; InvalidOid: none, or it is no name. */
static Oid
find_as_sql_reads_it(const char *name)
{
	List	   *parts;
	List	   *names = NIL;
	ListCell   *cell;

	if (!SplitIdentifierString(pstrdup(name), '.', &parts) || parts == NIL)
		return InvalidOid;
	foreach(cell, parts)
		names = lappend(names, makeString(pstrdup(lfirst(cell))));
	return RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
}

/*
 * A name is taken as it stands first, so that 'Order Item' works as it does in SQLite; then as SQL
 * would read it, with a schema and quotes.
 */
Oid
sl_find_relation(const char *name)
{
	Oid			relid = RelnameGetRelid(name);

	if (!OidIsValid(relid) &&
		(strchr(name, '"') != NULL ||
		 (strpbrk(name, ".ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL && strpbrk(name, " ;()") == NULL)))
		relid = find_as_sql_reads_it(name);
	if (!OidIsValid(relid))
		no_such_table(name);
	return relid;
}

/* The name under which a table travels that is named as SQL does: 'public.task' is "task". */
const char *
sl_travel_name(const char *name)
{
	Oid			relid = InvalidOid;

	if (!OidIsValid(RelnameGetRelid(name)) && strpbrk(name, ".\"") != NULL)
		relid = find_as_sql_reads_it(name);
	return OidIsValid(relid) && sl_table_by_relid(relid) != NULL ? get_rel_name(relid) : name;
}

/* ---- what cannot be tracked ------------------------------------------------------------------ */

static void
refuse_kind(Relation relation, const char *name)
{
	switch (relation->rd_rel->relkind)
	{
		case RELKIND_RELATION:
			break;
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
			REFUSE("it is a view", "Enable the tables that the view reads.");
			break;
		case RELKIND_FOREIGN_TABLE:
			REFUSE("it is a foreign table", "Enable it in the database that holds its rows.");
			break;
		case RELKIND_PARTITIONED_TABLE:
			REFUSE("it is partitioned, and partitions can be attached and detached with their rows",
				   "Track a table that is not partitioned.");
			break;
		default:
			REFUSE("it is not a table", "Name an ordinary table.");
	}
	if (relation->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		REFUSE("it is temporary", "Only tables that outlive the session can be tracked.");
	if (relation->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		REFUSE("it is unlogged: a crash would empty it, but not its peers",
			   "ALTER TABLE ... SET LOGGED first.");
	if (relation->rd_rel->relispartition)
		REFUSE("it is a partition", "Track a table that is not partitioned.");
}

static void
refuse_inheritance(Relation relation, const char *name)
{
	Oid			relid = RelationGetRelid(relation);

	if (has_superclass(relid))
		REFUSE("it inherits from another table", "ALTER TABLE ... NO INHERIT first.");
	if (has_subclass(relid) && find_inheritance_children(relid, NoLock) != NIL)
		REFUSE("other tables inherit from it", "ALTER TABLE ... NO INHERIT the children first.");
}

/* The server finds no rows by a primary key that is deferrable: it counts as none. */
static bool
has_deferrable_key(Relation relation)
{
	ListCell   *cell;
	bool		found = false;

	foreach(cell, RelationGetIndexList(relation))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		found = found || (index->rd_index->indisprimary && !index->rd_index->indimmediate);
		index_close(index, NoLock);
	}
	return found;
}

static void
refuse_key(Relation relation, const char *name)
{
	Relation	index;

	if (!OidIsValid(sl_primary_key_index(relation)))
	{
		if (has_deferrable_key(relation))
			REFUSE("its primary key is deferrable",
				   "Drop it, and add it again without DEFERRABLE.");
		REFUSE("it has no primary key",
			   "ALTER TABLE ... ADD PRIMARY KEY first: rows are told apart by it.");
	}
	index = index_open(sl_primary_key_index(relation), AccessShareLock);
	if (index->rd_rel->relam != BTREE_AM_OID)
		REFUSE("its primary key is over periods of time", "Track a table with an ordinary key.");
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		int			attnum = index->rd_index->indkey.values[i];

		if (TupleDescAttr(RelationGetDescr(relation), attnum - 1)->attgenerated != '\0')
			REFUSE("its primary key has a generated column, and those do not travel",
				   "Track a table with a key of ordinary columns.");
	}
	index_close(index, NoLock);
}

void
sl_refuse_untrackable(Relation relation)
{
	const char *name = RelationGetRelationName(relation);

	if (IsCatalogRelation(relation) ||
		RelationGetNamespace(relation) == get_namespace_oid("syncline", true))
		REFUSE("it belongs to the system or to Syncline", "Name a table of your own.");
	refuse_kind(relation, name);
	refuse_inheritance(relation, name);
	refuse_key(relation, name);
}
