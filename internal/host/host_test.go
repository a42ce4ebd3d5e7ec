package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerodisc/zerodisc/guests"
)

const mac = "00:16:3e:00:00:01"

func uuid(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", n) }

func address(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, n}) }

func spec(name string, n int) *guests.Resolved {
	return &guests.Resolved{
		Guest: &guests.Guest{Name: name, File: "/store/" + name + ".cfg"},
		UUID:  uuid(n), Type: guests.PV, MACs: []string{mac},
		Memory: guests.Memory{RAM: 96 << 10, MaxRAM: 96 << 10, VCPUs: 1, Shadow: -1},
	}
}

// story is a State, and the events that it had.
type story struct {
	*State
	updates <-chan Update
}

func begin(t *testing.T) *story {
	s := New(t.Context(), "1.0")
	return &story{State: s, updates: s.Subscribe(t.Context())}
}

func (s *story) tell(facts ...Fact) *story {
	for _, fact := range facts {
		s.Tell(fact)
	}
	return s
}

// create is what is told of a guest until it runs.
func (s *story) create(name string, n, domid int) *story {
	return s.tell(Planned{Spec: spec(name, n)}, GuestPhase{UUID: uuid(n), Phase: Creating},
		Came{Domid: domid, UUID: uuid(n), Name: name}, Created{UUID: uuid(n), Domid: domid})
}

// events returns what has happened since it was asked last, a short line each.
func (s *story) events() string {
	var lines []string
	for _, event := range (<-s.updates).Events {
		switch e := event.(type) {
		case GuestRan:
			lines = append(lines, fmt.Sprintf("%s runs as %d", e.Name, e.Domid))
		case GuestAddressed:
			lines = append(lines, fmt.Sprintf("%s at %s", e.Name, e.Address))
		case GuestEnded:
			lines = append(lines, fmt.Sprintf("%s ended as %d", e.Name, e.Domid))
		case GuestNotStarted:
			lines = append(lines, fmt.Sprintf("%s not started: %s", e.Name, e.Problem))
		case GuestRestarts:
			lines = append(lines, fmt.Sprintf("%s restarts", e.Name))
		default:
			lines = append(lines, fmt.Sprintf("%T", e))
		}
	}
	return strings.Join(lines, "; ")
}

func (s *story) expect(t *testing.T, events string, guests ...string) {
	t.Helper()
	if got := s.events(); got != events {
		t.Errorf("events\n%s, want\n%s", got, events)
	}
	var lines []string
	for _, g := range s.Snapshot().Guests {
		lines = append(lines, fmt.Sprintf("%s %s %d %s", g.Name, g.Phase, g.Domid, g.Address()))
	}
	if got, want := strings.Join(lines, "|"), strings.Join(guests, "|"); got != want {
		t.Errorf("guests\n%s, want\n%s", got, want)
	}
}

func TestCreatedGuest(t *testing.T) {
	s := begin(t).create("web", 1, 3)
	s.expect(t, "web runs as 3", "web running 3 invalid IP")
	s.tell(Said{Domid: 3, Address: address(5)}, Said{Domid: 3, Address: address(5)})
	s.expect(t, "web at 10.0.0.5", "web running 3 10.0.0.5")
	s.tell(GuestPhase{UUID: uuid(1), Phase: Stopping}, Gone{3}, GuestPhase{UUID: uuid(1), Phase: Stopped})
	s.expect(t, "web ended as 3", "web stopped 0 invalid IP")
	if g := s.Snapshot().ByUUID(uuid(1)); g.NeedKiB != spec("web", 1).NeedKiB() || !g.Managed || g.Phase.Live() {
		t.Errorf("%+v", g)
	}
}

// What a guest said before anybody knew that it runs is told when it does.
func TestAddressBeforeTheGuestIsKnownToRun(t *testing.T) {
	s := begin(t).tell(Planned{Spec: spec("web", 1)}, GuestPhase{UUID: uuid(1), Phase: Creating},
		Came{Domid: 3, UUID: uuid(1), Name: "web"}, Said{Domid: 3, Address: address(5)},
		Created{UUID: uuid(1), Domid: 3})
	s.expect(t, "web runs as 3; web at 10.0.0.5", "web running 3 10.0.0.5")
}

func TestRestart(t *testing.T) {
	s := begin(t).create("web", 1, 3).tell(Said{Domid: 3, Address: address(5)})
	s.events()
	s.tell(GuestPhase{UUID: uuid(1), Phase: Restarting}, Gone{3})
	s.expect(t, "web restarts; web ended as 3", "web restarting 0 invalid IP")
	if s.Snapshot().Live("web") == nil {
		t.Error("the name of a guest that restarts is free")
	}
	s.tell(GuestPhase{UUID: uuid(1), Phase: Creating}, Came{Domid: 4, UUID: uuid(1), Name: "web"},
		Created{UUID: uuid(1), Domid: 4}, Said{Domid: 4, Address: address(5)})
	s.expect(t, "web runs as 4; web at 10.0.0.5", "web running 4 10.0.0.5")
	if g := s.Snapshot().ByUUID(uuid(1)); g.Restarts != 1 {
		t.Errorf("%+v", g)
	}
}

// The hundredth reboot is told like the first, and so is an address after a hundred spoofed ones.
func TestNothingFreezes(t *testing.T) {
	s := begin(t).create("web", 1, 1).tell(Said{Domid: 1, Address: address(5)})
	for domid := 2; domid <= 150; domid++ {
		s.tell(Gone{domid - 1}, Came{Domid: domid, UUID: uuid(1), Name: "web"})
		for n := range 10 {
			s.tell(Heard{Domid: domid, MAC: mac, Address: address(byte(100 + n))})
		}
		s.tell(Said{Domid: domid, Address: address(5)})
	}
	if g := s.Snapshot().ByUUID(uuid(1)); g.Address() != address(5) || g.Domid != 150 {
		t.Errorf("%+v", g)
	}
	s.tell(Heard{Domid: 150, MAC: mac, Address: address(66)}, Heard{Domid: 9, MAC: mac, Address: address(67)},
		Heard{Domid: 150, MAC: "00:16:3e:00:00:02", Address: address(68)})
	if g := s.Snapshot().ByUUID(uuid(1)); g.Address() != address(5) || g.Heard != address(66) {
		t.Errorf("what was heard replaced what the guest says: %+v", g)
	}
	s.tell(Said{Domid: 150})
	if g := s.Snapshot().ByUUID(uuid(1)); g.Address() != address(66) {
		t.Errorf("the guest took its address back: %+v", g)
	}
}

func TestGuestsMadeByHand(t *testing.T) {
	s := begin(t).tell(Came{Domid: 7, UUID: uuid(7), Name: "mine"}, Came{Domid: 7, UUID: uuid(7), Name: "mine"})
	s.expect(t, "mine runs as 7", "mine running 7 invalid IP")
	if g := s.Snapshot().ByMAC(mac); g != nil {
		t.Errorf("%+v has a MAC that nobody has", g)
	}
	s.tell(Plugged{Domid: 7, MACs: []string{mac}}, Heard{Domid: 7, MAC: mac, Address: address(9)},
		Named{Domid: 7, Name: "other"})
	s.expect(t, "mine at 10.0.0.9", "other running 7 10.0.0.9")
	// xl migrates it to this host: the new domain comes before the old one's end.
	s.tell(Came{Domid: 8, UUID: uuid(7), Name: "other"}, Gone{7})
	s.expect(t, "other runs as 8; other ended as 7", "other running 8 invalid IP")
	s.tell(Gone{8})
	s.expect(t, "other ended as 8", "other stopped 0 invalid IP")
	// Another guest with the name of one that has ended takes its line.
	s.tell(Came{Domid: 9, UUID: uuid(9), Name: "other"})
	s.expect(t, "other runs as 9", "other running 9 invalid IP")
}

// Two domains with one UUID, the second made by hand, are two guests: what happens to one is not the other's.
func TestTwins(t *testing.T) {
	s := begin(t).create("web", 1, 1).tell(Came{Domid: 2, UUID: uuid(1), Name: "copy"})
	s.expect(t, "web runs as 1; copy runs as 2", "copy running 2 invalid IP", "web running 1 invalid IP")
	s.tell(Said{Domid: 1, Address: address(5)}, Said{Domid: 2, Address: address(6)})
	s.expect(t, "web at 10.0.0.5; copy at 10.0.0.6", "copy running 2 10.0.0.6", "web running 1 10.0.0.5")
	if g := s.Snapshot().ByUUID(uuid(1)); g.Name != "web" {
		t.Errorf("the UUID is that of %+v", g)
	}
	s.tell(GuestPhase{UUID: uuid(1), Phase: Restarting}, Gone{1})
	s.expect(t, "web restarts; web ended as 1", "copy running 2 10.0.0.6", "web restarting 0 invalid IP")
	s.tell(Gone{2})
	s.expect(t, "copy ended as 2", "copy stopped 0 invalid IP", "web restarting 0 invalid IP")
}

// What nobody can have as an address is none.
func TestAddressesThatAreNone(t *testing.T) {
	s := begin(t).create("web", 1, 1)
	for _, a := range []string{"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"} {
		s.tell(Said{Domid: 1, Address: netip.MustParseAddr(a)},
			Heard{Domid: 1, MAC: mac, Address: netip.MustParseAddr(a)})
	}
	s.expect(t, "web runs as 1", "web running 1 invalid IP")
	s.tell(Said{Domid: 1, Address: netip.MustParseAddr("169.254.7.7")})
	s.expect(t, "web at 169.254.7.7", "web running 1 169.254.7.7")
}

// A guest that is started takes the line of one of its name that has ended, whoever made that.
func TestStartedAfterOneOfItsName(t *testing.T) {
	s := begin(t).tell(Came{Domid: 7, UUID: uuid(7), Name: "web"}, Gone{7})
	s.events()
	s.tell(Planned{Spec: spec("web", 1)})
	s.expect(t, "", "web waiting 0 invalid IP")
}

func TestRefusal(t *testing.T) {
	s := begin(t).create("web", 1, 1)
	s.events()
	s.tell(GuestRefused{Name: "web", Origin: "/b.cfg", Err: errors.New("runs already")})
	s.expect(t, "web not started: runs already", "web running 1 invalid IP")
	if p := s.Snapshot().Host.Problems; len(p) != 1 || p[0] != "runs already" {
		t.Errorf("problems %q", p)
	}
	s.tell(GuestRefused{Name: "big\x1b[2J", Origin: "/c\x07.cfg", Err: errors.New("no\nmemory")})
	s.expect(t, `big\x1b[2J not started: no\nmemory`, `big\x1b[2J refused 0 invalid IP`, "web running 1 invalid IP")
	s.tell(Planned{Spec: spec(`big\x1b[2J`, 2)})
	s.expect(t, "", `big\x1b[2J waiting 0 invalid IP`, "web running 1 invalid IP")
	// xl refuses it, and something of its domain stays for a while.
	s.tell(GuestPhase{UUID: uuid(2), Phase: Creating}, Came{Domid: 2, UUID: uuid(2), Name: "big"},
		GuestRefused{Name: "big", UUID: uuid(2), Err: errors.New("no kernel")}, Gone{2})
	if g := s.Snapshot().ByUUID(uuid(2)); g.Phase != Failed || g.Problem != "no kernel" || g.Domid != 0 ||
		s.Snapshot().Running() != 1 {
		t.Errorf("%+v", g)
	}
}

// The end of a domain that never ran is no news after its refusal.
func TestEndOfAHalfMadeDomain(t *testing.T) {
	s := begin(t).tell(Planned{Spec: spec("web", 1)}, GuestPhase{UUID: uuid(1), Phase: Creating},
		Came{Domid: 3, UUID: uuid(1), Name: "web"},
		GuestRefused{Name: "web", UUID: uuid(1), Err: errors.New("xl hung")}, Gone{3})
	s.expect(t, "web not started: xl hung", "web failed 0 invalid IP")
}

// A host that makes guests all day, each with another name, keeps those that have ended last.
func TestEndedGuestsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t).create("web", 1000, 1000).tell(GuestRefused{Name: "big", Err: errors.New("no memory")})
		for n := 1; n <= 500; n++ {
			s.tell(Came{Domid: n, UUID: uuid(n), Name: fmt.Sprintf("job%03d", n)}, Gone{n})
			time.Sleep(time.Second)
		}
		now := s.Snapshot()
		if len(now.Guests) != maxEnded+1 || now.ByUUID(uuid(500)) == nil || now.Live("web") == nil {
			t.Errorf("%d guests", len(now.Guests))
		}
	})
}

// Xen's own list is believed: a domain that is not in it is gone, unless it came after the list was asked for.
func TestListed(t *testing.T) {
	s := begin(t).create("web", 1, 1)
	asked := s.Snapshot().Number
	s.create("late", 2, 2)
	s.events()
	s.tell(Listed{Asked: asked, Domains: []Domain{{Domid: 1, Paused: true}}})
	s.expect(t, "", "late running 2 invalid IP", "web running 1 invalid IP")
	if g := s.Snapshot().ByUUID(uuid(1)); !g.Paused {
		t.Errorf("%+v", g)
	}
	asked = s.Snapshot().Number
	s.tell(Listed{Asked: asked, Domains: []Domain{{Domid: 1, Shutdown: Crash}}})
	s.expect(t, "late ended as 2", "late stopped 0 invalid IP", "web running 1 invalid IP")
	if g := s.Snapshot().ByUUID(uuid(1)); g.Paused || g.Shutdown != Crash {
		t.Errorf("%+v", g)
	}
}

// A guest that is kept after a crash is there and does not run.
func TestCrashedGuest(t *testing.T) {
	s := begin(t).create("web", 1, 1).tell(GuestPhase{UUID: uuid(1), Phase: Crashed, Problem: "kept"})
	if now := s.Snapshot(); now.Running() != 0 || now.Live("web") == nil {
		t.Errorf("%+v", now)
	}
	s.events()
	s.tell(Gone{1})
	s.expect(t, "web ended as 1", "web stopped 0 invalid IP")
}

func TestEnding(t *testing.T) {
	s := begin(t).create("web", 1, 1).create("db", 2, 2)
	s.events()
	s.tell(Ending{"poweroff"}, Gone{1}, Ended{Domid: 1, Name: "web"},
		Ended{Domid: 2, Name: "db", Forced: true, Err: errors.New("it is\npaused")}, Gone{2})
	if g := s.Snapshot().ByUUID(uuid(2)); g.Phase != Stopped || g.Problem != `it is\npaused` {
		t.Errorf("%+v", g)
	}
	events := (<-s.updates).Events
	if len(events) != 3 || events[0] != (Ending{"poweroff"}) {
		t.Fatalf("%v", events)
	}
	for i, forced := range []bool{false, true} {
		if e := events[i+1].(GuestEnded); e.Forced == nil || *e.Forced != forced {
			t.Errorf("%+v", e)
		}
	}
}

func TestHostFacts(t *testing.T) {
	s := begin(t).tell(Machine{Xen: "4.20"}, Stage{Name: "a", Problem: "x\x1b"},
		Daemon{Name: "image", Quiet: true}, DaemonGone{"image"},
		Daemon{Name: "z"}, Daemon{Name: "b", Failed: true, Problem: "died"}, Daemon{Name: "z", PID: 3},
		Store{URL: "u", State: "found"}, Store{URL: "u", State: "fetching", Quiet: true},
		Problem{"p"}, Problem{"p"}, Reserved{{Owner: "web"}}, Ready{}, Ready{Guests: NoGuests})
	h := s.Snapshot().Host
	if h.Stages[0].Problem != `x\x1b` || len(h.Daemons) != 2 || h.Daemons[1].PID != 3 ||
		h.Stores[0].State != "fetching" || fmt.Sprint(h.Problems) != "[died p]" ||
		h.Memory[0].Owner != "web" || !h.Ready {
		t.Errorf("%+v", h)
	}
	want := "host.Stage; host.Daemon; host.Daemon; host.Daemon; host.Store; host.Ready; host.Ready"
	if got := s.events(); got != want {
		t.Errorf("events %s", got)
	}
}

// Another process goes on where this one was.
func TestResumed(t *testing.T) {
	old := begin(t).create("web", 1, 3).
		tell(Said{Domid: 3, Address: address(5)}, Daemon{Name: "a"}, Problem{"p"}).Snapshot()
	s := begin(t).tell(ResumedHost{old.Host}, Resumed{old.Guests[0]})
	s.expect(t, "", "web running 3 10.0.0.5")
	if h := s.Snapshot().Host; len(h.Daemons) != 1 || len(h.Problems) != 1 {
		t.Errorf("%+v", h)
	}
	asked := s.Snapshot().Number
	s.tell(Came{Domid: 3, UUID: uuid(1), Name: "web"}, Listed{Asked: asked})
	s.expect(t, "web ended as 3", "web stopped 0 invalid IP")
}

// A subscriber that does not read gets the newest state, and the oldest events are counted.
func TestSlowSubscriber(t *testing.T) {
	s := begin(t)
	for range maxEvents + 10 {
		s.tell(Ready{})
	}
	update := <-s.updates
	if update.Number != s.Snapshot().Number || len(update.Events) != maxEvents || update.Lost != 10 {
		t.Errorf("number %d of %d, %d events, %d lost",
			update.Number, s.Snapshot().Number, len(update.Events), update.Lost)
	}
}

// A snapshot stays as it was, and an ended subscription costs nothing.
func TestSnapshotsDoNotChange(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := begin(t)
	other := s.Subscribe(ctx)
	s.tell(Daemon{Name: "a", PID: 1})
	before := s.Snapshot()
	cancel()
	s.tell(Daemon{Name: "a", PID: 2}, Daemon{Name: "0"})
	if len(before.Host.Daemons) != 1 || before.Host.Daemons[0].PID != 1 {
		t.Errorf("%+v", before.Host)
	}
	if update := <-other; update.Number > before.Number {
		t.Errorf("an ended subscription still got update %d", update.Number)
	}
}

// After the end of the state nobody hangs.
func TestEndOfTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := New(ctx, "1.0")
		cancel()
		synctest.Wait()
		s.Tell(Ready{})
		s.Subscribe(t.Context())
	})
}

// The state volume has a line when it comes, goes or breaks, and none for each change of what is free.
func TestStateVolume(t *testing.T) {
	s := begin(t)
	there := StateVolume{Device: "/dev/sdb1\x1b", Mount: "/state", Free: 5}
	s.Tell(there)
	there.Free = 4
	s.Tell(there)
	if v := s.Snapshot().Host.State; v.Free != 4 || v.Device != `/dev/sdb1\x1b` {
		t.Errorf("%+v", v)
	}
	there.ReadOnly, there.Problem = true, "damaged"
	s.Tell(there)
	s.Tell(StateVolume{Device: there.Device, Problem: "it was taken away", Guests: []string{"web"}})
	if got, want := s.events(), "host.StateVolume; host.StateVolume; host.StateVolume"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

// What a server says reaches no terminal as it is, and storage on the network has one entry however often it changes.
func TestRemotes(t *testing.T) {
	s := begin(t)
	s.tell(
		Remote{URL: "nfs://b/c", State: RemoteWaiting, Problem: "\x1b[2J", Remedy: "\x07"},
		Remote{URL: "iscsi://a:3260/iqn.x/0", State: RemoteConnected, Device: "/dev/sda"},
		Remote{URL: "nfs://b/c", State: RemoteLost, Guests: []string{"web"}, Problem: "\x1b[2J"},
	)
	got := s.Snapshot().Host.Remotes
	if len(got) != 2 || got[1].State != RemoteLost || strings.ContainsAny(got[1].Problem, "\x1b\x07") {
		t.Errorf("%+v", got)
	}
}

// Each interface has an entry, the primary one a second; what happens besides does not change whether there is an
// address, and an interface that is wanted no more is forgotten.
func TestNetworks(t *testing.T) {
	s := begin(t)
	address := []NetworkAddress{{Prefix: netip.MustParsePrefix("192.0.2.5/24"), By: "DHCP"}}
	s.tell(
		Network{Kind: NoLease, Interface: "xenbr0", Primary: true, Problem: "\x1b[2J"},
		Network{Kind: AddressSet, Interface: "xenbr1", NIC: "eth1", Addresses: address},
		Network{Kind: LinkDown, Interface: "xenbr1", NIC: "eth1", Problem: "no carrier", Addresses: address},
		Network{Kind: NetworkProblem, Problem: "bond0: no such option"},
		Network{Kind: Lease, Interface: "xenbr0", NIC: "eth0", Primary: true, Carrier: true, Addresses: address},
		Network{Kind: NetworkStatus, Interface: "xenbr0", NIC: "eth0", Primary: true, Addresses: address},
		Network{Kind: InterfaceGone, Interface: "xenbr9"},
	)
	host := s.Snapshot().Host
	if len(host.Networks) != 2 || host.Network.Kind != Lease || host.Network.Carrier || host.Network.Problem != "" {
		t.Errorf("%+v", host)
	}
	if second := host.Networks[1]; second.Kind != AddressSet || second.Problem != "" || len(second.Addresses) != 1 {
		t.Errorf("%+v", second)
	}
	s.tell(Network{Kind: InterfaceGone, Interface: "xenbr1"})
	if left := s.Snapshot().Host.Networks; len(left) != 1 || left[0].Interface != "xenbr0" {
		t.Errorf("%+v", left)
	}
}

// How to log in is told when it changes, and again with an address when dom0 gets one.
func TestSSH(t *testing.T) {
	m := newModel("")
	told := func() (addresses []string) {
		for _, e := range m.events {
			if s, ok := e.(SSH); ok {
				addresses = append(addresses, s.Address.String())
			}
		}
		return addresses
	}
	listening := SSH{Port: 22, Methods: []string{"key"}, Fingerprints: []string{"SHA256:x"}}
	lease := Network{Kind: Lease, Interface: "xenbr0", Primary: true, Address: netip.MustParsePrefix("10.0.0.5/24")}
	none := Network{Kind: NoLease, Interface: "xenbr0", Primary: true}
	for _, f := range []Fact{none, listening, listening, lease, lease} {
		f.apply(m)
	}
	listening.Methods = nil
	listening.apply(m)
	if got, want := told(), []string{"invalid IP", "10.0.0.5", "10.0.0.5"}; !slices.Equal(got, want) {
		t.Errorf("told with addresses %q, want %q", got, want)
	}
	SSHLogin{From: "x", Method: "\x1b[2J"}.apply(m)
	if e := m.events[len(m.events)-1].(SSHLogin); e.Method != `\x1b[2J` {
		t.Errorf("method %q", e.Method)
	}
}

// What a guest sends against the rules is told each time, and a problem once.
func TestRefusedTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t).create("web", 1, 5)
		<-s.updates
		for _, reason := range []string{"arp", "dhcp"} {
			s.tell(GuestRefusedTraffic{UUID: uuid(1), Name: "old", Reason: reason, What: "w", Packets: 3})
		}
		synctest.Wait()
		var told []GuestRefusedTraffic
		for len(told) < 2 {
			for _, event := range (<-s.updates).Events {
				told = append(told, event.(GuestRefusedTraffic))
			}
		}
		if told[0].Name != "web" || told[1].Reason != "dhcp" {
			t.Errorf("told %+v", told)
		}
		if p := s.Snapshot().Host.Problems; len(p) != 1 || !strings.Contains(p[0], "guest web sends") {
			t.Errorf("problems %q", p)
		}
	})
}
