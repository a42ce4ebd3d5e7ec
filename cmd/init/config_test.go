package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/docs"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/host"
)

// configured returns a dom0 that has a command line and writes its lines to a buffer.
func configured(t *testing.T, cmdline string) (*dom0, *bytes.Buffer) {
	var lines bytes.Buffer
	s := &system{log: slog.New(slog.NewTextHandler(&lines, nil)), conf: newConfiguration(cmdline)}
	s.state = host.New(t.Context(), "test")
	return &dom0{machine: machine{system: s}}, &lines
}

// TestLayers adds sources in the order in which a boot reads them.
func TestLayers(t *testing.T) {
	d, lines := configured(t, "zerodisc.hostname=line zerodisc.budget=64M,web:1G ip=dchp")
	d.reportParameters()
	d.addLayer(discLayer, config.Parse("disc", []byte("hostname: disc\nstores: {toram: no}\ncolour: red\n")))
	d.addLayer(volumeLayer, config.Parse("volume", []byte("stores: {toram: yes, disks: all}\n")))
	settings, problems := d.conf.merge()
	var list []string
	for _, s := range settings {
		list = append(list, s.Key+"="+s.Value+" "+s.Source)
	}
	want := "[hostname=line kernel command line stores.disks=all volume stores.budget=64M kernel command line " +
		"stores.toram=yes volume guests.web.budget=1G kernel command line]"
	if got := fmt.Sprint(list); got != want || len(problems) > 0 {
		t.Errorf("%s, %v\nwant %s", got, problems, want)
	}
	for _, want := range []string{
		`msg="kernel parameter" key=ip err="\"dchp\": \"dchp\" is no method; did you mean dhcp?"`,
		"msg=config source=disc line=3 column=1 key=colour",
	} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("%s\nwant %s", lines, want)
		}
	}
	if d.stores() != "all" {
		t.Errorf("stores %s", d.stores())
	}
}

// TestDocumentedLines reads a volume that has what docs/configuration.md shows the lines of.
func TestDocumentedLines(t *testing.T) {
	d, lines := configured(t, "")
	d.addLayer(volumeLayer, config.Parse("/dev/vda: zerodisc.yaml", []byte("hostname: a\n"+
		"network: {bridges: {lan: {private: {address: 10.11.0.1/24}}}}\nnetwrok: {}\n")))
	settings, _ := d.conf.merge()
	var told host.Configured
	for _, s := range settings {
		told = append(told, host.Setting{Key: s.Key, Value: s.Value, Source: s.Source})
	}
	d.state.Tell(told)
	d.reportSources(volumeLayer)
	for _, line := range docs.Of(t, "source") {
		if want := strings.TrimSuffix(line.Text, " ..."); !strings.Contains(lines.String(), want) {
			t.Errorf("%s\nwant %s", lines, want)
		}
	}
}

// TestRefusedHash reads a hash of a kind that is not supported, in a file and on the command line. Each is named once,
// however often the consoles are decided on, and they stay shut until a hash comes that can be used.
func TestRefusedHash(t *testing.T) {
	const good = "$6$saltsalt$sfZR6YSW/Dp0uCiyF9fDipa6ORr5LVLOwXNgtzRlXXhkC7xA3w4zy97VIC3vL14AUXGJp3yBjZVztkdiBzJnX1"
	for _, test := range []struct{ cmdline, file, want string }{
		{"zerodisc.password=$1$abc$def", "", `msg="kernel parameter" key=zerodisc.password err="hash of a pass`},
		{"", "hostname: a\npassword-hash: $1$a$b\n", "msg=config source=disc line=2 column=16 key=password-hash err="},
	} {
		d, lines := configured(t, test.cmdline)
		d.guard = d.newGuard()
		d.reportParameters()
		d.decidePassword()
		d.addLayer(discLayer, config.Parse("disc", []byte(test.file)))
		d.conf.merge()
		for range 3 {
			d.decidePassword()
		}
		got := lines.String()
		if !strings.Contains(got, test.want) || !strings.Contains(got, hashRemedy) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s%s: want one line with %s\n%s", test.cmdline, test.file, test.want, got)
		}
		if d.guard.Open() {
			t.Errorf("%s%s: the consoles are open", test.cmdline, test.file)
		}
		d.addLayer(volumeLayer, config.Parse("volume", []byte("password-hash: "+good+"\n")))
		d.conf.merge()
		if got := d.config().PasswordHash; got != good {
			t.Errorf("%s%s: the hash is %s", test.cmdline, test.file, got)
		}
	}
}

// TestSavedConfiguration hands a configuration on to another process.
func TestSavedConfiguration(t *testing.T) {
	name := filepath.Join(t.TempDir(), "config.json")
	const text = "stores: {iscsi: {targets: [\"a:b@192.0.2.9::::iqn.2026-01.x:y\"]}}\n" +
		"network: {bridges: {lan: {private: {address: 10.0.0.1/24}}}}\n" +
		"guests: {web: {order: 0, network: {inbound: []}}}\n"
	c := newConfiguration("")
	c.layers[discLayer] = config.Layer{Config: config.Parse("f", []byte(text)).Config}
	c.merge()
	if err := c.save(name); err != nil {
		t.Fatal(err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(name, &stat); err != nil || stat.Mode&0o777 != 0o600 {
		t.Errorf("mode %o, %v", stat.Mode, err)
	}
	other := newConfiguration("")
	other.restore(name)
	if got, want := fmt.Sprintf("%+v", config.Merge(config.Layer{Config: *other.merged.Load()}).Settings),
		fmt.Sprintf("%+v", config.Merge(config.Layer{Config: *c.merged.Load()}).Settings); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	other.layers[urlLayer] = config.Layer{Config: config.Parse("u", []byte("hostname: later\n")).Config}
	other.merge() // what comes later does not take the place of what was there
	now := other.merged.Load()
	if g := now.Guests["web"]; now.Hostname != "later" || g.Order == nil || g.Network.Inbound == nil {
		t.Errorf("%+v", g)
	}
	other.restore(name + ".none")
}

// TestConfigFiles reads what a foreign volume may have in the place of a file.
func TestConfigFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(file("good"), []byte("hostname: a\n"), 0o644), os.Symlink(file("good"), file("link")),
		os.Mkdir(file("dir"), 0o755), unix.Mkfifo(file("pipe"), 0o644), os.WriteFile(file("huge"), nil, 0o644),
		os.Truncate(file("huge"), 1<<40),
	); err != nil {
		t.Fatal(err)
	}
	if text, err := readConfigFile(file("good")); string(text) != "hostname: a\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := readConfigFile(file("huge")); len(text) != config.MaxSize+1 || err != nil {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	for _, name := range []string{"link", "dir", "pipe", "none"} {
		if _, err := readConfigFile(file(name)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

// TestFetch fetches configurations from a server that has some, one that has errors, and one that has a page.
func TestFetch(t *testing.T) {
	tries := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/slow.yaml", func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries < 2 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "hostname: late\nnetwork: {default-bridge: lan}\nstores: {state: no}\n")
	})
	mux.HandleFunc("/login.yaml", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><body>Log in</body></html>")
	})
	mux.HandleFunc("/seed/user-data", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "#cloud-config\nhostname: cloud\nruncmd: [reboot]\n")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	fetch := func(ctx context.Context, url string) (config.File, error) {
		text, err := download(ctx, server.Client(), url)
		return config.Parse(url, text), err
	}
	for _, test := range []struct {
		path  string
		fetch func(context.Context, string) (config.File, error)
		says  []string
		name  string
	}{
		{"/slow.yaml", fetch, []string{
			"503", "it is tried again", "key=network.default-bridge err=\"it comes too late", "stores.state",
		}, "late"},
		{"/login.yaml", fetch, []string{"it is a web page (HTML or XML)"}, ""},
		{"/none.yaml", fetch, []string{"404", "nothing of it is used"}, ""},
		{"/{mca}.yaml", fetch, []string{"there is no {mca}", "nothing of it is used"}, ""},
		{"/seed/", func(ctx context.Context, url string) (config.File, error) {
			return downloadNoCloud(ctx, server.Client(), url)
		}, []string{"not runcmd"}, "cloud"},
		{"/empty/", func(ctx context.Context, url string) (config.File, error) {
			return downloadNoCloud(ctx, server.Client(), url)
		}, []string{"404"}, ""},
	} {
		d, lines := configured(t, "")
		f, final := d.fetchFile(t.Context(), server.URL+test.path, test.fetch)
		if final {
			f = d.withoutEarly(f)
			d.addLayer(urlLayer, f)
		}
		d.conf.merge()
		for _, want := range test.says {
			if !strings.Contains(lines.String(), want) {
				t.Errorf("%s: %s\nwant %s", test.path, lines, want)
			}
		}
		if c := d.config(); c.Hostname != test.name || c.Network.DefaultBridge != "" || c.Stores.State != "" {
			t.Errorf("%s: %+v", test.path, c)
		}
	}
}

func TestShowSettings(t *testing.T) {
	var out bytes.Buffer
	showSettings(&out, nil)
	showSettings(&out, []host.Setting{{Key: "hostname", Value: "a", Source: "disc"}})
	const want = "Nothing is configured: the defaults hold.\nKEY       VALUE  SOURCE\nhostname  a      disc\n"
	if out.String() != want {
		t.Errorf("%q", out.String())
	}
}

// TestFetchBeforeRoute has the first try come before there is a route to the server, which is not worth a line.
func TestFetchBeforeRoute(t *testing.T) {
	d, lines := configured(t, "")
	tries := 0
	f, ok := d.fetchFile(t.Context(), "http://192.0.2.1/", func(context.Context, string) (config.File, error) {
		if tries++; tries == 1 {
			return config.File{}, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", unix.ENETUNREACH)}
		}
		return config.Parse("there", []byte("hostname: there\n")), nil
	})
	if !ok || f.Config.Hostname != "there" || lines.Len() > 0 {
		t.Errorf("%v, %+v, %s", ok, f.Config, lines)
	}
	if isEarly(unix.ENETUNREACH, fetchLongest) || isEarly(unix.ECONNREFUSED, fetchPause) {
		t.Errorf("an error that stays would never be told")
	}
}
