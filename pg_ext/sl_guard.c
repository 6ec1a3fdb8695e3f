/*
 * sl_guard.c: where a longjmp is caught for C++, and where a status becomes an error again.
 *
 * A guarded leaf that fails leaves its whole error object parked here: SQLSTATE, detail, context
 * and constraint name reach the user when sl_report re-raises it. One error at a time: the first
 * one ends the operation, since without a subtransaction nothing may go on after it.
 */
#include "sl_host.h"

#include "access/xact.h"
#include "utils/elog.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

static ErrorData *parked = NULL;
static bool parked_out_of_memory = false;

/*
 * Copies the current error into `context`, or returns NULL when even that fails. Clears the error
 * state either way.
 */
static ErrorData *
take_error(MemoryContext context)
{
	ErrorData  *volatile error = NULL;

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		error = CopyErrorData();
	}
	PG_CATCH();
	{
		error = NULL;
	}
	PG_END_TRY();
	FlushErrorState();
	return error;
}

static void
park(ErrorData *error)
{
	parked = error;
	parked_out_of_memory = (error == NULL);
}

int
sl_guard(void (*leaf) (void *), void *argument)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile int failed = 0;

	PG_TRY();
	{
		leaf(argument);
		MemoryContextSwitchTo(caller);
	}
	PG_CATCH();
	{
		park(take_error(caller));
		failed = 1;
	}
	PG_END_TRY();
	return failed;
}

/* May this error be swallowed? Interrupts and exhausted resources may not. */
static bool
is_soft(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return false;
		default:
			return true;
	}
}

static void
describe(const ErrorData *error, SlFailure *failure)
{
	strlcpy(failure->sqlstate, unpack_sql_state(error->sqlerrcode), sizeof(failure->sqlstate));
	strlcpy(failure->constraint, error->constraint_name ? error->constraint_name : "",
			sizeof(failure->constraint));
	strlcpy(failure->column, error->column_name ? error->column_name : "",
			sizeof(failure->column));
	/* Messages of class 22 ("invalid input syntax for type integer: ...") quote the value. */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_DATA_EXCEPTION)
		strlcpy(failure->message, "the value does not fit the column's type",
				sizeof(failure->message));
	else
		strlcpy(failure->message, error->message ? error->message : "",
				sizeof(failure->message));
}

/* The part of sl_try that runs inside the subtransaction. */
static int
run_and_release(void (*leaf) (void *), void *argument, SlFailure *failure)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile int result = 0;

	PG_TRY();
	{
		leaf(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error = take_error(caller);

		RollbackAndReleaseCurrentSubTransaction();
		if (error != NULL && is_soft(error->sqlerrcode))
		{
			describe(error, failure);
			FreeErrorData(error);
			result = 1;
		}
		else
		{
			park(error);
			result = 2;
		}
	}
	PG_END_TRY();
	return result;
}

int
sl_try(void (*leaf) (void *), void *argument, SlFailure *failure)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile int result = 0;

	PG_TRY();
	{
		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(caller);
		result = run_and_release(leaf, argument, failure);
	}
	PG_CATCH();
	{
		/* the subtransaction itself could not be begun or ended */
		park(take_error(caller));
		result = 2;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return result;
}

void
sl_guard_forget(void)
{
	parked = NULL;
	parked_out_of_memory = false;
}

void
sl_report(const SlStatus *status)
{
	const char *sqlstate;

	if (status->code == SL_OK)
		return;
	if (status->code == SL_HOST_FAILED || status->code == SL_CANCELLED)
	{
		ErrorData  *error = parked;

		parked = NULL;
		if (error != NULL)
			ReThrowError(error);
		if (parked_out_of_memory)
		{
			parked_out_of_memory = false;
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		}
	}
	sqlstate = slb_sqlstate(status->code);
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3],
								   sqlstate[4])),
			 errmsg("%s", status->message),
			 status->hint[0] != '\0' ? errhint("%s", status->hint) : 0));
}

void
sl_leaf_check_interrupt(void *unused)
{
	CHECK_FOR_INTERRUPTS();
}
