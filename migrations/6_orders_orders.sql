-- +goose Up

-- Ids are UUIDv7, so newest first is id descending and a time range is an id range.
create table orders (
    id             uuid        primary key,
    user_id        uuid        not null,
    status         text        not null check (status in
        ('PENDING', 'CONFIRMED', 'PROCESSING', 'SHIPPED', 'ON_HOLD', 'FAILED', 'COMPLETED', 'CANCELLED')),
    payment_status text        not null default 'NONE' check (payment_status in
        ('NONE', 'AUTHORIZED', 'CAPTURED', 'PARTIALLY_REFUNDED', 'REFUNDED', 'VOIDED', 'DECLINED', 'REFUND_FAILED')),
    currency       text        not null,
    total          bigint      not null check (total >= 0),
    on_shortage    text        not null default 'fail' check (on_shortage in ('fail', 'hold')),
    payment_method text,       -- what pays: a token of the payment provider
    captured       bigint      not null default 0, -- money that moved, money that went back, and what is on its way back
    refunded       bigint      not null default 0,
    refunding      bigint      not null default 0,
    reference      text,
    note           text,
    metadata       json,
    tracking       text,       -- the carrier's number
    version        bigint      not null check (version > 0), -- of its last event
    held_from      text,       -- where release leads back to
    reason         text,       -- why it is held or was cancelled
    failure_code   text,
    failure_detail text,
    failure_skus   json,
    stalled        text,       -- the step that gave up, until a person has dealt with it
    reserved_until timestamptz, -- PENDING with stock in hand: when to give it back unpaid
    due_at         timestamptz, -- when the system must have moved it or its money; null while it owes nothing
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    deleted_at     timestamptz,
    check ((status = 'ON_HOLD') = (held_from is not null)),
    check (status not in ('PENDING', 'CONFIRMED') or due_at is not null),
    check (reserved_until is null or status = 'PENDING'),
    check (refunded >= 0 and refunding >= 0 and refunded + refunding <= captured and captured <= total)
) with (fillfactor = 80);
create unique index orders_reference on orders (reference, user_id) where reference is not null;
create index orders_user on orders (user_id, id desc);
-- Also serves the lists of an account that places most orders; a small one is
-- read through orders_user and filtered.
create index orders_status on orders (status, id desc);
create index orders_due on orders (due_at) where due_at is not null;
create index orders_expiry on orders (reserved_until) where reserved_until is not null;

-- Written with the order and never again.
create table order_lines (
    order_id   uuid   not null,
    line       int    not null,
    sku        text   not null,
    name       text   not null,
    quantity   bigint not null check (quantity > 0),
    unit_price bigint not null,
    total      bigint not null,
    primary key (order_id, line)
);

-- The words of an order, for search. Apart from orders, so that a change of
-- status does not touch the inverted index.
create table order_terms (
    order_id uuid   primary key,
    terms    text[] not null
);
create index order_terms_words on order_terms using gin (terms);

-- Jobs that gave up, kept until a person has dealt with them (SPEC D4).
create table dead_letters (
    id          uuid        primary key,
    order_id    uuid        not null,
    job_id      bigint      not null,
    kind        text        not null,
    step        text        not null,
    error       text        not null,
    attempts    int         not null,
    created_at  timestamptz not null,
    resolved_at timestamptz,
    resolution  text check (resolution in ('retried', 'skipped', 'cancelled', 'superseded')),
    resolved_by text,
    reason      text
);
create index dead_letters_open on dead_letters (step, id) where resolved_at is null;
create index dead_letters_order on dead_letters (order_id);

-- +goose Down
drop table dead_letters, order_terms, order_lines, orders;
