package webhooks

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
)

// TestType is the event type of a test message, which belongs to no order.
const TestType = "webhook.test"

// Attempt is the result of one attempt.
type Attempt struct {
	_ struct{} `schema:"DeliveryAttempt"`

	At         jsontime.Time `json:"at"`
	DurationMS int64         `json:"durationMs"`
	StatusCode *int64        `json:"statusCode" nullable:"true" doc:"null if there was no response"`
	Error      *string       `json:"error" nullable:"true" doc:"null if the event was accepted"`
	Answer     string        `json:"answer" doc:"The beginning of the response body"`
}

// TestResult is the result of a test.
type TestResult struct {
	_ struct{} `schema:"WebhookTestResult"`

	MessageID string `json:"messageId" doc:"The webhook-id"`
	Delivered bool   `json:"delivered"`
	Attempt
}

// ping posts a test message to an endpoint of the caller, which may be disabled.
func (m *Module) ping(ctx context.Context, c identity.Caller, id uuid.UUID) (TestResult, error) {
	row, err := m.webhook(ctx, m.pool, c, id)
	if err != nil {
		return TestResult{}, err
	}
	leave, err := m.shares.enterTest(row.OwnerID, id)
	if err != nil {
		return TestResult{}, err
	}
	defer leave()
	earlier, err := m.earlierSecrets(ctx, id)
	if err != nil {
		return TestResult{}, err
	}
	var previous []byte
	if row.PreviousSecret != nil {
		previous = *row.PreviousSecret
	}
	body, err := canonical.Marshal(pingOf(id, c))
	if err != nil {
		return TestResult{}, err
	}
	tested := audit.Entry{Action: auditTested, Subject: id.String(), User: row.OwnerID, Changes: []audit.Change{audit.Now("urlHost", hostOf(row.URL))}}
	if err := audit.Record(ctx, m.pool, tested); err != nil {
		return TestResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, m.policy.ping)
	defer cancel()
	p := request{url: row.URL, id: messageID(uuid.New()), secrets: secretsOf(row.Secret, previous, row.PreviousUntil, earlier), body: body}
	o := m.sender.post(ctx, p)
	m.metrics.attempts.WithLabelValues("test").Inc()

	result := TestResult{MessageID: p.id, Delivered: o.accepted(), Attempt: Attempt{At: jsontime.At(o.at), DurationMS: o.took.Milliseconds(), Answer: o.answer}}
	if o.status != 0 {
		result.StatusCode = new(int64(o.status))
	}
	if !o.accepted() {
		result.Error = &o.problem
	}
	return result, nil
}

// pingOf is an event without the attributes of an order.
func pingOf(id uuid.UUID, c identity.Caller) any {
	return struct {
		SpecVersion     string          `json:"specversion"`
		ID              string          `json:"id"`
		Source          string          `json:"source"`
		Type            string          `json:"type"`
		Subject         uuid.UUID       `json:"subject"`
		Time            jsontime.Time   `json:"time"`
		DataContentType string          `json:"datacontenttype"`
		Data            json.RawMessage `json:"data"`
		Actor           string          `json:"actor"`
		UserID          uuid.UUID       `json:"userid"`
	}{
		SpecVersion: "1.0", ID: uuid.NewString(), Source: path, Type: TestType, Subject: id, Time: jsontime.At(events.Now()),
		DataContentType: "application/json", Data: json.RawMessage(`{"webhookId":"` + id.String() + `"}`),
		Actor: string(c.Actor()), UserID: c.UserID,
	}
}
