/*
 * sl_base.h: private to sl_base.c and sl_store.c: a base table opened for an operation.
 */
#ifndef SL_BASE_H
#define SL_BASE_H

#include "sl_host.h"

#include "executor/tuptable.h"
#include "sl_exchange.h"

typedef struct SlWriter SlWriter;

typedef struct SlBase
{
	SlTable    *table;
	Relation	rel;
	Relation	index;			/* of the primary key */
	bool		write;
	bool		loose;			/* keys that the index holds for equal may differ in bytes */
	MemoryContext context;		/* as long as it is open */
	MemoryContext batch;		/* until the next sl_leaf_base_keys */
	TupleTableSlot *slot;		/* the row last found */
	TupleTableSlot *lock_slot;

	/* the rows at hand */
	uint32		count;
	const SlValue *const *keys;
	Datum	   *datums;			/* key_count of them a row */
	bool	   *fits;
	ItemPointerData *locked;	/* the version that we hold locked, or invalid */

	SlWriter   *writer;			/* made by the first write */
} SlBase;

/* Finds rows by key, fastest in the order of the index. */
typedef struct SlProbeScan SlProbeScan;
extern SlProbeScan *sl_probe_begin(SlBase *base, Snapshot snapshot);
/* Stores row number `index` into base->slot; false if there is none. */
extern bool sl_probe_find(SlProbeScan *probe, uint32 index);
extern void sl_probe_end(SlProbeScan *probe);

extern void sl_writer_close(SlBase *base);

/* A unique or exclusion constraint that is asked before a row is written. */
typedef struct SlUnique
{
	Relation	index;
	struct IndexInfo *info;
	const char *name;
	bool		expressions;	/* its index has some, or a predicate */
	uint32	   *columns;		/* numbers of the columns it is about */
	uint32		column_count;
} SlUnique;
extern void sl_unique_init(SlBase *base, SlUnique *unique, Relation index, struct IndexInfo *info);
/*
 * Would the row in `slot` fit? If not, *rival is a row that stands in its way. `own`, which may be
 * NULL, is the version that the row replaces.
 */
extern bool sl_unique_fits(SlBase *base, SlUnique *unique, struct EState *estate,
						   TupleTableSlot *slot, ItemPointer own, ItemPointer rival);

/* The encoded key of the row in `slot`; palloc'd. */
extern SlBytes sl_slot_key(SlBase *base, TupleTableSlot *slot);

#endif
