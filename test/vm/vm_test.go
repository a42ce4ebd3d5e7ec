package vm

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

func TestImageComesFromTheEnvironment(t *testing.T) {
	t.Setenv("ZERODISC_ISO", "/some/disc.iso")
	if got := Image(); got != "/some/disc.iso" {
		t.Errorf("Image() = %q", got)
	}
	t.Setenv("ZERODISC_ISO", "")
	if got := Image(); !strings.HasSuffix(got, "build/zerodisc.iso") {
		t.Errorf("Image() = %q", got)
	}
}

func TestUserNIC(t *testing.T) {
	tests := []struct {
		nics []qemu.NIC
		want int
	}{
		{nil, 0},
		{[]qemu.NIC{{}}, 0},
		{[]qemu.NIC{{Net: qemu.NoServer}, {Net: qemu.UserNet}}, 1},
	}
	for _, test := range tests {
		if got := userNIC(test.nics); got != test.want {
			t.Errorf("userNIC(%v) = %d, want %d", test.nics, got, test.want)
		}
	}
}

func TestFetchTriesAgain(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("tty1"))
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if page, err := fetch(ctx, server.URL); err != nil || page != "tty1" {
		t.Errorf("fetch: %q, %v", page, err)
	}
}
