package portscan

import (
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"github.com/zerodisc/zerodisc/internal/testns"
)

// TestScan scans a namespace's loopback, where two ports are open and the others refuse.
func TestScan(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNET, func(t *testing.T) {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Skipf("ip: %v, %s", err, out)
		}
		const address = "127.0.0.1" // IPv6 is scanned by booted tests
		tcp, err := net.Listen("tcp", net.JoinHostPort(address, "65535"))
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		udp, err := net.ListenPacket("udp", net.JoinHostPort(address, "53"))
		if err != nil {
			t.Fatal(err)
		}
		defer udp.Close()
		go echoes(udp)
		result, err := Scan(t.Context(), netip.MustParseAddr(address))
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range []string{"tcp/65535", "udp/53"} {
			if !slices.Contains(result.Open, port) {
				t.Errorf("%s is not open", port)
			}
		}
		for _, port := range []string{"tcp/1", "tcp/22", "tcp/65534"} {
			if !slices.Contains(result.Refused, port) {
				t.Errorf("%s does not refuse", port)
			}
		}
		t.Logf("%s: %d packets in %v, open %v", address, result.Sent, result.Took, result.Open)
	})
}

// echoes sends every datagram back.
func echoes(c net.PacketConn) {
	buffer := make([]byte, 2048)
	for {
		n, from, err := c.ReadFrom(buffer)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(buffer[:n], from)
	}
}

// What comes back may be anything.
func FuzzParsers(f *testing.F) {
	f.Add(syn(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")), uint16(2))
	f.Add(ping(false, 1, 2), uint16(1))
	f.Fuzz(func(_ *testing.T, packet []byte, n uint16) {
		answer(packet, n)
		for _, is6 := range []bool{false, true} {
			pong(packet, is6, n)
			refusal(packet, is6)
		}
	})
}
