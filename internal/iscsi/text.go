package iscsi

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// pair is a key of the login's and its value (RFC 7143 section 6).
type pair struct{ key, value string }

// Limits of what a target may say in one answer.
const (
	maxText  = 64 << 10 // bytes, in all PDUs of it
	maxPairs = 128
	maxKey   = 63 // RFC 7143 section 6.1
)

// keys are the pairs of an answer.
type keys map[string]string

// parseText reads the data of a login response: KEY=VALUE, each with a NUL at its end.
func parseText(data []byte) (keys, error) {
	if len(data) > maxText {
		return nil, fmt.Errorf("the target's answer has over %d bytes", maxText)
	}
	found := keys{}
	for len(data) > 0 {
		word, rest, _ := bytes.Cut(data, []byte{0}) // some targets leave out the last NUL
		data = rest
		if len(word) == 0 {
			continue // padding
		}
		key, value, ok := strings.Cut(string(word), "=")
		switch {
		case !ok || key == "" || len(key) > maxKey || strings.ContainsFunc(key, notOfKeys):
			return nil, fmt.Errorf("the target's answer has %s, which is no KEY=VALUE", shown(string(word)))
		case len(found) == maxPairs:
			return nil, fmt.Errorf("the target's answer has over %d keys", maxPairs)
		}
		if _, twice := found[key]; twice {
			return nil, fmt.Errorf("the target's answer has %s twice", key)
		}
		found[key] = value
	}
	return found, nil
}

func notOfKeys(r rune) bool {
	letter := r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
	return !letter && !strings.ContainsRune(".-+@_", r)
}

// maxShown is how much of a text from a target is shown.
const maxShown = 80

func shown(text string) string { return printable.Line(text[:min(len(text), maxShown)]) }

// formatText is the data of a login request.
func formatText(pairs []pair) []byte {
	var b bytes.Buffer
	for _, p := range pairs {
		b.WriteString(p.key + "=" + p.value + "\x00")
	}
	return b.Bytes()
}

// parseBinary reads a binary value, hexadecimal or base64 (RFC 7143 section 6.1), of at most most bytes.
func parseBinary(value string, most int) ([]byte, error) {
	if len(value) < 2 || len(value) > 2+2*most {
		return nil, errors.New("it has no value of a length that is allowed")
	}
	var data []byte
	var err error
	switch value[:2] {
	case "0x", "0X":
		digits := value[2:]
		if len(digits)%2 == 1 {
			digits = "0" + digits
		}
		data, err = hex.DecodeString(digits)
	case "0b", "0B":
		data, err = base64.StdEncoding.DecodeString(value[2:])
	default:
		return nil, errors.New("it begins with neither 0x nor 0b")
	}
	if err != nil || len(data) == 0 || len(data) > most {
		return nil, errors.New("it is no binary value of a length that is allowed")
	}
	return data, nil
}

func formatBinary(data []byte) string { return "0x" + hex.EncodeToString(data) }
