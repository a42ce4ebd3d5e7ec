package netcfg

import (
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A bridge's port hears DHCP's answers, of whatever frames come in, and nothing that goes out.
func TestTapOnPort(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		check(t, Bridge{bridgeName}.Ensure())
		peer := plugNIC(t, "eth0", serverAddress+"/24")
		check(t, AttachPort(bridgeName, "eth0", nil))
		opened, err := openTap(must(netlink.LinkByName("eth0"))(t).Attrs().Index, unix.ETH_P_ALL, udpToClientFilter)
		tap := testTap(t, opened, err)
		peer.inside(func() { opened, err = openTap(peer.port.Attrs().Index, unix.ETH_P_ALL, udpToClientFilter) })
		far := testTap(t, opened, err)

		awaitUp(t, peer.handle, "lan-eth0")
		awaitUp(t, must(netlink.NewHandle())(t), "eth0")

		wanted := udpFrame(68)
		check(t, tap.write(wanted)) // outgoing
		far.await(wanted)
		for _, frame := range [][]byte{
			tagged(5, udpFrame(68)),
			udpFrame(67),
			broadcastFrame(testMAC, unix.ETH_P_ARP, arp(1, [6]byte(testMAC), [4]byte{192, 0, 2, 9})),
			broadcastFrame(testMAC, unix.ETH_P_IP, []byte{0x45}),
			wanted,
		} {
			check(t, far.write(frame))
		}
		tap.await(wanted)
		check(t, far.write(tagged(0, wanted))) // VLAN 0 is a priority and no VLAN
		tap.await(wanted)
	})
}

// awaitUp waits until a link carries frames.
func awaitUp(t *testing.T, handle *netlink.Handle, name string) {
	t.Helper()
	for end := soon(); must(handle.LinkByName(name))(t).Attrs().OperState != netlink.OperUp; {
		if time.Now().After(end) {
			t.Fatalf("%s never came up", name)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

var testMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}

// udpFrame is an empty UDP packet to a port.
func udpFrame(port byte) []byte {
	packet := []byte{
		0x45, 0, 0, 28, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 192, 0, 2, 1, 255, 255, 255, 255, // IPv4
		0, 67, 0, port, 0, 8, 0, 0, // UDP
	}
	return broadcastFrame(testMAC, unix.ETH_P_IP, packet)
}

// tagged puts a frame into a VLAN (IEEE 802.1Q).
func tagged(vlan byte, frame []byte) []byte {
	return append(append(append([]byte{}, frame[:12]...), 0x81, 0, 0x60, vlan), frame[12:]...)
}

// tapTester is a tap of a test.
type tapTester struct {
	*tap
	t *testing.T
}

func testTap(t *testing.T, tap *tap, err error) *tapTester {
	t.Helper()
	check(t, err)
	t.Cleanup(func() { tap.Close() })
	return &tapTester{tap, t}
}

// await reads the next frame, which must be the one wanted.
func (p *tapTester) await(want []byte) {
	p.t.Helper()
	check(p.t, p.file.SetReadDeadline(soon()))
	frame := make([]byte, 2000)
	n, err := p.read(frame)
	if err != nil || string(frame[:n]) != string(want) {
		p.t.Fatalf("got % x, %v\nwant % x", frame[:n], err, want)
	}
}

// A kernel leaves the checksum of what it sends to the NIC; where there is none on the way, to a guest on the same
// machine, the frame comes without. A DHCPv6 server may be there.
func TestUnsummedFrame(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		peer := plugNIC(t, "eth0", "2001:db8::1/64")
		check(t, netlink.LinkSetUp(must(netlink.LinkByName("eth0"))(t)))
		opened, err := openTap(must(netlink.LinkByName("eth0"))(t).Attrs().Index, unix.ETH_P_ALL, udpToClient6Filter)
		tap := testTap(t, opened, err)
		awaitUp(t, peer.handle, "lan-eth0")
		frame, n := make([]byte, 2000), 0
		for end := soon(); n == 0; {
			peer.inside(func() { err = sayHello("[ff02::1%lan-eth0]:546") }) // not before it has an address
			if n, _ = tap.readUntil(time.Now().Add(100*time.Millisecond), frame); n == 0 && time.Now().After(end) {
				t.Fatalf("no frame came; sent with %v", err)
			}
		}
		if _, ok := parseFrame6(frame[:n], false); ok {
			t.Skip("this kernel fills in checksums")
		}
		if _, ok := parseFrame6(frame[:n], tap.unsummed); !ok {
			t.Error("a frame without a checksum is refused")
		}
	})
}

func sayHello(to string) error {
	conn, err := net.Dial("udp6", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte("hello"))
	return err
}
