// Package passwd checks passwords against hashes as crypt(5) of libxcrypt and /etc/shadow have them.
//
// A hash says how much work a check is. What would take minutes, or more memory than a small dom0 can spare, is refused
// when the hash is parsed, and not when somebody waits at a prompt.
package passwd

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/go-crypt/x/crypt"
	"github.com/go-crypt/x/yescrypt"
	"golang.org/x/crypto/bcrypt"
)

// Hash is a hash of a password. Get one with Parse; the zero value matches no password.
type Hash struct {
	text string
	kind *kind
}

// kind is a way to hash passwords, of crypt(5).
type kind struct {
	prefix string // up to the second "$"
	name   string
	check  func(text string) error // whether it is a hash that matches can work with
	match  func(text string, password []byte) bool
}

var kinds = []*kind{
	{"$y$", "yescrypt", checkYescrypt, matchYescrypt},
	{"$6$", "sha512crypt", checkSHA(sha512Size), matchSHA(sha512.New)},
	{"$5$", "sha256crypt", checkSHA(sha256Size), matchSHA(sha256.New)},
	{"$2b$", "bcrypt", checkBcrypt, matchBcrypt},
	{"$2y$", "bcrypt", checkBcrypt, matchBcrypt},
	{"$2a$", "bcrypt", checkBcrypt, matchBcrypt},
}

// Supported names the kinds of hashes that Parse takes.
const Supported = "$y$ (yescrypt), $6$ (sha512crypt), $5$ (sha256crypt) and $2b$, $2y$ (bcrypt)"

// MaxLength is how long a password may be, bytes: sha512crypt's work grows with the square of it.
const MaxLength = 256

// Parse reads a hash. The error does not have the hash in it.
func Parse(text string) (Hash, error) {
	if !strings.HasPrefix(text, "$") {
		return Hash{}, errors.New("this is no hash of a password; make one with mkpasswd, or with openssl passwd -6")
	}
	for _, k := range kinds {
		if !strings.HasPrefix(text, k.prefix) {
			continue
		}
		if err := k.check(text); err != nil {
			return Hash{}, fmt.Errorf("hash of a password (%s): %w", k.name, err)
		}
		return Hash{text: text, kind: k}, nil
	}
	return Hash{}, fmt.Errorf("hash of a password: its kind is not supported; these are: %s", Supported)
}

// Matches says whether the hash is that of password. It takes as long as the hash says, tenths of a second and up to
// 64 MiB of memory.
func (h Hash) Matches(password []byte) bool {
	if h.kind == nil || len(password) > MaxLength || bytes.IndexByte(password, 0) >= 0 {
		return false
	}
	return h.kind.match(h.text, password)
}

// IsZero says whether there is no hash.
func (h Hash) IsZero() bool { return h.kind == nil }

// Lengths of the last part of a hash, characters.
const (
	sha256Size   = 43
	sha512Size   = 86
	yescryptSize = 43
)

// Rounds of sha256crypt and sha512crypt (Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512").
const (
	usualRounds = 5000
	minRounds   = 1000
	maxRounds   = 2_000_000 // a second or two; the specification has 999,999,999
	maxSalt     = 16
)

// shaParts is what a hash of sha256crypt or sha512crypt is made of: $6$rounds=N$SALT$HASH.
type shaParts struct {
	rounds     int
	salt, hash string
}

func splitSHA(text string) (shaParts, error) {
	p := shaParts{rounds: usualRounds}
	fields := strings.Split(text, "$")[2:]
	if value, ok := strings.CutPrefix(fields[0], "rounds="); ok {
		n, err := strconv.Atoi(value)
		if err != nil || n < minRounds || n > maxRounds {
			return p, fmt.Errorf("rounds=%s: want %d to %d", value, minRounds, maxRounds)
		}
		p.rounds, fields = n, fields[1:]
	}
	if len(fields) != 2 {
		return p, errors.New("want $ID$SALT$HASH; is a part missing?")
	}
	p.salt, p.hash = fields[0], fields[1]
	return p, nil
}

func checkSHA(size int) func(string) error {
	return func(text string) error {
		p, err := splitSHA(text)
		switch {
		case err != nil:
			return err
		case len(p.salt) > maxSalt:
			return fmt.Errorf("its salt has %d characters, %d at most", len(p.salt), maxSalt)
		}
		return checkDigits(p.hash, size)
	}
}

func matchSHA(function func() hash.Hash) func(string, []byte) bool {
	return func(text string, password []byte) bool {
		p, err := splitSHA(text)
		if err != nil {
			return false
		}
		sum := crypt.KeySHACrypt(function, password, []byte(p.salt), p.rounds)
		return subtle.ConstantTimeCompare(sum, []byte(p.hash)) == 1
	}
}

// checkDigits checks the last part of a hash.
func checkDigits(hash string, size int) error {
	if len(hash) != size {
		return fmt.Errorf("its last part has %d characters, want %d; is it cut off?", len(hash), size)
	}
	for _, c := range []byte(hash) {
		if c != '.' && c != '/' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return fmt.Errorf("its last part has the character %q", c)
		}
	}
	return nil
}

// maxYescrypt is how much memory a check of yescrypt may take, bytes. The usual cost of Debian takes 16 MiB.
const maxYescrypt = 64 << 20

func checkYescrypt(text string) error {
	fields := strings.Split(text, "$")
	if len(fields) != 5 { // "", y, parameters, salt, hash
		return errors.New("want $y$PARAMETERS$SALT$HASH; is a part missing?")
	}
	if err := checkDigits(fields[4], yescryptSize); err != nil {
		return err
	}
	if len(fields[2]) != 3 || fields[2][0] != 'j' {
		return fmt.Errorf("its parameters %q are not supported; make one with mkpasswd -m yescrypt", fields[2])
	}
	_, log2N, r, err := yescrypt.DecodeSetting([]byte(fields[2]))
	if err != nil {
		return err
	}
	if log2N < 10 || log2N > 18 || r < 1 || r > 32 || len(yescrypt.Decode64([]byte(fields[3]))) == 0 {
		return fmt.Errorf("its parameters %q or its salt are not supported", fields[2])
	}
	if needs := int64(128*r) << log2N; needs > maxYescrypt {
		return fmt.Errorf("a check of it takes %d MiB, %d are allowed; make one of less cost",
			needs>>20, maxYescrypt>>20)
	}
	return nil
}

func matchYescrypt(text string, password []byte) bool {
	sum, err := yescrypt.Hash(password, []byte(text))
	return err == nil && subtle.ConstantTimeCompare(sum, []byte(text)) == 1
}

// maxBcrypt is the highest cost of bcrypt: some seconds.
const maxBcrypt = 15

// bcryptSize is the length of a hash of bcrypt, characters.
const bcryptSize = 60

func checkBcrypt(text string) error {
	cost, err := bcrypt.Cost([]byte(text))
	switch {
	case len(text) != bcryptSize:
		return fmt.Errorf("it has %d characters, want %d; is it cut off?", len(text), bcryptSize)
	case err != nil:
		return err
	case cost > maxBcrypt:
		return fmt.Errorf("its cost is %d, %d at most", cost, maxBcrypt)
	}
	return checkDigits(text[7:], bcryptSize-7)
}

func matchBcrypt(text string, password []byte) bool {
	// bcrypt knows 72 bytes of a password; Go's refuses longer ones.
	return bcrypt.CompareHashAndPassword([]byte(text), password) == nil
}
