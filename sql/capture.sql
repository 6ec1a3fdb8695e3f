-- What ordinary writes leave in the log: which row, which columns, no values but a deleted row's.
CREATE EXTENSION syncline;
CREATE TABLE task (id text PRIMARY KEY, title text, status int, priority float8);
INSERT INTO task VALUES ('old', 'was here before', 1, 0.5);
SELECT sync_enable('task');
SELECT table_name, primary_key, columns, rows_with_state, log_length, status, note FROM sync_tables;

-- op 0 insert, 1 update, 2 delete; mask: columns by number
INSERT INTO task VALUES ('a', 'first', 1, 1), ('b', NULL, NULL, NULL);
UPDATE task SET status = 2 WHERE id = 'a';
UPDATE task SET title = 'both', priority = 2.5 WHERE id = 'b';
UPDATE task SET title = title;                              -- changes nothing
UPDATE task SET id = 'c' WHERE id = 'b';                    -- a delete and an insert
DELETE FROM task WHERE id = 'old';
SELECT op, mask, encode(key, 'escape') AS key, image IS NOT NULL AS image
  FROM syncline.log ORDER BY lsn, key;

-- a subtransaction that is rolled back takes its entries along
BEGIN;
INSERT INTO task VALUES ('outer');
SAVEPOINT s;
INSERT INTO task VALUES ('inner');
ROLLBACK TO s;
SAVEPOINT t;
INSERT INTO task VALUES ('kept');
RELEASE t;
COMMIT;
SELECT op, encode(key, 'escape') AS key FROM syncline.log WHERE lsn > 0 AND op = 0
  AND encode(key, 'escape') ~ 'outer|inner|kept' ORDER BY 2;
BEGIN;
INSERT INTO task VALUES ('gone');
ROLLBACK;
DO $$
BEGIN
  FOR i IN 1..3 LOOP
    BEGIN
      INSERT INTO task VALUES ('loop' || i);
      IF i = 2 THEN RAISE 'no'; END IF;
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
  END LOOP;
END $$;
SELECT encode(key, 'escape') AS key FROM syncline.log
  WHERE encode(key, 'escape') ~ 'loop|gone' ORDER BY 1;

-- COPY, MERGE, INSERT ... ON CONFLICT, many rows
COPY task FROM stdin (DELIMITER ',');
copied,x,1,1
\.
INSERT INTO task VALUES ('copied', 'y') ON CONFLICT (id) DO UPDATE SET title = excluded.title;
MERGE INTO task USING (VALUES ('copied'), ('merged')) v(id) ON task.id = v.id
  WHEN MATCHED THEN UPDATE SET status = 9 WHEN NOT MATCHED THEN INSERT VALUES (v.id);
SELECT op, mask, encode(key, 'escape') AS key FROM syncline.log
  WHERE encode(key, 'escape') ~ 'copied|merged' ORDER BY lsn, key;
INSERT INTO task SELECT 'many' || i FROM generate_series(1, 2000) i;
SELECT count(*), count(DISTINCT key) FROM syncline.log WHERE encode(key, 'escape') ~ 'many';

-- the fold empties the log and gives each touched row one version
SELECT sync_hello() IS NOT NULL AS folded;
SELECT count(*) FROM syncline.log;
SELECT encode(key, 'escape') AS key, flags, cells IS NULL AS plain FROM syncline.state_1
  WHERE encode(key, 'escape') !~ 'many|loop' ORDER BY 1;
SELECT next_seq - 1 AS seqs, (SELECT count(*) FROM syncline.state_1) AS rows FROM syncline.self;
SELECT min(seq), max(seq), count(DISTINCT seq) = count(*) AS distinct_seqs FROM syncline.state_1;
SELECT max(pos) = (SELECT position FROM syncline.self) AS positions FROM syncline.state_1;

DROP EXTENSION syncline CASCADE;
SELECT count(*) FROM task;
DROP TABLE task;
