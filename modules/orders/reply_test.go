package orders_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

// reply is an answer that has been read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// reply asks like ask, for those who want more of the answer.
func (f *front) reply(who, what, body string, headers ...string) reply {
	f.t.Helper()
	res := f.send(who, what, body, headers...)
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Error(err)
	}
	return reply{res.StatusCode, res.Header, raw}
}

// into reads the body; what does not fit leaves v as it was.
func (r reply) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(r.body, v); err != nil {
		t.Errorf("%s: %v", r.body, err)
	}
}

// code is the problem's, "" for an answer.
func (r reply) code() string {
	var p struct{ Code string }
	if r.status < 400 || json.Unmarshal(r.body, &p) != nil {
		return ""
	}
	return p.Code
}
