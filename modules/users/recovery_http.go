package users

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) recoveryRoutes(api *web.API) {
	const noMail = " 409 `mail-not-configured` if the server sends no e-mail."
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/verification", Name: "send-verification", Tag: "Accounts",
		Summary: "Send another code to verify your e-mail address", Role: identity.User, Scope: identity.NoKeys, Status: http.StatusAccepted, AllowRestricted: true,
		Errors: []int{http.StatusNotFound, http.StatusConflict},
		Doc: "The code of the message replaces earlier ones and is valid for 24 hours. 409 `email-already-verified`. " +
			"429 `too-many-messages` after three messages at once and then one in half an hour." + noMail,
		Codes: []string{"email-already-verified", "mail-not-configured", "too-many-messages"},
	}, m.requestVerificationMail)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/verification/confirm", Name: "confirm-verification", Tag: "Accounts",
		Summary: "Verify an e-mail address with the code of a message", Role: identity.Anyone, Scope: identity.NoKeys, Status: http.StatusNoContent,
		Doc:     "Needs no log-in, because the message may be read on another device. The sessions of the account can be used within a second. 422 `invalid-verification-token`.",
		Codes:   []string{"invalid-verification-token"},
		Example: `{"token":"example-code"}`,
	}, m.confirmEmail)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/password-reset", Name: "request-password-reset", Tag: "Accounts",
		Summary: "Send a code to reset a forgotten password", Role: identity.Anyone, Scope: identity.NoKeys, Status: http.StatusAccepted,
		Errors: []int{http.StatusConflict},
		Doc: "The response does not tell whether an account has the e-mail address: it is the same, after the same work. The code is valid for 30 minutes and replaces earlier ones. " +
			"Three messages at once and then one in half an hour are sent to an address; more requests get the same response. 429 `too-many-messages` if there were too many requests from the network address." + noMail,
		Codes:   []string{"mail-not-configured"},
		Example: `{"email":"ada@example.com"}`,
	}, m.requestPasswordReset)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/password-reset/confirm", Name: "confirm-password-reset", Tag: "Accounts",
		Summary: "Set a new password with the code of a message", Role: identity.Anyone, Scope: identity.NoKeys, Status: http.StatusNoContent,
		Doc: "The code can be used once. Ends all sessions of the account and verifies its e-mail address; log in afterwards. API keys stay valid. " +
			"422 `invalid-reset-token` at `/token`; the code stays valid if only the password is refused. 503 `busy` if too many logins are in progress.",
		Codes:   []string{"invalid-reset-token"},
		Example: `{"token":"example-code","newPassword":"a badger in a bathtub"}`,
	}, m.confirmPasswordReset)
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: "/v1/users/{id}/password-reset", Name: "start-password-reset", Tag: "Users",
		Summary: "Send the owner of an account a code to reset the password", Role: identity.Admin, Scope: identity.NoKeys, Status: http.StatusAccepted,
		Errors: []int{http.StatusConflict},
		Doc: "Administrators never learn the code or the password. The present password and the sessions stay valid until the owner sets a new one. 409 `account-inactive`. " +
			"429 `too-many-messages` after three messages at once and then one in half an hour." + noMail,
		Codes: []string{"mail-not-configured", "account-inactive"},
	}, web.Responder[startedReset, PasswordReset]{Body: func(_ context.Context, r startedReset) PasswordReset {
		return PasswordReset{UserID: r.userID, ValidMinutes: int(tokenLives[mailReset].Minutes())}
	}}, m.startPasswordReset)
}

// PasswordReset is the response to an administrator who started a reset.
type PasswordReset struct {
	UserID       uuid.UUID `json:"userId" format:"uuid"`
	ValidMinutes int       `json:"validMinutes" doc:"How long the code is valid from the moment at which the message is sent"`
}

func (m *Module) requestVerificationMail(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, m.sendVerification(ctx, identity.MustFromContext(ctx).UserID)
}

// EmailConfirmationRequest is the body of a request with the code of a message.
type EmailConfirmationRequest struct {
	Token string `json:"token" minLength:"1" maxLength:"100" doc:"The code of the message"`
}

type confirmInput struct {
	Body EmailConfirmationRequest
}

func (m *Module) confirmEmail(ctx context.Context, in *confirmInput) (*struct{}, error) {
	return nil, m.confirmVerification(ctx, in.Body.Token)
}

// PasswordResetRequest is the body of a request to reset a forgotten password.
type PasswordResetRequest struct {
	Email string `json:"email" example:"ada@example.com"`
}

type resetInput struct {
	Body PasswordResetRequest
}

func (m *Module) requestPasswordReset(ctx context.Context, in *resetInput) (*struct{}, error) {
	return nil, m.requestReset(ctx, in.Body.Email)
}

// PasswordResetConfirmationRequest is the body of a request that resets a password.
type PasswordResetConfirmationRequest struct {
	Token       string `json:"token" minLength:"1" maxLength:"100" doc:"The code of the message"`
	NewPassword string `json:"newPassword" doc:"8 to 72 bytes in UTF-8"`
}

type confirmResetInput struct {
	Body PasswordResetConfirmationRequest
}

func (m *Module) confirmPasswordReset(ctx context.Context, in *confirmResetInput) (*struct{}, error) {
	return nil, m.confirmReset(ctx, in.Body.Token, in.Body.NewPassword)
}

func (m *Module) startPasswordReset(ctx context.Context, in *idInput, key idempotency.Key[startedReset]) (idempotency.Result[startedReset], error) {
	return m.startReset(ctx, in.ID, key)
}
