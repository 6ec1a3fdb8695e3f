/*
 * sl_decide.h: the C ABI of policies, decisions and what explains them; sl_bridge.h has the rules.
 *
 *   sl_policy.c         sync_set_policy, local columns, sync_policies, sync_suggest_policies
 *   sl_record.c         a conflict on record, and what is kept beside it
 *   sl_decide.c         sync_resolve, sync_resolve_all, sync_undo; writes for them
 *   sl_explain.c        sync_preview, sync_explain, sync_conflict_diff
 *   pg_policy.cpp       policies as settings
 *   pg_decide.h, .cpp   decisions: what core decision.h plans, through the application's tables
 *   pg_held.cpp         decisions about rows that a constraint keeps out
 *   pg_explain.cpp      previews, explanations, differences
 */
#ifndef SL_DECIDE_H
#define SL_DECIDE_H

#include "sl_bridge.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- rows of SQL functions ------------------------------------------------------------------- */

/* One row of a function that returns rows. Texts by column, as its types are read; null: NULL. */
typedef struct SlPutRow
{
	void *target;
	const SlBytes *texts;
	uint32_t count;
} SlPutRow;
void sl_leaf_put_row(void *row);

/* ---- sl_policy.c, pg_policy.cpp -------------------------------------------------------------- */

/* Names by which people know sites, with their ids in hex. */
typedef struct SlSiteNames
{
	const SlBytes *names;		/* out */
	const SlBytes *ids;			/* out */
	uint32_t count;
} SlSiteNames;
void sl_leaf_site_names(void *names);

/*
 * Makes and stores a setting; returns what sync_set_policy returns, until the next call. Column and
 * policy may be empty. Works inside an operation begun by sl_merge_begin, after a fold.
 */
SlBytes slb_set_policy(uint32_t table, SlBytes column, SlBytes policy, SlBytes options,
					   SlStatus *status);
/* The same result for a column that has become local, or is so no longer. */
SlBytes slb_local_policy(SlBytes table, SlBytes column, bool local, SlStatus *status);
/* Passes rows of sync_policies to sl_leaf_put_row. */
void slb_policies(void *target, SlStatus *status);
/* Passes rows of sync_suggest_policies on; `unique` are columns that a unique index names. */
void slb_suggest_policies(const SlTableDef *table, const uint32_t *unique, uint32_t count,
						  void *target, SlStatus *status);

/* ---- sl_record.c ----------------------------------------------------------------------------- */

/* The texts of a conflict on record, in the order of kConflictTexts. */
#define SL_CONFLICT_TEXTS 23

typedef struct SlRecord
{
	SlBytes id;
	bool found;					/* out: it exists, and the caller may read its table */
	uint32_t table;
	SlBytes key;
	SlBytes reopens;
	SlBytes moved;
	int64_t age_s;
	SlBytes texts[SL_CONFLICT_TEXTS];
} SlRecord;
void sl_leaf_load_record(void *record);

/* Ids of open conflicts, the oldest first, that the caller may read; with their tables. */
typedef struct SlOpenIds
{
	const SlBytes *ids;			/* out */
	const uint32_t *tables;		/* out */
	uint32_t count;
} SlOpenIds;
void sl_leaf_open_ids(void *ids);

/* Sets note (null: leaves it) and moved (null: leaves it) of a conflict. */
typedef struct SlRemark
{
	SlBytes id;
	SlBytes note;
	SlBytes moved;
} SlRemark;
void sl_leaf_remark(void *remark);

/* ---- sl_decide.c, pg_decide.cpp -------------------------------------------------------------- */

/*
 * Writes one base row as the calling role, as an application would: capture, triggers and foreign
 * keys at work. UPDATE sets the columns beside the key that have a value; INSERT gives those.
 */
typedef struct SlOrdinaryWrite
{
	uint32_t table;
	SlBytes key;
	int32_t action;				/* SL_WRITE_... of sl_exchange.h */
	const SlValue *values;		/* by column number */
	uint32_t count;
	bool written;				/* out: false: a trigger ignored it, or the row is not seen */
} SlOrdinaryWrite;
void sl_leaf_ordinary_write(void *write);

/* The log entry that makes a decided row a new version. */
typedef struct SlDecisionEntry
{
	uint32_t table;
	SlBytes key;
	bool erases;
	int64_t mask;
	SlBytes image;				/* data null: none */
	SlBytes origin;
} SlDecisionEntry;
void sl_leaf_decision_entry(void *entry);

/* What a call says, and who calls. */
typedef struct SlDecide
{
	SlBytes id;
	SlBytes choice;
	SlValue given;				/* of choice "value" */
	SlBytes note;
	SlBytes actor;
	SlBytes context;
	bool only_open;				/* a closed one is no error, but gives no result */
} SlDecide;
/* Both return JSON until the next call, inside an operation, after a fold. */
SlBytes slb_decide(const SlDecide *decide, SlStatus *status);
SlBytes slb_undo(const SlDecide *decide, SlStatus *status);
/* Checks a choice without deciding; *takes_value tells "value". */
void slb_check_choice(SlBytes choice, bool *takes_value, SlStatus *status);

/* The open conflicts that a filter (JSON) names, those of parents first; until the next call. */
typedef struct SlMatches
{
	const SlBytes *ids;
	uint32_t count;
} SlMatches;
void slb_match_conflicts(SlBytes filter, SlMatches *matches, SlStatus *status);
/* {"id", "error"} of one that was refused. */
SlBytes slb_refusal(SlBytes id, SlBytes error);

/* ---- pg_explain.cpp -------------------------------------------------------------------------- */

void slb_preview(SlBytes id, void *target, SlStatus *status);
void slb_explain(uint32_t table, const SlValue *key, void *target, SlStatus *status);
/* Text until the next call; an empty format is "text". Only reads. */
SlBytes slb_conflict_diff(SlBytes id, SlBytes format, SlStatus *status);

#ifdef __cplusplus
}
#endif

#endif
