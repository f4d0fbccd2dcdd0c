package main

import (
	"context"
	"strings"
)

// side is the state of one payment according to the bank or the ledger.
type side struct {
	authorized, captured, voided int64
	refunds                      map[string]int64 // by key
}

// judgeMoney compares the journal of the bank with the ledger, payment by payment: no effect
// happened twice, none is missing on either side, and the bank holds no money for a closed order.
func (l *lab) judgeMoney(ctx context.Context, orders map[string]kept) error {
	bank := l.bankSide()
	books, err := l.ledgerSide(ctx)
	if err != nil {
		return err
	}
	owners, states, err := l.payments(ctx)
	if err != nil {
		return err
	}
	var held, taken, back int64
	for id, b := range bank {
		order, known := owners[id]
		if !known {
			l.breaches.add("money", "the bank knows payment %s, the database does not", id)
			continue
		}
		l.compare(id, order, states[id], orders[order], b, books[id])
		delete(books, id)
		held += b.authorized - b.captured - b.voided
		taken += b.captured
		for _, n := range b.refunds {
			back += n
		}
	}
	for id := range books {
		l.breaches.add("money", "the ledger knows payment %s of order %s, the bank does not", id, owners[id])
	}
	l.say("the bank holds %d, has taken %d and given back %d, over %d payments", held, taken, back, len(bank))
	return nil
}

func (l *lab) compare(id, order, state string, o kept, b, book *side) {
	wrong := func(format string, args ...any) {
		l.breaches.add("money", "payment %s (%s) of order %s (%s): "+format, append([]any{id, state, order, o.status}, args...)...)
	}
	if book == nil {
		book = &side{}
	}
	if b.captured != book.captured {
		wrong("the bank took %d, the ledger has %d", b.captured, book.captured)
	}
	if b.captured > o.total || b.authorized > o.total {
		wrong("the bank took %d of %d, the order costs %d", b.captured, b.authorized, o.total)
	}
	for key, n := range b.refunds {
		if book.refunds[key] != n {
			wrong("the bank gave back %d for %s, the ledger has %d", n, key, book.refunds[key])
		}
	}
	for key, n := range book.refunds {
		if b.refunds[key] != n {
			wrong("the ledger gave back %d for %s, the bank %d", n, key, b.refunds[key])
		}
	}
	open := b.authorized - b.captured - b.voided
	inBooks := book.authorized - book.captured - book.voided
	if state == "abandoned" {
		return // an administrator has decided not to pursue it
	}
	// A void may concern an authorisation whose response was lost. The bank then has both and
	// the ledger neither. The held amount must be the same.
	if open != inBooks {
		wrong("the bank holds %d, the ledger %d", open, inBooks)
	}
	if over := o.status == "CANCELLED" || o.status == "FAILED"; over && open != 0 {
		wrong("the order is over and the bank still holds %d", open)
	}
}

// bankSide reads the journal of the bank. Two effects of one key are a breach.
func (l *lab) bankSide() map[string]*side {
	sides := map[string]*side{}
	of := map[string]string{} // payment by reference
	happened := map[string]bool{}
	for _, e := range l.bank.Effects() {
		if happened[e.Kind+e.Key] {
			l.breaches.add("money", "%s happened twice for %s", e.Kind, e.Key)
		}
		happened[e.Kind+e.Key] = true
		l.report.count("bank: "+e.Kind, 1)
		id, _, _ := strings.Cut(e.Key, ":")
		if e.Kind == "refund" {
			id = of[e.Reference]
		} else {
			of[e.Reference] = id
		}
		s := sides[id]
		if s == nil {
			s = &side{refunds: map[string]int64{}}
			sides[id] = s
		}
		switch e.Kind {
		case "authorize":
			s.authorized += e.Amount.Amount
		case "capture":
			s.captured += e.Amount.Amount
		case "void":
			s.voided += e.Amount.Amount
		case "refund":
			s.refunds[e.Key] += e.Amount.Amount
		}
	}
	return sides
}

// ledgerSide reads the ledger of the product.
func (l *lab) ledgerSide(ctx context.Context) (map[string]*side, error) {
	sides := map[string]*side{}
	err := l.db.rows(ctx, `
		select coalesce(r.payment_id, l.source)::text, l.kind, l.source::text, l.amount
		from ledger l left join refunds r on r.order_id = l.order_id and r.id = l.source`,
		func(scan func(...any) error) error {
			var payment, kind, source string
			var n int64
			if err := scan(&payment, &kind, &source, &n); err != nil {
				return err
			}
			s := sides[payment]
			if s == nil {
				s = &side{refunds: map[string]int64{}}
				sides[payment] = s
			}
			switch kind {
			case "authorize":
				s.authorized += n
			case "capture":
				s.captured += n
			case "void":
				s.voided += n
			case "refund":
				s.refunds[source+":refund"] += n
			}
			return nil
		})
	return sides, err
}

// judgeRefunds finds each acknowledged refund, and refunds that no client requested.
func (l *lab) judgeRefunds(ctx context.Context) error {
	there := map[string]refundSeen{}
	err := l.db.rows(ctx, `select id::text, order_id::text, amount from refunds`, func(scan func(...any) error) error {
		var id string
		var r refundSeen
		err := scan(&id, &r.order, &r.amount)
		there[id] = r
		if _, asked := l.journal.refunds[id]; !asked {
			l.breaches.add("money", "refund %s of order %s was not requested by any client", id, r.order)
		}
		return err
	})
	for id, r := range l.journal.refunds {
		if there[id] != r {
			l.breaches.add("acknowledged and lost", "refund %s: %+v, the database has %+v", id, r, there[id])
		}
	}
	return err
}

func (l *lab) payments(ctx context.Context) (owners, states map[string]string, err error) {
	owners, states = map[string]string{}, map[string]string{}
	err = l.db.rows(ctx, `select id::text, order_id::text, state from payments`, func(scan func(...any) error) error {
		var id, order, state string
		err := scan(&id, &order, &state)
		owners[id], states[id] = order, state
		return err
	})
	return owners, states, err
}
