-- Policies, origins and what can be said about conflicts in one database.
CREATE EXTENSION syncline;
CREATE TABLE con_item (id int PRIMARY KEY, title text, stock int, tags jsonb, notes text,
  code text UNIQUE, cached text, must text NOT NULL);
SELECT sync_enable('con_item', '{"local": ["cached"]}');

-- Policies: what was asked for, and what cannot be.
SELECT sync_set_policy('con_item', 'stock', 'counter');
SELECT sync_set_policy('con_item', 'Tags', 'union', '{"severity": "low"}');
SELECT sync_set_policy('con_item', NULL, '', '{"severity": {"unique": "high"}, "grain": "row"}');
SELECT sync_set_policy('con_item', 'title', 'sql:case when length(a) > 3 then a else b end');
SELECT table_name, column_name, policy, options, set_at IS NULL AS no_time, source
  FROM sync_policies ORDER BY 2 NULLS FIRST;
SELECT sync_set_policy('con_item', 'stock', 'default');
SELECT sync_set_policy('con_item', 'stock', 'countre');
SELECT sync_set_policy('con_item', 'stok', 'counter');
SELECT sync_set_policy('con_itme', 'stock', 'counter');
SELECT sync_set_policy('con_item', 'title', 'counter');
SELECT sync_set_policy('con_item', 'id', 'max');
SELECT sync_set_policy('con_item', 'title', 'sql:now()');
SELECT sync_set_policy('con_item', 'must', 'local');
SELECT sync_set_policy('con_item', 'cached', 'max');
SELECT sync_set_policy('con_item', NULL, 'local');
SELECT sync_set_policy(NULL, 'stock', 'max');
SELECT * FROM sync_suggest_policies('con_item');

-- Columns whose policies ask for it leave what an update saw; a local column leaves nothing.
INSERT INTO con_item VALUES (1, 'one', 5, '["a"]', '', 'x', 'here', 'y');
SELECT sync_hello() IS NOT NULL AS folded;
UPDATE con_item SET cached = 'there';
UPDATE con_item SET tags = '["a", "b"]', notes = 'long';
UPDATE con_item SET tags = NULL;
SELECT op, mask, image IS NOT NULL AS saw, origin FROM syncline.log ORDER BY lsn, clock;

-- Who writes.
SELECT sync_set_actor('ann'), sync_set_context('{"request": 7}');
UPDATE con_item SET notes = 'longer';
SELECT text FROM syncline.origin;
SELECT sync_set_actor(NULL), sync_set_context(NULL);
SELECT sync_set_actor('');
SELECT column_name, value, seq, actor, rule, lost FROM sync_explain('con_item', 1)
  WHERE column_name IN ('notes', 'stock') OR column_name IS NULL;
SELECT count(*) FROM syncline.origin;
SELECT column_name FROM sync_explain('con_item', '{"id": 1}') WHERE column_name = 'notes';
SELECT * FROM sync_explain('con_item', 2);
SELECT * FROM sync_explain('con_item', '{"idd": 2}');

-- No conflict of that id, no choice of that name.
SELECT sync_resolve('beef', 'local');
SELECT sync_resolve('beef', 'lokal');
SELECT sync_resolve('beef', 'value', NULL);
SELECT sync_resolve('beef', 'local', '5');
SELECT sync_resolve(NULL, 'local');
SELECT sync_undo('beef');
SELECT sync_resolve_all('{}', 'local');
SELECT sync_resolve_all('{"tabel": "x"}', 'local');
SELECT sync_resolve_all('{}', 'value');
SELECT sync_conflict_diff('beef');
SELECT sync_conflict_diff('beef', 'htm');
SELECT * FROM sync_preview('beef');
SELECT sync_conflict_purge(NULL);
SELECT sync_conflict_purge(now());
SELECT count(*) FROM sync_events();
SELECT * FROM sync_conflict_stats;

SELECT sync_disable('con_item');
SELECT count(*) FROM sync_policies WHERE policy = 'local';
DROP TABLE con_item;
DROP EXTENSION syncline CASCADE;
