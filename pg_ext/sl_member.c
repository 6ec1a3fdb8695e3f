/*
 * sl_member.c: sites: this database enters itself, others are retired, all are listed.
 *
 * What sites say of themselves and who is retired are settings (sl_setting.c, pg_member.cpp), so
 * that every database comes to know them.
 */
#include "sl_host.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "sl_decide.h"
#include "sl_melting.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(sl_sync_retire_site);
PG_FUNCTION_INFO_V1(sl_sites);
PG_FUNCTION_INFO_V1(sl_site_matrix);
PG_FUNCTION_INFO_V1(sl_sync_site_history);

void
sl_register_site(void)
{
	char	   *engine = psprintf("postgresql %s", PG_VERSION);
	SlStatus	status;

	slb_register_site((SlBytes) {engine, strlen(engine)}, &status);
	sl_report(&status);
}

/* Whoever tracks a table is a site that others wait for: also under an id taken since. */
void
sl_member_ensure(void)
{
	bool		lacks;

	SPI_connect();
	lacks = sl_exec("SELECT FROM syncline.self s JOIN syncline.site i ON i.n = s.site"
					" WHERE EXISTS (SELECT FROM syncline.tbl WHERE present) AND NOT EXISTS"
					" (SELECT FROM syncline.setting WHERE key = 'site/' || encode(i.id, 'hex'))",
					0, NULL, NULL, NULL) > 0;
	SPI_finish();
	if (lacks)
		sl_register_site();
}

Datum
sl_sync_retire_site(PG_FUNCTION_ARGS)
{
	SlStatus	status;
	SlBytes		json;
	Datum		result;

	sl_need_argument(fcinfo, 0, "the id of the site to retire is missing or NULL",
					 "SELECT site, name FROM sync_sites lists them.");
	sl_merge_begin("sync_retire_site");
	sl_fold(false);
	sl_member_ensure();
	json = slb_retire_site(sl_text_argument(fcinfo, 0), sl_text_argument(fcinfo, 1), &status);
	sl_report(&status);
	result = DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(json.data, json.size)));
	sl_merge_end();
	PG_RETURN_DATUM(result);
}

Datum
sl_sites(PG_FUNCTION_ARGS)
{
	SlStatus	status;

	sl_begin_rows(fcinfo);
	sl_site_ensure();
	slb_sites(fcinfo->resultinfo, &status);
	sl_report(&status);
	return (Datum) 0;
}

Datum
sl_site_matrix(PG_FUNCTION_ARGS)
{
	SlStatus	status;

	sl_begin_rows(fcinfo);
	sl_site_ensure();
	slb_site_matrix(fcinfo->resultinfo, &status);
	sl_report(&status);
	return (Datum) 0;
}

Datum
sl_sync_site_history(PG_FUNCTION_ARGS)
{
	SlStatus	status;

	sl_need_argument(fcinfo, 0, "sync_site_history needs the id of a site",
					 "SELECT site, name FROM sync_sites lists them.");
	sl_begin_rows(fcinfo);
	sl_site_ensure();
	slb_site_history(sl_text_argument(fcinfo, 0), fcinfo->resultinfo, &status);
	sl_report(&status);
	return (Datum) 0;
}
