-- +goose Up

-- The rule by which the terms of an order were cut (SPEC C20). Nodes of the previous version
-- write rule 1, and so did those before; the sweep cuts the texts of these orders again.
alter table order_terms add column rule smallint not null default 1;
create index order_terms_outdated on order_terms (order_id) where rule < 2;

-- The reference of a deleted order can be given to another order (SPEC C22). By a trigger, as
-- nodes of the previous version delete orders too during an upgrade.
alter table orders add column deleted_reference text;
-- +goose StatementBegin
create function orders_free_reference() returns trigger language plpgsql as $$
begin
    new.deleted_reference := new.reference;
    new.reference := null;
    return new;
end $$;
-- +goose StatementEnd
create trigger orders_free_reference before update on orders
    for each row when (new.deleted_at is not null and new.reference is not null) execute function orders_free_reference();
update orders set reference = reference where deleted_at is not null and reference is not null;

-- References are composed, so that two spellings of one text are one reference (SPEC C23). Where
-- an account has both spellings, they stay.
update orders o set reference = normalize(o.reference, nfc)
where o.reference ~ '[^\x01-\x7f]' and o.reference is not nfc normalized
  and not exists (select from orders p where p.user_id = o.user_id and p.id <> o.id and normalize(p.reference, nfc) = normalize(o.reference, nfc));

-- +goose Down
drop trigger orders_free_reference on orders;
drop function orders_free_reference();
alter table orders drop column deleted_reference;
drop index order_terms_outdated;
alter table order_terms drop column rule;
