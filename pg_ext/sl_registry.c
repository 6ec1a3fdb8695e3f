/*
 * sl_registry.c: the registry of tables and columns, and what this backend remembers of it.
 *
 * Read by direct scans of syncline.tbl and syncline.col: capture runs as any role, with any
 * search_path, so neither privileges nor names may decide. Entries are forgotten through relcache
 * callbacks: every change of the registry also invalidates the relation it is about. An entry that
 * is replaced lives on until the end of the transaction, since a caller further up may hold it.
 */
#include "sl_host.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_constraint.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* Columns of syncline.tbl and syncline.col. */
enum
{
	TBL_NUMBER = 1, TBL_RELATION, TBL_NAME, TBL_PRESENT, TBL_BASELINE_SITE, TBL_BASELINE_SEQ,
	TBL_BASELINE_CONTEXT = 10
};
enum
{
	COL_TBL = 1, COL_NUMBER, COL_NAME, COL_TYPE, COL_DECLARED, COL_ATTNUM, COL_PRESENT, COL_DROPPED,
	COL_KEY_POSITION, COL_LOCAL, COL_MISSING
};
enum
{
	SETTING_KEY = 1, SETTING_VALUE, SETTING_HLC, SETTING_SITE
};

typedef struct TableEntry
{
	Oid			relid;
	SlTable    *table;
} TableEntry;

static HTAB *by_relid = NULL;
static SlTable *last_found = NULL;	/* by sl_table_by_relid */
static List *tables = NIL;		/* of SlTable, valid or not; in CacheMemoryContext */
static List *retired = NIL;		/* of MemoryContext */

typedef struct InternalRelid
{
	const char *name;
	Oid			relid;
} InternalRelid;

static InternalRelid internal_relids[] = {
	{"log"}, {"log_2"}, {"self"}, {"origin"}, {"tbl"}, {"col"}, {"setting"}, {"tbl_pkey"},
	{"tbl_relation_key"}, {"col_pkey"}
};

static Oid
look_up_internal(const char *relname)
{
	Oid			relid = InvalidOid;
	Oid			schema = get_namespace_oid("syncline", true);

	if (OidIsValid(schema))
		relid = get_relname_relid(relname, schema);
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"syncline.%s\" does not exist", relname),
				 errhint("Create the extension syncline in this database.")));
	return relid;
}

Oid
sl_internal_relid(const char *relname)
{
	for (int i = 0; i < lengthof(internal_relids); i++)
	{
		InternalRelid *known = &internal_relids[i];

		if (strcmp(known->name, relname) != 0)
			continue;
		if (!OidIsValid(known->relid))
			known->relid = look_up_internal(relname);
		return known->relid;
	}
	return look_up_internal(relname);
}

/* ---- forgetting ------------------------------------------------------------------------------ */

void
sl_registry_relcache_callback(Datum unused, Oid relid)
{
	ListCell   *cell;

	for (int i = 0; i < lengthof(internal_relids); i++)
	{
		if (relid == InvalidOid || internal_relids[i].relid == relid)
			internal_relids[i].relid = InvalidOid;
	}
	foreach(cell, tables)
	{
		SlTable    *table = lfirst(cell);

		if (relid == InvalidOid || table->relid == relid || table->state_relid == relid)
			table->valid = false;
	}
}

void
sl_tables_forget(void)
{
	sl_registry_relcache_callback((Datum) 0, InvalidOid);
}

void
sl_tables_release(void)
{
	ListCell   *cell;

	foreach(cell, retired)
		MemoryContextDelete(lfirst(cell));
	list_free(retired);
	retired = NIL;
}

/* Takes invalid entries out of the list; their memory goes with the transaction. */
static void
retire_invalid(void)
{
	MemoryContext old = MemoryContextSwitchTo(CacheMemoryContext);
	ListCell   *cell;

	last_found = NULL;
	foreach(cell, tables)
	{
		SlTable    *table = lfirst(cell);

		if (table->valid)
			continue;
		if (by_relid != NULL && OidIsValid(table->relid))
			hash_search(by_relid, &table->relid, HASH_REMOVE, NULL);
		retired = lappend(retired, table->context);
		tables = foreach_delete_current(tables, cell);
	}
	MemoryContextSwitchTo(old);
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct ColumnRow
{
	int32		number;
	const char *name;
	const char *type;
	int16		attnum;
	bool		present;
	bool		dropped;
	bool		local;
	int32		key_position;
	SlBytes		missing;
} ColumnRow;

static void
read_column(HeapTuple tuple, TupleDesc desc, ColumnRow *row)
{
	bool		isnull;
	Datum		datum;

	row->number = DatumGetInt32(heap_getattr(tuple, COL_NUMBER, desc, &isnull));
	row->name = TextDatumGetCString(heap_getattr(tuple, COL_NAME, desc, &isnull));
	row->type = TextDatumGetCString(heap_getattr(tuple, COL_TYPE, desc, &isnull));
	datum = heap_getattr(tuple, COL_ATTNUM, desc, &isnull);
	row->attnum = isnull ? 0 : DatumGetInt16(datum);
	row->present = DatumGetBool(heap_getattr(tuple, COL_PRESENT, desc, &isnull));
	row->dropped = DatumGetBool(heap_getattr(tuple, COL_DROPPED, desc, &isnull));
	datum = heap_getattr(tuple, COL_KEY_POSITION, desc, &isnull);
	row->key_position = isnull ? -1 : DatumGetInt16(datum);
	row->local = DatumGetBool(heap_getattr(tuple, COL_LOCAL, desc, &isnull));
	datum = heap_getattr(tuple, COL_MISSING, desc, &isnull);
	row->missing = (SlBytes) {NULL, 0};
	if (!isnull)
	{
		bytea	   *value = DatumGetByteaPCopy(datum);

		row->missing = (SlBytes) {VARDATA(value), VARSIZE(value) - VARHDRSZ};
	}
}

/* Reads the columns of a table in the order of their numbers, into the current context. */
static ColumnRow *
read_columns(uint32 number, int *count)
{
	Relation	relation = table_open(sl_internal_relid("col"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			capacity = 16;
	ColumnRow  *rows = palloc(capacity * sizeof(ColumnRow));

	*count = 0;
	ScanKeyInit(&key, COL_TBL, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(number));
	scan = systable_beginscan(relation, sl_internal_relid("col_pkey"), true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		ColumnRow	row;

		read_column(tuple, RelationGetDescr(relation), &row);
		if (row.number < 0 || row.number > SL_COLUMNS_MAX)
			elog(ERROR, "syncline.col: column number %d of table %u", row.number, number);
		/* numbers are dense; a gap would be an entry that says nothing */
		while (row.number >= capacity)
			rows = repalloc(rows, (capacity *= 2) * sizeof(ColumnRow));
		while (*count < row.number)
			rows[(*count)++] = (ColumnRow) {.name = "", .type = "any", .dropped = true,
				.key_position = -1};
		if (*count == row.number)
			(*count)++;
		rows[row.number] = row;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return rows;
}

/* Finds the row of syncline.tbl by `attribute`; returns false if there is none. */
static bool
read_table(int attribute, const char *index, RegProcedure equal, Datum value, uint32 *number,
		   Oid *relid, char **name)
{
	Relation	relation = table_open(sl_internal_relid("tbl"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, attribute, BTEqualStrategyNumber, equal, value);
	scan = systable_beginscan(relation, sl_internal_relid(index), true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		TupleDesc	desc = RelationGetDescr(relation);
		bool		isnull;
		Datum		datum;

		*number = DatumGetInt32(heap_getattr(tuple, TBL_NUMBER, desc, &isnull));
		*name = TextDatumGetCString(heap_getattr(tuple, TBL_NAME, desc, &isnull));
		datum = heap_getattr(tuple, TBL_RELATION, desc, &isnull);
		*relid = isnull ? InvalidOid : DatumGetObjectId(datum);
		/* a table that was dropped while the event triggers were off counts as parked */
		if (OidIsValid(*relid) && get_rel_relkind(*relid) != RELKIND_RELATION)
			*relid = InvalidOid;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

/* ---- remembering ----------------------------------------------------------------------------- */

static void
describe_columns(SlTable *table, Relation relation, const ColumnRow *columns)
{
	TupleDesc	desc = RelationGetDescr(relation);

	table->natts = desc->natts;
	table->column_of = palloc(desc->natts * sizeof(int32));
	table->types = palloc0(desc->natts * sizeof(SlType));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		table->column_of[i] = SL_IGNORED;
		if (attribute->attisdropped || attribute->attgenerated != '\0')
			continue;
		table->column_of[i] = SL_UNKNOWN;
		for (int c = 0; c < table->column_count; c++)
		{
			if ((!columns[c].present && !columns[c].local) ||
				strcmp(columns[c].name, NameStr(attribute->attname)) != 0)
				continue;
			if (columns[c].local)
			{
				table->column_of[i] = SL_LOCAL;
				break;
			}
			table->column_of[i] = c;
			table->attnum_of[c] = i + 1;
			if (columns[c].key_position >= 0 && columns[c].key_position < INDEX_MAX_KEYS)
				table->key_attnums[columns[c].key_position] = i + 1;
			sl_type_init(&table->types[i], attribute->atttypid, attribute->atttypmod,
						 attribute->attcollation, table->context);
			break;
		}
	}
}

static SlBytes
text_bytes(const char *text)
{
	return (SlBytes) {text, strlen(text)};
}

/* Reads the policies in syncline.setting; `rows` is palloc'd. */
static uint32
read_policies(SlSettingRow **rows)
{
	Relation	relation = table_open(sl_internal_relid("setting"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(relation);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	uint32		count = 0;
	uint32		capacity = 0;

	*rows = NULL;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		SlSettingRow *row;
		bool		isnull;
		bytea	   *site;
		SlBytes		key = text_bytes(TextDatumGetCString(heap_getattr(tuple, SETTING_KEY, desc,
																	  &isnull)));

		if (!sl_is_policy(key))
			continue;
		if (count == capacity)
		{
			capacity = Max(16, capacity * 2);
			*rows = *rows == NULL ? palloc(capacity * sizeof(SlSettingRow)) :
				repalloc(*rows, capacity * sizeof(SlSettingRow));
		}
		row = &(*rows)[count++];
		row->key = key;
		row->value = text_bytes(TextDatumGetCString(heap_getattr(tuple, SETTING_VALUE, desc,
																 &isnull)));
		row->hlc = DatumGetInt64(heap_getattr(tuple, SETTING_HLC, desc, &isnull));
		site = DatumGetByteaPP(heap_getattr(tuple, SETTING_SITE, desc, &isnull));
		memcpy(row->site, VARDATA_ANY(site), sizeof(row->site));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return count;
}

/* Which columns' old values capture has to keep. Policies may come before the table does. */
static void
describe_noted(SlTable *table, const char *name, const ColumnRow *rows)
{
	SlSettingRow *settings;
	uint32		setting_count = read_policies(&settings);
	SlColumnDef *columns;
	SlTableDef	def = {.number = table->number, .name = text_bytes(name), .present = true};
	bool	   *noted;
	SlStatus	status;

	if (setting_count == 0)
		return;
	columns = palloc0((table->column_count + 1) * sizeof(SlColumnDef));
	noted = palloc0((table->column_count + 1) * sizeof(bool));
	for (int c = 0; c < table->column_count; c++)
	{
		columns[c].name = text_bytes(rows[c].name);
		columns[c].type = text_bytes(rows[c].type);
		columns[c].present = rows[c].present;
		columns[c].dropped = rows[c].dropped;
		columns[c].key_position = rows[c].key_position;
	}
	def.columns = columns;
	def.column_count = table->column_count;
	slb_noted_columns(&def, settings, setting_count, noted, &status);
	sl_report(&status);
	table->noted_attnums = palloc((table->column_count + 1) * sizeof(int16));
	for (int c = 0; c < table->column_count; c++)
	{
		if (noted[c] && table->attnum_of[c] > 0)
			table->noted_attnums[table->noted_count++] = table->attnum_of[c];
	}
}

static SlTable *
remember(uint32 number, Oid relid, const char *table_name)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "syncline table",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SlTable    *table = palloc0(sizeof(SlTable));
	ColumnRow  *columns;
	char		name[NAMEDATALEN];

	table->context = context;
	table->number = number;
	table->relid = relid;
	columns = read_columns(number, &table->column_count);
	table->attnum_of = palloc0((table->column_count + 1) * sizeof(int16));
	for (int c = 0; c < table->column_count; c++)
	{
		if (columns[c].key_position >= 0)
			table->key_count = Max(table->key_count, columns[c].key_position + 1);
	}
	snprintf(name, sizeof(name), "state_%u", number);
	table->state_relid = sl_internal_relid(name);
	snprintf(name, sizeof(name), "state_%u_pkey", number);
	table->state_index = sl_internal_relid(name);
	if (OidIsValid(relid))
	{
		Relation	relation = table_open(relid, AccessShareLock);

		describe_columns(table, relation, columns);
		describe_noted(table, table_name, columns);
		table->key_index = sl_primary_key_index(relation);
		table_close(relation, NoLock);
	}
	MemoryContextSwitchTo(CacheMemoryContext);
	MemoryContextSetParent(context, CacheMemoryContext);
	retire_invalid();
	tables = lappend(tables, table);
	if (OidIsValid(relid))
	{
		TableEntry *entry = hash_search(by_relid, &relid, HASH_ENTER, NULL);

		entry->table = table;
	}
	table->valid = true;
	MemoryContextSwitchTo(old);
	return table;
}

SlTable *
sl_table_by_relid(Oid relid)
{
	TableEntry *entry;
	uint32		number;
	Oid			registered;
	char	   *name;

	/* capture asks for the same table over and over: a tenth of the instructions of a search */
	if (last_found != NULL && last_found->valid && last_found->relid == relid)
		return last_found;
	if (by_relid == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(TableEntry)};

		by_relid = hash_create("syncline tables", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(by_relid, &relid, HASH_FIND, NULL);
	if (entry != NULL && entry->table->valid)
	{
		last_found = entry->table;
		return last_found;
	}
	if (!read_table(TBL_RELATION, "tbl_relation_key", F_OIDEQ, ObjectIdGetDatum(relid), &number,
					&registered, &name))
		return NULL;
	return remember(number, relid, name);
}

SlTable *
sl_table_by_number(uint32 number)
{
	ListCell   *cell;
	uint32		found;
	Oid			relid;
	char	   *name;

	foreach(cell, tables)
	{
		SlTable    *table = lfirst(cell);

		if (table->number == number && table->valid)
			return table;
	}
	if (!read_table(TBL_NUMBER, "tbl_pkey", F_INT4EQ, Int32GetDatum(number), &found, &relid,
					&name))
		elog(ERROR, "syncline.tbl: there is no table number %u", number);
	if (OidIsValid(relid))
		return sl_table_by_relid(relid);
	return remember(number, InvalidOid, name);
}

/* ---- the registry for the core --------------------------------------------------------------- */

static void
load_columns(SlTableDef *def)
{
	int			count;
	ColumnRow  *rows = read_columns(def->number, &count);
	SlColumnDef *columns = palloc0((count + 1) * sizeof(SlColumnDef));

	for (int i = 0; i < count; i++)
	{
		columns[i].name = text_bytes(rows[i].name);
		columns[i].type = text_bytes(rows[i].type);
		columns[i].present = rows[i].present;
		columns[i].dropped = rows[i].dropped;
		columns[i].key_position = rows[i].key_position;
		columns[i].missing = rows[i].missing;
	}
	def->columns = columns;
	def->column_count = count;
}

/* Collects the tables that foreign keys of `relid` point to. */
static void
load_parents(SlTableDef *def, Oid relid, const Oid *relids, const SlTableDef *defs, int count)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	uint32	   *parents = palloc(sizeof(uint32) * (count + 1));

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint constraint = (Form_pg_constraint) GETSTRUCT(tuple);

		if (constraint->contype != CONSTRAINT_FOREIGN || constraint->confrelid == relid)
			continue;
		for (int i = 0; i < count && def->parent_count < (uint32) count; i++)
		{
			if (relids[i] == constraint->confrelid)
				parents[def->parent_count++] = defs[i].number;
		}
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	def->parents = parents;
}

static void
load_table(HeapTuple tuple, TupleDesc desc, SlTableDef *def, Oid *relid)
{
	bool		isnull;
	Datum		datum;

	memset(def, 0, sizeof(*def));
	def->number = DatumGetInt32(heap_getattr(tuple, TBL_NUMBER, desc, &isnull));
	datum = heap_getattr(tuple, TBL_RELATION, desc, &isnull);
	*relid = isnull ? InvalidOid : DatumGetObjectId(datum);
	def->present = DatumGetBool(heap_getattr(tuple, TBL_PRESENT, desc, &isnull));
	def->name = text_bytes(TextDatumGetCString(heap_getattr(tuple, TBL_NAME, desc, &isnull)));
	datum = heap_getattr(tuple, TBL_BASELINE_SITE, desc, &isnull);
	def->baseline_site = isnull ? 0 : DatumGetInt32(datum);
	def->baseline_seq = DatumGetInt64(heap_getattr(tuple, TBL_BASELINE_SEQ, desc, &isnull));
	def->baseline_context = DatumGetInt64(heap_getattr(tuple, TBL_BASELINE_CONTEXT, desc,
													   &isnull));
}

void
sl_leaf_load_tables(void *argument)
{
	SlTables   *out = argument;
	Relation	relation = table_open(sl_internal_relid("tbl"), AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, sl_internal_relid("tbl_pkey"), true, NULL, 0,
										  NULL);
	int			capacity = 32;
	SlTableDef *defs = palloc(capacity * sizeof(SlTableDef));
	Oid		   *relids = palloc(capacity * sizeof(Oid));
	HeapTuple	tuple;

	out->count = 0;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (out->count == (uint32) capacity)
		{
			capacity *= 2;
			defs = repalloc(defs, capacity * sizeof(SlTableDef));
			relids = repalloc(relids, capacity * sizeof(Oid));
		}
		load_table(tuple, RelationGetDescr(relation), &defs[out->count], &relids[out->count]);
		out->count++;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	for (uint32 i = 0; i < out->count; i++)
	{
		load_columns(&defs[i]);
		if (OidIsValid(relids[i]))
			load_parents(&defs[i], relids[i], relids, defs, out->count);
	}
	out->tables = defs;
}
