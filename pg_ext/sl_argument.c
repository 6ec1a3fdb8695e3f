/*
 * sl_argument.c: arguments, of which any may be NULL.
 *
 * The SQL functions are not STRICT: a STRICT function does nothing and says nothing when one of its
 * arguments is NULL. Here NULL options mean none, and NULL for anything else that is needed is an
 * error.
 */
#include "sl_host.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"

void
sl_need_argument(FunctionCallInfo fcinfo, int number, const char *message, const char *hint)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s", message),
				 hint != NULL ? errhint("%s", hint) : 0));
}

Datum
sl_options_argument(FunctionCallInfo fcinfo, int number)
{
	if (PG_ARGISNULL(number))
		return DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	return PG_GETARG_DATUM(number);
}

SlBytes
sl_text_argument(FunctionCallInfo fcinfo, int number)
{
	text	   *argument;

	if (PG_NARGS() <= number || PG_ARGISNULL(number))
		return (SlBytes) {NULL, 0};
	argument = PG_GETARG_TEXT_PP(number);
	return (SlBytes) {VARDATA_ANY(argument), VARSIZE_ANY_EXHDR(argument)};
}
