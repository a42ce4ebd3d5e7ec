package vm

import (
	"bytes"
	"encoding/binary"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// wire is the far end of a network card's cable. A host is there, in one VLAN, that answers ARP and pings.
type wire struct {
	conn *net.UnixConn
	path string
	vlan uint16
	host net.IP

	mu   sync.Mutex
	seen [][]byte // frames, since forget was called
}

// wireMAC is the MAC of the host.
var wireMAC = []byte{2, 0, 0, 0, 0, 9}

// layWire makes a wire for one network card.
func layWire(t *testing.T, vlan uint16, host string) *wire {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wire")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w := &wire{conn: conn, path: path, vlan: vlan, host: net.ParseIP(host).To4()}
	go w.run()
	return w
}

func (w *wire) net() qemu.Net { return qemu.Wire(w.path) }

func (w *wire) run() {
	machine := &net.UnixAddr{Name: w.path + qemu.WireSuffix, Net: "unixgram"}
	for buffer := make([]byte, 1<<16); ; {
		n, err := w.conn.Read(buffer)
		if err != nil {
			return
		}
		frame := bytes.Clone(buffer[:n])
		w.mu.Lock()
		w.seen = append(w.seen, frame)
		w.mu.Unlock()
		if answer := w.answer(frame); answer != nil {
			_, _ = w.conn.WriteTo(answer, machine)
		}
	}
}

// forget has saw look at what comes from now on.
func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = nil
}

// saw says whether a frame in the VLAN carries a protocol, and some bytes.
func (w *wire) saw(protocol uint16, data []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, frame := range w.seen {
		if got, body, ok := w.untag(frame); ok && got == protocol && bytes.Contains(body, data) {
			return true
		}
	}
	return false
}

// untag takes the tag of the wire's VLAN from a frame (IEEE 802.1Q) and returns what it carries.
func (w *wire) untag(frame []byte) (protocol uint16, body []byte, ok bool) {
	const header = 18
	if len(frame) < header || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_8021Q ||
		binary.BigEndian.Uint16(frame[14:])&0x0fff != w.vlan {
		return 0, nil, false
	}
	return binary.BigEndian.Uint16(frame[16:]), frame[header:], true
}

// answer is that of the host: to ARP's question for its MAC (RFC 826), and to an echo request (RFC 792).
func (w *wire) answer(frame []byte) []byte {
	protocol, body, ok := w.untag(frame)
	answer := append(append(bytes.Clone(frame[6:12]), wireMAC...), frame[12:]...)
	reply := answer[min(18, len(answer)):]
	switch {
	case ok && protocol == unix.ETH_P_ARP && len(body) >= 28 && body[7] == 1 && bytes.Equal(body[24:28], w.host):
		reply[7] = 2
		copy(reply[18:28], body[8:18])
		copy(reply[8:14], wireMAC)
		copy(reply[14:18], w.host)
	case ok && protocol == unix.ETH_P_IP && len(body) >= 28 && body[9] == unix.IPPROTO_ICMP && body[20] == 8 &&
		bytes.Equal(body[16:20], w.host):
		copy(reply[12:16], body[16:20])
		copy(reply[16:20], body[12:16])
		reply[20] = 0
		sum := binary.BigEndian.Uint16(body[22:])
		if sum += 0x0800; sum < 0x0800 { // the type was 8, in one's complement
			sum++
		}
		binary.BigEndian.PutUint16(reply[22:], sum)
	default:
		return nil
	}
	return answer
}
