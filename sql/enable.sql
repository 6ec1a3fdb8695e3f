-- What can be tracked, what cannot, and what each refusal says.
CREATE EXTENSION syncline;
CREATE TABLE parent (id int PRIMARY KEY, name text);
CREATE TABLE "Order Item" (a int, b text, "x ""y" int, parent int REFERENCES parent,
  PRIMARY KEY (b, a));
CREATE SCHEMA other;
CREATE TABLE other.parent (id int PRIMARY KEY);
CREATE TABLE generated (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);

SELECT sync_enable('parent');
SELECT sync_enable('parent');                    -- again: nothing happens
SELECT sync_enable('Order Item');                -- as it stands
SELECT sync_enable('"Order Item"');              -- as SQL reads it
SELECT sync_enable('generated');
SELECT sync_enable('other.parent');              -- tables travel by name
SELECT table_name, primary_key, columns FROM sync_tables;

CREATE VIEW v AS SELECT 1 AS id;
CREATE MATERIALIZED VIEW mv AS SELECT 1 AS id;
CREATE TABLE nokey (a int);
CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE);
CREATE TABLE computed (a int, b int GENERATED ALWAYS AS (a + 1) STORED, PRIMARY KEY (b));
CREATE TEMP TABLE temporary (id int PRIMARY KEY);
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
CREATE TABLE whole (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (9);
CREATE TABLE base (id int PRIMARY KEY);
CREATE TABLE derived (PRIMARY KEY (id)) INHERITS (base);
CREATE SEQUENCE seq;
CREATE FOREIGN DATA WRAPPER w;
CREATE SERVER s FOREIGN DATA WRAPPER w;
CREATE FOREIGN TABLE far (id int) SERVER s;
SELECT sync_enable('v');
SELECT sync_enable('mv');
SELECT sync_enable('nokey');
SELECT sync_enable('deferred');
SELECT sync_enable('computed');
SELECT sync_enable('temporary');
SELECT sync_enable('unlogged');
SELECT sync_enable('whole');
SELECT sync_enable('part');
SELECT sync_enable('base');
SELECT sync_enable('derived');
SELECT sync_enable('seq');
SELECT sync_enable('far');
SELECT sync_enable('pg_class');
SELECT sync_enable('syncline.tbl');
SELECT sync_enable('parnt');
SELECT sync_enable('no such thing at all');
SELECT sync_enable('public.');                   -- no name to SQL
SELECT sync_enable('"parent');
SELECT sync_enable('parent', '{"on_delte": "update_wins"}');
SELECT sync_enable('parent', '{"on_delete": "never"}');
SELECT sync_enable('parent', '{"on_delete": null}');
SELECT sync_enable('parent', '[1]');

\set VERBOSITY sqlstate
SELECT sync_enable('v');
SELECT sync_enable('nokey');
SELECT sync_enable('parnt');
SELECT sync_enable('other.parent');
SELECT sync_enable('parent', '{"on_delete": "never"}');
SELECT sync_disable('nokey');
\set VERBOSITY default

-- only the owner may
CREATE ROLE regress_guest;
GRANT ALL ON parent TO regress_guest;
SET ROLE regress_guest;
SELECT sync_disable('parent');
SELECT sync_site_name('mine');
INSERT INTO parent VALUES (1, 'written by a guest');
SELECT count(*) FROM syncline.log;
RESET ROLE;
SELECT op FROM syncline.log;

SELECT sync_disable('parnt');
SELECT sync_disable('nokey');
SELECT sync_disable('parent');
SELECT sync_disable('parent');
INSERT INTO parent VALUES (2, 'not tracked');
SELECT count(*) FROM syncline.log;
SELECT sync_enable('parent');
SELECT name, number FROM syncline.tbl ORDER BY number;
SELECT length(sync_site_id()), sync_site_name('here'), sync_site_name();

DROP EXTENSION syncline CASCADE;
DROP OWNED BY regress_guest;
DROP ROLE regress_guest;
DROP SCHEMA other CASCADE;
DROP FOREIGN TABLE far;
DROP FOREIGN DATA WRAPPER w CASCADE;
DROP TABLE deferred, computed;
DROP TABLE "Order Item", parent, generated, nokey, temporary, unlogged, whole, derived, base;
DROP VIEW v;
DROP MATERIALIZED VIEW mv;
DROP SEQUENCE seq;
