package iscsi

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
)

// algorithms are the hashes of CHAP's that are offered, in this order (the numbers are IANA's, "PPP Authentication
// Algorithms"). Every target should have MD5; some have it switched off. It comes first because of tgt, which takes 7
// for SHA-1.
var algorithms = []struct {
	number string
	new    func() hash.Hash
}{
	{"5", md5.New},
	{"7", sha256.New},
}

func algorithmNumbers() string {
	list := ""
	for i, a := range algorithms {
		if i > 0 {
			list += ","
		}
		list += a.number
	}
	return list
}

// maxChallenge is how long a challenge may be (RFC 7143 section 12.1.3).
const maxChallenge = 1024

// chap is the state of an authentication.
type chap struct {
	out, in   Secret
	hash      func() hash.Hash
	id        byte   // of our challenge
	challenge []byte // ours
}

// answer makes the answer to a target's challenge, with our own challenge where the target has to show a secret as
// well.
func (c *chap) answer(said keys) ([]pair, error) {
	at := slices.IndexFunc(algorithms, func(a struct {
		number string
		new    func() hash.Hash
	}) bool {
		return a.number == said["CHAP_A"]
	})
	if at < 0 {
		return nil, fmt.Errorf("the target wants %s as its CHAP algorithm, which was not offered",
			shown(said["CHAP_A"]))
	}
	c.hash = algorithms[at].new
	id, err := strconv.ParseUint(said["CHAP_I"], 0, 8)
	if err != nil {
		return nil, errors.New("the target's CHAP_I is no number of a byte")
	}
	challenge, err := parseBinary(said["CHAP_C"], maxChallenge)
	if err != nil {
		return nil, fmt.Errorf("the target's CHAP_C: %w", err)
	}
	pairs := []pair{{"CHAP_N", c.out.user}, {"CHAP_R", formatBinary(c.respond(byte(id), c.out, challenge))}}
	if !c.in.isSet() {
		return pairs, nil
	}
	if err := c.ask(challenge); err != nil {
		return nil, err
	}
	return append(pairs, pair{"CHAP_I", strconv.Itoa(int(c.id))}, pair{"CHAP_C", formatBinary(c.challenge)}), nil
}

// ask makes our challenge, as long as the hash and no copy of the target's.
func (c *chap) ask(theirs []byte) error {
	random := make([]byte, 1+c.hash().Size())
	if _, err := rand.Read(random); err != nil {
		return err
	}
	c.id, c.challenge = random[0], random[1:]
	if slices.Equal(c.challenge, theirs) {
		return errors.New("the target's challenge is ours")
	}
	return nil
}

// respond is the response to a challenge (RFC 1994 section 4.1).
func (c *chap) respond(id byte, secret Secret, challenge []byte) []byte {
	h := c.hash()
	h.Write([]byte{id})
	h.Write([]byte(secret.password))
	h.Write(challenge)
	return h.Sum(nil)
}

// check checks what the target answers to our challenge.
func (c *chap) check(said keys) error {
	response, err := parseBinary(said["CHAP_R"], c.hash().Size())
	right := c.respond(c.id, c.in, c.challenge)
	if err != nil || said["CHAP_N"] != c.in.user || subtle.ConstantTimeCompare(response, right) != 1 {
		return errNotTarget
	}
	return nil
}
