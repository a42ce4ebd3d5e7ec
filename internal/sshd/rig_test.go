package sshd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/zerodisc/zerodisc/internal/host"
)

// patience is how long something may take that is sure to come.
const patience = 60 * time.Second

// rig is a server with OpenSSH's programs as its clients.
type rig struct {
	*testing.T
	dir, home, keys string // of the server, of root, of the client
	port            int
	options         Options
	sockets         []string
	guests          []host.Guest
	limits          limits

	mu     sync.Mutex // guards what follows
	events []Event
}

// newRig starts a server on this machine's own address. It has a key that the client "id" may log in with. change
// changes it before it starts.
func newRig(t *testing.T, change func(*rig)) *rig {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir(), home: t.TempDir(), keys: t.TempDir(), port: freePort(t), limits: usualLimits}
	hostKey, err := NewHostKey()
	r.must(err)
	r.options = Options{
		Port: r.port, Listen: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Keys: []string{r.newKey("id")}, HostKeys: []string{hostKey},
	}
	if change != nil {
		change(r)
	}
	r.start()
	return r
}

func (r *rig) start() {
	r.Helper()
	r.must(WriteOptions(r.dir, r.options))
	r.knowHost(r.options.HostKeys[0])
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	server := newServer(Config{
		Dir: r.dir, Home: r.home, Shell: "/bin/sh", Keys: filepath.Join(r.home, "authorized_keys"),
		Sockets:  r.sockets,
		Guests:   func() (*host.Snapshot, error) { return &host.Snapshot{Guests: r.guests}, nil },
		Greeting: func() string { return "welcome\n" }, Tell: r.tell,
	}, r.limits)
	go func() { ended <- server.serve(ctx) }()
	r.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			r.Error(err)
		}
	})
	r.await("it listens", func(e Event) bool { return e.Kind == Listening && e.Problem == "" })
}

// knowHost has the client know the server by its key.
func (r *rig) knowHost(key string) {
	r.Helper()
	signer, err := parseHostKey(key)
	r.must(err)
	line := fmt.Sprintf("[127.0.0.1]:%d %s", r.port, ssh.MarshalAuthorizedKey(signer.PublicKey()))
	r.must(os.WriteFile(filepath.Join(r.keys, "known_hosts"), []byte(line), 0o600))
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) tell(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *rig) told() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// await waits for an event.
func (r *rig) await(what string, is func(Event) bool) Event {
	r.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for _, e := range r.told() {
			if is(e) {
				return e
			}
		}
	}
	r.Fatalf("not told that %s: %+v", what, r.told())
	return Event{}
}

// newKey makes a key of the client's and returns its public part.
func (r *rig) newKey(name string) string {
	r.Helper()
	public, private := mustKey(r.T)
	block, err := ssh.MarshalPrivateKey(private, "")
	r.must(err)
	r.must(os.WriteFile(filepath.Join(r.keys, name), pem.EncodeToMemory(block), 0o600))
	key, err := ssh.NewPublicKey(public)
	r.must(err)
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " of " + name
}

func mustKey(t *testing.T) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

// client is a program of OpenSSH's with the options that keep it from looking at this machine's own settings.
func (r *rig) client(program string, more ...string) *exec.Cmd {
	r.Helper()
	if _, err := exec.LookPath(program); err != nil {
		r.Skipf("OpenSSH's client is not installed: %v", err)
	}
	port := "-p"
	if program != "ssh" {
		port = "-P"
	}
	args := []string{"-F", "none", port, strconv.Itoa(r.port)}
	for _, option := range []string{
		"UserKnownHostsFile=" + filepath.Join(r.keys, "known_hosts"), "StrictHostKeyChecking=yes",
		"IdentitiesOnly=yes", "IdentityAgent=none", "GlobalKnownHostsFile=none",
	} {
		args = append(args, "-o", option)
	}
	if !slices.ContainsFunc(more, func(a string) bool { return strings.HasPrefix(a, "IdentityFile=") }) {
		args = append(args, "-o", "IdentityFile="+filepath.Join(r.keys, "id"))
	}
	cmd := exec.Command(program, append(args, more...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.keys, "TERM=vt220", "LANG=de_DE.UTF-8", "LD_PRELOAD_X=1",
	}
	return cmd
}

// run runs a client and returns what it prints and its exit status.
func (r *rig) run(cmd *exec.Cmd) (stdout, stderr string, status int) {
	r.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

const target = "root@127.0.0.1"

// ssh runs a command on the server.
func (r *rig) ssh(more ...string) (stdout, stderr string, status int) {
	r.Helper()
	return r.run(r.client("ssh", more...))
}

// ask has a client type a password where it is asked for one.
func (r *rig) ask(cmd *exec.Cmd, password string) *exec.Cmd {
	r.Helper()
	askpass := filepath.Join(r.keys, "askpass")
	r.must(os.WriteFile(askpass, fmt.Appendf(nil, "#!/bin/sh\necho '%s'\n", password), 0o700))
	cmd.Env = append(cmd.Env, "SSH_ASKPASS="+askpass, "SSH_ASKPASS_REQUIRE=force")
	return cmd
}

// byPassword runs a command with a password only.
func (r *rig) byPassword(user, password string) (stdout, stderr string, status int) {
	r.Helper()
	return r.run(r.ask(r.client("ssh", "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1",
		user+"@127.0.0.1", "echo", "in"), password))
}

// check checks what a client prints.
func (r *rig) check(what, got, want string) {
	r.Helper()
	if got != want {
		r.Errorf("%s: %q, want %q", what, got, want)
	}
}
