package app

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// SPEC F16: a terminal shows what a command is doing and in the end nothing of it; a file and a short command
// show nothing.
func TestProgress_F16(t *testing.T) {
	t.Parallel()
	out := &syncbuf.Buffer{}
	p := startProgress(out, time.Nanosecond, time.Millisecond)
	for _, text := range []string{"checking 1 of 58", "checking 2 of 58"} {
		p.now("%s", text)
		testwait.Until(t, text, func() bool { return strings.Contains(out.String(), "\r\x1b[K"+text+", 0s") })
	}
	p.end()
	if text := out.String(); !strings.HasSuffix(text, "\r\x1b[K") || strings.Contains(text, "\n") {
		t.Errorf("it ends with %q", text)
	}

	short := &syncbuf.Buffer{}
	p = startProgress(short, time.Hour, time.Hour)
	p.now("checking")
	p.end()
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	none := newProgress(file)
	none.now("checking")
	none.end()
	if none != nil || short.String() != "" || newProgress(out) != nil {
		t.Errorf("a short command shows %q, a file %v", short, none)
	}
}
