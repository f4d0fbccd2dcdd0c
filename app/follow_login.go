package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// apiLogin gives access tokens of an account, or an API key. A session is continued with its refresh token, because a
// code of a second factor works only once, and ended by end.
type apiLogin struct {
	server               string
	key                  string // takes precedence
	email, password      string
	code                 string
	prompt               func(question string) (string, error) // nil without a terminal
	client               http.Client
	access, refreshToken string
	until                time.Time // of the access token
}

// token returns a valid API key or access token.
func (l *apiLogin) token(ctx context.Context) (string, error) {
	if l.key != "" {
		return l.key, nil
	}
	if l.access != "" && time.Now().Before(l.until) {
		return l.access, nil
	}
	if l.refreshToken != "" {
		err := l.ask(ctx, "/v1/auth/refresh", map[string]string{"refreshToken": l.refreshToken})
		if _, over := errors.AsType[*refused](err); !over {
			return l.access, err
		}
		l.refreshToken = "" // the session has ended
	}
	body := map[string]string{"email": l.email, "password": l.password}
	if l.code != "" {
		body["code"] = l.code
	}
	err := l.ask(ctx, "/v1/auth/login", body)
	if err != nil && strings.Contains(err.Error(), "totp-required") {
		if body["code"], err = l.askCode(); err != nil {
			return "", err
		}
		err = l.ask(ctx, "/v1/auth/login", body)
	}
	l.code = "" // it works once
	return l.access, err
}

func (l *apiLogin) askCode() (string, error) {
	if l.prompt == nil {
		return "", &refused{errors.New("the account has a second factor: give a code of the authenticator app with --code")}
	}
	code, err := l.prompt("Code of the authenticator app, or a recovery code: ")
	if err != nil {
		return "", &refused{err}
	}
	return code, nil
}

// forget makes the next token a new one.
func (l *apiLogin) forget() { l.access = "" }

// ask stores the tokens of the response.
func (l *apiLogin) ask(ctx context.Context, path string, body map[string]string) error {
	res, err := l.post(ctx, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return refusal(res)
	}
	var tokens struct {
		AccessToken, RefreshToken string
		ExpiresIn                 int
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&tokens); err != nil || tokens.AccessToken == "" {
		return fmt.Errorf("%s: no tokens in the response", path)
	}
	l.access, l.refreshToken = tokens.AccessToken, tokens.RefreshToken
	l.until = time.Now().Add(time.Duration(tokens.ExpiresIn)*time.Second - 30*time.Second)
	return nil
}

func (l *apiLogin) post(ctx context.Context, path string, body any) (*http.Response, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.server+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if path == "/v1/auth/logout" {
		req.Header.Set("Authorization", "Bearer "+l.access)
	}
	return l.client.Do(req)
}

// end ends the session that token has begun, within two seconds.
func (l *apiLogin) end() {
	if l.access == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if res, err := l.post(ctx, "/v1/auth/logout", struct{}{}); err == nil {
		res.Body.Close()
	}
}

// terminalPrompt asks on the terminal, or returns nil if stdin is none. The input is not shown.
func terminalPrompt() func(string) (string, error) {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil
	}
	return func(question string) (string, error) {
		fmt.Fprint(os.Stderr, question)
		raw, err := term.ReadPassword(fd)
		fmt.Fprintln(os.Stderr)
		return strings.TrimSpace(string(raw)), err
	}
}
