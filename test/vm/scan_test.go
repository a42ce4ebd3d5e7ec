//go:build vm

package vm

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/portscan"
)

// From where a port can be reached, as docs/security.md says it.
const (
	fromNetwork      = "the network"
	forReplies       = "the network, for replies"
	fromPrivateGuest = "guests on a private bridge"
	fromGuest        = "guests"

	// A private network without names has fewer: the table has no row for it.
	fromMutePrivateGuest = "guests on a private bridge without DNS"
)

// listed are the ports that docs/security.md says can be reached from there over IPv4 or IPv6: "tcp/22".
func (m *VM) listed(from, over string) []string {
	m.t.Helper()
	if from == fromMutePrivateGuest {
		isDNS := func(port string) bool { return strings.HasSuffix(port, "/53") }
		return slices.DeleteFunc(m.listed(fromPrivateGuest, over), isDNS)
	}
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		m.t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| ((?:TCP|UDP) \d+) \| ([^|]+) \| ([^|]+) \|`)
	rows := row.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 4 {
		m.t.Fatalf("the table in docs/security.md has %d rows", len(rows))
	}
	var ports []string
	for _, row := range rows {
		if row[2] == from && strings.Contains(row[3], over) {
			ports = append(ports, strings.ToLower(strings.ReplaceAll(row[1], " ", "/")))
		}
	}
	slices.Sort(ports)
	return ports
}

// silent are ports that answer only who asks from the right port. A lease shows that the server is there.
var silent = []string{"udp/67"}

// checkScan compares what a scan has found with docs/security.md.
func (m *VM) checkScan(from string, result *portscan.Result) {
	m.t.Helper()
	over := "IPv4"
	if strings.Contains(result.Target, ":") {
		over = "IPv6"
	}
	want := slices.DeleteFunc(m.listed(from, over), func(port string) bool { return slices.Contains(silent, port) })
	if !slices.Equal(result.Open, want) {
		m.Errorf("from %s, %s has %q open, and docs/security.md lists %q", from, result.Target, result.Open, want)
	}
	for _, port := range result.Refused {
		if from != fromNetwork || !slices.Contains(m.listed(forReplies, over), port) {
			m.Errorf("from %s, dom0's firewall lets in to %s on %s", from, result.Target, port)
		}
	}
	m.t.Logf("from %s: %s has %q open, %d packets in %v", from, result.Target, result.Open, result.Sent, result.Took)
}

// linkLocal is dom0's IPv6 address on a bridge, without its zone.
func (m *VM) linkLocal(bridge string) netip.Addr {
	m.t.Helper()
	out := m.Shell("grep '^fe80.* " + bridge + "$' /proc/net/if_inet6")
	first, _, _ := strings.Cut(out, " ")
	raw, err := hex.DecodeString(first)
	address, ok := netip.AddrFromSlice(raw)
	if err != nil || !ok {
		m.t.Fatalf("dom0 has no IPv6 address on %s: %q", bridge, out)
	}
	return address
}

// scanServer is where guests get the scanner, and send what it has found to.
type scanServer struct {
	program, report string // ports
	results         chan []*portscan.Result
}

// serveScanner serves the scanner at an address of this machine.
func (m *VM) serveScanner(address string) *scanServer {
	m.t.Helper()
	program, err := scannerProgram()
	if err != nil {
		m.t.Fatal(err)
	}
	s := &scanServer{results: make(chan []*portscan.Result, 1)}
	listen := func() (net.Listener, string) {
		l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
		if err != nil {
			m.t.Fatal(err)
		}
		m.t.Cleanup(func() { _ = l.Close() })
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return l, port
	}
	var programs, reports net.Listener
	programs, s.program = listen()
	reports, s.report = listen()
	go func() {
		_ = http.Serve(programs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, program)
		}))
	}()
	go s.receive(reports)
	return s
}

// receive takes what scanners have found.
func (s *scanServer) receive(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		var results []*portscan.Result
		if json.NewDecoder(conn).Decode(&results) == nil {
			s.results <- results
		}
		_ = conn.Close()
	}
}

// scannerProgram is the scanner, compiled once in a process.
var scannerProgram = sync.OnceValues(func() (string, error) {
	program := filepath.Join(scratch, "scanner")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", program, "./portscan/scanner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return program, nil
})

// openConsole goes to a guest's shell.
func (m *VM) openConsole(guest string) {
	m.t.Helper()
	m.FromNow().Enter("xl console " + guest)
	m.FromNow().Until("the guest's shell says its name", consoleLimit, func() bool {
		m.Enter("hostname")
		return m.Said(`^(\$ )*` + guest + `\s*$`)
	})
}

// scanLimit is how long a guest's scans may take.
const scanLimit = 5 * time.Minute

// scanFromGuest has a guest scan addresses, and checks what it finds. It reaches this machine at host.
func (m *VM) scanFromGuest(guest, from string, s *scanServer, host string, targets ...string) {
	m.t.Helper()
	m.openConsole(guest)
	m.Enter("wget -O /tmp/s http://" + strings.Replace(net.JoinHostPort(host, s.program), "%", "%25", 1) + "/")
	m.Enter("chmod 755 /tmp/s")
	m.Enter("/tmp/s " + net.JoinHostPort(host, s.report) + " " + strings.Join(targets, " "))
	ctx, cancel := m.Within(scanLimit)
	defer cancel()
	select {
	case results := <-s.results:
		for _, result := range results {
			m.checkScan(from, result)
		}
	case <-ctx.Done():
		m.fail("wait for the guest's scan", ctx.Err())
	}
	m.leaveConsole()
}

// checkListens scans dom0 from outside, over the cable, and from a guest on its bridge.
func (m *VM) checkListens(here string) {
	outside := netip.MustParseAddr(m.dom0Address())
	inside := m.linkLocal(boot.DefaultBridge)
	ctx, cancel := m.Within(scanLimit)
	defer cancel()
	for _, target := range []netip.Addr{outside, inside.WithZone("tap0")} {
		result, err := portscan.Scan(ctx, target)
		if err != nil {
			m.fail("scan", err)
		}
		m.checkScan(fromNetwork, result)
	}
	m.scanFromGuest(guests[0], fromGuest, m.serveScanner(here), here, outside.String(), inside.String()+"%eth0")
	m.checkSockets()
}

// checkSockets compares what dom0 has open with the table: a scan sees nothing of what the firewall shuts, nor of what
// answers to nobody.
func (m *VM) checkSockets() {
	want := append(m.listed(fromNetwork, "IPv"), m.listed(forReplies, "IPv")...)
	for _, table := range []struct{ protocol, state string }{{"tcp", "0A"}, {"udp", "07"}} {
		out := m.Shell("cat /proc/net/" + table.protocol + " /proc/net/" + table.protocol + "6")
		for _, line := range strings.Split(out, "\n") {
			fields := strings.Fields(line)
			if len(fields) < 4 || fields[3] != table.state || strings.Trim(fields[2], "0:") != "" {
				continue // a title, or a connection
			}
			_, port, _ := strings.Cut(fields[1], ":")
			number, err := strconv.ParseUint(port, 16, 16)
			if name := fmt.Sprintf("%s/%d", table.protocol, number); err != nil || !slices.Contains(want, name) {
				m.Errorf("dom0 has a socket that docs/security.md does not list: %s", line)
			}
		}
	}
}

// checkCrowd opens a thousand connections to the SSH server and keeps them: most are closed at once, the console says
// so, and the server is well and there again afterwards.
func (m *VM) checkCrowd() {
	at := net.JoinHostPort(m.dom0Address(), "22")
	before := m.sshMemory()
	now := m.FromNow()
	var held atomic.Int32
	var all sync.WaitGroup
	var connections []net.Conn
	for range 1000 {
		conn, err := net.DialTimeout("tcp", at, soon)
		if err != nil {
			m.Errorf("%v", err)
			continue
		}
		connections = append(connections, conn)
		all.Go(func() {
			_ = conn.SetReadDeadline(time.Now().Add(soon))
			if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil && strings.HasPrefix(line, "SSH-2.0-") {
				held.Add(1)
			}
		})
	}
	all.Wait()
	during := m.sshMemory()
	m.t.Logf("%d of %d connections got an answer; the server takes %d KiB, before it were %d",
		held.Load(), len(connections), during, before)
	if held.Load() > 200 { // 16 at a time, each for at most 10 s
		m.Errorf("%d of 1000 connections got an answer", held.Load())
	}
	if during > before+16<<10 {
		m.Errorf("the server takes %d KiB, before it were %d", during, before)
	}
	if line := now.Wait(`msg="`+boot.MsgSSHRefused+`"`, soon); line.Get("connections") == "" {
		m.Errorf("%v", line)
	}
	for _, conn := range connections {
		_ = conn.Close()
	}
	m.Until("the server answers again", soon, func() bool {
		conn, err := net.DialTimeout("tcp", at, soon)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(soon))
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return strings.HasPrefix(line, "SSH-2.0-")
	})
}

// sshMemory is what the SSH server takes, KiB.
func (m *VM) sshMemory() (kib int) {
	m.t.Helper()
	out := m.Shell("for p in $(pidof init); do grep -q sshd /proc/$p/cmdline && grep VmRSS /proc/$p/status; done")
	if _, err := fmt.Sscanf(strings.TrimSpace(out), "VmRSS: %d kB", &kib); err != nil {
		m.Errorf("the memory of the SSH server: %q, %v", out, err)
	}
	return kib
}
