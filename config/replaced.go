package config

import (
	"regexp"
	"strings"
)

// minReplaced is how many variables of the NestJS service an environment must have before they are
// reported. Other programs use some of these names, such as DB_HOST, as well.
const minReplaced = 3

// replaced lists variables that services built with NestJS, TypeORM, Bull and @nestjs/throttler
// usually read, with what replaces them.
var replaced = []struct {
	name *regexp.Regexp
	by   string
}{
	{pattern(`(DB|DATABASE|TYPEORM|POSTGRES)_(SYNC|SYNCHRONIZE|MIGRATIONS?(_RUN)?|RUN_MIGRATIONS?)`), "is replaced by the command orderflow migrate"},
	{pattern(`(DB|DATABASE|TYPEORM)_(POOL(_SIZE|_MAX)?|MAX_CONNECTIONS|CONNECTION_LIMIT)`), "is replaced by DATABASE_MAX_CONNS"},
	{pattern(`(DB|DATABASE|TYPEORM|POSTGRES)_(TYPE|CONNECTION|HOST|PORT|USER(NAME)?|PASS(WORD)?|NAME|DATABASE|DB|SCHEMA|SSL(_.*)?|LOGGING|DSN)`), "is replaced by DATABASE_URL=postgres://USER:PASSWORD@HOST:5432/DATABASE"},
	{pattern(`(REDIS|BULL|BULL_REDIS|QUEUE|QUEUE_REDIS|CACHE)_(HOST|PORT|USER(NAME)?|PASS(WORD)?|DB|TLS)`), "is replaced by REDIS_URL=redis://:PASSWORD@HOST:6379/0; jobs are in PostgreSQL"},
	{pattern(`(BULL|QUEUE)_(PREFIX|CONCURRENCY|ATTEMPTS|BACKOFF(_.*)?)`), "is replaced by WORKER_SLOTS; jobs are in PostgreSQL"},
	{pattern(`(AUTH_|ACCESS_|REFRESH_)?(JWT_)?(ACCESS_|REFRESH_|AUTH_)?(TOKEN_)?SECRET(_KEY)?`), "is replaced by JWT_KEYS=ID=SECRET, such as JWT_KEYS=2026-11=...; refresh tokens need no key"},
	{pattern(`(AUTH_)?(JWT_)?(ACCESS_|REFRESH_|AUTH_)?(TOKEN_)?(EXPIR(ES|Y|ATION)(_IN|_TIME)?|TTL)`), "is replaced by SESSION_MAX_AGE; access tokens are valid for 15 minutes"},
	{pattern(`NODE_ENV`), "is replaced by APP_ENV"},
	{pattern(`(APP|API|HTTP|SERVER|WS|WEBSOCKET|SOCKET)_PORT`), "is replaced by PORT; sockets are on the same port"},
	{pattern(`(APP|API|HTTP|SERVER)_HOST`), "is replaced by HOST"},
	{pattern(`(APP|API|BACKEND)_(URL|DOMAIN|BASE_URL)`), "is replaced by PUBLIC_URL"},
	{pattern(`(CORS_(ALLOWED_)?ORIGINS?|(FRONTEND|CLIENT)_(URL|DOMAIN|ORIGIN)|SOCKET_ORIGINS?|WS_(CORS_)?ORIGINS?)`), "is replaced by ALLOWED_ORIGINS"},
	{pattern(`(THROTTLER?|RATE_LIMIT)_(TTL|LIMIT|MAX|WINDOW(_MS)?|POINTS|DURATION|MAX_REQUESTS)`), "is replaced by RATE_LIMIT=COUNT/PERIOD, such as 200/1s"},
	{pattern(`(BCRYPT_)?(SALT_)?ROUNDS|BCRYPT_SALT`), "is replaced by BCRYPT_COST"},
	{pattern(`(MAIL|SMTP|EMAIL)_(HOST|PORT|USER(NAME)?|PASS(WORD)?|SECURE|IGNORE_TLS|REQUIRE_TLS)`), "is replaced by SMTP_URL=smtps://USER:PASSWORD@HOST:465"},
	{pattern(`(MAIL|EMAIL|SMTP)_(DEFAULT_)?(EMAIL|NAME|SENDER|FROM_(EMAIL|NAME|ADDRESS))|(EMAIL|SMTP)_FROM`), "is replaced by MAIL_FROM"},
	{pattern(`STRIPE_(API_KEY|SECRET|KEY)`), "is replaced by STRIPE_SECRET_KEY"},
	{pattern(`SWAGGER_(ENABLED|PATH|.*)`), "is replaced by PAGES"},
}

func pattern(name string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + name + `)$`) }

// replacement says what replaces a variable of the NestJS service, or returns "".
func replacement(name string) string {
	for _, r := range replaced {
		if strings.Contains(name, "_") && r.name.MatchString(name) && !isKnown(name) {
			return r.by
		}
	}
	return ""
}

func replacedIn(environment map[string]string) (n int) {
	for name, value := range environment {
		if replacement(name) != "" && !isServiceLink(name, value) {
			n++
		}
	}
	return n
}
