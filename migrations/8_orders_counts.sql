-- +goose Up

-- How many orders have each status, as a sum of changes: every transaction that
-- places or moves orders appends a row for each status it touched, so that no two
-- of them wait for one row. The sweep folds the rows together now and then, and
-- who wants the numbers adds up the few that there are (SPEC C11, G2).
create table order_counts (
    id     bigint generated always as identity primary key,
    status text   not null,
    n      bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

insert into order_counts (status, n)
select status, count(*) from orders where deleted_at is null group by status;

-- The oldest of a status is found at the end of this index, so deleted orders must
-- not pile up there.
drop index orders_status;
create index orders_status on orders (status, id desc) where deleted_at is null;

-- +goose Down
drop index orders_status;
create index orders_status on orders (status, id desc);
drop table order_counts;
