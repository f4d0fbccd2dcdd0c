// Package docs embeds the documents for users of the API, which the program serves at /guide.
package docs

import "embed"

// Chapters are the files of the API guide in the order of the page. ErrorCodes is generated, and a program with
// added modules serves another one, with their codes.
var Chapters = []string{
	"guide/first-steps.md",
	"guide/authentication.md",
	"guide/orders.md",
	"guide/payments.md",
	"guide/requests.md",
	"guide/errors.md",
	ErrorCodes,
	"guide/limits.md",
	"guide/events.md",
	"webhooks.md",
	"guide/browsers.md",
	"guide/versions.md",
}

// ErrorCodes is the chapter that is generated from the code.
const ErrorCodes = "guide/error-codes.md"

//go:embed guide/*.md webhooks.md
var files embed.FS

// Read returns a chapter. It panics for a name that is not one of Chapters.
func Read(name string) []byte {
	body, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return body
}
