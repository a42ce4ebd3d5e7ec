package sshd

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// oneTimeFile is in Config.Dir. It has the password as it is shown: the console shows it too.
const oneTimeFile = "one-time"

// digits of a one-time password, 5 bits each: Crockford's base 32, which leaves out i, l, o and u.
const digits = "0123456789abcdefghjkmnpqrstvwxyz"

// oneTimeDigits makes 60 bits: at a thousand tries a second, which the server does not allow, half of them take 18
// million years.
const oneTimeDigits = 12

// NewOneTime makes a password that is good for one login and takes the place of an unused one. It waits for the
// kernel's random numbers.
func NewOneTime(dir string) (string, error) {
	var random [oneTimeDigits]byte
	_, _ = rand.Read(random[:]) // never fails, crypto/rand
	var b strings.Builder
	for i, r := range random {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(digits[int(r)%len(digits)])
	}
	if err := writePrivate(filepath.Join(dir, oneTimeFile), []byte(b.String())); err != nil {
		return "", fmt.Errorf("make a one-time password: %w", err)
	}
	return b.String(), nil
}

// OneTimePassword returns the one-time password that was not used yet, "" for none.
func OneTimePassword(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, oneTimeFile))
	if err != nil {
		return ""
	}
	return string(text)
}

// DropOneTime makes an unused one-time password invalid.
func DropOneTime(dir string) error {
	err := os.Remove(filepath.Join(dir, oneTimeFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop the one-time password: %w", err)
	}
	return nil
}

// useOneTime says whether typed is the one-time password, which is used up then. Of two who type it at the same time
// one is in.
func useOneTime(dir, typed string) bool {
	want := plainDigits(OneTimePassword(dir))
	if len(want) != oneTimeDigits || subtle.ConstantTimeCompare([]byte(plainDigits(typed)), []byte(want)) != 1 {
		return false
	}
	return os.Remove(filepath.Join(dir, oneTimeFile)) == nil
}

// similar are characters that people read for others.
var similar = strings.NewReplacer("o", "0", "i", "1", "l", "1", "-", "", " ", "")

// plainDigits is a one-time password as somebody may have typed it, without what does not matter.
func plainDigits(typed string) string { return similar.Replace(strings.ToLower(typed)) }
