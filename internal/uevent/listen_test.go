package uevent

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/testns"
)

// TestListen receives what the kernel says of a network device that the test makes.
func TestListen(t *testing.T) { testns.Run(t, syscall.CLONE_NEWNET, listenToDummy) }

func listenToDummy(t *testing.T) {
	runtime.LockOSThread()
	l, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "test0"
	links := []netlink.Link{
		&netlink.Veth{LinkAttrs: attrs, PeerName: "test1"},
		&netlink.Bridge{LinkAttrs: attrs},
		&netlink.Dummy{LinkAttrs: attrs},
	}
	for i, link := range links { // a kernel need not have all of them
		if err = netlink.LinkAdd(link); err == nil {
			break
		}
		if i == len(links)-1 {
			t.Skipf("cannot make a network device here: %v", err)
		}
	}
	time.AfterFunc(10*time.Second, func() { l.Close() })
	for {
		e, err := l.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if e.Action == "add" && e.Subsystem == "net" && e.Interface == "test0" {
			break
		}
	}
	l.Close()
	if _, err := l.Receive(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v, want %v", err, os.ErrClosed)
	}
}

func TestSender(t *testing.T) {
	root := unix.UnixCredentials(&unix.Ucred{Uid: 0})
	user := unix.UnixCredentials(&unix.Ucred{Uid: 1000, Pid: 77})
	for name, test := range map[string]struct {
		from         unix.Sockaddr
		oob          []byte
		kernel, root bool
	}{
		"kernel":         {&unix.SockaddrNetlink{}, root, true, false},
		"process":        {&unix.SockaddrNetlink{Pid: 77}, root, false, true},
		"other user":     {&unix.SockaddrNetlink{}, user, false, false},
		"no credentials": {&unix.SockaddrNetlink{}, nil, false, false},
		"other family":   {&unix.SockaddrUnix{}, root, false, false},
	} {
		if kernel, root := sender(test.from, test.oob); kernel != test.kernel || root != test.root {
			t.Errorf("%s: %v, %v", name, kernel, root)
		}
	}
}
