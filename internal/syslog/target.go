// Package syslog sends the host's log to other machines: RFC 5424 over UDP (RFC 5426), TCP (RFC 6587, octet counting)
// and TLS (RFC 5425). What waits to be sent are the log's own files, which are bounded (package logs): a server
// that is away for a while misses nothing that they still have, and is told how much it missed of the rest.
package syslog

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Target is a server.
type Target struct {
	Protocol string // "udp", "tcp" or "tls"
	Host     string
	Port     string
}

// ports are the usual ones: RFC 5426, section 3.3; none is assigned for TCP, and 514 is what servers take; RFC
// 5425, section 4.1.
var ports = map[string]string{"udp": "514", "tcp": "514", "tls": "6514"}

// ParseTarget reads "udp://HOST[:PORT]", "tcp://..." or "tls://...". An IPv6 address stands in brackets.
func ParseTarget(text string) (Target, error) {
	const want = "want udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT"
	u, err := url.Parse(text)
	if err != nil {
		return Target{}, fmt.Errorf("syslog server %q: %s", text, want)
	}
	t := Target{Protocol: strings.ToLower(u.Scheme), Host: u.Hostname(), Port: u.Port()}
	usual, known := ports[t.Protocol]
	more := u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != ""
	if !known || t.Host == "" || more {
		return Target{}, fmt.Errorf("syslog server %q: %s", text, want)
	}
	if t.Port == "" {
		t.Port = usual
	}
	if n, err := strconv.ParseUint(t.Port, 10, 16); err != nil || n == 0 {
		return Target{}, fmt.Errorf("syslog server %q: %s is no port", text, t.Port)
	}
	return t, nil
}

// ParseTargets reads targets with commas between them.
func ParseTargets(text string) ([]Target, error) {
	var targets []Target
	for _, one := range strings.Split(text, ",") {
		if one == "" {
			continue
		}
		t, err := ParseTarget(one)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// Address is where to connect to.
func (t Target) Address() string { return net.JoinHostPort(t.Host, t.Port) }

// String is the target as a user writes it.
func (t Target) String() string { return t.Protocol + "://" + t.Address() }
