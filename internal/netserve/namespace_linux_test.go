package netserve

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/dhcpwire"
	"github.com/zerodisc/zerodisc/internal/testns"
)

// deadline is generous: nothing here takes longer than a few seconds on an idle machine.
const deadline = 30 * time.Second

// inNamespace runs body with a network of its own.
func inNamespace(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	testns.Run(t, syscall.CLONE_NEWNET, body)
}

// pc is the machine at the other end of the cable: a namespace in which eth0 leads to serve0 here.
type pc struct {
	t     *testing.T
	space netns.NsHandle
	mac   net.HardwareAddr
	local *net.UDPAddr // that TFTP files are fetched from; nil: the first address
}

// Addresses on the cable. The PC has its own from the start where a test needs it.
const (
	serverAddress = "192.0.2.1"
	pcAddress     = "192.0.2.50"
)

// plugCable makes both ends. The PC's has an address if one is given, as "192.0.2.50/24".
func plugCable(t *testing.T, address string) *pc {
	t.Helper()
	p := &pc{t: t}
	check(t, inside(0, func() { p.space = must(netns.Get())(t) }))
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "serve0"
	check(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0"}))
	here, there := must(netlink.LinkByName("serve0"))(t), must(netlink.LinkByName("eth0"))(t)
	check(t, netlink.AddrAdd(here, must(netlink.ParseAddr(serverAddress+"/24"))(t)))
	check(t, netlink.LinkSetUp(here))
	check(t, netlink.LinkSetNsFd(there, int(p.space)))
	handle := must(netlink.NewHandleAt(p.space))(t)
	there = must(handle.LinkByName("eth0"))(t)
	if address != "" {
		check(t, handle.AddrAdd(there, must(netlink.ParseAddr(address))(t)))
	}
	check(t, handle.LinkSetUp(there))
	p.mac = there.Attrs().HardwareAddr
	return p
}

// inside runs do in a namespace, or in a new one if space is 0. Its thread ends with the goroutine.
func inside(space netns.NsHandle, do func()) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		var err error
		if space == 0 {
			_, err = netns.New()
		} else {
			err = netns.Set(space)
		}
		if err == nil {
			do()
		}
		done <- err
	}()
	return <-done
}

// dial opens a connection of the PC.
func (p *pc) dial(network, local, remote string) net.Conn {
	p.t.Helper()
	var conn net.Conn
	check(p.t, inside(p.space, func() {
		dialer := net.Dialer{}
		if local != "" {
			dialer.LocalAddr, _ = net.ResolveUDPAddr(network, local)
		}
		var err error
		if conn, err = dialer.Dial(network, remote); err != nil {
			p.t.Error(err)
		}
	}))
	check(p.t, conn.SetDeadline(time.Now().Add(deadline)))
	p.t.Cleanup(func() { conn.Close() })
	return conn
}

// dhcpClient returns one on the PC's bare interface.
func (p *pc) dhcpClient() *nclient4.Client {
	p.t.Helper()
	var client *nclient4.Client
	check(p.t, inside(p.space, func() {
		var err error
		if client, err = nclient4.New("eth0", nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(1)); err != nil {
			p.t.Error(err)
		}
	}))
	p.t.Cleanup(func() { client.Close() })
	return client
}

// output is what a server said on its terminal.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(data []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(data)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits for a line with all of the parts.
func (o *output) await(t *testing.T, parts ...string) {
	t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(o.String()) {
			missing := 0
			for _, part := range parts {
				if !strings.Contains(line, part) {
					missing++
				}
			}
			if missing == 0 {
				return
			}
		}
	}
	t.Fatalf("no line with %q in:\n%s", parts, o)
}

// startServing serves until the test ends, and then checks that this was no error.
func startServing(t *testing.T, options Options) *output {
	t.Helper()
	out := &output{}
	options.Out = out
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, options) }()
	t.Cleanup(func() {
		stop()
		check(t, <-done)
		t.Logf("on the terminal:\n%s", out)
	})
	out.await(t, "Ctrl-C")
	return out
}

func TestProxyAndFiles(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		big := make([]byte, 3_000_000)
		rand.NewChaCha8([32]byte{}).Read(big)
		pc := plugCable(t, pcAddress+"/24")
		out := startServing(t, Options{Dir: newTree(t, big), Interface: "serve0"})
		out.await(t, "TFTP and HTTP", "http://192.0.2.1/")

		pc.checkProxy(out)
		pc.checkTFTP(out, big)
		pc.checkHTTP(out, big)
	})
}

// checkProxy boots as UEFI does: it looks for an offer, and asks on port 4011 again.
func (p *pc) checkProxy(out *output) {
	t := p.t
	uefi := booting("PXEClient:Arch:00007:UNDI:003016", iana.EFI_X86_64)
	offer := must(p.dhcpClient().DiscoverOffer(context.Background(), uefi))(t)
	if offer.BootFileName != fileUEFI || !offer.ServerIPAddr.Equal(net.ParseIP(serverAddress)) ||
		!dhcpwire.Unspecified(offer.YourIPAddr) {
		t.Errorf("got the offer %s", offer.Summary())
	}
	out.await(t, p.mac.String(), "UEFI asks", fileUEFI)

	conn := p.dial("udp4", pcAddress+":4011", serverAddress+":4011")
	ask := message(uefi, request, dhcpv4.WithHwAddr(p.mac), dhcpv4.WithClientIP(net.ParseIP(pcAddress)))
	must(conn.Write(ask.ToBytes()))(t)
	buffer := make([]byte, 1500)
	n := must(conn.Read(buffer))(t)
	ack := must(dhcpv4.FromBytes(buffer[:n]))(t)
	if ack.MessageType() != dhcpv4.MessageTypeAck || ack.BootFileName != fileUEFI {
		t.Errorf("got %s", ack.Summary())
	}
	if offer, err := p.dhcpClient().DiscoverOffer(context.Background()); err == nil {
		t.Errorf("a client that does not boot got %s", offer.Summary())
	}
}

// tftpGet fetches a file. It drops the DATA packet with that number once; 0: none.
func (p *pc) tftpGet(name string, drop uint16, options ...string) ([]byte, error) {
	var conn *net.UDPConn
	check(p.t, inside(p.space, func() { conn, _ = net.ListenUDP("udp4", p.local) }))
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	server := &net.UDPAddr{IP: net.ParseIP(serverAddress), Port: portTFTP}
	conn.WriteTo([]byte("\x00\x01"+strings.Join(append([]string{name, "octet"}, options...), "\x00")+"\x00"), server)
	var file []byte
	blockSize, window, since, next := 512, 1, 0, uint16(1)
	buffer := make([]byte, 65536)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return file, err
		}
		number, body := binary.BigEndian.Uint16(buffer[2:]), buffer[4:n]
		confirm := func(number uint16) { conn.WriteTo(binary.BigEndian.AppendUint16([]byte{0, opAck}, number), from) }
		switch binary.BigEndian.Uint16(buffer) {
		case opError:
			return file, errors.New(string(body))
		case opOACK:
			agreed := strings.Split(string(buffer[2:n]), "\x00")
			for i := 0; i+1 < len(agreed); i += 2 {
				switch agreed[i] {
				case "blksize":
					fmt.Sscan(agreed[i+1], &blockSize)
				case "windowsize":
					fmt.Sscan(agreed[i+1], &window)
				}
			}
			confirm(0)
		case opData:
			switch {
			case number == drop && drop != 0:
				drop = 0
			case number != next:
				since = 0
				confirm(next - 1)
			default:
				file, next, since = append(file, body...), next+1, since+1
				if last := len(body) < blockSize; last || since == window {
					since = 0
					confirm(number)
					if last {
						return file, nil
					}
				}
			}
		}
	}
}

func (p *pc) checkTFTP(out *output, big []byte) {
	t := p.t
	for _, c := range []struct {
		name    string
		drop    uint16
		options []string
	}{
		{"boot/big", 0, []string{"blksize", "8192", "windowsize", "8", "tsize", "0"}},
		{`\boot\big`, 1000, []string{"blksize", "1400", "windowsize", "8"}},
		{"/boot/big", 77, []string{"blksize", "1400"}},
		{"boot/big", 5, nil},
		{"boot/big", 0, []string{"blksize", "40", "windowsize", "32"}}, // block numbers start again after 65535
	} {
		start := time.Now()
		got, err := p.tftpGet(c.name, c.drop, c.options...)
		if err != nil || !bytes.Equal(got, big) {
			t.Errorf("%s %v: got %d bytes, %v", c.name, c.options, len(got), err)
		}
		t.Logf("%s %v: %v", c.name, c.options, time.Since(start))
	}
	out.await(t, pcAddress, "TFTP", "boot/big", "3.0 MB in", "MB/s")
	if _, err := p.tftpGet("boot/absent", 0); err == nil {
		t.Error("a file that is not there was sent")
	}
	out.await(t, pcAddress, "TFTP", "boot/absent not sent", "no such file")
}

func (p *pc) checkHTTP(out *output, big []byte) {
	t := p.t
	dial := func(_ context.Context, _, address string) (net.Conn, error) {
		return p.dial("tcp4", "", address), nil
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial}}
	defer client.CloseIdleConnections()
	for _, c := range []struct {
		method, path, bytes string
		status              int
		want                []byte
	}{
		{"GET", "/boot/big", "", http.StatusOK, big},
		{"GET", "/boot/big", "bytes=1000000-1999999", http.StatusPartialContent, big[1_000_000:2_000_000]},
		{"HEAD", "/pxe-uefi.efi", "", http.StatusOK, nil},
		{"GET", "/", "", http.StatusNotFound, nil},
		{"GET", "/boot/", "", http.StatusNotFound, nil},
		{"GET", "/boot/absent", "", http.StatusNotFound, nil},
		{"POST", "/boot.ipxe", "", http.StatusMethodNotAllowed, nil},
	} {
		r := must(http.NewRequest(c.method, "http://"+serverAddress+c.path, nil))(t)
		if c.bytes != "" {
			r.Header.Set("Range", c.bytes)
		}
		response := must(client.Do(r))(t)
		body := must(io.ReadAll(response.Body))(t)
		response.Body.Close()
		if response.StatusCode != c.status || c.want != nil && !bytes.Equal(body, c.want) {
			t.Errorf("%s %s %s: got %s and %d bytes", c.method, c.path, c.bytes, response.Status, len(body))
		}
	}
	out.await(t, pcAddress, "HTTP", "/boot/big", "  3.0 MB in")
	out.await(t, pcAddress, "HTTP", "/boot/big", "1.0 MB of 3.0 MB in")
	out.await(t, pcAddress, "HTTP", "/boot/absent not sent")
}

// TestOneClientDoesNotBlockOthers asks for more files, and opens more connections, than the server has room for, all
// of one address, and leaves them. Another address is served.
func TestOneClientDoesNotBlockOthers(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		const other = "192.0.2.51"
		big := make([]byte, 100_000)
		pc := plugCable(t, pcAddress+"/24")
		handle := must(netlink.NewHandleAt(pc.space))(t)
		link := must(handle.LinkByName("eth0"))(t)
		check(t, handle.AddrAdd(link, must(netlink.ParseAddr(other+"/24"))(t)))
		out := startServing(t, Options{Dir: newTree(t, big), Interface: "serve0"})

		for range maxTransfers + 10 {
			conn := pc.dial("udp4", pcAddress+":0", serverAddress+":69")
			must(conn.Write([]byte("\x00\x01boot/big\x00octet\x00timeout\x00255\x00")))(t)
		}
		for range maxConnections + 10 {
			pc.dial("tcp4", "", serverAddress+":80")
		}
		out.await(t, pcAddress, "TFTP", "more than 8 files at a time")
		out.await(t, pcAddress, "HTTP", "more than 16 connections")

		pc.local = &net.UDPAddr{IP: net.ParseIP(other)}
		if got, err := pc.tftpGet("boot/big", 0); err != nil || !bytes.Equal(got, big) {
			t.Errorf("TFTP: %d bytes, %v", len(got), err)
		}
		pc.checkOneGet(other, big)
	})
}

// checkOneGet fetches a file from one of the PC's addresses.
func (p *pc) checkOneGet(from string, want []byte) {
	p.t.Helper()
	var conn net.Conn
	check(p.t, inside(p.space, func() {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, _ = dialer.Dial("tcp4", serverAddress+":80")
	}))
	defer conn.Close()
	check(p.t, conn.SetDeadline(time.Now().Add(deadline)))
	must(io.WriteString(conn, "GET /boot/big HTTP/1.0\r\n\r\n"))(p.t)
	answer := must(io.ReadAll(conn))(p.t)
	if !bytes.HasSuffix(answer, want) {
		p.t.Errorf("HTTP: %d bytes, want %d and a head", len(answer), len(want))
	}
}

func TestLeasesOnACable(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		pc := plugCable(t, "")
		out := startServing(t, Options{
			Dir: newTree(t, nil), Interface: "serve0", HTTPPort: 8088, Range: "192.0.2.100-192.0.2.110",
		})
		out.await(t, "http://192.0.2.1:8088/")
		lease := must(pc.dhcpClient().Request(context.Background(), booting("PXEClient", iana.INTEL_X86PC), ipxe))(t)
		if got := lease.ACK; !got.YourIPAddr.Equal(net.ParseIP("192.0.2.100")) ||
			got.BootFileName != "http://192.0.2.1:8088/boot.ipxe" {
			t.Errorf("got %s", got.Summary())
		}
		out.await(t, pc.mac.String(), "iPXE on BIOS asks", "leased 192.0.2.100", "boot.ipxe")
		again := must(pc.dhcpClient().Request(context.Background()))(t)
		if got := again.ACK; !got.YourIPAddr.Equal(net.ParseIP("192.0.2.100")) || got.BootFileName != "" {
			t.Errorf("the operating system got %s", got.Summary())
		}
	})
}

func TestRefusals(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		plugCable(t, "")
		dir := newTree(t, nil)
		startServing(t, Options{Dir: dir, Interface: "serve0"})
		for _, c := range []struct {
			options Options
			part    string
		}{
			{Options{Dir: dir, Interface: "serve0"}, "UDP port 67 of serve0: another program has it"},
			{Options{Dir: dir, Interface: "serve1"}, "does not exist; there are serve0 (192.0.2.1/24)"},
			{Options{Dir: t.TempDir()}, "make netboot"},
			{Options{Dir: dir, Range: "192.0.3.1-192.0.3.2"}, "192.0.2.0/24"},
		} {
			c.options.Out = io.Discard
			if err := Serve(context.Background(), c.options); err == nil || !strings.Contains(err.Error(), c.part) {
				t.Errorf("%+v: got %v", c.options, err)
			}
		}
	})
}

// TestOtherServerOnTheLink puts another DHCP server, one of ours, to the other end of the cable.
func TestOtherServerOnTheLink(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		pc := plugCable(t, pcAddress+"/24")
		dir := newTree(t, nil)
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		out := &output{}
		go inside(pc.space, func() {
			Serve(ctx, Options{Dir: dir, Interface: "eth0", Range: "192.0.2.200-192.0.2.210", Out: out})
		})
		out.await(t, "Ctrl-C")
		err := Serve(ctx, Options{Dir: dir, Range: "192.0.2.100-192.0.2.110", Out: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "the DHCP server "+pcAddress+" gives addresses") {
			t.Errorf("got %v", err)
		}
	})
}

// TestSearchNeedsItsRights has a process that may listen on port 67 but not open raw sockets.
func TestSearchNeedsItsRights(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		plugCable(t, "")
		runtime.LockOSThread() // for good: the thread ends with the test
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var rights [2]unix.CapUserData
		check(t, unix.Capget(&header, &rights[0]))
		rights[0].Effective &^= 1 << unix.CAP_NET_RAW
		check(t, unix.Capset(&header, &rights[0]))
		options := Options{Dir: newTree(t, nil), Interface: "serve0", Range: "192.0.2.100-192.0.2.110",
			Out: io.Discard}
		ctx, stop := context.WithTimeout(context.Background(), deadline)
		defer stop()
		want := "look for another DHCP server on serve0: no permission: run this with sudo"
		if err := Serve(ctx, options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v", err)
		}
	})
}

func TestServerOfAnOffer(t *testing.T) {
	offer := message(dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer), dhcpv4.WithYourIP(net.IPv4(192, 168, 7, 9)))
	if got := server(offer); got != "that offers 192.168.7.9" {
		t.Errorf("without an identifier: %q", got)
	}
	offer.ServerIPAddr = net.IPv4(192, 168, 7, 3)
	if got := server(offer); got != "192.168.7.3" {
		t.Errorf("with siaddr: %q", got)
	}
	theirs(offer)
	if got := server(offer); got != "192.168.7.254" {
		t.Errorf("with an identifier: %q", got)
	}
}

// TestSearchNeedsALink takes the link down while another server is looked for.
func TestSearchNeedsALink(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		plugCable(t, "")
		time.AfterFunc(firstAsk/2, func() {
			check(t, netlink.LinkSetDown(must(netlink.LinkByName("serve0"))(t)))
		})
		ctx, stop := context.WithTimeout(context.Background(), deadline)
		defer stop()
		if other, err := findDHCPServer(ctx, "serve0"); err == nil {
			t.Errorf("found %q, no error", other)
		}
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must is check for a call with a result: must(call())(t).
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return value
	}
}
