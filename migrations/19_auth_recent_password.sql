-- +goose Up

-- When the user of a session last confirmed the password (SPEC A11); null: not since the log-in.
alter table sessions add column confirmed_at timestamptz;

-- Whether the account must change its password before it may do anything else (SPEC A12).
alter table users add column password_must_change boolean not null default false;

-- account: the endpoint was disabled with its owner's account, or with the owner's role of an
-- administrator, on which its subscription depended.
alter table webhooks drop constraint webhooks_disabled_reason_check;
alter table webhooks add constraint webhooks_disabled_reason_check check (disabled_reason in ('manual', 'gone', 'failing', 'credential', 'account'));

-- The credentials and endpoints of accounts that were deactivated, deleted or demoted before this
-- version, which ends them with the change of the account (SPEC A5).
update api_keys k set revoked_at = now()
from users u where u.id = k.user_id and k.revoked_at is null and (not u.active or u.deleted_at is not null);
update webhooks w set enabled = false, disabled_reason = 'account', disabled_at = now(), updated_at = now()
from users u where u.id = w.owner_id and w.enabled and w.deleted_at is null
    and (not u.active or u.deleted_at is not null or u.role <> 'admin' and w.user_id is distinct from w.owner_id);

-- +goose Down
update webhooks set disabled_reason = 'manual' where disabled_reason = 'account';
alter table webhooks drop constraint webhooks_disabled_reason_check;
alter table webhooks add constraint webhooks_disabled_reason_check check (disabled_reason in ('manual', 'gone', 'failing', 'credential'));
alter table users drop column password_must_change;
alter table sessions drop column confirmed_at;
