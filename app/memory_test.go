package app

import (
	"math"
	"testing"
)

// ASVS 5.0 15.2.2: a peak of live memory is not multiplied by the collector's pace.
func TestPaceOfCollecting(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 16 << 20: 400, 32 << 20: 200, 64 << 20: 100, 128 << 20: 50, 4 << 30: 50} {
		if got := pace(live); got != want {
			t.Errorf("%d MiB: %d, want %d", live>>20, got, want)
		}
	}
}

// ASVS 5.0 15.2.2: what bodies take follows the memory limit, and one body of any size always fits.
func TestBodyLimits(t *testing.T) {
	t.Parallel()
	for memory, want := range map[int64][2]int{
		64 << 20: {28 << 20, 1}, 400 << 20: {400 << 20 / 12, 1}, 512 << 20: {512 << 20 / 12, 2}, 1 << 30: {48 << 20, 4}, math.MaxInt64: {48 << 20, 4},
	} {
		if budget, large := bodyLimits(memory); budget != want[0] || large != want[1] {
			t.Errorf("%d MiB: %d bytes and %d bodies, want %v", memory>>20, budget, large, want)
		}
	}
}
