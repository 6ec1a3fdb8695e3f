/*
 * sl_log.h: syncline.log, as capture writes it and the fold reads it.
 */
#ifndef SL_LOG_H
#define SL_LOG_H

/* Its columns. */
enum
{
	SL_LOG_MASK = 1, SL_LOG_CLOCK, SL_LOG_LSN, SL_LOG_TBL, SL_LOG_OP, SL_LOG_KEY, SL_LOG_IMAGE
};
#define SL_LOG_COLUMNS SL_LOG_IMAGE

enum
{
	SL_OP_INSERT, SL_OP_UPDATE, SL_OP_DELETE
};

/* Masks of the core (syncline/fold.h): everything; some column from number 62 on. */
#define SL_MASK_ALL INT64CONST(-1)
#define SL_MASK_MANY (INT64CONST(1) << 62)
#define SL_MASK_COLUMNS 62

/* The bit of a column. */
static inline int64
sl_mask_of(int32 column)
{
	return column < SL_MASK_COLUMNS ? INT64CONST(1) << column : SL_MASK_MANY;
}

/* Adds an entry. key and image are bytea; image 0: none. */
extern void sl_log_append(uint32 table, int op, int64 mask, Datum key, Datum image);
/* Writes what has gathered: call it before reading the log. */
extern void sl_log_flush(void);

/* For the callbacks of sl_init.c. */
extern void sl_log_before_commit(void);
extern void sl_log_before_subcommit(SubTransactionId current);
extern void sl_log_subabort(SubTransactionId current);
extern void sl_log_forget(void);

#endif
