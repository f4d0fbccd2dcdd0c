-- +goose Up

-- The second factor of an account (SPEC A13). An account has at most one.
create table totp_factors (
    user_id      uuid        primary key,
    id           uuid        not null unique,      -- of this enrolment: a code belongs to one enrolment
    secret       bytea       not null,             -- AES-256-GCM: nonce and ciphertext, bound to user_id
    key_id       text        not null,             -- the key of TOTP_KEYS that encrypted the secret
    created_at   timestamptz not null,
    activated_at timestamptz,                      -- null until the first code; until then it protects nothing
    last_step    bigint      not null default 0,   -- the time step of the last accepted code, so that no code is accepted twice
    failures     integer     not null default 0    -- wrong codes since the last right one
);

-- Each code works once instead of a code of the factor. The codes of an account are
-- replaced together.
create table recovery_codes (
    user_id    uuid        not null,
    hash       bytea       not null,               -- SHA-256; the code itself is never stored
    created_at timestamptz not null,
    used_at    timestamptz,
    primary key (user_id, hash)
);

-- +goose Down
drop table recovery_codes, totp_factors;
