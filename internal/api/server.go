package api

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/meter"
)

// Orders is the controller, as far as clients reach it. Each waits until what it orders is done, or ctx ends.
type Orders interface {
	StartGuest(ctx context.Context, name string) error
	Stop(ctx context.Context, name string, timeout time.Duration, force bool) error
	Restart(ctx context.Context, name string, timeout time.Duration, force bool) error
	Pause(ctx context.Context, name string) error
	Unpause(ctx context.Context, name string) error
	Destroy(ctx context.Context, name string) error
	Rename(ctx context.Context, name, to string) error
	SetMemory(ctx context.Context, name string, kib int64) error
	SetVCPUs(ctx context.Context, name string, count int) error
	AttachDisk(ctx context.Context, name, spec string) (vdev string, err error)
	DetachDisk(ctx context.Context, name, vdev string) error
	AttachNIC(ctx context.Context, name, spec string) (mac string, err error)
	DetachNIC(ctx context.Context, name, mac string) error
}

// Consoles has what guests say.
type Consoles interface {
	// Log returns what is kept of what a guest has said, and the offset of its first byte in all that it ever said.
	Log(uuid string) (text []byte, start int64)
	// Open returns a session that reads from an offset on; -1 is what the guest says from now on.
	Open(uuid string, from int64) (Session, error)
}

// Session is an open console. Read waits for what the guest says; Close ends it.
type Session interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	Close() error
}

// Logs has the lines of the host's log.
type Logs interface {
	// Recent returns the newest of the lines that are wanted, the newest last.
	Recent(Query) ([]LogLine, error)
	// Follow returns the lines that come, until ctx ends. It may leave some out for a reader that is slow.
	Follow(ctx context.Context) <-chan LogLine
}

// Saver saves a guest. It tells how far it is, and in notes what it has done.
type Saver func(ctx context.Context, guest string, what SavePost, tell func(Progress), note func(string)) error

// Config is what a server works with. All fields are to be set.
type Config struct {
	State    *host.State
	Orders   Orders
	Consoles Consoles
	Logs     Logs
	Meter    *meter.Meter
	Save     Saver
	// Status is the status code, as HTTP's, for an error of an order.
	Status func(error) int
	Log    *slog.Logger
}

// server answers requests.
type server struct {
	Config
	ctx        context.Context // until the end of the server
	operations *operations
	complaints *complaints
	listed     atomic.Pointer[listing] // the last one
}

//go:embed openapi.yaml
var description []byte

// Timeouts and limits of connections.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = time.Minute
	maxConnections = 128
)

// Serve answers the requests that come by a listener until ctx ends. Its clients may do what granted says.
func Serve(ctx context.Context, l net.Listener, granted Access, c Config) error {
	s := &server{Config: c, ctx: ctx, operations: newOperations(ctx, c.Status), complaints: &complaints{log: c.Log}}
	h := http.Server{
		Handler: s.handler(granted), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: log.New(debugWriter{c.Log}, "", 0),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = h.Close() })
	defer stop()
	err := h.Serve(newBounded(l, maxConnections, s.complaints))
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve the API: %w", err)
}

// Listen makes the unix socket of the API, for root alone. A file that is there is one that a process left which has
// died.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("make the API's socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("make the API's socket: %w", err)
	}
	// Its directory is root's, so that nobody else gets in between.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("make the API's socket: %w", err), l.Close())
	}
	return l, nil
}

// debugWriter makes what net/http says of odd clients lines of the log.
type debugWriter struct{ log *slog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug("api", "err", strings.TrimSpace(string(p)))
	return len(p), nil
}

// handler is the table of routes as net/http wants it.
func (s *server) handler(granted Access) http.Handler {
	byPath := map[string]map[string]route{}
	for _, r := range routes {
		if byPath[r.path] == nil {
			byPath[r.path] = map[string]route{}
		}
		byPath[r.path][r.method] = r
	}
	mux := http.NewServeMux()
	for path, methods := range byPath {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			s.choose(methods, granted, w, r).write(w)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		notFound("path", r.URL.Path).write(w)
	})
	return mux
}

// choose answers a request by the row of its method.
func (s *server) choose(methods map[string]route, granted Access, w http.ResponseWriter, r *http.Request) answer {
	chosen, known := methods[r.Method]
	switch {
	case !known:
		allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		w.Header().Set("Allow", allowed)
		return &fault{http.StatusMethodNotAllowed, fmt.Sprintf("%s is not possible here, %s is", r.Method, allowed)}
	case granted < chosen.access:
		return &fault{http.StatusForbidden, "this way to the API is for reading only"}
	}
	// A client that does not send its body, or does not read the answer, has so long. What has no body is not given
	// a deadline for reading: that would end the request of one who waits.
	limits := http.NewResponseController(w)
	hasBody := r.ContentLength != 0
	if hasBody {
		_ = limits.SetReadDeadline(time.Now().Add(bodyTimeout))
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	a := chosen.handle(s, w, r)
	if a != (done{}) {
		if hasBody {
			_ = limits.SetReadDeadline(time.Time{})
		}
		_ = limits.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	return a
}

func (s *server) getServer(http.ResponseWriter, *http.Request) answer {
	now := s.State.Snapshot()
	about := Server{APIVersion: strings.TrimPrefix(Version, "/"), APIStatus: "stable", APIExtensions: []string{}}
	about.Environment.Server = "zerodisc"
	about.Environment.ServerVersion = now.Host.Version
	about.Environment.Xen = now.Host.Machine.Xen
	return result{about}
}

func (s *server) getDescription(http.ResponseWriter, *http.Request) answer {
	return plain{"application/yaml", description}
}
