package xen

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/xenstore/xenstoretest"
)

// TestOrders holds what xl is asked for to its manual.
func TestOrders(t *testing.T) {
	var calls []string
	said := ""
	server := xenstoretest.New()
	x := NewToolstack(func(_ context.Context, _ string, args ...string) ([]byte, []byte, error) {
		calls = append(calls, strings.Join(args, " "))
		if said != "" {
			return nil, []byte(said), errors.New("exit status 1")
		}
		return nil, nil, nil
	}, server.Client(t))
	ctx := t.Context()
	err := errors.Join(x.Reboot(ctx, 3), x.Pause(ctx, 3), x.Unpause(ctx, 3), x.Rename(ctx, 3, "web"),
		x.SetMemory(ctx, 3, 1024), x.SetVCPUs(ctx, 3, 2), x.AttachDisk(ctx, 3, "vdev=xvdb,target=/a,b"),
		x.DetachDisk(ctx, 3, "xvdb"), x.AttachNIC(ctx, 3, []string{"bridge=br0", "mac=m"}), x.DetachNIC(ctx, 3, "m"))
	want := []string{
		"reboot 3", "pause 3", "unpause 3", "rename 3 web", "mem-set 3 1024k", "vcpu-set -i 3 2",
		"block-attach 3 vdev=xvdb,target=/a,b", "block-detach 3 xvdb", "network-attach 3 bridge=br0 mac=m",
		"network-detach 3 m",
	}
	if err != nil || !slices.Equal(calls, want) {
		t.Errorf("%v, calls %q", err, calls)
	}
	said = "PV control interface not available:\n\texternal graceful reboot not possible.\n"
	if err := x.Reboot(ctx, 3); !errors.Is(err, ErrNoDrivers) || !strings.HasPrefix(err.Error(), "domain 3: ") {
		t.Error(err)
	}
	said = "libxl: error: libxl_domain.c:1:f: Domain 3:Device is busy\n"
	if err := x.Pause(ctx, 3); err == nil || !strings.Contains(err.Error(), "domain 3: xl pause: Device is busy") {
		t.Error(err)
	}
	server.Set("/local/domain/3/cpu/0/availability", "online")
	server.Set("/local/domain/3/cpu/1/availability", "offline")
	for domid, want := range map[int]int{3: 2, 4: 0} {
		if most, err := x.MaxVCPUs(ctx, domid); err != nil || most != want {
			t.Errorf("domain %d can use %d vCPUs, %v; want %d", domid, most, err, want)
		}
	}
	server.Set("/local/domain/0/backend/vbd/3/51712/frontend", "f")
	for number, want := range map[int]bool{51712: true, 51728: false} {
		if has, err := x.HasDisk(ctx, 3, number); err != nil || has != want {
			t.Errorf("%d: %v, %v", number, has, err)
		}
	}
}
