package syslog

import (
	"fmt"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/logs"
)

// Clock is what time it is.
type Clock struct {
	Now    time.Time
	Up     time.Duration // since the kernel started
	Known  bool          // false: the clock cannot be right, and messages carry no time
	Synced bool          // a time server has said so
}

// Facilities (RFC 5424, section 6.2.1).
const (
	kernel = 0
	daemon = 3
)

// facility is the facility of a source's messages.
func facility(source string) int {
	if source == "kernel" || source == "xen" {
		return kernel
	}
	return daemon
}

// maxName is how long APP-NAME may be (RFC 5424, section 6).
const maxName = 48

// Format makes a message of an entry (RFC 5424, section 6), without a frame. Its structured data says whether the time
// can be trusted (section 7.1), the number of the message of its source, and how long the machine is up (7.3).
func Format(e logs.Entry, hostname string, c Clock) string {
	stamp := "-"
	if c.Known {
		stamp = e.Time(c.Now, c.Up).UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	synced := 0
	if c.Synced {
		synced = 1
	}
	const form = `<%d>1 %s %s %s - - [timeQuality tzKnown="1" isSynced="%d"]` +
		`[meta sequenceId="%d" sysUpTime="%d"] ` + "\ufeff%s"
	priority := facility(e.Source)*8 + int(e.Level)
	return fmt.Sprintf(form, priority, stamp, name(hostname, 255), name(e.Source, maxName), synced,
		sequence(e.Number), e.Up.Milliseconds()/10, e.Text)
}

// sequence is a number as sequenceId has it: from 1 to 2147483647, and again from 1 (RFC 5424, section 7.3.1).
func sequence(number uint64) uint64 {
	const most = 1<<31 - 1
	return (number+most-1)%most + 1
}

// name makes a field of the header of any text: printable ASCII without spaces.
func name(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '-'
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), most)]
}

// maxDatagram is what every path takes as one packet of IPv6, and of IPv4 almost always (RFC 5426, section 3.2).
const maxDatagram = 1180

// frame makes of a message what goes over the wire: a datagram, or a length and the message (RFC 6587, section 3.4.1).
func frame(protocol, message string) []byte {
	if protocol != "udp" {
		return fmt.Appendf(nil, "%d %s", len(message), message)
	}
	if len(message) > maxDatagram {
		message = strings.ToValidUTF8(message[:maxDatagram], "")
	}
	return []byte(message)
}
