// Package wakeup tells a loop that there may be something to do.
//
// Many wake-ups become one: a signal that the loop has not received yet stands for all that
// came since. A loop must therefore look for all work after it receives one.
package wakeup

// Signal is a wake-up for one receiver, which receives from it like from any channel. Its zero
// value is never ready; make one with New.
type Signal chan struct{}

// New returns a signal that is not ready.
func New() Signal { return make(Signal, 1) }

// Send wakes the receiver, now or as soon as it receives. It never blocks, is safe for
// concurrent use, and has no effect while an earlier wake-up has not been received.
func (s Signal) Send() {
	select {
	case s <- struct{}{}:
	default:
	}
}
