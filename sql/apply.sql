-- Chunks carried by hand: exporting, inspecting, applying; what is refused and how.
CREATE EXTENSION syncline;
CREATE TABLE task (id int PRIMARY KEY, title text NOT NULL, n int CHECK (n < 100), u text UNIQUE);
SELECT sync_enable('task') IS NOT NULL AS enabled;
INSERT INTO task VALUES (1, 'one', 1, 'a'), (2, 'two', 2, 'b'), (3, 'three', 3, NULL);
SELECT chunk, row_count, last FROM sync_changes_since('{}');
SELECT encode(changes, 'hex') AS whole FROM sync_changes_since('{}') \gset
SELECT table_name, pk, column_name, value, seq > 0 AS seq, hlc > 0 AS hlc
  FROM sync_inspect(decode(:'whole', 'hex')) ORDER BY pk, column_name;
SELECT sync_version_vector() AS had \gset
UPDATE task SET title = 'uno' WHERE id = 1;
DELETE FROM task WHERE id = 2;
SELECT row_count FROM sync_changes_since(:'had');
SELECT encode(changes, 'hex') AS later FROM sync_changes_since(:'had') \gset
SELECT pk, column_name, value FROM sync_inspect(decode(:'later', 'hex')) ORDER BY pk;
SELECT table_name, pk, column_name, value FROM sync_changes ORDER BY pk, column_name;
-- small chunks: numbered, in key order, the last one marked
SELECT chunk, row_count, last FROM sync_changes_since('{}', '{"max_bytes": 64}');
SELECT chunk, row_count, last FROM sync_changes_since('{}', '{"compress": "none"}');
SELECT sync_site_id() AS site \gset

-- another database
SELECT current_database() AS home \gset
CREATE DATABASE syncline_regress_peer;
\c syncline_regress_peer
CREATE EXTENSION syncline;
CREATE TABLE task (id int PRIMARY KEY, title text NOT NULL, n int CHECK (n < 100), u text UNIQUE);
SELECT sync_enable('task') IS NOT NULL AS enabled;
-- a chunk for somebody who has more leaves a gap
\set VERBOSITY sqlstate
SELECT sync_apply(decode(:'later', 'hex'));
\set VERBOSITY terse
SELECT count(*) FROM task;
SELECT sync_apply(decode(:'whole', 'hex')) - 'sender' AS report;
SELECT sync_apply(decode(:'whole', 'hex')) - 'sender' AS again;
SELECT sync_apply(decode(:'later', 'hex')) - 'sender' AS report;
SELECT * FROM task ORDER BY id;
SELECT sync_version_vector() ? :'site' AS knows_it;

-- bad input changes nothing
\set VERBOSITY sqlstate
SELECT sync_apply('');
SELECT sync_apply('not a chunk');
SELECT sync_apply(substr(decode(:'whole', 'hex'), 1, 60));
SELECT sync_apply(set_byte(decode(:'whole', 'hex'), 50,
  255 - get_byte(decode(:'whole', 'hex'), 50)));
SELECT sync_inspect('\x00');
SELECT sync_changes_since('[]');
SELECT sync_changes_since('{"abc": [1, 2]}');
SELECT sync_changes_since('{}', '{"max_byte": 5}');
SELECT sync_apply(decode(:'whole', 'hex'), '{"nonsense": 1}');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT sync_apply(decode(:'whole', 'hex'));
ROLLBACK;
BEGIN READ ONLY;
SELECT sync_apply(decode(:'whole', 'hex'));
ROLLBACK;
BEGIN;
INSERT INTO task VALUES (9, 'nine');
SELECT row_count FROM sync_changes_since('{}');
ROLLBACK;
\set VERBOSITY terse
SELECT sync_changes_since('{}', '{"max_byte": 5}');
SELECT count(*) FROM task;

-- conflicts: rows that constraints refuse, values that lost
INSERT INTO task VALUES (5, 'peer', 5, 'same');
UPDATE task SET title = 'peer' WHERE id = 3;
\c :home
INSERT INTO task VALUES (6, 'home', 6, 'same');
UPDATE task SET title = 'home' WHERE id = 3;
SELECT sync_version_vector() AS home_vector \gset
SELECT encode(changes, 'hex') AS whole FROM sync_changes_since('{}') \gset
\c syncline_regress_peer
SELECT sync_apply(decode(:'whole', 'hex')) - 'sender' AS report;
SELECT id, title, u FROM task ORDER BY id;
SELECT table_name, pk, column_name, kind, severity, status, policy, local, remote, winner, note
  FROM sync_conflicts ORDER BY kind, pk;
-- freeing the value lets the other row in at the next exchange
UPDATE task SET u = 'other' WHERE u = 'same';
SELECT sync_hello() IS NOT NULL AS met;
SELECT id, title, u FROM task ORDER BY id;
SELECT kind, status FROM sync_conflicts ORDER BY 1, 2;
\c :home
DROP DATABASE syncline_regress_peer;
DROP TABLE task;
DROP EXTENSION syncline;
