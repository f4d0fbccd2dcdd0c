-- +goose Up

-- Secrets before the previous one, which sign as well until the time that was promised when they
-- were replaced (SPEC E8). The present and the previous secret are in webhooks.
create table webhook_secrets (
    id         uuid        primary key,
    webhook_id uuid        not null references webhooks (id) on delete cascade,
    secret     bytea       not null,
    until      timestamptz not null
);
create index webhook_secrets_webhook on webhook_secrets (webhook_id, until);

-- +goose Down
drop table webhook_secrets;
