package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"syscall"
	"unicode/utf8"
)

// maxSecretFile is the maximum size of the file of a secret, in bytes.
const maxSecretFile = 64 << 10

// fileSuffix makes the name of the variable that holds the path of a file with a secret.
const fileSuffix = "_FILE"

// readSecretFiles sets each variable of a Secret from the file that NAME_FILE names, as Docker and
// Kubernetes mount secrets. One line break at the end of the file is not part of the secret. Its
// problems quote neither the path nor the contents, because either may be the secret itself.
func readSecretFiles(environment map[string]string) (problems []string) {
	for field := range reflect.TypeFor[Config]().Fields() {
		name := field.Tag.Get("env")
		path, given := environment[name+fileSuffix]
		if field.Type != reflect.TypeFor[Secret]() || !given {
			continue
		}
		if environment[name] != "" {
			problems = append(problems, name+": and "+name+fileSuffix+" are both set; set one of them")
			continue
		}
		secret, err := readSecretFile(path)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s%s: %s", name, fileSuffix, err), name+": is in a file that cannot be used")
			continue
		}
		environment[name] = secret
	}
	return problems
}

func readSecretFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", unreadable(err)
	}
	defer file.Close()

	raw, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return "", unreadable(err)
	}
	secret, isLine := strings.CutSuffix(string(raw), "\n")
	if isLine {
		secret = strings.TrimSuffix(secret, "\r")
	}
	switch {
	case len(raw) > maxSecretFile:
		return "", valueError("the file is larger than 64 KiB")
	case strings.TrimSpace(secret) == "":
		return "", valueError("the file is empty")
	case !utf8.ValidString(secret) || strings.ContainsRune(secret, 0):
		return "", valueError("the file is not text in UTF-8")
	}
	return secret, nil
}

// unreadable drops the path, which the errors of package os quote.
func unreadable(err error) error {
	return valueError("the file cannot be read" + unreadableReason(err))
}

// unreadableReason returns the reason of the operating system, with a colon before it.
func unreadableReason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return ": " + errno.Error()
	}
	return ""
}
