/*
 * sl_decide.c: sync_resolve, sync_resolve_all and sync_undo, and the writes they make.
 *
 * A decision is written by the calling role as an application would write it: its privileges and
 * the table's triggers and foreign keys apply, and capture logs it. Then an entry of its own says
 * what was decided, and the fold, still in the same transaction, closes the conflict. The counter
 * row is locked throughout, so of two sessions that decide about one conflict the second finds it
 * closed.
 */
#include "sl_host.h"

#include "sl_log.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_attribute.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "sl_decide.h"
#include "sl_exchange.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

PG_FUNCTION_INFO_V1(sl_sync_resolve);
PG_FUNCTION_INFO_V1(sl_sync_resolve_json);
PG_FUNCTION_INFO_V1(sl_sync_resolve_all);
PG_FUNCTION_INFO_V1(sl_sync_undo);

/* ---- an ordinary write ----------------------------------------------------------------------- */

/* A statement in the making, with its parameters. */
typedef struct Statement
{
	SlTable    *table;
	TupleDesc	desc;
	StringInfoData sql;
	int			count;
	Oid		   *types;
	Datum	   *values;
	char	   *nulls;
} Statement;

static const char *
column_name(const Statement *statement, int attnum)
{
	return quote_identifier(NameStr(TupleDescAttr(statement->desc, attnum - 1)->attname));
}

/* Adds a parameter for a column; returns its number. */
static int
add_parameter(Statement *statement, int attnum, const SlValue *value)
{
	bool		isnull;

	statement->types[statement->count] = TupleDescAttr(statement->desc, attnum - 1)->atttypid;
	statement->values[statement->count] = sl_to_datum(&statement->table->types[attnum - 1], value,
													  &isnull);
	statement->nulls[statement->count] = isnull ? 'n' : ' ';
	return ++statement->count;
}

static void
add_where(Statement *statement, SlBytes key)
{
	SlTable    *table = statement->table;
	SlValue		values[INDEX_MAX_KEYS];

	if (slb_decode_key(key, values, INDEX_MAX_KEYS) != table->key_count)
		elog(ERROR, "syncline: a key of table %u does not decode", table->number);
	for (int k = 0; k < table->key_count; k++)
	{
		int			attnum = table->key_attnums[k];

		appendStringInfo(&statement->sql, "%s%s = $%d", k == 0 ? " WHERE " : " AND ",
						 column_name(statement, attnum),
						 add_parameter(statement, attnum, &values[k]));
	}
}

/* The columns that an UPDATE may set, or an INSERT may give. */
static bool
is_written(const Statement *statement, const SlOrdinaryWrite *write, uint32 column)
{
	int			attnum = column < (uint32) statement->table->column_count ?
		statement->table->attnum_of[column] : 0;

	if (attnum == 0 || write->values[column].kind == SL_ABSENT ||
		write->values[column].kind == SL_SAME)
		return false;
	if (write->action == SL_WRITE_INSERT)
		return true;
	for (int k = 0; k < statement->table->key_count; k++)
	{
		if (statement->table->key_attnums[k] == attnum)
			return false;
	}
	/* it takes nothing but its default */
	return TupleDescAttr(statement->desc, attnum - 1)->attidentity != ATTRIBUTE_IDENTITY_ALWAYS;
}

static void
add_update(Statement *statement, const SlOrdinaryWrite *write, const char *name)
{
	bool		first = true;

	appendStringInfo(&statement->sql, "UPDATE ONLY %s SET", name);
	for (uint32 c = 0; c < write->count; c++)
	{
		int			attnum;

		if (!is_written(statement, write, c))
			continue;
		attnum = statement->table->attnum_of[c];
		appendStringInfo(&statement->sql, "%s %s = $%d", first ? "" : ",",
						 column_name(statement, attnum),
						 add_parameter(statement, attnum, &write->values[c]));
		first = false;
	}
	if (first)
		resetStringInfo(&statement->sql);	/* a row of a key alone */
	else
		add_where(statement, write->key);
}

static void
add_insert(Statement *statement, const SlOrdinaryWrite *write, const char *name)
{
	StringInfoData parameters;

	initStringInfo(&parameters);
	appendStringInfo(&statement->sql, "INSERT INTO %s (", name);
	for (uint32 c = 0; c < write->count; c++)
	{
		int			attnum;

		if (!is_written(statement, write, c))
			continue;
		attnum = statement->table->attnum_of[c];
		appendStringInfo(&statement->sql, "%s%s", parameters.len == 0 ? "" : ", ",
						 column_name(statement, attnum));
		appendStringInfo(&parameters, "%s$%d", parameters.len == 0 ? "" : ", ",
						 add_parameter(statement, attnum, &write->values[c]));
	}
	appendStringInfo(&statement->sql, ") OVERRIDING SYSTEM VALUE VALUES (%s)", parameters.data);
}

void
sl_leaf_ordinary_write(void *argument)
{
	SlOrdinaryWrite *write = argument;
	Statement	statement = {.table = sl_table_by_number(write->table)};
	int			room = write->count + INDEX_MAX_KEYS;
	Relation	relation = table_open(statement.table->relid, RowExclusiveLock);
	const char *name = quote_qualified_identifier(
		get_namespace_name(RelationGetNamespace(relation)), RelationGetRelationName(relation));
	int			result;

	statement.desc = RelationGetDescr(relation);
	statement.types = palloc(room * sizeof(Oid));
	statement.values = palloc(room * sizeof(Datum));
	statement.nulls = palloc(room);
	initStringInfo(&statement.sql);
	if (write->action == SL_WRITE_UPDATE)
		add_update(&statement, write, name);
	else if (write->action == SL_WRITE_INSERT)
		add_insert(&statement, write, name);
	else
	{
		appendStringInfo(&statement.sql, "DELETE FROM ONLY %s", name);
		add_where(&statement, write->key);
	}
	table_close(relation, NoLock);
	write->written = statement.sql.len == 0;
	if (write->written)
		return;
	SPI_connect();
	result = SPI_execute_with_args(statement.sql.data, statement.count, statement.types,
								   statement.values, statement.nulls, false, 0);
	if (result < 0)
		elog(ERROR, "syncline: %s: %s", SPI_result_code_string(result), statement.sql.data);
	write->written = SPI_processed > 0;
	SPI_finish();
}

void
sl_leaf_decision_entry(void *argument)
{
	SlDecisionEntry *entry = argument;

	sl_log_decision(entry->table, entry->erases ? SL_OP_DELETE : SL_OP_UPDATE, entry->mask,
					entry->key, entry->image, entry->origin);
}

/* ---- sync_resolve, sync_undo ----------------------------------------------------------------- */

/* What every decision says: id, choice, note, and who decides. */
static void
make_call(SlDecide *call, SlBytes id, SlBytes choice, SlBytes note)
{
	const char *actor = sl_origin_actor();
	const char *context = sl_origin_context();

	memset(call, 0, sizeof(*call));
	call->id = id;
	call->choice = choice;
	call->note = note;
	call->actor = (SlBytes) {actor, strlen(actor)};
	call->context = (SlBytes) {context, context == NULL ? 0 : strlen(context)};
}

static Datum
jsonb_result(SlBytes json)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(json.data, json.size)));
}

static Datum
resolve(FunctionCallInfo fcinfo, const SlValue *given)
{
	SlDecide	call;
	SlStatus	status;
	SlBytes		json;
	Datum		result;
	bool		takes_value = false;

	sl_need_argument(fcinfo, 0, "the id of the conflict is missing or NULL",
					 "sync_conflicts lists them.");
	sl_need_argument(fcinfo, 1, "the choice is missing or NULL",
					 "One of local, remote, base, merged, value, skip.");
	make_call(&call, sl_text_argument(fcinfo, 0), sl_text_argument(fcinfo, 1),
			  sl_text_argument(fcinfo, 3));
	slb_check_choice(call.choice, &takes_value, &status);
	sl_report(&status);
	if (!takes_value && given->kind != SL_ABSENT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("choice \"%.*s\" takes no value", (int) call.choice.size,
						call.choice.data),
				 errhint("Pass NULL as the value, and a note after it.")));
	call.given = *given;
	if (takes_value && given->kind == SL_ABSENT)
		call.given.kind = SL_NULL;
	sl_merge_begin("sync_resolve");
	sl_fold(false);
	json = slb_decide(&call, &status);
	sl_report(&status);
	result = jsonb_result(json);
	sl_merge_end();
	sl_settle_decision();
	return result;
}

Datum
sl_sync_resolve(PG_FUNCTION_ARGS)
{
	SlBytes		text = sl_text_argument(fcinfo, 2);
	SlValue		given = {.kind = SL_ABSENT};

	if (text.data != NULL)
		given = (SlValue) {.u.data = text.data, .size = text.size, .kind = SL_TEXT};
	return resolve(fcinfo, &given);
}

/* The value as jsonb: a string is its text, anything else how it is written. */
Datum
sl_sync_resolve_json(PG_FUNCTION_ARGS)
{
	SlValue		given = {.kind = SL_ABSENT};

	if (!PG_ARGISNULL(2))
	{
		Jsonb	   *jsonb = PG_GETARG_JSONB_P(2);
		JsonbValue	scalar;
		char	   *text = NULL;

		given.kind = SL_TEXT;
		if (JsonbExtractScalar(&jsonb->root, &scalar) && scalar.type == jbvString)
			text = pnstrdup(scalar.val.string.val, scalar.val.string.len);
		else if (JB_ROOT_IS_SCALAR(jsonb) && scalar.type == jbvNull)
			given.kind = SL_NULL;
		else
			text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
		if (text != NULL)
		{
			given.u.data = text;
			given.size = strlen(text);
		}
	}
	return resolve(fcinfo, &given);
}

Datum
sl_sync_undo(PG_FUNCTION_ARGS)
{
	SlDecide	call;
	SlStatus	status;
	SlBytes		json;
	Datum		result;

	sl_need_argument(fcinfo, 0, "the id of the conflict is missing or NULL",
					 "sync_conflicts lists them.");
	make_call(&call, sl_text_argument(fcinfo, 0), (SlBytes) {NULL, 0}, (SlBytes) {NULL, 0});
	sl_merge_begin("sync_undo");
	sl_fold(false);
	json = slb_undo(&call, &status);
	sl_report(&status);
	result = jsonb_result(json);
	sl_merge_end();
	sl_settle_decision();
	return result;
}

/* ---- sync_resolve_all ------------------------------------------------------------------------ */

typedef struct Bulk
{
	int64		matched;
	int64		resolved;
	StringInfoData refused;
} Bulk;

/* Decides one of many in a subtransaction. Returns what was wrong if it was refused, else NULL. */
static char *
decide_one(SlDecide *call, Bulk *bulk)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	SlStatus	status = {0};
	bool		decided;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	sl_merge_begin("sync_resolve_all");
	decided = slb_decide(call, &status).size > 0;
	if (status.code == SL_OK)
	{
		sl_merge_end();
		ReleaseCurrentSubTransaction();
	}
	else if (status.code != SL_INVALID_ARGUMENT && status.code != SL_REFUSED)
		sl_report(&status);
	else
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	/* an earlier decision may have settled it, too */
	if (status.code == SL_OK && !decided)
		return NULL;
	bulk->matched++;
	if (status.code != SL_OK)
		return pstrdup(status.message);
	bulk->resolved++;
	return NULL;
}

static SlMatches
find_matches(SlBytes filter)
{
	SlMatches	matches = {0};
	SlStatus	status;
	SlBytes    *ids;

	sl_merge_begin("sync_resolve_all");
	sl_fold(false);
	slb_match_conflicts(filter, &matches, &status);
	sl_report(&status);
	ids = palloc((matches.count + 1) * sizeof(SlBytes));
	for (uint32 i = 0; i < matches.count; i++)
		ids[i] = (SlBytes) {pnstrdup(matches.ids[i].data, matches.ids[i].size),
		matches.ids[i].size};
	matches.ids = ids;
	sl_merge_end();
	return matches;
}

Datum
sl_sync_resolve_all(PG_FUNCTION_ARGS)
{
	SlDecide	call;
	SlStatus	status;
	SlMatches	matches;
	Jsonb	   *filter = DatumGetJsonbP(sl_options_argument(fcinfo, 0));
	char	   *filter_text = JsonbToCString(NULL, &filter->root, VARSIZE(filter));
	SlBytes		choice;
	bool		takes_value = false;
	Bulk		bulk = {0};

	sl_need_argument(fcinfo, 1, "the choice is missing or NULL",
					 "One of local, remote, base, merged, skip.");
	choice = sl_text_argument(fcinfo, 1);
	slb_check_choice(choice, &takes_value, &status);
	sl_report(&status);
	if (takes_value)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sync_resolve_all takes no choice \"value\""),
				 errhint("Call sync_resolve for each conflict.")));
	matches = find_matches((SlBytes) {filter_text, strlen(filter_text)});
	initStringInfo(&bulk.refused);
	for (uint32 i = 0; i < matches.count; i++)
	{
		char	   *error;

		CHECK_FOR_INTERRUPTS();
		make_call(&call, matches.ids[i], choice, sl_text_argument(fcinfo, 2));
		call.only_open = true;
		error = decide_one(&call, &bulk);
		if (error != NULL)
		{
			SlBytes		entry = slb_refusal(call.id, (SlBytes) {error, strlen(error)});

			appendStringInfo(&bulk.refused, "%s%.*s", bulk.refused.len == 0 ? "" : ", ",
							 (int) entry.size, entry.data);
		}
	}
	if (bulk.resolved > 0)
		sl_settle_decision();
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(
		psprintf("{\"matched\": " INT64_FORMAT ", \"resolved\": " INT64_FORMAT
				 ", \"refused\": [%s]}", bulk.matched, bulk.resolved, bulk.refused.data)));
}
