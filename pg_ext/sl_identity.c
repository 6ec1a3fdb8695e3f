/*
 * sl_identity.c: which incarnation of which database this is.
 *
 * A site id must never be used by two databases. The counter row therefore carries witnesses of
 * where it was made: the server's system identifier and timeline, the database's oid, and inode and
 * time of birth of its PG_VERSION file. A restored dump has none (sl_restored_self), a TEMPLATE
 * copy has another oid, a file copy or a base backup another file, pg_upgrade another identifier,
 * and whatever ends a recovery by promotion, a standby or a restore to a point in time, another
 * timeline. Whoever finds them wrong takes a new id and keeps the old one as the predecessor, whose
 * changes up to now are known here.
 *
 * A promoted standby cannot know that it received all that its primary sent to others, nor that the
 * primary writes no more: it never keeps the id. That costs one entry in vectors, and nothing is
 * sent again.
 *
 * Witnesses only find a copy soon; that every vector carries a witness of our own changes finds it
 * for certain (see sl_leaf_recognise).
 */
#include "sl_host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* How far ahead peers accept a version: limits::drift_ms_max_default of the core. */
#define DRIFT_MS INT64CONST(300000)

typedef struct Witness
{
	int64		system_identifier;
	int64		database_oid;
	int64		file_inode;
	int64		file_birth;		/* ns since 1970; 0: the file system does not say */
	int64		timeline;
} Witness;

static int64
birth_of(const char *path)
{
#ifdef STATX_BTIME
	struct statx file;

	if (statx(AT_FDCWD, path, AT_STATX_SYNC_AS_STAT, STATX_BTIME, &file) == 0 &&
		(file.stx_mask & STATX_BTIME) != 0)
		return file.stx_btime.tv_sec * INT64CONST(1000000000) + file.stx_btime.tv_nsec;
#endif
	return 0;
}

static void
current_witness(Witness *witness)
{
	char		path[MAXPGPATH];
	struct stat file;

	witness->system_identifier = (int64) GetSystemIdentifier();
	witness->database_oid = MyDatabaseId;
	snprintf(path, sizeof(path), "%s/PG_VERSION", DatabasePath);
	witness->file_inode = stat(path, &file) == 0 ? (int64) file.st_ino : 0;
	witness->file_birth = birth_of(path);
	witness->timeline = sl_timeline();
}

static Datum
new_id(void)
{
	char		id[16];

	if (!pg_strong_random(id, sizeof(id)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random numbers available")));
	return PointerGetDatum(cstring_to_text_with_len(id, sizeof(id)));
}

static void
write_witness(void)
{
	static const Oid types[] = {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID};
	Witness		witness;
	Datum		values[lengthof(types)];

	current_witness(&witness);
	values[0] = Int64GetDatum(witness.system_identifier);
	values[1] = Int64GetDatum(witness.database_oid);
	values[2] = Int64GetDatum(witness.file_inode);
	values[3] = Int64GetDatum(witness.file_birth);
	values[4] = Int64GetDatum(witness.timeline);
	sl_exec("UPDATE syncline.self SET system_identifier = $1, database_oid = $2, file_inode = $3,"
			" file_birth = $4, timeline = $5", lengthof(types), types, values, NULL);
}

/* Makes the counter row of a database that has none. */
static void
create_self(void)
{
	static const Oid types[] = {BYTEAOID, TEXTOID};
	const Datum values[] = {new_id(), CStringGetTextDatum(get_database_name(MyDatabaseId))};

	sl_exec("WITH added AS (INSERT INTO syncline.site (n, id)"
			"  SELECT coalesce(max(n) + 1, 0), $1 FROM syncline.site RETURNING n)"
			" INSERT INTO syncline.self (site, name) SELECT n, $2 FROM added",
			2, types, values, NULL);
	sl_exec("INSERT INTO syncline.melt DEFAULT VALUES ON CONFLICT DO NOTHING", 0, NULL, NULL, NULL);
	write_witness();
}

/* Attribute numbers mean nothing in a restored dump: finds them again by name. */
static void
renumber_attributes(void)
{
	sl_exec("UPDATE syncline.tbl t SET present = false, relation = NULL WHERE relation IS NOT NULL"
			" AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relation)",
			0, NULL, NULL, NULL);
	sl_exec("UPDATE syncline.col c SET attnum = a.attnum FROM syncline.tbl t, pg_attribute a"
			" WHERE t.number = c.tbl AND a.attrelid = t.relation AND a.attname = c.name"
			" AND a.attnum > 0 AND NOT a.attisdropped AND c.present"
			" AND c.attnum IS DISTINCT FROM a.attnum",
			0, NULL, NULL, NULL);
	sl_tables_forget();
}

/* The marks of the new id's own changes begin anew. */
static void
forget_pruning(void)
{
	sl_exec("UPDATE syncline.melt SET own = 0, pruned = 0", 0, NULL, NULL, NULL);
}

void
sl_new_identity(void)
{
	static const Oid types[] = {BYTEAOID};
	const Datum values[] = {new_id()};

	sl_exec("SELECT FROM syncline.self FOR UPDATE", 0, NULL, NULL, NULL);
	sl_exec("INSERT INTO syncline.vector AS v (site, seq, hlc)"
			" SELECT s.site, s.next_seq - 1, coalesce(m.hlc, 0) FROM syncline.self s"
			" LEFT JOIN syncline.mark m ON m.seq = s.next_seq - 1 WHERE s.next_seq > 1"
			" ON CONFLICT (site) DO UPDATE SET seq = excluded.seq, hlc = excluded.hlc",
			0, NULL, NULL, NULL);
	sl_exec("DELETE FROM syncline.mark", 0, NULL, NULL, NULL);
	/* the new id's numbers start anew: nothing is said about those of the old one */
	sl_exec("WITH added AS (INSERT INTO syncline.site (n, id)"
			"  SELECT max(n) + 1, $1 FROM syncline.site RETURNING n)"
			" UPDATE syncline.self SET predecessor = site, site = added.n, next_seq = 1, shared = 0"
			" FROM added", 1, types, values, NULL);
	forget_pruning();
	write_witness();
	renumber_attributes();
}

static int64
now_hlc(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return ((int64) now.tv_sec * 1000 + now.tv_usec / 1000) << 16;
}

/* The greatest clock of what came from others; 0: nothing did. */
static int64
merged_hlc(void)
{
	int64		merged = 0;

	SPI_connect();
	if (sl_exec("SELECT max(hlc) FROM syncline.vector", 0, NULL, NULL, NULL) == 1)
		merged = sl_result_int64(0, 1);
	SPI_finish();
	return merged;
}

bool
sl_clock_was_ahead(void)
{
	SlCounters *counters = sl_counters();
	int64		bound = Max(now_hlc() + (DRIFT_MS << 16), merged_hlc());

	/* what came from others at such a clock is not ours to change */
	return Max(counters->floor, counters->own_hlc) > bound + (1 << 16);
}

/*
 * The latest clock that our own versions may have. If the clock was ahead once it is now's, or
 * beyond what came from others; the floor falls back to it.
 */
static int64
latest_clock(void)
{
	SlCounters *counters = sl_counters();

	if (!sl_clock_was_ahead())
		return PG_INT64_MAX;
	counters->floor = Max(now_hlc(), merged_hlc() + 1);
	counters->own_hlc = Min(counters->own_hlc, counters->floor);
	return counters->floor;
}

/* What stands elsewhere than in rows, after a clock that was ahead. */
static void
stamp_anew(int32 from, int64 latest)
{
	static const Oid types[] = {INT4OID, INT8OID};
	const Datum values[] = {Int32GetDatum(from), Int64GetDatum(latest)};

	sl_exec("UPDATE syncline.mark SET hlc = $2 WHERE hlc > $2 AND $1 >= 0",
			lengthof(types), types, values, NULL);
	sl_exec("UPDATE syncline.setting s SET hlc = $2 FROM syncline.site i"
			" WHERE i.n = $1 AND s.site = i.id AND s.hlc > $2",
			lengthof(types), types, values, NULL);
}

/* What is said about the old id's dots beyond `shared` is now about the new id's. */
static void
hand_over(int32 from, int32 to, int64 shared)
{
	static const Oid types[] = {INT4OID, INT4OID, INT8OID};
	const Datum values[] = {Int32GetDatum(from), Int32GetDatum(to), Int64GetDatum(shared)};
	int64		latest = latest_clock();
	SlStatus	status;
	int64		begin = 0;

	if (sl_exec("SELECT min(begin) FROM syncline.growth WHERE site = $1 AND seq > $3 AND $2 >= 0",
				lengthof(types), types, values, NULL) == 1)
		begin = sl_result_int64(0, 1);
	slb_relabel(from, shared, to, latest, begin, &status);
	sl_report(&status);
	sl_exec("UPDATE syncline.growth SET site = $2 WHERE site = $1 AND seq > $3",
			lengthof(types), types, values, NULL);
	sl_exec("UPDATE syncline.tbl SET baseline_site = $2"
			" WHERE baseline_site = $1 AND baseline_seq > $3", lengthof(types), types, values,
			NULL);
	sl_exec("INSERT INTO syncline.vector AS v (site, seq, hlc)"
			" SELECT $1, m.seq, m.hlc FROM syncline.mark m WHERE m.seq = $3 AND $2 >= 0"
			" ON CONFLICT (site) DO UPDATE SET seq = excluded.seq, hlc = excluded.hlc",
			lengthof(types), types, values, NULL);
	sl_exec("DELETE FROM syncline.mark WHERE seq <= $3 AND $1 >= 0 AND $2 >= 0",
			lengthof(types), types, values, NULL);
	stamp_anew(from, latest);
	sl_exec("UPDATE syncline.self SET predecessor = $1, site = $2, shared = 0 WHERE $3 >= 0",
			lengthof(types), types, values, NULL);
	forget_pruning();
}

void
sl_give_up_identity(void)
{
	static const Oid types[] = {BYTEAOID};
	const Datum values[] = {new_id()};
	SlCounters *counters = sl_counters();
	SlStatus	status;
	int32		from;
	int64		shared;

	SPI_connect();
	slb_id_beside((uint8_t *) VARDATA_ANY(DatumGetByteaPP(values[0])), &status);
	sl_report(&status);
	/* what has melted cannot be given another id */
	sl_exec("SELECT site, greatest(shared, (SELECT own FROM syncline.melt)) FROM syncline.self", 0,
			NULL, NULL, NULL);
	from = sl_result_int64(0, 1);
	shared = sl_result_int64(0, 2);
	sl_exec("INSERT INTO syncline.site (n, id) SELECT max(n) + 1, $1 FROM syncline.site"
			" RETURNING n", 1, types, values, NULL);
	hand_over(from, sl_result_int64(0, 1), shared);
	/* nothing beyond what is shared: the new id starts from nothing */
	if (counters->next_seq - 1 <= shared)
	{
		counters->next_seq = 1;
		counters->own_hlc = 0;
	}
	write_witness();
	SPI_finish();
	sl_advance();
	sl_member_ensure();
}

void
sl_take_new_identity(const char *function_name)
{
	sl_merge_begin(function_name);
	sl_fold(false);
	sl_give_up_identity();
	sl_merge_end();
}

/* Does the counter row name this database? */
static bool
witness_fits(void)
{
	Witness		witness;

	current_witness(&witness);
	return sl_result_int64(0, 1) == witness.system_identifier &&
		sl_result_int64(0, 2) == witness.database_oid &&
		sl_result_int64(0, 3) == witness.file_inode &&
		(sl_result_int64(0, 4) == witness.file_birth || witness.file_birth == 0) &&
		sl_result_int64(0, 5) == witness.timeline;
}

/* Makes the counter row, or takes a new id, unless another session has by now. */
static void
settle(const char *read)
{
	sl_exec("LOCK TABLE syncline.self IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL, NULL);
	if (sl_exec(read, 0, NULL, NULL, NULL) == 0)
		create_self();
	else if (!witness_fits())
		sl_new_identity();
}

void
sl_site_ensure(void)
{
	const char *read = "SELECT system_identifier, database_oid, file_inode, file_birth, timeline"
		" FROM syncline.self";

	/* a reader cannot settle it; what it says is what is stored */
	if (RecoveryInProgress() || XactReadOnly)
		return;
	SPI_connect();
	if (sl_exec(read, 0, NULL, NULL, NULL) == 0 || !witness_fits())
		settle(read);
	SPI_finish();
}
