-- +goose Up

-- Answers kept for 24 h so that a repeated POST acts once (SPEC C3).
create table idempotency_keys (
    caller      uuid        not null,
    route       text        not null,
    key         text        not null,
    fingerprint bytea       not null,
    status      smallint    not null,
    headers     json,
    body        bytea       not null,
    created_at  timestamptz not null default now(),
    primary key (caller, key, route)
);
-- Rows arrive in order of time, so a few pages tell the old from the new.
create index idempotency_keys_age on idempotency_keys using brin (created_at);

-- +goose Down
drop table idempotency_keys;
