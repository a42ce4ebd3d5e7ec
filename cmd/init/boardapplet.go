package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/board"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/oom"
)

// statePause is the time between two looks for a newer state.
const statePause = time.Second

// boardApplet is board: the status board on the terminal that it is started on. It orders by the command guest, and so
// through the local API.
func boardApplet([]string) int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGHUP)
	defer stop()
	first, err := readState()
	if err != nil {
		return fail(err)
	}
	var newest atomic.Pointer[host.Snapshot]
	newest.Store(first)
	changed := make(chan struct{}, 1)
	go followStateFile(ctx, &newest, changed)
	err = board.Run(ctx, board.Config{
		Terminal: board.NewTerminal("/dev/tty", takeConsole), Leave: true,
		Snapshot: newest.Load, Changed: changed, Uptime: uptime,
		Order: orderByCommand, End: func(action string) error { return runQuietly(ctx, action) },
		Meter: newMeter(), LogIn: func(s *host.Snapshot) []string { return logInLines(s, true) },
		Run:   runHere,
		Shell: []string{shellProgram}, Console: []string{"guest", "console"},
		GuestLog: func(g *host.Guest) (string, error) {
			return output(ctx, "guest", "logs", "-raw", g.Name)
		},
		Log: initLines,
	})
	if err != nil {
		return fail(err)
	}
	return 0
}

// followStateFile reads the state's file when it has become another one.
func followStateFile(ctx context.Context, newest *atomic.Pointer[host.Snapshot], changed chan<- struct{}) {
	var last time.Time
	for ctx.Err() == nil {
		if info, err := os.Stat(stateFile); err == nil && info.ModTime() != last {
			if s, err := readState(); err == nil {
				last = info.ModTime()
				newest.Store(s)
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		}
		select {
		case <-time.After(statePause):
		case <-ctx.Done():
		}
	}
}

// orderByCommand gives an order about a guest.
func orderByCommand(ctx context.Context, order, name string) error {
	return runQuietly(ctx, "guest", order, name)
}

// runQuietly runs a program whose errors are what it prints.
func runQuietly(ctx context.Context, argv ...string) error {
	_, err := output(ctx, argv...)
	return err
}

// output is what a program prints. Its error is what it says of its failure, if it does.
func output(ctx context.Context, argv ...string) (string, error) {
	var out, said strings.Builder
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &said
	err := oom.Run(cmd)
	if text := strings.TrimSpace(said.String()); err != nil && text != "" {
		err = errors.New(text)
	}
	return out.String(), err
}

// runHere runs a program on this process's terminal.
func runHere(argv ...string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return oom.Run(cmd)
}
