/*
 * sl_melting.h: the C ABI of metadata that melts, and of sites; sl_bridge.h has the rules.
 *
 *   sl_state.c          listing and forgetting rows of state
 *   sl_melting.c        what others have acknowledged; how far melting is; what may be pruned
 *   sl_maintain.c       sync_maintain
 *   sl_member.c         registering, retiring and listing sites
 *   pg_melting.cpp      the port's verbs over the leaves; melting, for C
 *   pg_member.cpp       sites: what they say of themselves, and what is known of them
 */
#ifndef SL_MELTING_H
#define SL_MELTING_H

#include "sl_bridge.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- sl_state.c ------------------------------------------------------------------------------ */

/* The rows of state behind `after`, at most `count_max`, in key order; key and cells with them. */
typedef struct SlStateList
{
	uint32_t table;
	SlBytes after;				/* empty: from the first */
	uint32_t count_max;
	void *memory;				/* null at first: of the rows, which live until the next call */
	const SlStateRow *rows;		/* out */
	uint32_t count;
} SlStateList;
void sl_leaf_state_list(void *list);

/*
 * Takes rows away that stand at a place (0: nowhere). One with a position is listed at it: its base
 * row has changed.
 */
typedef struct SlStateForget
{
	uint32_t table;
	uint32_t count;
	const SlStateRow *rows;
} SlStateForget;
void sl_leaf_state_forget(void *forget);

/* ---- sl_melting.c ---------------------------------------------------------------------------- */

typedef struct SlAck
{
	int32_t site;
	SlBytes vector;				/* empty: nothing was heard of what it has */
	int64_t heard_ms;
	int64_t ahead_ms;			/* its clock against ours, at the last session with it */
	bool met;					/* there was one */
} SlAck;

typedef struct SlAcks
{
	const int32_t *sites;		/* whose; with none given: everybody's */
	uint32_t site_count;
	const SlAck *list;			/* loaded, or to be stored */
	uint32_t count;
} SlAcks;
void sl_leaf_load_acks(void *acks);
void sl_leaf_save_acks(void *acks);	/* site, vector, heard_ms */
void sl_leaf_save_meeting(void *ack);	/* site, heard_ms, ahead_ms */
/* Exchanges with sites that were retired do not go on. */
void sl_leaf_drop_incoming(void *site);	/* an int32_t */

/* syncline.melt; vectors as append_vector has them, or empty. */
typedef struct SlMelting
{
	SlBytes melted;
	int64_t own;				/* our own entry in it */
	SlBytes under;
	bool done;
	uint32_t table;
	SlBytes key;
} SlMelting;
void sl_leaf_load_melting(void *melting);
void sl_leaf_save_melting(void *melting);
void sl_leaf_save_melted(void *melting);	/* melted and own alone */

typedef struct SlPredecessor
{
	int32_t site;				/* out; -1: none */
} SlPredecessor;
void sl_leaf_predecessor(void *predecessor);

typedef struct SlBaseline
{
	uint32_t table;
	int32_t site;
	int64_t seq;
	int64_t context;
} SlBaseline;
void sl_leaf_save_baseline(void *baseline);

/* Has the table neither rows nor state? */
typedef struct SlEmpty
{
	uint32_t table;
	bool present;
	bool empty;					/* out */
} SlEmpty;
void sl_leaf_is_empty(void *empty);

/* Drops what only holders of less than `melted` (seq by site index) need. */
typedef struct SlPrune
{
	const int64_t *melted;
	uint32_t melted_count;
	int64_t own;				/* our own entry in it */
	int64_t dropped;			/* out: marks, steps of growth, and listed keys */
} SlPrune;
void sl_leaf_prune(void *prune);

/*
 * Since which position syncline.arrival_<n> has all rows whose base row changed, with state or
 * without.
 */
typedef struct SlListed
{
	uint32_t table;
	int64_t from;				/* out */
} SlListed;
void sl_leaf_listed_from(void *listed);
/* From `from` on, since rows came that are not listed. */
void sl_leaf_list_from(void *listed);

/* ---- pg_melting.cpp -------------------------------------------------------------------------- */

/* sync_maintain: its options, and what was done. */
typedef struct SlMaintenance
{
	uint64_t rows_max;
	uint64_t keep_closed_days;
	uint64_t retire_unseen_days;	/* 0: never */
	bool done;					/* false: call again to go on */
	uint64_t conflicts_dropped;
	uint64_t events_dropped;
	uint64_t bytes_metadata;
} SlMaintenance;
void slb_maintain_options(SlBytes json, SlMaintenance *maintenance, SlStatus *status);
/* Retires whom the options say, and melts. Inside an operation, after a fold. */
void slb_maintain(SlMaintenance *maintenance, SlStatus *status);
/* What sync_maintain returns, until the next call; after slb_maintain. */
SlBytes slb_maintain_report(const SlMaintenance *maintenance, SlStatus *status);

/* ---- pg_member.cpp: inside an operation, after a fold ---------------------------------------- */

/* Enters this database among the sites, or what it says of itself anew. */
void slb_register_site(SlBytes engine, SlStatus *status);
/* Retires a site; returns what sync_retire_site returns, until the next call. */
SlBytes slb_retire_site(SlBytes id, SlBytes note, SlStatus *status);
/*
 * Says whether a session has learnt anything of a peer that is not noted; only reads. Where it has
 * not, it is noted now and then that the peer was heard.
 */
bool slb_has_peer_news(SlBytes site, SlBytes vector, SlStatus *status);
/* Notes what a session has learnt of a peer; `ahead_ms` is its clock against ours. */
void slb_hear_peer(SlBytes site, SlBytes vector, int64_t ahead_ms, SlStatus *status);

/* These only read, and pass rows to sl_leaf_put_row. */
void slb_sites(void *target, SlStatus *status);
void slb_site_matrix(void *target, SlStatus *status);
void slb_site_history(SlBytes id, void *target, SlStatus *status);

#ifdef __cplusplus
}
#endif

#endif
