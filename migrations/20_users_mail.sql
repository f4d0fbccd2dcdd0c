-- +goose Up

-- When the address was verified, or accepted without verification. Null means that the account must
-- verify it first. The default is for nodes of the previous version, which do not verify.
alter table users add column email_verified_at timestamptz default now();
update users set email_verified_at = created_at;

-- The tokens that messages contain: one for each account and purpose, so that a new one replaces the
-- one before it.
create table account_tokens (
    user_id    uuid        not null,
    purpose    text        not null check (purpose in ('verification', 'password-reset')),
    hash       bytea       not null, -- SHA-256; the token itself is never stored
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz,
    primary key (user_id, purpose)
);
create unique index account_tokens_hash on account_tokens (hash);

-- Invitations to register. The hash is null until the message is sent.
create table invitations (
    id         uuid        primary key,
    email      text        not null,
    email_key  text        not null, -- folded, for comparing
    role       text        not null check (role in ('user', 'admin')),
    hash       bytea,
    created_by uuid        not null,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create unique index invitations_email on invitations (email_key);
create unique index invitations_hash on invitations (hash);

-- The networks and programs from which an account logged in, so that its owner is told of another one.
create table account_devices (
    user_id uuid        not null,
    network text        not null, -- the /24 or /64
    device  text        not null, -- such as Firefox on Windows
    seen_at timestamptz not null,
    primary key (user_id, network, device)
);

-- +goose Down
drop table account_devices, invitations, account_tokens;
alter table users drop column email_verified_at;
