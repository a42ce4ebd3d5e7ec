package netserve

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// Limits of transfers at a time, of one client and in total. What is asked for beyond them is not
// answered, and asked for again. Firmware has one or two under way.
const (
	maxTransfersEach = 8
	maxTransfers     = 200
)

// tftpServer gives files of a tree (RFC 1350, 2347, 2348, 2349, 7440). It takes none.
type tftpServer struct {
	tree   *os.Root
	nic    iface
	events *reporter
	slots  *slots // of transfers; a client repeats a request that it sees no answer to
}

func newTFTPServer(tree *os.Root, nic iface, events *reporter) *tftpServer {
	return &tftpServer{tree: tree, nic: nic, events: events, slots: newSlots(maxTransfersEach, maxTransfers)}
}

// run answers requests until the socket is closed, and returns when all transfers have ended.
func (s *tftpServer) run(ctx context.Context, conn *net.UDPConn) error {
	var transfers sync.WaitGroup
	defer transfers.Wait()
	buffer := make([]byte, 2048) // requests have up to 512 bytes (RFC 2347)
	for {
		n, client, err := conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			continue // of one packet
		}
		client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
		parsed, err := parsePacket(buffer[:n])
		if err != nil {
			continue
		}
		if code, refusal := refuse(parsed); refusal != "" {
			conn.WriteToUDPAddrPort(errorPacket(code, refusal), client)
			continue
		}
		request, ok := parsed.(readRequest)
		if !ok || !s.begin(client) {
			continue
		}
		transfers.Go(func() {
			defer s.slots.give(client)
			s.answer(ctx, request, client)
		})
	}
}

// modes are those of RFC 1350. Text is sent as it is: no file here needs its line ends changed.
var modes = []string{"octet", "netascii"}

// refuse returns the error for what this server does not do; "": it does that.
func refuse(p packet) (uint16, string) {
	switch p := p.(type) {
	case writeRequest:
		return codeAccess, "read only"
	case readRequest:
		if !slices.Contains(modes, p.mode) {
			return codeIllegal, "mode not supported"
		}
	}
	return 0, ""
}

// begin says whether there is to be a transfer, and counts it.
func (s *tftpServer) begin(client netip.AddrPort) bool {
	ok, news := s.slots.take(client)
	if news {
		s.events.event(client.Addr().String(), "TFTP",
			"asks for more than %d files at a time: the others have to wait", maxTransfersEach)
	}
	return ok
}

// errStopped is the end of a transfer that the person at the terminal ended.
var errStopped = errors.New("the server was stopped")

// answer sends the file that a client asks for, from a port of its own, and says how it went.
func (s *tftpServer) answer(ctx context.Context, request readRequest, client netip.AddrPort) {
	conn, err := dialUDP(ctx, s.nic.Name, s.nic.Address.Addr(), client)
	if err != nil {
		s.report(client, fetch{name: request.name, size: -1, err: err})
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	file, info, err := openFile(s.tree, request.name)
	if err != nil {
		conn.Write(errorPacket(codeNotFound, err.Error()))
		if !isProbe(request.name) {
			s.report(client, fetch{name: request.name, size: -1, err: err})
		}
		return
	}
	defer file.Close()
	agreed, options := negotiate(request.options, info.Size(), s.nic.MTU)
	t := newTransfer(conn, file, info.Size(), agreed)
	start := time.Now()
	err = t.run(options)
	switch {
	case err != nil && ctx.Err() != nil:
		err = errStopped
	case t.acked == 0 && errors.As(err, new(failure)):
		return // firmware asks for the size first, ends that, and asks again
	}
	s.report(client, fetch{request.name, t.sent(), info.Size(), time.Since(start), err})
}

func (s *tftpServer) report(client netip.AddrPort, f fetch) {
	s.events.event(client.Addr().String(), "TFTP", "%s", f)
}
