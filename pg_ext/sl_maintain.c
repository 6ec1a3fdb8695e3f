/*
 * sl_maintain.c: sync_maintain: metadata that every site has seen goes, and what is over for long.
 *
 * A call does a bounded part. What it deletes is reused after VACUUM, which is autovacuum's
 * business.
 */
#include "sl_host.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "sl_melting.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(sl_sync_maintain);

/* Closed conflicts, and events, that are older than keep_closed_days. */
static void
drop_closed(SlMaintenance *maintenance)
{
	static const Oid types[] = {FLOAT8OID, INT8OID};
	const Datum values[] = {Float8GetDatum((double) maintenance->keep_closed_days),
	Int64GetDatum((int64) maintenance->rows_max)};

	SPI_connect();
	maintenance->conflicts_dropped =
		sl_exec("DELETE FROM syncline.conflict WHERE id IN (SELECT id FROM syncline.conflict"
				" WHERE status = 'closed' AND coalesce(resolved_at, detected_at)"
				" < clock_timestamp() - make_interval(secs => $1 * 86400) LIMIT $2)",
				lengthof(types), types, values, NULL);
	/* the last one stays, for whoever asks what came after it */
	maintenance->events_dropped =
		sl_exec("DELETE FROM syncline.event WHERE event IN (SELECT event FROM syncline.event"
				" WHERE event < (SELECT max(event) FROM syncline.event)"
				" AND at < clock_timestamp() - make_interval(secs => $1 * 86400) LIMIT $2)",
				lengthof(types), types, values, NULL);
	maintenance->done = maintenance->conflicts_dropped < maintenance->rows_max &&
		maintenance->events_dropped < maintenance->rows_max;
	SPI_finish();
}

/* What is left: rows of state, and of what is listed of them. */
static void
measure(SlMaintenance *maintenance)
{
	StringInfoData sql;
	uint64		count;

	SPI_connect();
	initStringInfo(&sql);
	count = sl_exec("SELECT number FROM syncline.tbl", 0, NULL, NULL, NULL);
	appendStringInfoString(&sql, "SELECT 0::int8");
	for (uint64 i = 0; i < count; i++)
	{
		int64		number = sl_result_int64(i, 1);

		appendStringInfo(&sql, " + (SELECT coalesce(sum(pg_column_size(s)), 0)"
						 " FROM syncline.state_" INT64_FORMAT " s)"
						 " + (SELECT coalesce(sum(pg_column_size(a)), 0)"
						 " FROM syncline.arrival_" INT64_FORMAT " a)", number, number);
	}
	sl_exec(sql.data, 0, NULL, NULL, NULL);
	maintenance->bytes_metadata = sl_result_int64(0, 1);
	SPI_finish();
}

Datum
sl_sync_maintain(PG_FUNCTION_ARGS)
{
	Jsonb	   *jsonb = DatumGetJsonbP(sl_options_argument(fcinfo, 0));
	char	   *options = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	SlMaintenance maintenance = {0};
	SlStatus	status;
	SlBytes		json;
	Datum		result;

	slb_maintain_options((SlBytes) {options, strlen(options)}, &maintenance, &status);
	sl_report(&status);
	sl_merge_begin("sync_maintain");
	sl_fold(false);
	sl_member_ensure();
	slb_maintain(&maintenance, &status);
	sl_report(&status);
	drop_closed(&maintenance);
	measure(&maintenance);
	json = slb_maintain_report(&maintenance, &status);
	sl_report(&status);
	result = DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(json.data, json.size)));
	sl_merge_end();
	PG_RETURN_DATUM(result);
}
