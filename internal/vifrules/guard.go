package vifrules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// Repair is what was wrong with the kernel's rules, and who was the last to change any; Err says why they could not be
// restored.
type Repair struct {
	Damage string
	By     string // the name of a program, "" if unknown
	Err    error
}

// guardGap is the shortest time between two looks.
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
	guarded.Go(ctx, func() { ended <- follow(conn, changed) })
	said := repairLog{report: report}
	for by := ""; ; {
		repair := r.repair()
		repair.By = by
		said.note(repair, time.Now())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(guardGap):
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
	}
}

// repairLog reports the same repair once a minute at most: two programs may fight over the rules.
type repairLog struct {
	report func(Repair)
	last   Repair
	at     time.Time
}

const sameRepair = time.Minute

func (l *repairLog) note(r Repair, now time.Time) {
	if r.Damage == "" && r.Err == nil {
		return
	}
	if fmt.Sprint(r) == fmt.Sprint(l.last) && now.Sub(l.at) < sameRepair {
		return
	}
	l.last, l.at = r, now
	l.report(r)
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
		if repair.Damage, now, err = t.look(f, now); err != nil {
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

// looks is how often the rules are read that somebody changes meanwhile.
const looks = 20

// look is damage of rules that nobody has changed while they were read, and their generation, which was now.
func (t *tables) look(f *files, now uint32) (damage string, after uint32, err error) {
	for range looks {
		if damage, err = t.damage(f); err != nil {
			return "", 0, err
		}
		if after, err = generation(); err != nil || after == now {
			return damage, after, err
		}
		now = after
	}
	return damage, 0, nil
}
