/*
 * sl_argument.c: arguments that are NULL.
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
