// Package iscsi logs in to iSCSI targets (RFC 7143) and hands the connections to the kernel, which makes disks of
// them. When a connection breaks it logs in again; until then the kernel keeps the requests, up to a limit.
//
// The login is ours, with CHAP in one direction or in both (RFC 1994, RFC 7143 section 12.1); its PDUs go through the
// kernel, as it numbers commands across connections. What targets say is bounded and checked before it is used.
package iscsi

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// DefaultPort is the port of iSCSI targets.
const DefaultPort = 3260

// Target is a disk of a target, and how to log in there.
type Target struct {
	Server string // name or address
	Port   int
	LUN    uint64
	Name   string // the target's iSCSI name
	// Out is what this machine shows to the target, In what the target has to show. Either may be empty.
	Out, In Secret
}

// Secret is a name and a password of CHAP's.
type Secret struct{ user, password string }

// isSet says whether there is one.
func (s Secret) isSet() bool { return s.user != "" }

// String keeps the password out of every text.
func (s Secret) String() string { return "secret" }

// GoString keeps the password out of every text.
func (s Secret) GoString() string { return "secret" }

// String is the target without secrets, as a URL.
func (t Target) String() string {
	return fmt.Sprintf("iscsi://%s/%s/%d", t.address(), t.Name, t.LUN)
}

func (t Target) address() string { return net.JoinHostPort(t.Server, strconv.Itoa(t.Port)) }

// syntax is what to write.
const syntax = "write [USER:PASSWORD[:USER_IN:PASSWORD_IN]@]SERVER:[PROTOCOL]:[PORT]:[LUN]:TARGET"

// ParseTargets reads targets, separated by commas, in the syntax of dracut's netroot=iscsi (dracut.cmdline(7)):
//
//	[USER:PASSWORD[:USER_IN:PASSWORD_IN]@]SERVER:[PROTOCOL]:[PORT]:[LUN]:TARGET
//
// In names and passwords %XX stands for a byte, such as a comma or a colon. Errors never quote them.
func ParseTargets(value string) ([]Target, error) {
	var targets []Target
	texts := strings.Split(value, ",")
	for i, text := range texts {
		target, err := parseTarget(text)
		if err != nil {
			return nil, fmt.Errorf("target %d of %d: %w", i+1, len(texts), err)
		}
		targets = append(targets, target)
	}
	return targets, nil
}

func parseTarget(text string) (t Target, err error) {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		if t.Out, t.In, err = parseSecrets(text[:at]); err != nil {
			return Target{}, err
		}
		text = text[at+1:]
	}
	server, rest, err := cutServer(text)
	if err != nil {
		return Target{}, err
	}
	fields := strings.SplitN(rest, ":", 4)
	if len(fields) != 4 {
		return Target{}, fmt.Errorf("%q: %s", text, syntax)
	}
	t.Server, t.Port, t.Name = server, DefaultPort, fields[3]
	if fields[0] != "" && fields[0] != "6" {
		return Target{}, fmt.Errorf("%q: protocol %q: there is only 6, which is TCP; leave it empty", text, fields[0])
	}
	if fields[1] != "" {
		if t.Port, err = strconv.Atoi(fields[1]); err != nil || t.Port < 1 || t.Port > 65535 {
			return Target{}, fmt.Errorf("%q: %q is no port", text, fields[1])
		}
	}
	if fields[2] != "" {
		if t.LUN, err = strconv.ParseUint(fields[2], 0, 14); err != nil { // SAM's flat numbers, 14 bits
			return Target{}, fmt.Errorf("%q: %q is no LUN: it is a number from 0 to 16383", text, fields[2])
		}
	}
	if err := CheckName(t.Name); err != nil {
		return Target{}, fmt.Errorf("%q: target: %w", text, err)
	}
	return t, nil
}

// cutServer takes the server, which may be an IPv6 address in brackets, from the front of a text.
func cutServer(text string) (server, rest string, err error) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		server, rest, ok = strings.Cut(inner, "]:")
		if !ok || net.ParseIP(server) == nil {
			return "", "", fmt.Errorf("%q: there is no IPv6 address in the brackets", text)
		}
		return server, rest, nil
	}
	server, rest, _ = strings.Cut(text, ":")
	if server == "" || strings.ContainsFunc(server, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", "", fmt.Errorf("%q names no server; %s", text, syntax)
	}
	return server, rest, nil
}

// parseSecrets reads what is before the @.
func parseSecrets(text string) (out, in Secret, err error) {
	words := strings.Split(text, ":")
	if len(words) != 2 && len(words) != 4 {
		return out, in, errors.New("what stands before the @ (not shown) must be USER:PASSWORD or " +
			"USER:PASSWORD:USER_IN:PASSWORD_IN; in them write a colon as %3A, a comma as %2C, @ as %40 and % as %25")
	}
	for i, word := range words {
		if words[i], err = url.PathUnescape(word); err != nil {
			return out, in, errors.New("what stands before the @ (not shown) has a % without two hexadecimal digits " +
				"after it; write % as %25")
		}
		if words[i] == "" || len(words[i]) > maxSecret || strings.ContainsRune(words[i], 0) {
			return out, in, fmt.Errorf("before the @ (not shown) a name or password is empty, or longer than %d bytes",
				maxSecret)
		}
	}
	out = Secret{words[0], words[1]}
	if len(words) == 4 {
		in = Secret{words[2], words[3]}
	}
	if in.password == out.password { // RFC 7143 section 9.2.1: else whoever knows one direction knows both
		return out, in, errors.New("the passwords of both directions are the same; give the target another one")
	}
	return out, in, nil
}

// maxSecret is how long a name or a password of CHAP's may be (RFC 7143 section 12.1.3 has 255 for other texts).
const maxSecret = 255

// maxName is how long an iSCSI name may be (RFC 7143 section 4.2.7.1).
const maxName = 223

// CheckName says what is wrong with an iSCSI name.
func CheckName(name string) error {
	isType := strings.HasPrefix(name, "iqn.") || strings.HasPrefix(name, "eui.") || strings.HasPrefix(name, "naa.")
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune("/,@=\"", r)
	})
	if !isType || bad || len(name) > maxName || len(name) < len("iqn.x") {
		return fmt.Errorf("%q is no iSCSI name: it begins with iqn., eui. or naa., "+
			"such as iqn.2026-01.org.example:disk", name)
	}
	return nil
}
