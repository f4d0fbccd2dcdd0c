package config

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
)

// Digests returns a digest of each setting by its variable, so that a change can be seen without the
// value. Digests of secrets are made with the key. Without a key they only say whether the secret is
// set: a plain digest of a short password, or of an e-mail address, can be inverted by trying.
func (c *Config) Digests(key []byte) map[string]string {
	digests := map[string]string{}
	fields, values := reflect.TypeFor[Config](), reflect.ValueOf(*c)
	for i := range fields.NumField() {
		name := fields.Field(i).Tag.Get("env")
		switch value := values.Field(i).Interface().(type) {
		case Secret:
			digests[name] = secretDigest(name, value.Reveal(), key)
		case Steps:
			var text strings.Builder
			for _, s := range value {
				text.WriteString(s.Name + "=" + s.URL.Reveal() + ",")
			}
			digests[name] = secretDigest(name, text.String(), key)
		case *Limit:
			if value != nil {
				digests[name] = digest(name, fmt.Sprint(*value), nil)
			}
		default:
			text := fmt.Sprint(value)
			if name == "ADMIN_EMAIL" { // it is personal data
				digests[name] = secretDigest(name, text, key)
				continue
			}
			digests[name] = digest(name, text, nil)
		}
	}
	return digests
}

func secretDigest(name, value string, key []byte) string {
	switch {
	case value == "":
		return "not set"
	case len(key) == 0:
		return "set"
	}
	return digest(name, value, key)
}

func digest(name, value string, key []byte) string {
	sum := hmac.New(sha256.New, key)
	_, _ = sum.Write([]byte(name + "=" + value))
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// Names returns the variables of all settings.
func Names() (names []string) {
	for field := range reflect.TypeFor[Config]().Fields() {
		names = append(names, field.Tag.Get("env"))
	}
	return names
}
