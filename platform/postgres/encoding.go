package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// EncodingError means that a database or a session has another encoding than UTF-8. Texts would be
// refused, or stored and returned as other characters.
type EncodingError struct {
	Encoding  string // as PostgreSQL names it, such as LATIN1
	OfSession bool   // the database is in UTF-8, and client_encoding of the session is not
}

// Error names the encoding and the remedy.
func (e *EncodingError) Error() string {
	if e.OfSession {
		return fmt.Sprintf("client_encoding is %s and must be UTF8; remove it from the URL, PGCLIENTENCODING, the role and the database", e.Encoding)
	}
	return fmt.Sprintf("the database has the encoding %s and must have UTF8: create database NAME encoding 'UTF8' template template0", e.Encoding)
}

// RequireUTF8 returns an *EncodingError unless the database and the session are in UTF-8. It makes
// no round trip: a server reports both when a connection begins. It fits pgconn.Config.AfterConnect.
func RequireUTF8(_ context.Context, conn *pgconn.PgConn) error {
	if of := conn.ParameterStatus("server_encoding"); of != "UTF8" && of != "" {
		return &EncodingError{Encoding: of}
	}
	if of := conn.ParameterStatus("client_encoding"); of != "UTF8" && of != "" {
		return &EncodingError{Encoding: of, OfSession: true}
	}
	return nil
}
