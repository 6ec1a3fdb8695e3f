-- Installed by CREATE EXTENSION syncline [SCHEMA s]. The sync_* functions and views go to schema s;
-- everything internal lives in schema "syncline". See sl_bridge.h for which file implements what.
\echo Use "CREATE EXTENSION syncline" to load this file. \quit

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'syncline') THEN
    CREATE SCHEMA syncline;
  ELSIF '@extschema@' <> 'syncline' THEN
    RAISE EXCEPTION 'schema "syncline" exists already'
      USING HINT = 'Drop or rename it: the extension keeps its own tables there.';
  END IF;
END $$;

GRANT USAGE ON SCHEMA syncline TO PUBLIC;

-- Bookkeeping -----------------------------------------------------------------------------------
--
-- Written by the C functions only, as the owner of this schema. The owner of the database may read,
-- so that its pg_dump succeeds. Sites, tables and columns go by our own numbers everywhere:
-- oids and attribute numbers change when a dump is restored.

-- The local numbering of sites.
CREATE TABLE syncline.site (
  n int4 PRIMARY KEY,
  id bytea NOT NULL UNIQUE CHECK (length(id) = 16)
);

-- The one counter row. Its lock serialises folds and merges; writers of the application never
-- touch it. It is made on first use. The witness columns are empty in a restored dump (see
-- restored_self): then, or when they name another database, this database takes a new id.
CREATE TABLE syncline.self (
  one bool PRIMARY KEY DEFAULT true CHECK (one),
  site int4 NOT NULL,
  name text NOT NULL DEFAULT '',
  next_seq int8 NOT NULL DEFAULT 1,       -- of the next change
  position int8 NOT NULL DEFAULT 0,       -- of the last row folded or applied
  floor int8 NOT NULL DEFAULT 0,          -- greatest hlc seen
  next_table int4 NOT NULL DEFAULT 1,
  next_context int8 NOT NULL DEFAULT 1,
  shared int8 NOT NULL DEFAULT 0,         -- greatest own seq that some peer is known to have
  predecessor int4,                       -- the site this one was copied or restored from
  system_identifier int8,
  database_oid int8,
  file_inode int8,                        -- of the database's PG_VERSION file
  file_birth int8,
  timeline int8,
  retry_held bool NOT NULL DEFAULT false, -- rows were folded, and held ones not tried since
  log_closed int2 NOT NULL DEFAULT 0      -- 1: log, 2: log_2, 0: neither; see sl_log_turn.c
);

-- What is known of other sites: all their changes up to seq, whose hlc is the witness.
CREATE TABLE syncline.vector (site int4 PRIMARY KEY, seq int8 NOT NULL, hlc int8 NOT NULL);

-- One row a fold: the last seq it gave, and the hlc that stands there.
CREATE TABLE syncline.mark (seq int8 PRIMARY KEY, hlc int8 NOT NULL);

-- Knowledge of `site` (self included) grew to `seq` by rows with a position beyond `begin`.
CREATE TABLE syncline.growth (
  site int4 NOT NULL, seq int8 NOT NULL, begin int8 NOT NULL, PRIMARY KEY (site, seq)
);

-- What other sites are known to have: they said so, or somebody relayed it.
CREATE TABLE syncline.ack (
  site int4 PRIMARY KEY,
  vector bytea NOT NULL DEFAULT '',
  heard_ms int8 NOT NULL,                 -- when they were last heard
  ahead_ms int8                           -- their clock against ours, at the last session from here
);

-- How far metadata has melted, in one row: up to `vector`, which all active sites know; and where a
-- pass through the row state stands.
CREATE TABLE syncline.melt (
  one bool PRIMARY KEY DEFAULT true CHECK (one),
  vector bytea NOT NULL DEFAULT '',
  own int8 NOT NULL DEFAULT 0,            -- this site's entry in it
  pruned int8 NOT NULL DEFAULT 0,         -- own changes below it have no mark any more
  under bytea NOT NULL DEFAULT '',        -- `vector` in the last pass, or the one going on
  done bool NOT NULL DEFAULT true,
  tbl int4 NOT NULL DEFAULT 0,            -- table and key looked at last
  key bytea NOT NULL DEFAULT ''
);

-- Tracked tables, and parked ones, which only a peer has (no relation, not present).
CREATE TABLE syncline.tbl (
  number int4 PRIMARY KEY,
  relation regclass UNIQUE,
  name text NOT NULL UNIQUE,              -- as it travels: without a schema
  present bool NOT NULL,
  baseline_site int4,                     -- of rows without state: seq 0, once that has melted
  baseline_seq int8 NOT NULL DEFAULT 0,
  options jsonb NOT NULL DEFAULT '{}',
  tracked_since timestamptz NOT NULL DEFAULT now(),
  listed_from int8 NOT NULL DEFAULT 0,    -- arrival_<n> has all that changed behind this position
  baseline_context int8 NOT NULL DEFAULT 0 -- of rows without state, while their exchange goes on
);

CREATE TABLE syncline.col (
  tbl int4 NOT NULL,
  number int4 NOT NULL,
  name text NOT NULL,
  type text NOT NULL,                     -- logical type
  declared text,                          -- as PostgreSQL spells it, to notice ALTER TYPE
  attnum int2,                            -- to notice a rename; means nothing in a restored dump
  present bool NOT NULL,
  dropped bool NOT NULL DEFAULT false,
  key_position int2,                      -- from 0
  local bool NOT NULL DEFAULT false,      -- stays in this database; then it counts as dropped
  missing bytea,                          -- its default, where that is not NULL: see sl_fill.c
  PRIMARY KEY (tbl, number)
);

-- What local writes append: op 0 insert, 1 update, 2 delete. The fold consumes every entry it sees,
-- so no index is needed. Each session reads all of its pages, also those that are empty, until a
-- long log is closed: then log_2 is written and read, until VACUUM has given the pages back. `key`
-- is encode_key of the row's key; `image` the rest of a deleted row, or what an update saw in
-- columns whose policies want to know; `origin` who wrote it, if anybody said so. Nobody plans by
-- its statistics, and while they are gathered it cannot be closed.
CREATE TABLE syncline.log (
  mask int8 NOT NULL,
  clock int8 NOT NULL,
  lsn int8 NOT NULL,
  tbl int4 NOT NULL,
  op int2 NOT NULL,
  key bytea NOT NULL,
  image bytea,
  origin int8
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 2147483647);
CREATE TABLE syncline.log_2 () INHERITS (syncline.log)
  WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 2147483647);

-- Who wrote log entries, and why (JSON). Consumed with the entries.
CREATE TABLE syncline.origin (id int8 NOT NULL, text text NOT NULL);

-- Exchanges that came in part, and the contexts of rows that came with them.
CREATE TABLE syncline.incoming (site int4 PRIMARY KEY, token bytea NOT NULL, begin int8 NOT NULL);
CREATE TABLE syncline.context (id int8 PRIMARY KEY, vector bytea NOT NULL, begin int8 NOT NULL);

-- What all sites share: policies. site: the id of the one that made the setting; value: JSON, empty
-- where it was taken back.
CREATE TABLE syncline.setting (
  key text COLLATE "C" PRIMARY KEY,
  value text NOT NULL,
  hlc int8 NOT NULL,
  site bytea NOT NULL CHECK (length(site) = 16)
);

CREATE TABLE syncline.conflict (
  id text PRIMARY KEY,
  tbl int4 NOT NULL,
  key bytea NOT NULL,
  table_name text NOT NULL,
  pk jsonb NOT NULL,
  column_name text,
  kind text NOT NULL,
  severity text NOT NULL DEFAULT 'normal',
  status text NOT NULL DEFAULT 'open',
  base jsonb,
  local jsonb,
  remote jsonb,
  winner jsonb,
  policy text NOT NULL DEFAULT 'last_writer',
  confidence float8 NOT NULL DEFAULT 1.0,
  local_site text,
  remote_site text,
  local_at timestamptz,
  remote_at timestamptz,
  detected_at timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz,
  resolved_by text,
  note text,
  local_actor text,
  remote_actor text,
  how text,                               -- decision, write, policy, or stored
  choice text,
  reopens text,                           -- what taking back a decision has to say
  moved text                              -- rows that a decision about a held row deleted or made
);
CREATE INDEX conflict_open ON syncline.conflict (tbl, key) WHERE status = 'open';

-- What happened to conflicts, in the order in which it was committed.
CREATE TABLE syncline.event (
  event int8 GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  kind text NOT NULL,                     -- detected, resolved, or reopened
  conflict_id text NOT NULL,
  tbl int4 NOT NULL,
  table_name text NOT NULL,
  pk jsonb NOT NULL,
  column_name text,
  detail text
);

CREATE TABLE syncline.peer (
  name text PRIMARY KEY,
  url text NOT NULL,
  options jsonb NOT NULL DEFAULT '{}',
  site text,
  site_name text,
  vector jsonb,                           -- what the peer is known to have
  last_attempt timestamptz,
  last_success timestamptz,
  last_error text,
  failures int4 NOT NULL DEFAULT 0,       -- since the last success
  clock_ahead_ms int8
);

-- Sums over a table's rows, valid for the rows whose state has a position up to this one. Kept
-- between verifications; a dump leaves them out.
CREATE TABLE syncline.digest (
  tbl int4 NOT NULL,
  plan bytea NOT NULL,                    -- which columns, compared as what
  position int8 NOT NULL,
  sums bytea NOT NULL,
  PRIMARY KEY (tbl, plan)
);
ALTER TABLE syncline.digest ALTER COLUMN sums SET STORAGE EXTERNAL;

-- Queries that must return no rows or, with expects_true, one true value.
CREATE TABLE syncline.invariant (
  name text PRIMARY KEY,
  query text NOT NULL,
  expects_true bool NOT NULL,
  refuse bool NOT NULL,
  broken_at timestamptz                   -- since when it does not hold
);

SELECT pg_catalog.pg_extension_config_dump('syncline.site', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.self', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.vector', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.mark', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.growth', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.ack', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.melt', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.tbl', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.col', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.log', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.log_2', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.origin', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.incoming', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.context', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.setting', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.conflict', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.event', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.event_event_seq', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.peer', '');
SELECT pg_catalog.pg_extension_config_dump('syncline.invariant', '');

-- Triggers --------------------------------------------------------------------------------------

CREATE FUNCTION syncline.capture() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'sl_capture';
CREATE FUNCTION syncline.capture_truncate() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'sl_capture_truncate';

-- A dump restores through COPY, which fires these; capture's own writes go around them. A restored
-- counter row loses its witnesses; restored log entries sort before everything this server writes.
CREATE FUNCTION syncline.restored_self() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'sl_restored_self';
CREATE FUNCTION syncline.restored_log() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'sl_restored_log';
CREATE TRIGGER restored BEFORE INSERT ON syncline.self
  FOR EACH ROW EXECUTE FUNCTION syncline.restored_self();
CREATE TRIGGER restored BEFORE INSERT ON syncline.log
  FOR EACH ROW EXECUTE FUNCTION syncline.restored_log();
CREATE TRIGGER restored BEFORE INSERT ON syncline.log_2
  FOR EACH ROW EXECUTE FUNCTION syncline.restored_log();
ALTER TABLE syncline.self ENABLE ALWAYS TRIGGER restored;
ALTER TABLE syncline.log ENABLE ALWAYS TRIGGER restored;
ALTER TABLE syncline.log_2 ENABLE ALWAYS TRIGGER restored;

-- They keep the registry in step with ALTER TABLE and DROP.
CREATE FUNCTION syncline.on_ddl_end() RETURNS event_trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'sl_on_ddl_end';
CREATE FUNCTION syncline.on_drop() RETURNS event_trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'sl_on_drop';
CREATE FUNCTION syncline.on_rewrite() RETURNS event_trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'sl_on_rewrite';

-- Tracking --------------------------------------------------------------------------------------
--
-- What takes an argument is not STRICT: NULL in the wrong place is an error, not a silent NULL.

CREATE FUNCTION sync_version() RETURNS text
  LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sl_sync_version';
CREATE FUNCTION sync_enable(table_name text, options jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_enable';
CREATE FUNCTION sync_disable(table_name text) RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_disable';
CREATE FUNCTION sync_site_id() RETURNS text
  LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_site_id';
CREATE FUNCTION sync_site_name(name text DEFAULT NULL) RETURNS text
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_site_name';
CREATE FUNCTION sync_version_vector() RETURNS jsonb
  LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_version_vector';
CREATE FUNCTION sync_new_identity() RETURNS text
  LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_new_identity';
CREATE FUNCTION sync_hello() RETURNS jsonb
  LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_hello';

-- A peer that synchronises in the background waits here: until the numbering is not where it was
-- seen, or changes have no number yet. NULL: nothing happened in that time, or the statement was to
-- be cancelled and `quietly` says that this is no error.
CREATE FUNCTION syncline.await_change(seen bigint, timeout_ms integer,
    quietly boolean DEFAULT false) RETURNS bigint
  LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_await_change';

-- What sync_clone of another database makes these tables from; core/src/clone.cpp has the form.
CREATE FUNCTION sync_schema() RETURNS jsonb
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH t AS (
    SELECT b.number, b.name, c.oid, n.nspname FROM syncline.tbl b
      JOIN pg_class c ON c.oid = b.relation JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE b.present),
  names(tbl, numbers, list) AS (
    SELECT k.conrelid, k.conkey, jsonb_agg(a.attname ORDER BY u.at)
      FROM (SELECT conrelid, conkey FROM pg_constraint UNION
            SELECT confrelid, confkey FROM pg_constraint WHERE contype = 'f') k,
        unnest(k.conkey) WITH ORDINALITY u(number, at), pg_attribute a
      WHERE k.conrelid IN (SELECT oid FROM t) AND a.attrelid = k.conrelid AND a.attnum = u.number
      GROUP BY 1, 2)
  SELECT jsonb_build_object('format', 1,
    'engine', 'postgresql ' || current_setting('server_version'),
    'types', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', e.name,
        'schema', e.nspname,
        'sql', 'CREATE TYPE ' || e.name || ' AS ENUM (' || e.labels || ')')), '[]')
      FROM (SELECT format('%I.%I', n.nspname, y.typname) AS name, n.nspname,
              string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder) AS labels
            FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace
              JOIN pg_enum l ON l.enumtypid = y.oid
            WHERE y.oid IN (SELECT CASE WHEN x.typelem <> 0 THEN x.typelem ELSE x.oid END
                FROM t, pg_attribute a JOIN pg_type x ON x.oid = a.atttypid
                WHERE a.attrelid = t.oid)
            GROUP BY y.oid, n.nspname, y.typname) e),
    'tables', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', t.name, 'schema', t.nspname,
      'columns', (SELECT jsonb_agg(jsonb_build_object('name', a.attname,
          'type', (SELECT k.type FROM syncline.col k WHERE k.tbl = t.number
            AND k.name = a.attname AND k.present AND NOT k.local),
          'declared', format_type(a.atttypid, a.atttypmod) ||
            CASE WHEN a.attcollation <> y.typcollation AND a.attcollation <> 0
              THEN (SELECT format(' COLLATE %I.%I', n.nspname, l.collname) FROM pg_collation l
                JOIN pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = a.attcollation)
              ELSE '' END,
          'not_null', a.attnotnull, 'identity', a.attidentity <> '',
          'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
          'generated', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END)
          ORDER BY a.attnum)
        FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped),
      'key', (SELECT jsonb_agg(k.name ORDER BY k.key_position) FROM syncline.col k
        WHERE k.tbl = t.number AND k.key_position IS NOT NULL),
      'constraints', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', k.conname,
          'kind', k.contype, 'sql', pg_get_constraintdef(k.oid),
          'columns', (SELECT list FROM names WHERE tbl = k.conrelid AND numbers = k.conkey),
          'parent', (SELECT p.name FROM t p WHERE p.oid = k.confrelid),
          'parent_columns', (SELECT list FROM names
            WHERE tbl = k.confrelid AND numbers = k.confkey),
          'on_delete', CASE k.confdeltype WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE'
            WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END,
          'on_update', CASE k.confupdtype WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE'
            WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END)
          ORDER BY k.contype = 'f', k.conname), '[]')
        FROM pg_constraint k WHERE k.conrelid = t.oid AND k.contype IN ('p', 'u', 'f', 'c', 'x')),
      'indexes', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', c.relname,
          'sql', pg_get_indexdef(i.indexrelid), 'unique', i.indisunique,
          'columns', CASE WHEN i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree'
              AND i.indnatts = i.indnkeyatts
              AND pg_get_indexdef(i.indexrelid) NOT LIKE '%NULLS NOT DISTINCT%'
            THEN (SELECT jsonb_agg(a.attname ORDER BY u.at)
              FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(number, at), pg_attribute a
              WHERE a.attrelid = t.oid AND a.attnum = u.number) END)
          ORDER BY NOT i.indisunique, c.relname), '[]')
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
        WHERE i.indrelid = t.oid AND i.indisvalid AND NOT EXISTS (
          SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = t.oid)),
      'triggers', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', g.tgname)
          ORDER BY g.tgname), '[]')
        FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid
        WHERE g.tgrelid = t.oid AND NOT g.tgisinternal
          AND f.pronamespace <> (SELECT oid FROM pg_namespace WHERE nspname = 'syncline')))
      ORDER BY t.name), '[]') FROM t))
$$;

CREATE FUNCTION syncline.tables(OUT table_name text, OUT primary_key jsonb, OUT columns jsonb,
    OUT tracked_since timestamptz, OUT rows_with_state int8, OUT log_length int8,
    OUT metadata_bytes int8, OUT status text, OUT note text) RETURNS SETOF record
  LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'sl_tables';
CREATE VIEW sync_tables AS SELECT * FROM syncline.tables();

-- Exchange --------------------------------------------------------------------------------------

CREATE FUNCTION sync_changes_since(vector jsonb, options jsonb DEFAULT '{}',
    OUT chunk int4, OUT changes bytea, OUT row_count int4, OUT last bool) RETURNS SETOF record
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_changes_since';
CREATE FUNCTION sync_apply(changes bytea, options jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_apply';
CREATE FUNCTION sync_inspect(changes bytea, OUT table_name text, OUT pk jsonb,
    OUT column_name text, OUT value jsonb, OUT site text, OUT seq int8, OUT hlc int8,
    OUT changed_at timestamptz) RETURNS SETOF record
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_inspect';
CREATE FUNCTION syncline.changes(OUT table_name text, OUT pk jsonb,
    OUT column_name text, OUT value jsonb, OUT site text, OUT seq int8, OUT hlc int8,
    OUT changed_at timestamptz) RETURNS SETOF record
  LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'sl_changes';
CREATE VIEW sync_changes AS SELECT * FROM syncline.changes();

-- Peers -----------------------------------------------------------------------------------------

CREATE FUNCTION sync_now(peer text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_now';
CREATE FUNCTION sync_clone(peer text, options jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_clone';
CREATE FUNCTION sync_add_peer(name text, url text, options jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_add_peer';
CREATE FUNCTION sync_remove_peer(name text) RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_remove_peer';
-- sync_start(peer) starts a process that synchronises with a stored peer from then on: at once, as
-- soon as something changes here or there, and at the latest after interval_ms. It ends with
-- sync_stop, with sync_remove_peer, with the extension, and with the server: then nothing starts it
-- again.
CREATE FUNCTION sync_start(peer text, options jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_start';
CREATE FUNCTION sync_stop(peer text DEFAULT NULL) RETURNS integer
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_stop';
-- Each of these processes has a lock, whose key is a hash of the peer's name; SQL cannot take one
-- of this kind. See sl_background.c.
CREATE VIEW syncline.background AS
  SELECT l.pid, (l.classid::int8 << 32) | l.objid::int8 AS peer_hash
  FROM pg_catalog.pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 21337 AND l.granted AND
        l.database = (SELECT d.oid FROM pg_catalog.pg_database d
                      WHERE d.datname = pg_catalog.current_database());
-- The URL without its password.
CREATE FUNCTION syncline.url_shown(url text) RETURNS text
  LANGUAGE c STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'sl_url_shown';
CREATE VIEW sync_peers AS
  SELECT name, syncline.url_shown(url) AS url, site, site_name, vector, last_attempt, last_success,
         last_error, failures,
         CASE WHEN failures < 5 THEN 'closed'
              WHEN last_attempt > clock_timestamp() - interval '1 minute' THEN 'open'
              ELSE 'half_open' END AS breaker,
         clock_ahead_ms,
         CASE WHEN pg_catalog.hashtextextended(name, 0) IN
                   (SELECT b.peer_hash FROM syncline.background b)
              THEN 'running' END AS background
  FROM syncline.peer;

-- Sites and maintenance -------------------------------------------------------------------------

CREATE FUNCTION syncline.sites(OUT site text, OUT name text, OUT engine text, OUT version text,
    OUT status text, OUT joined_at timestamptz, OUT last_seen_at timestamptz,
    OUT retired_at timestamptz, OUT retired_by text, OUT has jsonb, OUT behind_changes int8,
    OUT behind_ms int8, OUT clock_ahead_ms int8, OUT holds_horizon bool) RETURNS SETOF record
  LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'sl_sites';
CREATE VIEW sync_sites AS SELECT * FROM syncline.sites();
CREATE FUNCTION syncline.site_matrix(OUT site text, OUT knows_site text, OUT seq int8,
    OUT behind int8) RETURNS SETOF record
  LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'sl_site_matrix';
CREATE VIEW sync_site_matrix AS SELECT * FROM syncline.site_matrix();
CREATE FUNCTION sync_site_history(id text, OUT at timestamptz, OUT event text, OUT detail text)
  RETURNS SETOF record
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_site_history';
CREATE FUNCTION sync_retire_site(id text, note text DEFAULT NULL) RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_retire_site';
CREATE FUNCTION sync_maintain(options jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_maintain';

-- Verification ----------------------------------------------------------------------------------

CREATE FUNCTION sync_digest(table_name text) RETURNS text
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_digest';
CREATE FUNCTION sync_verify(peer text, options jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_verify';
CREATE FUNCTION sync_repair(peer text, options jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_repair';
CREATE FUNCTION sync_check(options jsonb DEFAULT '{}', OUT severity text, OUT table_name text,
    OUT what text, OUT repair text) RETURNS SETOF record
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_check';
CREATE FUNCTION sync_invariant(name text, query text, options jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_invariant';
-- What the catalog shows to be wrong; what may be mended at once is by sync_check.
CREATE VIEW syncline.faults AS
  SELECT 'error' AS severity, t.name AS table_name,
         pg_catalog.format('the trigger %s that logs its changes is %s', w.name,
           CASE WHEN g.oid IS NULL THEN 'missing'
                WHEN g.tgfoid <> w.function THEN 'not the one of the extension'
                ELSE 'not enabled for every session' END) AS what,
         CASE WHEN g.tgfoid IS NULL THEN pg_catalog.format('CREATE TRIGGER %s %s ON %s FOR EACH %s'
                  ' EXECUTE FUNCTION %s; ALTER TABLE %3$s ENABLE ALWAYS TRIGGER %1$s',
                  w.name, w.event, t.relation, w.level, w.function)
              ELSE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %s', t.relation, w.name)
         END AS repair,
         g.oid IS NULL OR g.tgfoid = w.function AS at_once
  FROM syncline.tbl t
  CROSS JOIN (VALUES
    ('syncline_capture', 'AFTER INSERT OR UPDATE OR DELETE', 'ROW',
     'syncline.capture()'::pg_catalog.regprocedure),
    ('syncline_truncate', 'BEFORE TRUNCATE', 'STATEMENT',
     'syncline.capture_truncate()'::pg_catalog.regprocedure)) w(name, event, level, function)
  LEFT JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.relation AND g.tgname = w.name
  WHERE t.present AND (g.oid IS NULL OR g.tgenabled <> 'A' OR g.tgfoid <> w.function)
UNION ALL
  SELECT 'error', NULL, pg_catalog.format('the event trigger %s is %s', w.name,
           CASE WHEN e.oid IS NULL THEN 'missing' ELSE 'not enabled for every session' END),
         CASE WHEN e.oid IS NULL THEN 'DROP EXTENSION and CREATE EXTENSION syncline'
              ELSE pg_catalog.format('ALTER EVENT TRIGGER %s ENABLE ALWAYS', w.name) END,
         e.oid IS NOT NULL
  FROM (VALUES ('syncline_ddl_end'), ('syncline_drop'), ('syncline_rewrite')) w(name)
  LEFT JOIN pg_catalog.pg_event_trigger e ON e.evtname = w.name
  WHERE e.oid IS NULL OR e.evtenabled <> 'A'
UNION ALL
  SELECT 'error', t.name, pg_catalog.format('syncline.state_%s, which holds its row state, is gone',
           t.number),
         pg_catalog.format('SELECT sync_disable(%L), then sync_enable it again', t.name), false
  FROM syncline.tbl t
  WHERE pg_catalog.to_regclass('syncline.state_' || t.number) IS NULL
UNION ALL
  SELECT 'error', t.name, 'the table is gone, and its tracking is not',
         pg_catalog.format('SELECT sync_disable(%L)', t.name), false
  FROM syncline.tbl t
  WHERE t.present AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.relation)
UNION ALL
  SELECT 'error', t.name, pg_catalog.format('the index %s is not valid', i.indexrelid::regclass),
         pg_catalog.format('REINDEX INDEX %s', i.indexrelid::regclass), false
  FROM syncline.tbl t JOIN pg_catalog.pg_index i
    ON i.indrelid IN (t.relation, pg_catalog.to_regclass('syncline.state_' || t.number))
  WHERE NOT i.indisvalid
UNION ALL
  SELECT 'warning', t.name, pg_catalog.format('the constraint %s was never validated', k.conname),
         pg_catalog.format('ALTER TABLE %s VALIDATE CONSTRAINT %I', t.relation, k.conname), false
  FROM syncline.tbl t JOIN pg_catalog.pg_constraint k ON k.conrelid = t.relation
  WHERE t.present AND NOT k.convalidated;

-- What a peer asks: see docs/verification.md.
CREATE FUNCTION syncline.answer(question bytea) RETURNS bytea
  LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_answer';

-- Conflicts -------------------------------------------------------------------------------------

-- Each role sees the conflicts of tables it may read.
CREATE VIEW sync_conflicts WITH (security_barrier) AS
  SELECT c.id, c.table_name, c.pk, c.column_name, c.kind, c.severity, c.status, c.base, c.local,
         c.remote, c.winner, c.policy, c.confidence, c.local_site, c.remote_site, c.local_at,
         c.remote_at, c.detected_at, c.resolved_at, c.resolved_by, c.note, c.local_actor,
         c.remote_actor, c.how, c.choice
  FROM syncline.conflict c JOIN syncline.tbl t ON t.number = c.tbl
  WHERE pg_catalog.has_table_privilege(coalesce(t.relation, 'syncline.conflict'), 'SELECT');

-- Closed by nobody's decision counts as automatic. Times from detection to resolution, in seconds.
CREATE VIEW sync_conflict_stats AS
  SELECT table_name, count(*) AS total,
         count(*) FILTER (WHERE status = 'open') AS open,
         count(*) FILTER (WHERE status <> 'open' AND how IS DISTINCT FROM 'decision') AS automatic,
         count(*) FILTER (WHERE status <> 'open' AND how = 'decision') AS manual,
         (count(*) FILTER (WHERE status <> 'open' AND how IS DISTINCT FROM 'decision'))::float8
           / nullif(count(*) FILTER (WHERE status <> 'open'), 0) AS automatic_share,
         percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds) AS p50_s,
         percentile_disc(0.95) WITHIN GROUP (ORDER BY seconds) AS p95_s
  FROM (SELECT *, round(greatest(0, extract(epoch FROM resolved_at - detected_at))::numeric,
                        3)::float8 AS seconds FROM sync_conflicts) AS c
  GROUP BY table_name;

CREATE VIEW syncline.event_shown WITH (security_barrier) AS
  SELECT e.event, e.at, e.kind, e.conflict_id, e.table_name, e.pk, e.column_name, e.detail
  FROM syncline.event e JOIN syncline.tbl t ON t.number = e.tbl
  WHERE pg_catalog.has_table_privilege(coalesce(t.relation, 'syncline.event'), 'SELECT');
GRANT SELECT ON syncline.event_shown TO PUBLIC;
CREATE FUNCTION sync_events(since int8 DEFAULT 0,
    OUT event int8, OUT at timestamptz, OUT kind text, OUT conflict_id text, OUT table_name text,
    OUT pk jsonb, OUT column_name text, OUT detail text) RETURNS SETOF record
  LANGUAGE sql STABLE AS
  'SELECT * FROM syncline.event_shown AS e WHERE e.event > coalesce($1, 0) ORDER BY e.event';

CREATE FUNCTION sync_conflict_diff(id text, format text DEFAULT NULL) RETURNS text
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_conflict_diff';
CREATE FUNCTION sync_conflict_purge(before timestamptz) RETURNS int8
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_conflict_purge';

CREATE FUNCTION sync_explain(table_name text, key text,
    OUT column_name text, OUT value jsonb, OUT site text, OUT seq int8,
    OUT written_at timestamptz, OUT actor text, OUT rule text, OUT lost jsonb)
  RETURNS SETOF record
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_explain';
CREATE FUNCTION sync_explain(table_name text, key jsonb,
    OUT column_name text, OUT value jsonb, OUT site text, OUT seq int8,
    OUT written_at timestamptz, OUT actor text, OUT rule text, OUT lost jsonb)
  RETURNS SETOF record
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_explain_json';
CREATE FUNCTION sync_explain(table_name text, key int8,
    OUT column_name text, OUT value jsonb, OUT site text, OUT seq int8,
    OUT written_at timestamptz, OUT actor text, OUT rule text, OUT lost jsonb)
  RETURNS SETOF record
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_explain_integer';

-- Deciding --------------------------------------------------------------------------------------

CREATE FUNCTION sync_resolve(id text, choice text, value text DEFAULT NULL,
    note text DEFAULT NULL) RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_resolve';
CREATE FUNCTION sync_resolve(id text, choice text, value jsonb, note text DEFAULT NULL)
  RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_resolve_json';
CREATE FUNCTION sync_resolve_all(filter jsonb, choice text, note text DEFAULT NULL) RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_resolve_all';
CREATE FUNCTION sync_undo(id text) RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_undo';
CREATE FUNCTION sync_preview(id text, OUT choice text, OUT value jsonb, OUT note text)
  RETURNS SETOF record
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_preview';
CREATE FUNCTION sync_set_actor(name text) RETURNS text
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_set_actor';
CREATE FUNCTION sync_set_context(context jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_set_context';

-- Policies --------------------------------------------------------------------------------------

CREATE FUNCTION sync_set_policy(table_name text, column_name text, policy text,
    options jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_set_policy';
CREATE FUNCTION syncline.policies(OUT table_name text, OUT column_name text, OUT policy text,
    OUT options jsonb, OUT set_at timestamptz, OUT set_by_site text, OUT source text)
  RETURNS SETOF record
  LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_policies';
CREATE VIEW sync_policies AS
  SELECT * FROM syncline.policies()
  UNION ALL
  SELECT t.name, c.name, 'local', '{}'::jsonb, NULL::timestamptz,
         (SELECT encode(i.id, 'hex') FROM syncline.self s JOIN syncline.site i ON i.n = s.site),
         'local'
  FROM syncline.col c JOIN syncline.tbl t ON t.number = c.tbl WHERE c.local;
CREATE FUNCTION sync_suggest_policies(table_name text, OUT column_name text, OUT policy text,
    OUT reason text) RETURNS SETOF record
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sl_sync_suggest_policies';

GRANT SELECT ON sync_tables, sync_changes, sync_peers, sync_conflicts, sync_conflict_stats,
  sync_policies, sync_sites, sync_site_matrix TO PUBLIC;

-- Stored peers, the identity, other sites and the history of conflicts concern the whole database:
-- they are its owner's. PostgreSQL 13 has no role that stands for the owner; there it is the owner
-- of today.
REVOKE EXECUTE ON FUNCTION sync_new_identity(), sync_add_peer(text, text, jsonb),
  sync_remove_peer(text), sync_start(text, jsonb), sync_stop(text),
  sync_conflict_purge(timestamptz), sync_retire_site(text, text), sync_maintain(jsonb),
  sync_invariant(text, text, jsonb) FROM PUBLIC;
DO $$
DECLARE
  owner text;
BEGIN
  SELECT pg_catalog.quote_ident(r.rolname) INTO owner
    FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
    WHERE d.datname = pg_catalog.current_database() AND
          (r.rolname = 'pg_database_owner' OR r.oid = d.datdba)
    ORDER BY r.rolname = 'pg_database_owner' DESC LIMIT 1;
  EXECUTE 'GRANT SELECT ON ALL TABLES IN SCHEMA syncline TO ' || owner;
  EXECUTE 'GRANT SELECT ON ALL SEQUENCES IN SCHEMA syncline TO ' || owner;
  EXECUTE 'GRANT EXECUTE ON FUNCTION @extschema@.sync_new_identity(),'
    ' @extschema@.sync_add_peer(text, text, jsonb), @extschema@.sync_remove_peer(text),'
    ' @extschema@.sync_start(text, jsonb), @extschema@.sync_stop(text),'
    ' @extschema@.sync_conflict_purge(timestamptz), @extschema@.sync_retire_site(text, text),'
    ' @extschema@.sync_maintain(jsonb),'
    ' @extschema@.sync_invariant(text, text, jsonb) TO ' || owner;
END $$;

-- Last, so that the lines above do not fire them.
CREATE EVENT TRIGGER syncline_ddl_end ON ddl_command_end EXECUTE FUNCTION syncline.on_ddl_end();
CREATE EVENT TRIGGER syncline_drop ON sql_drop EXECUTE FUNCTION syncline.on_drop();
CREATE EVENT TRIGGER syncline_rewrite ON table_rewrite EXECUTE FUNCTION syncline.on_rewrite();
ALTER EVENT TRIGGER syncline_ddl_end ENABLE ALWAYS;
ALTER EVENT TRIGGER syncline_drop ENABLE ALWAYS;
ALTER EVENT TRIGGER syncline_rewrite ENABLE ALWAYS;
