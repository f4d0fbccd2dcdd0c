package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// load returns the load average of the machine over the last minute, or "-" where it cannot be read.
func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "-"
	}
	one, _, _ := strings.Cut(string(raw), " ")
	return one
}

// resident returns the resident memory of a process in MiB, and the highest value that it ever had.
func resident(pid int) (now, peak int, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(raw), name+":")
		text, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, _ := strconv.Atoi(text)
		return n >> 10
	}
	return field("VmRSS"), field("VmHWM"), nil
}

// forgetPeak makes the present memory of a process its highest one, where the kernel can.
func forgetPeak(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) // the peak is then that of its whole life
}

// percentile sorts the list and returns the exact percentile, or 0 for an empty list.
func percentile(list []time.Duration, p float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[int(math.Ceil(p*float64(len(list))))-1]
}

// short formats a duration with at most three digits.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(100 * time.Microsecond).String()
	}
}
