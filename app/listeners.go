package app

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// listeners are the ports of a node.
type listeners struct {
	public   net.Listener // nil on a node that serves nothing but probes, on their own port
	internal net.Listener // nil if probes and metrics are on the public port
}

func (l listeners) close() {
	for _, one := range []net.Listener{l.public, l.internal} {
		if one != nil {
			_ = one.Close()
		}
	}
}

// listen opens the ports of the settings.
func listen(cfg *config.Config) (on listeners, err error) {
	if cfg.InternalPort != 0 {
		if on.internal, err = listenAt("INTERNAL_HOST", cfg.InternalHost, "INTERNAL_PORT", cfg.InternalPort); err != nil {
			return listeners{}, err
		}
	}
	if cfg.InternalPort == 0 || cfg.Has("api") {
		if on.public, err = listenAt("HOST", cfg.Host, "PORT", cfg.Port); err != nil {
			on.close()
			return listeners{}, err
		}
	}
	return on, nil
}

// listenAt names in its error the variable that is wrong.
func listenAt(hostVariable, host, portVariable string, port int) (net.Listener, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err == nil {
		return listener, nil
	}
	name := hostVariable
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
		name = portVariable
	}
	return nil, fmt.Errorf("%s: cannot listen there: %s", name, fault.Reason(err))
}

// probeAddress returns the address at which a process on the same machine reaches the probes.
func probeAddress(cfg *config.Config) string {
	host, port := cfg.Host, cfg.Port
	if cfg.InternalPort != 0 {
		host, port = cfg.InternalHost, cfg.InternalPort
	}
	return net.JoinHostPort(dialable(host), strconv.Itoa(port))
}

// serverURL returns the URL at which a client finds the server of these settings.
func serverURL(cfg *config.Config) string {
	if cfg.PublicURL != "" {
		return cfg.PublicURL
	}
	return "http://" + net.JoinHostPort(dialable(cfg.Host), strconv.Itoa(cfg.Port))
}

// dialable replaces the unspecified address, to which a server can listen but no client can
// portably connect, by loopback.
func dialable(host string) string {
	switch ip := net.ParseIP(host); {
	case host == "" || ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		return "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		return "::1"
	}
	return host
}
