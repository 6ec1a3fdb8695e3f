/*
 * sl_exchange.c: what exchanges leave behind beside rows: where an incoming one stands, what is
 * known of other sites, contexts; and the rows that constraints keep out.
 */
#include "sl_host.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "sl_exchange.h"
#include "utils/builtins.h"

static Datum
bytea_datum(SlBytes bytes)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes.data, bytes.size));
}

void
sl_leaf_load_incoming(void *argument)
{
	SlIncoming *incoming = argument;
	MemoryContext context = CurrentMemoryContext;
	static const Oid types[] = {INT4OID};
	const Datum values[] = {Int32GetDatum(incoming->site)};

	SPI_connect();
	incoming->open = sl_exec("SELECT token, begin FROM syncline.incoming WHERE site = $1", 1, types,
							 values, NULL) == 1;
	if (incoming->open)
	{
		incoming->token = sl_result_bytes(0, 1, context);
		incoming->begin = sl_result_int64(0, 2);
	}
	SPI_finish();
}

void
sl_leaf_save_incoming(void *argument)
{
	SlIncoming *incoming = argument;
	static const Oid types[] = {INT4OID, BYTEAOID, INT8OID};
	const Datum values[] = {Int32GetDatum(incoming->site),
		incoming->open ? bytea_datum(incoming->token) : (Datum) 0,
	Int64GetDatum(incoming->begin)};

	SPI_connect();
	if (incoming->open)
		sl_exec("INSERT INTO syncline.incoming (site, token, begin) VALUES ($1, $2, $3)"
				" ON CONFLICT (site) DO UPDATE SET token = excluded.token, begin = excluded.begin",
				3, types, values, NULL);
	else
		sl_exec("DELETE FROM syncline.incoming WHERE site = $1", 1, types, values, NULL);
	SPI_finish();
}

void
sl_leaf_list_incoming(void *argument)
{
	SlIncomings *incomings = argument;
	MemoryContext context = CurrentMemoryContext;
	SlIncoming *list;

	SPI_connect();
	incomings->count = sl_exec("SELECT site, token, begin FROM syncline.incoming ORDER BY site", 0,
							   NULL, NULL, NULL);
	list = MemoryContextAllocZero(context, sizeof(SlIncoming) * Max(1, incomings->count));
	for (uint32 i = 0; i < incomings->count; i++)
	{
		list[i].site = sl_result_int64(i, 1);
		list[i].open = true;
		list[i].token = sl_result_bytes(i, 2, context);
		list[i].begin = sl_result_int64(i, 3);
	}
	incomings->list = list;
	SPI_finish();
}

static void
save_vector(const SlKnowledge *knowledge)
{
	static const Oid types[] = {INT4OID, INT8OID, INT8OID};

	for (uint32 i = 0; i < knowledge->vector_count; i++)
	{
		const SlVectorRow *row = &knowledge->vector[i];
		const Datum values[] = {Int32GetDatum(row->site), Int64GetDatum(row->seq),
		Int64GetDatum(row->hlc)};

		sl_exec("INSERT INTO syncline.vector AS v (site, seq, hlc) VALUES ($1, $2, $3)"
				" ON CONFLICT (site) DO UPDATE SET seq = excluded.seq, hlc = excluded.hlc"
				" WHERE v.seq < excluded.seq", 3, types, values, NULL);
	}
}

void
sl_leaf_save_knowledge(void *argument)
{
	SlKnowledge *knowledge = argument;
	static const Oid new_types[] = {INT8OID, BYTEAOID, INT8OID};
	static const Oid gone_types[] = {INT8ARRAYOID};

	SPI_connect();
	save_vector(knowledge);
	for (uint32 i = 0; i < knowledge->contexts_new_count; i++)
	{
		const SlContextRow *row = &knowledge->contexts_new[i];
		const Datum values[] = {Int64GetDatum(row->id), bytea_datum(row->vector),
		Int64GetDatum(row->begin)};

		sl_exec("INSERT INTO syncline.context (id, vector, begin) VALUES ($1, $2, $3)", 3,
				new_types,
				values, NULL);
	}
	if (knowledge->contexts_gone_count > 0)
	{
		const Datum values[] = {sl_int64_array(knowledge->contexts_gone,
											knowledge->contexts_gone_count)};

		sl_exec("DELETE FROM syncline.context WHERE id = ANY ($1)", 1, gone_types, values, NULL);
	}
	SPI_finish();
}

/* Appends the rows that waited for a table which is being adopted: no record names those. */
static void
add_adopted(SlRef **list, uint32 *count, MemoryContext context)
{
	uint64		tables = sl_exec("SELECT number FROM syncline.tbl WHERE present AND"
								 " options ? 'adopting'", 0, NULL, NULL, NULL);
	uint32	   *numbers = palloc((tables + 1) * sizeof(uint32));

	for (uint64 i = 0; i < tables; i++)
		numbers[i] = sl_result_int64(i, 1);
	for (uint64 i = 0; i < tables; i++)
	{
		uint64		rows = sl_exec(psprintf("SELECT key FROM syncline.state_%u"
											" WHERE flags & 2 <> 0 ORDER BY key", numbers[i]),
								   0, NULL, NULL, NULL);

		*list = repalloc(*list, sizeof(SlRef) * (*count + rows + 1));
		for (uint64 r = 0; r < rows; r++)
			(*list)[(*count)++] = (SlRef) {numbers[i], sl_result_bytes(r, 1, context), {"", 0}};
	}
}

void
sl_leaf_list_held(void *argument)
{
	SlRefs	   *refs = argument;
	MemoryContext context = CurrentMemoryContext;
	SlRef	   *list;

	SPI_connect();
	refs->count = sl_exec("SELECT c.tbl, c.key, convert_to(coalesce(c.note, ''), 'UTF8')"
						  " FROM syncline.conflict c JOIN syncline.tbl t ON t.number = c.tbl"
						  " WHERE c.status = 'open' AND t.present"
						  " AND c.kind IN ('unique', 'foreign_key', 'constraint')"
						  " ORDER BY c.detected_at, c.id", 0, NULL, NULL, NULL);
	list = MemoryContextAllocZero(context, sizeof(SlRef) * Max(1, refs->count));
	for (uint32 i = 0; i < refs->count; i++)
	{
		list[i].table = sl_result_int64(i, 1);
		list[i].key = sl_result_bytes(i, 2, context);
		list[i].reason = sl_result_bytes(i, 3, context);
	}
	add_adopted(&list, &refs->count, context);
	refs->refs = list;
	SPI_finish();
}
