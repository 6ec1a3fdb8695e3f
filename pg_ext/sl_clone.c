/*
 * sl_clone.c: sync_clone: making a peer's tables here. The session that fills them is the worker's
 * (sl_worker.c), which calls sl_clone_tables in a transaction of its own: an error leaves nothing.
 *
 * What is made is made as the calling role, with its rights; the bookkeeping is read as its owner.
 */
#include "sl_host.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "sl_session.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(sl_sync_clone);

/* A plan: the JSON of plan_to_json(), and where in it we are. */
typedef struct ClonePlan
{
	Datum		json;
	const char *peer_site;		/* hex */
	char	   *enable;			/* the statement that tracks a table */
	int			count;
} ClonePlan;

typedef struct Table
{
	int			number;			/* in the plan */
	char	   *name;
	char	   *qualified;
	bool		found;			/* it was here */
} Table;

/* ---- reading the plan ------------------------------------------------------------------------ */

static char *
path_of(int number, const char *member)
{
	return number < 0 ? psprintf("{%s}", member) : psprintf("{tables,%d,%s}", number, member);
}

/* The strings of an array in the plan. */
static List *
strings_at(const ClonePlan *plan, int number, const char *member)
{
	Oid			types[] = {JSONBOID, TEXTOID};
	Datum		values[] = {plan->json, CStringGetTextDatum(path_of(number, member))};
	List	   *out = NIL;

	SPI_execute_with_args("SELECT pg_catalog.jsonb_array_elements_text("
						  "$1 OPERATOR(pg_catalog.#>) $2::pg_catalog.text[])",
						  lengthof(types), types, values, NULL, true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
		out = lappend(out, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	return out;
}

static char *
string_at(const ClonePlan *plan, int number, const char *member)
{
	Oid			types[] = {JSONBOID, TEXTOID};
	Datum		values[] = {plan->json, CStringGetTextDatum(path_of(number, member))};

	SPI_execute_with_args("SELECT $1 OPERATOR(pg_catalog.#>>) $2::pg_catalog.text[]",
						  lengthof(types), types, values, NULL, true, 0);
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* ---- one table ------------------------------------------------------------------------------- */

/* Runs a statement of the plan; what goes wrong names the table (NULL: all need it). */
static void
make(const char *table, const char *sql)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		int			result = SPI_execute(sql, false, 0);

		if (result < 0)
			elog(ERROR, "%s", SPI_result_code_string(result));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
			ReThrowError(error);
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 table == NULL ?
				 errmsg("what tables of the peer need cannot be made here: %s", error->message) :
				 errmsg("table \"%s\" of the peer cannot be made here: %s", table, error->message),
				 errhint("Leave it out with the option \"tables\", or make it by hand and call "
						 "sync_clone again.")));
	}
	PG_END_TRY();
}

static bool
any_row(const char *sql, const char *parameter)
{
	static const Oid types[] = {TEXTOID};
	const Datum values[] = {CStringGetTextDatum(parameter)};

	return sl_exec(sql, lengthof(types), types, values, NULL) > 0;
}

#define IS_TRACKED \
	"SELECT FROM syncline.tbl WHERE present AND relation = pg_catalog.to_regclass($1)"

/* Is there a table of this name? Refuses one that has rows, unless they are ours to go on with. */
static void
look(const ClonePlan *plan, Table *table)
{
	bool		tracked;

	table->found = any_row("SELECT WHERE pg_catalog.to_regclass($1) IS NOT NULL", table->qualified);
	if (!table->found)
		return;
	SPI_execute(psprintf("SELECT FROM %s LIMIT 1", table->qualified), true, 1);
	if (SPI_processed == 0)
		return;
	tracked = any_row(IS_TRACKED, table->qualified);
	if (tracked && any_row("SELECT FROM syncline.incoming i"
						   " JOIN syncline.site s ON s.n = i.site"
						   " WHERE pg_catalog.encode(s.id, 'hex') = $1", plan->peer_site))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_TABLE),
			 errmsg("table %s exists here and has rows", table->qualified),
			 errhint(tracked ? "sync_clone fills tables that are empty or not there; sync_now() "
					 "brings what is new." :
					 "sync_clone fills tables that are empty or not there; sync_enable and "
					 "sync_now() merge both.")));
}

/* A table that was here has to have the columns that travel, and their key. */
static void
compare(const ClonePlan *plan, const Table *table)
{
	static const Oid types[] = {JSONBOID, TEXTOID, TEXTOID};
	Datum		values[] = {plan->json, CStringGetTextDatum(path_of(table->number, "columns")),
	CStringGetTextDatum(table->qualified)};
	const char *how = NULL;

	if (sl_exec("SELECT c->>'name' FROM pg_catalog.jsonb_array_elements($1 #> $2::text[]) c"
				" WHERE NOT EXISTS (SELECT FROM syncline.col k JOIN syncline.tbl t"
				"  ON t.number = k.tbl WHERE t.relation = pg_catalog.to_regclass($3) AND k.present"
				"  AND k.name = c->>'name' AND k.type = c->>'type') LIMIT 1",
				lengthof(types), types, values, NULL) > 0)
		how = psprintf("column \"%s\" is missing or of another type",
					   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	values[1] = CStringGetTextDatum(path_of(table->number, "key"));
	if (how == NULL &&
		sl_exec("SELECT WHERE $1 #> $2::text[] = (SELECT pg_catalog.jsonb_agg(k.name ORDER BY"
				" k.key_position) FROM syncline.col k JOIN syncline.tbl t ON t.number = k.tbl"
				" WHERE t.relation = pg_catalog.to_regclass($3) AND k.key_position IS NOT NULL)",
				lengthof(types), types, values, NULL) == 0)
		how = "its primary key is another";
	if (how != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("table %s exists here and differs: %s", table->qualified, how),
				 errhint("Drop the empty table, or give it the columns of the peer's.")));
}

static void
track(const ClonePlan *plan, const Table *table)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(table->qualified)};

	if (!any_row(IS_TRACKED, table->qualified))
		SPI_execute_with_args(plan->enable, lengthof(types), types, values, NULL, false, 0);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void
make_list(const ClonePlan *plan, const Table *table, const char *member)
{
	ListCell   *cell;

	foreach(cell, strings_at(plan, table == NULL ? -1 : table->number, member))
		make(table == NULL ? NULL : table->name, lfirst(cell));
}

static void
read_plan(SlBytes json, ClonePlan *plan)
{
	Oid			types[] = {JSONBOID};

	plan->json = DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(json.data, json.size)));
	SPI_execute_with_args("SELECT pg_catalog.jsonb_array_length("
						  "$1 OPERATOR(pg_catalog.->) 'tables')", lengthof(types), types,
						  &plan->json, NULL, true, 0);
	plan->count = atoi(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_execute("SELECT pg_catalog.format('SELECT %I.sync_enable($1)', n.nspname)"
				" FROM pg_catalog.pg_extension x, pg_catalog.pg_namespace n"
				" WHERE x.extname = 'syncline' AND n.oid = x.extnamespace", true, 0);
	plan->enable = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

void
sl_clone_tables(SlBytes json, SlBytes peer_site)
{
	ClonePlan	plan = {.peer_site = pnstrdup(peer_site.data, peer_site.size)};
	Table	   *tables;

	SPI_connect();
	read_plan(json, &plan);
	tables = palloc0(sizeof(Table) * Max(1, plan.count));
	make_list(&plan, NULL, "before");
	for (int i = 0; i < plan.count; i++)
	{
		tables[i].number = i;
		tables[i].name = string_at(&plan, i, "name");
		tables[i].qualified = string_at(&plan, i, "qualified");
		look(&plan, &tables[i]);
		if (!tables[i].found)
			make_list(&plan, &tables[i], "make");
	}
	for (int i = 0; i < plan.count; i++)
	{
		if (!tables[i].found)
			make_list(&plan, &tables[i], "after");
	}
	for (int i = 0; i < plan.count; i++)
	{
		track(&plan, &tables[i]);
		if (tables[i].found)
			compare(&plan, &tables[i]);
	}
	SPI_finish();
}

/* ---- sync_clone ------------------------------------------------------------------------------ */

Datum
sl_sync_clone(PG_FUNCTION_ARGS)
{
	char	   *options = pstrdup("{}");
	char	   *report;
	SlStatus	status;

	sl_refuse_session("sync_clone");
	sl_need_argument(fcinfo, 0, "the database to clone is missing or NULL",
					 "For example: SELECT sync_clone('postgresql://hub/app').");
	if (!PG_ARGISNULL(1))
	{
		Jsonb	   *jsonb = PG_GETARG_JSONB_P(1);

		options = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	}
	slb_check_clone_options((SlBytes) {options, strlen(options)}, &status);
	sl_report(&status);
	report = sl_session_with(text_to_cstring(PG_GETARG_TEXT_PP(0)), options, SL_TASK_CLONE);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(report));
}
