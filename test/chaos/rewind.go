package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/orderflow-dev/orderflow/internal/embedded"
)

// runRewind is the scenario of a database that is restored to an earlier state (SPEC E3). Losing the
// later events is expected, but clients must be notified of it. A listener that was ahead of the restored log
// receives one reset and then every later event; a listener that was not ahead receives
// every event and no reset. A restart or failover without loss resets no listener. verify
// checks what the consumers of the log keep in the database.
func (l *lab) runRewind(ctx context.Context, admin *person) error {
	if err := l.fillShelves(ctx, admin); err != nil {
		return err
	}
	busy, err := l.register(ctx, "busy")
	if err != nil {
		return err
	}
	quiet, err := l.register(ctx, "quiet")
	if err != nil {
		return err
	}
	s := &rewindStory{lab: l, busy: busy, quiet: quiet}
	if err := s.place(ctx, 3, busy, quiet); err != nil {
		return err
	}
	hush, err := s.listen(ctx, admin, busy, quiet)
	if err != nil {
		return err
	}
	defer hush()
	if err := s.place(ctx, 1, busy, quiet); err != nil { // so that every listener has received events
		return err
	}

	for _, act := range []struct {
		name  string
		lossy bool
		do    func(context.Context) error
	}{
		{"restarts", false, s.restart},
		{"fails over to a standby that has everything", false, s.failOver},
		{"is replaced by a copy from before the last orders", true, s.copyBack},
		{"fails over to a standby that was behind", true, s.failOverBehind},
	} {
		l.say("the database %s", act.name)
		if err := act.do(ctx); err != nil {
			return fmt.Errorf("the database %s: %w", act.name, err)
		}
		if err := s.place(ctx, 5, busy, quiet); err != nil {
			return err
		}
		for _, e := range s.ears {
			if err := e.judge(ctx, act.name, act.lossy); err != nil {
				return err
			}
		}
		if err := l.verify(ctx); err != nil {
			return err
		}
	}
	return s.judgeMetrics(ctx, 2)
}

type rewindStory struct {
	*lab
	busy, quiet *person
	ears        []*rewindEar
	n           int // orders so far
}

// place places n orders for each of them and waits until all are processed.
func (s *rewindStory) place(ctx context.Context, n int, people ...*person) error {
	var all sync.WaitGroup
	for range n {
		for _, p := range people {
			s.n++
			key := fmt.Sprintf("rewind-%d", s.n)
			all.Go(func() { p.order(ctx, key) })
		}
	}
	all.Wait()
	return s.drain(ctx)
}

// listen opens one listener for each of them on each transport; the harness never cuts them. Only
// the listeners of quiet are never ahead of a copy, because quiet places no orders between the copy
// and its restoration.
func (s *rewindStory) listen(ctx context.Context, people ...*person) (hush func(), err error) {
	listening, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	hush = func() {
		stop()
		all.Wait()
	}
	for _, p := range people {
		for i, way := range transports {
			e := &rewindEar{listener: p.listener(s.rng(uint64(2000 + len(s.ears)))), way: way.name, ahead: p != s.quiet}
			e.all = []event{}
			if p.email != adminEmail {
				e.where = "where user_id = '" + p.id + "'"
			}
			all.Go(func() {
				for listening.Err() == nil {
					_ = transports[i].hear(e.listener, listening)
					pause(listening, 50*time.Millisecond)
				}
			})
			select {
			case <-e.begun:
			case <-time.After(30 * time.Second):
				hush()
				return nil, fmt.Errorf("%s hears nothing over %s", p.email, way.name)
			}
			s.ears = append(s.ears, e)
		}
	}
	return hush, nil
}

// heard waits until every listener has received the whole log, and records their positions.
func (s *rewindStory) heard(ctx context.Context) error {
	for _, e := range s.ears {
		list, err := e.log(ctx)
		if err != nil {
			return err
		}
		if len(list) > 0 && !e.await(ctx, list[len(list)-1].id) {
			s.breaches.add("events missing", "%s over %s never saw the newest event", e.email, e.way)
		}
		e.note()
	}
	return nil
}

func (s *rewindStory) restart(ctx context.Context) error {
	if err := s.heard(ctx); err != nil {
		return err
	}
	if err := s.db.stop(ctx); err != nil {
		return err
	}
	return s.db.start(ctx)
}

func (s *rewindStory) copyBack(ctx context.Context) error {
	copied, err := s.db.copied(ctx, "copy")
	if err != nil {
		return err
	}
	if err := s.place(ctx, 12, s.busy); err != nil {
		return err
	}
	if err := s.heard(ctx); err != nil {
		return err
	}
	s.db.crash()
	return s.db.replace(ctx, copied)
}

// standby starts a standby and waits until it has all data of the primary.
func (s *rewindStory) standby(ctx context.Context) (*embedded.Postgres, string, error) {
	dir, err := s.db.copied(ctx, "standby")
	if err != nil {
		return nil, dir, err
	}
	if err := s.place(ctx, 2, s.busy, s.quiet); err != nil {
		return nil, dir, err
	}
	server, err := embedded.Start(ctx, embedded.Options{Dir: dir, Primary: s.db.server.URL()})
	if err != nil {
		return nil, dir, err
	}
	const sent = `select count(*) = 1 from pg_stat_replication where replay_lsn >= $1::pg_lsn`
	var at string
	if err := s.db.direct.QueryRow(ctx, `select pg_current_wal_lsn()::text`).Scan(&at); err != nil {
		return nil, dir, err
	}
	for there := false; !there; {
		if err := s.db.direct.QueryRow(ctx, sent, at).Scan(&there); err != nil {
			return nil, dir, err
		}
		if !there && !pause(ctx, 20*time.Millisecond) {
			return nil, dir, errOver
		}
	}
	return server, dir, nil
}

func (s *rewindStory) failOver(ctx context.Context) error {
	standby, dir, err := s.standby(ctx)
	if err != nil {
		return err
	}
	if err := s.heard(ctx); err != nil {
		return err
	}
	if err := s.db.stop(ctx); err != nil { // the shutdown waits until the standby has everything
		return err
	}
	return s.promote(ctx, standby, dir)
}

func (s *rewindStory) failOverBehind(ctx context.Context) error {
	standby, dir, err := s.standby(ctx)
	if err != nil {
		return err
	}
	if err := standby.Stop(ctx); err != nil { // it receives nothing from now on
		return err
	}
	if err := s.place(ctx, 12, s.busy); err != nil {
		return err
	}
	if err := s.heard(ctx); err != nil {
		return err
	}
	s.db.crash()
	if standby, err = embedded.Start(ctx, embedded.Options{Dir: dir}); err != nil {
		return err
	}
	return s.promote(ctx, standby, dir)
}

// promote starts the promoted standby at the address of the primary.
func (s *rewindStory) promote(ctx context.Context, standby *embedded.Postgres, dir string) error {
	if err := standby.Promote(ctx); err != nil {
		return err
	}
	if err := standby.Stop(ctx); err != nil {
		return err
	}
	return s.db.replace(ctx, filepath.Clean(dir))
}
