-- Digests, sync_check and invariants of one database; peers are in tests/verify_test.py.
CREATE EXTENSION syncline;
\set VERBOSITY terse
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE item (id int PRIMARY KEY, name text, amount numeric(9,3), doc jsonb,
                   parent int REFERENCES parent);
SELECT sync_enable('parent') ->> 'table', sync_enable('item') ->> 'table';
INSERT INTO parent VALUES (1), (2);
INSERT INTO item VALUES (1, 'one', 1.5, '{"b": 1, "a": [1.0]}', 1), (2, NULL, NULL, 'null', 2);

-- A digest is a number of rows and a sum: it does not depend on the order of rows or the spelling.
SELECT sync_digest('item');
SELECT sync_digest('parent') = sync_digest('item') AS same;
SELECT sync_digest('item') AS before \gset
UPDATE item SET amount = 1.500, doc = '{"a": [1], "b": 1.0}' WHERE id = 1;
SELECT sync_digest('item') = :'before' AS same;
UPDATE item SET name = 'One' WHERE id = 1;
SELECT sync_digest('item') = :'before' AS same;

-- A sound database has no findings.
SELECT * FROM sync_check('{"deep": true}');

-- Capture switched off, rows written meanwhile.
ALTER EVENT TRIGGER syncline_ddl_end DISABLE;
ALTER TABLE item DISABLE TRIGGER syncline_capture;
DELETE FROM item WHERE id = 2;
INSERT INTO parent VALUES (3);
SET session_replication_role = replica;
DELETE FROM parent WHERE id = 1;
RESET session_replication_role;
SELECT severity, table_name, what FROM sync_check();
SELECT severity, table_name, what, repair FROM sync_check('{"repair": true}');
SELECT severity, table_name, what, repair FROM sync_check();
SELECT pk ->> 'id' AS id, column_name, value FROM sync_changes WHERE table_name = 'item'
  ORDER BY 1, 2;

-- Rows that no exchange would find.
SELECT number FROM syncline.tbl WHERE name = 'item' \gset
UPDATE syncline.arrival_:number SET keys = keys[2:];
SELECT severity, table_name, regexp_replace(what, '_\d+', '_n'), repair FROM sync_check();
SELECT severity, table_name FROM sync_check('{"repair": true}');
SELECT severity, table_name, what, repair FROM sync_check();

-- Invariants.
SELECT sync_invariant('named', 'SELECT id FROM item WHERE name IS NULL');
SELECT sync_invariant('few', 'SELECT count(*) < 1 FROM item', '{"on_apply": "refuse"}');
SELECT sync_invariant('none', 'SELECT true', '{"expect": "none"}');
SELECT severity, regexp_replace(what, ', since .*', '') AS what FROM sync_check()
  WHERE table_name IS NULL;
SELECT sync_invariant('none', NULL), sync_invariant('none', NULL);

-- What is wrong with a call.
SELECT sync_digest(NULL);
SELECT sync_digest('itm');
SELECT sync_check('{"prefer": "mine"}');
SELECT sync_check('{"depe": true}');
SELECT sync_invariant('x', 'DELETE FROM item');
SELECT sync_invariant('x', 'SELECT 1; SELECT 2');
SELECT sync_invariant('x', 'SELECT no_such_function()');
SELECT sync_invariant('x', 'SELECT 1', '{"expect": "many"}');
SELECT sync_verify(NULL);
SELECT sync_verify('nobody');
SELECT sync_repair('postgresql:///x', '{"from": "me"}');
BEGIN;
SELECT sync_verify('postgresql:///x');
ROLLBACK;
SELECT syncline.answer('\x0101');
DROP TABLE item, parent;
DROP EXTENSION syncline;
