package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Origin is where the value of a setting comes from.
type Origin string

// The origins. A secret from a file has the name of its variable, such as JWT_KEYS_FILE, as origin.
const (
	FromDefault     Origin = "default"
	FromEnvironment Origin = "environment"
	FromDotenv      Origin = ".env"
)

// Value is a setting with its effective value.
type Value struct {
	Setting

	// Value is written as in .env. It is *** for a secret, with the host of DATABASE_URL and
	// REDIS_URL, and "" for a setting that is not set or invalid.
	Value   string
	Default string // of APP_ENV
	Origin  Origin
	Invalid bool // Report.Problems says why
}

// originsOf returns the origins of all variables that are set.
func originsOf(environment map[string]string, file map[string]assignment) map[string]Origin {
	origins := map[string]Origin{}
	for name := range environment {
		origin := FromEnvironment
		if file[name].isInUse {
			origin = FromDotenv
		}
		origins[name] = origin
	}
	return origins
}

// values returns all settings. The problems name those that are invalid.
func (c *Config) values(origins map[string]Origin, problems []string) (list []Value) {
	usual := defaults(c.Env)
	isInvalid := func(name string) bool {
		return slices.ContainsFunc(problems, func(p string) bool {
			return strings.HasPrefix(p, name+":") || strings.HasPrefix(p, name+fileSuffix+":")
		})
	}
	for _, s := range Settings() {
		v := Value{Setting: s, Default: usual.text(s.Name), Origin: FromDefault, Invalid: isInvalid(s.Name)}
		if !v.Invalid {
			v.Value = c.text(s.Name)
		}
		if origin, isSet := origins[s.Name]; isSet {
			v.Origin = origin
		} else if _, isSet := origins[s.Name+fileSuffix]; isSet && s.Secret {
			v.Origin = Origin(s.Name + fileSuffix)
		}
		list = append(list, v)
	}
	return list
}

// defaults returns the settings of an environment in which nothing else is set.
func defaults(environment string) *Config {
	var c Config
	_ = parse(&c, map[string]string{"APP_ENV": environment}) // the defaults are valid, see the tests
	c.setDefaults()
	return &c
}

// text returns the effective value of a setting as it is written in .env, without secrets.
func (c *Config) text(name string) string {
	switch name {
	case "PAGES":
		return onOff(c.ServesPages())
	case "PAYMENT_TEST_TOKENS":
		return onOff(c.AcceptsTestTokens())
	case "INTERNAL_PORT":
		if c.InternalPort == 0 {
			return ""
		}
	case "DATABASE_URL":
		return maskURL(c.DatabaseURL)
	case "REDIS_URL":
		return maskURL(c.RedisURL)
	}
	fields := reflect.TypeFor[Config]()
	for i := range fields.NumField() {
		if fields.Field(i).Tag.Get("env") == name {
			return format(reflect.ValueOf(c).Elem().Field(i).Interface())
		}
	}
	return ""
}

// format writes a value in the form that the variable has. It needs a case for every type whose
// fmt.Sprint is another one.
func format(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return formatDuration(v)
	case Limit:
		return formatLimit(v)
	case *Limit:
		if v == nil {
			return ""
		}
		return formatLimit(*v)
	case Switch:
		return onOff(bool(v))
	case []string:
		return strings.Join(v, ",")
	case []uint16:
		return join(v)
	case Networks:
		return join(v)
	case Steps:
		return v.masked()
	}
	return fmt.Sprint(value)
}

func join[T any](list []T) string {
	text := make([]string, len(list))
	for i, v := range list {
		text[i] = fmt.Sprint(v)
	}
	return strings.Join(text, ",")
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// formatDuration writes 168h in place of 168h0m0s, and nothing for zero, which means no limit.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func formatLimit(l Limit) string {
	if l.Count == 0 {
		return "off"
	}
	return fmt.Sprintf("%d/%s", l.Count, formatDuration(l.Period))
}
