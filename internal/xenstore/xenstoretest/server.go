// Package xenstoretest is an in-memory xenstored for tests. It frames messages with code of its
// own, so that a mistake in package xenstore's framing does not cancel out.
package xenstoretest

import (
	"maps"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// Server is a store with its connections. All methods may be called from any goroutine.
type Server struct {
	mu         sync.Mutex // guards what follows
	nodes      map[string]string
	generation int // number of changes so far, for transactions' conflicts
	conflicts  int // commits still to be refused
	conns      map[*conn]bool
	refusals   map[string]string // path -> error name of any request for it
}

// New returns a store that holds only "/".
func New() *Server {
	return &Server{
		nodes:    map[string]string{"/": ""},
		conns:    map[*conn]bool{},
		refusals: map[string]string{},
	}
}

// Client returns a client connected through a pipe; the test's end closes it.
func (s *Server) Client(t testing.TB) *xenstore.Client {
	here, there := net.Pipe()
	s.Serve(there)
	client := xenstore.NewClient(here)
	t.Cleanup(func() { client.Close() })
	return client
}

// Listen serves the store on a unix socket until the test ends.
func (s *Server) Listen(t testing.TB, socket string) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			peer, err := listener.Accept()
			if err != nil {
				return
			}
			s.Serve(peer)
		}
	}()
}

// Set writes a value as another client would, events included.
func (s *Server) Set(key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	write(s.nodes, key, value)
	s.changed(key)
}

// SetAll writes several values below base.
func (s *Server) SetAll(base string, values map[string]string) {
	for key, value := range values {
		s.Set(path.Join(base, key), value)
	}
}

// Get returns the value at key and whether key exists.
func (s *Server) Get(key string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.nodes[key]
	return value, ok
}

// Remove removes key and all below it.
func (s *Server) Remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed(remove(s.nodes, key)...)
}

// Fire sends a special event such as "@releaseDomain".
func (s *Server) Fire(special string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed(special)
}

// Conflict makes the next n commits fail with EAGAIN.
func (s *Server) Conflict(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conflicts = n
}

// Refuse makes every request for key fail with the error of that name, "EACCES" for instance.
func (s *Server) Refuse(key, errno string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals[key] = errno
}

// Watches counts the watches that are set.
func (s *Server) Watches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for c := range s.conns {
		total += len(c.watches)
	}
	return total
}

// Disconnect drops every connection, as a dying xenstored does.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.peer.Close()
	}
}

// changed sends the events of keys to every connection. Callers hold s.mu.
func (s *Server) changed(keys ...string) {
	s.generation++
	for c := range s.conns {
		for _, w := range c.watches {
			for _, key := range keys {
				if below(key, w.path) {
					c.event(key, w.token)
				}
			}
		}
	}
}

// below says whether key is base or a descendant of it.
func below(key, base string) bool {
	return key == base || base == "/" || strings.HasPrefix(key, base+"/")
}

// write sets a value and creates missing parents.
func write(nodes map[string]string, key, value string) {
	for parent := path.Dir(key); parent != "/" && parent != "."; parent = path.Dir(parent) {
		if _, ok := nodes[parent]; !ok {
			nodes[parent] = ""
		}
	}
	nodes[key] = value
}

// remove deletes key and its descendants and returns their names.
func remove(nodes map[string]string, key string) []string {
	var gone []string
	for name := range nodes {
		if below(name, key) {
			gone = append(gone, name)
		}
	}
	for _, name := range gone {
		delete(nodes, name)
	}
	return gone
}

// children lists the names directly below key, sorted.
func children(nodes map[string]string, key string) []string {
	names := map[string]bool{}
	for name := range nodes {
		if name != key && below(name, key) {
			rest := strings.TrimPrefix(strings.TrimPrefix(name, key), "/")
			first, _, _ := strings.Cut(rest, "/")
			names[first] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
