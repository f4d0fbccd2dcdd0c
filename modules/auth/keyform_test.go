package auth

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// The form that is documented for secret scanners in docs/security.md and .gitleaks.toml.
var keyForm = regexp.MustCompile(`^ofk_[0-9A-Za-z]{22}_[0-9A-Za-z]{49}$`)

// SPEC A8, ASVS 5.0 11.5.1: 256 random bits, one spelling, found by its form.
func TestAPIKeyForm(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		id := uuid.Must(uuid.NewV7())
		key, hash := newAPIKey(id)
		gotID, gotHash, ok := parseAPIKey(key)
		if !ok || gotID != id || gotHash != hash || !keyForm.MatchString(key) || !strings.HasPrefix(key, publicPart(id)+"_") || seen[key] {
			t.Fatalf("made %s", key)
		}
		seen[key] = true
	}
	for _, id := range []uuid.UUID{uuid.Nil, uuid.Max} {
		key, _ := newAPIKey(id)
		if got, _, ok := parseAPIKey(key); !ok || got != id {
			t.Errorf("of %s: %s", id, key)
		}
	}
}

// SPEC A8: a typo is detected without a query.
func TestMistypedAPIKeys(t *testing.T) {
	t.Parallel()
	key, _ := newAPIKey(uuid.Must(uuid.NewV7()))
	seal := func(body string) string { return body + checksum(body) }
	most := strings.Repeat("Z", proofDigits)
	wrong := map[string]string{
		"empty": "", "prefix": keyPrefix, "cut": key[:len(key)-1], "longer": key + "0", "space": " " + key[1:],
		"id too large":     seal(keyPrefix + strings.Repeat("Z", idDigits) + "_" + most[:proofDigits]),
		"secret too large": seal(publicPart(uuid.Nil) + "_" + most),
		"a sign":           seal(publicPart(uuid.Nil) + "_+" + strings.Repeat("0", proofDigits-1)),
		"an underscore":    seal(publicPart(uuid.Nil) + "_0_" + strings.Repeat("0", proofDigits-2)),
		"not ASCII":        seal(publicPart(uuid.Nil) + "_é" + strings.Repeat("0", proofDigits-2)),
		"no underscore":    seal(publicPart(uuid.Nil) + strings.Repeat("0", proofDigits+1)),
		"one too early":    seal(keyPrefix + strings.Repeat("0", idDigits-1) + "_" + strings.Repeat("0", proofDigits+1)),
		"of another case":  strings.ToUpper(key),
		"1 MB":             keyPrefix + strings.Repeat("0", 1<<20),
	}
	for i := range key {
		typo := []byte(key)
		if typo[i]++; typo[i] == ':' || typo[i] == '{' || typo[i] == '[' {
			typo[i] = '0'
		}
		wrong["typo at "+string(typo)] = string(typo)
	}
	for name, key := range wrong {
		if _, _, ok := parseAPIKey(key); ok {
			t.Errorf("%s: accepted %.100s", name, key)
		}
	}
}

func FuzzParseAPIKey(f *testing.F) {
	key, _ := newAPIKey(uuid.Must(uuid.NewV7()))
	f.Add(key)
	f.Add(keyPrefix + strings.Repeat("0", keyLength-len(keyPrefix)))
	f.Fuzz(func(t *testing.T, key string) {
		if id, _, ok := parseAPIKey(key); ok && (!keyForm.MatchString(key) || !strings.HasPrefix(key, publicPart(id)+"_")) {
			t.Errorf("accepted %q as %s", key, id)
		}
	})
}
