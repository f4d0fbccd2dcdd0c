-- +goose Up

-- The state of a session's refresh tokens (ADR 22). Each token is derived from the token
-- before it and refresh_key, so used tokens are recognised without a row for each of them.
-- The columns are null in sessions that a node of the previous version opened.
alter table sessions
    add column refresh_tag   bytea,                     -- begins all refresh tokens of the session
    add column refresh_key   bytea,                     -- derives the next token from a token
    add column refresh_count bigint not null default 0, -- how often a token was derived
    add column refresh_due   timestamptz;               -- limits the rate of refreshes (GCRA)
create unique index sessions_refresh_tag on sessions (refresh_tag);

-- derived: the token was made by this version. Only such rows are deleted before they
-- expire, because the used tokens of other rows cannot be recognised without them.
alter table refresh_tokens add column derived boolean not null default false;
create index refresh_tokens_session on refresh_tokens (session_id);

-- +goose Down
drop index refresh_tokens_session;
alter table refresh_tokens drop column derived;
drop index sessions_refresh_tag;
alter table sessions drop column refresh_due, drop column refresh_count, drop column refresh_key, drop column refresh_tag;
