-- The registry follows the schema; what would make tracking impossible is refused with a way out.
CREATE EXTENSION syncline;
CREATE TYPE mood AS ENUM ('ok', 'sad');
CREATE DOMAIN email AS text CHECK (value LIKE '%@%');
CREATE TABLE item (id int PRIMARY KEY, a text, b numeric(10,2), m mood, e email, tags text[]);
INSERT INTO item VALUES (1, 'x', 1.50, 'ok', 'a@b', '{q}'), (2, 'y', 2.25, 'sad', NULL, NULL);
SELECT sync_enable('item') IS NOT NULL AS enabled;
CREATE VIEW columns AS
  SELECT c.number, c.name, c.type, c.present, c.dropped FROM syncline.col c
  JOIN syncline.tbl t ON t.number = c.tbl WHERE t.name IN ('item', 'thing') ORDER BY 1;
SELECT * FROM columns;

ALTER TABLE item ADD COLUMN n int DEFAULT 5;
ALTER TABLE item RENAME COLUMN a TO title;
ALTER TABLE item DROP COLUMN b;
ALTER TABLE item ADD COLUMN b numeric;           -- another column, another number
ALTER TABLE item RENAME TO thing;
DROP DOMAIN email CASCADE;
SELECT * FROM columns;
SELECT name, relation FROM syncline.tbl;
UPDATE thing SET title = 'z', b = 1 WHERE id = 1;
SELECT op, mask FROM syncline.log;
SELECT sync_hello() IS NOT NULL AS folded;

-- values that a rewrite changes are logged as written
ALTER TABLE thing ALTER COLUMN n TYPE bigint;    -- the same values
SELECT count(*) FROM syncline.log;
ALTER TABLE thing ALTER COLUMN n TYPE text USING 'n' || n;
SELECT op, mask FROM syncline.log;
ALTER TABLE thing ADD COLUMN r float8 DEFAULT random();
SELECT op, mask, count(*) FROM syncline.log GROUP BY 1, 2 ORDER BY 2;
SELECT sync_hello() IS NOT NULL AS folded;

-- what cannot be followed
ALTER TABLE thing SET UNLOGGED;
ALTER TABLE thing DROP CONSTRAINT item_pkey;
ALTER TABLE thing DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (id, m);
ALTER TABLE thing ALTER COLUMN id TYPE text;
CREATE TABLE child () INHERITS (thing);
DROP TRIGGER syncline_capture ON thing;
ALTER TABLE thing DISABLE TRIGGER ALL;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'thing'::regclass ORDER BY 1;
CREATE TABLE second (id int PRIMARY KEY);
SELECT sync_enable('second') IS NOT NULL AS enabled;
ALTER TABLE second RENAME TO thing2;
CREATE SCHEMA other;
ALTER TABLE thing2 SET SCHEMA other;
ALTER TABLE other.thing2 RENAME TO thing;
SELECT name, relation FROM syncline.tbl ORDER BY number;

-- TRUNCATE is a delete of every row
INSERT INTO other.thing2 VALUES (1), (2);
TRUNCATE thing, other.thing2;
SELECT tbl, op, count(*), count(image) FROM syncline.log GROUP BY 1, 2 ORDER BY 1, 2;
SELECT sync_hello() IS NOT NULL AS folded;
SELECT flags, count(*) FROM syncline.state_1 GROUP BY 1;
SELECT count(*) FROM syncline.state_2;

DROP TABLE thing;
SELECT name FROM syncline.tbl;
SELECT count(*) FROM pg_class WHERE relname = 'state_1';
DROP SCHEMA other CASCADE;
SELECT name FROM syncline.tbl;
DROP VIEW columns;
DROP EXTENSION syncline;
DROP TYPE mood;
