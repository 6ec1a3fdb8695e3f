/*
 * sl_export.c: sync_changes_since, a chunk at a time.
 *
 * Each chunk is an operation of its own: lock the counter row, fold, read. What has to hold across
 * chunks is in the token that each one hands to the next, so a caller may as well ask for one chunk
 * a statement, and SELECT sync_changes_since(...) LIMIT 1 makes no more than that one.
 *
 * Nothing leaves before it is durable: the WAL is flushed, and a transaction that folded commits
 * synchronously.
 */
#include "sl_host.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "sl_exchange.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(sl_sync_changes_since);

#define CHUNK_COLUMNS 4

typedef struct Export
{
	SlBytes		vector;
	SlBytes		options;
	SlBytes		position;
	bool		done;
} Export;

static SlBytes
copy_bytes(const char *data, size_t size, MemoryContext context)
{
	char	   *copy = MemoryContextAlloc(context, size + 1);

	memcpy(copy, data, size);
	copy[size] = '\0';
	return (SlBytes) {copy, size};
}

static SlBytes
jsonb_bytes(Jsonb *jsonb, MemoryContext context)
{
	char	   *text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));

	return copy_bytes(text, strlen(text), context);
}

/* The end of the WAL written so far. */
static XLogRecPtr
wal_end(void)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();
	uint64		in_page = end % XLOG_BLCKSZ;

	/* where a page begins that has no record yet, the place behind its header cannot be flushed */
	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD ||
		in_page == SizeOfXLogShortPHD)
		end -= in_page;
	return end;
}

static void
make_durable(void)
{
	if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		(void) set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	XLogFlush(wal_end());
}

static void
export_once(SlBytes vector, SlBytes options, SlBytes position, SlChunk *chunk, SlBytes *next,
			SlStatus *status)
{
	sl_merge_begin("sync_changes_since");
	sl_fold(true);
	slb_export(vector, options, position, chunk, next, status);
	if (status->code != SL_IDENTITY)
		sl_report(status);
	sl_merge_end();
}

void
sl_export_chunk(SlBytes vector, SlBytes options, SlBytes position, SlChunk *chunk, SlBytes *next)
{
	SlStatus	status;

	export_once(vector, options, position, chunk, next, &status);
	if (status.code == SL_IDENTITY)
	{
		/* the vector shows that our dots are used by another */
		sl_take_new_identity("sync_changes_since");
		export_once(vector, options, position, chunk, next, &status);
		sl_report(&status);
	}
	make_durable();
}

/* The next chunk as a row. */
static Datum
next_chunk(Export *export, TupleDesc desc, MemoryContext context)
{
	SlChunk		chunk;
	SlBytes		next;
	Datum		values[CHUNK_COLUMNS];
	bool		nulls[CHUNK_COLUMNS] = {false};

	sl_export_chunk(export->vector, export->options, export->position, &chunk, &next);
	values[0] = Int32GetDatum((int32) chunk.number);
	values[1] = PointerGetDatum(cstring_to_text_with_len(chunk.bytes.data, chunk.bytes.size));
	values[2] = Int32GetDatum((int32) chunk.row_count);
	values[3] = BoolGetDatum(chunk.last);
	export->done = chunk.last;
	export->position = copy_bytes(next.data, next.size, context);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

Datum
sl_sync_changes_since(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	Export	   *export;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		TupleDesc	desc;

		sl_need_argument(fcinfo, 0, "sync_changes_since needs the receiver's vector",
						 "For example: SELECT * FROM sync_changes_since('{}').");
		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "sync_changes_since returns rows");
		call->tuple_desc = BlessTupleDesc(desc);
		export = palloc0(sizeof(Export));
		export->vector = jsonb_bytes(PG_GETARG_JSONB_P(0), call->multi_call_memory_ctx);
		export->options = jsonb_bytes(DatumGetJsonbP(sl_options_argument(fcinfo, 1)),
									  call->multi_call_memory_ctx);
		call->user_fctx = export;
		MemoryContextSwitchTo(old);
	}
	call = SRF_PERCALL_SETUP();
	export = call->user_fctx;
	if (export->done)
		SRF_RETURN_DONE(call);
	SRF_RETURN_NEXT(call, next_chunk(export, call->tuple_desc, call->multi_call_memory_ctx));
}
