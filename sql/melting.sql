-- sync_maintain, sync_retire_site and the views of sites: the surface, and what is refused.
\set VERBOSITY terse
CREATE EXTENSION syncline;
SET client_min_messages = warning;

-- nothing is tracked yet
SELECT count(*) FROM sync_sites;
SELECT status, name IS NOT NULL AS named, engine, behind_changes, holds_horizon FROM sync_sites;
SELECT count(*) FROM sync_site_matrix;
SELECT (sync_maintain() - 'bytes_metadata')::text;

CREATE TABLE melted (id int PRIMARY KEY, body text);
INSERT INTO melted SELECT i, 'row ' || i FROM generate_series(1, 5) i;
SELECT sync_enable('melted') ->> 'already';
SELECT status, engine LIKE 'postgresql %' AS engine, version = sync_version() AS version,
       joined_at IS NOT NULL AS joined, has IS NOT NULL AS has, holds_horizon FROM sync_sites;
SELECT sync_site_name('head "office"');
SELECT name FROM sync_sites WHERE status = 'self';
SELECT site = sync_site_id() AS self, knows_site = sync_site_id() AS own, seq > 0 AS knows, behind
  FROM sync_site_matrix;
SELECT event, at IS NOT NULL AS at FROM sync_site_history(sync_site_id()) ORDER BY event;

-- a database that nobody else exchanges with keeps nothing but what it deleted
UPDATE melted SET body = 'changed' WHERE id < 3;
DELETE FROM melted WHERE id = 5;
SELECT sync_maintain('{"rows_max": 2}') - 'bytes_metadata' - 'log_dropped' AS report;
SELECT sync_maintain('{"rows_max": 2}') - 'bytes_metadata' - 'log_dropped' AS report;
SELECT rows_with_state FROM sync_tables WHERE table_name = 'melted';
SELECT sync_maintain(NULL) - 'bytes_metadata' - 'log_dropped' AS report;
SELECT count(*) FROM sync_check('{"deep": true}');
SELECT count(*) FROM melted;

-- closed conflicts and events of long ago
INSERT INTO syncline.conflict (id, tbl, key, table_name, pk, kind, status, detected_at, resolved_at)
  SELECT 'c' || i, 1, '', 'melted', '{}', 'update_update', CASE WHEN i < 4 THEN 'closed' ELSE 'open'
         END, now() - interval '1 year', now() - (i * 60) * interval '1 day'
  FROM generate_series(1, 4) i;
INSERT INTO syncline.event (at, kind, conflict_id, tbl, table_name, pk)
  SELECT now() - interval '1 year', 'detected', 'c' || i, 1, 'melted', '{}'
  FROM generate_series(1, 3) i;
SELECT report -> 'conflicts_dropped' AS conflicts, report -> 'events_dropped' AS events,
       report -> 'done' AS done FROM sync_maintain('{"rows_max": 1}') AS report;
SELECT report -> 'conflicts_dropped' AS conflicts, report -> 'events_dropped' AS events
  FROM sync_maintain() AS report;
SELECT id FROM syncline.conflict ORDER BY id;
SELECT sync_maintain('{"keep_closed_days": 0}') -> 'conflicts_dropped' AS conflicts;
SELECT count(*) FROM syncline.event;
DELETE FROM syncline.conflict;
DELETE FROM syncline.event;

-- what is refused
SELECT sync_maintain('{"rows_max": 0}');
SELECT sync_maintain('{"rows_max": "many"}');
SELECT sync_maintain('{"row_max": 5}');
SELECT sync_maintain('{"keep_closed_days": -1}');
SELECT sync_maintain('[1, 2]');
SELECT sync_retire_site(NULL);
SELECT sync_retire_site('');
SELECT sync_retire_site('nobody');
SELECT sync_retire_site(repeat('0', 32));
SELECT sync_retire_site(repeat('f', 31) || E'\u20ac');
SELECT sync_retire_site(repeat('ab', 16), repeat('x', 1025));
SELECT sync_retire_site(sync_site_id());
SELECT * FROM sync_site_history(NULL);
SELECT * FROM sync_site_history('nobody');
SELECT * FROM sync_site_history(repeat('0', 32));
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT sync_maintain();
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) FROM sync_sites;
SELECT sync_maintain();
ROLLBACK;

-- the owner's alone, but for the views
CREATE ROLE regress_sync_guest;
SET ROLE regress_sync_guest;
SELECT status FROM sync_sites;
SELECT sync_maintain();
SELECT sync_retire_site('nobody');
RESET ROLE;
DROP ROLE regress_sync_guest;

SELECT sync_disable('melted');
DROP TABLE melted;
DROP EXTENSION syncline;
