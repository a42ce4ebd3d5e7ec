package sshd

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
)

// publicKeyAlgorithms are the signatures that clients may use; not RSA with SHA-1.
var publicKeyAlgorithms = slices.DeleteFunc(ssh.SupportedAlgorithms().PublicKeyAuths, func(name string) bool {
	return name == ssh.KeyAlgoRSA
})

// algorithms are those of x/crypto/ssh without known weakness, but for HMAC with SHA-1.
func algorithms() ssh.Config {
	all := ssh.SupportedAlgorithms()
	return ssh.Config{
		KeyExchanges: all.KeyExchanges, Ciphers: all.Ciphers,
		MACs: slices.DeleteFunc(all.MACs, func(name string) bool { return name == ssh.HMACSHA1 }),
	}
}

// methodKey is where Permissions have how somebody has logged in.
const methodKey = "method"

// errRefused is all that whoever is refused hears.
var errRefused = errors.New("permission denied")

// maxTries is how often a client may try in one connection. Each key of an agent is one; x/crypto counts those apart.
const maxTries = 6

// config is what a connection's handshake works with.
func (s *Server) config(now settings) *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		Config: algorithms(), PublicKeyAuthAlgorithms: publicKeyAlgorithms, MaxAuthTries: maxTries,
		ServerVersion: "SSH-2.0-zerodisc",
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return s.byKey(now, c, key)
		},
	}
	if !now.hash.IsZero() || OneTimePassword(s.Dir) != "" {
		c.PasswordCallback = func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return s.byPassword(now, c, password)
		}
	}
	for _, key := range now.host {
		c.AddHostKey(key)
	}
	return c
}

// byKey says whether the key may log in. That the client has it, x/crypto finds out.
func (s *Server) byKey(now settings, c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	blob := key.Marshal()
	var found *authorisedKey
	for _, k := range slices.Concat(now.keys, s.ownKeys()) {
		if subtle.ConstantTimeCompare(blob, []byte(k.blob)) == 1 {
			found = &k
		}
	}
	if found == nil || c.User() != User {
		return nil, errRefused
	}
	return by(Key + " " + found.name), nil
}

// maxKeyFile bounds the file of keys, bytes.
const maxKeyFile = 256 << 10

// ownKeys are the keys that root has added while the machine ran, with ssh-copy-id say.
func (s *Server) ownKeys() []authorisedKey {
	info, err := os.Stat(s.Keys)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil
	}
	text, err := os.ReadFile(s.Keys)
	if err != nil {
		return nil
	}
	return parseKeys(string(text))
}

// byPassword says whether it is the password, or the one-time password. One takes as long as the other, and as long for
// whatever user: nobody learns from it what is wrong.
func (s *Server) byPassword(now settings, c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	from := address(c.RemoteAddr().String())
	wait, ok := s.guard.admit(from, time.Now())
	if !ok {
		return nil, &ssh.BannerError{Err: errRefused, Message: fmt.Sprintf(
			"Too many wrong passwords: no more of them are looked at for %v. Keys are.\r\n", wait.Round(time.Second))}
	}
	time.Sleep(wait)
	method := ""
	switch right := s.checkHash(now, password); {
	case c.User() != User:
	case right:
		method = Password
	case useOneTime(s.Dir, string(password)):
		method = OneTime
	}
	if method != "" {
		return by(method), nil
	}
	if count := s.guard.wrong(from); isMilestone(count) {
		s.news.maybe(Event{Kind: Refused, From: from.String(), Count: count}, time.Now())
	}
	return nil, errRefused
}

// checkHash looks at one password at a time: each check may take 64 MiB.
func (s *Server) checkHash(now settings, password []byte) bool {
	if now.hash.IsZero() {
		return false
	}
	s.hashing <- struct{}{}
	defer func() { <-s.hashing }()
	defer debug.FreeOSMemory()
	return now.hash.Matches(password)
}

func by(method string) *ssh.Permissions {
	return &ssh.Permissions{Extensions: map[string]string{methodKey: method}}
}
