-- +goose Up

-- How far those readers of the log have come that keep what they make of it in this
-- database: their place moves in the same commit (platform/events).
create table event_readers (
    name text   primary key,
    xid  xid8   not null,
    seq  bigint not null
);
-- What happened before they came is not theirs.
insert into event_readers (name, xid, seq)
select n.name, coalesce(h.xid, '3'), coalesce(h.seq, 0)
from (values ('inbox'), ('webhooks')) as n (name)
left join lateral (select e.xid, e.seq from events e order by e.xid desc, e.seq desc limit 1) h on true;

-- +goose Down
drop table event_readers;
