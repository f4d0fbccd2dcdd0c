package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rewindEar is a listener on one transport that may receive a reset.
type rewindEar struct {
	*listener
	way   string
	where string // of its events in the log
	ahead bool   // it has received events that the database lost
	from  int    // number of frames when the database stopped
	at    string // its cursor at that time
	moved bool   // the cursor was not that of its last event: it is a position among the events of others
}

func (e *rewindEar) note() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.from, e.at, e.moved = len(e.all), e.cursor, false
	for _, f := range slices.Backward(e.all) {
		if f.ID != "" {
			e.moved = f.Cursor != e.cursor
			break
		}
	}
}

func (e *rewindEar) frames(from int) []event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all[from:])
}

// await waits until an event has arrived.
func (e *rewindEar) await(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for !slices.ContainsFunc(e.frames(0), func(f event) bool { return f.ID == id }) {
		if !pause(ctx, 50*time.Millisecond) {
			return false
		}
	}
	return true
}

// logged is an event in the log.
type logged struct {
	id  string
	xid uint64
	seq int64
}

func (e *rewindEar) log(ctx context.Context) (list []logged, err error) {
	err = e.db.rows(ctx, "select order_id || '/' || version, xid, seq from events "+e.where+" order by xid, seq", func(scan func(...any) error) error {
		var one logged
		err := scan(&one.id, &one.xid, &one.seq)
		list = append(list, one)
		return err
	})
	return list, err
}

// behind returns the events after a cursor. Cursors are opaque to clients, but not to this check.
func behind(cursor string, list []logged) (ids []string, err error) {
	parts := strings.Split(cursor, "-")
	if len(parts) < 3 {
		return nil, fmt.Errorf("cursor %q", cursor)
	}
	xid, err := strconv.ParseUint(parts[1], 16, 64)
	if err != nil {
		return nil, err
	}
	seq, err := strconv.ParseInt(parts[2], 16, 64)
	if err != nil {
		return nil, err
	}
	for _, one := range list {
		if one.xid > xid || one.xid == xid && one.seq > seq {
			ids = append(ids, one.id)
		}
	}
	return ids, nil
}

// judge compares the frames since the database stopped with the log: one reset if the listener was
// ahead and none otherwise, and then every event after the cursor of the reset or of the last frame
// before. A listener that was not ahead, but whose position went on with the events of others, may get one reset if it
// had to connect again: only its open connection knew that none of them were for it.
func (e *rewindEar) judge(ctx context.Context, what string, lossy bool) error {
	list, err := e.log(ctx)
	if err != nil {
		return err
	}
	name := e.email + " over " + e.way
	if !e.await(ctx, list[len(list)-1].id) {
		e.breaches.add("events missing", "%s saw nothing of what came after the database %s", name, what)
		return nil
	}
	resets, at := 0, e.at
	var got, early []string
	for _, f := range e.frames(e.from) {
		switch f.Type {
		case "notifications.unread":
		case "ready":
			if len(got) == 0 { // otherwise an idle connection, whose position went on
				at = f.Cursor
			}
		case "reset":
			resets++
			early, got, at = append(early, got...), nil, f.Cursor
		default:
			got = append(got, f.ID)
		}
	}
	want := 0
	if lossy && e.ahead {
		want = 1
	}
	if resets != want && (resets != 1 || !lossy || !e.moved) {
		e.breaches.add("resets", "%s was reset %d times and not %d when the database %s", name, resets, want, what)
	}
	if len(early) > 0 {
		e.breaches.add("events before the reset", "%s: %v", name, early)
	}
	due, err := behind(at, list)
	if err != nil {
		return err
	}
	if !slices.Equal(got, due) {
		e.breaches.add("stream differs from the log", "%s: %d events after the database %s, the log has %d behind %s", name, len(got), what, len(due), at)
	}
	e.judgeOnce(name)
	e.report.count("resets", resets)
	e.report.count("events heard after the database came back", len(got))
	return nil
}

// judgeOnce checks that no event arrived twice after the restoration.
func (e *rewindEar) judgeOnce(name string) {
	seen := map[string]bool{}
	for _, f := range e.frames(0) {
		if f.ID != "" && seen[f.ID] {
			e.breaches.add("event twice", "%s: %s", name, f.ID)
		}
		seen[f.ID] = true
	}
}

// judgeMetrics checks the metric that counts the replacements of the log in every API process.
func (l *lab) judgeMetrics(ctx context.Context, want int) error {
	for _, n := range l.apis {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.host+"/metrics", http.NoBody) //nolint:gosec // our own node
		if err != nil {
			return err
		}
		res, err := l.web.Do(req) //nolint:gosec // our own node
		if err != nil {
			return err
		}
		found := false
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			found = found || lines.Text() == fmt.Sprintf("orderflow_events_rewritten_total %d", want)
		}
		res.Body.Close()
		if !found {
			l.breaches.add("metric", "orderflow_events_rewritten_total of %s is not %d", n.name, want)
		}
	}
	return nil
}
