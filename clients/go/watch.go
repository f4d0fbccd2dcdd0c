package orderflow

import (
	"errors"
	"time"
)

var errSilence = errors.New("orderflow: the server has been silent for too long")

// watch calls give up when nothing was heard for a while: a connection whose peer has vanished
// otherwise looks like an idle one.
type watch struct {
	silence time.Duration
	timer   *time.Timer
}

func newWatch(silence time.Duration, giveUp func()) *watch {
	return &watch{silence, time.AfterFunc(silence, giveUp)}
}

func (w *watch) heard() { w.timer.Reset(w.silence) }
func (w *watch) stop()  { w.timer.Stop() }
