package supervise

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestOrdersByASocket(t *testing.T) {
	var l log
	table := NewTable()
	if err := table.Add(t.Context(), service(&l, "f", untilAsked)); err != nil {
		t.Fatal(err)
	}
	defer stopAll(table)
	ctx, cancel := context.WithCancel(t.Context())
	socket := filepath.Join(t.TempDir(), "s")
	ended := make(chan error, 1)
	go func() { ended <- table.Serve(ctx, socket) }()
	eventually(t, "the socket", func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close() // one who says nothing
		}
		return err == nil
	})
	if err := Ask(socket, "stop", "f"); err != nil {
		t.Error(err)
	}
	if phase := table.List()[0].Phase; phase != Stopped {
		t.Error(phase)
	}
	if err := Ask(socket, "stop", "x"); err == nil || !strings.Contains(err.Error(), "x: there is no such service") {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("Serve returned nil")
	}
	if err := Ask(socket, "stop", "f"); err == nil {
		t.Error("an answer of nobody")
	}
}
