package guestcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/zerodisc/zerodisc/docs"
	"github.com/zerodisc/zerodisc/internal/api"
	"github.com/zerodisc/zerodisc/internal/client"
	"github.com/zerodisc/zerodisc/internal/host"
)

func TestList(t *testing.T) {
	w := newWorld(t)
	status, out, _ := w.guest("list")
	for _, want := range []string{
		"NAME  STATE    ADDRESS   CPU  MEMORY  UPTIME  NOTE\n", `db    running  10.0.0.2          96M      `,
		`old   refused  `, "not enough memory",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%d\n%s\nwant %q", status, out, want)
		}
	}
	var list []api.Guest
	status, out, _ = w.guest("list -o json")
	if err := json.Unmarshal([]byte(out), &list); status != 0 || err != nil || len(list) != 3 {
		t.Errorf("%d %s", status, out)
	}
}

// TestLinesFit has a table of wide guests fit a serial console.
func TestLinesFit(t *testing.T) {
	table := table{right: []bool{false, true}}
	table.add("NAME", "CPU", "NOTE")
	table.add("a\x1b[2J", "100%", strings.Repeat("ü", 100))
	for _, line := range table.lines(80) {
		if utf8.RuneCountInString(line) > 80 || strings.Contains(line, "\x1b") {
			t.Errorf("%q", line)
		}
	}
}

func TestShow(t *testing.T) {
	w := newWorld(t)
	if status, out, _ := w.guest("show web"); status != 0 || !strings.Contains(out, "config:    /g/web.cfg") {
		t.Errorf("%d\n%s", status, out)
	}
	_, out, _ := w.guest("show web")
	for _, want := range []string{"packets:   7 received, 0 sent\n", "dropped:   dhcp: 3 packets, 300B\n",
		"disk:      xvdc /c.img raw writable by xl\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s\nhas no %q", out, want)
		}
	}
	if _, out, _ = w.guest("list -o json"); !strings.Contains(out, `"dhcp": {`) {
		t.Errorf("no drops in %s", out)
	}
	status, _, said := w.guest("show nobody")
	if status != exitNoGuest || !strings.Contains(said, `no guest "nobody"`) {
		t.Errorf("%d %s", status, said)
	}
}

func TestPossible(t *testing.T) {
	for _, test := range []struct {
		action, status, config string
		want                   bool
	}{
		{"start", "stopped", "web.cfg", true}, {"start", "running", "web.cfg", false}, {"start", "stopped", "", false},
		{"stop", "running", "", true}, {"resume", "running", "web.cfg", false},
	} {
		if got := possible(test.action, api.Guest{Status: test.status, Config: test.config}); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestOrders(t *testing.T) {
	w := newWorld(t)
	for line, want := range map[string]string{
		"start web db":                   "start db, start web",
		"start -all":                     "start old",
		"stop web":                       "stop web 1m0s false",
		"stop web -timeout 90 --force":   "stop web 1m30s true",
		"stop -all -timeout 1m":          "stop db 1m0s false, stop web 1m0s false",
		"restart web":                    "restart web 1m0s false",
		"pause web":                      "pause web",
		"resume web":                     "resume web",
		"destroy web":                    "destroy web",
		"set web -memory 128M -vcpus 2":  "memory web 131072, vcpus web 2",
		"attach web disk phy:/dev/x,y,w": "attach disk web phy:/dev/x,y,w",
		"attach web nic bridge=b":        "attach nic web bridge=b",
		"detach web disk xvdb":           "detach disk web xvdb",
		"detach web nic 00:16:3e:1:2:3":  "detach nic web 00:16:3e:1:2:3",
		"rename web www":                 "rename web www",
	} {
		status, out, said := w.guest(line)
		var got []string
		for len(w.orders.got) > 0 {
			got = append(got, <-w.orders.got)
		}
		slices.Sort(got)
		if strings.Join(got, ", ") != want || status != 0 || said != "" || out == "" {
			t.Errorf("guest %s: %d, %q, want %q\n%s%s", line, status, got, want, out, said)
		}
	}
}

func TestExitStatus(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		line   string
		fail   error
		status int
		want   string
	}{
		{"", nil, exitOK, ""},
		{"-h", nil, exitOK, ""},
		{"stop -h", nil, exitOK, ""},
		{"jump", nil, exitUsage, `there is no command "jump"`},
		{"stop", nil, exitUsage, "usage: guest stop NAME..."},
		{"stop -all web", nil, exitUsage, "name guests, or give -all"},
		{"stop web -timeout soon", nil, exitUsage, "want seconds"},
		{"list -o xml", nil, exitUsage, "want table or json"},
		{"set web", nil, exitUsage, "give -memory or -vcpus"},
		{"set web -memory much", nil, exitUsage, "want a size"},
		{"set web -memory 100", nil, exitUsage, `field "memory"`},
		{"attach web cat x", nil, exitUsage, "no kind of device"},
		{"stop nobody", nil, exitNoGuest, `guest: nobody: there is no guest "nobody"`},
		{"stop web", errPhase, exitState, "resume it first"},
		{"stop web", errors.New("xl failed"), exitFailed, "xl failed"},
		{"disk save web xvdz x.img", nil, exitNoGuest, `has no disk "xvdz"`},
		{"disk load web", nil, exitUsage, "there is no command"},
		{"completion fish", nil, exitUsage, "usage: guest completion bash"},
		{"top -every 1ms", nil, exitUsage, "at least 1s"},
	} {
		w.orders.fail = test.fail
		status, _, said := w.guest(test.line)
		if status != test.status || !strings.Contains(said, test.want) {
			t.Errorf("guest %s: %d, %q, want %d, %q", test.line, status, said, test.status, test.want)
		}
	}
	w.orders.hang = true
	status, _, said := w.guest("pause web -timeout 0")
	if status != exitTimeout || !strings.Contains(said, "longer than 0s") {
		t.Errorf("%d %s", status, said)
	}
	w.config.Client = client.New(w.socket + "x")
	if status, _, said := w.guest("list"); status != exitUnreachable || !strings.Contains(said, w.socket+"x") {
		t.Errorf("%d %s", status, said)
	}
}

func TestSave(t *testing.T) {
	w := newWorld(t)
	var asked api.SavePost
	w.save = func(what api.SavePost) { asked = what }
	if status, out, said := w.guest("disk save -replace web"); status != 0 || out != "saved web\n" {
		t.Errorf("%d %s%s", status, out, said)
	}
	if want := (api.SavePost{Replace: true}); asked != want {
		t.Errorf("%+v", asked)
	}
	if status, out, said := w.guest("disk save web xvda x.img"); status != 0 {
		t.Errorf("%d %s%s", status, out, said)
	}
	if dir, _ := os.Getwd(); asked != (api.SavePost{Disk: "xvda", File: dir + "/x.img"}) {
		t.Errorf("%+v", asked)
	}
}

// TestLogs has what a guest said come as it is where it does not go to a terminal.
func TestLogs(t *testing.T) {
	w := newWorld(t)
	if status, out, _ := w.guest("logs web"); status != 0 || out != said {
		t.Errorf("%d %q", status, out)
	}
	if _, out, _ := w.guest("logs -n 1 web"); out != "login: " {
		t.Errorf("%q", out)
	}
}

func TestPlainEnds(t *testing.T) {
	var b strings.Builder
	w := &plainEnds{to: &b}
	for _, part := range []string{"a\r", "\nb\rc\r\r\n", "\r\n"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Error(n, err)
		}
	}
	if b.String() != "a\nb\rc\n\n" {
		t.Errorf("%q", b.String())
	}
}

func TestTail(t *testing.T) {
	for lines, want := range map[int]string{0: "", 1: "c", 2: "b\nc", 3: "a\nb\nc", 9: "a\nb\nc"} {
		if got := tail([]byte("a\nb\nc"), lines); string(got) != want {
			t.Errorf("%d: %q, want %q", lines, got, want)
		}
	}
	if got := tail([]byte("a\nb\n"), 1); string(got) != "b\n" {
		t.Errorf("%q", got)
	}
}

// TestConsole types into a guest that says it back, and leaves.
func TestConsole(t *testing.T) {
	w := newWorld(t)
	in, typist, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, screen, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.config.In, w.config.Out, w.config.Err = in, screen, screen
	left := make(chan int)
	go func() { left <- Main([]string{"console", "web"}, w.config) }()
	shown := ""
	expect := func(text string) {
		t.Helper()
		b := make([]byte, 1000)
		for !strings.Contains(shown, text) {
			n, err := out.Read(b)
			if err != nil {
				t.Fatal(err, shown)
			}
			shown += string(b[:n])
		}
	}
	expect("login: ")
	typist.WriteString("root\n")
	expect("login: root\n")
	typist.WriteString("x\x1d")
	if status := <-left; status != 0 {
		t.Errorf("status %d: %s", status, shown)
	}
}

func TestTop(t *testing.T) {
	at := time.Now()
	guest := func(in, out int64) api.Guest {
		busy := 12.3
		return api.Guest{Name: "web", Domid: 1, CPU: &busy, Memory: 96 << 20, Status: "running", State: &api.GuestState{
			Network: map[string]api.Traffic{"vif0": {In: in, Out: out}},
			Rules:   &api.RulesState{Dropped: map[string]api.PacketCount{"arp": {Packets: uint64(in)}}},
		}}
	}
	idle := guest(0, 0)
	idle.Name, idle.Domid, idle.CPU = "idle", 2, nil
	before := sample{at, []api.Guest{guest(1000, 0)}}
	now := sample{at.Add(2 * time.Second), []api.Guest{idle, guest(5000, 3<<20)}}
	got := strings.Join(usage(before, now).lines(80), "\n")
	want := "NAME  STATE    CPU  MEMORY   NET IN   NET OUT  DROPS  READ  WRITTEN\n" +
		"web   running  12%     96M  2kB/s  1.57MB/s  2k/s  0B/s     0B/s\n" +
		"idle  running          96M"
	if squeeze(got) != squeeze(want) {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
}

// squeeze leaves one of many blanks.
func squeeze(text string) string { return regexp.MustCompile(` +`).ReplaceAllString(text, " ") }

func TestRate(t *testing.T) {
	for bytes, want := range map[float64]string{
		0: "0B", 999: "999B", 999.6: "1kB", 1500: "1.5kB", 123456: "123kB", 999_700: "1MB", 5e12: "5TB",
	} {
		if got := rate(bytes); got != want || len(got) > 7 {
			t.Errorf("%v: %s, want %s", bytes, got, want)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", 3 * time.Hour: "3h0m", 50 * time.Hour: "2d2h",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestComplete(t *testing.T) {
	w := newWorld(t)
	for line, want := range map[string]string{
		"st":            "start stop",
		"stop ":         "db old web",
		"stop w":        "web",
		"stop web ":     "db old",
		"stop -f":       "-force",
		"stop -force d": "db",
		"show web ":     "",
		"disk ":         "save",
		"disk save w":   "web",
		"attach web ":   "disk nic",
		"completion ":   "bash",
		"help re":       "restart resume rename",
		"x y":           "",
	} {
		words := strings.Fields(line)
		if strings.HasSuffix(line, " ") {
			words = append(words, "")
		}
		if got := strings.Join(Complete(t.Context(), words, w.config.Client), " "); got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

// TestBash has a real bash complete the command, once the example in docs has taught it.
func TestBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	script := `
guest() { if [ "$*" = "completion bash" ]; then echo "$COMPLETION"; else echo "$@"; fi; }
` + docs.Of(t, "completion")[0].Text + `
complete -p guest > /dev/null || exit
COMP_WORDS=(guest stop "") COMP_CWORD=2
_guest
printf '<%s>' "${COMPREPLY[@]}"`
	cmd := exec.Command(bash, "-c", script)
	cmd.Env = append(os.Environ(), "COMPLETION="+bashCompletion)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "<complete stop >" {
		t.Errorf("%v %s", err, out)
	}
}

// TestRule has the rule for udev switch a processor on that is new and off, and no other thing.
func TestRule(t *testing.T) {
	part := regexp.MustCompile(`^(\w+)(?:\{(\w+)\})?(==|=)"([^"]*)"$`)
	for _, test := range []struct {
		subsystem, action, online, want string
	}{{"cpu", "add", "0", "1"}, {"cpu", "add", "1", "1"}, {"cpu", "remove", "0", "0"}, {"memory", "add", "0", "0"}} {
		device := map[string]string{"SUBSYSTEM": test.subsystem, "ACTION": test.action, "ATTR online": test.online}
		for _, text := range strings.Split(docs.Of(t, "udev")[0].Text, ", ") {
			p := part.FindStringSubmatch(text)
			if p == nil {
				t.Fatalf("%s is not understood", text)
			}
			name := strings.TrimSpace(p[1] + " " + p[2])
			if p[1] == "TEST" {
				if _, ok := device["ATTR "+p[4]]; !ok {
					break
				}
			} else if p[3] == "=" {
				device[name] = p[4]
			} else if device[name] != p[4] {
				break
			}
		}
		if device["ATTR online"] != test.want {
			t.Errorf("%+v: %v", test, device)
		}
	}
}

// TestDocumentation holds docs/operations.md to the commands, and runs all examples in docs and those of the help.
func TestDocumentation(t *testing.T) {
	var examples, headings []string
	for _, c := range commands {
		heading := strings.TrimSpace("guest " + c.name + " " + strings.ReplaceAll(c.args, "|", `\|`))
		headings = append(headings, heading)
		examples = append(examples, c.examples...)
	}
	w := newWorld(t)
	for _, e := range docs.Of(t, "guest") {
		if i := slices.Index(headings, e.Text); i >= 0 {
			headings = slices.Delete(headings, i, i+1)
			continue
		}
		words := strings.Fields(strings.ReplaceAll(e.Text, "NAME", "web"))
		if found, rest := find(words[1:]); e.Kind == docs.Inline && found != nil && len(rest) == 0 {
			continue // it is about the command
		}
		examples = append(examples, strings.Join(words, " "))
	}
	if len(headings) > 0 {
		t.Errorf("docs/operations.md does not have %q", headings)
	}
	for _, e := range examples {
		line, _, _ := strings.Cut(e, " > ")
		line, isGuest := strings.CutPrefix(line, "guest ")
		if !isGuest {
			continue // it is for a shell: TestBash
		}
		w.runExample(line)
	}
}

// runExample runs a command that has to succeed. One that would go on for ever is ended once it has said something.
func (w *world) runExample(line string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	if strings.HasPrefix(line, "events") || strings.HasPrefix(line, "logs -f") {
		go w.makeNews(ctx)
	} else {
		cancel = func() {}
	}
	var said bytes.Buffer
	w.config.Out, w.config.Err = writer(func(b []byte) (int, error) { cancel(); return len(b), nil }), &said
	if err := run(ctx, strings.Fields(line), w.config); err != nil && !errors.Is(err, context.Canceled) {
		w.t.Errorf("guest %s: %v %s", line, err, &said)
	}
	for len(w.orders.got) > 0 {
		<-w.orders.got
	}
}

// makeNews has a guest say another address again and again.
func (w *world) makeNews(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		w.state.Tell(host.Said{Domid: 1, Address: netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})})
		time.Sleep(10 * time.Millisecond)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
