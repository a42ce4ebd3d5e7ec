package xenstoretest

import (
	"encoding/binary"
	"io"
	"maps"
	"net"
	"path"
	"strconv"
	"strings"
)

// Message types of xen/include/public/io/xs_wire.h.
const (
	directory  = 1
	read       = 2
	watchAdd   = 4
	watchRm    = 5
	txStart    = 6
	txEnd      = 7
	domainPath = 10
	writeValue = 11
	mkdir      = 12
	rm         = 13
	watchEvent = 15
	failure    = 16
)

type watch struct{ path, token string }

type transaction struct {
	nodes      map[string]string
	generation int      // of the store at the start
	touched    []string // paths to report on commit
}

// conn is one client's connection. The server's mutex guards it.
type conn struct {
	server       *Server
	peer         net.Conn
	out          chan []byte
	watches      []watch
	transactions map[uint32]*transaction
	lastTx       uint32
}

type request struct {
	kind, number, tx uint32
	payload          []byte
}

// Serve answers peer until it closes.
func (s *Server) Serve(peer net.Conn) {
	c := &conn{server: s, peer: peer, out: make(chan []byte, 4096), transactions: map[uint32]*transaction{}}
	s.mu.Lock()
	s.conns[c] = true
	s.mu.Unlock()
	go c.write()
	go c.read()
}

func (c *conn) write() {
	for frame := range c.out {
		if _, err := c.peer.Write(frame); err != nil {
			c.peer.Close() // the reader ends; what is still queued is dropped
		}
	}
}

func (c *conn) read() {
	for {
		r, err := receive(c.peer)
		if err != nil {
			break
		}
		c.server.mu.Lock()
		c.handle(r)
		c.server.mu.Unlock()
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	delete(c.server.conns, c)
	c.peer.Close()
	close(c.out)
}

func receive(r io.Reader) (request, error) {
	header := make([]byte, 16)
	if _, err := io.ReadFull(r, header); err != nil {
		return request{}, err
	}
	field := func(i int) uint32 { return binary.LittleEndian.Uint32(header[4*i:]) }
	payload := make([]byte, field(3))
	_, err := io.ReadFull(r, payload)
	return request{kind: field(0), number: field(1), tx: field(2), payload: payload}, err
}

func (c *conn) reply(kind uint32, r request, payload string) {
	frame := binary.LittleEndian.AppendUint32(nil, kind)
	frame = binary.LittleEndian.AppendUint32(frame, r.number)
	frame = binary.LittleEndian.AppendUint32(frame, r.tx)
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(payload)))
	c.out <- append(frame, payload...)
}

func (c *conn) event(key, token string) {
	c.reply(watchEvent, request{}, key+"\x00"+token+"\x00")
}

// handle answers one request. The first string of the payload is the path in nearly all.
func (c *conn) handle(r request) {
	key, rest, _ := strings.Cut(string(r.payload), "\x00")
	if errno, ok := c.server.refusals[key]; ok {
		c.reply(failure, r, errno+"\x00")
		return
	}
	switch r.kind {
	case watchAdd:
		w := watch{key, strings.TrimSuffix(rest, "\x00")}
		c.watches = append(c.watches, w)
		c.event(key, w.token) // before the reply, the harder order for a client
		c.reply(r.kind, r, "OK\x00")
	case watchRm:
		c.unwatch(r, watch{key, strings.TrimSuffix(rest, "\x00")})
	case txStart:
		c.lastTx++
		c.transactions[c.lastTx] = &transaction{nodes: maps.Clone(c.server.nodes), generation: c.server.generation}
		c.reply(r.kind, r, strconv.Itoa(int(c.lastTx))+"\x00")
	case txEnd:
		c.finish(r, key == "T")
	case domainPath:
		c.reply(r.kind, r, "/local/domain/"+key+"\x00")
	default:
		c.access(r, key, rest)
	}
}

func (c *conn) unwatch(r request, gone watch) {
	for i, w := range c.watches {
		if w == gone {
			c.watches = append(c.watches[:i], c.watches[i+1:]...)
			c.reply(r.kind, r, "OK\x00")
			return
		}
	}
	c.reply(failure, r, "ENOENT\x00")
}

func (c *conn) finish(r request, commit bool) {
	tx := c.transactions[r.tx]
	delete(c.transactions, r.tx)
	s := c.server
	switch {
	case tx == nil:
		c.reply(failure, r, "ENOENT\x00")
	case commit && (s.conflicts > 0 || s.generation != tx.generation):
		s.conflicts = max(0, s.conflicts-1)
		c.reply(failure, r, "EAGAIN\x00")
	default:
		if commit {
			s.nodes = tx.nodes
			s.changed(tx.touched...)
		}
		c.reply(r.kind, r, "OK\x00")
	}
}

// access reads or changes nodes, those of the transaction where there is one.
func (c *conn) access(r request, key, rest string) {
	nodes, touched := c.server.nodes, c.server.changed
	if r.tx != 0 {
		tx := c.transactions[r.tx]
		if tx == nil {
			c.reply(failure, r, "ENOENT\x00")
			return
		}
		nodes = tx.nodes
		touched = func(keys ...string) { tx.touched = append(tx.touched, keys...) }
	}
	if !strings.HasPrefix(key, "/") {
		key = "/local/domain/0/" + key // as xenstored does for its socket
	}
	value, exists := nodes[key]
	switch r.kind {
	case read, directory:
		if !exists {
			c.reply(failure, r, "ENOENT\x00")
			return
		}
		if r.kind == read {
			c.reply(r.kind, r, value)
			return
		}
		c.reply(r.kind, r, terminated(children(nodes, key)))
	case writeValue:
		write(nodes, key, rest)
		touched(key)
		c.reply(r.kind, r, "OK\x00")
	case mkdir:
		if !exists {
			write(nodes, key, "")
			touched(key)
		}
		c.reply(r.kind, r, "OK\x00")
	case rm:
		if _, ok := nodes[path.Dir(key)]; !ok {
			c.reply(failure, r, "ENOENT\x00")
			return
		}
		touched(remove(nodes, key)...)
		c.reply(r.kind, r, "OK\x00")
	default:
		c.reply(failure, r, "ENOSYS\x00")
	}
}

func terminated(names []string) string {
	var out strings.Builder
	for _, name := range names {
		out.WriteString(name + "\x00")
	}
	return out.String()
}
