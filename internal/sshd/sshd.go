// Package sshd is dom0's SSH server: a shell, commands, sftp and connections to guests for root, by public key or
// password.
//
// The server (Main) is a process of its own, so that it goes on when init crashes, and init when the server does. What
// it is to do is in files of one directory, which only root may read:
//
//	options.json  what the configuration says, and the host keys; the server follows changes
//	one-time      a password that is good for one login; whoever removes the file has used it
//
// Service, in init, writes them. What happens is told by lines on standard output (Event).
//
// There is one process with root's rights and not two as in OpenSSH (docs/decisions.md). What comes before a login is
// bounded instead: how many connections, for how long, and how many passwords are looked at.
package sshd

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/oom"
)

// Role is the first argument of the server's process.
const Role = "sshd"

// User is the only one who can log in.
const User = "root"

// Config is what a Server works with.
type Config struct {
	Dir    string                         // of options.json and one-time
	Home   string                         // where sessions begin; has .ssh/authorized_keys
	Shell  string                         // runs commands with -c
	Keys   string                         // a file of more keys, authorized_keys(5); it need not exist
	Guests func() (*host.Snapshot, error) // the host's state, for forwarding

	Sockets []string // unix sockets to which connections may go
	// Greeting is what a person reads above the first prompt.
	Greeting func() string
	Tell     func(Event)
}

// Limits of a server.
type limits struct {
	firstByte time.Duration // from the connection to the client's first byte
	login     time.Duration // from there to a login
	waiting   int           // connections without login
	sameHost  int           // of these, from one address
	loggedIn  int           // connections with
	channels  int           // in one connection: sessions and forwarded ones
	penalty   time.Duration // after a fourth wrong password; doubled with each further one
	patience  time.Duration // for a penalty that a password waits for; a longer one is refused at once
}

var usualLimits = limits{
	firstByte: 10 * time.Second, login: time.Minute, waiting: 64, sameHost: 16, loggedIn: 64, channels: 64,
	penalty: time.Second, patience: 4 * time.Second,
}

// Main is the server's process. It returns an exit status.
func Main(config Config) int {
	// Nobody reads what it tells when init has crashed; it goes on all the same.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(48 << 20)
	if err := oom.Protect(oom.Last); err != nil {
		config.Tell(Event{Kind: Trouble, Problem: err.Error()})
	}
	if err := Serve(ctx, config); err != nil && !errors.Is(err, context.Canceled) {
		config.Tell(Event{Kind: Trouble, Problem: err.Error()})
		return 1
	}
	return 0
}

// address is the address of a connection's other end, without zone; IPv4 as IPv4.
func address(text string) netip.Addr {
	from, err := netip.ParseAddrPort(text)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap().WithZone("")
}
