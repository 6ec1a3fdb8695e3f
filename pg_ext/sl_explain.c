/*
 * sl_explain.c: sync_preview, sync_explain and sync_conflict_diff; rows of SQL functions as texts.
 */
#include "sl_host.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "sl_decide.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(sl_sync_preview);
PG_FUNCTION_INFO_V1(sl_sync_explain);
PG_FUNCTION_INFO_V1(sl_sync_explain_json);
PG_FUNCTION_INFO_V1(sl_sync_explain_integer);
PG_FUNCTION_INFO_V1(sl_sync_conflict_diff);

void
sl_leaf_put_row(void *argument)
{
	SlPutRow   *row = argument;
	ReturnSetInfo *target = row->target;
	TupleDesc	desc = target->setDesc;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "syncline row",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	char	  **texts = palloc0(desc->natts * sizeof(char *));

	for (int i = 0; i < desc->natts && i < row->count; i++)
	{
		if (row->texts[i].data != NULL)
			texts[i] = pg_any_to_server(pnstrdup(row->texts[i].data, row->texts[i].size),
										row->texts[i].size, PG_UTF8);
	}
	tuplestore_puttuple(target->setResult,
						BuildTupleFromCStrings(TupleDescGetAttInMetadata(desc), texts));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

Datum
sl_sync_preview(PG_FUNCTION_ARGS)
{
	SlStatus	status;

	sl_need_argument(fcinfo, 0, "the id of the conflict is missing or NULL",
					 "sync_conflicts lists them.");
	sl_begin_rows(fcinfo);
	sl_merge_begin("sync_preview");
	sl_fold(false);
	slb_preview(sl_text_argument(fcinfo, 0), fcinfo->resultinfo, &status);
	sl_report(&status);
	sl_merge_end();
	return (Datum) 0;
}

static Datum
explain(FunctionCallInfo fcinfo, const SlValue *key)
{
	SlStatus	status;
	SlTable    *table;
	Relation	relation;
	uint32		number;

	sl_need_argument(fcinfo, 0, "the name of the table is missing or NULL", NULL);
	relation = sl_open_tracked(text_to_cstring(PG_GETARG_TEXT_PP(0)), AccessShareLock, false,
							   &table);
	number = table->number;
	relation_close(relation, NoLock);
	sl_begin_rows(fcinfo);
	sl_merge_begin("sync_explain");
	sl_fold(false);
	slb_explain(number, key, fcinfo->resultinfo, &status);
	sl_report(&status);
	sl_merge_end();
	return (Datum) 0;
}

Datum
sl_sync_explain(PG_FUNCTION_ARGS)
{
	SlBytes		text = sl_text_argument(fcinfo, 1);
	SlValue		key = {.u.data = text.data, .size = text.size, .kind = SL_TEXT};

	if (text.data == NULL)
		key.kind = SL_ABSENT;
	return explain(fcinfo, &key);
}

Datum
sl_sync_explain_json(PG_FUNCTION_ARGS)
{
	SlValue		key = {.kind = SL_ABSENT};

	if (!PG_ARGISNULL(1))
	{
		Jsonb	   *jsonb = PG_GETARG_JSONB_P(1);
		char	   *text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));

		key = (SlValue) {.u.data = text, .size = strlen(text), .kind = SL_TEXT};
	}
	return explain(fcinfo, &key);
}

Datum
sl_sync_explain_integer(PG_FUNCTION_ARGS)
{
	SlValue		key = {.kind = SL_ABSENT};

	if (!PG_ARGISNULL(1))
		key = (SlValue) {.u.integer = PG_GETARG_INT64(1), .kind = SL_INTEGER};
	return explain(fcinfo, &key);
}

Datum
sl_sync_conflict_diff(PG_FUNCTION_ARGS)
{
	SlStatus	status;
	SlBytes		text;

	sl_need_argument(fcinfo, 0, "the id of the conflict is missing or NULL",
					 "sync_conflicts lists them.");
	text = slb_conflict_diff(sl_text_argument(fcinfo, 0), sl_text_argument(fcinfo, 1), &status);
	sl_report(&status);
	PG_RETURN_TEXT_P(cstring_to_text(pg_any_to_server(pnstrdup(text.data, text.size), text.size,
													  PG_UTF8)));
}
