package syslog

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/zerodisc/zerodisc/docs"
	"github.com/zerodisc/zerodisc/internal/logs"
)

func TestParseTargets(t *testing.T) {
	for text, want := range map[string]string{
		"udp://10.0.2.2": "udp://10.0.2.2:514", "tcp://log.example:601": "tcp://log.example:601",
		"TLS://[2001:db8::1]": "tls://[2001:db8::1]:6514", "udp://a,tls://b:1": "udp://a:514 tls://b:1", "": "",
	} {
		targets, err := ParseTargets(text)
		var got []string
		for _, target := range targets {
			got = append(got, target.String())
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"10.0.2.2", "http://a", "udp://", "tcp://a:0", "tcp://a:x", "tcp://u:p@a", "tcp://a/path", "udp://a:99999",
		"udp://a?x",
	} {
		if _, err := ParseTargets(text); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

var instant = time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)

// TestExamples holds docs/operations.md to what a server gets, and reads its parameter.
func TestExamples(t *testing.T) {
	e := logs.Entry{Source: "kernel", Number: 7, Up: 10 * time.Second, Level: logs.Error, Text: "text"}
	c := Clock{Now: instant, Up: 20 * time.Second, Known: true, Synced: true}
	message := strings.Replace(Format(e, "zerodisc", c), "\ufeff", "BOM", 1)
	for _, example := range docs.Of(t, "syslog") {
		parameter, isParameter := strings.CutPrefix(example.Text, "zerodisc.syslog=")
		if !isParameter && example.Text != message {
			t.Errorf("docs has %s\nwant %s", example.Text, message)
		}
		if !isParameter {
			continue
		}
		if targets, err := ParseTargets(parameter); err != nil || len(targets) != 2 {
			t.Errorf("%s: %v, %v", parameter, targets, err)
		}
	}
}

func TestFormat(t *testing.T) {
	e := logs.Entry{Source: "kernel", Number: 7, Up: 10 * time.Second, Level: logs.Error, Text: "disk [sda] is bad"}
	c := Clock{Now: instant, Up: 20 * time.Second, Known: true, Synced: true}
	want := `<3>1 2026-11-27T05:59:50.000000Z host kernel - - [timeQuality tzKnown="1" isSynced="1"]` +
		`[meta sequenceId="7" sysUpTime="1000"] ` + "\ufeffdisk [sda] is bad"
	if got := Format(e, "host", c); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	e.Source, c.Known, c.Synced = "ntp", false, false
	want = `<27>1 - a-host- ntp - - [timeQuality tzKnown="1" isSynced="0"]`
	if got := Format(e, "a host\u00fc", c); !strings.HasPrefix(got, want) {
		t.Error(got)
	}
}

// grammar is the header and the structured data of RFC 5424, section 6.
var grammar = regexp.MustCompile(`^<([0-9]|[1-9][0-9]|1[0-8][0-9]|19[01])>1 ` +
	`(-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) ` +
	`[!-~]{1,255} [!-~]{1,48} - - (\[[a-zA-Z]+( [a-zA-Z]+="[^"\\\]]*")+\])+ \x{feff}`)

func FuzzFormat(f *testing.F) {
	f.Add("kernel", "host", "text", uint64(1), int64(1), 3)
	f.Fuzz(func(t *testing.T, source, host, text string, number uint64, up int64, level int) {
		if level < 0 || level > 7 || up < 0 || up > 1e18 || !utf8.ValidString(text) {
			return
		}
		e := logs.Entry{Source: source, Number: number, Up: time.Duration(up), Level: logs.Level(level), Text: text}
		message := Format(e, host, Clock{Now: instant.Add(time.Duration(up)), Up: time.Duration(up), Known: true})
		if !grammar.MatchString(message) {
			t.Errorf("%q", message)
		}
		if datagram := frame("udp", message); len(datagram) > maxDatagram || !utf8.Valid(datagram) {
			t.Errorf("%d bytes: %q", len(datagram), datagram)
		}
	})
}

func TestSequence(t *testing.T) {
	for number, want := range map[uint64]uint64{1: 1, 1<<31 - 1: 1<<31 - 1, 1 << 31: 1, 1<<31 + 1: 2} {
		if got := sequence(number); got != want {
			t.Errorf("%d: %d, want %d", number, got, want)
		}
	}
}

// world is a log and what a sender says about itself.
type world struct {
	store  *logs.Store
	dir    string
	states chan State
}

func newWorld(t *testing.T, change func(*logs.Options)) *world {
	t.Helper()
	o := logs.Options{Dir: filepath.Join(t.TempDir(), "logs")}
	if change != nil {
		change(&o)
	}
	return &world{store: logs.Open(o), dir: o.Dir, states: make(chan State, 1000)}
}

// send runs a sender for as long as the test runs.
func (w *world) send(t *testing.T, target string, change func(*Options)) {
	t.Helper()
	parsed, err := ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Target: parsed, Dir: w.dir, Hostname: func() string { return "host" },
		Clock:  func() Clock { return Clock{Now: time.Now(), Up: logs.Uptime(), Known: true} },
		Report: func(s State) { w.states <- s }, Every: time.Millisecond, MinPause: time.Millisecond,
		MaxPause: 10 * time.Millisecond, Steady: 50 * time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- New(o).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func (w *world) state(t *testing.T) State {
	t.Helper()
	select {
	case s := <-w.states:
		return s
	case <-time.After(time.Minute):
		t.Fatal("the sender reports nothing")
		panic("not reached")
	}
}

// counted reads a message with its length before it.
func counted(r *bufio.Reader) (string, error) {
	length, err := r.ReadString(' ')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSpace(length))
	if err != nil {
		return "", err
	}
	message := make([]byte, n)
	_, err = io.ReadFull(r, message)
	return string(message), err
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func accept(t *testing.T, l net.Listener) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

func expect(t *testing.T, r *bufio.Reader, text string) {
	t.Helper()
	if message, err := counted(r); err != nil || !strings.HasSuffix(message, "\ufeff"+text) {
		t.Fatalf("%q, %v, want %q", message, err, text)
	}
}

func TestUDP(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	w := newWorld(t, nil)
	w.store.Add("xen", logs.Warning, "early")
	w.store.Add("xen", logs.Debug, "not sent")
	w.send(t, "udp://"+server.LocalAddr().String(), nil)
	w.store.Add("xen", logs.Info, strings.Repeat("ü", 2000))
	buffer := make([]byte, 9000)
	for _, want := range []string{"\ufeffearly", "ü"} {
		n, _, err := server.ReadFrom(buffer)
		if err != nil || !strings.HasSuffix(string(buffer[:n]), want) || n > maxDatagram {
			t.Errorf("%q, %v", buffer[:n], err)
		}
	}
	if s := w.state(t); !s.Connected {
		t.Errorf("%+v", s)
	}
}

// TestServerComesAndGoes has a server that is away at first, and restarts: nothing that the log has is lost.
func TestServerComesAndGoes(t *testing.T) {
	w := newWorld(t, nil)
	gone := listen(t)
	address := gone.Addr().String()
	gone.Close()
	w.store.Add("init", logs.Info, "one")
	w.send(t, "tcp://"+address, nil)
	if s := w.state(t); s.Connected || s.Err == nil || !strings.Contains(s.Err.Error(), "connect to tcp://"+address) {
		t.Errorf("%+v", s)
	}
	server, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err) // somebody else has the port now
	}
	conn, r := accept(t, server)
	expect(t, r, "one")
	if s := w.state(t); !s.Connected || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	w.store.Add("init", logs.Info, "two")
	expect(t, r, "two")
	conn.Close()
	if s := w.state(t); s.Connected || !strings.Contains(s.Err.Error(), "closed the connection") {
		t.Errorf("%+v", s)
	}
	w.store.Add("init", logs.Info, "three")
	_, r = accept(t, server)
	expect(t, r, "three")
	server.Close()
}

// TestServerThatClosesAtOnce has one that accepts every connection and closes it. It is told once, and the server is
// left alone for longer and longer; when it has mended its ways, that is told, too.
func TestServerThatClosesAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	server := listen(t)
	w.send(t, "tcp://"+server.Addr().String(), func(o *Options) { o.Steady = time.Second })
	for range 100 {
		c, _ := accept(t, server)
		if err := c.(*net.TCPConn).SetLinger(0); err != nil { // some ends are resets
			t.Fatal(err)
		}
		c.Close()
	}
	accept(t, server)
	for i := 0; ; i++ {
		s := w.state(t)
		if s.Connected && i > 0 && len(w.states) == 0 {
			break // it lasts
		}
		if i > 2*maxTold {
			t.Fatalf("a line for each connection: %+v", s)
		}
	}
}

// TestLostLinesAreCounted has a log that keeps less than was said while the server was away.
func TestLostLinesAreCounted(t *testing.T) {
	w := newWorld(t, func(o *logs.Options) { o.Limit, o.Burst = 2000, 100000 })
	server := listen(t)
	w.send(t, "tcp://"+server.Addr().String(), nil)
	conn, r := accept(t, server)
	w.store.Add("init", logs.Info, "0")
	expect(t, r, "0")
	conn.Close()
	server.Close()
	for !strings.Contains(fmt.Sprint(w.state(t).Err), "connect to") {
	}
	for i := range 1000 {
		w.store.Add("init", logs.Info, strconv.Itoa(i+1))
	}
	again, err := net.Listen("tcp", server.Addr().String())
	if err != nil {
		t.Skip(err)
	}
	defer again.Close()
	_, r = accept(t, again)
	received := uint64(1) // the first
	for text := ""; text != "1000"; received++ {
		message, err := counted(r)
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ = strings.Cut(message, "\ufeff")
	}
	for s := w.state(t); ; s = w.state(t) {
		if s.Connected {
			if s.Lost == 0 || received+s.Lost != 1001 { // 0 to 1000 were said
				t.Errorf("%d received, %d lost", received, s.Lost)
			}
			return
		}
	}
}

func TestTLS(t *testing.T) {
	certificate, roots := selfSigned(t)
	server, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	w := newWorld(t, nil)
	w.store.Add("init", logs.Info, "secret")
	w.send(t, "tls://"+server.Addr().String(), func(o *Options) { o.Roots = func() *x509.CertPool { return roots } })
	_, r := accept(t, server)
	expect(t, r, "secret")

	// Whoever has no reason to trust the server sends it nothing.
	stranger := newWorld(t, nil)
	stranger.store.Add("init", logs.Info, "secret")
	stranger.send(t, "tls://"+server.Addr().String(), func(o *Options) { o.Roots = x509.NewCertPool })
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, c) // the handshake fails
			c.Close()
		}
	}()
	if s := stranger.state(t); s.Connected || !strings.Contains(s.Err.Error(), "certificate") {
		t.Errorf("%+v", s)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// TestClockThatIsNotSetYet has lines wait for the clock, and get the right time.
func TestClockThatIsNotSetYet(t *testing.T) {
	w := newWorld(t, nil)
	w.store.Add("init", logs.Info, "early")
	server := listen(t)
	var asked atomic.Int32
	w.send(t, "tcp://"+server.Addr().String(), func(o *Options) {
		o.Grace = time.Hour
		o.Clock = func() Clock { return Clock{Now: instant, Up: logs.Uptime(), Known: asked.Add(1) > 5} }
	})
	_, r := accept(t, server)
	if message, err := counted(r); err != nil || !strings.HasPrefix(message, "<30>1 2026-11-27T0") {
		t.Errorf("%q, %v", message, err)
	}
}

// TestStuckServer has a server that never reads: nothing but its own sender waits for it.
func TestStuckServer(t *testing.T) {
	w := newWorld(t, func(o *logs.Options) { o.Burst, o.Limit = 1e6, 64<<20 })
	server := listen(t)
	w.send(t, "tcp://"+server.Addr().String(), func(o *Options) { o.SendTimeout = 50 * time.Millisecond })
	_, _ = accept(t, server)
	for range 5000 {
		w.store.Add("init", logs.Info, strings.Repeat("x", 4000))
	}
	for {
		if s := w.state(t); !s.Connected && strings.Contains(s.Err.Error(), "timeout") {
			return
		}
	}
}
