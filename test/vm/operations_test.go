//go:build vm && full

package vm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestOperations boots a machine whose clock is a quarter of a century behind, with a watchdog, and servers of time and
// logs on the network, and changes a guest. It orders guests about with the board's keys and with the command guest.
// Then xenstored is killed, and at last everything hangs.
func TestOperations(t *testing.T) {
	t.Parallel()
	ntp, udp, tcp := serveTime(t), receiveDatagrams(t), receiveStream(t)
	iso := remaster(t, fmt.Sprintf("cmdline = zerodisc.ntp=10.0.2.2:%d zerodisc.watchdog=60 "+
		"zerodisc.syslog=udp://10.0.2.2:%d,tcp://10.0.2.2:%d\ntimeout = 1\n", ntp, udp.port, tcp.port))
	machine := qemu.Machine{ISO: iso, Clock: "2001-01-01T00:00:00", Devices: []string{"i6300esb"}}
	Story(t, machine, func(m *VM) {
		addresses := m.waitGuests()
		m.Run("the clock is years off", (*VM).checkClock)
		m.Run("remote syslog", func(m *VM) { m.checkReceived(udp, tcp) })
		m.Run("watchdog", func(m *VM) { m.Wait(`msg=watchdog name="i6300ESB timer" timeout=1m0s`, soon) })
		m.Run("changes of a guest", (*VM).checkChanges)
		m.Run("keys", (*VM).checkKeys)
		m.Run("guest command", (*VM).checkGuestCommand)
		m.Run("xenstored killed", func(m *VM) { m.checkXenstored(addresses) })
		m.Run("everything hangs", (*VM).checkWatchdog)
	})
}

// checkClock checks that the clock was set, and that nothing was the worse for it.
func (m *VM) checkClock() {
	m.Wait(`msg=time state=stepped`, soon)
	if year := m.Shell("date -u +%Y"); year != strconv.Itoa(time.Now().UTC().Year()) {
		m.Errorf("the year is %s", year)
	}
	if said := m.Shell("logs -n 1 -source init"); !strings.HasPrefix(said, time.Now().UTC().Format("2006-")) {
		m.Errorf("a line's time is wrong: %s", said)
	}
	if m.Said(`^level=ERROR`) {
		m.Errorf("something went wrong")
	}
	m.checkListed(guests...)
}

// checkReceived checks that lines from before the network was there came by both ways, the kernel's and Xen's too.
func (m *VM) checkReceived(servers ...*received) {
	for _, server := range servers {
		for _, text := range []string{
			"> kernel \ufeffLinux version", "> xen \ufeff", "> init \ufeffmsg=init",
			"> init \ufeffmsg=time state=stepped",
		} {
			m.Until("a server has "+text, soon, func() bool { return server.has(text) })
		}
	}
}

// checkXenstored kills xenstored: it stays dead, the console says so, and guests go on.
func (m *VM) checkXenstored(addresses []string) {
	now := m.FromNow()
	m.Shell("kill -9 $(pidof xenstored)")
	now.Wait(`msg=daemon name=xenstored state=failed`, soon)
	m.checkPages(addresses)
	if said := m.Shell("pidof xenstored"); said != "" {
		m.Errorf("there is another xenstored: %s", said)
	}
	if said := m.Shell("services restart xenstored"); !strings.Contains(said, "what it keeps would be lost") {
		m.Errorf("services restart xenstored: %s", said)
	}
	if said := m.Shell("status"); !strings.Contains(said, "xenstored died and cannot be started again") {
		m.Errorf("status does not say what happened:\n%s", said)
	}
}

// checkWatchdog stops stage2. Nothing on the machine feeds the watchdog any more, and it boots again.
func (m *VM) checkWatchdog() {
	now := m.FromNow()
	m.Enter("kill -19 " + m.Stage2()) // SIGSTOP, of whose name u-root's kill knows nothing
	now.WaitText("Starting Xen", bootLimit)
}

// serveTime is a time server. It returns its port.
func serveTime(t *testing.T) int {
	t.Helper()
	conn, port := listenUDP(t)
	go answerTime(conn, func() (time.Time, bool) { return time.Now(), true })
	return port
}

// answerTime answers who asks for the time, as long as clock is ok.
func answerTime(conn net.PacketConn, clock func() (now time.Time, ok bool)) {
	request := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(request)
		if err != nil {
			return
		}
		now, ok := clock()
		if n < 48 || !ok {
			continue
		}
		answer := make([]byte, 48) // RFC 5905, section 7.3
		answer[0], answer[1] = 4<<3|4, 2
		stamp := uint64(now.Unix()+2208988800)<<32 | uint64(now.Nanosecond())<<32/1e9
		for _, at := range []int{16, 32, 40} {
			binary.BigEndian.PutUint64(answer[at:], stamp)
		}
		copy(answer[24:32], request[40:48])
		_, _ = conn.WriteTo(answer, from)
	}
}

func listenUDP(t *testing.T) (net.PacketConn, int) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, conn.LocalAddr().(*net.UDPAddr).Port
}

// received are the messages that a server has got.
type received struct {
	port int
	mu   sync.Mutex
	text strings.Builder
}

// add notes a message, its source and its text: "> SOURCE TEXT".
func (r *received) add(message string) {
	fields := strings.SplitN(message, " ", 5)
	_, text, _ := strings.Cut(message, "] ")
	if len(fields) < 5 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.text, "> %s %s\n", fields[3], text)
}

func (r *received) has(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.text.String(), text)
}

func receiveDatagrams(t *testing.T) *received {
	t.Helper()
	conn, port := listenUDP(t)
	r := &received{port: port}
	go func() {
		message := make([]byte, 64<<10)
		for {
			n, _, err := conn.ReadFrom(message)
			if err != nil {
				return
			}
			r.add(string(message[:n]))
		}
	}()
	return r
}

func receiveStream(t *testing.T) *received {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return receiveFrom(t, listener)
}

// receiveFrom receives what comes by connections.
func receiveFrom(t *testing.T, listener net.Listener) *received {
	t.Cleanup(func() { listener.Close() })
	r := &received{port: listener.Addr().(*net.TCPAddr).Port}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go r.read(conn)
		}
	}()
	return r
}

// read reads messages with their lengths before them (RFC 6587, section 3.4.1).
func (r *received) read(conn net.Conn) {
	defer conn.Close()
	for in := bufio.NewReader(conn); ; {
		length, err := in.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(length))
		if err != nil {
			return
		}
		message := make([]byte, n)
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		r.add(string(message))
	}
}
