package auth

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) totpRoutes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/auth/totp", Name: "get-totp", Tag: "Accounts",
		Summary: "Read the state of your second factor", Role: identity.User, Scope: identity.NoKeys, Errors: []int{http.StatusConflict}, AllowRestricted: true,
		Doc:   "409 `totp-off` on all routes of second factors if they are turned off (`ADMIN_TOTP=off`).",
		Codes: []string{"totp-off"},
	}, m.getTOTP)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/totp", Name: "enrol-totp", Tag: "Accounts",
		Summary: "Get a secret for an authenticator app", Role: identity.User, Scope: identity.NoKeys, Errors: []int{http.StatusConflict}, AllowRestricted: true, RecentPassword: true,
		Doc: "The secret is shown in this response only, and protects nothing until `activate-totp` has received a code of it, within 15 minutes. " +
			"It replaces a secret that was not activated. 409 `totp-active` if the account has a second factor, `totp-not-configured` if the server has no `TOTP_KEYS`.",
		Codes: []string{"totp-active", "totp-not-configured", "totp-off"},
	}, m.enrolTOTP)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/totp/activate", Name: "activate-totp", Tag: "Accounts",
		Summary: "Activate your second factor with its first code", Role: identity.User, Scope: identity.NoKeys, Errors: []int{http.StatusConflict}, AllowRestricted: true,
		Doc: "Returns the recovery codes, which are shown in this response only, and ends all other sessions of the account. From now on a log-in needs a code. " +
			"422 `invalid-code` if the code is wrong; wrong codes are limited like wrong passwords. 409 `totp-not-started` without a secret.",
		Codes:   []string{"totp-not-started", "invalid-code", "too-many-attempts"},
		Example: `{"code":"123456"}`,
	}, m.activateTOTP)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/totp/recovery-codes", Name: "replace-recovery-codes", Tag: "Accounts",
		Summary: "Replace your recovery codes", Role: identity.User, Scope: identity.NoKeys, Errors: []int{http.StatusConflict},
		Doc:     "The earlier codes are no longer valid. The new ones are shown in this response only. 409 `totp-not-active` without a second factor, 422 `invalid-code` if the code is wrong.",
		Codes:   []string{"totp-not-active", "invalid-code"},
		Example: `{"code":"123456"}`,
	}, m.replaceRecoveryCodes)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: "/v1/auth/totp", Name: "remove-totp", Tag: "Accounts",
		Summary: "Remove your second factor", Role: identity.User, Scope: identity.NoKeys, Status: http.StatusNoContent, Errors: []int{http.StatusConflict, http.StatusUnprocessableEntity}, RecentPassword: true,
		Doc:     "A recovery code is accepted as well. 409 `totp-not-active` without a second factor, 422 `invalid-code` if the code is wrong.",
		Codes:   []string{"totp-not-active", "invalid-code"},
		Example: `{"code":"123456"}`,
	}, m.removeTOTP)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: "/v1/users/{id}/totp", Name: "reset-totp", Tag: "Users",
		Summary: "Remove the second factor of an account", Role: identity.Admin, Scope: identity.NoKeys, Status: http.StatusNoContent, Errors: []int{http.StatusConflict}, RecentPassword: true,
		Doc:   "For owners who have lost their device and their recovery codes. Ends all sessions of the account. 409 `totp-not-active` if the account has no second factor, `own-account` for your own.",
		Codes: []string{"totp-not-active", "own-account"},
	}, m.resetTOTP)
}

// SecondFactor is the JSON form of the state of a second factor.
type SecondFactor struct {
	_ struct{} `schema:"TOTPStatus"`

	State             string         `json:"state" enum:"none,pending,active" doc:"pending: a secret waits for its first code"`
	ActivatedAt       *jsontime.Time `json:"activatedAt" nullable:"true"`
	RecoveryCodesLeft int            `json:"recoveryCodesLeft" doc:"Recovery codes that were not used"`
	Required          bool           `json:"required" doc:"Whether administrators need a second factor (ADMIN_TOTP=required)"`
}

type secondFactorAnswer struct{ Body SecondFactor }

func (m *Module) getTOTP(ctx context.Context, _ *struct{}) (*secondFactorAnswer, error) {
	s, err := m.factorState(ctx, identity.MustFromContext(ctx).UserID)
	if err != nil {
		return nil, err
	}
	body := SecondFactor{State: "none", RecoveryCodesLeft: s.recoveryCodes, Required: m.totp.Mode == TOTPRequired}
	switch {
	case s.active:
		body.State, body.ActivatedAt = "active", new(jsontime.At(*s.activatedAt))
	case s.pending:
		body.State = "pending"
	}
	return &secondFactorAnswer{Body: body}, nil
}

// TOTPEnrolment is a secret for an authenticator app.
type TOTPEnrolment struct {
	Secret     string `json:"secret" doc:"In base32, for typing it in"`
	OtpauthURL string `json:"otpauthUrl" doc:"The same as a URL, for a QR code"`
}

type enrolmentAnswer struct{ Body TOTPEnrolment }

func (m *Module) enrolTOTP(ctx context.Context, _ *struct{}) (*enrolmentAnswer, error) {
	e, err := m.enrol(ctx, identity.MustFromContext(ctx))
	if err != nil {
		return nil, err
	}
	return &enrolmentAnswer{Body: TOTPEnrolment{Secret: e.secret, OtpauthURL: e.url}}, nil
}

// Code is the body of a request that needs a code of the second factor.
type Code struct {
	_ struct{} `schema:"TOTPCodeRequest"`

	Code string `json:"code" maxLength:"64" example:"123456" doc:"Six digits of the authenticator app, or a recovery code; spaces and hyphens do not matter"`
}

type codeInput struct {
	Body Code
}

// RecoveryCodes are the codes that an owner without a device can use.
type RecoveryCodes struct {
	RecoveryCodes []string `json:"recoveryCodes" doc:"Each can be used once instead of a code"`
}

type recoveryCodesAnswer struct{ Body RecoveryCodes }

func recoveryCodes(codes []string, err error) (*recoveryCodesAnswer, error) {
	if err != nil {
		return nil, err
	}
	return &recoveryCodesAnswer{Body: RecoveryCodes{RecoveryCodes: codes}}, nil
}

func (m *Module) activateTOTP(ctx context.Context, in *codeInput) (*recoveryCodesAnswer, error) {
	return recoveryCodes(m.activate(ctx, identity.MustFromContext(ctx), in.Body.Code, clientaddr.From(ctx)))
}

func (m *Module) replaceRecoveryCodes(ctx context.Context, in *codeInput) (*recoveryCodesAnswer, error) {
	return recoveryCodes(m.newRecoveryCodes(ctx, identity.MustFromContext(ctx), in.Body.Code, clientaddr.From(ctx)))
}

func (m *Module) removeTOTP(ctx context.Context, in *codeInput) (*struct{}, error) {
	return nil, m.removeFactor(ctx, identity.MustFromContext(ctx), in.Body.Code, clientaddr.From(ctx))
}

type resetTOTPInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (m *Module) resetTOTP(ctx context.Context, in *resetTOTPInput) (*struct{}, error) {
	return nil, m.resetFactor(ctx, identity.MustFromContext(ctx), in.ID)
}
