package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// appendOnly are the logs, whose rows the runtime role may add and read, and neither change nor
// remove. Triggers refuse the same to every role; but a role that owns the tables can drop those.
var appendOnly = []string{"events", "ledger", "movements"}

// pruned are the tables of the audit trail. Their triggers let retention delete the oldest blocks.
var pruned = []string{"audit_blocks", "audit_entries"}

// versionTables are those of goose and River, which only the owner changes.
var versionTables = regexp.MustCompile(`^(goose_.*|river_migration)$`)

// roleName is a name that PostgreSQL does not fold or truncate. Quotes are never needed for it.
var roleName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// ErrNotARole is returned for a role that cannot be the runtime role.
var ErrNotARole = errors.New("the runtime role must exist, have a name in lower case, and neither be a superuser nor own the tables")

// UpAndGrant does what UpWith does, and then gives the role what the program needs at run time, under the
// same lock: to read and write all tables, but only to read and add to the append-only logs, and only
// to read the tables of applied migrations. Privileges on those that it had from before are revoked.
// The role must exist. It owns nothing, so it can neither drop a trigger nor change a table.
//
// Tables that a later migration creates are covered by default privileges until UpAndGrant runs
// again, which narrows them for logs.
func UpAndGrant(ctx context.Context, url, role string, modules ...Module) error {
	if role == "" {
		return UpWith(ctx, url, modules...)
	}
	return locked(ctx, url, func(db *sql.DB, conn *pgx.Conn) error {
		if err := apply(ctx, db, conn, modules); err != nil {
			return err
		}
		if err := grant(ctx, conn, role); err != nil {
			return fmt.Errorf("grant privileges to the runtime role: %w", err)
		}
		return nil
	})
}

// grant runs in one transaction, so that a running program never lacks a privilege that it had.
func grant(ctx context.Context, conn *pgx.Conn, role string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := checkRole(ctx, tx, role); err != nil {
			return err
		}
		tables, err := tablesOf(ctx, tx)
		if err != nil {
			return err
		}
		var hasMaintain bool
		if err := tx.QueryRow(ctx, "select current_setting('server_version_num')::int >= 170000").Scan(&hasMaintain); err != nil {
			return err
		}
		to := pgx.Identifier{role}.Sanitize()
		statements := []string{
			"grant usage on schema public to " + to,
			"grant usage, select on all sequences in schema public to " + to,
			"alter default privileges in schema public grant select, insert, update, delete on tables to " + to,
			"alter default privileges in schema public grant usage, select on sequences to " + to,
		}
		for _, table := range tables {
			rights := "select, insert, update, delete"
			switch {
			case slices.Contains(appendOnly, table):
				rights = "select, insert"
			case slices.Contains(pruned, table):
				rights = "select, insert, delete"
			case versionTables.MatchString(table):
				rights = "select"
			}
			on := " on " + pgx.Identifier{"public", table}.Sanitize()
			statements = append(statements, "revoke all"+on+" from "+to, "grant "+rights+on+" to "+to)
			if hasMaintain && strings.HasPrefix(table, "river_") {
				statements = append(statements, "grant maintain"+on+" to "+to) // River rebuilds the indexes of its jobs
			}
		}
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

func checkRole(ctx context.Context, tx pgx.Tx, role string) error {
	if !roleName.MatchString(role) {
		return ErrNotARole
	}
	var ok bool
	err := tx.QueryRow(ctx, `select exists (select from pg_roles r where rolname = $1 and not rolsuper
		and not exists (select from pg_class c where c.oid = 'public.events'::regclass and pg_has_role(r.oid, c.relowner, 'member')))`, role).Scan(&ok)
	if err != nil {
		return err
	}
	if !ok {
		return ErrNotARole
	}
	return nil
}

func tablesOf(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, `select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by relname`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Excess names what the role of a connection could do beyond what the program needs: it is a superuser,
// or owns the tables and so can drop the triggers that keep the logs append-only. It is empty for a
// role that UpAndGrant prepared.
func Excess(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (excess []string, err error) {
	var isSuperuser, owns bool
	err = q.QueryRow(ctx, `select rolsuper, exists (select from pg_class c where c.oid = 'public.events'::regclass and pg_has_role(r.oid, c.relowner, 'member'))
		from pg_roles r where rolname = current_user`).Scan(&isSuperuser, &owns)
	if err != nil {
		return nil, fmt.Errorf("read the privileges of the database role: %w", err)
	}
	switch {
	case isSuperuser:
		return []string{"it is a superuser"}, nil
	case owns:
		return []string{"it owns the tables"}, nil
	}
	return nil, nil
}
