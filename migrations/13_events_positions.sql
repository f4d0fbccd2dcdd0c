-- +goose Up

-- The event that a reader stands behind. Its place alone does not tell: when the
-- database goes back to an earlier state, another event may get the same numbers, and an
-- adopted log has other numbers for the same event.
-- And the one behind which a reader, or its being verified, began; null: the beginning.
alter table event_readers add column order_id uuid, add column version bigint, add column began_order_id uuid, add column began_version bigint;
update event_readers r set order_id = e.order_id, version = e.version, began_order_id = e.order_id, began_version = e.version
from events e where e.xid = r.xid and e.seq = r.seq;

-- By a trigger, as nodes of the version before move readers too during an upgrade.
-- +goose StatementBegin
create function event_readers_stand() returns trigger language plpgsql as $$
declare
    found_order uuid;
    found_version bigint;
begin
    select e.order_id, e.version into found_order, found_version from events e where e.xid = new.xid and e.seq = new.seq;
    if found_order is not null then
        new.order_id := found_order;
        new.version := found_version;
    end if;
    return new;
end $$;
-- +goose StatementEnd
create trigger event_readers_stand before insert or update of xid, seq on event_readers
    for each row execute function event_readers_stand();

-- +goose Down
drop trigger event_readers_stand on event_readers;
drop function event_readers_stand();
alter table event_readers drop column order_id, drop column version, drop column began_order_id, drop column began_version;
