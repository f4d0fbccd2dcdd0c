package users

import (
	"strings"
	"testing"
)

// A1, ASVS 5.0 6.2.4, 6.2.11, 6.2.12: common passwords are refused in any case and with a short suffix.
func TestCommonPasswordsAreRefused(t *testing.T) {
	t.Parallel()
	for _, password := range []string{
		"orderflow", "Orderflow1", "orderflow2026", "ORDERFLOW!", "Order-Flow1", "11111111111", "adminadmin1", "abcdefgh1", "abcdefgh", "zyxwvuts",
		"password", "Password123!", "P@ssw0rd", "letmein2026", "qwertyuiop", "monkey2024", "dragondragon", "abcabcabc", "iloveyou99", "12345678", "876543210", "Football2025",
	} {
		if !isCommon(password) {
			t.Errorf("%s is accepted", password)
		}
		if faults := validatePassword("/password", password, "ada@example.com"); len(faults) != 1 || faults[0].Code != "too-common" {
			t.Errorf("%s: %v", password, faults)
		}
	}
	for _, password := range []string{
		"canary otter teapot", "a quiet blue morning", "correct horse battery staple", "monkey83719264", "password of my neighbour", "Tz9-kQw2", "ÄÖÜäöüßé", "orderflow in a teapot", "12345 otters",
	} {
		if isCommon(password) {
			t.Errorf("%s is refused", password)
		}
	}
}

func TestListOfCommonPasswords(t *testing.T) {
	t.Parallel()
	long := 0
	for entry := range common() {
		if entry != strings.ToLower(entry) || strings.ContainsAny(entry, " \n") || entry == "" {
			t.Errorf("the entry %q cannot match", entry)
		}
		if len(entry) >= minPassword {
			long++
		}
	}
	if long < 10_000 {
		t.Errorf("only %d entries have %d bytes", long, minPassword)
	}
}
