package timesync

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/beevik/ntp"
)

// Asker asks the server at an address, "HOST:PORT".
type Asker func(ctx context.Context, server string) (Sample, error)

// Resolver finds the addresses of a server, "HOST" or "HOST:PORT", each with its port.
type Resolver func(ctx context.Context, name string) ([]string, error)

// KissError is a server's wish to be left alone, a Kiss-o'-Death packet (RFC 5905, section 7.4).
type KissError struct{ Server, Code string }

func (e *KissError) Error() string {
	return fmt.Sprintf("time server %s does not want to be asked (%s)", e.Server, e.Code)
}

// Ask asks a server by NTP.
func Ask(ctx context.Context, server string) (Sample, error) {
	answer, err := ntp.QueryWithOptions(server, ntp.QueryOptions{
		Timeout: askLimit,
		Dialer: func(_, remote string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "udp", remote)
		},
	})
	if err != nil {
		return Sample{}, fmt.Errorf("time server %s: %w", server, err)
	}
	if answer.IsKissOfDeath() {
		return Sample{}, &KissError{server, answer.KissCode}
	}
	if err := answer.Validate(); err != nil {
		return Sample{}, fmt.Errorf("time server %s: %w", server, err)
	}
	return Sample{Server: server, Offset: answer.ClockOffset, Distance: answer.RootDistance}, nil
}

// port of NTP.
const port = "123"

// Resolve finds addresses by the system's resolver.
func Resolve(ctx context.Context, name string) ([]string, error) {
	host, service, err := net.SplitHostPort(name)
	if err != nil {
		host, service = name, port
	}
	if net.ParseIP(host) != nil {
		return []string{net.JoinHostPort(host, service)}, nil
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("time server %s: %w", name, err)
	}
	for i, address := range addresses {
		addresses[i] = net.JoinHostPort(address, service)
	}
	return addresses, nil
}

// Earliest is a time that has passed: a clock that shows an earlier one is wrong.
var Earliest = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
