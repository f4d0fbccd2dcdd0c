package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// planted stands for a secret in a setting that is wrong. It must come out nowhere.
const planted = "Cwm7fjordbank9glyphs"

// badValues is what is written by mistake, for any variable.
var badValues = []string{
	planted,
	planted + "," + planted,
	planted + "=" + planted,
	"a=" + planted,
	"a=" + planted + planted + ",a=" + planted + planted,
	"'" + planted,
	"200/" + planted,
	"7" + planted,
	planted + "/24",
	"10.0.0.0/8, " + planted,
	"https://" + planted + "/path",
	"https://shop.example.com:" + planted,
	"https://shop.example.com?" + planted,
	"http://user:" + planted + "@127.0.0.1:1/?key=" + planted,
	"http://127.0.0.1:1/?key=" + planted,
	"a=manual,a=manual," + planted + "=manual",
	"a=http://user:" + planted + "@127.0.0.1:1/",
	"a=http://127.0.0.1:1/" + planted,
	"ftp://user:" + planted + "@127.0.0.1/" + planted,
	"postgres://app:" + planted + "@127.0.0.1:port/x",
	"postgres://app:" + planted + "@127.0.0.1:99999/x",
	"postgres://app:7/" + planted + "@127.0.0.1:1/x",
	"postgres://app:7#" + planted + "@127.0.0.1:1/x",
	"postgres://app:7?" + planted + "@127.0.0.1:1/x",
	"postgres://app:%zz" + planted + "@127.0.0.1:1/x",
	"postgres://app:x@127.0.0.1:1/x?sslmode=" + planted,
	"postgres://app:x@127.0.0.1:1/x?sslmode=verify-full&sslrootcert=/" + planted,
	"postgres://app:x@" + planted + ".example/x?connect_timeout=" + planted,
	"mysql://app:" + planted + "@127.0.0.1/x",
	"redis://:" + planted + "@127.0.0.1:port",
	"redis://:" + planted + "@127.0.0.1:1/" + planted,
	"redis://" + planted + "@[::1",
	"host=127.0.0.1 password=" + planted,
	planted + "\n" + planted,
	"\x01" + planted + "\xff",
	strings.Repeat(planted, 500),
}

// F2, F7, ASVS 5.0 16.2.5: an error about a variable never contains a part of its value. The
// variables are those of the struct, so a new one is covered without a change here.
//
//nolint:paralleltest // it changes the environment, the folder and the standard streams of the process
func TestBadSettingsAreNotQuoted(t *testing.T) {
	for field := range reflect.TypeFor[config.Config]().Fields() {
		name := field.Tag.Get("env")
		if name == "" {
			t.Errorf("%s has no variable", field.Name)
			continue
		}
		for _, env := range []string{config.Development, config.Production} {
			for i, value := range badValues {
				settings := map[string]string{"APP_ENV": env, "PORT": "1", name: value}
				if said := say(t, settings, ""); strings.Contains(said, planted) {
					t.Errorf("%s, value %d in %s: %s", name, i, env, said)
				}
			}
		}
	}
}

// ASVS 5.0 16.2.5: nor is anything said of a .env that cannot be read, or that sets
// what is wrong.
//
//nolint:paralleltest // as above
func TestBadDotenvIsNotQuoted(t *testing.T) {
	rest := "\nJWT_KEYS=" + planted + "\nADMIN_PASSWORD=" + planted + "\nSTRIPE_SECRET_KEY=sk_" + planted + "\n"
	for what, text := range map[string]string{
		"no =":               "PORT 3000" + rest,
		"only a word":        planted + rest,
		"a colon":            "ADMIN_PASSWORD: " + planted + rest,
		"no name":            "=" + planted + rest,
		"a space in a name":  "ADMIN PASSWORD=" + planted + rest,
		"a name with a dash": planted + "-x=1" + rest,
		"a name is a secret": planted + "=" + rest,
		"open double quote":  `ADMIN_PASSWORD="` + planted + rest,
		"open single quote":  "ADMIN_PASSWORD='" + planted + rest,
		"behind a quote":     `ADMIN_PASSWORD="x" ` + planted + rest,
		"byte order mark":    "\xef\xbb\xbfPORT " + planted + rest,
		"UTF-16":             "\xff\xfeP\x00" + planted + rest,
		"CRLF":               strings.ReplaceAll("PORT 3000"+rest, "\n", "\r\n"),
		"CR":                 strings.ReplaceAll("PORT=1"+rest, "\n", "\r"),
		"NUL":                "ADMIN_PASSWORD=\x00" + planted + rest,
		"not UTF-8":          "ADMIN_PASSWORD=\xff" + planted + rest,
		"export":             "export\nexport ADMIN_PASSWORD\n" + rest,
		"export alone":       "export " + planted + rest,
		"twice":              "PORT=1" + rest + rest,
		"a bad number":       "PORT=" + planted + rest,
		"a bad duration":     "EVENT_RETENTION=" + planted + rest,
		"a bad limit":        "RATE_LIMIT=" + planted + rest,
		"a bad list":         "ALLOWED_ORIGINS=" + planted + "\nTRUSTED_PROXIES=" + planted + rest,
		"a bad URL":          "DATABASE_URL=postgres://app:7/" + planted + "@x/y" + rest,
		"cut off":            "DATABASE_URL=\"postgres://app:" + planted,
		"a shell":            "if [ x = " + planted + " ]; then\nexport A=`" + planted + "`\nfi" + rest,
		"JSON":               `{"ADMIN_PASSWORD": "` + planted + `"}` + rest,
	} {
		if said := say(t, map[string]string{"PORT": "1"}, text); strings.Contains(said, planted) {
			t.Errorf("%s: %s", what, said)
		}
	}
	if said := say(t, nil, "PORT=1\nAPP_ENV staging\n"); !strings.Contains(said, ".env: line 2 ") {
		t.Errorf("the line is not named: %s", said)
	}
}

// say runs a command in a folder of its own, with these variables alone and that .env,
// and returns everything that it prints, with its error.
//
//nolint:usetesting // some thousand times in one test: t's own would be undone at its end only
func say(t *testing.T, settings map[string]string, dotenv string) string {
	t.Helper()
	before, folder := os.Environ(), must(os.Getwd())
	stdout, stderr := os.Stdout, os.Stderr
	dir := t.TempDir()
	file := must(os.Create(filepath.Join(dir, "streams")))
	defer func() {
		os.Stdout, os.Stderr = stdout, stderr
		os.Clearenv()
		for _, pair := range before {
			name, value, _ := strings.Cut(pair, "=")
			_ = os.Setenv(name, value)
		}
		_ = os.Chdir(folder)
		_ = file.Close()
	}()
	os.Clearenv()
	for name, value := range settings {
		if err := os.Setenv(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chdir(dir); err != nil {
		t.Fatal(err)
	}
	if dotenv != "" {
		if err := os.WriteFile(".env", []byte(dotenv), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Stdout, os.Stderr = file, file

	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := Run(ctx, []string{"healthcheck"}, &out)
	if dotenv != "" {
		err = errors.Join(err, Run(ctx, []string{"config", "check"}, &out))
	}

	streams := must(os.ReadFile(file.Name()))
	return fmt.Sprint(out.String(), string(streams), err)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ASVS 5.0 16.2.5: settings that are well-formed and useless are found out when they
// are used. The real program does not quote them either.
func TestUselessSettingsAreNotQuoted(t *testing.T) {
	t.Parallel()
	database := must(url.Parse(pgtest.URL(t)))
	elsewhere := *database
	elsewhere.Path = "/" + planted
	elsewhere.User = url.UserPassword(database.User.Username(), planted)
	parameter := *database
	parameter.RawQuery = "sslmode=disable&" + strings.ToLower(planted) + "=" + planted
	for what, row := range map[string]struct {
		settings []string
		command  string
	}{
		"an unknown database":       {[]string{"DATABASE_URL=" + elsewhere.String()}, "serve"},
		"migrate likewise":          {[]string{"DATABASE_URL=" + elsewhere.String()}, "migrate"},
		"verify likewise":           {[]string{"DATABASE_URL=" + elsewhere.String()}, "verify"},
		"an unknown role":           {[]string{"DATABASE_URL=" + strings.Replace(database.String(), database.User.String(), planted+":"+planted, 1)}, "serve"},
		"an unknown parameter":      {[]string{"DATABASE_URL=" + parameter.String()}, "serve"},
		"a host that is no address": {[]string{"HOST=" + planted}, "serve"},
		"a folder that cannot be":   {[]string{"DATA_DIR=/dev/null/" + planted}, "serve"},
		"a key without an id":       {[]string{"DATABASE_URL=" + database.String(), "JWT_KEYS=" + planted + " x=" + planted + planted}, "serve"},
		"an address that is none":   {[]string{"DATABASE_URL=" + database.String(), "ADMIN_EMAIL=" + planted, "ADMIN_PASSWORD=" + planted}, "serve"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := launch(t, t.TempDir(), testport.For(t).Number, row.settings, row.command)

			err := p.wait()

			said := p.out.String() + p.log.String()
			if err == nil || !strings.Contains(said, strings.SplitN(row.settings[len(row.settings)-1], "=", 2)[0]) && what != "an address that is none" {
				t.Errorf("it ends with %v and says %s", err, said)
			}
			if strings.Contains(strings.ToLower(said), strings.ToLower(planted)) {
				t.Errorf("it says %s", said)
			}
		})
	}
}

// Redis and the collector of traces may be away: the program runs, and warns of it.
func TestUselessServicesAreNotQuoted(t *testing.T) {
	t.Parallel()
	p := launch(t, t.TempDir(), testport.For(t).Number, []string{
		"DATABASE_URL=" + pgtest.URL(t),
		"REDIS_URL=redis://" + planted + ":" + planted + "@" + planted + ".invalid:6379/0",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + planted + ".invalid:4318/" + planted,
		"PAYMENT_SIMULATOR_URL=http://" + planted + ".invalid:1/" + planted,
	}, "serve")
	p.ready()
	a := must(p.anonymous().try("GET", "/v1/products", ""))
	testwait.Until(t, "a warning about Redis", func() bool { return strings.Contains(p.log.String(), "redis does not answer") })
	p.signal(os.Interrupt)
	_ = p.wait()

	if said := p.out.String() + p.log.String(); strings.Contains(strings.ToLower(said), strings.ToLower(planted)) {
		t.Errorf("%d: it says %s", a.status, said)
	}
}

// F7: however a secret is printed, it shows nothing; and nothing of the configuration
// that may hold a secret is of another type.
func TestSecretsHideFromEveryVerb(t *testing.T) {
	t.Parallel()
	cfg := config.Config{}
	fields := reflect.ValueOf(&cfg).Elem()
	cfg.Steps = config.Steps{{Name: "fraud", URL: planted}}
	var secret []string
	for i := range fields.NumField() {
		if fields.Type().Field(i).Type == reflect.TypeFor[config.Secret]() {
			fields.Field(i).SetString(planted)
			secret = append(secret, fields.Type().Field(i).Tag.Get("env"))
		}
	}
	for _, name := range []string{"DATABASE_URL", "REDIS_URL", "JWT_KEYS", "ADMIN_PASSWORD", "STRIPE_SECRET_KEY", "STEPS_SECRET", "STRIPE_API_URL", "PAYMENT_SIMULATOR_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if !slices.Contains(secret, name) {
			t.Errorf("%s is not a Secret", name)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t", "%T %[1]v"} {
		for _, v := range []any{cfg, &cfg, cfg.Steps, cfg.JWTKeys, []any{cfg.JWTKeys}, struct{ S config.Secret }{cfg.JWTKeys}} {
			if said := fmt.Sprintf(verb, v); strings.Contains(said, planted) || strings.Contains(strings.ToLower(said), fmt.Sprintf("%x", planted)) {
				t.Errorf("%s of a %T: %s", verb, v, said)
			}
		}
	}
}
