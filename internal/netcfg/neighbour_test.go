package netcfg

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
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

func TestWatchNeighbours(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		check(t, Bridge{bridgeName}.Ensure())
		guest := plugNIC(t, "vif1.0", "192.0.2.9/24")
		check(t, AttachPort(bridgeName, "vif1.0"))
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
