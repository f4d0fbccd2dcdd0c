package audit

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const tag = "Audit trail"

// Routes registers the module's part of the API.
func (m *Module) Routes(api *web.API) {
	api.NameEnum("AuditOutcome", "success", "failure", "refused")
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/audit", Name: "list-audit-entries", Tag: tag, Role: identity.Admin, Scope: identity.AuditRead,
		Summary: "List the audit trail, newest first",
		Doc: "Who did what to whom. An entry is written in the transaction of the change that it describes and never changes. It contains ids, and no " +
			"names, e-mail addresses or secrets. Changes of orders are not in it but in their histories (`list-order-events`).",
	}, m.listAuditEntries)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/users/me/activity", Name: "list-activity", Tag: "Accounts", Role: identity.User, Scope: identity.NoKeys,
		Summary: "List what happened to your account, newest first",
		Doc:     "Log-ins and failed attempts, sessions, passwords, API keys, webhooks and exports of your account, with the networks of their callers.",
	}, m.listActivity)
}

// Actor is the author of an entry.
type Actor struct {
	_ struct{} `schema:"AuditActor"`

	Type      string     `json:"type" enum:"user,admin,anonymous,system,command" doc:"anonymous is a request without a credential, system the server itself, and command a command that an operator ran"`
	UserID    *uuid.UUID `json:"userId" nullable:"true" format:"uuid"`
	SessionID *uuid.UUID `json:"sessionId" nullable:"true" format:"uuid"`
	KeyID     *uuid.UUID `json:"keyId" nullable:"true" format:"uuid" doc:"The API key, if one was used"`
}

// Subject is the thing that an action concerned.
type Subject struct {
	_ struct{} `schema:"AuditSubject"`

	Type string `json:"type" example:"user"`
	ID   string `json:"id" doc:"An id; an HMAC for the unknown e-mail address of a failed log-in"`
}

// Change is the change of one field.
type Change struct {
	_ struct{} `schema:"AuditChange"`

	Field  string `json:"field" example:"role"`
	Before any    `json:"before" doc:"null if there was none, or if the trail does not contain the values of the field"`
	After  any    `json:"after"`
}

// Entry is the JSON form of an entry.
type Entry struct {
	_ struct{} `schema:"AuditEntry"`

	ID        uuid.UUID     `json:"id" format:"uuid"`
	At        jsontime.Time `json:"at"`
	Action    string        `json:"action" example:"user.role-changed"`
	Outcome   string        `json:"outcome" enum:"success,failure,refused"`
	Actor     Actor         `json:"actor"`
	Subject   Subject       `json:"subject"`
	UserID    *uuid.UUID    `json:"userId" nullable:"true" format:"uuid" doc:"The account that the entry concerns"`
	Changes   []Change      `json:"changes"`
	RequestID *string       `json:"requestId" nullable:"true"`
	Network   *string       `json:"network" nullable:"true" doc:"The /24 of the client's IPv4 address, or the /64 of its IPv6 address" example:"192.0.2.0/24"`
	Count     int64         `json:"count" doc:"How many equal attempts the entry stands for"`
}

func render(s audit.Stored) (e Entry, err error) {
	e = Entry{
		ID: s.ID, At: jsontime.At(s.At), Action: s.Action, Outcome: string(s.Outcome),
		Actor:   Actor{Type: s.Actor.Type, UserID: idOrNil(s.Actor.ID), SessionID: idOrNil(s.Actor.SessionID), KeyID: idOrNil(s.Actor.KeyID)},
		Subject: Subject{Type: s.SubjectType, ID: s.Subject}, UserID: idOrNil(s.User), RequestID: textOrNil(s.RequestID), Network: textOrNil(s.Network), Count: s.Count,
	}
	return e, json.Unmarshal(s.Changes, &e.Changes)
}

func idOrNil(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

type listEntriesInput struct {
	web.Paging
	ActorID     uuid.UUID      `query:"actorId" format:"uuid" doc:"Only entries of which this account is the author"`
	UserID      uuid.UUID      `query:"userId" format:"uuid" doc:"Only entries that concern this account"`
	Action      string         `query:"action" pattern:"^[a-z]+(-[a-z]+)*\\.([a-z]+(-[a-z]+)*)?$" maxLength:"64" doc:"Only this action, or with a dot at the end all actions of a resource, such as user."`
	SubjectType string         `query:"subjectType" pattern:"^[a-z]+(-[a-z]+)*$" maxLength:"64"`
	SubjectID   string         `query:"subjectId" minLength:"1" maxLength:"100"`
	RequestID   string         `query:"requestId" minLength:"1" maxLength:"128" doc:"Only entries of the request with this X-Request-Id"`
	From        jsontime.Param `query:"from" doc:"At this time or later; a date means midnight UTC"`
	To          jsontime.Param `query:"to" doc:"At this time or earlier; a date means midnight UTC, the beginning of the day"`
}

func (m *Module) listAuditEntries(ctx context.Context, in *listEntriesInput) (*web.PageOf[Entry], error) {
	names, err := m.named(in.Action)
	if err != nil {
		return nil, err
	}
	return list(ctx, m, in.Paging, audit.Filter{
		Actor: in.ActorID, User: in.UserID, Actions: names, SubjectType: in.SubjectType, Subject: in.SubjectID,
		RequestID: in.RequestID, From: time.Time(in.From), To: time.Time(in.To),
	}, render)
}

// Activity is an entry as the owner of the account sees it.
type Activity struct {
	ID      uuid.UUID     `json:"id" format:"uuid"`
	At      jsontime.Time `json:"at"`
	Action  string        `json:"action" example:"session.created"`
	Outcome string        `json:"outcome" enum:"success,failure,refused"`
	By      string        `json:"by" enum:"you,administrator,anonymous,system" doc:"anonymous is a request without a credential, such as a log-in"`
	KeyID   *uuid.UUID    `json:"keyId" nullable:"true" format:"uuid" doc:"Your API key, if one was used"`
	Subject Subject       `json:"subject"`
	Changes []Change      `json:"changes"`
	Network *string       `json:"network" nullable:"true" doc:"The /24 of the client's IPv4 address, or the /64 of its IPv6 address; null for requests of others" example:"192.0.2.0/24"`
	Count   int64         `json:"count" doc:"How many equal attempts the entry stands for"`
}

// renderOwn leaves out who and where another person is.
func renderOwn(s audit.Stored) (Activity, error) {
	e, err := render(s)
	a := Activity{
		ID: e.ID, At: e.At, Action: e.Action, Outcome: e.Outcome, By: "system", Subject: e.Subject, Changes: e.Changes, Network: e.Network, Count: e.Count,
	}
	switch {
	case s.Actor.Type == audit.ActorAnonymous:
		a.By = "anonymous"
	case s.Actor.ID == s.User:
		a.By, a.KeyID = "you", e.Actor.KeyID
	case s.Actor.Type == audit.ActorAdmin, s.Actor.Type == audit.ActorCommand:
		a.By, a.Network = "administrator", nil
	}
	return a, err
}

func (m *Module) listActivity(ctx context.Context, in *web.Paging) (*web.PageOf[Activity], error) {
	return list(ctx, m, *in, audit.Filter{User: identity.MustFromContext(ctx).UserID}, renderOwn)
}

func list[T any](ctx context.Context, m *Module, p web.Paging, f audit.Filter, render func(audit.Stored) (T, error)) (*web.PageOf[T], error) {
	return web.KeysetFrom(ctx, p, func(before uuid.UUID) (data []T, next uuid.UUID, err error) {
		f.Before, f.Limit = before, p.Limit+1
		rows, err := audit.List(ctx, m.pool, f)
		if err != nil {
			return nil, next, err
		}
		if len(rows) > p.Limit {
			rows = rows[:p.Limit]
			next = rows[p.Limit-1].ID
		}
		for _, row := range rows {
			item, err := render(row)
			if err != nil {
				return nil, next, err
			}
			data = append(data, item)
		}
		return data, next, nil
	})
}
