package main

import (
	"net/http"
	"slices"
	"strings"
)

// trim removes from an OpenAPI document what the package has in another form: error responses,
// which are *orderflow.Problem, and the streams, which Client.Follow reads. It returns the
// operations that take an Idempotency-Key, such as "POST /v1/orders".
func trim(document object) (keyed []string) {
	paths := document["paths"].(object)
	for path, item := range paths {
		operations := item.(object)
		for method, value := range operations {
			operation, ok := value.(object)
			if !ok || operation["operationId"] == nil {
				continue // parameters of all operations of the path
			}
			if isStream(operation) {
				delete(operations, method)
				continue
			}
			trimResponses(operation)
			if takesKey(operation) {
				keyed = append(keyed, strings.ToUpper(method)+" "+path)
			}
		}
		if len(operations) == 0 {
			delete(paths, path)
		}
	}
	slices.Sort(keyed)
	return keyed
}

func isStream(operation object) bool {
	responses := operation["responses"].(object)
	if responses["101"] != nil {
		return true
	}
	success, _ := responses["200"].(object)
	content, _ := success["content"].(object)
	return content["text/event-stream"] != nil
}

// trimResponses removes error responses, and the headers of the others, which would be more than a
// quarter of the generated code.
func trimResponses(operation object) {
	responses := operation["responses"].(object)
	for status, value := range responses {
		if status == "default" || status >= "400" {
			delete(responses, status)
		}
		delete(value.(object), "headers")
	}
}

func takesKey(operation object) bool {
	parameters, _ := operation["parameters"].([]any)
	return slices.ContainsFunc(parameters, func(p any) bool {
		parameter := p.(object)
		return parameter["in"] == "header" && http.CanonicalHeaderKey(parameter["name"].(string)) == "Idempotency-Key"
	})
}
