package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// problems collects errors, so that one run reports all of them.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

func (p *problems) err() error {
	if len(*p) == 0 {
		return nil
	}
	slices.Sort(*p)
	return errors.New(strings.Join(*p, "\n"))
}
