package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// eventType is a type of events with the name of the schema of its data, without Data, and with
// the description of the schema of the event.
type eventType struct{ Type, Name, Doc string }

// eventsOf returns the types of the schema Event, which is a union that is discriminated by the
// type.
func eventsOf(document object) ([]eventType, error) {
	schemas := document["components"].(object)["schemas"].(object)
	union, _ := schemas["Event"].(object)
	discriminator, _ := union["discriminator"].(object)
	mapping, _ := discriminator["mapping"].(object)
	if len(mapping) == 0 {
		return nil, fmt.Errorf("the schema Event has no discriminator with a mapping")
	}
	var types []eventType
	for _, kind := range slices.Sorted(maps.Keys(mapping)) {
		event := schemas[last(mapping[kind])].(object)
		data := event["properties"].(object)["data"].(object)
		name, ok := strings.CutSuffix(last(data["$ref"]), "Data")
		if !ok {
			return nil, fmt.Errorf("the data of %s have no schema of their own", kind)
		}
		doc, _ := event["description"].(string)
		types = append(types, eventType{Type: kind, Name: name, Doc: doc})
	}
	return types, nil
}

// last returns the name of the schema that a reference names.
func last(ref any) string {
	text, _ := ref.(string)
	return text[strings.LastIndexByte(text, '/')+1:]
}
