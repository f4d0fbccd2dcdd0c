package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/orderflow-dev/orderflow/platform/web"
)

const (
	// The live heap is small and the allocation rate is high: with the default GOGC a tenth of
	// the CPU time is spent on garbage collection.
	laxGC = 400
	// strictGC is used for a large heap, where each cycle is expensive.
	strictGC = 50
	// headroom is the garbage that may accumulate between two collections. With a fixed
	// percentage, a short peak of live memory would cost five times as much memory and keep it.
	headroom = 64 << 20
	// ofContainer is the fraction of a container's memory for the Go runtime of this process;
	// the rest is for memory outside of the runtime and for the child that hashes passwords.
	ofContainer = 0.8
)

const (
	// memoryOfABody is the memory limit for each large body that is processed at once. The body, its
	// orders, the statements that store them, the response, and the garbage of all of these take about
	// 100 MiB; the rest is for the bodies that arrive meanwhile and for reading the events.
	memoryOfABody = 256 << 20
	// smallestBudget has room for one body of any size, which gets a third of it.
	smallestBudget = 28 << 20
)

// bodyLimits returns the bytes of request bodies and the number of large bodies that a process with this
// memory limit has in memory at once, so that the most expensive requests do not exceed the limit.
func bodyLimits(memory int64) (budget, large int) {
	return int(max(smallestBudget, min(web.BodyBudget, memory/12))), int(max(1, min(web.LargeBodies, memory/memoryOfABody)))
}

// boundMemory sets GOMEMLIMIT from the limit of the container, if there is one, and adjusts
// GOGC to the size of the heap, unless the environment sets them.
func boundMemory() {
	_, _ = memlimit.Set(memlimit.WithRatio(ofContainer)) // does nothing when GOMEMLIMIT is set, or when there is no limit
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(laxGC)
		afterGC(laxGC)
	}
}

// afterGC adjusts GOGC after each collection, which it notices by the finalizer of an
// unreachable object.
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

// pace returns GOGC for a number of live bytes.
func pace(live uint64) int {
	return int(min(laxGC, max(strictGC, 100*headroom/max(live, 1))))
}

func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
