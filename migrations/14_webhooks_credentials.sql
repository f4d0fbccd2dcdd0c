-- +goose Up

-- Which API key a webhook, or a replay, was made with and what that key might do then
-- (SPEC A8); null: a session. When the key ends, so does what it made.
--
-- Webhooks from before this are taken as made by a session: nothing tells which were not,
-- and to stop them all would lose what their owners want to be told.
alter table webhooks add column key_id uuid, add column key_scopes json;
alter table webhooks add constraint webhooks_key check ((key_id is null) = (key_scopes is null));
alter table webhooks drop constraint webhooks_disabled_reason_check;
alter table webhooks add constraint webhooks_disabled_reason_check check (disabled_reason in ('manual', 'gone', 'failing', 'credential'));
create index webhooks_key on webhooks (key_id) where key_id is not null and enabled and deleted_at is null;
alter table webhook_replays add column key_id uuid;

-- +goose Down
alter table webhook_replays drop column key_id;
update webhooks set disabled_reason = 'manual' where disabled_reason = 'credential';
alter table webhooks drop constraint webhooks_disabled_reason_check;
alter table webhooks add constraint webhooks_disabled_reason_check check (disabled_reason in ('manual', 'gone', 'failing'));
drop index webhooks_key;
alter table webhooks drop constraint webhooks_key, drop column key_scopes, drop column key_id;
