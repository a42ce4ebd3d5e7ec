package crypthash

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
)

// Numbers of the specification.
const (
	defaultRounds = 5000
	minRounds     = 1000
	maxSalt       = 16
	alphabet      = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// shaKind is one of the two variants.
type shaKind struct {
	new    func() hash.Hash
	digits int
	// order are the bytes of the digest in the order in which they are written, three a group, the highest first.
	order []int
}

// shaKinds are the variants, by the name in a hash.
var shaKinds = map[string]*shaKind{
	"5": {sha256.New, 43, interleave(10, [3]int{0, 10, 20}, 2)},
	"6": {sha512.New, 86, interleave(21, [3]int{0, 21, 42}, 1)},
}

// interleave makes the order of a digest's bytes: groups of three, each the one before moved on by a byte and turned
// by turn places. Step 22 of the specification spells them out.
func interleave(groups int, first [3]int, turn int) []int {
	var order []int
	group := first
	for range groups {
		order = append(order, group[:]...)
		next := [3]int{}
		for i := range group {
			next[i] = group[(i+turn)%3] + 1
		}
		group = next
	}
	return order
}

// verify hashes a password in the same way, and compares.
func (h shaHash) verify(password string) bool {
	sum := h.kind.sum([]byte(password), []byte(h.salt), h.rounds)
	return subtle.ConstantTimeCompare([]byte(h.kind.encode(sum)), []byte(h.digest)) == 1
}

// sum is steps 1 to 21 of the specification.
func (k *shaKind) sum(password, salt []byte, rounds int) []byte {
	b := k.digest(password, salt, password)
	a := k.new()
	a.Write(password)
	a.Write(salt)
	a.Write(repeat(b, len(password)))
	for n := len(password); n > 0; n >>= 1 {
		if n&1 != 0 {
			a.Write(b)
		} else {
			a.Write(password)
		}
	}
	sum := a.Sum(nil)
	p := repeat(k.digest(bytes.Repeat(password, len(password))), len(password))
	s := repeat(k.digest(bytes.Repeat(salt, 16+int(sum[0]))), len(salt))
	for round := range rounds {
		c := k.new()
		c.Write(either(round%2 != 0, p, sum))
		if round%3 != 0 {
			c.Write(s)
		}
		if round%7 != 0 {
			c.Write(p)
		}
		c.Write(either(round%2 != 0, sum, p))
		sum = c.Sum(sum[:0])
	}
	return sum
}

func (k *shaKind) digest(parts ...[]byte) []byte {
	h := k.new()
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// repeat is as many bytes of b, over and over.
func repeat(b []byte, length int) []byte {
	return bytes.Repeat(b, length/len(b)+1)[:length]
}

func either(first bool, a, b []byte) []byte {
	if first {
		return a
	}
	return b
}

// encode writes a digest in crypt's base 64, the lowest bits first.
func (k *shaKind) encode(sum []byte) string {
	var text []byte
	for i := 0; i < len(k.order); i += 3 {
		n := uint(sum[k.order[i]])<<16 | uint(sum[k.order[i+1]])<<8 | uint(sum[k.order[i+2]])
		text = append(text, digits(n, 4)...)
	}
	switch rest := sum[len(k.order):]; len(rest) {
	case 1:
		text = append(text, digits(uint(rest[0]), 2)...)
	case 2:
		text = append(text, digits(uint(rest[1])<<8|uint(rest[0]), 3)...)
	}
	return string(text)
}

func digits(n uint, count int) []byte {
	text := make([]byte, count)
	for i := range text {
		text[i] = alphabet[n>>(6*i)&63]
	}
	return text
}
