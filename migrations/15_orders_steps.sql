-- +goose Up

-- The round of the added steps: 1, and one more after each time that the order was reopened.
-- Orders that were reopened before this migration begin at 1; they have no steps.
-- steps is the number of added steps in that round: most orders have none, and reading them
-- then needs no second statement.
alter table orders
    add column round bigint not null default 1 check (round > 0),
    add column steps bigint not null default 0 check (steps >= 0);

-- The added steps of an order, one row each and round. The transaction that reserves the
-- stock inserts them, so an order keeps the list that was configured then.
create table order_steps (
    order_id   uuid   not null,
    round      bigint not null,
    position   int    not null,
    name       text   not null,
    status     text   not null check (status in ('pending', 'passed', 'failed', 'held', 'skipped')),
    code       text   not null default '', -- why it failed
    reason     text,
    decided_at timestamptz,
    primary key (order_id, round, position),
    unique (order_id, round, name),
    check ((status = 'pending') = (decided_at is null))
);

-- An order that a step holds keeps its stock, and so the time of its reservation, which
-- begins again on release. The name of the old constraint is the one that PostgreSQL gave it.
alter table orders drop constraint orders_check2;
alter table orders add constraint orders_reserved_until
    check (reserved_until is null or coalesce(held_from, status) = 'PENDING') not valid;

-- +goose Down
update orders set reserved_until = null where status <> 'PENDING';
alter table orders drop constraint orders_reserved_until;
alter table orders add constraint orders_check2 check (reserved_until is null or status = 'PENDING');
drop table order_steps;
alter table orders drop column steps, drop column round;
