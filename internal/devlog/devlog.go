// Package devlog takes what programs on this host say to syslog(3): xenstored says nowhere else that a guest asks too
// much of it.
package devlog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Path is the socket that the C library writes to.
const Path = "/dev/log"

// Message is what a program says. All text is printable.
type Message struct {
	Severity int    // 0 to 7, RFC 5424, section 6.2.1
	Program  string // "" where it does not say
	Text     string
}

// maxMessage is how much of a message is read, bytes.
const maxMessage = 8 << 10

// Serve gives what is said at the socket path, which only root can write to, to tell until ctx ends. The kernel keeps
// no more than ten messages, and then has programs wait: tell must not.
func Serve(ctx context.Context, path string, tell func(Message)) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("make syslog's socket: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("make syslog's socket: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("make syslog's socket: %w", err)
	}
	message := make([]byte, maxMessage)
	for {
		n, err := conn.Read(message)
		if err != nil {
			return fmt.Errorf("read from syslog's socket: %w", err)
		}
		tell(Parse(string(message[:n])))
	}
}

// Limits of RFC 5424, section 6.2.1: the last facility's last severity, and what a message has that says none.
const (
	maxPriority = 191
	notice      = 5
)

// Parse reads a message as the C library writes it (RFC 3164, section 4.1, without the host): "<PRI>Mmm dd hh:mm:ss
// PROGRAM[PID]: TEXT". Where a part is missing, what there is is the text.
func Parse(message string) Message {
	m := Message{Severity: notice}
	rest := strings.TrimRight(message, "\x00\r\n")
	if number, after, ok := strings.Cut(strings.TrimPrefix(rest, "<"), ">"); ok && strings.HasPrefix(rest, "<") {
		if priority, err := strconv.ParseUint(number, 10, 16); err == nil && priority <= maxPriority {
			m.Severity, rest = int(priority&7), after
		}
	}
	if len(rest) > len(time.Stamp) && rest[len(time.Stamp)] == ' ' {
		if _, err := time.Parse(time.Stamp, rest[:len(time.Stamp)]); err == nil {
			rest = rest[len(time.Stamp)+1:]
		}
	}
	if tag, text, ok := strings.Cut(rest, ": "); ok && tag != "" && !strings.ContainsAny(tag, " \t") {
		tag, _, _ = strings.Cut(tag, "[")
		m.Program, rest = printable.Line(tag), text
	}
	m.Text = printable.Line(rest)
	return m
}
