-- Values as they travel: the same whatever the session's settings are.
CREATE EXTENSION syncline;
CREATE TYPE mood AS ENUM ('ok', 'so ''so');
CREATE DOMAIN percent AS numeric(5,2) CHECK (value BETWEEN 0 AND 100);
CREATE TABLE kinds (
  id uuid PRIMARY KEY, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, num numeric,
  num2 numeric(8,3), t text, vc varchar(10), c char(4), bin bytea, b bool, d date, tm time,
  ts timestamp,
  tz timestamptz, iv interval, js json, jb jsonb, arr int[], tzs timestamptz[], m mood, p percent,
  net inet, r int4range, pt point);
SELECT sync_enable('kinds') IS NOT NULL AS enabled;
SELECT name, type FROM syncline.col ORDER BY number;

SET datestyle = 'SQL, DMY';
SET intervalstyle = 'iso_8601';
SET timezone = 'Asia/Tokyo';
SET extra_float_digits = -10;
SET bytea_output = 'escape';
INSERT INTO kinds VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', -32768, 2147483647,
  -9223372036854775808, 0.1, 0.1, 12.50, 1.5, E'tab\tquote"', 'v', 'x', '\x00ff', true,
  '2024-02-29', '23:59:59.5', '2024-02-29 12:00:00.123456', '2024-02-29 12:00:00+00',
  '1 year 2 mons 3 days 04:05:06.7', '{"b": 1,  "a": 2}', '{"b": 1,  "a": 2}', '{1,NULL,3}',
  '{2024-02-29 12:00:00+00}', 'so ''so', 99.5, '10.0.0.1/8', '[1,5)', '(0.1,2)');
INSERT INTO kinds (id, f4, f8, num, d, ts, tz) VALUES ('00000000-0000-0000-0000-000000000001',
  'NaN', 'NaN', 'NaN', 'infinity', '-infinity', 'infinity');
INSERT INTO kinds (id, f4, f8, num, d, ts) VALUES ('00000000-0000-0000-0000-000000000002',
  '-Infinity', 'Infinity', -0.00, '0044-03-15 BC', '0044-03-15 12:00 BC');
SELECT pk->>'id' AS id, column_name, value FROM sync_changes
  WHERE table_name = 'kinds' AND value <> 'null'::jsonb AND column_name <> 'id'
  ORDER BY pk->>'id', (SELECT attnum FROM pg_attribute
    WHERE attrelid = 'kinds'::regclass AND attname = column_name);
SHOW datestyle;
SHOW timezone;
RESET ALL;

-- the image of a deleted row holds every value, too
DELETE FROM kinds;
SELECT count(*) FROM syncline.log WHERE op = 2;
DROP EXTENSION syncline CASCADE;
DROP TABLE kinds;
DROP TYPE mood;
DROP DOMAIN percent;
