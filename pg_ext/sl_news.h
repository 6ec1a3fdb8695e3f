/*
 * sl_news.h: whether something happened in this database that a peer does not have. Includes
 * sl_host.h first.
 */
#ifndef SL_NEWS_H
#define SL_NEWS_H

#include "sl_host.h"

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

/* So often the one who waits for news looks; in milliseconds. */
#define SL_LOOK_MS 10

/* What the looks so far have told; zeroed before the first. */
typedef struct SlNews
{
	int64		position;		/* where the numbering stands: syncline.self.position */
	bool		unnumbered;		/* changes were written that have no number yet */
	bool		looked;
	XLogRecPtr	inserted;		/* before the last look */
	bool		writers;		/* others had written, and not committed, at the last look */
	TimestampTz next_look;		/* not before: one that took long is not repeated soon */
} SlNews;

/* Could a look find anything that the last one did not? Costs nothing. */
extern bool sl_news_due(const SlNews *news);
/* Looks, with a snapshot of its own that it does not keep, nor its locks. In a transaction. */
extern void sl_news_look(SlNews *news);
/* Lets some time pass, unless the latch is set; in milliseconds. Interruptible. */
extern void sl_news_sleep(int ms);

#endif
