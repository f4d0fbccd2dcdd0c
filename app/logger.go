package app

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/printable"
)

// logger writes to stderr, in the format and from the level of the settings.
func logger(cfg *config.Config) *slog.Logger {
	isTerminal := isatty.IsTerminal(os.Stderr.Fd()) || isatty.IsCygwinTerminal(os.Stderr.Fd())
	return slog.New(logHandler(cfg, os.Stderr, isTerminal, os.LookupEnv))
}

// logHandler returns the handler of LOG_FORMAT. Text has colours on a terminal that can show them,
// unless NO_COLOR is set and not empty (no-color.org). Both formats escape control characters.
func logHandler(cfg *config.Config, out io.Writer, isTerminal bool, lookup func(string) (string, bool)) slog.Handler {
	var level slog.LevelVar
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // checked by config
	isText := cfg.LogFormat == config.LogText ||
		cfg.LogFormat == config.LogAuto && isTerminal && !cfg.IsProduction()
	if !isText {
		return slog.NewJSONHandler(out, &slog.HandlerOptions{Level: &level})
	}
	noColor, _ := lookup("NO_COLOR")
	terminal, _ := lookup("TERM")
	return tint.NewTextHandler(out, &tint.Options{
		Level: &level, TimeFormat: "15:04:05.000", NoColor: !isTerminal || noColor != "" || terminal == "dumb",
		ReplaceAttr: forPeople,
	})
}

// maxText is the number of characters of a value in a line of text. JSON has all of them.
const maxText = 200

// forPeople shortens the text of an attribute, and replaces its control characters, except for line breaks
// and tabs, which tint escapes. With colours it passes on all others, so that the path of a request could
// change what the terminal shows (CWE-150).
func forPeople(_ []string, a slog.Attr) slog.Attr {
	if kind := a.Value.Kind(); kind != slog.KindString && kind != slog.KindAny {
		return a
	}
	isHarmful := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || printable.IsBidiControl(r)
	}
	text := a.Value.String()
	isLong := utf8.RuneCountInString(text) > maxText
	if !isLong && !strings.ContainsFunc(text, isHarmful) {
		return a
	}
	if isLong {
		text = string([]rune(text)[:maxText]) + "..."
	}
	return slog.String(a.Key, strings.Map(func(r rune) rune {
		if isHarmful(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text))
}
