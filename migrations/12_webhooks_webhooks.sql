-- +goose Up

-- The endpoints that receive events (SPEC E8).
create table webhooks (
    id              uuid        primary key,
    owner_id        uuid        not null,
    user_id         uuid,                           -- whose orders; null: of all that the owner may see
    url             text        not null,
    description     text        not null default '',
    types           json        not null,           -- [] is all
    ordering        text        not null check (ordering in ('none', 'order')),
    enabled         boolean     not null default true,
    disabled_reason text        check (disabled_reason in ('manual', 'gone', 'failing')),
    disabled_at     timestamptz,
    secret          bytea       not null,           -- readable, because it must sign
    previous_secret bytea,                          -- the one before the last rotation,
    previous_until  timestamptz,                    -- which signs as well until then
    last_number     bigint      not null default 0, -- of its newest delivery
    failing_since   timestamptz,                    -- the first failure since the last success
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    deleted_at      timestamptz,
    check (enabled = (disabled_reason is null)),
    check ((disabled_reason is null) = (disabled_at is null)),
    check ((previous_secret is null) = (previous_until is null))
) with (fillfactor = 70);
create index webhooks_owner on webhooks (owner_id, id) where deleted_at is null;
create index webhooks_audience on webhooks (user_id) where deleted_at is null;
-- Those that nothing is sent to, which sweeps and cleaning look for.
create index webhooks_off on webhooks (id) where not enabled or deleted_at is not null;

-- What is to be sent to one of them, and what became of it. Numbers count an
-- endpoint's deliveries without a hole, so that a receiver sees what it has missed.
create table webhook_deliveries (
    id            uuid        primary key,          -- UUIDv7, and the webhook-id of all its tries
    webhook_id    uuid        not null,
    number        bigint      not null check (number > 0),
    order_id      uuid        not null,             -- the event,
    version       bigint      not null,
    user_id       uuid        not null,             -- whose order it is,
    type          text        not null,             -- and what it says
    status        text        not null check (status in ('pending', 'waiting', 'delivered', 'failed', 'held', 'withheld')),
    tries         bigint      not null default 0,   -- since it was last asked for
    due_at        timestamptz,                      -- when the next try is due
    claim         uuid,                             -- of the worker that is at it,
    claimed_until timestamptz,                      -- who is taken for dead after that
    created_at    timestamptz not null,
    settled_at    timestamptz,
    check ((status = 'pending') = (due_at is not null))
) with (fillfactor = 80);
create unique index webhook_deliveries_number on webhook_deliveries (webhook_id, number);
-- An event is sent to an endpoint once; also finds what an order's delivery waits for.
create unique index webhook_deliveries_event on webhook_deliveries (webhook_id, order_id, version);
create index webhook_deliveries_status on webhook_deliveries (webhook_id, status, number) where status <> 'delivered';
create index webhook_deliveries_due on webhook_deliveries (due_at) where status = 'pending';
create index webhook_deliveries_waiting on webhook_deliveries (webhook_id, order_id, number) where status = 'waiting';

create table webhook_attempts (
    id          uuid        primary key, -- UUIDv7
    delivery_id uuid        not null,
    at          timestamptz not null,
    duration_ms bigint      not null,
    status_code bigint,                  -- null: there was no answer
    error       text,                    -- null: it was taken
    answer      text        not null     -- how the answer began
);
create index webhook_attempts_delivery on webhook_attempts (delivery_id, id);

-- Deliveries that are sent again, a few every second.
create table webhook_replays (
    id          uuid        primary key,
    webhook_id  uuid        not null,
    from_number bigint      not null,
    to_number   bigint      not null,
    types       json        not null,    -- [] is all
    statuses    json        not null,    -- [] is all
    rate        bigint      not null check (rate between 1 and 100), -- a second
    status      text        not null check (status in ('running', 'done', 'cancelled', 'stopped')),
    position    bigint      not null,    -- the last number that was looked at
    sent        bigint      not null default 0,
    due_at      timestamptz,             -- when the next slice is due
    created_at  timestamptz not null,
    finished_at timestamptz,
    check ((status = 'running') = (finished_at is null)),
    check ((status = 'running') = (due_at is not null))
);
create unique index webhook_replays_running on webhook_replays (webhook_id) where status = 'running';
create index webhook_replays_webhook on webhook_replays (webhook_id, id);

-- +goose Down
drop table webhook_replays, webhook_attempts, webhook_deliveries, webhooks;
