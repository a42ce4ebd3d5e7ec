package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/logs"
)

// metadata reads the metadata of an answer.
func metadata[T any](t testing.TB, text string) (value T) {
	t.Helper()
	e := Envelope{Metadata: &value}
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Metadata == nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}

// TestLooks asks for all that there is to see. ask holds each answer to the description.
func TestLooks(t *testing.T) {
	w := newWorld(t, Read)
	w.logs.Add("init", logs.Info, `msg="guest running" guest=web`)
	w.logs.Add("kernel", logs.Warning, "something")
	for path, want := range map[string]string{
		"/1.0":                     `"server":"zerodisc"`,
		"/1.0/openapi.yaml":        "openapi: 3",
		"/1.0/host":                `"address":"10.0.0.9/24"`,
		"/1.0/host/state":          `"owner":"web"`,
		"/1.0/metrics":             `zerodisc_guest_network_receive_bytes_total{guest="web",vif="vif0"} 2`,
		"/1.0/logs":                `"guest running"`,
		"/1.0/logs?limit=1":        `"source":"kernel","level":"warn","message":"something"}]`,
		"/1.0/logs?source=init":    `"level":"info","message":"guest running","context":{"guest":"web"}}]`,
		"/1.0/logs?level=err":      `"metadata":[]`,
		"/1.0/logs?level=x":        `is no level`,
		"/1.0/guests":              `"/1.0/guests/web"`,
		"/1.0/guests?recursion=1":  `"status":"refused"`,
		"/1.0/guests?recursion=2":  `"vif0":{"bytes_in":2,"bytes_out":1}`,
		"/1.0/guests/web":          `"address":"10.0.0.2"`,
		"/1.0/guests/old":          `"problem":"no memory"`,
		"/1.0/guests/web/state":    `"sent":{"packets":9,"bytes":900},"dropped":{"dhcp":{"packets":3,"bytes":300}}`,
		"/1.0/guests/web/logs":     `"source":"init","level":"info","message":"guest running"`,
		"/1.0/guests/old/logs":     `"metadata":[]`,
		"/1.0/guests/web/disks":    `"copy_on_write":true},{"vdev":"xvdc","target":"/c.img"`,
		"/1.0/guests/web/nics":     `"00:16:3e:00:00:01"`,
		"/1.0/operations":          `"metadata":[]`,
		"/1.0/guests?recursion=-1": `recursion=-1: want a number from 0`,
	} {
		if _, text := w.ask("GET", path, ""); !strings.Contains(text, want) {
			t.Errorf("%s: %s, want %s", path, text, want)
		}
	}
	answer, text := w.ask("PUT", "/1.0/guests/web/state", `{"action":"stop"}`)
	if answer.StatusCode != http.StatusForbidden || !strings.Contains(text, "reading only") {
		t.Errorf("a reader orders: %s", text)
	}
}

// order sends an order and returns the operation's end.
func (w *world) order(method, path, body string) Operation {
	w.t.Helper()
	answer, text := w.ask(method, path, body)
	if answer.StatusCode != http.StatusAccepted {
		w.t.Fatalf("%s %s: %s", method, path, text)
	}
	op := metadata[Operation](w.t, text)
	if answer.Header.Get("Location") != operationPath(op.ID) {
		w.t.Errorf("Location is %q", answer.Header.Get("Location"))
	}
	_, text = w.ask("GET", operationPath(op.ID)+"/wait", "")
	return metadata[Operation](w.t, text)
}

func TestOrders(t *testing.T) {
	w := newWorld(t, Control)
	for _, test := range []struct{ method, path, body, want string }{
		{"PUT", "web/state", `{"action":"start"}`, "start web"},
		{"PUT", "web/state", `{"action":"stop"}`, "stop web 1m0s false"},
		{"PUT", "web/state", `{"action":"stop","timeout":5,"force":true}`, "stop web 5s true"},
		{"PUT", "web/state", `{"action":"restart","timeout":1}`, "restart web 1s false"},
		{"PUT", "web/state", `{"action":"pause"}`, "pause web"},
		{"PUT", "web/state", `{"action":"resume"}`, "resume web"},
		{"PUT", "web/state", `{"action":"destroy"}`, "destroy web"},
		{"POST", "web", `{"name":"web2"}`, "rename web web2"},
		{"PATCH", "web", `{"memory":134217728}`, "memory web 131072"},
		{"PATCH", "web", `{"vcpus":2}`, "vcpus web 2"},
		{"POST", "web/disks", `{"spec":"phy:/dev/sdb,xvdb,w"}`, "attach disk web phy:/dev/sdb,xvdb,w"},
		{"DELETE", "web/disks/xvdb", "", "detach disk web xvdb"},
		{"POST", "web/nics", `{"spec":"bridge=xenbr0"}`, "attach nic web bridge=xenbr0"},
		{"DELETE", "web/nics/00:16:3e:00:00:02", "", "detach nic web 00:16:3e:00:00:02"},
	} {
		op := w.order(test.method, "/1.0/guests/"+test.path, test.body)
		if got := <-w.orders.got; got != test.want || op.StatusCode != OperationSuccess {
			t.Errorf("%s: %s, %s, want %s", test.path, got, op.Status, test.want)
		}
		if test.path == "web/disks" && op.Metadata.Vdev != "xvdb" {
			t.Errorf("the disk is %+v", op.Metadata)
		}
	}
}

func TestFailures(t *testing.T) {
	w := newWorld(t, Control)
	for err, code := range map[error]int{
		errPhase:                                http.StatusConflict,
		fmt.Errorf("guest web: %w", errNoGuest): http.StatusNotFound,
		errors.New("xl said \x1b[2J"):           http.StatusInternalServerError,
	} {
		w.orders.fail = err
		op := w.order("PUT", "/1.0/guests/web/state", `{"action":"pause"}`)
		if op.StatusCode != OperationFailure || op.ErrorCode != code || strings.Contains(op.Error, "\x1b") {
			t.Errorf("%v: %+v", err, op)
		}
	}
}

// TestBadRequests has each refused with what is wrong. The server goes on.
func TestBadRequests(t *testing.T) {
	w := newWorld(t, Control)
	for _, test := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/", "", 404, `there is no path`},
		{"GET", "/2.0/guests", "", 404, `there is no path`},
		{"DELETE", "/1.0/guests", "", 405, `DELETE is not possible here, GET is`},
		{"GET", "/1.0/guests/nobody", "", 404, `there is no guest \"nobody\"`},
		{"GET", "/1.0/guests/a%2Fb%1b", "", 404, `there is no guest \"a/b\\x1b\"`},
		{"PUT", "/1.0/guests/nobody/state", `{"action":"stop"}`, 404, `there is no guest`},
		{"PUT", "/1.0/guests/web/state", "", 400, "the body is empty"},
		{"PUT", "/1.0/guests/web/state", "{", 400, "body: "},
		{"PUT", "/1.0/guests/web/state", `{"action":"stop"}{}`, 400, "something after"},
		{"PUT", "/1.0/guests/web/state", `{"action":"stop","tiemout":5}`, 400, `unknown field \"tiemout\"`},
		{"PUT", "/1.0/guests/web/state", `{"action":"stop","timeout":"5"}`, 400, `\"timeout\": want int, not string`},
		{"PUT", "/1.0/guests/web/state", `{"action":"stop","timeout":-5}`, 400, `field \"timeout\"`},
		{"PUT", "/1.0/guests/web/state", `{"action":"jump"}`, 400, `there are destroy, pause`},
		{"PUT", "/1.0/guests/web/state", `{"action":"` + strings.Repeat("x", maxBody) + `"}`, 413, "larger than"},
		{"PATCH", "/1.0/guests/web", `{}`, 400, "nothing is to be changed"},
		{"PATCH", "/1.0/guests/web", `{"memory":512}`, 400, `field \"memory\"`},
		{"PATCH", "/1.0/guests/web", `{"vcpus":0}`, 400, `field \"vcpus\"`},
		{"POST", "/1.0/guests/web", `{"name":""}`, 400, `field \"name\"`},
		{"POST", "/1.0/guests/web/disks", `{}`, 400, `field \"spec\"`},
		{"POST", "/1.0/guests/web/save", `{"disk":"xvda"}`, 400, "give disk and file"},
		{"POST", "/1.0/guests/web/save", `{"disk":"xvda","file":"x"}`, 400, `field \"file\"`},
		{"POST", "/1.0/guests/web/save", `{"disk":"xvdz","file":"/x"}`, 404, `has no disk \"xvdz\"`},
		{"POST", "/1.0/guests/web/console", `{"type":"vga"}`, 400, `field \"type\"`},
		{"POST", "/1.0/guests/old/console", `{}`, 409, "has no console"},
		{"GET", "/1.0/guests/web/console?limit=x", "", 400, "limit=x"},
		{"GET", "/1.0/events?type=weather", "", 400, "type=weather"},
		{"GET", "/1.0/operations/x", "", 404, "there is no operation"},
		{"GET", "/1.0/operations/x/wait", "", 404, "there is no operation"},
		{"DELETE", "/1.0/operations/x", "", 404, "there is no operation"},
		{"GET", "/1.0/operations/x/websocket?secret=y", "", 404, "there is no operation"},
	} {
		answer, text := w.ask(test.method, test.path, test.body)
		if answer.StatusCode != test.code || !strings.Contains(text, test.want) {
			t.Errorf("%s %s: %d %s, want %d %s", test.method, test.path, answer.StatusCode, text, test.code, test.want)
		}
	}
	if len(w.orders.got) > 0 {
		t.Errorf("it was ordered %s", <-w.orders.got)
	}
}

// TestCancel calls off an order that would never end.
func TestCancel(t *testing.T) {
	w := newWorld(t, Control)
	w.orders.hold = make(chan struct{})
	_, text := w.ask("PUT", "/1.0/guests/web/state", `{"action":"stop"}`)
	op := metadata[Operation](t, text)
	_, text = w.ask("GET", operationPath(op.ID)+"/wait?timeout=0", "")
	if now := metadata[Operation](t, text); now.Ended() || now.Resources["guests"][0] != "/1.0/guests/web" {
		t.Errorf("%+v", now)
	}
	if answer, text := w.ask("DELETE", operationPath(op.ID), ""); answer.StatusCode != http.StatusOK {
		t.Error(text)
	}
	_, text = w.ask("GET", operationPath(op.ID)+"/wait", "")
	if now := metadata[Operation](t, text); now.StatusCode != OperationCancelled {
		t.Errorf("%+v", now)
	}
	if answer, _ := w.ask("DELETE", operationPath(op.ID), ""); answer.StatusCode != http.StatusConflict {
		t.Error("it was called off twice")
	}
}

func TestSave(t *testing.T) {
	w := newWorld(t, Control)
	goOn := make(chan struct{})
	w.save = func(ctx context.Context, tell func(Progress)) error {
		tell(Progress{Step: "copying xvda", Done: 1, Total: 2})
		<-goOn
		return nil
	}
	_, text := w.ask("POST", "/1.0/guests/web/save", `{"replace":true}`)
	op := metadata[Operation](t, text)
	for op.Metadata.Progress == nil && t.Context().Err() == nil {
		_, text = w.ask("GET", operationPath(op.ID), "")
		op = metadata[Operation](t, text)
	}
	if got := *op.Metadata.Progress; got != (Progress{"copying xvda", 1, 2}) {
		t.Errorf("%+v", got)
	}
	close(goOn)
	_, text = w.ask("GET", operationPath(op.ID)+"/wait", "")
	if op = metadata[Operation](t, text); len(op.Metadata.Notes) != 1 || op.Metadata.Progress != nil {
		t.Errorf("%+v", op)
	}
}

// TestOperationsAreBounded begins more than may be under way, and more than are kept.
func TestOperationsAreBounded(t *testing.T) {
	ops := newOperations(t.Context(), func(error) int { return http.StatusInternalServerError })
	hold := make(chan struct{})
	wait := func(ctx context.Context, _ func(func(*OperationMetadata))) error {
		<-hold
		return nil
	}
	var last Operation
	for range maxRunning {
		op, err := ops.start("x", nil, wait)
		if err != nil {
			t.Fatal(err)
		}
		last = op
	}
	if _, err := ops.start("x", nil, wait); !errors.Is(err, errBusy) {
		t.Errorf("one too many: %v", err)
	}
	close(hold)
	for _, op := range ops.list() {
		if _, ended, err := ops.get(op.ID); err == nil {
			<-ended
		}
	}
	quick := func(context.Context, func(func(*OperationMetadata))) error { return nil }
	for range maxEnded {
		op, err := ops.start("x", nil, quick)
		if err != nil {
			t.Fatal(err)
		}
		if _, ended, err := ops.get(op.ID); err == nil {
			<-ended
		}
	}
	if n := len(ops.list()); n > maxEnded+1 {
		t.Errorf("%d operations are kept", n)
	}
	if _, _, err := ops.get(last.ID); err == nil {
		t.Error("the oldest are not forgotten")
	}
}

// TestConnectionsAreBounded opens all connections there are. One more is told why it gets none, and when one is closed
// there is room again.
func TestConnectionsAreBounded(t *testing.T) {
	w := newWorld(t, Read)
	var open []net.Conn
	for range maxConnections {
		conn, err := net.Dial("unix", w.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
	}
	refused, err := net.Dial("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(refused)
	if err != nil || !strings.Contains(string(text), "too many connections") {
		t.Errorf("%q, %v", text, err)
	}
	if line := <-w.logged; !strings.Contains(line, "too many connections") {
		t.Error(line)
	}
	open[0].Close()
	for deadline := time.Now().Add(time.Minute); ; {
		answer, err := w.client.Get("http://host/1.0")
		if err == nil && answer.StatusCode == http.StatusOK {
			answer.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("there is no room")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestListen(t *testing.T) {
	path := t.TempDir() + "/s"
	for range 2 { // the second takes the place of the first, which has died
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	if _, err := Listen(t.TempDir() + "/no/s"); err == nil {
		t.Error("no error")
	}
}

// The API's log is the host's one log: what is wanted of it is chosen before the newest lines are counted.
func TestHostLog(t *testing.T) {
	dir := t.TempDir()
	log := HostLog{dir + "/logs", "init"}
	if lines, err := log.Recent(Query{Limit: 10}); err != nil || len(lines) != 0 {
		t.Errorf("of no log: %v, %v", lines, err)
	}
	store := logs.Open(logs.Options{Dir: log.Dir})
	store.Add("init", logs.Info, `msg="guest running" guest="a b" domid=1`)
	for range 100 {
		store.Add("kernel", logs.Warning, "guest=\"a b\" is what a guest may write")
	}
	store.Add("init", logs.Warning, `msg=x err="a \"b\""`)
	store.Add("init", logs.Critical, "no logfmt")
	about, err := log.Recent(Query{Guest: "a b", Limit: 10})
	if err != nil || len(about) != 1 || about[0].Context["domid"] != "1" || about[0].Source != "init" {
		t.Errorf("about a guest: %+v, %v", about, err)
	}
	if at, err := time.Parse(time.RFC3339Nano, about[0].Time); err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("its time: %v, %v", at, err)
	}
	lines, err := log.Recent(Query{Filter: logs.Filter{Sources: []string{"init"}}, Limit: 2})
	if err != nil || len(lines) != 2 || lines[0].Context["err"] != `a "b"` || lines[0].Level != "warn" ||
		lines[1].Message != "no logfmt" || lines[1].Level != "error" {
		t.Errorf("of init: %+v, %v", lines, err)
	}
	news := log.Follow(t.Context())
	store.Add("sshd", logs.Debug, "new=1")
	if line := <-news; line.Message != "new=1" || line.Source != "sshd" || line.Level != "debug" {
		t.Errorf("what comes: %+v", line)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add(`level=INFO msg="x y" a=b`)
	f.Add(`a="`)
	f.Fuzz(func(t *testing.T, line string) { parseLine(line) })
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"action":"stop","timeout":5}`)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := http.NewRequest("PUT", "/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var put StatePut
		if err := decode(r, &put); err != nil && failed(err).code == http.StatusInternalServerError {
			t.Errorf("%q: %v", body, err)
		}
	})
}

// TestListAfterChange asks for the list again right after the state has changed.
func TestListAfterChange(t *testing.T) {
	w := newWorld(t, Read)
	for n := range 3 {
		name := fmt.Sprint("later", n)
		if _, list := w.ask("GET", "/1.0/guests?recursion=1", ""); strings.Contains(list, name) {
			t.Fatalf("%s is there before it came", name)
		}
		w.state.Tell(host.Came{Domid: 20 + n, UUID: fmt.Sprintf("00000000-0000-0000-0000-%012d", n), Name: name})
		if _, list := w.ask("GET", "/1.0/guests?recursion=1", ""); !strings.Contains(list, name) {
			t.Errorf("%s is not there: %s", name, list)
		}
	}
}

func TestListingFits(t *testing.T) {
	made, state, other := time.Now(), new(host.Snapshot), new(host.Snapshot)
	l := &listing{of: state, at: made}
	for _, test := range []struct {
		l    *listing
		now  *host.Snapshot
		past time.Duration
		want bool
	}{
		{l, state, 0, true}, {l, state, time.Second - 1, true}, {l, state, time.Second, false},
		{l, other, 0, false}, {nil, state, 0, false},
	} {
		if got := test.l.fits(test.now, made.Add(test.past)); got != test.want {
			t.Errorf("after %v, the same state %v: %v", test.past, test.now == state, got)
		}
	}
}

// BenchmarkGuests asks for 50 guests over the socket, again and again: but for one in a second, the answer is there.
func BenchmarkGuests(b *testing.B) {
	state := host.New(b.Context(), "test")
	for i := range 50 {
		uuid := fmt.Sprintf("00000000-0000-0000-0000-%012d", i)
		state.Tell(host.Came{Domid: i + 1, UUID: uuid, Name: fmt.Sprint("guest", i)})
	}
	w := newWorldWith(b, Read, state)
	b.ResetTimer()
	for b.Loop() {
		answer, err := w.client.Get("http://host/1.0/guests?recursion=1")
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}
