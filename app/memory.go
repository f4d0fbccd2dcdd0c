package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// What lives long here is small and what is thrown away is not: at the default
	// pace a tenth of the processor time goes into collecting it.
	laxGC = 400
	// strictGC is for a heap that is large already, where each cycle is expensive.
	strictGC = 50
	// headroom is the garbage that may lie about between two collections. A fixed
	// percentage would let a moment's peak of live memory cost five times as much, and
	// keep it.
	headroom = 64 << 20
	// ofContainer is the part of a container's memory that is for this process; the rest
	// is for what Go does not count, and for the child that hashes passwords.
	ofContainer = 0.8
)

// boundMemory sets what the environment leaves open: GOMEMLIMIT follows the limit of
// the container, where there is one, and GOGC the size of the heap.
func boundMemory() {
	_, _ = memlimit.Set(memlimit.WithRatio(ofContainer)) // does nothing when GOMEMLIMIT is set, or when there is no limit
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(laxGC)
		afterGC(laxGC)
	}
}

// afterGC adjusts the pace whenever a collection has ended, which is when an object that
// nothing refers to is finalized.
func afterGC(percent int) {
	runtime.SetFinalizer(new([16]byte), func(*[16]byte) {
		next := pace(liveHeap())
		if d := next - percent; d*10 > percent || -d*10 > percent {
			debug.SetGCPercent(next)
			percent = next
		}
		afterGC(percent)
	})
}

// pace is GOGC for so many live bytes.
func pace(live uint64) int {
	return int(min(laxGC, max(strictGC, 100*headroom/max(live, 1))))
}

func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
