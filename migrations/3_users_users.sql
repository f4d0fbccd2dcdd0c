-- +goose Up

create table users (
    id            uuid        primary key,
    email         text        not null,
    email_key     text        not null, -- folded, for comparing
    name          text        not null default '',
    role          text        not null default 'user' check (role in ('user', 'admin')),
    active        boolean     not null default true,
    password_hash text        not null,
    password_version bigint   not null default 1, -- goes up when the password changes, not when it is hashed anew
    created_at    timestamptz not null,
    updated_at    timestamptz not null,
    deleted_at    timestamptz
);
create unique index users_email on users (email_key) where deleted_at is null;
-- The admin's list: newest first by id, narrowed by role, activity or the start of an address.
create index users_role on users (role, id) where deleted_at is null;
create index users_inactive on users (id) where not active and deleted_at is null;
create index users_email_prefix on users (email_key text_pattern_ops) where deleted_at is null;

-- +goose Down
drop table users;
