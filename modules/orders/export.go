package orders

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/orderflow-dev/orderflow/ent/order"
	"github.com/orderflow-dev/orderflow/internal/words"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

const (
	exportPiece    = 100              // orders; each may have 500 lines, and a piece is held in memory
	exportPatience = 20 * time.Second // for the client to read a piece
	exportQuery    = 30 * time.Second // for the database to return the next orders
)

// Export streams orders of one snapshot, newest first, with the memory of one piece. It holds a
// database connection until Close.
//
// Its transaction is read-only and has no transaction id, so it does not delay consumers of the
// event log. It does delay vacuum, so the export of a client that does not read is ended.
type Export struct {
	m      *Module
	leave  func()
	format format
	conn   *pgxpool.Conn
	tx     pgx.Tx
	begun  bool
	piece  []byte
}

// format is a file format of an export.
type format struct {
	contentType, extension, header string
	write                          func(b []byte, o Order) ([]byte, error)
}

// Export starts an export of the orders that the caller may see and that match the filter,
// without its cursor and limit. The caller must Close it once. The fault "too-many-exports" is
// RateLimited while the account has another export on any node, and Unavailable if this node
// has no free slot.
func (m *Module) Export(ctx context.Context, caller identity.Caller, f Filter, in format) (*Export, error) {
	user, err := whose(caller, f.UserID)
	if err != nil {
		return nil, err
	}
	f.UserID, f.Before = user, uuid.Nil
	leave, err := m.exports.enter(caller, min(exportsAtOnce, int(m.Pool.Stat().MaxConns()/4)))
	if err != nil {
		return nil, err
	}

	e := &Export{m: m, leave: leave, format: in}
	if err := e.open(ctx, caller, f); err != nil {
		e.Close()
		return nil, fmt.Errorf("begin an export: %w", err)
	}
	if err := m.recordExport(ctx, caller, f, in); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// open takes the snapshot and declares the cursor that reads it.
func (e *Export) open(ctx context.Context, caller identity.Caller, f Filter) (err error) {
	if e.conn, err = e.m.Pool.Acquire(ctx); err != nil {
		return err
	}
	if e.tx, err = e.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err != nil {
		return err
	}
	only := false
	b := &pgx.Batch{}
	queueOnly(b, caller, &only)
	b.Queue(`select set_config('statement_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $2, true)`,
		milliseconds(exportQuery), milliseconds(exportPatience+10*time.Second))
	advise(b, f)
	query, args := exported(f)
	b.Queue(`declare export no scroll cursor for `+query, args...)
	if err := e.tx.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if !only { // another node has one
		return oneExport()
	}
	return nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// exported returns the query for the ids: the ranges of the requested statuses, merged.
func exported(f Filter) (query string, args []any) {
	found := ""
	if f.Words != "" {
		args = append(args, words.Query(f.Words))
		found = " and cardinality($1::text[]) > 0 and exists (select from order_terms t where t.order_id = o.id and t.terms @> $1)"
	}
	var parts []string
	for _, s := range orEvery(f.Statuses) {
		parts = append(parts, "(select o.id from orders o where "+conditions(f, s, &args)+found+" order by o.id desc)")
	}
	return "select id from (" + strings.Join(parts, " union all ") + ") as n order by id desc", args
}

// advise sets planner options that depend on the filter. If few orders match, the planner
// should use the index that finds them and sort, since all of them will be read. Otherwise it
// should merge index ranges while reading: sorting millions of ids first would delay the first
// row until the statement times out.
func advise(b *pgx.Batch, f Filter) {
	if f.Reference != "" || f.Words != "" {
		b.Queue(`select set_config('cursor_tuple_fraction', '1', true), set_config('enable_seqscan', 'off', true)`)
	} else {
		b.Queue(`select set_config('enable_sort', 'off', true)`)
	}
}

// Next writes the next orders. After the last one it returns io.EOF.
func (e *Export) Next(ctx context.Context) ([]byte, error) {
	e.piece = e.piece[:0]
	if !e.begun {
		e.begun = true
		e.piece = append(e.piece, e.format.header...)
	}
	list, err := e.fetch(ctx)
	if err != nil {
		return nil, fmt.Errorf("go on with an export: %w", err)
	}
	if len(list)+len(e.piece) == 0 {
		return nil, io.EOF
	}
	for _, o := range list {
		if e.piece, err = e.format.write(e.piece, o); err != nil {
			return nil, fmt.Errorf("write down order %s: %w", o.ID, err)
		}
	}
	return e.piece, nil
}

func (e *Export) fetch(ctx context.Context) ([]Order, error) {
	rows, err := e.tx.Query(ctx, fmt.Sprintf(`fetch %d from export`, exportPiece))
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	list, err := db(e.tx).Order.Query().Where(order.IDIn(ids...)).Order(order.ByID(sql.OrderDesc())).All(ctx)
	if err != nil {
		return nil, err
	}
	complete, err := storage.Complete(ctx, e.tx, list)
	if err != nil {
		return nil, err
	}
	orders := make([]Order, len(list))
	for i, o := range complete {
		orders[i] = snapshot(o)
	}
	return orders, nil
}

// Close ends the transaction and releases the connection. The pool closes a connection whose
// query was interrupted.
func (e *Export) Close() {
	defer e.leave()
	if e.conn == nil {
		return
	}
	defer e.conn.Release()
	if e.tx != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = e.tx.Rollback(ctx)
	}
}

// lease returns a check that the caller still has the rights with which the export started.
func (m *Module) lease(caller identity.Caller) func(context.Context) error {
	if m.CurrentCaller == nil {
		return func(context.Context) error { return nil }
	}
	return func(ctx context.Context) error {
		now, err := m.CurrentCaller(ctx, caller.Credential())
		if err == nil && now != caller {
			return fault.New(fault.KindForbidden, "forbidden", "Your role has changed; repeat the request.")
		}
		return err
	}
}
