package xenstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerodisc/zerodisc/internal/xenstore"
	"github.com/zerodisc/zerodisc/internal/xenstore/xenstoretest"
)

func TestReadWriteDirectory(t *testing.T) {
	ctx := t.Context()
	client := xenstoretest.New().Client(t)
	must(t, client.Write(ctx, "/local/domain/1/name", "tty1"))
	must(t, client.Mkdir(ctx, "/local/domain/2"))
	must(t, client.Write(ctx, "/local/domain/1/name", "x\x00y")) // values are any bytes

	if value, err := client.Read(ctx, "/local/domain/1/name"); err != nil || value != "x\x00y" {
		t.Errorf("read %q, %v", value, err)
	}
	if value, err := client.Read(ctx, "/local/domain/2"); err != nil || value != "" {
		t.Errorf("read of an empty node: %q, %v", value, err)
	}
	names, err := client.Directory(ctx, "/local/domain")
	if err != nil || !reflect.DeepEqual(names, []string{"1", "2"}) {
		t.Errorf("directory %q, %v", names, err)
	}
	if names, err := client.Directory(ctx, "/local/domain/2"); err != nil || names != nil {
		t.Errorf("empty directory %q, %v", names, err)
	}
	must(t, client.Rm(ctx, "/local/domain/1"))
	if _, err := client.Read(ctx, "/local/domain/1/name"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read of a removed node: %v", err)
	}
	if path, err := client.DomainPath(ctx, 7); err != nil || path != "/local/domain/7" {
		t.Errorf("domain path %q, %v", path, err)
	}
}

func TestErrorsNameOperationAndPath(t *testing.T) {
	ctx := t.Context()
	server := xenstoretest.New()
	server.Refuse("/secret", "EACCES")
	server.Refuse("/odd", "EWHATEVER")
	client := server.Client(t)
	tests := []struct {
		name string
		err  error
		want string
		is   error
	}{
		{"refused", second(client.Read(ctx, "/secret")), "xenstore read /secret: permission denied", fs.ErrPermission},
		{"unknown name", client.Mkdir(ctx, "/odd"), `xenstore mkdir /odd: xenstored refused: "EWHATEVER"`, nil},
		{"parent missing", client.Rm(ctx, "/none/x"), "xenstore rm /none/x: no such file", syscall.ENOENT},
		{"empty path", client.Rm(ctx, ""), "empty path", nil},
		{"NUL in path", client.Rm(ctx, "/a\x00b"), "NUL", nil},
		{"long path", client.Rm(ctx, "/"+strings.Repeat("a", xenstore.PathMax)),
			"3073 bytes, limit 3072", xenstore.ErrTooLong},
		{"long value", client.Write(ctx, "/a", strings.Repeat("v", xenstore.PayloadMax-2)),
			"4097 bytes, limit 4096", xenstore.ErrTooLong},
	}
	for _, test := range tests {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, test.err, test.want)
		}
		if test.is != nil && !errors.Is(test.err, test.is) {
			t.Errorf("%s: %v does not match %v", test.name, test.err, test.is)
		}
	}
	// The connection lives, the limit is exact.
	must(t, client.Write(ctx, "/a", strings.Repeat("v", xenstore.PayloadMax-3)))
}

func TestConcurrentRequests(t *testing.T) {
	ctx := t.Context()
	socket := filepath.Join(t.TempDir(), "socket")
	xenstoretest.New().Listen(t, socket)
	client, err := xenstore.Dial(ctx, socket)
	must(t, err)
	defer client.Close()
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			path := fmt.Sprintf("/test/%d", i)
			if err := client.Write(ctx, path, path); err != nil {
				t.Error(err)
			}
			if value, err := client.Read(ctx, path); err != nil || value != path {
				t.Errorf("read %s: %q, %v", path, value, err)
			}
		})
	}
	group.Wait()
}

func TestWatch(t *testing.T) {
	ctx := t.Context()
	server := xenstoretest.New()
	client := server.Client(t)
	watcher, err := client.Watch(ctx, "/local/domain", xenstore.ReleaseDomain)
	must(t, err)
	got := map[string]bool{next(t, watcher).Path: true, next(t, watcher).Path: true}
	if !got["/local/domain"] || !got["@releaseDomain"] {
		t.Fatalf("first events %v", got)
	}
	must(t, watcher.Add(ctx, "/local/domain")) // already watched: no second watch
	server.Set("/elsewhere", "x")
	server.Set("/local/domain/3/name", "x")
	want := xenstore.Event{Watch: "/local/domain", Path: "/local/domain/3/name"}
	if event := next(t, watcher); event != want {
		t.Errorf("event %+v, want %+v", event, want)
	}
	must(t, watcher.Remove(ctx, "/local/domain"))
	server.Set("/local/domain/3/name", "y")
	server.Fire("@releaseDomain")
	if event := next(t, watcher); event.Path != "@releaseDomain" {
		t.Errorf("event %+v after its watch was removed", event)
	}
	watcher.Close(ctx)
	watcher.Close(ctx)
	if _, ok := <-watcher.Events(); ok || server.Watches() != 0 {
		t.Errorf("after Close: open %v, %d watches set", ok, server.Watches())
	}
	if err := watcher.Add(ctx, "/x"); !errors.Is(err, xenstore.ErrClosed) {
		t.Errorf("Add after Close: %v", err)
	}
}

// A consumer that makes a request while more events arrive must not be held up by them.
func TestSlowConsumerOfEvents(t *testing.T) {
	ctx := t.Context()
	server := xenstoretest.New()
	client := server.Client(t)
	_, err := client.Watch(ctx, "/")
	must(t, err)
	for i := range 500 {
		server.Set(fmt.Sprintf("/n%d", i), "x")
	}
	if _, err := client.Read(ctx, "/n499"); err != nil {
		t.Error(err)
	}
}

// A guest can change ever other paths below a watched one of its own, faster than anybody looks. What waits is
// bounded, and the last event still comes.
func TestFloodOfEvents(t *testing.T) {
	ctx := t.Context()
	server := xenstoretest.New()
	client := server.Client(t)
	watcher, err := client.Watch(ctx, "/g", "/other")
	must(t, err)
	next(t, watcher) // one for each watch that is set
	next(t, watcher)
	for i := range 5000 {
		server.Set(fmt.Sprintf("/g/n%d", i), "x")
	}
	server.Set("/other", "x")
	_, err = client.Read(ctx, "/g/n4999") // what was sent before has arrived
	must(t, err)
	events := 0
	for next(t, watcher).Watch != "/other" {
		events++
	}
	if events > 500 {
		t.Errorf("%d events were kept", events)
	}
}

func TestTransactRetriesOnConflict(t *testing.T) {
	ctx := t.Context()
	server := xenstoretest.New()
	client := server.Client(t)
	server.Conflict(2)
	runs := 0
	must(t, client.Transact(ctx, func(tx *xenstore.Tx) error {
		runs++
		if err := tx.Write(ctx, "/a", "1"); err != nil {
			return err
		}
		if _, ok := server.Get("/a"); ok {
			t.Error("an uncommitted write is visible")
		}
		value, err := tx.Read(ctx, "/a")
		if value != "1" {
			t.Errorf("the transaction does not see its own write: %q", value)
		}
		return err
	}))
	if value, _ := server.Get("/a"); runs != 3 || value != "1" {
		t.Errorf("%d runs, value %q", runs, value)
	}
}

func TestTransactAborts(t *testing.T) {
	ctx := t.Context()
	server := xenstoretest.New()
	client := server.Client(t)
	reason := errors.New("changed my mind")
	err := client.Transact(ctx, func(tx *xenstore.Tx) error {
		must(t, tx.Write(ctx, "/a", "1"))
		return reason
	})
	if _, ok := server.Get("/a"); err != reason || ok {
		t.Errorf("error %v, written %v", err, ok)
	}
}

func TestTransactEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	server := xenstoretest.New()
	server.Conflict(1 << 30)
	err := server.Client(t).Transact(ctx, func(*xenstore.Tx) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestContextEndsWaiting(t *testing.T) {
	client, server := silentPeer(t)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.Read(ctx, "/a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestLostConnectionFailsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx := t.Context()
	server := xenstoretest.New()
	client := server.Client(t)
	watcher, err := client.Watch(ctx, "/a")
	must(t, err)
	idle := client.NewWatcher()
	server.Disconnect()

	<-client.Done()
	for range watcher.Events() {
	}
	for range idle.Events() {
	}
	if _, err := client.Read(ctx, "/a"); !errors.Is(err, xenstore.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if err := watcher.Add(ctx, "/b"); !errors.Is(err, xenstore.ErrClosed) {
		t.Errorf("watch: %v", err)
	}
	watcher.Close(ctx)
	if !errors.Is(client.Err(), xenstore.ErrClosed) {
		t.Errorf("Err: %v", client.Err())
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestCloseEndsRequestUnderWay(t *testing.T) {
	client, server := silentPeer(t)
	defer server.Close()
	time.AfterFunc(20*time.Millisecond, func() { client.Close() })
	if _, err := client.Read(t.Context(), "/a"); !errors.Is(err, xenstore.ErrClosed) {
		t.Error(err)
	}
}

func TestDialWithoutDaemon(t *testing.T) {
	_, err := xenstore.Dial(t.Context(), filepath.Join(t.TempDir(), "socket"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// A peer that sends anything at all must neither crash the client nor hang its requests.
func FuzzPeer(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'x'})
	f.Add([]byte{15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, '/', 0, '1', 0})
	f.Add([]byte{16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		client := xenstore.NewClient(&script{Reader: *bytes.NewReader(data)})
		_, _ = client.Watch(t.Context(), "/")
		_, _ = client.Directory(t.Context(), "/")
		<-client.Done()
	})
}

// script is a peer that says what it was given and then hangs up.
type script struct{ bytes.Reader }

func (*script) Write(p []byte) (int, error) { return len(p), nil }
func (*script) Close() error                { return nil }

// A xenstored that hangs does not hold up whoever has finished with a watch: a power-off goes on.
func TestCloseOfAWatcherWhenXenstoredHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		go func() { // it takes one watch, and hears nothing more
			frame := make([]byte, 16+len("/a\x001\x00"))
			_, _ = io.ReadFull(there, frame)
			copy(frame[12:], []byte{3, 0, 0, 0, 'O', 'K', 0})
			_, _ = there.Write(frame[:19])
			_, _ = io.Copy(io.Discard, there)
		}()
		client := xenstore.NewClient(here)
		watcher, err := client.Watch(t.Context(), "/a")
		must(t, err)
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			watcher.Close(context.WithoutCancel(t.Context()))
		}()
		time.Sleep(time.Minute)
		select {
		case <-closed:
		default:
			t.Error("the watcher is not closed after a minute")
		}
		client.Close()
		<-closed
	})
}

// silentPeer is a client whose peer reads and never answers.
func silentPeer(t *testing.T) (*xenstore.Client, net.Conn) {
	here, there := net.Pipe()
	go func() {
		buffer := make([]byte, 4096)
		for {
			if _, err := there.Read(buffer); err != nil {
				return
			}
		}
	}()
	client := xenstore.NewClient(here)
	t.Cleanup(func() { client.Close() })
	return client, there
}

func next(t *testing.T, watcher *xenstore.Watcher) xenstore.Event {
	t.Helper()
	select {
	case event := <-watcher.Events():
		return event
	case <-time.After(5 * time.Second):
		t.Fatal("no event within 5 s")
		return xenstore.Event{}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }
