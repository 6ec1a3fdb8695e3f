/*
 * sl_verify.h: the C ABI of verifying; sl_bridge.h has the rules.
 *
 *   sl_verify.c         base rows in any order, stored digests, rows written anew; SQL functions
 *   pg_verify.h, .cpp   VerifyHost over these leaves
 */
#ifndef SL_VERIFY_H
#define SL_VERIFY_H

#include "sl_exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- sl_verify.c: leaves --------------------------------------------------------------------- */

/*
 * The base rows of a table under the active snapshot, one at a time. sl_leaf_rows_next goes to the
 * next one and gives its key; sl_leaf_rows_values gives its values. They live until the next one.
 */
typedef struct SlRows
{
	uint32_t number;
	void *stream;
	bool found;					/* out, of next; false: the end */
	const SlValue *key;			/* out, of next */
	SlValue *values;			/* the caller's, by column number: those present are filled */
} SlRows;
/* Raises if the role may not read the table; says nothing of its rows. */
void sl_leaf_rows_check(void *rows);
void sl_leaf_rows_open(void *rows);
void sl_leaf_rows_next(void *rows);
void sl_leaf_rows_values(void *rows);
void sl_leaf_rows_close(void *rows);

/* The digest stored for a table and plan, and the keys of the rows written since. */
typedef struct SlDigest
{
	uint32_t table;
	SlBytes plan;
	SlBytes sums;				/* out, of load: data null: none; in, of save */
	const SlBytes *changed;		/* out, of load */
	uint32_t changed_count;
} SlDigest;
void sl_leaf_digest_load(void *digest);
/* Does nothing where nothing can be written. */
void sl_leaf_digest_save(void *digest);
void sl_leaf_digest_forget(void *digest);

typedef struct SlPlans
{
	uint32_t table;
	const SlBytes *plans;		/* out */
	uint32_t count;
} SlPlans;
void sl_leaf_digest_plans(void *plans);

/* Logs rows as if they were written now. Raises if the role may not write the table. */
typedef struct SlRewriteRow
{
	SlBytes key;				/* encode_key */
	int64_t mask;
	bool exists;				/* in the base table: else it counts as deleted now */
} SlRewriteRow;
typedef struct SlRewrite
{
	uint32_t table;
	const SlRewriteRow *rows;
	uint32_t count;
} SlRewrite;
void sl_leaf_rewrite(void *rewrite);

/* ---- pg_verify.cpp: C++ for C ---------------------------------------------------------------- */

/* What a question needs: SL_ASKS_ROWS a merge whose log is folded, the others only a snapshot. */
enum { SL_ASKS_SUMS = 1, SL_ASKS_LIST, SL_ASKS_COMPARE, SL_ASKS_ROWS, SL_ASKS_REWRITE };
int slb_question(SlBytes question, SlStatus *status);
/* Answers; the result lives until the next call. */
SlBytes slb_answer(SlBytes question, SlStatus *status);
/* "rows digest" of a table. */
SlBytes slb_digest(SlBytes table, SlStatus *status);
/* Checks the options of sync_verify or sync_repair. */
void slb_check_verify_options(SlBytes options, bool repair, SlStatus *status);

#ifdef __cplusplus
}
#else

/* Answers a question in the current transaction. The answer lives until the next call. Raises. */
extern SlBytes sl_answer(SlBytes question);
#endif

#endif
