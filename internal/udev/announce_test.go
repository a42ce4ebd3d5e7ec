package udev

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/zerodisc/zerodisc/internal/testns"
)

// TestAddNames gives a real interface names, twice.
func TestAddNames(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNET, func(t *testing.T) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "test0"
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "test1"}); err != nil {
			t.Skipf("cannot make a network device here: %v", err)
		}
		link, err := netlink.LinkByName("test0")
		if err != nil {
			t.Fatal(err)
		}
		long := "enp0s20u3u4u5u6u7c2i1" // more than an interface's own name may have
		for range 2 {
			if err := AddNames(link.Attrs().Index, []string{"enp3s0", long}); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"enp3s0", long} {
			if got, err := netlink.LinkByName(name); err != nil || got.Attrs().Index != link.Attrs().Index {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
		if err := AddNames(link.Attrs().Index, []string{""}); err == nil {
			t.Error("an empty name is no error")
		}
	})
}

// TestAnnounceAndListen hears what it says.
func TestAnnounceAndListen(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNET, func(t *testing.T) {
		runtime.LockOSThread()
		announce, err := Announcer()
		if err != nil {
			t.Fatal(err)
		}
		announce([]byte("nobody listens"))
		l, err := Listen()
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(10*time.Second, func() { l.Close() })
		want := Properties{"ACTION=add", "DEVPATH=/devices/x", "SUBSYSTEM=block"}
		announce([]byte("rubbish"))
		announce(Message("block", "", want))
		if got, err := l.Receive(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v", got, err)
		}
		l.Close()
		if _, err := l.Receive(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}
