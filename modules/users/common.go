package users

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"strings"
	"sync"
)

// commonList is a list of common passwords, one a line in lower case and sorted: about 10,000 of at
// least 8 bytes, and 2,000 words of 5 to 7 letters that are common with a suffix. It consists of the
// 2,670 entries of earlier versions and of the most frequent ones of the list "passwords" of the npm
// package zxcvbn 4.4.2 (MIT licence, Copyright 2012-2016 Dan Wheeler and Dropbox, Inc.), which
// counts the passwords of published breaches. It was made on 28 November 2026.
// common.manifest.json says so to tools/sbom, and has the hash of the list.
//
//go:embed common.txt.gz
var commonList []byte

// common is read at the first use, which takes a few milliseconds.
var common = sync.OnceValue(func() map[string]bool {
	r, err := gzip.NewReader(bytes.NewReader(commonList))
	if err != nil {
		panic("users: the list of common passwords is damaged: " + err.Error())
	}
	text, err := io.ReadAll(r)
	if err != nil {
		panic("users: the list of common passwords is damaged: " + err.Error())
	}
	list := make(map[string]bool, 12_000)
	for line := range strings.Lines(string(text)) {
		list[strings.TrimSpace(line)] = true
	}
	return list
})

// contextWords are words that attackers of this product try first (ASVS 5.0 6.2.11).
var contextWords = map[string]bool{
	"orderflow": true, "order-flow": true, "order_flow": true, "order flow": true, "orders": true, "webshop": true, "onlineshop": true,
}

const (
	maxSuffix   = 5  // characters that are no letters at the end, such as "1", "2026" or "123!"
	minBase     = 4  // characters before a suffix that are looked up
	maxRepeated = 4  // a shorter unit is guessed together with its repetition
	maxGuessed  = 32 // bytes of a repetition that is guessed early
)

// isCommon reports whether attackers who guess online try the password early: it is on the list, a
// context word, a sequence, or a repetition of one of these, with or without a short suffix and in
// any case (ASVS 5.0 6.2.4, 6.2.11, 6.2.12; NIST SP 800-63B, section 5.1.1.2).
func isCommon(password string) bool {
	whole := strings.ToLower(password)
	if isGuessed(whole) {
		return true
	}
	base := strings.TrimRightFunc(whole, func(r rune) bool { return r < 'a' || r > 'z' && r < 0x80 })
	return len(base) >= minBase && len(whole)-len(base) <= maxSuffix && isGuessed(base)
}

func isGuessed(s string) bool {
	if common()[s] || contextWords[s] || isSequence(s) {
		return true
	}
	if len(s) > maxGuessed {
		return false
	}
	unit := unitOf(s)
	return unit != s && (len(unit) <= maxRepeated || common()[unit] || contextWords[unit])
}

// unitOf returns the shortest string of which s is a repetition.
func unitOf(s string) string {
	if s == "" {
		return s
	}
	return s[:strings.Index((s + s)[1:], s)+1]
}

// isSequence reports whether each character follows the one before, upwards or downwards.
func isSequence(s string) bool {
	if len(s) < 3 {
		return false
	}
	step := int(s[1]) - int(s[0])
	if step != 1 && step != -1 {
		return false
	}
	for i := 2; i < len(s); i++ {
		if int(s[i])-int(s[i-1]) != step {
			return false
		}
	}
	return true
}
