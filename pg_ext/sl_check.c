/*
 * sl_check.c: sync_check: does what is in this database agree with itself?
 *
 * The catalog is asked through the view syncline.faults; rows, versions and exchanges are looked at
 * by the core (check.h); foreign keys and invariants here.
 */
#include "sl_host.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "sl_check.h"
#include "sl_exchange.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(sl_sync_check);

#define FINDING_COLUMNS 4

static SlBytes
text_bytes(const char *text)
{
	return (SlBytes) {text, text == NULL ? 0 : strlen(text)};
}

void
sl_leaf_put_finding(void *argument)
{
	SlFinding  *finding = argument;
	ReturnSetInfo *target = finding->target;
	const SlBytes *fields[] = {&finding->severity, &finding->table_name, &finding->what,
	&finding->repair};
	Datum		values[FINDING_COLUMNS] = {0};
	bool		nulls[FINDING_COLUMNS];

	for (int i = 0; i < FINDING_COLUMNS; i++)
	{
		nulls[i] = fields[i]->size == 0;
		if (!nulls[i])
			values[i] = PointerGetDatum(cstring_to_text_with_len(fields[i]->data,
																 fields[i]->size));
	}
	tuplestore_putvalues(target->setResult, target->setDesc, values, nulls);
}

static void
put(void *target, const char *severity, const char *table, const char *what, const char *repair)
{
	SlFinding	finding = {target, text_bytes(severity), text_bytes(table), text_bytes(what),
	text_bytes(repair)};

	sl_leaf_put_finding(&finding);
}

static void
put_invariant(void *target, const char *what)
{
	put(target, "error", NULL, what, NULL);
}

/* The fields of a row of the last result, in `context`. */
static void
read_fields(uint64 row, int count, char **fields, MemoryContext context)
{
	for (int i = 0; i < count; i++)
	{
		char	   *text = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, i + 1);

		fields[i] = text == NULL ? NULL : MemoryContextStrdup(context, text);
	}
}

/* What the catalog shows. Those that name how, and may be mended at once, are. */
static void
check_catalog(void *target, bool repair)
{
	MemoryContext context = CurrentMemoryContext;
	uint64		count;
	char	 *(*rows)[5];

	SPI_connect();
	count = sl_exec("SELECT severity, table_name, what, repair, at_once FROM syncline.faults", 0,
					NULL, NULL, NULL);
	rows = MemoryContextAllocZero(context, sizeof(*rows) * Max(1, count));
	for (uint64 i = 0; i < count; i++)
		read_fields(i, 5, rows[i], context);
	for (uint64 i = 0; i < count; i++)
	{
		bool		mend = repair && strcmp(rows[i][4], "t") == 0;

		if (mend)
			sl_exec_ddl(rows[i][3]);
		MemoryContextSwitchTo(context);
		put(target, mend ? "repaired" : rows[i][0], rows[i][1], rows[i][2], rows[i][3]);
	}
	SPI_finish();
}

/*
 * What exchanges go by: each row of state stands in the list of positions. Inside a merge, after
 * the fold.
 */
static void
check_arrivals(void *target, bool repair)
{
	MemoryContext context = CurrentMemoryContext;
	uint64		count;
	char	 *(*rows)[2];

	SPI_connect();
	count = sl_exec("SELECT number, name FROM syncline.tbl"
					" WHERE to_regclass('syncline.state_' || number) IS NOT NULL"
					" AND to_regclass('syncline.arrival_' || number) IS NOT NULL ORDER BY name",
					0, NULL, NULL, NULL);
	rows = MemoryContextAllocZero(context, sizeof(*rows) * Max(1, count));
	for (uint64 i = 0; i < count; i++)
		read_fields(i, 2, rows[i], context);
	for (uint64 i = 0; i < count; i++)
	{
		uint32		table = (uint32) strtoul(rows[i][0], NULL, 10);
		int64		missing = sl_arrivals_missing(table);

		if (missing > 0 && repair)
			sl_arrivals_list_anew(table);
		MemoryContextSwitchTo(context);
		if (missing > 0)
			put(target, repair ? "repaired" : "error", rows[i][1],
				psprintf(INT64_FORMAT " rows are not listed in syncline.arrival_%u: no exchange"
						 " would send them", missing, table),
				"SELECT * FROM sync_check('{\"repair\": true}')");
	}
	SPI_finish();
}

/* Rows of tracked tables whose foreign keys point to nothing: triggers were off, or a restore. */
static void
check_foreign_keys(void *target)
{
	MemoryContext context = CurrentMemoryContext;
	uint64		count;
	char	 *(*rows)[4];

	SPI_connect();
	count = sl_exec(
		"SELECT t.name, k.conname, k.confrelid::regclass,"
		" format('SELECT count(*) FROM ONLY %s c WHERE %s AND NOT EXISTS"
		"  (SELECT FROM %s p WHERE %s)', k.conrelid::regclass,"
		"  (SELECT string_agg(format('c.%I IS NOT NULL', a.attname), ' AND ')"
		"   FROM unnest(k.conkey) AS n, pg_attribute a"
		"   WHERE a.attrelid = k.conrelid AND a.attnum = n), k.confrelid::regclass,"
		"  (SELECT string_agg(format('p.%I OPERATOR(%s.%s) c.%I', pa.attname, on_.nspname,"
		"    o.oprname, ca.attname), ' AND ')"
		"   FROM unnest(k.conkey, k.confkey, k.conpfeqop) AS u(child, parent, op)"
		"   JOIN pg_attribute ca ON ca.attrelid = k.conrelid AND ca.attnum = u.child"
		"   JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = u.parent"
		"   JOIN pg_operator o ON o.oid = u.op JOIN pg_namespace on_ ON on_.oid = o.oprnamespace))"
		" FROM syncline.tbl t JOIN pg_constraint k ON k.conrelid = t.relation"
		" WHERE k.contype = 'f' AND t.present ORDER BY t.name, k.conname", 0, NULL, NULL, NULL);
	rows = MemoryContextAllocZero(context, sizeof(*rows) * Max(1, count));
	for (uint64 i = 0; i < count; i++)
		read_fields(i, 4, rows[i], context);
	for (uint64 i = 0; i < count; i++)
	{
		int64		dangling;

		/* as the caller, who has to be allowed to read both */
		if (SPI_execute(rows[i][3], true, 0) != SPI_OK_SELECT)
			elog(ERROR, "syncline: %s", rows[i][3]);
		dangling = sl_result_int64(0, 1);
		MemoryContextSwitchTo(context);
		if (dangling > 0)
			put(target, "warning", rows[i][0],
				psprintf(INT64_FORMAT " rows refer to rows of \"%s\" that do not exist"
						 " (constraint %s)", dangling, rows[i][2], rows[i][1]),
				psprintf("SELECT c.* %s", strstr(rows[i][3], "FROM ONLY")));
	}
	SPI_finish();
}

Datum
sl_sync_check(PG_FUNCTION_ARGS)
{
	Jsonb	   *jsonb = DatumGetJsonbP(sl_options_argument(fcinfo, 0));
	char	   *json = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	SlCheckOptions options = {0};
	SlStatus	status;

	slb_check_options(text_bytes(json), &options, &status);
	sl_report(&status);
	if (options.repair && !sl_owns_database(MyDatabaseId, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only the owner of the database may repair it")));
	sl_begin_rows(fcinfo);
	check_catalog(fcinfo->resultinfo, options.repair);
	sl_merge_begin("sync_check");
	sl_fold(true);
	check_arrivals(fcinfo->resultinfo, options.repair);
	slb_check(&options, fcinfo->resultinfo, &status);
	sl_report(&status);
	sl_merge_end();
	check_foreign_keys(fcinfo->resultinfo);
	sl_report_invariants(put_invariant, fcinfo->resultinfo);
	return (Datum) 0;
}
