/*
 * sl_sql.c: the small SQL functions: identity, version vector, hello, sync_tables.
 */
#include "sl_host.h"

#include "sl_log.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "sl_exchange.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(sl_sync_version);
PG_FUNCTION_INFO_V1(sl_sync_site_id);
PG_FUNCTION_INFO_V1(sl_sync_site_name);
PG_FUNCTION_INFO_V1(sl_sync_version_vector);
PG_FUNCTION_INFO_V1(sl_sync_new_identity);
PG_FUNCTION_INFO_V1(sl_sync_hello);
PG_FUNCTION_INFO_V1(sl_tables);

/* The first field of the last result as text, in `context`. */
static Datum
result_text(MemoryContext context)
{
	char	   *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum		result = CStringGetTextDatum(text);

	MemoryContextSwitchTo(old);
	return result;
}

static Datum
site_text(const char *sql)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		result;

	SPI_connect();
	sl_site_ensure();
	if (sl_exec(sql, 0, NULL, NULL, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this database has no site id yet"),
				 errhint("Call sync_site_id() once in a read-write transaction on the primary.")));
	result = result_text(context);
	SPI_finish();
	return result;
}

Datum
sl_sync_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(SYNCLINE_VERSION));
}

#define READ_SITE_ID "SELECT encode(id, 'hex') FROM syncline.self JOIN syncline.site ON n = site"

Datum
sl_sync_site_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(site_text(READ_SITE_ID));
}

Datum
sl_sync_site_name(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID};

	if (!PG_ARGISNULL(0))
	{
		const Datum values[] = {PG_GETARG_DATUM(0)};

		if (!sl_owns_database(MyDatabaseId, GetUserId()))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("only the owner of the database may name its site")));
		if (sl_text_argument(fcinfo, 0).size > SL_LABEL_BYTES_MAX)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("the site's name is longer than %d bytes", SL_LABEL_BYTES_MAX)));
		sl_merge_begin("sync_site_name");
		sl_fold(false);
		SPI_connect();
		sl_exec("UPDATE syncline.self SET name = $1", 1, types, values, NULL);
		SPI_finish();
		sl_advance();
		sl_register_site();
		sl_merge_end();
	}
	PG_RETURN_DATUM(site_text("SELECT name FROM syncline.self"));
}

Datum
sl_sync_version_vector(PG_FUNCTION_ARGS)
{
	SlStatus	status;
	SlBytes		json;

	sl_site_ensure();
	json = slb_version_vector(&status);
	sl_report(&status);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(json.data, json.size)));
}

Datum
sl_sync_new_identity(PG_FUNCTION_ARGS)
{
	sl_take_new_identity("sync_new_identity");
	PG_RETURN_DATUM(site_text(READ_SITE_ID));
}

Datum
sl_sync_hello(PG_FUNCTION_ARGS)
{
	SlStatus	status;
	SlBytes		json;
	char	   *engine = psprintf("postgresql %s", PG_VERSION);
	Datum		result;

	sl_merge_begin_settled("sync_hello");
	sl_member_ensure();
	json = slb_hello((SlBytes) {engine, strlen(engine)}, &status);
	sl_report(&status);
	result = DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(json.data, json.size)));
	sl_merge_end();
	PG_RETURN_DATUM(result);
}

/*
 * sync_tables. Row counts of state and log are exact; bytes are those of the state table with its
 * indexes.
 */
Datum
sl_tables(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SPITupleTable *list;
	uint64		count;

	sl_begin_rows(fcinfo);
	if (!RecoveryInProgress())
		sl_log_flush();
	SPI_connect();
	count = sl_exec("SELECT name, (SELECT jsonb_agg(name ORDER BY key_position)"
					"   FROM syncline.col WHERE tbl = t.number AND key_position IS NOT NULL),"
					" (SELECT jsonb_agg(name ORDER BY number) FROM syncline.col c"
					"   WHERE tbl = t.number AND (c.present OR NOT t.present) AND NOT c.dropped),"
					" CASE WHEN present THEN tracked_since END, NULL::int8,"
					" (SELECT count(*) FROM syncline.log l WHERE l.tbl = t.number),"
					" pg_total_relation_size(format('syncline.state_%s', number)::regclass)"
					" + pg_total_relation_size(format('syncline.arrival_%s', number)::regclass),"
					" CASE WHEN present THEN 'tracked' ELSE 'parked' END,"
					" CASE WHEN NOT present"
					"  THEN 'only peers have it: create the table and sync_enable it' END,"
					" number FROM syncline.tbl t ORDER BY name", 0, NULL, NULL, NULL);
	list = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
	{
		Datum		values[10];
		bool		nulls[10];

		heap_deform_tuple(list->vals[i], list->tupdesc, values, nulls);
		sl_exec(psprintf("SELECT count(*) FROM syncline.state_%d", DatumGetInt32(values[9])),
				0, NULL, NULL, NULL);
		values[4] = Int64GetDatum(sl_result_int64(0, 1));
		nulls[4] = false;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	SPI_finish();
	return (Datum) 0;
}
