/*
 * sl_check.h: the C ABI of sync_check, and invariants.
 *
 *   sl_check.c          sync_check: triggers, catalog, foreign keys; rows through pg_verify.cpp
 *   sl_invariant.c      sync_invariant; invariants checked after an exchange
 */
#ifndef SL_CHECK_H
#define SL_CHECK_H

#include "sl_bridge.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct SlCheckOptions
{
	bool deep;
	bool repair;
	bool prefer_state;
} SlCheckOptions;
/* Parses the options of sync_check. */
void slb_check_options(SlBytes json, SlCheckOptions *options, SlStatus *status);

/* One line of sync_check; data null: SQL null. */
typedef struct SlFinding
{
	void *target;				/* as passed to slb_check */
	SlBytes severity;
	SlBytes table_name;
	SlBytes what;
	SlBytes repair;
} SlFinding;
void sl_leaf_put_finding(void *finding);

/* Checks rows, versions and exchanges, inside an operation begun by sl_merge_begin. */
void slb_check(const SlCheckOptions *options, void *target, SlStatus *status);

/* Parses the options of sync_invariant. *expect: 't', 'n', or 0 if it is not given. */
void slb_invariant_options(SlBytes json, char *expect, bool *refuse, SlStatus *status);

#ifdef __cplusplus
}
#else

/*
 * After an exchange has ended, before its commit: notes which invariants hold. Raises if one that
 * is to be enforced does not, and did before. Inside an operation begun by sl_merge_begin.
 */
extern void sl_check_invariants(void);
/* Passes each invariant that does not hold to `put`. */
extern void sl_report_invariants(void (*put) (void *target, const char *what), void *target);
#endif

#endif
