package migrations_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// SPEC F2, R44: a database in another encoding is refused, by migrations and by servers, before anything is written.
func TestEncodings(t *testing.T) {
	t.Parallel()
	ctx, own := t.Context(), pgtest.URL(t)
	conn, err := pgx.Connect(ctx, own)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, encoding := range []string{"LATIN1", "SQL_ASCII", "EUC_JP", "WIN1252", "KOI8R"} {
		name := conn.Config().Database + "_" + strings.ToLower(encoding)
		if _, err := conn.Exec(ctx, `create database `+pgx.Identifier{name}.Sanitize()+` encoding '`+encoding+`' locale 'C' template template0`); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dropDatabase(t, own, name) })
		u, err := url.Parse(own)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + name

		if err := migrations.Up(ctx, u.String()); !isEncodingError(err) || !strings.Contains(err.Error(), encoding) {
			t.Errorf("%s: migrate: %v", encoding, err)
		}
		pool, err := postgres.Open(ctx, u.String(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Exec(ctx, "select 1"); !isEncodingError(err) || !strings.Contains(err.Error(), encoding) {
			t.Errorf("%s: serve: %v", encoding, err)
		}
		pool.Close()
		other, err := pgx.Connect(ctx, u.String())
		if err != nil {
			t.Fatal(err)
		}
		var tables int
		if err := other.QueryRow(ctx, `select count(*) from pg_tables where schemaname = 'public'`).Scan(&tables); err != nil || tables != 0 {
			t.Errorf("%s: %d tables, %v", encoding, tables, err)
		}
		_ = other.Close(ctx)
	}
}

func dropDatabase(t *testing.T, server, name string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return // the database of the test is gone, and its server with it
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `drop database if exists `+pgx.Identifier{name}.Sanitize()+` with (force)`); err != nil {
		t.Error(err)
	}
}

func isEncodingError(err error) bool {
	_, is := errors.AsType[*postgres.EncodingError](err)
	return is
}
