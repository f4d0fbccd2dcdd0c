package queue

import "github.com/orderflow-dev/orderflow/platform/laws"

// Laws returns what must hold of the tables of this package: jobs run, and none waits for ever.
func Laws() []laws.Law {
	return []laws.Law{
		{
			Name: "job-stuck", Spec: "D5", Says: "no job runs longer than its rescue takes",
			Query: `
			select format('job %s, %s', id, kind), format('runs since %s on %s', attempted_at, attempted_by[cardinality(attempted_by)])
			from river_job where state = 'running' and attempted_at < now() - interval '3 minutes'`,
		},
		{
			Name: "job-waiting", Spec: "D5", Says: "no job waits for a worker for long",
			Query: `
			select format('job %s, %s', id, kind), format('is %s since %s', state, scheduled_at)
			from river_job where state in ('available', 'scheduled', 'retryable') and scheduled_at < now() - interval '2 minutes'`,
		},
		{
			Name: "rest-jobs", Spec: "D5", Settled: true, Says: "at rest no job is alive",
			Query: `
			select format('job %s, %s', id, kind), format('is %s', state)
			from river_job where state in ('available', 'pending', 'retryable', 'running', 'scheduled')`,
		},
	}
}
