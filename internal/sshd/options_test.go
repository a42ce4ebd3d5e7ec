package sshd

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/zerodisc/zerodisc/internal/host"
)

func TestParseKey(t *testing.T) {
	good := (&rig{T: t, keys: t.TempDir()}).newKey("me")
	blob := strings.Fields(good)[1]
	for _, line := range []string{good, blob, "  " + good + "\n", "ssh-ed25519 " + blob} {
		if key, err := parseKey(line); err != nil || !strings.HasPrefix(key.name, "SHA256:") {
			t.Errorf("parseKey(%q) = %v, %v", line, key.name, err)
		}
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weakKey, err := ssh.NewPublicKey(&weak.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"":                        "want a line as in id_ed25519.pub",
		"ssh-ed25519 AAAA":        "want a line as in id_ed25519.pub",
		blob[:20]:                 "want a line as in id_ed25519.pub",
		good + "\n" + good:        "more than one line",
		`from="10.0.0.1" ` + good: "options (from=\"10.0.0.1\") are not supported",
		string(ssh.MarshalAuthorizedKey(weakKey)): "1024 bits is too weak",
	} {
		if _, err := parseKey(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseKey(%.30q) = %v, want %q", line, err, want)
		}
	}
}

func TestHostKeyWithPassphrase(t *testing.T) {
	_, private := mustKey(t)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parseHostKey(string(pem.EncodeToMemory(block)))
	if err == nil || !strings.Contains(err.Error(), "ssh-keygen -p") {
		t.Errorf("parseHostKey = %v", err)
	}
}

func TestOneTimeIsAsLongAsItSays(t *testing.T) {
	dir, seen := t.TempDir(), map[string]bool{}
	for range 100 {
		password, err := NewOneTime(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(password) != 14 || len(plainDigits(password)) != oneTimeDigits || seen[password] {
			t.Fatalf("password %q", password)
		}
		seen[password] = true
	}
	if useOneTime(dir, "") || useOneTime(t.TempDir(), "") {
		t.Error("no password is right")
	}
}

func TestEventsComeThrough(t *testing.T) {
	var rest bytes.Buffer
	var got []Event
	to := Listener{Tell: func(e Event) { got = append(got, e) }, Rest: &rest}
	Teller(prefixed{to})(Event{Kind: Refused, From: "\x1b[2J", Count: 3})
	for _, line := range []string{"sshd: panic: {}\n", "sshd: {\"event\":\n", "\n", "sshd: {\"other\":1}\n"} {
		if n, err := to.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
	}
	if len(got) != 1 || got[0].Count != 3 {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(rest.String(), "panic") || strings.Contains(rest.String(), "\x1b") {
		t.Errorf("the log has %q", rest.String())
	}
	if fact, ok := Heard(got[0]).(host.SSHRefused); !ok || fact.Passwords != 3 {
		t.Errorf("the fact is %+v", fact)
	}
}

// prefixed does what the supervisor does to a line.
type prefixed struct{ to Listener }

func (p prefixed) Write(line []byte) (int, error) {
	return p.to.Write(append([]byte("sshd: "), line...))
}

func TestFindGuest(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}
	guests := []host.Guest{
		{Name: "web", Phase: host.Running, Heard: netip.MustParseAddr("10.0.0.5")},
		{Name: "six", Phase: host.Running, Said: netip.MustParseAddr("2001:db8::5")},
		{Name: "off", Phase: host.Stopped, Heard: netip.MustParseAddr("10.0.0.6")},
		{Name: "new", Phase: host.Running},
		{Name: "loop", Phase: host.Running, Said: netip.MustParseAddr("127.0.0.1")},
		{Name: "mapped", Phase: host.Running, Said: netip.MustParseAddr("::ffff:127.0.0.1")},
		{Name: "dom0", Phase: host.Running, Said: netip.MustParseAddr("10.0.0.1")},
		{Name: "all", Phase: host.Running, Said: netip.MustParseAddr("255.255.255.255")},
		{Name: "zero", Phase: host.Running, Said: netip.MustParseAddr("0.0.0.0")},
		{Name: "link", Phase: host.Running, Said: netip.MustParseAddr("fe80::1")},
	}
	for wanted, want := range map[string]string{
		"web": "10.0.0.5", "10.0.0.5": "10.0.0.5", "::ffff:10.0.0.5": "10.0.0.5",
		"six": "2001:db8::5", "2001:db8::5": "2001:db8::5",
		"off": "", "new": "", "loop": "", "mapped": "", "dom0": "", "all": "", "zero": "", "link": "",
		"127.0.0.1": "", "::1": "", "localhost": "", "10.0.0.1": "", "10.0.0.7": "", "": "",
	} {
		got, err := findGuest(guests, wanted, own)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("findGuest(%q) = %v, %v, want %q", wanted, got, err, want)
		}
	}
}

// Bytes of a client that has logged in.
func FuzzRequests(f *testing.F) {
	f.Add("pty-req", ssh.Marshal(ptyRequest{Term: "vt220", Columns: 80, Rows: 24}))
	f.Add("env", ssh.Marshal(struct{ Name, Value string }{"LANG", "C"}))
	f.Add("signal", ssh.Marshal(struct{ Name string }{"HUP"}))
	f.Fuzz(func(t *testing.T, kind string, payload []byte) {
		s := &session{server: &Server{}, started: kind != "pty-req"}
		defer s.hangUp()
		if handle := handlers[kind]; handle != nil && kind != "shell" && kind != "exec" {
			_ = handle(s, payload)
		}
		for _, v := range s.env {
			if !plain(v, 2*maxVariable+1) {
				t.Errorf("variable %q", v)
			}
		}
	})
}

// Text that somebody has written.
func FuzzOptions(f *testing.F) {
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUMtQhfUqBqEfJTe5eGhTrYXbMkyXBNWFVjSAe0yc7c me")
	f.Add("AAAAC3NzaC1lZDI1NTE5AAAAIHUMtQhfUqBqEfJTe5eGhTrYXbMkyXBNWFVjSAe0yc7c")
	f.Fuzz(func(t *testing.T, text string) {
		o := Options{Keys: []string{text}, HostKeys: []string{text}, Password: text}
		good, errs := o.Check()
		if again, none := good.Check(); len(none) > 0 || len(errs)+len(again.Keys)+len(again.HostKeys) < 2 {
			t.Errorf("Check(%q) leaves %v", text, none)
		}
		parseKeys(text)
		parseEvent([]byte(text))
	})
}
