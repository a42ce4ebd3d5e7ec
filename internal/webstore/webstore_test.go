package webstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/memory"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// tree is what a server has: contents by path.
type tree map[string]string

// list is the tree's SHA256SUMS, as find and sha256sum write it.
func (t tree) list() string {
	var sums []sha256sums.Sum
	for _, name := range slices.Sorted(maps.Keys(t)) {
		sums = append(sums, sha256sums.Sum{Path: "./" + name, SHA256: sha256.Sum256([]byte(t[name]))})
	}
	var text bytes.Buffer
	if err := sha256sums.Format(&text, sums); err != nil {
		panic(err)
	}
	return text.String()
}

// at is the content below /guests/ at a URL, "" when there is none.
func (t tree) at(u *url.URL) string {
	name := strings.TrimPrefix(u.Path, "/guests/")
	if name == sha256sums.Name {
		return t.list()
	}
	return t[name]
}

// ServeHTTP serves the tree with ranges and ETags.
func (t tree) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content := t.at(r.URL)
	if content == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(content))))
	http.ServeContent(w, r, r.URL.Path, time.Time{}, strings.NewReader(content))
}

// run is one Run of a store and what it reported.
type run struct {
	store   Store
	memory  int64 // bytes that can be spared
	entries []memory.Entry
	events  []Event
	started []string // directories' names
	refused []string
}

const large = 1 << 20

func newRun(t *testing.T, handler http.Handler) *run {
	server := httptest.NewServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(server.Close)
	return newRunAt(t, server.URL+"/guests/")
}

func newRunAt(t *testing.T, at string) *run {
	sources, err := ParseSources(at, "")
	if err != nil {
		t.Fatal(err)
	}
	r := &run{memory: 16 * large}
	r.store = Store{
		Source: sources[0], Dir: t.TempDir(), Client: NewClient(),
		Memory: memory.New(memory.Source{
			Available: r.available, XenFree: func(context.Context) (int64, error) { return 0, nil },
		}, func(e []memory.Entry) { r.entries = e }),
		Report: func(e Event) { r.events = append(r.events, e) },
		Start: func(_ context.Context, dir string) bool {
			r.started = append(r.started, filepath.Base(dir))
			return true
		},
		Refuse: func(e *guests.Error) { r.refused = append(r.refused, e.Guest+": "+e.Error()) },
		Timing: Timing{
			Stall: 5 * time.Second, FirstPause: time.Millisecond, MaxPause: 4 * time.Millisecond,
			Grace: 20 * time.Millisecond, Progress: time.Hour,
		},
	}
	return r
}

// available is the memory that files leave, KiB, as in a tmpfs.
func (r *run) available() (int64, error) {
	left := r.memory
	err := filepath.WalkDir(r.store.Dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			left -= info.Size()
		}
		return err
	})
	return left>>10 + memory.KeepKiB, err
}

// do runs the store to its end and checks what has to be so whatever happens.
func (r *run) do(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.store.Run(ctx); err != nil {
		t.Fatalf("run: %v; events %v", err, r.events)
	}
	for _, e := range r.entries {
		if e.PendingKiB != 0 || !slices.Contains(r.started, strings.TrimPrefix(e.Owner, "files of ")) {
			t.Errorf("memory that nobody needs is still reserved: %+v", e)
		}
	}
	last := r.events[len(r.events)-1]
	if last.State != Finished || last.Guests != len(r.started) || last.Refused != len(r.refused) {
		t.Errorf("the last event is %+v, started %q, refused %q", last, r.started, r.refused)
	}
}

// doUntil runs a store that does not come to its end until an event is as it should be.
func (r *run) doUntil(t *testing.T, enough func(Event) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	report := r.store.Report
	r.store.Report = func(e Event) {
		report(e)
		if enough(e) {
			cancel()
		}
	}
	if err := r.store.Run(ctx); !errors.Is(err, context.Canceled) || len(r.started) > 0 {
		t.Errorf("run ended with %v, started %q, events %v", err, r.started, r.events)
	}
}

func isLoud(e Event) bool { return !e.Quiet }

// console is what the console shows.
func (r *run) console() []string {
	var lines []string
	for _, e := range r.events {
		if !e.Quiet {
			lines = append(lines, line(e))
		}
	}
	return lines
}

// line is an event in short.
func line(e Event) string {
	switch e.State {
	case Waiting:
		return fmt.Sprint(e.State, " ", e.Err, " ", e.Remedy)
	case Fetching:
		return fmt.Sprintf("%s %s, %d of %d", e.State, e.Guest, e.Done, e.Total)
	}
	return string(e.State)
}

// want checks which guests were started and refused; a refusal is matched by a part of its text.
func (r *run) want(t *testing.T, started []string, refused ...string) {
	t.Helper()
	if !slices.Equal(r.started, started) {
		t.Errorf("started %q, want %q", r.started, started)
	}
	ok := slices.EqualFunc(r.refused, refused, strings.Contains)
	if !ok {
		t.Errorf("refused %q, want %q", r.refused, refused)
	}
}

// wantFiles checks that the store's directory has the files of want and no others.
func (r *run) wantFiles(t *testing.T, want tree) {
	t.Helper()
	got := tree{}
	err := filepath.WalkDir(r.store.Dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		relative, _ := filepath.Rel(r.store.Dir, name)
		got[relative] = string(content)
		return err
	})
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("the store has %q, %v, want %q", slices.Sorted(maps.Keys(got)), err, slices.Sorted(maps.Keys(want)))
	}
}

// below returns the part of the tree in the given directories.
func (t tree) below(directories ...string) tree {
	part := maps.Clone(t)
	maps.DeleteFunc(part, func(name, _ string) bool {
		directory, _, _ := strings.Cut(name, "/")
		return !slices.Contains(directories, directory)
	})
	return part
}

func demo() tree {
	return tree{
		"tty8/tty8.cfg": "memory = 64", "tty8/disk.img": strings.Repeat("eight", large/5),
		"tty9/tty9.cfg": "memory = 96", "tty9/a/b c%41#?.img": strings.Repeat("nine", 1000),
		"README": "no guest's", ".git/config": "hidden",
	}
}

func TestStore(t *testing.T) {
	content := demo()
	r := newRun(t, content)
	r.do(t)
	r.want(t, []string{"tty8", "tty9"})
	r.wantFiles(t, content.below("tty8", "tty9"))
	if got := r.console(); len(got) != 2 {
		t.Errorf("told %q, want found and finished", got)
	}
}

// A guest that was started before stays as it is, whatever the server has now, and what comes after it is fetched.
func TestStartedBefore(t *testing.T) {
	content := demo()
	r := newRun(t, content)
	inUse := filepath.Join(r.store.Dir, "tty8")
	if err := errors.Join(os.Mkdir(inUse, 0o755), os.WriteFile(filepath.Join(inUse, "disk.img"), []byte("mine"), 0o644),
		os.MkdirAll(filepath.Join(r.store.Dir, "tty9"), 0o755),
		os.WriteFile(filepath.Join(r.store.Dir, "tty9/tty9.cfg"), []byte("half of what was fetched"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	r.store.Started = func(dir string) bool { return dir == inUse }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.store.Run(ctx); err != nil || !slices.Equal(r.started, []string{"tty9"}) {
		t.Errorf("%v, started %q", err, r.started)
	}
	want := content.below("tty9")
	want["tty8/disk.img"] = "mine"
	r.wantFiles(t, want)
	if last := r.events[len(r.events)-1]; last.State != Finished || last.Guests != 2 {
		t.Errorf("%+v", last)
	}
}

// TestEveryOutcomeIsCounted has a guest that starts, one that xl refuses once it is there, and one that
// cannot be fetched. Only the first keeps its files.
func TestEveryOutcomeIsCounted(t *testing.T) {
	content := demo()
	maps.Copy(content, tree{"gone/a": "there", "gone/b": "in the list only"})
	r := newRun(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/guests/gone/b" {
			http.NotFound(w, r)
			return
		}
		content.ServeHTTP(w, r)
	}))
	start := r.store.Start
	r.store.Start = func(ctx context.Context, dir string) bool {
		if filepath.Base(dir) != "tty8" {
			return start(ctx, dir)
		}
		got, err := os.ReadFile(filepath.Join(dir, "disk.img"))
		if err != nil || string(got) != content["tty8/disk.img"] {
			t.Errorf("started without its disk: %v", err)
		}
		r.refused = append(r.refused, "tty8: xl refuses it")
		return false
	}
	r.do(t)
	r.want(t, []string{"tty9"}, "gone/b: the server says 404", "xl refuses it")
	r.wantFiles(t, content.below("tty9"))
	if last := r.events[len(r.events)-1]; last.Guests != 1 || last.Refused != 2 {
		t.Errorf("the last event is %+v, want 1 guest started, 2 refused", last)
	}
}

// cutter breaks the first answers for path after some bytes.
type cutter struct {
	http.Handler
	path   string
	times  int
	ranges []string // that were asked for
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != c.path {
		c.Handler.ServeHTTP(w, r)
		return
	}
	c.ranges = append(c.ranges, r.Header.Get("Range"))
	if len(c.ranges) > c.times {
		c.Handler.ServeHTTP(w, r)
		return
	}
	c.Handler.ServeHTTP(&cutWriter{ResponseWriter: w, left: 100 << 10}, r)
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		w.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return w.ResponseWriter.Write(p)
}

func TestBrokenConnectionIsResumed(t *testing.T) {
	content := demo()
	c := &cutter{Handler: content, path: "/guests/tty8/disk.img", times: 3}
	r := newRun(t, c)
	r.do(t)
	r.want(t, []string{"tty8", "tty9"})
	r.wantFiles(t, content.below("tty8", "tty9"))
	if len(c.ranges) != 4 || c.ranges[0] != "" || c.ranges[1] == "" || c.ranges[2] == c.ranges[1] {
		t.Errorf("asked for the ranges %q", c.ranges)
	}
}

func TestServerWithoutRanges(t *testing.T) {
	content := demo()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		content.ServeHTTP(w, r)
	})
	r := newRun(t, &cutter{path: "/guests/tty8/disk.img", times: 2, Handler: handler})
	r.do(t)
	r.wantFiles(t, content.below("tty8", "tty9"))
}

func TestFileReplacedWhileItIsRead(t *testing.T) {
	content := demo()
	replaced := maps.Clone(content)
	replaced["tty8/disk.img"] = strings.Repeat("new", large/3)
	c := &cutter{Handler: content, path: "/guests/tty8/disk.img", times: 1}
	lists := 0
	r := newRun(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, sha256sums.Name):
			lists++
			replaced.ServeHTTP(w, r)
		case len(c.ranges) == 0:
			c.ServeHTTP(w, r)
		default:
			replaced.ServeHTTP(w, r) // its ETag is another
		}
	}))
	r.do(t)
	r.want(t, []string{"tty8", "tty9"})
	r.wantFiles(t, replaced.below("tty8", "tty9"))
}

func TestSilentServer(t *testing.T) {
	content := demo()
	silent := 0
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/guests/tty8/disk.img" && silent == 0 {
			silent++
			w.Header().Set("Content-Length", fmt.Sprint(len(content["tty8/disk.img"])))
			_, _ = io.WriteString(w, content["tty8/disk.img"][:5000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		content.ServeHTTP(w, r)
	})
	r := newRun(t, handler)
	r.store.Timing.Stall = 500 * time.Millisecond
	r.do(t)
	r.wantFiles(t, content.below("tty8", "tty9"))
	lines := r.console()
	if len(lines) != 4 || !strings.Contains(lines[1], errSilent.Error()) ||
		!strings.HasPrefix(lines[2], "fetching tty8") {
		t.Errorf("told %q, want found, waiting, fetching, finished", lines)
	}
}

// TestSlowServer sends for longer than a server may be silent, but never is.
func TestSlowServer(t *testing.T) {
	content := tree{"a/a.cfg": strings.Repeat("x", 40)}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/guests/a/a.cfg" {
			content.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Length", "40")
		for range 40 {
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			time.Sleep(25 * time.Millisecond)
		}
	})
	r := newRun(t, handler)
	r.store.Timing.Stall, r.store.Timing.Progress = 500*time.Millisecond, 200*time.Millisecond
	start := time.Now()
	r.do(t)
	r.wantFiles(t, content)
	lines, most := r.console(), int(time.Since(start)/r.store.Timing.Progress)+2
	if len(lines) < 4 || len(lines) > most || !strings.Contains(lines[1], "fetching a,") {
		t.Errorf("told %q, want progress at least twice and %d lines at most", lines, most)
	}
}

func TestWrongSum(t *testing.T) {
	content := demo()
	damaged := maps.Clone(content)
	damaged["tty8/disk.img"] = "damaged"
	asked := map[string]int{}
	r := newRun(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			asked[r.URL.Path]++
		}
		if strings.HasSuffix(r.URL.Path, sha256sums.Name) {
			content.ServeHTTP(w, r)
			return
		}
		damaged.ServeHTTP(w, r)
	}))
	r.do(t)
	sum := sha256.Sum256([]byte("damaged"))
	r.want(t, []string{"tty9"}, fmt.Sprintf("/guests/tty8/disk.img: its SHA-256 is %x", sum))
	r.wantFiles(t, content.below("tty9"))
	if asked["/guests/tty8/disk.img"] != 2 {
		t.Errorf("asked %d times for the damaged file, want 2", asked["/guests/tty8/disk.img"])
	}
}

func TestWrongSumOnce(t *testing.T) {
	content := demo()
	damaged := false
	r := newRun(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/guests/tty8/disk.img" && !damaged {
			damaged = true
			_, _ = io.WriteString(w, "an old one, from a proxy")
			return
		}
		content.ServeHTTP(w, r)
	}))
	r.do(t)
	r.want(t, []string{"tty8", "tty9"})
	r.wantFiles(t, content.below("tty8", "tty9"))
}

func TestMissingFile(t *testing.T) {
	content := demo()
	r := newRun(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/guests/tty8/disk.img" {
			http.NotFound(w, r)
			return
		}
		content.ServeHTTP(w, r)
	}))
	r.do(t)
	r.want(t, []string{"tty9"}, "tty8/disk.img: the server says 404 Not Found; put it there")
}

func TestGuestLargerThanMemory(t *testing.T) {
	content := demo()
	r := newRun(t, content)
	r.memory = large / 2
	r.do(t)
	r.want(t, []string{"tty9"},
		"/guests/tty8/: it takes 2 MiB of dom0's memory, where 0 MiB are free for it; end other guests")
	r.wantFiles(t, content.below("tty9"))
}

// TestServerWithoutHEAD has servers that answer GET only, as presigned URLs do.
func TestServerWithoutHEAD(t *testing.T) {
	for _, code := range []int{400, 401, 403, 404, 405, 429, 500, 501, 503, 204, 0} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			content, heads := demo(), 0
			r := newRun(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method != http.MethodHead:
					content.ServeHTTP(w, r)
				case code == 0:
					panic(http.ErrAbortHandler)
				default:
					w.WriteHeader(code)
				}
				if r.Method == http.MethodHead {
					heads++
				}
			}))
			r.do(t)
			r.want(t, []string{"tty8", "tty9"})
			r.wantFiles(t, content.below("tty8", "tty9"))
			at := slices.IndexFunc(r.events, func(e Event) bool { return e.Guest == "tty8" })
			if r.events[at].Total <= large/2 {
				t.Errorf("the size of tty8 is not known: %+v", r.events[at])
			}
			if lines := r.console(); heads > 1 || len(lines) != 2 {
				t.Errorf("asked %d times by HEAD, told %q", heads, lines)
			}
		})
	}
}

// TestGuestLargerThanMemoryWithoutHEAD must not fetch the guest to learn that.
func TestGuestLargerThanMemoryWithoutHEAD(t *testing.T) {
	content := demo()
	r := newRun(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		content.ServeHTTP(w, r)
	}))
	r.memory = large / 2
	r.do(t)
	r.want(t, []string{"tty9"}, "/guests/tty8/: it takes 2 MiB of dom0's memory")
}

// TestServerThatHidesSizes has neither HEAD nor ranges nor Content-Length, and one file that never ends.
func TestServerThatHidesSizes(t *testing.T) {
	content := demo()
	r := newRun(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case r.URL.Path == "/guests/tty8/disk.img":
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 32<<10))
			}
		default:
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, content.at(r.URL))
		}
	}))
	r.do(t)
	r.want(t, []string{"tty9"}, "/guests/tty8/disk.img: it takes 1 MiB")
	r.wantFiles(t, content.below("tty9"))
}

func TestServerComesLate(t *testing.T) {
	content := demo()
	for name, test := range map[string]struct {
		early  http.HandlerFunc
		told   string
		remedy string
	}{
		"no list": {
			http.NotFound, "there is no SHA256SUMS: the server says 404 Not Found", "sha256sum {} + > SHA256SUMS",
		},
		"refuses":     {status(http.StatusForbidden), "403 Forbidden", remedyServer},
		"unavailable": {status(http.StatusServiceUnavailable), "503 Service Unavailable", remedyServer},
		"a page":      {answer("HTTP/1.1 200 OK\r\n\r\n<html>"), "line 1: not", remedyList},
		"hangs up":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", remedyNetwork},
		"hostile": {func(w http.ResponseWriter, _ *http.Request) {
			_ = sha256sums.Format(w, []sha256sums.Sum{{Path: "../../etc/passwd"}})
		}, `the path "../../etc/passwd" is absolute`, remedyList},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, maxList+1))
		}, "larger than 1024 KiB", remedyList},
	} {
		t.Run(name, func(t *testing.T) {
			const failures = 30 // for longer than the time of grace
			asked := 0
			r := newRun(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked <= failures {
					test.early(w, r)
					return
				}
				content.ServeHTTP(w, r)
			}))
			r.do(t)
			r.want(t, []string{"tty8", "tty9"})
			lines := r.console()
			if len(lines) != 3 || !strings.Contains(lines[0], test.told) || !strings.Contains(lines[0], test.remedy) {
				t.Errorf("told %q, want %q with %q once, found and finished", lines, test.told, test.remedy)
			}
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestNobodyIsToldWhileTheNetworkComesUp(t *testing.T) {
	r := newRunAt(t, "http://127.0.0.1:1/guests/")
	r.store.Timing.Grace = time.Hour
	r.doUntil(t, func(Event) bool { return len(r.events) == 5 })
	if lines := r.console(); len(lines) > 0 {
		t.Errorf("told %q", lines)
	}
}

func TestPin(t *testing.T) {
	content := demo()
	r := newRun(t, content)
	pin := sha256.Sum256([]byte(content.list()))
	r.store.Source.Pin = &pin
	r.do(t)
	r.want(t, []string{"tty8", "tty9"})

	r = newRun(t, content)
	r.store.Source.Pin = new([sha256.Size]byte)
	r.doUntil(t, isLoud) // another list than the one that was named
	if lines := r.console(); len(lines) != 1 || !strings.Contains(lines[0], fmt.Sprintf("its SHA-256 is %x", pin)) {
		t.Errorf("told %q", lines)
	}
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewUnstartedServer(demo())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	known := x509.NewCertPool()
	known.AddCert(server.Certificate())
	r := newRunAt(t, server.URL+"/guests/")
	r.store.Client = newClient(func() *x509.CertPool { return known })
	r.do(t)
	r.want(t, []string{"tty8", "tty9"})

	r = newRunAt(t, server.URL+"/guests/")
	r.doUntil(t, isLoud)
	if lines := r.console(); len(lines) != 1 || !strings.Contains(lines[0], remedyTrust) {
		t.Errorf("told of a certificate that nobody vouches for: %q", lines)
	}
}

func TestWrongClockIsExplained(t *testing.T) {
	invalid := x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}
	verification := &tls.CertificateVerificationError{Err: invalid}
	why := noAnswer(&url.Error{Op: "Get", URL: "https://example.org", Err: verification})
	if why.remedy != remedyClock || !strings.Contains(why.Error(), "dom0's clock says 2") {
		t.Errorf("got %v; %s", why, why.remedy)
	}
}

func TestPublicRoots(t *testing.T) {
	if PublicRoots().Equal(x509.NewCertPool()) {
		t.Error("no authority is known")
	}
}

func TestRedirects(t *testing.T) {
	content := demo()
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/old/"); ok {
			http.Redirect(w, r, "/guests/"+rest, http.StatusMovedPermanently)
			return
		}
		content.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	r := newRunAt(t, server.URL+"/old")
	r.do(t)
	r.want(t, []string{"tty8", "tty9"})

	request := func(u string) *http.Request { return httptest.NewRequest(http.MethodGet, u, nil) }
	if checkRedirect(request("http://a/"), []*http.Request{request("https://a/")}) == nil {
		t.Error("followed out of https")
	}
	if checkRedirect(request("http://a/"), slices.Repeat([]*http.Request{request("http://a/")}, 10)) == nil {
		t.Error("followed in circles")
	}
}
