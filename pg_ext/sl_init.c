/*
 * sl_init.c: loading the module, and the callbacks that end its short-lived state.
 */
#include "sl_host.h"

#include "sl_log.h"

#include "access/xact.h"
#include "utils/guc.h"
#include "utils/inval.h"

PG_MODULE_MAGIC;

bool		sl_capture_off = false;

PGDLLEXPORT void _PG_init(void);

static void
transaction_callback(XactEvent event, void *unused)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			sl_log_before_commit();
			/* a transaction that notifies cannot be prepared: only where it is too late for that */
			sl_notify_send();
			break;
		case XACT_EVENT_PRE_PREPARE:
			sl_log_before_commit();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			if (event == XACT_EVENT_ABORT)
				slb_forget_plans();
			sl_capture_off = false;
			sl_ddl_off = false;
			sl_log_forget();
			sl_origin_forget();
			sl_notify_forget();
			sl_merge_forget();
			sl_guard_forget();
			sl_tables_release();
			break;
		default:
			break;
	}
}

static void
subtransaction_callback(SubXactEvent event, SubTransactionId current, SubTransactionId parent,
						void *unused)
{
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
		sl_log_before_subcommit(current);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		sl_origin_subend(current, parent, false);
		sl_notify_subend(current, parent, false);
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		sl_ddl_off = false;
		slb_forget_plans();
		sl_log_subabort(current);
		sl_origin_subend(current, parent, true);
		sl_notify_subend(current, parent, true);
		sl_merge_abort(current);
	}
}

void
_PG_init(void)
{
	RegisterXactCallback(transaction_callback, NULL);
	RegisterSubXactCallback(subtransaction_callback, NULL);
	CacheRegisterRelcacheCallback(sl_registry_relcache_callback, (Datum) 0);
	CacheRegisterRelcacheCallback(sl_log_turn_relcache_callback, (Datum) 0);
}
