package privnet

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// Limits of the DNS server.
const (
	maxQueries   = 64  // at a time
	maxPerGuest  = 8   // of them, of one guest
	maxQuery     = 512 // bytes (RFC 1035, section 2.3.4)
	maxAnswer    = 8 << 10
	maxTCP       = 16 // connections
	resolverTime = 2 * time.Second
	tcpTime      = 10 * time.Second // for a query to come and for its answer to go
	maxResolvers = 3                // as many as resolv.conf(5) may have
)

// dnsServer answers guests on one bridge.
type dnsServer struct {
	prefix     netip.Prefix
	zone       func() zone // of this moment; called by any goroutine
	resolvConf string
	slots      *slots
}

// slots limit what is done at a time, of all guests and of each.
type slots struct {
	all   chan struct{}
	count chan map[netip.Addr]int // holds the one map while nobody uses it
}

func newSlots() *slots {
	s := &slots{make(chan struct{}, maxQueries), make(chan map[netip.Addr]int, 1)}
	s.count <- map[netip.Addr]int{}
	return s
}

// take takes a slot for a guest, if there is one.
func (s *slots) take(guest netip.Addr) bool {
	counts := <-s.count
	defer func() { s.count <- counts }()
	if counts[guest] >= maxPerGuest {
		return false
	}
	select {
	case s.all <- struct{}{}:
		counts[guest]++
		return true
	default:
		return false
	}
}

func (s *slots) free(guest netip.Addr) {
	counts := <-s.count
	if counts[guest]--; counts[guest] == 0 {
		delete(counts, guest)
	}
	s.count <- counts
	<-s.all
}

// serveUDP answers until the socket is closed.
func (d *dnsServer) serveUDP(ctx context.Context, conn *net.UDPConn) error {
	buffer := make([]byte, maxQuery+1)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return err
		}
		guest := from.Addr().Unmap()
		if n > maxQuery || !d.prefix.Contains(guest) || !d.slots.take(guest) {
			continue // the guest asks again
		}
		query := append([]byte(nil), buffer[:n]...)
		guarded.Go(ctx, func() {
			defer d.slots.free(guest)
			if answer := d.answer(ctx, query, "udp"); answer != nil {
				_, _ = conn.WriteToUDPAddrPort(answer, from)
			}
		})
	}
}

// serveTCP answers until the socket is closed.
func (d *dnsServer) serveTCP(ctx context.Context, listener net.Listener) error {
	open := make(chan struct{}, maxTCP)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		guest := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		select {
		case open <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		if !d.prefix.Contains(guest) || !d.slots.take(guest) {
			conn.Close()
			<-open
			continue
		}
		guarded.Go(ctx, func() {
			defer func() { conn.Close(); d.slots.free(guest); <-open }()
			d.serveConn(ctx, conn)
		})
	}
}

// serveConn answers one query after the other (RFC 7766).
func (d *dnsServer) serveConn(ctx context.Context, conn net.Conn) {
	for conn.SetDeadline(time.Now().Add(tcpTime)) == nil {
		query, err := readTCP(conn, maxQuery)
		if err != nil {
			return
		}
		answer := d.answer(ctx, query, "tcp")
		if answer == nil || writeTCP(conn, answer) != nil {
			return
		}
	}
}

// errTooLong is that of a message which is longer than it may be.
var errTooLong = errors.New("DNS message is too long")

// readTCP reads a message with its length (RFC 1035, section 4.2.2).
func readTCP(from io.Reader, limit int) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > limit {
		return nil, errTooLong
	}
	message := make([]byte, n)
	_, err := io.ReadFull(from, message)
	return message, err
}

func writeTCP(to io.Writer, message []byte) error {
	_, err := to.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	return err
}

// answer makes the answer to a query; nil: none.
func (d *dnsServer) answer(ctx context.Context, query []byte, network string) []byte {
	answer, verdict := d.zone().resolve(query)
	if verdict != foreign {
		return answer
	}
	for _, resolver := range d.resolvers() {
		if answer, err := ask(ctx, network, resolver, query); err == nil {
			return answer
		}
	}
	return refusal(query)
}

// ask asks a resolver, under a number of its own from a port of its own, and gives the answer the query's number.
func ask(ctx context.Context, network string, resolver netip.Addr, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, resolverTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, netip.AddrPortFrom(resolver, 53).String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	asked := append([]byte(nil), query...)
	rand.Read(asked[:2]) // never fails (crypto/rand)
	answer, err := exchange(conn, network, asked)
	if err != nil {
		return nil, err
	}
	copy(answer, query[:2])
	return answer, nil
}

// exchange sends a query and waits for what answers it.
func exchange(conn net.Conn, network string, query []byte) ([]byte, error) {
	id := binary.BigEndian.Uint16(query)
	if network == "tcp" {
		if err := writeTCP(conn, query); err != nil {
			return nil, err
		}
		answer, err := readTCP(conn, 1<<16)
		if err == nil && !answers(answer, query, id) {
			err = errors.New("resolver answers something else")
		}
		return answer, err
	}
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buffer := make([]byte, maxAnswer)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return nil, err
		}
		if answers(buffer[:n], query, id) {
			return buffer[:n], nil
		}
	}
}

// resolvers are dom0's own, without this server itself.
func (d *dnsServer) resolvers() []netip.Addr {
	text, err := os.ReadFile(d.resolvConf)
	if err != nil {
		return nil
	}
	var list []netip.Addr
	for _, address := range parseResolvConf(string(text)) {
		if address != d.prefix.Addr() && len(list) < maxResolvers {
			list = append(list, address)
		}
	}
	return list
}

// parseResolvConf returns the name servers of a resolv.conf(5).
func parseResolvConf(text string) []netip.Addr {
	var list []netip.Addr
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if address, err := netip.ParseAddr(fields[1]); err == nil {
			list = append(list, address)
		}
	}
	return list
}
