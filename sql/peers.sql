-- Stored peers, and what sync_now refuses before it starts anything.
CREATE EXTENSION syncline;
SELECT sync_add_peer('hub', 'postgresql://me:secret@hub.example/app?sslpassword=x');
SELECT sync_add_peer('spare', 'postgresql://spare.example/app', '{"direction": "pull"}');
SELECT name, url, failures FROM sync_peers ORDER BY name;
SELECT sync_add_peer('hub', 'postgresql://hub2.example/app');
SELECT name, url FROM sync_peers ORDER BY name;
\set VERBOSITY terse
SELECT sync_add_peer('file', 'device.db');
SELECT sync_add_peer('hub', 'postgresq://me:secret@hub.example/app');
SELECT sync_now('https://me:secret@hub.example/app');
SELECT sync_add_peer('', 'postgresql://x/y');
SELECT sync_add_peer('x', 'postgresql://x/y', '{"directions": "pull"}');
SELECT sync_remove_peer('hbu');
SELECT sync_now('hbu');
SELECT sync_now('device.db');
SELECT sync_now('hub', '{"direction": "sideways"}');
BEGIN;
SELECT sync_now('hub');
ROLLBACK;
DO $$ BEGIN CREATE TEMP TABLE written (); PERFORM sync_now('hub'); END $$;
SELECT sync_remove_peer('hub'), sync_remove_peer('spare');
SELECT sync_now();
-- only who owns the database may store peers, and use what is stored
CREATE ROLE regress_sync_stranger;
SET ROLE regress_sync_stranger;
SELECT sync_add_peer('mine', 'postgresql://x/y');
SELECT sync_now('hub');
SELECT name FROM sync_peers;
RESET ROLE;
DROP ROLE regress_sync_stranger;
DROP EXTENSION syncline;
