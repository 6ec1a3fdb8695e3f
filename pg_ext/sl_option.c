/*
 * sl_option.c: the options of sync_enable: reading them, and what they do to a new table.
 */
#include "sl_host.h"

#include "sl_decide.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

static const char *const on_delete_names[] = {"update_wins", "delete_wins", "last_writer"};
static const char *const option_names[] = {"on_delete", "local"};

static char *
jsonb_text(const JsonbValue *value)
{
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	return pstrdup("");
}

static void
unknown_option(const char *name)
{
	SlBytes		known[lengthof(option_names)];
	SlBytes		near;

	for (int i = 0; i < lengthof(option_names); i++)
		known[i] = (SlBytes) {option_names[i], strlen(option_names[i])};
	near = slb_nearest_name((SlBytes) {name, strlen(name)}, known, lengthof(known));
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("sync_enable has no option \"%s\"", name),
					near.size > 0 ? errhint("Did you mean \"%.*s\"?", (int) near.size, near.data) :
					errhint("Known options: \"on_delete\", \"local\".")));
}

static void
read_on_delete(const JsonbValue *value, SlEnableOptions *options)
{
	char	   *text = jsonb_text(value);

	for (int i = 0; i < lengthof(on_delete_names); i++)
	{
		if (strcmp(text, on_delete_names[i]) == 0)
			options->on_delete = on_delete_names[i];
	}
	if (options->on_delete == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						value->type == jbvString ? errmsg("on_delete cannot be \"%s\"", text) :
						errmsg("on_delete is not a string"),
						errhint("One of \"update_wins\", \"delete_wins\", "
								"\"last_writer\".")));
}

static void
read_local(const JsonbValue *value, SlEnableOptions *options)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	item;
	bool		good = value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);

	iterator = good ? JsonbIteratorInit(value->val.binary.data) : NULL;
	while (good && (token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		good = item.type == jbvString;
		options->local = lappend(options->local, jsonb_text(&item));
	}
	if (!good)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"local\" is not an array of column names"),
						errhint("For example {\"local\": [\"cached_path\"]}.")));
}

/* Reads {"on_delete": ..., "local": [...]}. */
void
sl_read_enable_options(Datum argument, SlEnableOptions *options)
{
	Jsonb	   *jsonb = DatumGetJsonbP(argument);
	JsonbIterator *iterator = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	*options = (SlEnableOptions) {0};
	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options of sync_enable are not a JSON object"),
						errhint("For example {\"on_delete\": \"update_wins\"}.")));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = jsonb_text(&value);
		else if (token == WJB_VALUE && strcmp(name, "on_delete") == 0)
			read_on_delete(&value, options);
		else if (token == WJB_VALUE && strcmp(name, "local") == 0)
			read_local(&value, options);
		else if (token == WJB_VALUE)
			unknown_option(name);
	}
}

/* What was asked for of the table's rows is a setting, so that it replicates. */
void
sl_apply_enable_options(Relation relation, uint32 number, const SlEnableOptions *options)
{
	ListCell   *cell;

	sl_advance();
	foreach(cell, options->local)
		sl_make_local(relation, number, lfirst(cell));
	if (options->on_delete != NULL)
	{
		char	   *json = psprintf("{\"on_delete\": \"%s\"}", options->on_delete);
		SlStatus	status;

		(void) slb_set_policy(number, (SlBytes) {"", 0}, (SlBytes) {"", 0},
							  (SlBytes) {json, strlen(json)}, &status);
		sl_report(&status);
	}
}
