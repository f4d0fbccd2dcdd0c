-- +goose Up

-- One attempt to be paid for an order. The row is written before the provider is
-- asked and its id is the root of every key that the provider gets, so asking
-- twice can only be answered twice, never charged twice (SPEC D3).
create table payments (
    id         uuid        not null,
    order_id   uuid        not null,
    provider   text        not null,
    method     text,       -- the provider's token for what pays
    currency   text        not null,
    amount     bigint      not null check (amount > 0),
    state      text        not null default 'authorizing' check (state in
        ('authorizing', 'authorized', 'captured', 'voided', 'declined', 'abandoned')),
    reference  text,       -- the provider's name for it
    code       text,       -- why it was declined
    detail     text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (order_id, id)
) with (fillfactor = 80);

-- Money on its way back. A failed one counts for nothing until it is retried.
create table refunds (
    id         uuid        not null,
    order_id   uuid        not null,
    payment_id uuid        not null,
    currency   text        not null,
    amount     bigint      not null check (amount > 0),
    items      json,       -- {sku: units} when it was asked for by line
    reason     text        not null,
    state      text        not null default 'pending' check (state in ('pending', 'done', 'failed', 'abandoned')),
    reference  text,
    code       text,
    detail     text,
    actor      text        not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (order_id, id)
);

-- Double entry: each row takes an amount from one account to another, so debits
-- equal credits by construction; the key admits each movement once.
create table ledger (
    order_id uuid        not null,
    kind     text        not null check (kind in ('authorize', 'void', 'settle', 'capture', 'refund')),
    source   uuid        not null, -- the payment or the refund
    debit    text        not null,
    credit   text        not null check (credit <> debit),
    amount   bigint      not null check (amount > 0),
    currency text        not null,
    at       timestamptz not null,
    primary key (order_id, kind, source)
);
-- +goose StatementBegin
create function ledger_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'the ledger is append-only' using errcode = 'insufficient_privilege';
end $$;
-- +goose StatementEnd
create trigger ledger_append_only before update or delete on ledger
    for each row execute function ledger_append_only();
create trigger ledger_no_truncate before truncate on ledger
    for each statement execute function ledger_append_only();

-- +goose Down
drop table ledger, refunds, payments;
drop function ledger_append_only();
