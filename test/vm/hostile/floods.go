package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sync/errgroup"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// floodConsole talks for 20 s without a pause.
func floodConsole(context.Context) error {
	console, err := os.OpenFile("/dev/hvc0", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer console.Close()
	text := strings.Repeat(strings.Repeat("flood ", 12)+"\r\n", 50)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if _, err := console.WriteString(text); err != nil {
			return err
		}
	}
	return nil
}

// floodXenstore writes as fast as it can for 30 s, from several programs so to speak: each waits for its answers.
func floodXenstore(ctx context.Context) error {
	var writers errgroup.Group
	for i := range 8 {
		writers.Go(func() error { return writeOn(ctx, fmt.Sprintf("data/flood%d", i), 30*time.Second) })
	}
	return writers.Wait()
}

func writeOn(ctx context.Context, key string, long time.Duration) error {
	store, err := xenstore.Open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	for end, n := time.Now().Add(long), 0; time.Now().Before(end); n++ {
		if err := store.Write(ctx, key, fmt.Sprint(n)); err != nil {
			return err
		}
	}
	return nil
}

// fillXenstore makes keys until it may not make any more.
func fillXenstore(ctx context.Context) error {
	store, err := xenstore.Open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	for n := range 100_000 {
		if err := store.Write(ctx, fmt.Sprintf("data/flood/%d", n), strings.Repeat("x", 1000)); err != nil {
			return err
		}
	}
	return nil
}

// floodAddress says that it has one address after the other, which dom0 shows.
func floodAddress(ctx context.Context) error {
	store, err := xenstore.Open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	for n := range 55_000 / 500 {
		if err := store.Write(ctx, boot.XenstoreAddress, fmt.Sprintf("10.99.0.%d", n+1)); err != nil {
			return err
		}
		time.Sleep(510 * time.Millisecond) // dom0 looks twice a second
	}
	return nil
}

// holdAPI opens more connections than dom0's API takes, asks each for events, and reads nothing.
func holdAPI() {
	var conns []net.Conn
	for range 200 {
		conn, err := net.Dial("unix", boot.APISocket)
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Fprint(conn, "GET /1.0/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
		conns = append(conns, conn)
	}
	time.Sleep(20 * time.Second)
	for _, conn := range conns {
		conn.Close()
	}
}

// flushRules takes away all rules, as `nft flush ruleset` does.
func flushRules() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	conn.FlushRuleset()
	return conn.Flush()
}
