package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// assignment is a variable of a file .env.
type assignment struct {
	line    int  // on which it begins
	isInUse bool // false if the environment has the variable as well
}

// loadDotenv sets the variables of a file that the environment does not contain, and returns all
// variables of the file. A missing file counts as an empty one.
//
// This parser replaces godotenv, which quotes the rest of the file in its errors, expands $ in
// passwords, and rejects a byte order mark.
func loadDotenv(name string) (map[string]assignment, error) {
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]assignment{}, nil
	}
	if err != nil {
		return nil, err // names the file and quotes nothing, because nothing has been read
	}
	parsed, err := parseDotenvFile(raw)
	if err != nil {
		return nil, err
	}
	assignments := map[string]assignment{}
	for name, value := range parsed.vars {
		_, isSet := os.LookupEnv(name)
		assignments[name] = assignment{line: parsed.at[name], isInUse: !isSet}
		if isSet {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return nil, &lineError{parsed.at[name], "sets a variable that cannot be set"}
		}
	}
	return assignments, nil
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// lineError reports the position of an error in a file. It never contains a part of the line,
// because a malformed line, even its apparent name, may be the middle of a secret.
type lineError struct {
	line int
	what string
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d %s", e.line, e.what) }

// maxLineErrors is the number of malformed lines of a file that are reported.
const maxLineErrors = 10

// parseDotenvFile reads lines of the form NAME=value, with an optional "export " before. Nothing in a
// value is expanded.
//
//   - Without quotes, a value ends with the line, or before a # that follows a space.
//   - In single quotes, it may contain anything but single quotes, including line breaks.
//   - In double quotes, \n, \r, \", \\ and \$ are escapes; other backslashes are kept.
//
// If a variable occurs several times, the last line counts. The error joins a *lineError for each
// malformed line, for the first ten of them.
func parseDotenvFile(raw []byte) (*dotenv, error) {
	if bytes.HasPrefix(raw, []byte{0xff, 0xfe}) || bytes.HasPrefix(raw, []byte{0xfe, 0xff}) {
		return nil, &lineError{1, "is UTF-16; save the file as UTF-8"}
	}
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	p := &dotenv{
		lines: strings.Split(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n"),
		vars:  map[string]string{}, at: map[string]int{},
	}
	var errs []error
	for p.next < len(p.lines) && len(errs) < maxLineErrors {
		if err := p.statement(); err != nil {
			errs = append(errs, err)
		}
	}
	return p, errors.Join(errs...)
}

// dotenv is a file .env and the position of the parser in it.
type dotenv struct {
	lines []string
	next  int               // index of the next line
	vars  map[string]string // values by variable
	at    map[string]int    // numbers of the lines by variable
}

func (p *dotenv) statement() error {
	line := strings.TrimSpace(p.lines[p.next])
	p.next++
	if line == "" || line[0] == '#' {
		return nil
	}
	name, value, ok := strings.Cut(line, "=")
	if !ok {
		return p.bad("has no =; write NAME=value")
	}
	name = strings.TrimSpace(name)
	if rest, ok := strings.CutPrefix(name, "export"); ok && strings.TrimLeft(rest, " \t") != rest {
		name = strings.TrimSpace(rest)
	}
	if !variableName.MatchString(name) {
		return p.bad("has no name before the =, or one with other characters than letters, digits and _")
	}

	first := p.next
	value, err := p.value(value)
	if err != nil {
		return err
	}
	switch {
	case strings.ContainsRune(value, 0):
		err = &lineError{first, "holds a NUL character"}
	case strings.ContainsRune(strings.Join(p.lines[first-1:p.next], ""), '\r'):
		err = &lineError{first, "holds a carriage return"}
	case !utf8.ValidString(value):
		err = &lineError{first, "is not UTF-8"}
	default:
		p.vars[name], p.at[name] = value, first
	}
	return err
}

func (p *dotenv) bad(what string) error { return &lineError{p.next, what} }

func (p *dotenv) value(text string) (string, error) {
	trimmed := strings.TrimLeft(text, " \t")
	if trimmed == "" || trimmed[0] != '"' && trimmed[0] != '\'' {
		for i := 1; i < len(text); i++ {
			if text[i] == '#' && (text[i-1] == ' ' || text[i-1] == '\t') {
				text = text[:i]
				break
			}
		}
		return strings.TrimSpace(text), nil
	}

	quote, first := trimmed[0], p.next
	var value strings.Builder
	for rest := trimmed[1:]; ; {
		end, isClosed := readQuoted(&value, rest, quote)
		if isClosed {
			if after := strings.TrimSpace(end); after != "" && after[0] != '#' {
				return "", p.bad("goes on behind the closing quote")
			}
			return value.String(), nil
		}
		if p.next == len(p.lines) {
			return "", &lineError{first, "opens a quote that is never closed"}
		}
		value.WriteByte('\n')
		rest = p.lines[p.next]
		p.next++
	}
}

// readQuoted appends a line, or its part before the closing quote, to value.
func readQuoted(value *strings.Builder, line string, quote byte) (rest string, isClosed bool) {
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == quote:
			return line[i+1:], true
		case c == '\\' && quote == '"' && i+1 < len(line) && escapes[line[i+1]] != 0:
			i++
			value.WriteByte(escapes[line[i]])
		default:
			value.WriteByte(c)
		}
	}
	return "", false
}

var escapes = map[byte]byte{'n': '\n', 'r': '\r', '"': '"', '\\': '\\', '$': '$'}
