package events

import (
	"time"

	"github.com/google/uuid"
)

// PollEvery is how often a tail looks without being told.
const PollEvery = pollInterval

// OnlyWhenWoken makes a tail read only after Wake, or when events wait for an older transaction. Call it before Run.
func (t *Tail) OnlyWhenWoken() { t.interval = 24 * time.Hour }

// Looks returns once the tail has looked from beginning to end after the call, and has been told
// nothing that it has not taken up.
func (t *Tail) Looks() {
	for range 3 { // one is kept, one is being taken up: when the third one goes in, the first look is over
		t.wake <- struct{}{}
	}
	for len(t.wake) > 0 {
		<-time.After(time.Millisecond)
	}
}

// PageQuery is the SQL of a page, for EXPLAIN.
func PageQuery(user uuid.UUID, c Cursor, limit int) (string, []any) { return pageQuery(user, c, limit) }
