package inventory

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

func TestDocument_F5(t *testing.T) {
	t.Parallel()
	f := open(t)

	raw, err := f.api.Document()
	must(t, err)

	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]map[string]any
				Required   []string
			}
		}
	}
	must(t, json.Unmarshal(raw, &doc))
	for schema, want := range map[string]string{
		"ProductRequest":    "[name sku unitPrice]",
		"ProductChange":     "[]",
		"AdjustmentRequest": "[delta reason]",
	} {
		s := doc.Components.Schemas[schema]
		if got := fmt.Sprint(slices.Sorted(slices.Values(s.Required))); got != want {
			t.Errorf("%s requires %s, want %s", schema, got, want)
		}
		if stock, here := s.Properties["stock"]; here && fmt.Sprint(stock["type"]) != "[integer null]" {
			t.Errorf("%s.stock is %v", schema, stock)
		}
	}
}
