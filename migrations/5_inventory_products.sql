-- +goose Up

-- Skus compare by their bytes everywhere: locks are taken and pages are walked in
-- sku order, and no operating system's idea of an alphabet may change that order.
create table products (
    sku        text        collate "C" primary key,
    name       text        not null,
    unit_price bigint      not null check (unit_price >= 0),
    currency   text        not null,
    stock      bigint      check (stock >= 0), -- on hand; null is untracked
    reserved   bigint      not null default 0 check (reserved >= 0),
    available  bigint      generated always as (stock - reserved) stored check (available >= 0),
    active     boolean     not null default true,
    version    bigint      not null default 1, -- changes of the product; reservations do not count
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz
) with (fillfactor = 70); -- reservations rewrite the row; leave room on its page
-- A page of the active (or inactive) ones. No column here changes with a
-- reservation, so those updates stay on their page and touch no index.
create index products_listed on products (active, sku) where deleted_at is null;

-- What one order holds of one sku. A row is given back or handed to the carrier,
-- once: held -> released, held -> shipped.
create table reservations (
    order_id   uuid        not null,
    sku        text        collate "C" not null,
    quantity   bigint      not null check (quantity > 0),
    state      text        not null default 'held' check (state in ('held', 'released', 'shipped')),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (order_id, sku)
);

-- Every change of what is on hand, with who did it and why. sum(delta) = stock.
create table movements (
    id     uuid        primary key,
    sku    text        collate "C" not null,
    delta  bigint      not null,
    stock  bigint,     -- on hand afterwards; null when the product became untracked
    reason text        not null,
    actor  text        not null,
    at     timestamptz not null
);
create index movements_sku on movements (sku, id);

-- Goes up with every change of a name, a price or an activity, in the same commit:
-- who prices from memory checks it when writing.
create table catalogue (
    only_row boolean primary key default true check (only_row),
    version  bigint not null
);
insert into catalogue (version) values (1);

-- +goose Down
drop table catalogue, movements, reservations, products;
