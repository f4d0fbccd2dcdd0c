package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// counters are the metrics of the server. Reading them is cheap, while counting rows would slow
// down the measured server.
type counters struct {
	placed, processed float64
}

func (s *server) counters() (counters, error) {
	m, err := s.metrics()
	return counters{m["orderflow_orders_placed_total"], m[`orderflow_orders_moved_total{status="PROCESSING"}`]}, err
}

// metrics reads all simple samples. A counter that was never incremented is absent.
func (s *server) metrics() (map[string]float64, error) {
	x := s.exchange(s.setup, http.MethodGet, "/metrics", "")
	if err := x.do(); err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(x.res.Body())) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("read metric %s: %w", name, err)
		}
		all[name] = v
	}
	return all, nil
}
