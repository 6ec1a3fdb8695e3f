/*
 * sl_fill.c: a column appears that peers have had for longer.
 *
 * Its values have waited in row state; here they go to the base rows, as the merge shows them.
 * State stays as it is: a value that stands in both places says nothing new. A value that the
 * column cannot hold stays in state only, and a conflict record says so.
 *
 * Versions of writers that did not have the column hold its default there (ColumnInfo::missing).
 * That is noted in syncline.col.missing, as slb_encode_value writes it, with the column.
 */
#include "sl_host.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#define ROWS_PER_BATCH 500

/* ---- defaults -------------------------------------------------------------------------------- */

/* What rows show in the column that nobody wrote; absent: its default is no constant. */
static void
read_default(Relation relation, Form_pg_attribute attribute, SlValue *out)
{
	Node	   *expression = build_column_default(relation, attribute->attnum);
	SlType	   *type = palloc0(sizeof(SlType));

	memset(out, 0, sizeof(*out));
	out->kind = SL_NULL;
	if (expression == NULL)
		return;
	expression = (Node *) expression_planner((Expr *) expression);
	out->kind = IsA(expression, Const) ? SL_NULL : SL_ABSENT;
	if (!IsA(expression, Const) || ((Const *) expression)->constisnull)
		return;
	sl_type_init(type, attribute->atttypid, attribute->atttypmod, attribute->attcollation,
				 CurrentMemoryContext);
	sl_to_value(type, ((Const *) expression)->constvalue, out);
}

void
sl_note_defaults(Relation relation, uint32 number)
{
	static const Oid types[] = {INT4OID, INT2OID, BYTEAOID};
	TupleDesc	desc = RelationGetDescr(relation);
	Datum		values[] = {Int32GetDatum(number), (Datum) 0, (Datum) 0};

	sl_exec("UPDATE syncline.col SET missing = NULL WHERE tbl = $1 AND missing IS NOT NULL", 1,
			types, values, NULL);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		SlValue		value;
		SlBytes		encoded;

		if (attribute->attisdropped || attribute->attgenerated != '\0')
			continue;
		read_default(relation, attribute, &value);
		if (value.kind == SL_NULL)
			continue;
		encoded = slb_encode_value(&value);
		if (encoded.data == NULL)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		values[1] = Int16GetDatum(attribute->attnum);
		values[2] = PointerGetDatum(cstring_to_text_with_len(encoded.data, encoded.size));
		sl_exec("UPDATE syncline.col SET missing = $3 WHERE tbl = $1 AND attnum = $2 AND present",
				lengthof(types), types, values, NULL);
	}
}

/* ---- values that have waited ----------------------------------------------------------------- */

/* UPDATE table SET column = $1 WHERE key = $2 AND ... */
static SPIPlanPtr
prepare_update(SlTable *table, int16 attnum)
{
	Relation	relation = table_open(table->relid, NoLock);
	TupleDesc	desc = RelationGetDescr(relation);
	StringInfoData sql;
	Oid			types[INDEX_MAX_KEYS + 1];
	SPIPlanPtr	plan;

	initStringInfo(&sql);
	types[0] = TupleDescAttr(desc, attnum - 1)->atttypid;
	appendStringInfo(&sql, "UPDATE ONLY %s SET %s = $1 WHERE ",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
												RelationGetRelationName(relation)),
					 quote_identifier(NameStr(TupleDescAttr(desc, attnum - 1)->attname)));
	for (int k = 0; k < table->key_count; k++)
	{
		Form_pg_attribute key = TupleDescAttr(desc, table->key_attnums[k] - 1);

		types[k + 1] = key->atttypid;
		appendStringInfo(&sql, "%s%s = $%d", k > 0 ? " AND " : "",
						 quote_identifier(NameStr(key->attname)), k + 2);
	}
	table_close(relation, NoLock);
	plan = SPI_prepare(sql.data, table->key_count + 1, types);
	if (plan == NULL)
		elog(ERROR, "syncline: %s: %s", SPI_result_code_string(SPI_result), sql.data);
	return plan;
}

/* One value to write, for sl_try. */
typedef struct FillRow
{
	SlTable    *table;
	SPIPlanPtr	plan;
	int16		attnum;
	SlBytes		key;
	const SlValue *value;
} FillRow;

static void
fill_row(void *argument)
{
	FillRow    *row = argument;
	SlTable    *table = row->table;
	SlValue		key[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS + 1];
	char		nulls[INDEX_MAX_KEYS + 2];
	bool		isnull;

	memset(nulls, ' ', sizeof(nulls));
	if (slb_decode_key(row->key, key, INDEX_MAX_KEYS) != table->key_count)
		return;
	values[0] = sl_to_datum(&table->types[row->attnum - 1], row->value, &isnull);
	nulls[0] = isnull ? 'n' : ' ';
	for (int k = 0; k < table->key_count; k++)
		values[k + 1] = sl_to_datum(&table->types[table->key_attnums[k] - 1], &key[k], &isnull);
	if (SPI_execute_plan(row->plan, values, nulls, false, 0) < 0)
		elog(ERROR, "syncline: %s", SPI_result_code_string(SPI_result));
}

static void
fill_batch(FillRow *row, uint32 column, SlStateRow *rows, uint32 count)
{
	SlValue    *values = palloc(count * sizeof(SlValue));
	SlStatus	status;
	SlFailure	failure;

	slb_shown_values(row->table->number, column, rows, count, values, &status);
	sl_report(&status);
	for (uint32 i = 0; i < count; i++)
	{
		if (values[i].kind == SL_ABSENT || values[i].kind == SL_SAME)
			continue;
		row->key = rows[i].key;
		row->value = &values[i];
		switch (sl_try(fill_row, row, &failure))
		{
			case 1:
				slb_note_unfit(row->table->number, column, row->key, row->value,
							   (SlBytes) {failure.message, strlen(failure.message)}, &status);
				sl_report(&status);
				break;
			case 2:
				status.code = SL_HOST_FAILED;
				sl_report(&status);
				break;
		}
	}
}

/*
 * Writing runs code of the table's owner (generated columns, domains, indexes on expressions), so
 * it runs as that role. Neither the user's triggers nor foreign keys: nobody here has written
 * anything.
 */
static void
become_table_owner(Oid relid, SlRole *saved)
{
	HeapTuple	tuple;
	Oid			owner;

	sl_become_owner(saved);
	(void) set_config_option("session_replication_role", "replica", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	SetUserIdAndSecContext(owner, saved->context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
}

/* Fills column number `column` of the table. SPI must be connected, the relation locked. */
void
sl_fill_column(uint32 number, uint32 column)
{
	FillRow		row = {.table = sl_table_by_number(number)};
	SPITupleTable *states;
	uint64		count;
	bool		was_off = sl_capture_off;
	SlRole		role;

	row.attnum = row.table->attnum_of[column];
	count = sl_exec(psprintf("SELECT key, site, seq, hlc, flags, coalesce(context, 0), cells"
							 " FROM syncline.state_%u WHERE cells IS NOT NULL", number),
					0, NULL, NULL, NULL);
	if (count == 0 || row.attnum == 0)
		return;
	states = SPI_tuptable;
	become_table_owner(row.table->relid, &role);
	sl_capture_off = true;
	row.plan = prepare_update(row.table, row.attnum);
	for (uint64 first = 0; first < count; first += ROWS_PER_BATCH)
	{
		SlStateRow	rows[ROWS_PER_BATCH];
		uint32		size = Min(ROWS_PER_BATCH, count - first);

		for (uint32 i = 0; i < size; i++)
		{
			SPI_tuptable = states;
			rows[i] = (SlStateRow) {
				.key = sl_result_bytes(first + i, 1, CurrentMemoryContext),
				.site = sl_result_int64(first + i, 2), .seq = sl_result_int64(first + i, 3),
				.hlc = sl_result_int64(first + i, 4), .flags = sl_result_int64(first + i, 5),
				.context = sl_result_int64(first + i, 6),
				.cells = sl_result_bytes(first + i, 7, CurrentMemoryContext), .place = 1};
		}
		fill_batch(&row, column, rows, size);
	}
	sl_capture_off = was_off;
	sl_become_caller(&role);
}
