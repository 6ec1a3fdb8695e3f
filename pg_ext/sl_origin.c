/*
 * sl_origin.c: who writes, as the session says it: sync_set_actor and sync_set_context.
 *
 * Log entries name a row of syncline.origin, which is written with the first of them in a
 * transaction: whoever sees the entries sees it, and the fold consumes both. A session that says
 * nothing writes nothing. Numbers are random: rows live only as long as their entries.
 */
#include "sl_host.h"

#include "sl_log.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(sl_sync_set_actor);
PG_FUNCTION_INFO_V1(sl_sync_set_context);

bool		sl_origin_said = false;

/* In TopMemoryContext; NULL: not said. */
static char *actor = NULL;
static char *context = NULL;

/* What was written for them, and by which subtransaction. */
static int64 current_number = 0;
static SubTransactionId current_writer = InvalidSubTransactionId;

static SlBytes
text_bytes(const char *text)
{
	return (SlBytes) {text, text == NULL ? 0 : strlen(text)};
}

/* What the session says, as JSON. */
static SlBytes
origin_text(const char *who, const char *what)
{
	SlStatus	status;
	SlBytes		text = slb_origin_text(text_bytes(who), text_bytes(what), &status);

	sl_report(&status);
	return text;
}

int64
sl_origin_add(SlBytes text)
{
	Relation	relation = table_open(sl_internal_relid("origin"), RowExclusiveLock);
	Datum		values[2];
	bool		nulls[2] = {false};
	int64		number;
	HeapTuple	tuple;

	if (!pg_strong_random(&number, sizeof(number)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random numbers available")));
	number = (number & PG_INT64_MAX) | 1;
	values[0] = Int64GetDatum(number);
	values[1] = PointerGetDatum(cstring_to_text_with_len(text.data, text.size));
	tuple = heap_form_tuple(RelationGetDescr(relation), values, nulls);
	simple_heap_insert(relation, tuple);
	heap_freetuple(tuple);
	table_close(relation, NoLock);
	return number;
}

int64
sl_origin_current(void)
{
	if (current_number == 0)
	{
		current_number = sl_origin_add(origin_text(actor, context));
		current_writer = GetCurrentSubTransactionId();
	}
	return current_number;
}

char *
sl_origin_actor(void)
{
	return actor != NULL ? pstrdup(actor) : GetUserNameFromId(GetOuterUserId(), false);
}

const char *
sl_origin_context(void)
{
	return context;
}

void
sl_origin_forget(void)
{
	current_number = 0;
	current_writer = InvalidSubTransactionId;
}

void
sl_origin_subend(SubTransactionId current, SubTransactionId parent, bool aborted)
{
	if (current_writer != current)
		return;
	if (aborted)
		sl_origin_forget();
	else
		current_writer = parent;
}

/* ---- SQL ------------------------------------------------------------------------------------- */

static void
say(char **place, const char *text)
{
	char	   *copy = text == NULL ? NULL : MemoryContextStrdup(TopMemoryContext, text);

	if (*place != NULL)
		pfree(*place);
	*place = copy;
	sl_origin_said = actor != NULL || context != NULL;
	sl_origin_forget();
}

Datum
sl_sync_set_actor(PG_FUNCTION_ARGS)
{
	char	   *name;

	if (PG_ARGISNULL(0))
	{
		say(&actor, NULL);
		PG_RETURN_NULL();
	}
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sync_set_actor needs a name, not an empty text"),
				 errhint("NULL takes the name back.")));
	if (strlen(name) > SL_LABEL_BYTES_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the actor's name is longer than %d bytes", SL_LABEL_BYTES_MAX)));
	(void) origin_text(name, context);
	say(&actor, name);
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

Datum
sl_sync_set_context(PG_FUNCTION_ARGS)
{
	Jsonb	   *jsonb;
	char	   *text;

	if (PG_ARGISNULL(0))
	{
		say(&context, NULL);
		PG_RETURN_NULL();
	}
	jsonb = PG_GETARG_JSONB_P(0);
	text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	if (strlen(text) > SL_CONTEXT_BYTES_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the context is longer than %d bytes", SL_CONTEXT_BYTES_MAX)));
	(void) origin_text(actor, text);
	say(&context, text);
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}
