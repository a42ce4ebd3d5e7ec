package netcfg

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

// arp builds an ARP packet.
func arp(operation byte, mac [6]byte, sender [4]byte) []byte {
	packet := append([]byte{0, 1, 8, 0, 6, 4, 0, operation}, mac[:]...)
	packet = append(packet, sender[:]...)
	return append(packet, make([]byte, 10)...)
}

func TestParseARP(t *testing.T) {
	guest := [6]byte{0x00, 0x16, 0x3e, 1, 2, 3}
	tests := map[string]struct {
		packet []byte
		want   string // empty: nothing
	}{
		"request":        {arp(1, guest, [4]byte{192, 0, 2, 9}), "192.0.2.9"},
		"reply":          {arp(2, guest, [4]byte{192, 0, 2, 9}), "192.0.2.9"},
		"padded":         {append(arp(1, guest, [4]byte{192, 0, 2, 9}), make([]byte, 18)...), "192.0.2.9"},
		"probe":          {arp(1, guest, [4]byte{}), ""},
		"RARP":           {arp(3, guest, [4]byte{192, 0, 2, 9}), ""},
		"multicast MAC":  {arp(1, [6]byte{1}, [4]byte{192, 0, 2, 9}), ""},
		"no MAC":         {arp(1, [6]byte{}, [4]byte{192, 0, 2, 9}), ""},
		"cut short":      {arp(1, guest, [4]byte{192, 0, 2, 9})[:27], ""},
		"other hardware": {append([]byte{0, 6}, arp(1, guest, [4]byte{192, 0, 2, 9})[2:]...), ""},
	}
	for name, test := range tests {
		mac, address, ok := ParseARP(test.packet)
		if ok != (test.want != "") || ok && (address.String() != test.want || mac != guest) {
			t.Errorf("%s: got %x %s %v", name, mac, address, ok)
		}
	}
}

func FuzzParseARP(f *testing.F) {
	f.Add(arp(1, [6]byte{0, 0x16, 0x3e, 1, 2, 3}, [4]byte{192, 0, 2, 9}))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if mac, address, ok := ParseARP(packet); ok && (!address.Is4() || address.IsUnspecified() || mac[0]&1 != 0) {
			t.Errorf("took %x %s", mac, address)
		}
	})
}

func TestNeighbourIn(t *testing.T) {
	guest, other := net.HardwareAddr{0, 0x16, 0x3e, 1, 2, 3}, net.HardwareAddr{0, 0x16, 0x3e, 9, 9, 9}
	packet := arp(1, [6]byte(guest), [4]byte{192, 0, 2, 9})
	if _, _, ok := neighbourIn(broadcastFrame(guest, unix.ETH_P_ARP, packet)); !ok {
		t.Error("a guest's own packet was left out")
	}
	if _, _, ok := neighbourIn(broadcastFrame(other, unix.ETH_P_ARP, packet)); ok {
		t.Error("another sender's packet was taken")
	}
	if _, _, ok := neighbourIn(broadcastFrame(guest, unix.ETH_P_ARP, nil)[:13]); ok {
		t.Error("half a header was taken")
	}
}

func TestVifDomain(t *testing.T) {
	sys := fstest.MapFS{
		"class/net/vif3.1/device/nodename": {Data: []byte("backend/vif/3/1\n")},
		"class/net/vif4.0/device/nodename": {Data: []byte("backend/vbd/4/0\n")}, // the name alone proves nothing
		"class/net/eth0/device/modalias":   {Data: []byte("pci:v00008086d0000100E\n")},
	}
	for name, want := range map[string]int{"vif3.1": 3, "vif4.0": -1, "eth0": -1, "gone": -1} {
		if got, ok := VifDomain(sys, name); ok != (want >= 0) || ok && got != want {
			t.Errorf("%s: got %d, %v", name, got, ok)
		}
	}
}

// One guest sends a frame with another's MAC: it came in by the first one's port.
func TestPortOf(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		check(t, Bridge{bridgeName}.Ensure())
		first, second := plugNIC(t, "vif1.0", "192.0.2.9/24"), plugNIC(t, "vif2.0", "192.0.2.10/24")
		for _, name := range []string{"vif1.0", "vif2.0"} {
			check(t, AttachPort(bridgeName, name, nil))
		}
		if _, err := (Bridge{bridgeName}).PortOf(testMAC); !errors.Is(err, unix.ENOENT) {
			t.Errorf("a MAC that nobody has: %v", err)
		}
		for want, guest := range map[string]*lan{"vif1.0": first, "vif2.0": second} {
			var out *tap
			var err error
			guest.inside(func() { out, err = openTap(guest.port.Attrs().Index, unix.ETH_P_ALL, arpFilter) })
			check(t, err)
			var got string
			for end := soon(); got != want && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				claims(t, out, "192.0.2.9")
				got, _ = Bridge{bridgeName}.PortOf(testMAC)
			}
			if got != want {
				t.Errorf("came in by %q, want %s", got, want)
			}
			check(t, out.Close())
		}
	})
}

func TestWatchNeighbours(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		check(t, Bridge{bridgeName}.Ensure())
		guest := plugNIC(t, "vif1.0", "192.0.2.9/24")
		check(t, AttachPort(bridgeName, "vif1.0", nil))
		type neighbour struct {
			mac     string
			address netip.Addr
		}
		found := make(chan neighbour, 1000)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- WatchNeighbours(ctx, bridgeName, func(mac net.HardwareAddr, address netip.Addr) {
				found <- neighbour{mac.String(), address}
			})
		}()
		want := neighbour{guest.port.Attrs().HardwareAddr.String(), netip.MustParseAddr("192.0.2.9")}
		for range 2 { // the second time as after a reboot: the same guest has the same address
			if got := talkUntil(t, guest, found); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// talkUntil lets the guest look for somebody, again and again, until it was heard.
func talkUntil[T any](t *testing.T, guest *lan, heard <-chan T) (got T) {
	t.Helper()
	timeout := time.After(deadline)
	for {
		guest.inside(func() {
			if conn, err := net.Dial("udp4", "192.0.2.1:9"); err == nil {
				conn.Write([]byte{0})
				conn.Close()
			}
		})
		select {
		case got = <-heard:
			return got
		case <-time.After(100 * time.Millisecond):
		case <-timeout:
			t.Fatal("no neighbour was found")
		}
	}
}
