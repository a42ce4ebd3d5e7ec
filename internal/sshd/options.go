package sshd

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/zerodisc/zerodisc/internal/passwd"
)

// UsualPort is where SSH servers listen.
const UsualPort = 22

// Options are what a configuration says of SSH. The zero value is a server on the usual port that takes a one-time
// password.
type Options struct {
	Off      bool         `json:",omitempty"` // no server at all
	Port     int          `json:",omitempty"` // 0: UsualPort
	Listen   []netip.Addr `json:",omitempty"` // none: all addresses, of IPv4 and IPv6
	Keys     []string     `json:",omitempty"` // lines of authorized_keys(5) without options, or the base64 part alone
	Password string       `json:",omitempty"` // hash, package passwd
	// NoOneTime says that no one-time password is made: somebody wanted a password of their own.
	NoOneTime bool     `json:",omitempty"`
	HostKeys  []string `json:",omitempty"` // private keys in PEM; none: one is made
}

// Check returns the options without what is wrong with them, and what that is. Everything else still applies.
func (o Options) Check() (Options, []error) {
	var errs []error
	if o.Port < 0 || o.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d of SSH: want 1 to 65535; it is %d", o.Port, UsualPort))
		o.Port = 0
	}
	o.Keys = keep(o.Keys, &errs, func(line string) error { _, err := parseKey(line); return err })
	o.HostKeys = keep(o.HostKeys, &errs, func(text string) error { _, err := parseHostKey(text); return err })
	if o.Password != "" {
		if _, err := passwd.Parse(o.Password); err != nil {
			errs = append(errs, err)
			o.Password, o.NoOneTime = "", true
		}
	}
	return o, errs
}

// keep returns those of list that check accepts.
func keep(list []string, errs *[]error, check func(string) error) []string {
	var good []string
	for _, text := range list {
		if err := check(text); err != nil {
			*errs = append(*errs, err)
			continue
		}
		good = append(good, text)
	}
	return good
}

// HasCredential says whether somebody can log in without a one-time password.
func (o Options) HasCredential() bool { return len(o.Keys) > 0 || o.Password != "" }

// minRSA is the length of the shortest RSA key that is taken, bits.
const minRSA = 2048

// parseKey reads a public key: a line of authorized_keys(5), or what base64 it has. Options of a line limit what the
// key may do, so a line with some that we do not know is not taken.
func parseKey(line string) (authorisedKey, error) {
	line = strings.TrimSpace(line)
	short := line[:min(len(line), 40)]
	key, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		if blob, decodeErr := base64.StdEncoding.DecodeString(line); decodeErr == nil {
			key, err = ssh.ParsePublicKey(blob)
		}
	}
	switch {
	case err != nil:
		return authorisedKey{}, fmt.Errorf("SSH key %q: want a line as in id_ed25519.pub: %w", short, err)
	case len(options) > 0:
		return authorisedKey{}, fmt.Errorf("SSH key %q: options (%s) are not supported; leave them out",
			short, strings.Join(options, ","))
	case len(bytes.TrimSpace(rest)) > 0:
		return authorisedKey{}, fmt.Errorf("SSH key %q: there is more than one line", short)
	}
	if err := strong(key); err != nil {
		return authorisedKey{}, fmt.Errorf("SSH key %q: %w", short, err)
	}
	name := strings.TrimSpace(ssh.FingerprintSHA256(key) + " " + comment)
	return authorisedKey{blob: string(key.Marshal()), name: name}, nil
}

// strong refuses keys that can be broken, and certificates, for which there is no authority.
func strong(key ssh.PublicKey) error {
	if _, ok := key.(*ssh.Certificate); ok {
		return errors.New("certificates are not supported; name the key itself")
	}
	if c, ok := key.(ssh.CryptoPublicKey); ok {
		if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() < minRSA {
			return fmt.Errorf("an RSA key of %d bits is too weak; make one with ssh-keygen -t ed25519", r.N.BitLen())
		}
	}
	if kind := key.Type(); kind != ssh.KeyAlgoRSA && !slices.Contains(publicKeyAlgorithms, kind) {
		return fmt.Errorf("keys of type %s are not supported; make one with ssh-keygen -t ed25519", kind)
	}
	return nil
}

// authorisedKey is a public key that may log in.
type authorisedKey struct {
	blob string // RFC 4253, 6.6
	name string // fingerprint and comment
}

// maxKeys bounds what is read of a file of keys.
const maxKeys = 100

// parseKeys reads a file as authorized_keys(5). Lines that are not taken are left out.
func parseKeys(text string) []authorisedKey {
	var keys []authorisedKey
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if key, err := parseKey(line); err == nil && len(keys) < maxKeys {
			keys = append(keys, key)
		}
	}
	return keys
}

// settings are checked options.
type settings struct {
	port   int
	listen []netip.Addr
	keys   []authorisedKey
	hash   passwd.Hash
	host   []ssh.Signer
}

// optionsFile is in Config.Dir.
const optionsFile = "options.json"

// WriteOptions writes the options for the server, which follows them, to the directory dir.
func WriteOptions(dir string, o Options) error {
	text, err := json.Marshal(o)
	if err == nil {
		err = writePrivate(filepath.Join(dir, optionsFile), text)
	}
	if err != nil {
		return fmt.Errorf("write options of SSH: %w", err)
	}
	return nil
}

// removeOptions takes them away.
func removeOptions(dir string) error {
	err := os.Remove(filepath.Join(dir, optionsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove options of SSH: %w", err)
	}
	return nil
}

// IsOn says whether there are options: whether a server runs, or is to run.
func IsOn(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, optionsFile))
	return err == nil
}

// readOptions reads what WriteOptions has written.
func readOptions(dir string) (settings, error) {
	text, err := os.ReadFile(filepath.Join(dir, optionsFile))
	if err != nil {
		return settings{}, fmt.Errorf("read options of SSH: %w", err)
	}
	var o Options
	if err := json.Unmarshal(text, &o); err != nil {
		return settings{}, fmt.Errorf("read options of SSH: %w", err)
	}
	o, errs := o.Check()
	if len(errs) > 0 {
		return settings{}, errors.Join(errs...)
	}
	s := settings{port: o.Port, listen: o.Listen}
	if s.port == 0 {
		s.port = UsualPort
	}
	if o.Password != "" {
		s.hash, err = passwd.Parse(o.Password)
	}
	for _, line := range o.Keys {
		key, keyErr := parseKey(line)
		s.keys, err = append(s.keys, key), errors.Join(err, keyErr)
	}
	for _, text := range o.HostKeys {
		key, keyErr := parseHostKey(text)
		s.host, err = append(s.host, key), errors.Join(err, keyErr)
	}
	if err == nil && len(s.host) == 0 {
		err = errors.New("read options of SSH: there is no host key")
	}
	return s, err
}
