-- +goose Up

-- The audit trail: who did what to whom. It is append-only, and it refers to persons by their
-- ids alone, so that deleting a person changes no row. See docs/adr/0023-audit-trail.md.
create table audit_entries (
    id           uuid        not null primary key, -- UUIDv7
    at           timestamptz not null default clock_timestamp(),
    action       text        not null,
    outcome      text        not null check (outcome in ('success', 'failure', 'refused')),
    actor_type   text        not null check (actor_type in ('user', 'admin', 'anonymous', 'system', 'command')),
    actor_id     uuid,
    session_id   uuid,
    key_id       uuid,
    subject_type text        not null,
    subject_id   text        not null,
    user_id      uuid, -- the account that the entry concerns
    changes      json        not null,
    request_id   text        not null,
    network      text        not null,
    count        bigint      not null default 1 check (count > 0)
);
create index audit_entries_action on audit_entries (action, id);
create index audit_entries_actor on audit_entries (actor_id, id) where actor_id is not null;
create index audit_entries_subject on audit_entries (subject_id, id);
create index audit_entries_user on audit_entries (user_id, id) where user_id is not null;
create index audit_entries_request on audit_entries (request_id, id) where request_id <> '';

-- The entries that no block contains yet. A transaction that writes an entry inserts its id
-- here, and the transaction that seals the entry deletes it.
create table audit_pending (
    id uuid not null primary key
);

-- Blocks of sealed entries. The hash of a block covers its entries and the hash of the block
-- before. digests holds 32 bytes for each of the entries.
create table audit_blocks (
    number  bigint      not null primary key check (number > 0),
    at      timestamptz not null,
    entries uuid[]      not null,
    digests bytea       not null,
    drained boolean     not null, -- it took all entries that were pending
    key_id  text        not null, -- of AUDIT_KEYS; empty: hashed without a key
    hash    bytea       not null
);

-- The end of the chain, and the last block that was deleted after its retention. The
-- fingerprint key keeps what refers to unknown persons from being recomputed outside.
create table audit_chain (
    only_row        boolean primary key default true check (only_row),
    number          bigint  not null default 0,
    hash            bytea   not null default '',
    pruned_number   bigint  not null default 0,
    pruned_hash     bytea   not null default '',
    fingerprint_key bytea   not null default sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))
);
insert into audit_chain default values;

-- +goose StatementBegin
create function audit_append_only() returns trigger language plpgsql as $$
begin
    -- Only the retention may delete, and only rows that are older than its minimum.
    if tg_op = 'DELETE' and current_setting('orderflow.prune_audit', true) = 'on' then
        if old.at < now() - interval '90 days' then
            return old;
        end if;
    end if;
    raise exception 'the audit trail is append-only' using errcode = 'insufficient_privilege';
end $$;
-- +goose StatementEnd
create trigger audit_entries_append_only before update or delete on audit_entries
    for each row execute function audit_append_only();
create trigger audit_entries_no_truncate before truncate on audit_entries
    for each statement execute function audit_append_only();
create trigger audit_blocks_append_only before update or delete on audit_blocks
    for each row execute function audit_append_only();
create trigger audit_blocks_no_truncate before truncate on audit_blocks
    for each statement execute function audit_append_only();
-- Also in sessions with session_replication_role = replica.
alter table audit_entries enable always trigger audit_entries_append_only, enable always trigger audit_entries_no_truncate;
alter table audit_blocks enable always trigger audit_blocks_append_only, enable always trigger audit_blocks_no_truncate;

-- +goose Down
drop table audit_chain, audit_blocks, audit_pending, audit_entries;
drop function audit_append_only();
