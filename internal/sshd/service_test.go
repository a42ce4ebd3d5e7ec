package sshd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/zerodisc/zerodisc/internal/host"
)

// place is a Service whose server is no process.
type place struct {
	*testing.T
	*Service
	dir, state       string
	shown, problems  []string
	started, stopped int
	facts            []host.Fact
	switchErr        error
}

func newPlace(t *testing.T) *place {
	p := &place{T: t, dir: filepath.Join(t.TempDir(), "ssh"), state: t.TempDir()}
	random := make(chan struct{})
	close(random)
	p.Service = NewService(ServiceConfig{
		Dir: p.dir, Kept: "zerodisc/ssh", Random: random,
		Switch: func(on bool) error {
			if on {
				p.started++
			} else {
				p.stopped++
			}
			return p.switchErr
		},
		Show:    func(password string) { p.shown = append(p.shown, password) },
		Tell:    func(f host.Fact) { p.facts = append(p.facts, f) },
		Problem: func(err error, remedy string) { p.problems = append(p.problems, err.Error()+"; "+remedy) },
	})
	return p
}

// apply applies options and returns the fingerprint of the server's host key.
func (p *place) apply(o Options) string {
	p.Helper()
	if err := p.Service.apply(o); err != nil {
		p.Fatal(err)
	}
	now, err := readOptions(p.dir)
	if err != nil {
		p.Fatal(err)
	}
	return (&Server{Config: Config{Dir: p.dir}}).listening(now).Fingerprints[0]
}

// A password is made where nobody could log in otherwise, and goes when a configuration brings a key.
func TestServiceMakesAPassword(t *testing.T) {
	p := newPlace(t)
	p.apply(Options{})
	p.apply(Options{Port: 2222})
	if len(p.shown) != 1 || p.shown[0] != OneTimePassword(p.dir) || p.started != 1 {
		t.Fatalf("shown %q, there is %q, started %d times", p.shown, OneTimePassword(p.dir), p.started)
	}
	if info, err := os.Stat(filepath.Join(p.dir, oneTimeFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode: %v, %v", info.Mode(), err)
	}
	key := (&rig{T: t, keys: t.TempDir()}).newKey("id")
	p.apply(Options{Keys: []string{key}})
	if left := OneTimePassword(p.dir); left != "" {
		t.Errorf("%q is left", left)
	}
	made, err := NewOneTime(p.dir) // a person wants one all the same
	if p.apply(Options{Keys: []string{key}, Port: 2223}); err != nil || OneTimePassword(p.dir) != made {
		t.Errorf("a person's password is gone: %v", err)
	}
}

func TestServiceOff(t *testing.T) {
	p := newPlace(t)
	p.apply(Options{})
	if err := p.Service.apply(Options{Off: true}); err != nil {
		t.Fatal(err)
	}
	if p.stopped != 1 || IsOn(p.dir) || OneTimePassword(p.dir) != "" || len(p.facts) != 1 {
		t.Errorf("stopped %d times, on %v, told %+v", p.stopped, IsOn(p.dir), p.facts)
	}
	if p.apply(Options{}); p.started != 2 {
		t.Error("it is not started again")
	}
}

// What is wrong in a configuration is named, and the rest applies.
func TestServiceBadOptions(t *testing.T) {
	p := newPlace(t)
	bad := Options{
		Port: 70000, Keys: []string{"ssh-ed25519 AAAA"}, HostKeys: []string{"x"},
		Password: "$1$abc$OGyl6dDvZCDiGmIVbeuCq/",
	}
	p.apply(bad)
	p.apply(bad)
	text := strings.Join(p.problems, "\n")
	for _, want := range []string{"port 70000", "ssh-ed25519 AAAA", "$6$ (sha512crypt)", "host key"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is not reported once:\n%s", want, text)
		}
	}
	if strings.Contains(text, "OGyl6") {
		t.Error("the hash is shown")
	}
	if len(p.shown) != 0 {
		t.Error("a one-time password opens the host of somebody who wanted a password of their own")
	}
	bad.Password = ""
	if p.apply(bad); len(p.shown) != 1 {
		t.Error("there is no way to log in")
	}
}

func TestServiceHostKey(t *testing.T) {
	p, file := newPlace(t), ""
	first := p.apply(Options{})
	if again := p.apply(Options{Port: 2222}); again != first {
		t.Error("another key without a reason")
	}
	// A state volume comes: it gets the key of this boot.
	file = filepath.Join(p.state, "zerodisc/ssh", HostKeyFile)
	p.volume = volume{dir: p.state}
	if kept := p.apply(Options{}); kept != first {
		t.Error("another key for an empty state volume")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("it is not kept: %v", err)
	}
	// The next boot has it, also from a volume that cannot be written to, and also when the volume goes.
	next := newPlace(t)
	next.state, next.volume = p.state, volume{dir: p.state, readOnly: true}
	if got := next.apply(Options{}); got != first {
		t.Error("the next boot has another key")
	}
	next.volume = volume{}
	if got := next.apply(Options{}); got != first {
		t.Error("another key without the volume")
	}
	// The configuration's key goes before.
	own, err := NewHostKey()
	if got := next.apply(Options{HostKeys: []string{own}}); err != nil || got != fingerprint(t, own) {
		t.Error("the configured key is not used")
	}
	// A damaged file is named and left alone.
	if err := os.WriteFile(file, []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	third := newPlace(t)
	third.volume = volume{dir: p.state}
	if third.apply(Options{}) == first || len(third.problems) != 1 || !strings.Contains(third.problems[0], file) {
		t.Errorf("problems with a damaged key: %q", third.problems)
	}
	if text, err := os.ReadFile(file); string(text) != "-----BEGIN" {
		t.Errorf("the damaged file: %q, %v", text, err)
	}
}

func fingerprint(t *testing.T, text string) string {
	t.Helper()
	key, err := parseHostKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return (&Server{}).listening(settings{host: []ssh.Signer{key}}).Fingerprints[0]
}

// Run applies what comes, in turn: options, a volume that comes late.
func TestServiceRun(t *testing.T) {
	p := newPlace(t)
	ctx, cancel := context.WithCancel(context.Background())
	updates, ended := make(chan host.Update), make(chan struct{})
	go func() {
		p.Service.Run(ctx, updates)
		close(ended)
	}()
	p.Apply(Options{Port: 2222})
	updates <- host.Update{Snapshot: &host.Snapshot{}}
	file := filepath.Join(p.state, "zerodisc/ssh", HostKeyFile)
	for deadline := time.Now().Add(patience); !IsOn(p.dir); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("options are not applied")
		}
	}
	updates <- host.Update{Snapshot: &host.Snapshot{Host: host.Host{State: host.StateVolume{Mount: p.state}}}}
	updates <- host.Update{Snapshot: &host.Snapshot{Host: host.Host{State: host.StateVolume{Mount: p.state}}}}
	cancel()
	<-ended
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a volume that came late has no key: %v", err)
	}
	if p.started != 1 {
		t.Errorf("started %d times", p.started)
	}
}

// What could not be done is tried again.
func TestServiceTriesAgain(t *testing.T) {
	p := newPlace(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tries := make(chan bool)
	p.Retry = time.Millisecond
	p.Switch = func(bool) error {
		tries <- true
		return errors.New("no memory")
	}
	p.Tell = func(host.Fact) {}
	updates := make(chan host.Update, 1)
	updates <- host.Update{Snapshot: &host.Snapshot{}}
	p.Apply(Options{})
	go p.Service.Run(ctx, updates)
	for range 3 {
		select {
		case <-tries:
		case <-time.After(patience):
			t.Fatal("it is not tried again")
		}
	}
}

func TestServiceReportsThatItCannotStart(t *testing.T) {
	p := newPlace(t)
	p.switchErr = errors.New("no memory")
	if err := p.Service.apply(Options{}); !errors.Is(err, p.switchErr) {
		t.Errorf("apply = %v", err)
	}
	if _, err := ReadHostKey(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadHostKey of nothing = %v", err)
	}
}
