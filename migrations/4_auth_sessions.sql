-- +goose Up

create table sessions (
    id           uuid        primary key,
    user_id      uuid        not null,
    user_agent   text        not null default '',
    address      text        not null default '',
    created_at   timestamptz not null,
    last_used_at timestamptz not null,
    expires_at   timestamptz not null, -- an ended session expires when it ends
    ended_at     timestamptz,
    end_reason   text
);
create index sessions_user on sessions (user_id, id) where ended_at is null;
create index sessions_expiry on sessions (expires_at);

create table refresh_tokens (
    hash       bytea       primary key, -- SHA-256; the token itself is never stored
    session_id uuid        not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at    timestamptz
);
create index refresh_tokens_expiry on refresh_tokens (expires_at);

-- One row for each change of standing. Every node reads the last seconds of it,
-- so that the change arrives within a second, with and without Redis (SPEC A5).
create table revocations (
    id         bigint      primary key generated always as identity,
    user_id    uuid        not null,
    session_id uuid,       -- null: every session of the user
    at         timestamptz not null default clock_timestamp()
);
create index revocations_recent on revocations (at);

-- One-use tickets for opening a socket without a header (SPEC E2).
create table tickets (
    hash       bytea       primary key,
    user_id    uuid        not null,
    session_id uuid        not null,
    expires_at timestamptz not null
);
create index tickets_expiry on tickets (expires_at);

-- Signing keys made for development, where none are configured; every node on the
-- database shares them. Production refuses to start without its own (SPEC F7).
create table dev_signing_keys (
    kid        text        primary key,
    secret     bytea       not null,
    created_at timestamptz not null default now()
);

-- +goose Down
drop table dev_signing_keys, tickets, revocations, refresh_tokens, sessions;
