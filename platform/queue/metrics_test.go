package queue

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// SPEC F3: each attempt counts once, under its outcome, also if it panics.
func TestJobMetrics_F3(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	value := func(name, label string) (v float64) {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, one := range f.GetMetric() {
				if f.GetName() == name && (label == "" || one.GetLabel()[len(one.GetLabel())-1].GetValue() == label) {
					v += one.GetCounter().GetValue() + one.GetGauge().GetValue() + float64(one.GetHistogram().GetSampleCount())
				}
			}
		}
		return v
	}
	const attempts, running = "orderflow_job_attempts_total", "orderflow_jobs_running"
	broken := errors.New("broken")
	for _, row := range []struct {
		attempt int
		err     error
		outcome string
	}{
		{1, nil, completed},
		{8, nil, completed},
		{1, broken, failed},
		{8, broken, discarded},
		{8, river.JobSnooze(1), snoozed},
		{1, fmt.Errorf("wrapped: %w", river.JobCancel(broken)), discarded},
	} {
		before := value(attempts, row.outcome)
		err := m.Work(t.Context(), &rivertype.JobRow{Kind: "k", Attempt: row.attempt, MaxAttempts: 8}, func(context.Context) error {
			if value(running, "") != 1 {
				t.Error("the job does not run")
			}
			return row.err
		})
		if !errors.Is(err, row.err) || value(attempts, row.outcome) != before+1 {
			t.Errorf("%+v: %v", row, err)
		}
	}

	func() {
		defer func() { _ = recover() }()
		_ = m.Work(t.Context(), &rivertype.JobRow{Kind: "p", Attempt: 1, MaxAttempts: 8}, func(context.Context) error { panic("oh") })
	}()
	if value(attempts, failed) != 2 || value(running, "") != 0 {
		t.Error("a panic is not counted")
	}
	if n := value("orderflow_job_duration_seconds", ""); n != 7 {
		t.Errorf("%f durations", n)
	}
}
