package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/config"
)

// SPEC F3, F17: log lines are text on a terminal in development and JSON otherwise, unless LOG_FORMAT
// says so; colours are for terminals alone.
func TestLogFormat_F17(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		env, format      string
		isTerminal       bool
		variables        map[string]string
		isJSON, isColour bool
	}{
		"terminal":               {config.Development, config.LogAuto, true, nil, false, true},
		"pipe":                   {config.Development, config.LogAuto, false, nil, true, false},
		"production terminal":    {config.Production, config.LogAuto, true, nil, true, false},
		"production pipe":        {config.Production, config.LogAuto, false, nil, true, false},
		"text in a pipe":         {config.Development, config.LogText, false, nil, false, false},
		"text in production":     {config.Production, config.LogText, true, nil, false, true},
		"JSON on a terminal":     {config.Development, config.LogJSON, true, nil, true, false},
		"NO_COLOR":               {config.Development, config.LogAuto, true, map[string]string{"NO_COLOR": "1"}, false, false},
		"NO_COLOR without value": {config.Development, config.LogAuto, true, map[string]string{"NO_COLOR": ""}, false, true},
		"dumb terminal":          {config.Development, config.LogAuto, true, map[string]string{"TERM": "dumb"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			lookup := func(name string) (string, bool) { v, ok := row.variables[name]; return v, ok }
			log := slog.New(logHandler(&config.Config{Env: row.env, LogFormat: row.format, LogLevel: "info"}, &out, row.isTerminal, lookup))

			log.Debug("hidden")
			log.Warn("a request failed", "path", "/v1\x1b[31m\n", "error", errors.New("no\x1b[31m route"), "long", strings.Repeat("ä", maxText+1))

			said := out.String()
			if json.Valid(out.Bytes()) != row.isJSON || strings.Contains(said, "\x1b[") != row.isColour {
				t.Errorf("it says %q", said)
			}
			if isCut := !strings.Contains(said, strings.Repeat("ä", maxText+1)); isCut == row.isJSON || isCut && !strings.Contains(said, "ä...") {
				t.Errorf("it says %q", said)
			}
			if strings.Contains(said, "hidden") || strings.Contains(said, "\x1b[31m") || !strings.Contains(said, "a request failed") || strings.Count(said, "\n") != 1 {
				t.Errorf("it says %q", said)
			}
		})
	}
}
