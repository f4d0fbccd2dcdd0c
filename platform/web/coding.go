package web

import (
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// codings are the weights that Accept-Encoding gives to content codings.
type codings map[string]float64

// acceptEncoding parses the header (RFC 9110 section 12.5.3). Without one, no coding is acceptable,
// since a client that accepts one says so. Members that cannot be parsed are ignored.
func acceptEncoding(c *fiber.Ctx) codings {
	accepted := codings{}
	for _, line := range c.Request().Header.PeekAll(fiber.HeaderAcceptEncoding) {
		for member := range strings.SplitSeq(string(line), ",") {
			name, weight, ok := parseCoding(member)
			if ok {
				accepted[name] = weight
			}
		}
	}
	return accepted
}

func parseCoding(member string) (name string, weight float64, ok bool) {
	name, param, weighted := strings.Cut(member, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "x-gzip" { // RFC 9110 section 8.4.1.3
		name = codingGzip
	}
	if !weighted {
		return name, 1, name != ""
	}
	key, value, _ := strings.Cut(param, "=")
	if !strings.EqualFold(strings.TrimSpace(key), "q") {
		return "", 0, false
	}
	weight, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return name, weight, err == nil && name != "" && weight >= 0 && weight <= 1
}

// prefer returns the offer with the highest weight, the first of several, or "" if none is acceptable
// or the client prefers no coding at all.
func (a codings) prefer(offers ...string) (best string) {
	highest := 0.0
	for _, offer := range offers {
		if weight := a.weight(offer); weight > highest {
			best, highest = offer, weight
		}
	}
	if identity, named := a["identity"]; named && identity > highest {
		return ""
	}
	return best
}

func (a codings) weight(coding string) float64 {
	if weight, named := a[coding]; named {
		return weight
	}
	return a["*"]
}
