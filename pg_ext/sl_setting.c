/*
 * sl_setting.c: settings that all sites share: policies, and which sites there are.
 *
 * They stand in syncline.setting, one row a key, and are read with the site. A changed policy makes
 * every backend forget what it remembers of tracked tables: capture needs to know which columns'
 * old values to keep.
 */
#include "sl_host.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/inval.h"

static Datum
bytes_datum(const char *data, size_t size)
{
	return PointerGetDatum(cstring_to_text_with_len(data, size));
}

/* In every backend, once this transaction has committed. SPI must be connected. */
static void
forget_tables(void)
{
	uint64		count = sl_exec("SELECT t.relation::oid FROM syncline.tbl t JOIN pg_class c"
								" ON c.oid = t.relation", 0, NULL, NULL, NULL);

	for (uint64 i = 0; i < count; i++)
		CacheInvalidateRelcacheByRelid((Oid) sl_result_int64(i, 1));
	sl_tables_forget();
}

bool
sl_is_policy(SlBytes key)
{
	static const char prefix[] = "policy/";

	return key.size >= strlen(prefix) && memcmp(key.data, prefix, strlen(prefix)) == 0;
}

void
sl_leaf_save_settings(void *argument)
{
	SlSettings *settings = argument;
	static const Oid types[] = {TEXTOID, TEXTOID, INT8OID, BYTEAOID};
	bool		any_policy = false;

	SPI_connect();
	for (uint32 i = 0; i < settings->count; i++)
	{
		const SlSettingRow *row = &settings->rows[i];
		const Datum values[] = {bytes_datum(row->key.data, row->key.size),
			bytes_datum(row->value.data, row->value.size), Int64GetDatum(row->hlc),
		bytes_datum((const char *) row->site, sizeof(row->site))};

		any_policy = any_policy || sl_is_policy(row->key);
		sl_exec("INSERT INTO syncline.setting (key, value, hlc, site) VALUES ($1, $2, $3, $4)"
				" ON CONFLICT (key) DO UPDATE SET value = excluded.value, hlc = excluded.hlc,"
				" site = excluded.site", lengthof(types), types, values, NULL);
	}
	if (any_policy)
		forget_tables();
	SPI_finish();
}
