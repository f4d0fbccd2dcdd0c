-- +goose Up

-- What users are to be told of, one row for each event and user (SPEC E7). Ids are
-- given in the order of the log.
create table notifications (
    id       uuid        primary key,
    user_id  uuid        not null,
    order_id uuid        not null,
    version  bigint      not null,
    type     text        not null,
    at       timestamptz not null,
    read_at  timestamptz,
    unique (order_id, version, user_id)
);
create index notifications_inbox on notifications (user_id, id);
create index notifications_unread on notifications (user_id, id) where read_at is null;

-- The number of unread notifications. A transaction that marks notifications locks this row
-- first; changed tells the nodes which counts they have not sent yet.
create table inbox_counts (
    user_id uuid   primary key,
    unread  bigint not null check (unread >= 0),
    changed xid8   not null default pg_current_xact_id()
);
create index inbox_counts_changed on inbox_counts (changed);

-- +goose Down
drop table inbox_counts;
drop table notifications;
