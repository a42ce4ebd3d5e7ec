package vifrules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Repair is what was wrong with the kernel's rules, and who was the last to change any; Err says why they could not be
// restored.
type Repair struct {
	Damage string
	By     string // the name of a program, "" if unknown
	Err    error
}

// guardGap is the shortest time between two looks: a guest that comes makes several changes.
const guardGap = time.Second

// Guard restores the rules whenever somebody else has changed them, and tries again what could not be put in force. It
// returns when ctx ends, or with an error when it cannot watch.
func (r Rules) Guard(ctx context.Context, report func(Repair)) error {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	if err := conn.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	changed := make(chan string, 1)
	ended := make(chan error, 1)
	go func() { ended <- follow(conn, changed) }()
	told := ""
	for by := ""; ; {
		repair := r.repair()
		repair.By = by
		if text := fmt.Sprint(repair); repair == (Repair{By: by}) {
			told = ""
		} else if text != told { // what goes wrong again and again is told once
			report(repair)
			told = text
		}
		again := (<-chan time.Time)(nil)
		if repair.Err != nil {
			again = time.After(guardRetry)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return fmt.Errorf("watch nftables: %w", err)
		case by = <-changed:
		case <-again:
		}
		select {
		case <-ctx.Done():
		case <-time.After(guardGap):
		}
	}
}

// guardRetry is the time to the next try where the rules cannot be restored.
const guardRetry = 10 * time.Second

// follow tells the name of the program at each change of nftables, until the socket is closed.
func follow(conn *netlink.Conn, changed chan string) error {
	for {
		messages, err := conn.Receive()
		if errors.Is(err, unix.ENOBUFS) { // a flood of changes is a change
			tell(changed, "")
			continue
		}
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Header.Type == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN { // it ends a transaction
				by, _ := attribute(m, unix.NFTA_GEN_PROC_NAME)
				tell(changed, string(bytes.TrimRight(by, "\x00")))
			}
		}
	}
}

// tell asks for a look, if none is due already.
func tell(changed chan<- string, by string) {
	select {
	case changed <- by:
	default:
	}
}

// repair restores the rules if they are not what they should be.
func (r Rules) repair() (repair Repair) {
	err := r.locked(func(f *files, t *tables) error {
		now, err := generation()
		if err != nil || now == f.generation && !f.stale {
			return err // the last change was by the rules' own hand
		}
		if repair.Damage, err = t.damage(f); err != nil {
			return err
		}
		switch {
		case repair.Damage == "" && f.stale:
			repair.Damage = "a change could not be put in force"
		case repair.Damage == "":
			return f.noteGeneration(now)
		}
		return restore(f, t)
	})
	repair.Err = err
	return repair
}
