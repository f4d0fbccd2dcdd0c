package config

import (
	"slices"
	"strings"
	"testing"
)

// SPEC F17: a misspelt variable is reported with the setting that it means, in .env and in the
// environment.
func TestMisspeltVariables_F17(t *testing.T) {
	t.Parallel()
	for name, meant := range map[string]string{
		"DATABASE_ULR": "DATABASE_URL", "DATABSE_URL": "DATABASE_URL", "DATABASE_URI": "DATABASE_URL", "database_url": "DATABASE_URL",
		"REDIS_URLS": "REDIS_URL", "JWT_KEY": "JWT_KEYS", "JWT_KEYS_FIEL": "JWT_KEYS_FILE", "LOGLEVEL": "LOG_LEVEL", "LOG_FORMATS": "LOG_FORMAT",
		"RATE_LIMITS": "RATE_LIMIT", "ALLOW_ORIGINS": "ALLOWED_ORIGINS", "OTEL_EXPORTER_OTLP_ENDPOINT": "", "PORT": "", "REDIS_URL_FILE": "",
		"POST": "", "HOME": "", "COUPON_SERVER": "", "PGPASSWORD": "", "POSTGRES_PASSWORD": "",
	} {
		want := ""
		if meant != "" {
			want = name + " is not a setting; did you mean " + meant + "?"
		}
		inFile := strings.Join(unknownVariables(nil, map[string]assignment{name: {line: 7, isInUse: true}}), "\n")
		inEnvironment := strings.Join(unknownVariables(map[string]string{name: "x"}, nil), "\n")

		if got := strings.TrimPrefix(inFile, ".env: line 7: "); got != want && (want != "" || !isUnspecific(got)) {
			t.Errorf("%s in .env: %q, want %q", name, inFile, want)
		}
		if inEnvironment != want && strings.Contains(name, "_") {
			t.Errorf("%s in the environment: %q, want %q", name, inEnvironment, want)
		}
	}
}

func isUnspecific(said string) bool {
	return said == "" || said == ".env: these lines set variables that are not settings: 7"
}

// SPEC F17: the settings of a NestJS service are reported with their replacements.
func TestVariablesOfTheReplacedService_F17(t *testing.T) {
	t.Parallel()
	service := map[string]string{
		"NODE_ENV": "APP_ENV", "APP_PORT": "PORT", "DB_HOST": "DATABASE_URL", "DB_PORT": "DATABASE_URL", "DB_USERNAME": "DATABASE_URL", "DB_PASSWORD": "DATABASE_URL",
		"DATABASE_HOST": "DATABASE_URL", "DATABASE_NAME": "DATABASE_URL", "POSTGRES_DB": "DATABASE_URL", "DB_SYNCHRONIZE": "orderflow migrate",
		"REDIS_HOST": "REDIS_URL", "REDIS_PORT": "REDIS_URL", "REDIS_PASSWORD": "REDIS_URL", "JWT_SECRET": "JWT_KEYS", "AUTH_JWT_SECRET": "JWT_KEYS", "JWT_REFRESH_SECRET": "JWT_KEYS",
		"JWT_EXPIRES_IN": "SESSION_MAX_AGE", "JWT_REFRESH_EXPIRATION": "SESSION_MAX_AGE", "CORS_ORIGIN": "ALLOWED_ORIGINS", "FRONTEND_DOMAIN": "ALLOWED_ORIGINS",
		"THROTTLE_TTL": "RATE_LIMIT", "THROTTLE_LIMIT": "RATE_LIMIT", "BCRYPT_ROUNDS": "BCRYPT_COST", "MAIL_HOST": "SMTP_URL", "STRIPE_API_KEY": "STRIPE_SECRET_KEY",
	}
	environment := map[string]string{"PATH": "/bin"}
	for name, by := range service {
		environment[name] = "canary"
		said := strings.Join(unknownVariables(nil, map[string]assignment{name: {line: 3}}), "\n")
		if !strings.HasPrefix(said, ".env: line 3: "+name+" is replaced by ") || !strings.Contains(said, by) {
			t.Errorf("%s: %q does not contain %s", name, said, by)
		}
	}

	said := unknownVariables(environment, nil)

	if len(said) != len(service) || strings.Contains(strings.Join(said, ""), "canary") {
		t.Errorf("%d variables are reported:\n%s", len(said), strings.Join(said, "\n"))
	}
	few := map[string]string{"DB_HOST": "x", "REDIS_PORT": "tcp://10.0.0.11:6379", "REDIS_SERVICE_HOST": "10.0.0.11", "DATABASE_PORT_5432_TCP_PORT": "5432", "REDIS_PASSWORD": "x"}
	if said := unknownVariables(few, nil); said != nil {
		t.Errorf("variables of other programs are reported: %s", said)
	}
}

// SPEC F2, F17: an unknown line of .env may be a part of a secret, so only its number is reported.
func TestUnknownLinesAreNotQuoted_F17(t *testing.T) {
	t.Parallel()
	file, err := parseDotenvFile([]byte("PORT=1\ncanaryJBSWY3DPEHPK3PXP=\nDATABASE_ULR=canary\nSECOND_CANARY=canary\n"))
	if err != nil {
		t.Fatal(err)
	}
	assignments := map[string]assignment{}
	for name, line := range file.at {
		assignments[name] = assignment{line, true}
	}

	said := unknownVariables(nil, assignments)

	want := []string{".env: line 3: DATABASE_ULR is not a setting; did you mean DATABASE_URL?", ".env: these lines set variables that are not settings: 2, 4"}
	if !slices.Equal(said, want) {
		t.Errorf("it says\n%s", strings.Join(said, "\n"))
	}
}
