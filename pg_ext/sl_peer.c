/*
 * sl_peer.c: stored peers, the table syncline.peer.
 */
#include "sl_host.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "sl_session.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(sl_sync_add_peer);
PG_FUNCTION_INFO_V1(sl_sync_remove_peer);
PG_FUNCTION_INFO_V1(sl_url_shown);

static SlBytes
text_bytes(const char *text)
{
	return (SlBytes) {text, strlen(text)};
}

static char *
masked(const char *url)
{
	SlBytes		shown = slb_mask_url(text_bytes(url));

	return pnstrdup(shown.data, shown.size);
}

void
sl_refuse_url(const char *url)
{
	if (slb_is_postgres_url(text_bytes(url)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is not a postgresql: URL", masked(url)),
			 errhint("A server synchronises with servers only. With a SQLite database, run "
					 "sync_now in the SQLite process, with this server's URL.")));
}

Datum
sl_url_shown(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(masked(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}

/* {"peer": name, "url": url}; without a url {"peer": name, "removed": true}. */
static Datum
peer_json(const char *name, const char *url)
{
	JsonbParseState *state = NULL;
	const char *texts[] = {"peer", name, "url", url};
	JsonbValue *result;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (url == NULL)
		texts[2] = "removed";
	for (int i = 0; i < lengthof(texts); i++)
	{
		JsonbValue	value;

		if (texts[i] == NULL)
		{
			value.type = jbvBool;
			value.val.boolean = true;
			(void) pushJsonbValue(&state, WJB_VALUE, &value);
			continue;
		}
		value.type = jbvString;
		value.val.string.val = unconstify(char *, texts[i]);
		value.val.string.len = strlen(texts[i]);
		(void) pushJsonbValue(&state, i % 2 == 0 ? WJB_KEY : WJB_VALUE, &value);
	}
	result = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(result));
}

Datum
sl_sync_add_peer(PG_FUNCTION_ARGS)
{
	char	   *name;
	char	   *url;
	Jsonb	   *options = DatumGetJsonbP(sl_options_argument(fcinfo, 2));
	static const Oid types[] = {TEXTOID, TEXTOID, JSONBOID};
	const Datum values[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), JsonbPGetDatum(options)};
	SlStatus	status;

	sl_need_argument(fcinfo, 0, "the peer's name is missing or NULL", NULL);
	sl_need_argument(fcinfo, 1, "the peer's URL is missing or NULL", NULL);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	url = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the peer's name is missing or NULL")));
	if (slb_is_postgres_url(text_bytes(name)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the name of a peer cannot be a URL"),
						errhint("The arguments are a name, then a URL.")));
	sl_refuse_url(url);
	slb_check_session_options(text_bytes(JsonbToCString(NULL, &options->root, VARSIZE(options))),
							  &status);
	sl_report(&status);
	SPI_connect();
	sl_exec("INSERT INTO syncline.peer (name, url, options) VALUES ($1, $2, $3)"
			" ON CONFLICT (name) DO UPDATE SET url = excluded.url, options = excluded.options,"
			" failures = 0, last_error = NULL", 3, types, values, NULL);
	SPI_finish();
	return peer_json(name, masked(url));
}

#define NAMES_HINT "SELECT name FROM sync_peers lists them; a URL begins with postgresql:."

/* Raises: there is no such peer; did you mean another? SPI must be connected. */
static void
unknown_peer(const char *name, const char *hint)
{
	uint64		count = sl_exec("SELECT convert_to(name, 'UTF8') FROM syncline.peer ORDER BY name",
								0, NULL, NULL, NULL);
	SlBytes    *names = palloc(sizeof(SlBytes) * Max(1, count));
	SlBytes		nearest;

	for (uint64 i = 0; i < count; i++)
		names[i] = sl_result_bytes(i, 1, CurrentMemoryContext);
	nearest = slb_nearest_name(text_bytes(name), names, count);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is no peer \"%s\"", masked(name)),
			 nearest.size > 0
			 ? errhint("Did you mean \"%s\"?", pnstrdup(nearest.data, nearest.size))
			 : errhint("%s", hint)));
}

Datum
sl_sync_remove_peer(PG_FUNCTION_ARGS)
{
	char	   *name;
	static const Oid types[] = {TEXTOID};
	const Datum values[] = {PG_GETARG_DATUM(0)};
	MemoryContext context = CurrentMemoryContext;

	sl_need_argument(fcinfo, 0, "the peer's name is missing or NULL", NULL);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	SPI_connect();
	if (sl_exec("DELETE FROM syncline.peer WHERE name = $1", 1, types, values, NULL) != 1)
		unknown_peer(name, NAMES_HINT);
	SPI_finish();
	MemoryContextSwitchTo(context);
	return peer_json(name, NULL);
}

/* ---- for sync_now ---------------------------------------------------------------------------- */

/* Peers hold passwords that others gave: who may store them may use them. */
static void
check_may_use_peers(void)
{
	if (!sl_owns_database(MyDatabaseId, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only the owner of the database may use stored peers"),
				 errhint("Give sync_now a URL with your own password instead.")));
}

static char *
result_text(uint64 row, int column, MemoryContext context)
{
	char	   *text = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return text == NULL ? NULL : MemoryContextStrdup(context, text);
}

static List *
load_peers(const char *name, const char *hint)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[1];
	MemoryContext context = CurrentMemoryContext;
	List	   *peers = NIL;
	uint64		count;

	check_may_use_peers();
	if (name != NULL)
		values[0] = CStringGetTextDatum(name);
	SPI_connect();
	count = sl_exec(name == NULL
					? "SELECT name, url, options::text, last_error, failures >= 5 AND"
					" last_attempt > clock_timestamp() - interval '1 minute'"
					" FROM syncline.peer ORDER BY name"
					: "SELECT name, url, options::text, NULL, false FROM syncline.peer"
					" WHERE name = $1", name == NULL ? 0 : 1, types, values, NULL);
	if (count == 0 && name != NULL)
		unknown_peer(name, hint);
	for (uint64 i = 0; i < count; i++)
	{
		SlPeer	   *peer = MemoryContextAllocZero(context, sizeof(SlPeer));
		MemoryContext old;

		peer->name = result_text(i, 1, context);
		peer->url = result_text(i, 2, context);
		peer->options = result_text(i, 3, context);
		peer->last_error = result_text(i, 4, context);
		peer->resting = sl_result_int64(i, 5) != 0;
		old = MemoryContextSwitchTo(context);
		peers = lappend(peers, peer);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return peers;
}

List *
sl_load_peers(const char *name)
{
	return load_peers(name, NAMES_HINT);
}

SlPeer *
sl_load_background_peer(const char *name)
{
	const char *hint = "SELECT sync_add_peer('hub', 'postgresql://...'), then sync_start('hub').";

	if (slb_is_postgres_url(text_bytes(name)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is a URL, not the name of a stored peer", masked(name)),
				 errhint("%s", hint)));
	return linitial(load_peers(name, hint));
}

static Datum
text_or_null(SlBytes bytes, char *null)
{
	*null = bytes.size == 0 ? 'n' : ' ';
	return bytes.size == 0 ? (Datum) 0 :
		PointerGetDatum(cstring_to_text_with_len(bytes.data, bytes.size));
}

void
sl_note_session(const char *name, const SlSession *session, const char *error)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID};
	Datum		values[5];
	char		nulls[5];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = CStringGetTextDatum(name);
	SPI_connect();
	if (error != NULL)
	{
		values[1] = CStringGetTextDatum(error);
		sl_exec("UPDATE syncline.peer SET last_attempt = clock_timestamp(), last_error = $2,"
				" failures = failures + 1 WHERE name = $1", 2, types, values, nulls);
	}
	else
	{
		values[1] = text_or_null(session->peer_site, &nulls[1]);
		values[2] = text_or_null(session->peer_name, &nulls[2]);
		values[3] = text_or_null(session->peer_vector, &nulls[3]);
		values[4] = Int64GetDatum(session->clock_ahead_ms);
		sl_exec("UPDATE syncline.peer SET site = $2, site_name = $3, vector = $4::jsonb,"
				" clock_ahead_ms = $5, last_attempt = clock_timestamp(),"
				" last_success = clock_timestamp(), last_error = NULL, failures = 0"
				" WHERE name = $1", lengthof(types), types, values, nulls);
	}
	SPI_finish();
}
