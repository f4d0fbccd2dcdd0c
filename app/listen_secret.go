package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/orderflow-dev/orderflow/internal/signature"
)

// listenSecret returns the secret of listen: ORDERFLOW_WEBHOOK_SECRET, or one that is generated once and kept in
// the data folder.
func (c commandLine) listenSecret() (signature.Secret, error) {
	if text := c.variable("ORDERFLOW_WEBHOOK_SECRET"); text != "" {
		secret, err := signature.ParseSecret(text)
		if err != nil {
			return nil, fmt.Errorf("ORDERFLOW_WEBHOOK_SECRET: %w", err)
		}
		return secret, nil
	}
	cfg, err := c.settings()
	if err != nil {
		return nil, err
	}
	text, err := keptSecret(cfg.DataDir, "listen-secret", func() string { return signature.NewSecret().Reveal() })
	if err != nil {
		return nil, fmt.Errorf("DATA_DIR: keep the secret: %w", err)
	}
	secret, err := signature.ParseSecret(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(cfg.DataDir, "listen-secret"), err)
	}
	return secret, nil
}

// keptSecret returns the text of a file of the data folder that only its owner may read. It is generated once.
func keptSecret(dir, name string, generate func() string) (string, error) {
	path := filepath.Join(dir, name)
	raw, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(raw)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the user of the private PostgreSQL enters it
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) { // another process has just written it
		raw, err := os.ReadFile(path)
		return strings.TrimSpace(string(raw)), err
	}
	if err != nil {
		return "", err
	}
	text := generate()
	_, err = f.WriteString(text + "\n")
	return text, errors.Join(err, f.Close())
}
