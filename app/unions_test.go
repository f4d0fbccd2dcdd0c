package app

import (
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/modules/orders"
)

// SPEC R24: each type of event has a schema of its own in the unions of the API's description, and
// every event of a page is one of them.
func TestUnionsHaveEveryType_R24(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	document := s.anonymous().want(200, "GET", "/openapi.json", "")
	asyncapi := s.anonymous().want(200, "GET", "/asyncapi.json", "")
	for _, union := range []string{"Event", "StreamMessage"} {
		mapping, _ := document.at("components.schemas." + union + ".discriminator.mapping").(map[string]any)
		for _, k := range orders.Kinds() {
			ref, _ := mapping[k.Type].(string)
			name := strings.TrimPrefix(ref, "#/components/schemas/")
			if of := document.at("components.schemas." + name + ".properties.type.const"); name == "" || of != k.Type {
				t.Errorf("%s has %q for %s, whose type is %v", union, ref, k.Type, of)
			}
			if asyncapi.at("components.schemas."+name) == nil {
				t.Errorf("/asyncapi.json has no schema %s", name)
			}
		}
	}
	page := document.at("components.schemas.EventPage.properties.data.items.$ref")
	if page != "#/components/schemas/Event" {
		t.Errorf("a page has %v", page)
	}
}
