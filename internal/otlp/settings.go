package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// settings are what the standard variables say.
type settings struct {
	headers map[string]string
	timeout time.Duration // of one attempt
	gzip    bool
	tls     *tls.Config
}

func read(getenv func(string) string) (settings, error) {
	s := settings{timeout: 10 * time.Second}
	name, value := variable(getenv, "TIMEOUT")
	if value != "" {
		ms, err := strconv.Atoi(value)
		if err != nil || ms <= 0 {
			return s, fmt.Errorf("%s: not a number of milliseconds", name)
		}
		s.timeout = time.Duration(ms) * time.Millisecond
	}
	switch name, value := variable(getenv, "COMPRESSION"); value {
	case "", "none":
	case "gzip":
		s.gzip = true
	default:
		return s, fmt.Errorf("%s: neither gzip nor none", name)
	}
	var err error
	if s.headers, err = headers(variable(getenv, "HEADERS")); err != nil {
		return s, err
	}
	s.tls, err = certificates(getenv)
	return s, err
}

// variable returns the name and the value of a setting: that for traces if there is one, and
// that for all signals otherwise.
func variable(getenv func(string) string, setting string) (name, value string) {
	for _, name = range []string{"OTEL_EXPORTER_OTLP_TRACES_" + setting, "OTEL_EXPORTER_OTLP_" + setting} {
		if value = strings.TrimSpace(getenv(name)); value != "" {
			break
		}
	}
	return name, value
}

// headers reads "name=value,name=value", where values are percent-encoded.
func headers(name, list string) (map[string]string, error) {
	found := map[string]string{}
	for pair := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !ok || err != nil || key == "" {
			return nil, fmt.Errorf("%s: not a list of NAME=VALUE, with VALUE percent-encoded", name)
		}
		found[key] = value
	}
	return found, nil
}

func certificates(getenv func(string) string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if name, file := variable(getenv, "CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: the file holds no certificate", name)
		}
	}
	name, certificate := variable(getenv, "CLIENT_CERTIFICATE")
	_, key := variable(getenv, "CLIENT_KEY")
	if certificate == "" && key == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s and its CLIENT_KEY: %w", name, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
