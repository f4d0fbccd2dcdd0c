package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/orderflow-dev/orderflow/internal/testport"
)

// proxies relay the connections to PostgreSQL, with one proxy for each process.
type proxies struct {
	server   *toxiproxy.ApiServer
	upstream string
}

func newProxies(upstream string) *proxies {
	return &proxies{toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), upstream}
}

// proxy relays the connections of one process to PostgreSQL.
type proxy struct{ *toxiproxy.Proxy }

func (p *proxies) open(name string) (*proxy, error) {
	port, err := testport.Reserve()
	if err != nil {
		return nil, err
	}
	one := &proxy{toxiproxy.NewProxy(p.server, name, port.Address(), p.upstream)}
	return one, one.Start()
}

func (p *proxy) port() string {
	_, port, _ := net.SplitHostPort(p.Listen)
	return port
}

// cut closes all connections and accepts new ones again at once. No other process can take the port
// in between, because it is reserved for the whole run.
func (p *proxy) cut() error {
	p.Stop()
	return p.Start()
}

// poison adds a toxic to all connections and returns a function that removes it.
func (p *proxy) poison(kind, stream, attributes string) (lift func(), toxic any, err error) {
	w, err := p.Toxics.AddToxicJson(strings.NewReader(
		fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":%s}`, kind+stream, kind, stream, attributes)))
	if err != nil {
		return nil, nil, fmt.Errorf("toxic %s: %w", kind, err)
	}
	return func() { _ = p.Toxics.RemoveToxic(context.Background(), w.Name) }, w.Toxic, nil
}

// limit closes each connection after n more bytes in one direction; "upstream" is towards
// PostgreSQL.
func (p *proxy) limit(stream string, n int) (lift func(), err error) {
	lift, _, err = p.poison("limit_data", stream, fmt.Sprintf(`{"bytes":%d}`, n))
	return lift, err
}
