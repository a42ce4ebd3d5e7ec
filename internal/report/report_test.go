package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
)

func TestText(t *testing.T) {
	address := netip.MustParseAddr("10.0.2.16")
	s := &host.Snapshot{
		Host: host.Host{
			Version: "1.0",
			Machine: host.Machine{Xen: "4.20", CPUs: 2, TotalKiB: 1 << 20, GuestType: "pv"},
			Network: host.Network{
				Kind: host.Lease, Interface: "xenbr0", NIC: "eth0", Address: netip.MustParsePrefix("10.0.2.15/24"),
			},
			Medium: host.Medium{Device: "/dev/sr0", State: host.MediumInRAM},
			Stores: []host.Store{
				{URL: "http://a/", State: "fetching", Guest: "web", Done: 70 << 20, Total: 200 << 20},
				{URL: "http://b/", State: "waiting", Problem: "no route", Remedy: "look"},
				{URL: "http://c/", State: "finished", Guests: 1, Refused: 2},
			},
			State: host.StateVolume{
				Device: "/dev/sdb1", Mount: "/state", Bytes: 4e9, Free: 3e9, ReadOnly: true, Problem: "p", Remedy: "r",
			},
			Remotes: []host.Remote{
				{URL: "iscsi://a:3260/iqn.x/1", State: host.RemoteConnected, Device: "/dev/sda"},
				{URL: "nfs://b/c", State: host.RemoteLost, Mount: "/media/c", Problem: "it hangs", Remedy: "look"},
			},
			Volumes: []host.Volume{
				{Device: "/dev/sda1", Type: "ntfs"},
				{Device: "/dev/sdb1", Label: "ZERODISC-A", Trusted: true, Guests: []string{"a"}},
				{Device: "/dev/sdc1", Label: "stick", Guests: strings.Split("b0 b1 b2 b3 b4 b5 b6 b7 b8", " ")},
				{Device: "/dev/sdd1", Guests: []string{"slow"}},
			},
			Problems: []string{"no medium"}, Full: []host.FileSystem{{Dir: "/tmp", Full: true, KiB: 2048}},
		},
		Guests: []host.Guest{
			{Name: "big", Phase: host.Refused, Problem: "needs 9000 MiB, 600 MiB are free"},
			{Name: "gone", Phase: host.Stopped, Said: address, Problem: "it crashed"},
			{Name: "loop", Phase: host.Restarting, Problem: "it crashed"},
			{Name: "slow", Phase: host.Running},
			{Name: "still", Phase: host.Running, Paused: true},
			{Name: "suspended", Phase: host.Running, Shutdown: host.Suspend},
			{Name: "tty1", Phase: host.Running, Said: address, Problem: "it crashed"},
		},
	}
	want := `
zerodisc 1.0
  Xen 4.20, 2 CPUs, 1024 MiB, guests run as pv
  network: 10.0.2.15/24 on xenbr0 (eth0)
  medium: /dev/sr0, in RAM: it may be removed
  state: /dev/sdb1 at /state, 3.0 GB of 4.0 GB free; p; r
  guests of http://a/: fetching web, 70 of 200 MiB (35 %)
  guests of http://b/: no route (still trying); look
  guests of http://c/: 1 guests started, 2 refused
  storage iscsi://a:3260/iqn.x/1: connected at /dev/sda
  storage nfs://b/c: lost at /media/c: it hangs; look
  guests on /dev/sdb1 ZERODISC-A: a
  guests on /dev/sdc1 stick: b0, b1, b2, b3, b4, b5, b6, b7 and 1 more (not started: see zerodisc.stores)
  guests on /dev/sdd1: slow
  guest big          refused: needs 9000 MiB, 600 MiB are free
  guest gone         stopped
  guest loop         restarting: it crashed
  guest slow         running  (no address yet)
  guest still        paused
  guest suspended    suspended
  guest tty1         running  10.0.2.16
  ! no medium
  ! /tmp is full (2 MiB of dom0's memory): delete what is not needed
  guest list | guest console NAME (leave with Ctrl-]) | guest help | poweroff

`
	if got := Text(s); got != want {
		t.Errorf("report:\n%s\nwant:\n%s", got, want)
	}
	want = "\nzerodisc 2\n  network: waiting for an address\n  no guests\n" +
		"  guest list | xl create FILE.cfg | guest help | poweroff\n\n"
	if got := Text(&host.Snapshot{Host: host.Host{Version: "2"}}); got != want {
		t.Errorf("report:\n%s\nwant:\n%s", got, want)
	}
}

// TestLines holds the console lines to docs/console.md.
func TestLines(t *testing.T) {
	yes := true
	for _, test := range []struct {
		event host.Event
		want  string
	}{
		{host.Remote{URL: "nfs://a/b", State: host.RemoteConnected, Version: "4.2", Mount: "/media/b",
			Guests: []string{"web", "mail"}},
			`level=INFO msg="network storage" url=nfs://a/b state=connected version=4.2 mount=/media/b ` +
				`guests=web,mail`},
		{host.Remote{URL: "iscsi://a:3260/iqn.x/1", State: host.RemoteLost, Device: "/dev/sda", Guests: []string{"web"},
			Problem: "closed", Remedy: "look"},
			`level=ERROR msg="network storage" url=iscsi://a:3260/iqn.x/1 state=lost device=/dev/sda guests=web ` +
				`err=closed remedy=look`},
		{host.Remote{URL: "nfs://a/b", State: host.RemoteWaiting, Problem: "refused", Remedy: "look"},
			`level=WARN msg="network storage" url=nfs://a/b state=waiting err=refused remedy=look`},
		{host.Stage{Name: "media", Took: time.Second}, `level=INFO msg=stage name=media ms=1000`},
		{host.Stage{Name: "media", Problem: "gone", Remedy: "look"},
			`level=ERROR msg=stage name=media ms=0 err=gone remedy=look`},
		{host.Medium{Device: "/dev/sr0", Mount: "/m"}, `level=INFO msg="boot medium" device=/dev/sr0 mount=/m`},
		{host.Medium{Device: "/dev/sda1", File: "z.iso", Mount: "/m"},
			`msg="boot medium" device=/dev/sda1 file=z.iso mount=/m`},
		{host.Medium{Device: "/dev/sr0", State: host.MediumCopying, Done: 1, Total: 2},
			`level=INFO msg="boot medium" device=/dev/sr0 state=copying done=1 total=2`},
		{host.Medium{Device: "/dev/sr0", State: host.MediumInRAM, Took: time.Second},
			`level=INFO msg="boot medium" device=/dev/sr0 state=removable ms=1000`},
		{host.Medium{Device: "/dev/sr0", State: host.MediumInRAM, Guests: []string{"a"}},
			`level=WARN msg="boot medium" device=/dev/sr0 state="in RAM" guests=a err="" ` +
				`remedy="it may be removed once nothing else on it is in use"`},
		{host.Medium{Device: "/dev/sr0", State: host.MediumGone, Guests: []string{"a", "b"}},
			`level=ERROR msg="boot medium" device=/dev/sr0 state=gone guests=a,b ` +
				`remedy="plug it in again: guests go on then; until then what they read of it fails"`},
		{host.Medium{Device: "/dev/sr0", Problem: "it is large"},
			`msg="boot medium" device=/dev/sr0 state=needed err="it is large" remedy="leave it where it is"`},
		{host.Network{
			Kind: host.Lease, Interface: "xenbr0", NIC: "eth0",
			Address: netip.MustParsePrefix("10.0.2.15/24"), Gateway: netip.MustParseAddr("10.0.2.2"),
		}, `level=INFO msg="host address" interface=xenbr0 nic=eth0 address=10.0.2.15/24 gateway=10.0.2.2`},
		{host.Network{Kind: host.NoLease, Interface: "xenbr0", NIC: "eth0", Tried: time.Minute, Problem: "silence"},
			`level=WARN msg="no DHCP lease" interface=xenbr0 nic=eth0 tried=1m0s err=silence`},
		{host.Network{Kind: host.NoNIC, Interface: "xenbr0", Problem: "none"},
			`level=WARN msg="no network card" interface=xenbr0 err=none ` +
				`remedy="plug one in: it is taken when it appears"`},
		{host.Network{
			Kind: host.AddressSet, Interface: "xenbr0", NIC: "eth0", By: "RA",
			Address: netip.MustParsePrefix("2001:db8::5/64"), Gateway: netip.MustParseAddr("fe80::1"),
		}, `level=INFO msg="host IPv6 address" interface=xenbr0 nic=eth0 address=2001:db8::5/64 gateway=fe80::1 by=RA`},
		{host.Network{
			Kind: host.AddressSet, Interface: "xenbr1", NIC: "eth1", By: "static",
			Address: netip.MustParsePrefix("192.0.2.5/24"),
		}, `level=INFO msg="host address" interface=xenbr1 nic=eth1 address=192.0.2.5/24 by=static`},
		{host.Network{
			Kind: host.AddressConflict, Interface: "xenbr0", NIC: "eth0", Problem: "taken",
			Address: netip.MustParsePrefix("192.0.2.5/32"),
		}, `level=WARN msg=network interface=xenbr0 state=conflict nic=eth0 address=192.0.2.5/32 err=taken ` +
			`remedy="give one of the two hosts another address"`},
		{host.Network{Kind: host.NoAddress, Interface: "xenbr0", NIC: "eth0", Tried: 20 * time.Second},
			`level=WARN msg=network interface=xenbr0 state="no address" nic=eth0 tried=20s ` +
				`remedy="connect a cable to a network with a DHCP server, or give a static address"`},
		{host.Network{Kind: host.NoAddress, Interface: "late", Tried: 20 * time.Second},
			`level=WARN msg=network interface=late state="no address" tried=20s remedy="plug its network card in"`},
		{host.Network{Kind: host.LinkUp, Interface: "xenbr0", NIC: "eth0"},
			`level=INFO msg=network interface=xenbr0 state="link up" nic=eth0`},
		{host.Daemon{Name: "xenconsoled", Phase: "waiting", Problem: "killed"},
			`level=WARN msg=daemon name=xenconsoled state=waiting pid=0 err=killed`},
		{host.Daemon{Name: "xenconsoled", Phase: "running", PID: 7, Restarts: 1},
			`level=WARN msg=daemon name=xenconsoled state=running pid=7 err=""`},
		{host.Clock{State: "stepped", Server: "10.0.2.2:123", Offset: 15e8,
			At: time.Unix(0, 0)},
			`level=INFO msg=time state=stepped server=10.0.2.2:123 offset=1.5s now=1970-01-01T00:00:00Z`},
		{host.Clock{State: "unreachable", Problem: "no answer"},
			`level=WARN msg=time state=unreachable err="no answer" remedy="dom0 keeps asking; ` +
				`zerodisc.ntp=HOST names another time server, zerodisc.ntp=no none"`},
		{host.Clock{State: "unreachable", Problem: "no answer", Synced: true},
			`level=WARN msg=time state=unreachable err="no answer" ` +
				`remedy="the clock goes on by itself; dom0 keeps asking"`},
		{host.LogServer{URL: "udp://a:514", Problem: "refused"},
			`level=WARN msg=syslog url=udp://a:514 state=waiting err=refused`},
		{host.LogServer{URL: "udp://a:514", Connected: true},
			`level=INFO msg=syslog url=udp://a:514 state=connected`},
		{host.LogServer{URL: "udp://a:514", Connected: true, Lost: 7},
			`level=WARN msg=syslog url=udp://a:514 state=connected lost=7`},
		{host.WatchdogTimer{Device: "watchdog0", Name: "xen_wdt", Timeout: 3 * time.Minute},
			`level=INFO msg=watchdog device=watchdog0 name=xen_wdt timeout=3m0s`},
		{host.WatchdogTimer{Problem: "it waits for 2s only"}, `level=WARN msg=watchdog err="it waits for 2s only"`},
		{host.Store{URL: "u", State: "waiting", Problem: "no route", Remedy: "look"},
			`level=WARN msg="guest store" url=u state=waiting err="no route" remedy=look`},
		{host.Store{URL: "u", State: "found", Guests: 2}, `level=INFO msg="guest store" url=u state=found guests=2`},
		{host.Store{URL: "u", State: "fetching", Guest: "web", Done: 1, Total: 2},
			`msg="guest store" url=u state=fetching guest=web done=1 total=2`},
		{host.Store{URL: "u", State: "fetching", Guest: "web", Done: 1},
			`msg="guest store" url=u state=fetching guest=web done=1`},
		{host.Store{URL: "u", State: "finished", Guests: 1, Refused: 1, Took: time.Second},
			`msg="guest store" url=u state=finished guests=1 refused=1 ms=1000`},
		{host.StateVolume{Device: "/dev/sdb1", UUID: "u", Mount: "/state", Free: 2e9},
			`level=INFO msg=state device=/dev/sdb1 uuid=u mount=/state free="2.0 GB"`},
		{host.StateVolume{Device: "/dev/sdb1", Guests: []string{"a", "b"}, Problem: "gone", Remedy: "look"},
			`level=ERROR msg=state device=/dev/sdb1 guests=a,b err=gone remedy=look`},
		{host.StateVolume{Problem: "two", Remedy: "look"}, `level=ERROR msg=state err=two remedy=look`},
		{host.Ready{Guests: 2, Took: time.Second}, `level=INFO msg=ready guests=2 ms=1000`},
		{host.Ready{Guests: host.NoGuests, Took: time.Second}, `level=INFO msg=ready ms=1000`},
		{host.Ending{Action: "poweroff"}, `level=INFO msg=ending action=poweroff`},
		{host.GuestRan{Name: "a", Domid: 1, Took: time.Second, Type: "pv"},
			`level=INFO msg="guest running" guest=a domid=1 ms=1000 type=pv`},
		{host.GuestRan{Name: "a", Domid: 1}, `level=INFO msg="guest running" guest=a domid=1`},
		{host.GuestAddressed{Name: "a", Address: netip.MustParseAddr("10.0.0.1")},
			`level=INFO msg="guest address" guest=a address=10.0.0.1`},
		{host.GuestNotStarted{Name: "a", Origin: "f", Problem: "p"},
			`level=ERROR msg="guest refused" guest=a file=f err=p`},
		{host.GuestWaits{Name: "a", Origin: "f", Problem: "p"},
			`level=WARN msg="guest waiting" guest=a file=f err=p remedy="it starts when the disk is there; ` +
				`ls -l /dev/disk/by-* shows those that are"`},
		{host.GuestEnded{Name: "a", Domid: 1}, `level=INFO msg="guest stopped" guest=a domid=1`},
		{host.GuestEnded{Name: "a", Domid: 1, Forced: &yes, Problem: "it is paused"},
			`level=INFO msg="guest stopped" guest=a domid=1 forced=true err="it is paused"`},
		{host.GuestRestarts{Name: "a", Problem: "it crashed"},
			`level=WARN msg="guest restarts" guest=a err="it crashed" remedy="guest logs a shows its last words; ` +
				`guest destroy a ends it"`},
		{host.GuestRestarts{Name: "a"}, ""},
		{host.GuestFloods{Name: "a", Domid: 1, What: host.FloodXenstore, Problem: "it writes"},
			`level=WARN msg="guest flood" guest=a what=xenstore err="it writes" ` +
				`remedy="others are not held up; look at what it does, or end it with guest destroy a"`},
		{host.OutOfMemory{PID: 7, Name: "sort"}, `level=ERROR msg="out of memory" killed=sort pid=7 ` +
			`remedy="dom0 had no memory left; see free and ps, and boot with more: dom0_mem"`},
		{host.FileSystem{Dir: "/tmp", Full: true, KiB: 2048}, `level=ERROR msg="file system" dir=/tmp state=full ` +
			`size="2 MiB" remedy="delete what is not needed there, du /tmp lists it; it is dom0's memory"`},
		{host.FileSystem{Dir: "/tmp", KiB: 2048}, `level=INFO msg="file system" dir=/tmp state=room size="2 MiB"`},
		{host.Clock{State: host.ClockMoved, Offset: time.Hour, At: time.Unix(0, 0)},
			`level=WARN msg=time state=moved offset=1h0m0s now=1970-01-01T00:00:00Z ` +
				`remedy="somebody has set the clock; time servers are asked now"`},
	} {
		l, out := lines()
		l.write(host.Update{Snapshot: &host.Snapshot{Number: 3}, Events: []host.Event{test.event}})
		if got := strings.TrimSpace(out.String()); !strings.HasSuffix(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%+v:\n%s, want\n%s", test.event, got, test.want)
		}
	}
}

func lines() (*Lines, *bytes.Buffer) {
	var out bytes.Buffer
	return NewLines(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))), &out
}

// A domain's addresses are written so often and no more; the next domain of the same guest begins anew.
func TestAddressesAreWrittenSoOften(t *testing.T) {
	l, out := lines()
	tell := func(domid, times int) {
		for range times {
			event := host.GuestAddressed{Name: "a", Domid: domid}
			l.write(host.Update{Snapshot: &host.Snapshot{}, Events: []host.Event{event}})
		}
	}
	tell(1, 2*maxAddresses)
	tell(2, 3)
	if n := strings.Count(out.String(), `"guest address"`); n != maxAddresses+3 {
		t.Errorf("%d addresses were written, want %d", n, maxAddresses+3)
	}
	if n := strings.Count(out.String(), `"guest flood" guest=a what=address`); n != 1 {
		t.Errorf("%d lines say that more were left out, want 1", n)
	}
	l.write(host.Update{Snapshot: &host.Snapshot{}, Events: []host.Event{host.GuestEnded{Domid: 1}}, Lost: 5})
	if len(l.addresses) != 1 || !strings.Contains(out.String(), `msg="lines left out" count=5`) {
		t.Errorf("%v\n%s", l.addresses, out)
	}
}

// What a domain floods is said once in a while.
func TestFloodsAreSaidOnce(t *testing.T) {
	l, _ := lines()
	now := time.Unix(0, 0)
	news := func(domid int, problem string, after time.Duration, want bool) {
		t.Helper()
		now = now.Add(after)
		if got := l.isNews(host.GuestFloods{Domid: domid, Problem: problem}, now); got != want {
			t.Errorf("domain %d, %s: %v", domid, problem, got)
		}
	}
	news(1, "a", 0, true)
	news(1, "a", time.Second, false)
	news(1, "b", 0, true)
	news(2, "a", 0, true)
	news(1, "a", floodPause, true)
	l.write(host.Update{Snapshot: &host.Snapshot{}, Events: []host.Event{host.GuestEnded{Domid: 1}}})
	news(1, "a", time.Second, true)
}

// A guest that crashes without end is written about ten times, and then each tenth time.
func TestRestartsAreWrittenSoOften(t *testing.T) {
	l, out := lines()
	write := func(events ...host.Event) int {
		out.Reset()
		l.write(host.Update{Snapshot: &host.Snapshot{}, Events: events})
		return strings.Count(out.String(), "msg=")
	}
	restart := func(problem string) int {
		return write(host.GuestRestarts{Name: "a", Problem: problem}, host.GuestEnded{Name: "a", Restarts: true},
			host.GuestRan{Name: "a"})
	}
	for n := 1; n <= 30; n++ {
		want := 0
		if n <= 10 || n%10 == 0 {
			want = 3
		}
		if got := restart("it crashed"); got != want {
			t.Errorf("restart %d: %d lines\n%s", n, got, out)
		}
	}
	restart("it crashed")
	if n := write(host.GuestEnded{Name: "a"}, host.GuestRan{Name: "a"}); n != 2 {
		t.Errorf("stopped and started by hand: %d lines", n)
	}
	for n := 1; n <= 10; n++ {
		if got := restart(""); got != 2 && n < 10 || got != 3 && n == 10 {
			t.Errorf("reboot %d: %d lines\n%s", n, got, out)
		}
	}
	if n := restart(""); n != 0 {
		t.Errorf("one reboot more: %d lines", n)
	}
}

func TestRestartsAreCountedAnew(t *testing.T) {
	var r restarts
	now := time.Unix(0, 0)
	for range maxRestarts {
		r.note(now)
	}
	if r.note(now.Add(time.Second)) || !r.note(now.Add(time.Second+calmTime)) || r.isQuiet() {
		t.Errorf("%+v", r)
	}
}

func TestWaitForLines(t *testing.T) {
	l, _ := lines()
	go l.write(host.Update{Snapshot: &host.Snapshot{Number: 2}})
	l.Wait(2, time.Hour)
	start := time.Now()
	l.Wait(3, 10*time.Millisecond)
	if time.Since(start) < 10*time.Millisecond {
		t.Error("it did not wait")
	}
}

// What could not be written, a full /run say, is written when there is room again.
func TestKeep(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	failures := 1
	write := func(text string) error {
		if failures--; failures >= 0 {
			return errors.New("no space left on device")
		}
		return os.WriteFile(file, []byte(text), 0o600)
	}
	state := host.New(t.Context(), "1.0")
	state.Tell(host.Came{Domid: 1, UUID: "u", Name: "web"})
	state.Tell(host.Said{Domid: 1, Address: netip.MustParseAddr("10.0.0.5")})
	problems := make(chan error, 10)
	go Keep(t.Context(), write, state.Subscribe(t.Context()), func(err error) { problems <- err })
	if err := <-problems; !strings.Contains(err.Error(), "no space") {
		t.Error(err)
	}
	var read *host.Snapshot
	for range 1000 {
		var err error
		if read, err = Read(file); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if read == nil || Text(read) != Text(state.Snapshot()) {
		t.Fatalf("read %+v, want %+v", read, state.Snapshot())
	}
	text, _ := json.Marshal(read)
	if want, _ := json.Marshal(state.Snapshot()); !bytes.Equal(text, want) {
		t.Errorf("read\n%s, want\n%s", text, want)
	}
}

// The primary interface stands on top, whatever the others have.
func TestNetworksInText(t *testing.T) {
	at := func(texts ...string) (addresses []host.NetworkAddress) {
		for _, text := range texts {
			addresses = append(addresses, host.NetworkAddress{Prefix: netip.MustParsePrefix(text)})
		}
		return addresses
	}
	first := host.Network{
		Kind: host.Lease, Interface: "xenbr0", NIC: "eth0", Primary: true,
		Addresses: at("10.0.2.15/24", "fe80::1/64", "2001:db8::5/64"),
	}
	second := host.Network{Kind: host.NoLease, Interface: "xenbr1", NIC: "eth1", Problem: "silence"}
	third := host.Network{Interface: "xenbr2", Addresses: at("192.0.2.1/24")}
	text := Text(&host.Snapshot{Host: host.Host{
		Network: first, Networks: []host.Network{first, second, third, {Interface: "xenbr3"}},
	}})
	want := `  network: 10.0.2.15/24 on xenbr0 (eth0)
  network: 2001:db8::5/64 on xenbr0 (eth0)
  network: no address on xenbr1: silence (still trying)
  network: 192.0.2.1/24 on xenbr2
  network: no address on xenbr3
`
	if !strings.Contains(text, want) {
		t.Errorf("got %s", text)
	}
}
