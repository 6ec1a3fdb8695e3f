/*
 * sl_value.c: values of PostgreSQL types as the five classes that travel, and back.
 *
 * What comes out does not depend on the session's settings: dates and times are encoded here, in
 * ISO style and UTC; for types whose output function looks at settings (arrays of timestamps,
 * points) the settings are changed around the call. What goes in goes through the type's input
 * function, with its type modifier and domain checks, unless the type is one that has none.
 */
#include "sl_host.h"

#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define UUID_TEXT_BYTES 36
#define NUMBER_TEXT_BYTES 64

/* ---- types ----------------------------------------------------------------------------------- */

static SlConversion
conversion_of(Oid base)
{
	switch (base)
	{
		case BOOLOID:
			return SL_CONV_BOOL;
		case INT2OID:
			return SL_CONV_INT2;
		case INT4OID:
			return SL_CONV_INT4;
		case INT8OID:
			return SL_CONV_INT8;
		case FLOAT4OID:
			return SL_CONV_FLOAT4;
		case FLOAT8OID:
			return SL_CONV_FLOAT8;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case JSONOID:
			return SL_CONV_TEXT;
		case BYTEAOID:
			return SL_CONV_BYTEA;
		case UUIDOID:
			return SL_CONV_UUID;
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INTERVALOID:
			return SL_CONV_DATETIME;
		default:
			return SL_CONV_FUNCTION;
	}
}

/* May the text of this type depend on DateStyle, TimeZone, extra_float_digits and the like? */
static bool
settings_matter(Oid base)
{
	switch (base)
	{
		case NUMERICOID:
		case JSONBOID:
		case NAMEOID:
		case CHAROID:
		case OIDOID:
		case INETOID:
		case CIDROID:
		case MACADDROID:
		case BITOID:
		case VARBITOID:
		case XMLOID:
		case TSVECTOROID:
			return false;
		default:
			return get_typtype(base) != TYPTYPE_ENUM;
	}
}

void
sl_type_init(SlType *type, Oid typid, int32 typmod, Oid collation, MemoryContext context)
{
	Oid			function;
	bool		varlena;

	memset(type, 0, sizeof(*type));
	type->type = typid;
	type->typmod = typmod;
	type->base = getBaseTypeAndTypmod(typid, &type->typmod);
	type->domain = type->base != typid;
	type->collation = collation;
	type->conversion = conversion_of(type->base);
	get_typlenbyval(type->base, &type->length, &type->byval);
	getTypeOutputInfo(type->base, &function, &varlena);
	fmgr_info_cxt(function, &type->out, context);
	/* a domain's own input function checks its constraints */
	getTypeInputInfo(typid, &function, &type->ioparam);
	fmgr_info_cxt(function, &type->in, context);
	type->settings = type->conversion == SL_CONV_FUNCTION && settings_matter(type->base);
}

const char *
sl_logical_type(Oid typid)
{
	Oid			base = getBaseType(typid);
	Oid			element = get_element_type(base);
	HeapTuple	tuple;
	char	   *name;

	switch (base)
	{
		case BOOLOID:
			return "boolean";
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return "integer";
		case FLOAT4OID:
		case FLOAT8OID:
			return "float";
		case NUMERICOID:
			return "numeric";
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return "text";
		case BYTEAOID:
			return "bytes";
		case UUIDOID:
			return "uuid";
		case DATEOID:
			return "date";
		case TIMEOID:
			return "time";
		case TIMESTAMPOID:
			return "timestamp";
		case TIMESTAMPTZOID:
			return "timestamptz";
		case INTERVALOID:
			return "interval";
		case JSONOID:
		case JSONBOID:
			return "json";
	}
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(OidIsValid(element) ? element : base));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", base);
	name = NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname);
	/* arrays go by the name that SQL has for the type, as SQLite's declarations do */
	if (OidIsValid(element) &&
		((Form_pg_type) GETSTRUCT(tuple))->typnamespace == PG_CATALOG_NAMESPACE)
		name = format_type_be(element);
	name = psprintf("pg:%s%s", name, OidIsValid(element) ? "[]" : "");
	ReleaseSysCache(tuple);
	return name;
}

/* ---- settings -------------------------------------------------------------------------------- */

static void
set_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/* Makes text independent of the session; returns what to pass to modes_end. */
static int
modes_begin(void)
{
	int			level = NewGUCNestLevel();

	if (DateStyle != USE_ISO_DATES)
		set_for_now("datestyle", "ISO");
	if (IntervalStyle != INTSTYLE_POSTGRES)
		set_for_now("intervalstyle", "postgres");
	if (extra_float_digits < 1)
		set_for_now("extra_float_digits", "1");
	if (bytea_output != BYTEA_OUTPUT_HEX)
		set_for_now("bytea_output", "hex");
	if (strcmp(pg_get_timezone_name(session_timezone), "UTC") != 0)
		set_for_now("timezone", "UTC");
	return level;
}

static void
modes_end(int level)
{
	AtEOXact_GUC(true, level);
}

/* ---- out ------------------------------------------------------------------------------------- */

static inline void
put_bytes(SlValue *out, uint8 kind, const char *data, size_t size)
{
	out->kind = kind;
	out->u.data = data;
	out->size = (uint32) size;
}

/* Text in the server's encoding, as UTF-8. */
static void
put_text(SlValue *out, const char *data, int size)
{
	const char *utf8 = data;

	if (GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII)
		utf8 = pg_server_to_any(data, size, PG_UTF8);
	put_bytes(out, SL_TEXT, utf8, utf8 == data ? size : strlen(utf8));
}

static void
put_real(SlValue *out, double real)
{
	if (isnan(real))
	{
		put_bytes(out, SL_TEXT, "NaN", 3);
		return;
	}
	out->kind = SL_REAL;
	out->size = 0;
	out->u.real = real;
}

static void
put_integer(SlValue *out, int64 integer)
{
	out->kind = SL_INTEGER;
	out->size = 0;
	out->u.integer = integer;
}

static void
put_uuid(SlValue *out, const pg_uuid_t *uuid)
{
	static const char digits[] = "0123456789abcdef";
	char	   *text = palloc(UUID_TEXT_BYTES);
	char	   *next = text;

	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*next++ = '-';
		*next++ = digits[uuid->data[i] >> 4];
		*next++ = digits[uuid->data[i] & 15];
	}
	put_bytes(out, SL_TEXT, text, UUID_TEXT_BYTES);
}

/* A timestamp as ISO text; with `zone`, in UTC and saying so. */
static void
encode_timestamp(Timestamp timestamp, bool zone, char *text)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(timestamp))
		EncodeSpecialTimestamp(timestamp, text);
	else if (timestamp2tm(timestamp, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("timestamp out of range")));
	else
	{
		tm.tm_isdst = 0;
		EncodeDateTime(&tm, fsec, zone, 0, NULL, USE_ISO_DATES, text);
	}
}

static void
put_datetime(SlValue *out, Oid base, Datum datum)
{
	char	   *text = palloc(MAXDATELEN + 1);
	struct pg_tm tm;
	fsec_t		fsec;

	switch (base)
	{
		case DATEOID:
			{
				DateADT		date = DatumGetDateADT(datum);

				if (DATE_NOT_FINITE(date))
					EncodeSpecialDate(date, text);
				else
				{
					j2date(date + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
					EncodeDateOnly(&tm, USE_ISO_DATES, text);
				}
				break;
			}
		case TIMEOID:
			time2tm(DatumGetTimeADT(datum), &tm, &fsec);
			EncodeTimeOnly(&tm, fsec, false, 0, USE_ISO_DATES, text);
			break;
		case INTERVALOID:
			sl_encode_interval(DatumGetIntervalP(datum), text);
			break;
		default:
			encode_timestamp(DatumGetTimestamp(datum), base == TIMESTAMPTZOID, text);
	}
	put_bytes(out, SL_TEXT, text, strlen(text));
}

static void
put_function(SlValue *out, SlType *type, Datum datum)
{
	char	   *text;

	if (type->settings)
	{
		int			level = modes_begin();

		text = OutputFunctionCall(&type->out, datum);
		modes_end(level);
	}
	else
		text = OutputFunctionCall(&type->out, datum);
	put_text(out, text, strlen(text));
}

void
sl_to_value(SlType *type, Datum datum, SlValue *out)
{
	switch (type->conversion)
	{
		case SL_CONV_BOOL:
			put_integer(out, DatumGetBool(datum));
			break;
		case SL_CONV_INT2:
			put_integer(out, DatumGetInt16(datum));
			break;
		case SL_CONV_INT4:
			put_integer(out, DatumGetInt32(datum));
			break;
		case SL_CONV_INT8:
			put_integer(out, DatumGetInt64(datum));
			break;
		case SL_CONV_FLOAT4:
			put_real(out, DatumGetFloat4(datum));
			break;
		case SL_CONV_FLOAT8:
			put_real(out, DatumGetFloat8(datum));
			break;
		case SL_CONV_TEXT:
			{
				struct varlena *text = PG_DETOAST_DATUM_PACKED(datum);

				put_text(out, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
				break;
			}
		case SL_CONV_BYTEA:
			{
				struct varlena *bytes = PG_DETOAST_DATUM_PACKED(datum);

				put_bytes(out, SL_BLOB, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
				break;
			}
		case SL_CONV_UUID:
			put_uuid(out, DatumGetUUIDP(datum));
			break;
		case SL_CONV_DATETIME:
			put_datetime(out, type->base, datum);
			break;
		case SL_CONV_FUNCTION:
			put_function(out, type, datum);
			break;
	}
}

/* ---- in -------------------------------------------------------------------------------------- */

static void
does_not_fit(const SlType *type, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("%s does not fit type %s", what, format_type_be(type->type))));
}

/* The value's text, terminated, in the server's encoding; checked to be valid. */
static char *
text_of(const SlType *type, const SlValue *value)
{
	char	   *text;
	const char *converted;

	switch (value->kind)
	{
		case SL_INTEGER:
			return psprintf(INT64_FORMAT, value->u.integer);
		case SL_REAL:
			text = palloc(NUMBER_TEXT_BYTES);
			double_to_shortest_decimal_buf(value->u.real, text);
			return text;
		case SL_TEXT:
			converted = pg_any_to_server(value->u.data, value->size, PG_UTF8);
			if (converted != value->u.data)
				return unconstify(char *, converted);
			return pnstrdup(converted, value->size);
		default:
			does_not_fit(type, "a blob");
			return NULL;		/* not reached */
	}
}

static Datum
through_input(SlType *type, const SlValue *value)
{
	char	   *text = text_of(type, value);
	Datum		datum;
	int			level;

	/* the input of a timestamp without a zone, and of what contains one, looks at TimeZone */
	if (!type->settings && type->base != TIMESTAMPTZOID)
		return InputFunctionCall(&type->in, text, type->ioparam, type->typmod);
	level = modes_begin();
	datum = InputFunctionCall(&type->in, text, type->ioparam, type->typmod);
	modes_end(level);
	return datum;
}

/* Types without modifiers and checks, from the class they have; false: take the long way. */
static bool
direct(SlType *type, const SlValue *value, Datum *out)
{
	int64		integer = value->u.integer;

	if (type->domain)
		return false;
	switch (type->conversion)
	{
		case SL_CONV_BOOL:
			if (value->kind != SL_INTEGER)
				return false;
			if (integer != 0 && integer != 1)
				does_not_fit(type, "an integer other than 0 and 1");
			*out = BoolGetDatum(integer != 0);
			return true;
		case SL_CONV_INT2:
			if (value->kind != SL_INTEGER || integer != (int16) integer)
				return false;
			*out = Int16GetDatum((int16) integer);
			return true;
		case SL_CONV_INT4:
			if (value->kind != SL_INTEGER || integer != (int32) integer)
				return false;
			*out = Int32GetDatum((int32) integer);
			return true;
		case SL_CONV_INT8:
			if (value->kind != SL_INTEGER)
				return false;
			*out = Int64GetDatum(integer);
			return true;
		case SL_CONV_FLOAT8:
			if (value->kind != SL_REAL)
				return false;
			*out = Float8GetDatum(value->u.real);
			return true;
		case SL_CONV_FLOAT4:
			if (value->kind != SL_REAL || (double) (float4) value->u.real != value->u.real)
				return false;
			*out = Float4GetDatum((float4) value->u.real);
			return true;
		case SL_CONV_BYTEA:
			if (value->kind != SL_BLOB)
				does_not_fit(type, "a value that is no blob");
			*out = PointerGetDatum(cstring_to_text_with_len(value->u.data, value->size));
			return true;
		case SL_CONV_TEXT:
			if (value->kind != SL_TEXT || type->typmod >= 0 || type->base == JSONOID ||
				type->base == BPCHAROID || GetDatabaseEncoding() != PG_UTF8)
				return false;
			(void) pg_verify_mbstr(PG_UTF8, value->u.data, value->size, false);
			*out = PointerGetDatum(cstring_to_text_with_len(value->u.data, value->size));
			return true;
		default:
			return false;
	}
}

/* A domain over bytea: its input function wants text. */
static Datum
domain_of_bytes(SlType *type, const SlValue *value)
{
	char	   *hex = palloc((size_t) value->size * 2 + 3);

	hex[0] = '\\';
	hex[1] = 'x';
	hex[2 + hex_encode(value->u.data, value->size, hex + 2)] = '\0';
	return InputFunctionCall(&type->in, hex, type->ioparam, type->typmod);
}

Datum
sl_to_datum(SlType *type, const SlValue *value, bool *isnull)
{
	Datum		datum;

	*isnull = value->kind == SL_NULL;
	if (*isnull)
	{
		if (!type->domain)
			return (Datum) 0;
		/* a domain may forbid null */
		return InputFunctionCall(&type->in, NULL, type->ioparam, type->typmod);
	}
	Assert(value->kind != SL_ABSENT && value->kind != SL_SAME);
	if (direct(type, value, &datum))
		return datum;
	if (type->base == BYTEAOID && value->kind == SL_BLOB)
		return domain_of_bytes(type, value);
	return through_input(type, value);
}
