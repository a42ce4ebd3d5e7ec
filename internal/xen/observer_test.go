package xen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
)

// observation is an Observer that runs on a fake store, and what it has told.
type observation struct {
	t *testing.T
	x *fakeXL

	mu      sync.Mutex
	facts   []string
	changed int
}

func observe(t *testing.T, names ...string) *observation { return observeStore(t, newFakeXL(names...)) }

func observeStore(t *testing.T, x *fakeXL) *observation {
	o := &observation{t: t, x: x}
	observer := Observer{
		Store: o.x.server.Client(t),
		Tell:  func(f host.Fact) { o.add(fmt.Sprintf("%T %+v", f, f)) },
		Came:  func(domid int, uuid string) { o.add(fmt.Sprintf("seed %d %s", domid, uuid)) },
		Console: func(domid int, uuid, node, path string) {
			o.add(fmt.Sprintf("%s %d %s %s", node, domid, uuid, path))
		},
		Changed: func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.changed++
		},
		Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- observer.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return o
}

func (o *observation) add(fact string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.facts = append(o.facts, strings.ReplaceAll(fact, "host.", ""))
}

// await waits until the newest facts are those wanted, in this order.
func (o *observation) await(want ...string) {
	o.t.Helper()
	var told []string
	for range 1000 {
		o.mu.Lock()
		told = append([]string{}, o.facts...)
		o.mu.Unlock()
		if len(told) >= len(want) && fmt.Sprint(told[:len(want)]) == fmt.Sprint(want) {
			o.mu.Lock()
			o.facts = o.facts[len(want):]
			o.mu.Unlock()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	o.t.Fatalf("told %q, want %q", told, want)
}

func came(domid int, name string) []string {
	return []string{
		fmt.Sprintf("Came {Domid:%d UUID:%s Name:%s}", domid, uuidOf(domid), name),
		fmt.Sprintf("seed %d %s", domid, uuidOf(domid)),
	}
}

func said(domid int, address string) string {
	return fmt.Sprintf("Said {Domid:%d Address:%s}", domid, netip.MustParseAddr(address))
}

func addressKey(domid int) string { return paths(domid)[1] }

func TestObserver(t *testing.T) {
	o := observe(t, "tty1")
	server := o.x.server
	o.await(came(1, "tty1")...)
	server.Set(addressKey(1), "10.0.2.16")
	o.await(said(1, "10.0.2.16"))

	server.Set(home(3)+"/data/x", "1") // a directory without a domain
	o.x.add(2, "tty2")
	server.Fire("@introduceDomain")
	o.await(came(2, "tty2")...)
	server.Set(addressKey(2), "10.0.2.17")
	o.await(said(2, "10.0.2.17"))
	server.Set(addressKey(2), "10.0.2.17")     // the same again
	server.Set(addressKey(2), "level=ERROR x") // rubbish
	server.Set(addressKey(2), "10.0.2.18")
	o.await(said(2, "10.0.2.18"))

	server.Set(home(2)+"/name", "web")
	o.await("Named {Domid:2 Name:web}")
	server.Remove(home(2)) // libxl destroys it: nothing else says so
	o.await("Gone {Domid:2}")
	o.x.add(4, "tty2")
	server.Remove(home(1))
	server.Fire("@releaseDomain")
	o.await(append([]string{"Gone {Domid:1}"}, came(4, "tty2")...)...)
	for range 500 {
		if server.Watches() == 8 { // two special ones and six of domain 4
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := server.Watches(); n != 8 {
		t.Errorf("%d watches after domains went", n)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.facts) > 0 || o.changed == 0 {
		t.Errorf("unexpected %q; told %d times that a domain may have shut down", o.facts, o.changed)
	}
}

// A guest writes its victim's MAC into its own directory. All its interfaces count, as the backends have them.
func TestObserverTakesMACsFromTheBackends(t *testing.T) {
	o := observe(t, "evil")
	o.await(came(1, "evil")...)
	o.x.server.Set(home(1)+"/device/vif/0/mac", "00:16:3e:00:00:01")
	o.x.server.Set("/local/domain/0/backend/vif/1/0/mac", "00:16:3E:00:00:66")
	o.await("Plugged {Domid:1 MACs:[00:16:3e:00:00:66]}")
	o.x.server.Set("/local/domain/0/backend/vif/1/0/state", "4")
	o.x.server.Set("/local/domain/0/backend/vif/1/1/mac", "00:16:3e:00:00:67")
	o.await("Plugged {Domid:1 MACs:[00:16:3e:00:00:66 00:16:3e:00:00:67]}")
	o.x.server.Remove("/local/domain/0/backend/vif/1/0")
	o.await("Plugged {Domid:1 MACs:[00:16:3e:00:00:67]}")
}

func TestObserverTellsConsoles(t *testing.T) {
	o := observe(t, "tty1")
	o.await(came(1, "tty1")...)
	server, uuid := o.x.server, uuidOf(1)
	server.Set(home(1)+"/console/tty", "") // libxl
	server.Set(home(1)+"/console/tty", "/dev/pts/3")
	o.await("console/tty 1 " + uuid + " /dev/pts/3")
	server.Set(home(1)+"/serial/0/tty", "/dev/pts/4")
	o.await("serial/0/tty 1 " + uuid + " /dev/pts/4")
	server.Set(home(1)+"/console/tty", "/dev/pts/5")
	o.await("console/tty 1 " + uuid + " /dev/pts/5")
	server.Remove(home(1))
	o.await("Gone {Domid:1}", "console/tty 1 "+uuid+" ", "serial/0/tty 1 "+uuid+" ")
}

// A domain that changes its address all the time is looked at now and then, and its last address counts.
func TestAddressFlood(t *testing.T) {
	o := observe(t, "noisy", "quiet")
	o.await(append(came(1, "noisy"), came(2, "quiet")...)...)
	o.x.server.Set(addressKey(2), "10.0.2.16")
	o.await(said(2, "10.0.2.16"))
	begin := time.Now()
	for n := range 2000 {
		o.x.server.Set(addressKey(1), fmt.Sprintf("10.1.%d.%d", n/250, 1+n%250))
	}
	for range 1000 {
		o.mu.Lock()
		told := len(o.facts)
		last := told > 0 && o.facts[told-1] == said(1, "10.1.7.250")
		o.mu.Unlock()
		if most := 2 + int(time.Since(begin)/addressPause); told > most {
			t.Fatalf("%d of 2000 addresses were told, want at most %d", told, most)
		}
		if last {
			o.mu.Lock()
			o.facts = nil
			o.mu.Unlock()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the last address was not told")
}

// What the store refuses of one domain is no reason to lose sight of the others.
func TestOneDomainsTrouble(t *testing.T) {
	o := observe(t, "a")
	o.await(came(1, "a")...)
	o.x.server.Refuse(home(2)+"/vm", "EACCES")
	o.x.add(2, "odd")
	o.x.add(3, "c")
	o.x.server.Fire("@introduceDomain")
	o.await(came(3, "c")...)
	o.x.server.Refuse(addressKey(1), "EIO")
	o.x.server.Set(addressKey(1), "10.0.2.16")
	o.x.server.Set(addressKey(3), "10.0.2.17")
	o.await(said(3, "10.0.2.17"))
}

func TestObserverEndsWithConnection(t *testing.T) {
	x := newFakeXL()
	o := Observer{
		Store:   x.server.Client(t),
		Tell:    func(host.Fact) {},
		Changed: func() {},
		Log:     slog.New(slog.DiscardHandler),
	}
	time.AfterFunc(20*time.Millisecond, x.server.Disconnect)
	if err := o.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}
}

// A domain that has gone, or another one with its number, gets no seed.
func TestGiveSeed(t *testing.T) {
	x := newFakeXL("tty1")
	store := x.server.Client(t)
	for _, test := range []struct {
		domid int
		uuid  string
		want  bool
	}{{1, uuidOf(1), true}, {1, uuidOf(2), false}, {2, uuidOf(2), false}} {
		x.server.Remove(home(1) + "/data")
		if err := GiveSeed(t.Context(), store, test.domid, test.uuid, "00ff"); err != nil {
			t.Error(err)
		}
		if _, there := x.server.Get(home(test.domid) + "/data/zerodisc/seed"); there != test.want {
			t.Errorf("domain %d, UUID %s: seed there %v", test.domid, test.uuid, there)
		}
	}
	if _, there := x.server.Get(home(2)); there {
		t.Error("a domain that is gone has a directory again")
	}
}
