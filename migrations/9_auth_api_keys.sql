-- +goose Up

-- Credentials of machines (SPEC A8). An id of this table may stand wherever one of
-- a session does in revocations and tickets.
create table api_keys (
    id             uuid        primary key,
    user_id        uuid        not null,
    name           text        not null,
    scopes         text[]      not null check (cardinality(scopes) > 0),
    hash           bytea       not null, -- SHA-256 of the secret, which itself is never stored
    previous_hash  bytea,                -- of the secret before the last rotation,
    previous_until timestamptz,          -- good until then
    created_at     timestamptz not null,
    rotated_at     timestamptz,
    last_used_at   timestamptz,          -- to the minute
    expires_at     timestamptz,          -- null: never
    revoked_at     timestamptz,          -- the row stays for a while: histories name it
    check ((previous_hash is null) = (previous_until is null))
);
create index api_keys_user on api_keys (user_id, id) where revoked_at is null;
create index api_keys_revoked on api_keys (revoked_at) where revoked_at is not null;

-- +goose Down
drop table api_keys;
