/*
 * sl_invariant.c: queries of the application's that must hold.
 *
 * A query runs as the calling role, in a subtransaction that may not write and is rolled back.
 * Only the owner of the database may store one, for whoever synchronises runs it.
 */
#include "sl_host.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "sl_check.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/resowner.h"

PG_FUNCTION_INFO_V1(sl_sync_invariant);

typedef struct Verdict
{
	bool		holds;
	bool		boolean;		/* the query gives one boolean */
	char		why[256];
} Verdict;

/* One SELECT, that neither writes nor locks. */
static bool
only_reads(SPIPlanPtr plan)
{
	List	   *sources = plan == NULL ? NIL : SPI_plan_get_plan_sources(plan);
	List	   *queries = list_length(sources) != 1 ? NIL :
		((CachedPlanSource *) linitial(sources))->query_list;
	Query	   *query = list_length(queries) != 1 ? NULL : linitial_node(Query, queries);

	return query != NULL && query->commandType == CMD_SELECT && !query->hasModifyingCTE &&
		query->rowMarks == NIL;
}

/* Runs the query and judges; inside the subtransaction. `expect`: 't', 'n', or 0 to guess. */
static void
judge(const char *sql, char expect, Verdict *verdict)
{
	SPIPlanPtr	plan;

	SPI_connect();
	plan = SPI_prepare(sql, 0, NULL);
	if (!only_reads(plan) || SPI_execute_plan(plan, NULL, NULL, true, 2) != SPI_OK_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an invariant must be a query that writes nothing"),
				 errhint("Give one SELECT.")));
	verdict->boolean = SPI_tuptable->tupdesc->natts == 1 &&
		SPI_gettypeid(SPI_tuptable->tupdesc, 1) == BOOLOID;
	verdict->holds = SPI_processed == 0;
	if (expect == 't' || (expect == 0 && verdict->boolean))
	{
		bool		isnull = true;
		Datum		datum = (Datum) 0;

		if (SPI_processed > 0)
			datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		/* unknown holds, as in a CHECK constraint */
		verdict->holds = SPI_processed <= 1 &&
			(isnull || (verdict->boolean && DatumGetBool(datum)));
		strlcpy(verdict->why, "its query is not true", sizeof(verdict->why));
	}
	else
		strlcpy(verdict->why, "its query returns rows", sizeof(verdict->why));
	SPI_finish();
}

/* An error in the query is told in the verdict, or raised if `strict`. */
static void
evaluate(const char *sql, char expect, bool strict, Verdict *verdict)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	memset(verdict, 0, sizeof(*verdict));
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		XactReadOnly = true;	/* until the subtransaction is rolled back */
		judge(sql, expect, verdict);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return;
	if (strict || ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	verdict->holds = false;
	strlcpy(verdict->why, error->message ? error->message : "it failed", sizeof(verdict->why));
	FreeErrorData(error);
}

typedef struct Stored
{
	char	   *name;
	char	   *sql;
	char	   *broken_at;		/* NULL: it held when last looked at */
	char		expect;
	bool		refuse;
} Stored;

static char *
field(uint64 row, int column, MemoryContext context)
{
	char	   *text = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return text == NULL ? NULL : MemoryContextStrdup(context, text);
}

static Stored *
load(uint64 *count)
{
	MemoryContext context = CurrentMemoryContext;
	Stored	   *list;

	SPI_connect();
	*count = sl_exec("SELECT name, query, broken_at::text, expects_true, refuse"
					 " FROM syncline.invariant ORDER BY name", 0, NULL, NULL, NULL);
	list = MemoryContextAllocZero(context, sizeof(Stored) * Max(1, *count));
	for (uint64 i = 0; i < *count; i++)
	{
		list[i].name = field(i, 1, context);
		list[i].sql = field(i, 2, context);
		list[i].broken_at = field(i, 3, context);
		list[i].expect = sl_result_int64(i, 4) ? 't' : 'n';
		list[i].refuse = sl_result_int64(i, 5) != 0;
	}
	SPI_finish();
	return list;
}

static void
note(const char *name, bool holds)
{
	static const Oid types[] = {TEXTOID, BOOLOID};
	const Datum values[] = {CStringGetTextDatum(name), BoolGetDatum(holds)};

	SPI_connect();
	sl_exec("UPDATE syncline.invariant SET broken_at = CASE WHEN NOT $2 THEN now() END"
			" WHERE name = $1", lengthof(types), types, values, NULL);
	SPI_finish();
}

void
sl_check_invariants(void)
{
	uint64		count;
	Stored	   *list = load(&count);

	if (count > 0)
		sl_advance();			/* what the exchange wrote counts */
	for (uint64 i = 0; i < count; i++)
	{
		bool		held = list[i].broken_at == NULL;
		Verdict		verdict;

		evaluate(list[i].sql, list[i].expect, false, &verdict);
		if (!verdict.holds && held && list[i].refuse)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("what arrived would break the invariant \"%s\": %s", list[i].name,
							verdict.why),
					 errhint("Mend the data at the sender, or let it in with sync_invariant(..., "
							 "'{\"on_apply\": \"report\"}').")));
		if (verdict.holds != held)
			note(list[i].name, verdict.holds);
	}
}

void
sl_report_invariants(void (*put) (void *target, const char *what), void *target)
{
	uint64		count;
	Stored	   *list = load(&count);

	for (uint64 i = 0; i < count; i++)
	{
		Verdict		verdict;

		evaluate(list[i].sql, list[i].expect, false, &verdict);
		if (verdict.holds)
			continue;
		put(target, psprintf("the invariant \"%s\" does not hold: %s%s%s", list[i].name,
							 verdict.why,
							 list[i].broken_at == NULL ? "" : ", since ",
							 list[i].broken_at == NULL ? "" : list[i].broken_at));
	}
}

static char *
remove_one(const char *name)
{
	static const Oid types[] = {TEXTOID};
	const Datum values[] = {CStringGetTextDatum(name)};
	bool		removed;

	SPI_connect();
	removed = sl_exec("DELETE FROM syncline.invariant WHERE name = $1", 1, types, values,
					  NULL) > 0;
	SPI_finish();
	return psprintf("\"removed\": %s", removed ? "true" : "false");
}

static char *
store(const char *name, const char *sql, char expect, bool refuse)
{
	static const Oid types[] = {TEXTOID, TEXTOID, BOOLOID, BOOLOID, BOOLOID};
	Verdict		verdict;
	Datum		values[5];

	evaluate(sql, expect, true, &verdict);
	if (expect == 0)
		expect = verdict.boolean ? 't' : 'n';
	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(sql);
	values[2] = BoolGetDatum(expect == 't');
	values[3] = BoolGetDatum(refuse);
	values[4] = BoolGetDatum(verdict.holds);
	SPI_connect();
	sl_exec("INSERT INTO syncline.invariant (name, query, expects_true, refuse, broken_at)"
			" VALUES ($1, $2, $3, $4, CASE WHEN NOT $5 THEN now() END) ON CONFLICT (name)"
			" DO UPDATE SET query = excluded.query, expects_true = excluded.expects_true,"
			" refuse = excluded.refuse, broken_at = excluded.broken_at",
			lengthof(types), types, values, NULL);
	SPI_finish();
	return psprintf("\"expect\": \"%s\", \"on_apply\": \"%s\", \"holds\": %s",
					expect == 't' ? "true" : "none", refuse ? "refuse" : "report",
					verdict.holds ? "true" : "false");
}

Datum
sl_sync_invariant(PG_FUNCTION_ARGS)
{
	Jsonb	   *jsonb = DatumGetJsonbP(sl_options_argument(fcinfo, 2));
	char	   *options = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	StringInfoData json;
	char	   *name;
	char		expect = 0;
	bool		refuse = false;
	SlStatus	status;

	sl_need_argument(fcinfo, 0, "the name of the invariant is missing or NULL", NULL);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the name of the invariant is empty")));
	slb_invariant_options((SlBytes) {options, strlen(options)}, &expect, &refuse, &status);
	sl_report(&status);
	initStringInfo(&json);
	appendStringInfoString(&json, "{\"name\": ");
	escape_json(&json, name);
	appendStringInfo(&json, ", %s}", PG_ARGISNULL(1) ? remove_one(name) :
					 store(name, text_to_cstring(PG_GETARG_TEXT_PP(1)), expect, refuse));
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}
