// Package crypthash checks passwords against their hashes as crypt(3) writes them. It knows the kinds that can be
// checked without C: SHA-512 and SHA-256 (Drepper, Unix crypt using SHA-256 and SHA-512, 2016) and bcrypt.
package crypthash

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Remedy says how a hash of a kind that is known is made.
const Remedy = "make one with: openssl passwd -6"

// Limits of the work that a hash may cost: a check takes about a second on a slow machine.
const (
	maxRounds = 1_000_000
	maxCost   = 15
)

// other are the kinds that are known by name only.
var other = []struct{ prefix, name string }{
	{"$y$", "yescrypt"}, {"$gy$", "gost-yescrypt"}, {"$7$", "scrypt"}, {"$1$", "MD5"}, {"$md5", "Sun's MD5"},
	{"$sha1$", "SHA-1"}, {"$3$", "NT"}, {"_", "extended DES"}, {"$argon2", "Argon2"},
}

// Check says what is wrong with a hash: its kind is not known, or it is none.
func Check(hash string) error {
	switch {
	case strings.HasPrefix(hash, "$6$"), strings.HasPrefix(hash, "$5$"):
		_, err := parseSHA(hash)
		return err
	case strings.HasPrefix(hash, "$2"):
		cost, err := bcrypt.Cost([]byte(hash))
		if err != nil {
			return fmt.Errorf("it is no hash of bcrypt; %s", Remedy)
		}
		if cost > maxCost {
			return fmt.Errorf("its cost is %d, at most %d is taken; %s", cost, maxCost, Remedy)
		}
		return nil
	}
	for _, kind := range other {
		if strings.HasPrefix(hash, kind.prefix) {
			return fmt.Errorf("hashes of %s are not supported, those of SHA-512 ($6$), SHA-256 ($5$) and "+
				"bcrypt ($2b$) are; %s", kind.name, Remedy)
		}
	}
	return fmt.Errorf("it is no hash of a password ($6$..., $5$... or $2b$...); %s", Remedy)
}

// Verify says whether password is the one of a hash. A hash that Check refuses matches none.
func Verify(hash, password string) bool {
	if strings.HasPrefix(hash, "$2") {
		return Check(hash) == nil && bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	}
	h, err := parseSHA(hash)
	return err == nil && h.verify(password)
}

// shaHash is a hash of SHA-crypt, in its parts.
type shaHash struct {
	kind   *shaKind
	rounds int
	salt   string
	digest string // in crypt's own base 64
}

var errSHA = errors.New("it is no whole hash of SHA-crypt ($6$SALT$HASH); " + Remedy)

func parseSHA(hash string) (h shaHash, err error) {
	parts := strings.Split(hash, "$")
	if len(parts) < 4 || parts[0] != "" || shaKinds[parts[1]] == nil {
		return h, errSHA
	}
	h.kind, h.rounds = shaKinds[parts[1]], defaultRounds
	rest := parts[2:]
	if text, ok := strings.CutPrefix(rest[0], "rounds="); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < minRounds || n > maxRounds {
			return h, fmt.Errorf("its rounds are not from %d to %d; %s", minRounds, maxRounds, Remedy)
		}
		h.rounds, rest = n, rest[1:]
	}
	if len(rest) != 2 || len(rest[0]) > maxSalt || len(rest[1]) != h.kind.digits ||
		strings.Trim(rest[1], alphabet) != "" {
		return h, errSHA
	}
	h.salt, h.digest = rest[0], rest[1]
	return h, nil
}
