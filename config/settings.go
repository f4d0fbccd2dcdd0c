package config

import (
	"reflect"
	"slices"
)

// Setting describes a variable that the program reads.
type Setting struct {
	Name string // the variable, such as PORT
	// Unit is what a value counts or how it is written: connections, port, duration, on/off. It is
	// empty for plain text.
	Unit   string
	Means  string // one sentence
	Secret bool   // Name_FILE may name a file with the value
}

// Settings returns all settings in the order of the fields of Config.
func Settings() (list []Setting) {
	for field := range reflect.TypeFor[Config]().Fields() {
		name := field.Tag.Get("env")
		s := meanings[name]
		s.Name, s.Secret = name, field.Type == reflect.TypeFor[Secret]()
		list = append(list, s)
	}
	return list
}

// Units of settings.
const (
	unitDuration = "duration"
	unitLimit    = "requests/period"
	unitOnOff    = "on/off"
	unitURL      = "URL"
	unitPort     = "port"
	unitList     = "list"
	unitKeys     = "id=key list"
)

// meanings explains each setting in a sentence. The file .env.example has the details.
var meanings = map[string]Setting{
	"COMPRESSION":   {Unit: unitOnOff, Means: "Whether JSON, exports, documents and pages are compressed for clients that accept it."},
	"CANCEL_UNTIL":  {Means: "`shipped` or `processing`: until when the owner of an order can cancel it."},
	"APP_ENV":       {Means: "`development` or `production`. Development starts what is missing; production requires it."},
	"HOST":          {Means: "Address to listen on."},
	"PORT":          {Unit: unitPort, Means: "Port of the API. 0 takes any free port."},
	"PUBLIC_URL":    {Unit: unitURL, Means: "Origin at which clients reach the API. Empty: any host is answered."},
	"INTERNAL_HOST": {Means: "Address to listen on for probes and metrics."},
	"INTERNAL_PORT": {Unit: unitPort, Means: "Port of probes and metrics. Empty in development: `PORT`."},
	"DATA_DIR":      {Unit: "path", Means: "Folder of the private PostgreSQL and of generated passwords."},
	"ROLES":         {Unit: unitList, Means: "What the process does: `api`, `worker` or both."},

	"DATABASE_URL":          {Unit: unitURL, Means: "PostgreSQL. Required in production. Empty in development: a private one is started."},
	"DATABASE_MAX_CONNS":    {Unit: "connections", Means: "Connections to PostgreSQL of this process, 4 to 1000."},
	"DATABASE_RUNTIME_ROLE": {Means: "Database role of the servers, to which `migrate` grants privileges."},
	"REDIS_URL":             {Unit: unitURL, Means: "Redis. Required in production. Empty in development: one runs in the process."},
	"WORKER_SLOTS":          {Unit: "jobs", Means: "Jobs that a worker runs at the same time, 1 to 10000."},

	"JWT_KEYS":             {Unit: unitKeys, Means: "Keys of access tokens. The first one signs. Required in production."},
	"JWT_ISSUER":           {Means: "Issuer of access tokens."},
	"JWT_AUDIENCE":         {Means: "Audience of access tokens."},
	"BCRYPT_COST":          {Unit: "log2 of rounds", Means: "Cost of hashing a password, 4 to 16."},
	"SESSION_MAX_AGE":      {Unit: unitDuration, Means: "Age at which a session ends, at least 1h."},
	"SESSIONS_PER_ACCOUNT": {Unit: "sessions", Means: "Sessions of an account, 1 to 1000."},
	"API_KEY_MAX_AGE":      {Unit: unitDuration, Means: "Maximum age of new API keys, at least 1h. Empty: no limit."},
	"ADMIN_TOTP":           {Means: "Second factor of administrators: `required`, `optional` or `off`."},
	"TOTP_KEYS":            {Unit: unitKeys, Means: "Keys that encrypt the secrets of second factors. The first one encrypts."},
	"ADMIN_EMAIL":          {Unit: "e-mail address", Means: "Address of the first administrator."},
	"ADMIN_PASSWORD":       {Means: "Password of the first administrator, 8 to 72 bytes."},

	"REGISTRATION":       {Means: "Who may register: `open`, `invite` or `off`."},
	"SMTP_URL":           {Unit: unitURL, Means: "Server that sends e-mail. Empty in development: messages are shown at `/try`."},
	"MAIL_FROM":          {Unit: "e-mail address", Means: "Sender of e-mail. Required with `SMTP_URL`."},
	"MAIL_LINK_URL":      {Unit: unitURL, Means: "Page to which e-mails link. Empty: e-mails contain the code."},
	"EMAIL_VERIFICATION": {Means: "`required` or `off`. Empty: `required` with `SMTP_URL`."},

	"RATE_LIMIT":              {Unit: unitLimit, Means: "Requests of a caller, or `off`."},
	"RATE_LIMIT_PER_ADDRESS":  {Unit: unitLimit, Means: "Requests of all callers behind one address, or `off`. Empty: five times `RATE_LIMIT`."},
	"ORDER_RATE_LIMIT":        {Unit: "orders/period", Means: "Orders that an account places, or `off`."},
	"LOGIN_RATE_LIMIT":        {Unit: "attempts/period", Means: "Wrong attempts to log in, per address and per account, or `off`."},
	"REGISTRATION_RATE_LIMIT": {Unit: "accounts/period", Means: "New accounts per address, or `off`."},
	"STREAMS_PER_ACCOUNT":     {Unit: "streams", Means: "Sockets and event streams of an account on one node, 1 to 20000."},
	"TRUSTED_PROXIES":         {Unit: unitList, Means: "Addresses and networks of proxies whose `X-Forwarded-For` counts."},
	"TRUSTED_TRACES":          {Unit: unitOnOff, Means: "Whether traces and request ids of callers are continued."},
	"ALLOWED_ORIGINS":         {Unit: unitList, Means: "Origins of other web sites that may use the API (CORS)."},
	"PAGES":                   {Unit: unitOnOff, Means: "Whether the server has pages for browsers and describes its API."},
	"PLAINTEXT_HOSTS":         {Unit: unitList, Means: "Hosts in private networks that production may reach without TLS."},

	"PAYMENT_PROVIDER":         {Means: "`stripe` or `simulated`. Required in production."},
	"ALLOW_SIMULATED_PAYMENTS": {Unit: unitOnOff, Means: "Whether production may run with simulated payments."},
	"PAYMENT_TEST_TOKENS":      {Unit: unitOnOff, Means: "Whether the simulated provider accepts test tokens and amounts."},
	"PAYMENT_SIMULATOR_URL":    {Unit: unitURL, Means: "Simulated provider in a process of its own, for tests."},
	"STRIPE_SECRET_KEY":        {Means: "Secret key of Stripe. Required with `PAYMENT_PROVIDER=stripe`."},
	"STRIPE_API_URL":           {Unit: unitURL, Means: "Replacement for the API of Stripe, for tests."},
	"RESERVATION_TTL":          {Unit: unitDuration, Means: "How long stock is reserved for an order without an authorised payment, at least 1m."},

	"STEPS_BEFORE_PAYMENT": {Unit: unitList, Means: "Checks before payment, as `name=URL` or `name=manual`."},
	"STEPS_SECRET":         {Means: "Secret that signs requests to the services of steps. Required with a URL in `STEPS_BEFORE_PAYMENT`."},

	"WEBHOOK_ALLOWED_NETWORKS": {Unit: unitList, Means: "Networks and addresses that webhooks may reach in addition to public ones."},
	"WEBHOOK_ALLOWED_PORTS":    {Unit: unitList, Means: "Ports of webhooks. Empty in development: 80, 443 and all above 1023."},

	"EVENT_RETENTION":             {Unit: unitDuration, Means: "How long events can be read again."},
	"NOTIFICATION_RETENTION":      {Unit: unitDuration, Means: "How long notifications are kept."},
	"WEBHOOK_RETENTION":           {Unit: unitDuration, Means: "How long deliveries of webhooks are kept, at least 96h."},
	"AUDIT_RETENTION":             {Unit: unitDuration, Means: "How long audit entries are kept, at least 2160h. Empty: forever."},
	"AUDIT_KEYS":                  {Unit: unitKeys, Means: "Keys that sign the audit trail. The first one signs."},
	"LOG_LEVEL":                   {Means: "Lowest level of log lines: `debug`, `info`, `warn` or `error`."},
	"LOG_FORMAT":                  {Means: "`text`, `json` or `auto`, which is `text` on a terminal in development and `json` otherwise."},
	"OTEL_EXPORTER_OTLP_ENDPOINT": {Unit: unitURL, Means: "Collector of traces. Empty: no traces are sent."},
}

// otherVariables are read by Docker Compose, by commands and by the Go runtime.
var otherVariables = []string{
	"POSTGRES_PASSWORD", "RUNTIME_PASSWORD", "VERSION",
	"ORDERFLOW_API_KEY", "ORDERFLOW_PASSWORD", "NO_COLOR",
}

// isKnown reports whether the program, its libraries or Docker Compose read the variable.
func isKnown(name string) bool {
	for _, s := range Settings() {
		if name == s.Name || s.Secret && name == s.Name+fileSuffix {
			return true
		}
	}
	return slices.Contains(otherVariables, name) || hasAnyPrefix(name, "OTEL_", "GO", "PG", "SSL_CERT_", "COMPOSE_", "DOCKER_") ||
		slices.Contains([]string{"TZ", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}, name)
}
