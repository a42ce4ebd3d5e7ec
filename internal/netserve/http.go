package netserve

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path"
	"time"
)

// httpServer gives files of a tree by HTTP, whole or in ranges. It lists no directories.
type httpServer struct {
	tree   *os.Root
	events *reporter
	slots  *slots // of connections
}

// Limits of connections at a time, of one client and in total: each takes memory and two of the process's files.
const (
	maxConnectionsEach = 16
	maxConnections     = 200
)

func newHTTPServer(tree *os.Root, events *reporter) *httpServer {
	return &httpServer{tree: tree, events: events, slots: newSlots(maxConnectionsEach, maxConnections)}
}

// run serves until the listener is closed.
func (s *httpServer) run(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       time.Minute,
		ConnState:         s.count,
		ErrorLog:          log.New(io.Discard, "", 0), // what matters to a person is an event
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err := server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		return net.ErrClosed
	}
	return err
}

// count counts connections, and closes those that are too many.
func (s *httpServer) count(conn net.Conn, state http.ConnState) {
	client, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return
	}
	switch state {
	case http.StateNew:
		ok, news := s.slots.take(client)
		if news {
			s.events.event(client.Addr().String(), "HTTP",
				"has more than %d connections: the others are closed", maxConnectionsEach)
		}
		if !ok {
			conn.Close()
		}
	case http.StateClosed:
		s.slots.give(client)
	}
}

// types are content types that firmware goes by (UEFI specification 2.10, section 24.7).
// Everything else is bytes.
var types = map[string]string{
	".efi":  "application/efi",
	".ipxe": "text/plain; charset=utf-8",
}

// ServeHTTP sends one file.
func (s *httpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	report := func(f fetch) { s.events.event(client, "HTTP", "%s", f) }
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "read only", http.StatusMethodNotAllowed)
		return
	}
	file, info, err := openFile(s.tree, r.URL.Path)
	if err != nil {
		http.NotFound(w, r)
		if isProbe(r.URL.Path) {
			return
		}
		report(fetch{name: r.URL.Path, size: -1, err: err})
		return
	}
	defer file.Close()
	contentType := types[path.Ext(info.Name())]
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	w.Header().Set("Content-Type", contentType)
	counted := &countingWriter{ResponseWriter: w}
	start := time.Now()
	http.ServeContent(counted, r, info.Name(), info.ModTime(), file)
	if r.Method == http.MethodGet && counted.attempted {
		report(fetch{r.URL.Path, counted.sent, info.Size(), time.Since(start), counted.err})
	}
}

// countingWriter counts what of a file was sent.
type countingWriter struct {
	http.ResponseWriter
	attempted bool
	sent      int64 // bytes
	err       error
}

func (w *countingWriter) Write(data []byte) (int, error) {
	n, err := w.ResponseWriter.Write(data)
	w.count(int64(n), err)
	return n, err
}

// ReadFrom lets the kernel copy from file to connection.
func (w *countingWriter) ReadFrom(source io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, source)
	w.count(n, err)
	return n, err
}

func (w *countingWriter) count(n int64, err error) {
	w.attempted = true
	w.sent += n
	if err != nil && w.err == nil {
		w.err = errGone
	}
}
